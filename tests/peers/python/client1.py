"""The test client on the Python SDK 1.x (handshake era only)."""

import logging
from contextlib import asynccontextmanager

import mcp.client.stdio as sdk_stdio
import mcp.types as types
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.shared.exceptions import McpError
from pydantic import AnyUrl

import scenarios
import truth

logging.disable(logging.CRITICAL)


class Connection:
    def __init__(self, session: ClientSession, inbox: scenarios.Inbox) -> None:
        self.session = session
        self.inbox = inbox

    async def tools(self):
        return {tool.name for tool in (await self.session.list_tools()).tools}

    async def call(self, tool, arguments, on_progress=None):
        try:
            result = await self.session.call_tool(tool, arguments, progress_callback=on_progress)
        except McpError as error:
            raise scenarios.RequestError(str(error)) from error
        return "".join(getattr(part, "text", "") for part in result.content), bool(result.isError)

    async def unknown_method(self):
        try:
            await self.session.send_request(types.Request(method="peers/unknown", params={}), types.EmptyResult)
        except McpError as error:
            raise scenarios.RequestError(str(error)) from error

    async def set_level(self):
        await self.session.set_logging_level("debug")

    async def resources(self):
        return {str(resource.uri) for resource in (await self.session.list_resources()).resources}

    async def read(self, uri):
        return (await self.session.read_resource(AnyUrl(uri))).contents[0].text

    @asynccontextmanager
    async def subscription(self, uri):
        await self.session.subscribe_resource(AnyUrl(uri))
        yield
        await self.session.unsubscribe_resource(AnyUrl(uri))


async def session(options, log):
    start = sdk_stdio._create_platform_compatible_process

    async def logged_start(*arguments, **named):
        return truth.log_child(await start(*arguments, **named), log)

    sdk_stdio._create_platform_compatible_process = logged_start
    inbox = scenarios.Inbox()

    async def on_log(params):
        inbox.notes.append(params.data)

    async def on_message(message):
        if isinstance(message, types.ServerNotification) and isinstance(message.root, types.ResourceUpdatedNotification):
            inbox.updated.append(str(message.root.params.uri))

    async def on_ask(_context, _params):
        return types.ElicitResult(action="accept", content={"name": "Ada"})

    command, *arguments = options.command
    server = StdioServerParameters(command=command, args=arguments, env=scenarios.server_environment())
    async with stdio_client(server) as (reader, writer):
        async with ClientSession(
            reader,
            writer,
            client_info=types.Implementation(name="peer-python1", version="1.0.0"),
            logging_callback=on_log,
            message_handler=on_message,
            elicitation_callback=on_ask,
        ) as client:
            await client.initialize()
            await scenarios.run_scenarios(Connection(client, inbox), options, log)


scenarios.main(session, truth.TruthLog("client"), ["legacy"])
