"""A stand-in for the model behind an agent: it asks for the tool calls it was told to ask for, then says good-bye.

`model.py HOME WATCHED_PID keep|remove CALLS` serves the Responses API on a free port of the loopback, writes the port to `HOME/port`, and ends with
the watched process. What the tools answered is written to `HOME/answers`, one line each. With `remove`, HOME is removed in the end.
"""

import http.server
import json
import os
import shutil
import sys
import threading
import time

home, watched, keep, calls = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "keep", json.loads(sys.argv[4])
answers = open(os.path.join(home, "answers"), "a", buffering=1)
written = 0


def next_item(request: dict) -> dict:
    global written
    outputs = [item for item in request["input"] if item.get("type") == "function_call_output"]
    for output in outputs[written:]:
        answers.write(json.dumps(output["output"]) + "\n")
        written += 1
    if len(outputs) < len(calls):
        call = calls[len(outputs)]
        return {
            "type": "function_call",
            "id": f"item_{len(outputs)}",
            "call_id": f"call_{len(outputs)}",
            "namespace": "mcp__peer",
            "name": call["tool"],
            "arguments": json.dumps(call.get("arguments", {})),
        }
    return {
        "type": "message",
        "id": "item_last",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "Good-bye.", "annotations": []}],
    }


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_arguments) -> None: ...

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        events = [
            {"type": "response.created", "response": {"id": "response"}},
            {"type": "response.output_item.done", "output_index": 0, "item": next_item(request)},
            {
                "type": "response.completed",
                "response": {
                    "id": "response",
                    "usage": {
                        "input_tokens": 1,
                        "input_tokens_details": {"cached_tokens": 0},
                        "output_tokens": 1,
                        "output_tokens_details": {"reasoning_tokens": 0},
                        "total_tokens": 2,
                    },
                },
            },
        ]
        body = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events).encode()
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
with open(os.path.join(home, "port.new"), "w") as file:
    file.write(str(server.server_port))
os.rename(os.path.join(home, "port.new"), os.path.join(home, "port"))
while os.path.exists(f"/proc/{watched}"):
    time.sleep(0.2)
if not keep:
    shutil.rmtree(home, ignore_errors=True)
