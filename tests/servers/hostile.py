"""A web server that answers with given bytes, in pieces, with pauses: whatever a protocol forbids."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import chain, repeat
from types import TracebackType
from typing import Self

__all__ = ["Hostile", "answer"]

Script = Callable[[str, str], "Sequence[bytes]"]


def answer(status: str, body: bytes = b"", **headers: object) -> bytes:
    """Return the bytes of an answer; names of headers have underscores here, and ``None`` leaves one out."""
    fields: dict[str, object] = {"Content_Length": len(body), "ETag": '"a"', **headers}
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in fields.items() if value is not None]
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode("latin-1") + body


class Hostile:
    """Answer each request with what ``script`` (method, path) returns: pieces, ``pause`` seconds apart.

    Each connection serves one request.  With ``forever`` the last piece is repeated until the client leaves.
    """

    def __init__(self, script: Script, *, pause: float = 0.0, forever: bool = False) -> None:
        self.script = script
        self.pause = pause
        self.forever = forever
        self.asked: list[tuple[str, str]] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            request = b""
            while b"\r\n\r\n" not in request:
                data = connection.recv(65536)
                if not data:
                    return
                request += data
            method, path, _ = request.split(b"\r\n")[0].decode().split(" ")
            self.asked.append((method, path))
            pieces = list(self.script(method, path))
            for piece in chain(pieces, repeat(pieces[-1]) if self.forever else ()):
                connection.sendall(piece)
                time.sleep(self.pause)
