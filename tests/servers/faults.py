"""A proxy on loopback before a server: it counts requests and bytes, and does what networks and proxies do to them.

A rule sees each request and returns a `Fault` for it or None.  What the client sends goes to the server unchanged, with
its Host, so that signatures hold.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

__all__ = ["Fault", "FaultProxy", "Request", "first"]

_PIECE = 1 << 16


@dataclass
class Request:
    """A request that passed: with its times, and the answer's status and length when it is over."""

    number: int
    method: str
    target: str
    headers: dict[str, str]
    sent: int
    """Bytes of its body."""
    began: float
    ended: float = 0.0
    status: int = 0
    received: int = 0
    """Bytes of the answer's body that reached the client."""

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]


@dataclass(frozen=True)
class Fault:
    """What happens to a request; the parts can be combined."""

    before: float = 0.0
    """Seconds that it waits before the server sees it."""
    after: float = 0.0
    """Seconds that its answer waits."""
    drop: bool = False
    """The server never sees it."""
    status: int = 0
    """The status with which it is answered in place of the server's answer, or in place of the server if `drop`."""
    code: str = ""
    """The code of S3 in that answer."""
    lose: bool = False
    """The connection closes in place of an answer."""
    reset: bool = False
    """The same, with a reset."""
    hang: bool = False
    """No answer comes, and the connection stays."""
    cut: int | None = None
    """Bytes of the answer's body after which the connection closes."""
    rate: float = 0.0
    """Bytes a second of the answer's body, if not 0."""
    act: Callable[[], None] | None = None
    """Called before the client has an answer, after the server has seen the request unless it is dropped."""


Rule = Callable[[Request], Fault | None]


def first(fault: Fault, method: str = "", path: str = "", *, times: int = 1, skip: int = 0) -> Rule:
    """Return a rule for the requests of a method whose path contains a text: ``times`` of them after ``skip``."""
    seen = iter(range(1 << 30))

    def rule(request: Request) -> Fault | None:
        if (method and request.method != method) or path not in request.target:
            return None
        return fault if skip <= next(seen) < skip + times else None

    return rule


