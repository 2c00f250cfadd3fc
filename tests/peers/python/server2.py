"""The test server on the Python SDK 2.x (both eras)."""

import asyncio
import logging
import warnings
from typing import Annotated

import mcp.server.stdio as sdk_stdio
import mcp_types as types
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.resolve import Elicit, Resolve
from mcp.shared.exceptions import MCPDeprecationWarning, MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import BaseModel

import truth
from content import DOCUMENT_TEXT, DOCUMENT_URI, numbers

warnings.simplefilter("ignore", MCPDeprecationWarning)
log = truth.TruthLog("server")

# The SDK moves the wire to a private descriptor; the log goes under the stream it opens there.
claim_fd = sdk_stdio._claim_fd


def logged_claim_fd(fd, stream, mode, open_diversion):
    wire, release = claim_fd(fd, stream, mode, open_diversion)
    splitter = log.splitter("received" if mode == "rb" else "sent")
    return truth.logged_stream(wire.fileno(), mode, splitter), release


sdk_stdio._claim_fd = logged_claim_fd

server = MCPServer("peer-python2", version="1.0.0", log_level="WARNING")
logging.getLogger("mcp").setLevel(logging.ERROR)


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
    raise ToolError("failed on purpose")


@tool
def error() -> str:
    """Fails as a request fails."""
    raise MCPError(-32050, "error on purpose")


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


def who() -> Elicit[Answer]:
    return Elicit("What is your name?", Answer)


@tool
async def ask(answer: Annotated[Answer, Resolve(who)]) -> str:
    """Asks the user for a name: `elicitation/create` or `input_required`, as the era has it."""
    return f"hello {answer.name}"


@server.resource(DOCUMENT_URI, name="doc", mime_type="text/plain")
def document() -> str:
    """A document."""
    return DOCUMENT_TEXT


@tool
async def touch(ctx: Context) -> str:
    """Says that the document changed."""
    if ctx.protocol_version in MODERN_PROTOCOL_VERSIONS:
        await ctx.notify_resource_updated(DOCUMENT_URI)
    else:
        await ctx.session.send_resource_updated(DOCUMENT_URI)
    return "touched"


async def accept(_ctx, _params) -> types.EmptyResult:
    return types.EmptyResult()


lowlevel = server._lowlevel_server
lowlevel.add_request_handler("resources/subscribe", types.SubscribeRequestParams, accept)
lowlevel.add_request_handler("resources/unsubscribe", types.UnsubscribeRequestParams, accept)
lowlevel.add_request_handler("logging/setLevel", types.SetLevelRequestParams, accept)

server.run("stdio")
log.end()
