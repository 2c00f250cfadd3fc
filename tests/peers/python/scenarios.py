"""The scenarios, over an adapter that hides which Python SDK speaks."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from content import DOCUMENT_TEXT, DOCUMENT_URI, numbers
from truth import TruthLog

TEXTS = [
    "hello",
    "grüße 漢字 🚀 \u2028 <b>&amp;</b> ñ",
    'quote " backslash \\ slash / tab \t newline \n return \r bell \x07 escape \x1b nul \x00 delete \x7f',
]


class Unsupported(Exception):
    """The server offers nothing to run this scenario with."""


class RequestError(Exception):
    """The peer answered with a JSON-RPC error."""


@dataclass
class Inbox:
    """What the server sent without being asked."""

    notes: list[Any] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)


class Connection(Protocol):
    inbox: Inbox

    async def tools(self) -> set[str]: ...
    async def call(self, tool: str, arguments: dict[str, Any], on_progress: Any = None) -> tuple[str, bool]: ...
    async def unknown_method(self) -> None: ...
    async def set_level(self) -> None: ...
    async def resources(self) -> set[str]: ...
    async def read(self, uri: str) -> str: ...
    def subscription(self, uri: str) -> AbstractAsyncContextManager[None]: ...


def check(condition: bool, what: Any) -> None:
    if not condition:
        raise AssertionError(str(what)[:2000])


async def until(condition, what: str, seconds: float = 10) -> None:
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        check(asyncio.get_running_loop().time() < deadline, f"not within {seconds} s: {what}")
        await asyncio.sleep(0.005)


def ready() -> None:
    print("ready", file=sys.stderr, flush=True)


async def gate(timeout: float) -> None:
    if path := os.environ.get("GATE"):
        await until(lambda: os.path.exists(path), f"the gate {path}", timeout)


async def expect(connection: Connection, tool: str, arguments: dict[str, Any], wanted: str) -> None:
    text, is_error = await connection.call(tool, arguments)
    check(not is_error and text == wanted, f"{tool}: {text[:200]!r}")


async def small(c: Connection, _options) -> None:
    check("echo" in await c.tools(), "no tool echo")
    for text in TEXTS:
        await expect(c, "echo", {"text": text}, text)


async def large(c: Connection, size: int) -> None:
    await expect(c, "big", {"size": size}, numbers(size))
    await expect(c, "sink", {"data": numbers(size)}, str(size))


async def big300k(c: Connection, _options) -> None:
    await large(c, 300_000)


async def big8m(c: Connection, _options) -> None:
    await large(c, 8_000_000)


async def concurrent8(c: Connection, _options) -> None:
    await asyncio.gather(
        *(
            expect(c, "slow", {"ms": 50 * (8 - n)}, f"slept {50 * (8 - n)}")
            if n % 2
            else expect(c, "echo", {"text": f"concurrent {n}"}, f"concurrent {n}")
            for n in range(8)
        )
    )


async def progress(c: Connection, _options) -> None:
    seen: list[float] = []

    async def on_progress(value: float, _total: float | None, _message: str | None) -> None:
        seen.append(value)

    text, is_error = await c.call("progress", {"steps": 5}, on_progress)
    check(not is_error and text == "5 steps", text)
    await until(lambda: len(seen) == 5, f"5 progress notifications, not {seen}")


async def notify(c: Connection, _options) -> None:
    await c.set_level()
    c.inbox.notes.clear()
    await expect(c, "notify", {"count": 3}, "3 notes")
    await until(lambda: len(c.inbox.notes) == 3, "3 log notifications")


async def errors(c: Connection, _options) -> None:
    tools = await c.tools()
    text, is_error = await c.call("fail", {})
    check(is_error and "on purpose" in text, text)
    if "error" in tools:
        try:
            check(False, await c.call("error", {}))
        except RequestError as error:
            check("on purpose" in str(error), error)
    try:
        check((await c.call("no_such_tool", {}))[1], "an unknown tool was called")
    except RequestError:
        pass
    try:
        await c.unknown_method()
        check(False, "an unknown method was answered")
    except RequestError:
        pass


async def ask(c: Connection, _options) -> None:
    if "ask" not in await c.tools():
        raise Unsupported("ask")
    await expect(c, "ask", {}, "hello Ada")


async def resources(c: Connection, _options) -> None:
    check(DOCUMENT_URI in await c.resources(), "the document is not listed")
    check(await c.read(DOCUMENT_URI) == DOCUMENT_TEXT, "the document says something else")


async def subscribe(c: Connection, _options) -> None:
    if "touch" not in await c.tools():
        raise Unsupported("touch")
    async with c.subscription(DOCUMENT_URI):
        c.inbox.updated.clear()
        await expect(c, "touch", {}, "touched")
        await until(lambda: DOCUMENT_URI in c.inbox.updated, "resources/updated")


async def short(c: Connection, _options) -> None:
    await expect(c, "echo", {"text": "short"}, "short")


async def slow(c: Connection, _options) -> None:
    await expect(c, "slow", {"ms": 7000}, "slept 7000")


async def idle(c: Connection, options) -> None:
    await expect(c, "echo", {"text": "before"}, "before")
    ready()
    await gate(options.timeout)
    await expect(c, "echo", {"text": "after"}, "after")


async def loop(c: Connection, options) -> None:
    ready()
    await gate(options.timeout)
    for number in range(options.count):
        await expect(c, "echo", {"text": f"call {number}"}, f"call {number}")
        await asyncio.sleep(options.pause_ms / 1000)


async def calls(c: Connection, options) -> None:
    tools = await c.tools()
    for wanted in json.loads(options.calls):
        check(wanted["tool"] in tools, f"no tool {wanted['tool']} among {sorted(tools)}")
        failed = False
        try:
            text, failed = await c.call(wanted["tool"], wanted.get("arguments", {}))
        except RequestError as error:
            text, failed = str(error), True
        check(failed == wanted.get("isError", False), f"{wanted['tool']}: {text}")
        check(wanted.get("contains", "") in text, f"{wanted['tool']}: {text}")


SCENARIOS = {
    function.__name__: function
    for function in (
        small, big300k, big8m, concurrent8, progress, notify, errors, ask,
        resources, subscribe, short, slow, idle, loop, calls,
    )
}  # fmt: skip


def parse(eras: list[str]) -> argparse.Namespace:
    argv, command = sys.argv[1:], []
    if "--" in argv:
        at = argv.index("--")
        argv, command = argv[:at], argv[at + 1 :]
    parser = argparse.ArgumentParser(prog="client")
    parser.add_argument("--scenario", default="small")
    parser.add_argument("--era", choices=eras, default=eras[0])
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--pause-ms", type=int, default=100)
    parser.add_argument("--calls", default="[]")
    parser.add_argument("--timeout", type=float, default=300)
    options = parser.parse_args(argv)
    options.command = command
    options.names = options.scenario.split(",")
    for name in options.names:
        if name not in SCENARIOS:
            parser.error(f"no scenario {name}; there are {', '.join(SCENARIOS)}")
    if not command:
        parser.error("no server command after --")
    return options


def server_environment() -> dict[str, str]:
    """What the server needs beyond what the SDK passes on."""
    names = ("TRUTH_DIR", "TRUTH_SESSION", "MCP_PEERS_DIR")
    return {name: os.environ[name] for name in names if name in os.environ}


async def run_scenarios(connection: Connection, options: argparse.Namespace, log: TruthLog) -> None:
    if not {"idle", "loop"} & set(options.names):
        ready()
    for name in options.names:
        log.scenario = name
        await asyncio.wait_for(SCENARIOS[name](connection, options), options.timeout)
        print(json.dumps({"scenario": name, "ok": True}), flush=True)


def main(session, log: TruthLog, eras: list[str]) -> None:
    """Runs `session(options, log)` and exits: 0 all right, 1 a wrong result, 3 not offered by this server."""
    options = parse(eras)
    code = 0
    try:
        asyncio.run(session(options, log))
    except BaseException as error:  # noqa: BLE001 - an exception group, a cancellation: whatever it is, it failed
        cause = error
        while isinstance(cause, BaseExceptionGroup):
            cause = cause.exceptions[0]
        code = 3 if isinstance(cause, Unsupported) else 1
        print(json.dumps({"scenario": log.scenario, "ok": False, "unsupported": code == 3, "error": repr(cause)}), flush=True)
    log.end()
    sys.exit(code)