@dataclass
class FaultProxy:
    """Serve at `url` what the server at ``host:port`` does, with faults."""

    upstream: str
    """The server's address: ``http://127.0.0.1:PORT``, and a path that is passed over."""
    rules: list[Rule] = field(default_factory=list)
    delay: float = 0.0
    """Seconds that every request waits."""
    caches_missing: str = ""
    """``obeying`` or ``deaf``: answers of 404 to GET are given again; the former asks the server for no-cache."""
    requests: list[Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._missing: set[str] = set()
        self._loop = asyncio.new_event_loop()
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def count(self, *methods: str) -> int:
        """Return the number of requests of some methods, or of all."""
        return sum(not methods or request.method in methods for request in self.requests)

    def trips(self) -> int:
        """Return the length of the longest chain of requests each of which began when the one before had ended."""
        ends: list[tuple[float, int]] = []
        for request in sorted(self.requests, key=lambda each: each.began):
            ends.append((request.ended, 1 + max((n for end, n in ends if end and end <= request.began), default=0)))
        return max((n for _, n in ends), default=0)

    def forget(self) -> None:
        """Forget the requests so far, and the rules."""
        self.requests.clear()
        self.rules.clear()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, sock=self._socket, limit=1 << 20))
        self._loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        streams: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError, asyncio.LimitOverrunError):
            while await self._exchange(reader, writer, streams):
                pass
        for each in (writer, *(to_server for _, to_server in streams)):
            each.close()

    async def _connected(
        self, streams: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return the connection to the server, a new one if it has closed the last: servers do so after a while."""
        if not streams or streams[-1][0].at_eof():
            host, _, port = self.upstream.partition("://")[2].partition("/")[0].partition(":")
            streams.append(await asyncio.open_connection(host, int(port), limit=1 << 20))
        return streams[-1]

    async def _exchange(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        streams: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]],
    ) -> bool:
        """Pass one request and its answer; return whether the connection goes on."""
        head = await reader.readuntil(b"\r\n\r\n")
        method, target, headers = _request(head)
        if headers.get("expect", "").lower() == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await _body(reader, headers)
        request = Request(len(self.requests), method, target, headers, len(body), time.monotonic())
        self.requests.append(request)
        fault = next((found for rule in self.rules if (found := rule(request)) is not None), Fault())
        fault = self._cached(request) or fault
        await asyncio.sleep(self.delay + fault.before)
        if not fault.drop:
            from_server, to_server = await self._connected(streams)
            to_server.write(head.replace(b"Expect: 100-continue\r\n", b"").replace(b"expect: 100-continue\r\n", b""))
            to_server.write(body)
            await to_server.drain()
            start = await from_server.readuntil(b"\r\n\r\n")
            request.status, answered = _answer(start)
            is_empty = method == "HEAD" or request.status in (204, 304)
            content = b"" if is_empty else await _body(from_server, answered, until_end=True)
            if self.caches_missing and method == "GET" and request.status == 404:
                self._missing.add(target)
        if fault.act is not None:
            await asyncio.to_thread(fault.act)
        await asyncio.sleep(fault.after)
        if fault.hang:
            await asyncio.sleep(3600)
        if fault.reset:
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        if fault.lose or fault.reset:
            return False
        if fault.status or fault.drop:
            request.status = fault.status or 500
            start, content = _made(request.status, fault.code, empty=method == "HEAD")
        elif "transfer-encoding" in answered:
            start = _with_length(start, len(content))
        return await self._send(writer, request, fault, start, content)

    def _cached(self, request: Request) -> Fault | None:
        if request.method != "GET" or request.target not in self._missing:
            return None
        obeys = self.caches_missing == "obeying" and "no-cache" in request.headers.get("cache-control", "")
        return None if obeys else Fault(drop=True, status=404, code="NoSuchKey")

    async def _send(
        self, writer: asyncio.StreamWriter, request: Request, fault: Fault, start: bytes, content: bytes
    ) -> bool:
        writer.write(start)
        part = content if fault.cut is None else content[: fault.cut]
        for begin in range(0, len(part), _PIECE):
            piece = part[begin : begin + _PIECE]
            writer.write(piece)
            await writer.drain()
            request.received += len(piece)
            if fault.rate:
                await asyncio.sleep(len(piece) / fault.rate)
        await writer.drain()
        request.ended = time.monotonic()
        return len(part) == len(content)


def _request(head: bytes) -> tuple[str, str, dict[str, str]]:
    line, headers = _head(head)
    method, target, _ = line.split(" ", 2)
    return method, target, headers


def _answer(head: bytes) -> tuple[int, dict[str, str]]:
    line, headers = _head(head)
    return int(line.split(" ")[1]), headers


def _head(head: bytes) -> tuple[str, dict[str, str]]:
    line, *lines = head.decode("latin-1").split("\r\n")
    pairs: Sequence[tuple[str, str, str]] = [each.partition(":") for each in lines if each]
    return line, {name.strip().lower(): value.strip() for name, _, value in pairs}


async def _body(reader: asyncio.StreamReader, headers: dict[str, str], *, until_end: bool = False) -> bytes:
    if "chunked" in headers.get("transfer-encoding", ""):
        parts = []
        while size := int((await reader.readline()).split(b";")[0], 16):
            parts.append(await reader.readexactly(size))
            await reader.readline()
        while (await reader.readline()).strip():
            pass
        return b"".join(parts)
    if "content-length" in headers:
        return await reader.readexactly(int(headers["content-length"]))
    return await reader.read() if until_end else b""


def _made(status: int, code: str, *, empty: bool) -> tuple[bytes, bytes]:
    said = code or {403: "AccessDenied", 404: "NoSuchKey", 409: "Conflict", 503: "SlowDown"}.get(status, "Trouble")
    content = b"" if empty else f"<Error><Code>{said}</Code><Message>the proxy says so</Message></Error>".encode()
    start = f"HTTP/1.1 {status} Made\r\nContent-Type: application/xml\r\nContent-Length: {len(content)}\r\n\r\n"
    return start.encode(), content


def _with_length(start: bytes, length: int) -> bytes:
    lines = [line for line in start.split(b"\r\n") if line and not line.lower().startswith(b"transfer-encoding")]
    return b"\r\n".join([*lines, f"Content-Length: {length}".encode(), b"", b""])
