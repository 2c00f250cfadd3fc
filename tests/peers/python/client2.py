"""The test client on the Python SDK 2.x (both eras)."""

import logging
import warnings
from contextlib import asynccontextmanager

import anyio
import mcp.client.stdio as sdk_stdio
import mcp_types as types
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.shared.exceptions import MCPDeprecationWarning, MCPError
from mcp_types.version import LATEST_MODERN_VERSION, MODERN_PROTOCOL_VERSIONS

import scenarios
import truth

warnings.simplefilter("ignore", MCPDeprecationWarning)
logging.disable(logging.CRITICAL)


class Connection:
    def __init__(self, client: Client, inbox: scenarios.Inbox) -> None:
        self.client = client
        self.inbox = inbox

    @property
    def modern(self) -> bool:
        return self.client.protocol_version in MODERN_PROTOCOL_VERSIONS

    async def tools(self):
        return {tool.name for tool in (await self.client.list_tools(cache_mode="bypass")).tools}

    async def call(self, tool, arguments, on_progress=None):
        try:
            result = await self.client.call_tool(tool, arguments, progress_callback=on_progress)
        except MCPError as error:
            raise scenarios.RequestError(str(error)) from error
        return "".join(getattr(part, "text", "") for part in result.content), bool(result.is_error)

    async def unknown_method(self):
        data, options = {"method": "peers/unknown", "params": {}}, {}
        self.client.session._stamp(data, options)
        try:
            await self.client.session._dispatcher.send_raw_request(data["method"], data["params"], options)
        except MCPError as error:
            raise scenarios.RequestError(str(error)) from error

    async def set_level(self):
        # In the modern era each request says its level; `Client(log_level=...)` does that.
        if not self.modern:
            await self.client.set_logging_level("debug")

    async def resources(self):
        return {resource.uri for resource in (await self.client.list_resources(cache_mode="bypass")).resources}

    async def read(self, uri):
        return (await self.client.read_resource(uri, cache_mode="bypass")).contents[0].text

    @asynccontextmanager
    async def subscription(self, uri):
        if not self.modern:
            await self.client.subscribe_resource(uri)
            yield
            await self.client.unsubscribe_resource(uri)
            return
        async with self.client.listen(resource_subscriptions=[uri]) as events, anyio.create_task_group() as tasks:

            async def collect():
                async for event in events:
                    self.inbox.updated.append(event.uri)

            tasks.start_soon(collect)
            yield
            tasks.cancel_scope.cancel()


async def session(options, log):
    start = sdk_stdio._create_platform_compatible_process

    async def logged_start(*arguments, **named):
        return truth.log_child(await start(*arguments, **named), log)

    sdk_stdio._create_platform_compatible_process = logged_start
    inbox = scenarios.Inbox()

    async def on_log(params):
        inbox.notes.append(params.data)

    async def on_message(message):
        if isinstance(message, types.ResourceUpdatedNotification):
            inbox.updated.append(str(message.params.uri))

    async def on_ask(_context, _params):
        return types.ElicitResult(action="accept", content={"name": "Ada"})

    command, *arguments = options.command
    server = StdioServerParameters(command=command, args=arguments, env=scenarios.server_environment())
    async with Client(
        server,
        mode={"legacy": "legacy", "auto": "auto", "modern": LATEST_MODERN_VERSION}[options.era],
        client_info=types.Implementation(name="peer-python2", version="1.0.0"),
        logging_callback=on_log,
        log_level="debug",
        message_handler=on_message,
        elicitation_callback=on_ask,
    ) as client:
        await scenarios.run_scenarios(Connection(client, inbox), options, log)


scenarios.main(session, truth.TruthLog("client"), ["auto", "legacy", "modern"])
