"""The test server on the Python SDK 1.x (handshake era only)."""

import asyncio
import io
import sys

import mcp.types as types
from mcp.server.fastmcp import Context, FastMCP
from mcp.shared.exceptions import McpError
from pydantic import BaseModel

import truth
from content import DOCUMENT_TEXT, DOCUMENT_URI, numbers

log = truth.TruthLog("server")

# The SDK wraps `sys.stdin.buffer` and `sys.stdout.buffer` anew; the log goes under these.
sys.stdin = io.TextIOWrapper(truth.logged_stream(0, "rb", log.splitter("received")))
sys.stdout = io.TextIOWrapper(truth.logged_stream(1, "wb", log.splitter("sent")))

server = FastMCP("peer-python1", log_level="ERROR")


def tool(function):
    return server.add_tool(function, structured_output=False) or function


@tool
def echo(text: str) -> str:
    """Returns the text."""
    return text


@tool
def big(size: int) -> str:
    """Returns so many bytes of text."""
    return numbers(size)


@tool
def sink(data: str) -> str:
    """Returns the length of the data."""
    return str(len(data))


@tool
async def slow(ms: int) -> str:
    """Answers after so many milliseconds."""
    await asyncio.sleep(ms / 1000)
    return f"slept {ms}"


@tool
def fail() -> str:
    """Fails as a tool fails."""
    raise ValueError("failed on purpose")


@tool
def error() -> str:
    """Fails as a request fails."""
    raise AssertionError("answered before the tool runs")


@tool
async def progress(steps: int, ctx: Context) -> str:
    """Reports progress so many times."""
    for step in range(1, steps + 1):
        await ctx.report_progress(step, steps, f"step {step}")
    return f"{steps} steps"


@tool
async def notify(count: int, ctx: Context) -> str:
    """Sends so many log notifications."""
    for number in range(1, count + 1):
        await ctx.info(f"note {number}")
    return f"{count} notes"


class Answer(BaseModel):
    name: str


@tool
async def ask(ctx: Context) -> str:
    """Asks the user for a name."""
    answer = await ctx.elicit("What is your name?", Answer)
    return f"hello {answer.data.name}" if answer.action == "accept" else answer.action


@server.resource(DOCUMENT_URI, name="doc", mime_type="text/plain")
def document() -> str:
    """A document."""
    return DOCUMENT_TEXT


@tool
async def touch(ctx: Context) -> str:
    """Says that the document changed."""
    await ctx.session.send_resource_updated(DOCUMENT_URI)
    return "touched"


lowlevel = server._mcp_server


@lowlevel.subscribe_resource()
async def subscribe(_uri) -> None: ...


@lowlevel.unsubscribe_resource()
async def unsubscribe(_uri) -> None: ...


@lowlevel.set_logging_level()
async def set_level(_level) -> None: ...


# This SDK turns whatever a tool raises into a tool error, so a request error is raised before the tool is called.
call_tool = lowlevel.request_handlers[types.CallToolRequest]


async def call_tool_or_error(request: types.CallToolRequest):
    if request.params.name == "error":
        raise McpError(types.ErrorData(code=-32050, message="error on purpose"))
    return await call_tool(request)


lowlevel.request_handlers[types.CallToolRequest] = call_tool_or_error

# It serves subscriptions, but never says so.
get_capabilities = lowlevel.get_capabilities


def honest_capabilities(*arguments):
    capabilities = get_capabilities(*arguments)
    capabilities.resources.subscribe = True
    return capabilities


lowlevel.get_capabilities = honest_capabilities

server.run("stdio")
log.end()
