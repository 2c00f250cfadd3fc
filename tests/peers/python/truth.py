"""The truth log: every MCP message that crosses the wire of this process, taken at the byte layer.

Nothing is re-serialised: the bytes that the SDK hands to the kernel, or gets from it, are cut at line feeds and hashed. The system
calls, their sizes and their file descriptors stay the SDK's own.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
from typing import Any


class TruthLog:
    """Appends to `$TRUTH_DIR/<role>-<peer>-<pid>.jsonl`, one write a line. Without `TRUTH_DIR` it does nothing."""

    def __init__(self, role: str) -> None:
        self.common = {
            "role": role,
            "peer": os.environ.get("MCP_PEER_NAME", "python"),
            "pid": os.getpid(),
        }
        self.session = os.environ.get("TRUTH_SESSION", "")
        self.scenario: str | None = None
        directory = os.environ.get("TRUTH_DIR")
        self._fd: int | None = None
        if directory:
            path = os.path.join(directory, f"{role}-{self.common['peer']}-{os.getpid()}.jsonl")
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
            self._line({**self.common, "start": True, "argv": sys.argv, "session": self.session})

    def splitter(self, direction: str) -> LineSplitter:
        """One for each direction: cuts its bytes into messages and logs them."""
        return LineSplitter(self, direction)

    def message(self, direction: str, line: bytes) -> None:
        text = line.strip(b" \t\r\n")
        if self._fd is None or not text:
            return
        entry: dict[str, Any] = {
            **self.common,
            "direction": direction,
            "size": len(text),
            "sha256": hashlib.sha256(text).hexdigest(),
            "session": self.session,
        }
        if self.scenario is not None:
            entry["scenario"] = self.scenario
        try:
            value = json.loads(text)
        except ValueError:
            value = None
            entry["invalid"] = True
        members = value if isinstance(value, dict) else {}
        entry["method"] = members.get("method")
        if "id" in members:
            entry["id"] = members["id"]
        self._line(entry)

    def end(self) -> None:
        if self._fd is not None:
            self._line({"end": True})

    def _line(self, entry: dict[str, Any]) -> None:
        assert self._fd is not None
        os.write(self._fd, json.dumps(entry).encode() + b"\n")


class LineSplitter:
    """Collects one direction's bytes until a line is whole."""

    def __init__(self, log: TruthLog, direction: str) -> None:
        self._log = log
        self._direction = direction
        self._parts: list[bytes] = []

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        *whole, rest = bytes(data).split(b"\n")
        for line in whole:
            self._parts.append(line)
            self._log.message(self._direction, b"".join(self._parts))
            self._parts.clear()
        if rest:
            self._parts.append(rest)


class TruthFileIO(io.FileIO):
    """The raw file under a buffered stream, which shows what each system call moved."""

    splitter: LineSplitter

    def readinto(self, buffer: Any) -> int | None:
        count = super().readinto(buffer)
        if count:
            self.splitter.feed(memoryview(buffer)[:count])
        return count

    def write(self, data: Any) -> int | None:
        count = super().write(data)
        if count:
            self.splitter.feed(memoryview(data)[:count])
        return count


def logged_stream(fd: int, mode: str, splitter: LineSplitter) -> io.BufferedReader | io.BufferedWriter:
    """What `open(fd, mode, closefd=False)` returns, with the same buffer size, over a `TruthFileIO`."""
    raw = TruthFileIO(fd, mode, closefd=False)
    raw.splitter = splitter
    block = os.fstat(fd).st_blksize
    size = block if block > 1 else io.DEFAULT_BUFFER_SIZE
    return io.BufferedReader(raw, size) if "r" in mode else io.BufferedWriter(raw, size)


def log_child(process: Any, log: TruthLog) -> Any:
    """Logs what goes to and comes from a child that the SDK's stdio client has just started with anyio."""
    sent, received = log.splitter("sent"), log.splitter("received")
    send, receive = process.stdin.send, process.stdout.receive

    async def logged_send(data: bytes) -> None:
        sent.feed(data)
        await send(data)

    async def logged_receive(max_bytes: int = 65536) -> bytes:
        data = await receive(max_bytes)
        received.feed(data)
        return data

    process.stdin.send = logged_send
    process.stdout.receive = logged_receive
    return process
