"""Prints each tool call that a collector gets: subscriber.py ADDRESS [TOKEN-FILE [CA-FILE]]

Needs the code that is made from the contract, in the current folder or on PYTHONPATH:

    pip install grpcio-tools
    python -m grpc_tools.protoc -I proto --python_out=. --grpc_python_out=. proto/mcp_sensor/v1/*.proto
"""

import sys

import grpc
from mcp_sensor.v1 import collector_pb2, collector_pb2_grpc, message_pb2


def main(address, token_file=None, ca_file=None):
    metadata = [("authorization", "Bearer " + open(token_file).readline().strip())] if token_file else []
    if ca_file:
        channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(open(ca_file, "rb").read()))
    else:
        channel = grpc.insecure_channel(address)
    request = collector_pb2.SubscribeRequest(filter=collector_pb2.Filter(kinds=[collector_pb2.Filter.TOOL_CALL]))
    with channel:
        for item in collector_pb2_grpc.CollectorServiceStub(channel).Subscribe(request, metadata=metadata):
            # To go on after an interruption, subscribe with `after_cursor` of the last item seen.
            if item.WhichOneof("item") == "event":
                call, event = item.event.tool_call, item.event
                state = message_pb2.ToolCall.State.Name(call.state)
                print(event.node, event.client.exe, event.server.exe, call.tool, call.arguments, state, flush=True)
            elif item.WhichOneof("item") == "missed":
                print("too slow: missed", item.missed.events, "events", file=sys.stderr, flush=True)


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 4:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        pass
