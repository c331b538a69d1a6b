"""A web server whose manners a test chooses: with and without ETags, ranges, HEAD; slow, failing, redirecting."""

from __future__ import annotations

import hashlib
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import ClassVar, Self
from urllib.parse import unquote


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Ignore clients that disconnected."""


class Web:
    """Serve ``files`` by path; every setting may be changed at any time."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.etags = self.ranges = self.heads = self.lengths = self.conditions = True
        self.weak = False
        self.delay = 0.0
        """Seconds before each answer."""
        self.fail = 0
        """Status with which every request fails, if not 0."""
        self.cut = 0
        """Bytes after which an answer breaks off, if not 0."""
        self.pause = 0.0
        """Seconds between the MiBs of an answer."""
        self.instead: dict[str, bytes] = {}
        """What is served under the ETag of what ``files`` has: a server that lies."""
        self.asked: list[tuple[str, str, str]] = []
        """(method, path, range) of the requests."""
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def etag(self, path: str) -> str:
        mark = f'"{hashlib.md5(self.files[path]).hexdigest()}"'
        return f"W/{mark}" if self.weak else mark


class _Handler(BaseHTTPRequestHandler):
    web: ClassVar[Web]
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Keep quiet."""

    def do_HEAD(self) -> None:
        self._serve(body=False)

    def do_GET(self) -> None:
        self._serve(body=True)

    def _serve(self, *, body: bool) -> None:
        web = self.web
        asked = self.headers.get("Range", "")
        web.asked.append((self.command, self.path, asked))
        time.sleep(web.delay)
        if web.fail:
            return self._plain(web.fail)
        if not body and not web.heads:
            return self._plain(405)
        path = unquote(self.path)
        if path not in web.files:
            return self._plain(404)
        data = web.instead.get(path, web.files[path])
        condition = self.headers.get("If-Match")
        if condition is not None and web.conditions and condition != web.etag(path):
            return self._plain(412)
        whole = len(data)
        status, extra = 200, {}
        if asked and web.ranges:
            first, _, last = asked.removeprefix("bytes=").partition("-")
            start, end = int(first), min(int(last) + 1 if last else whole, whole)
            if start >= whole:
                return self._plain(416)
            data, status = data[start:end], 206
            extra["Content-Range"] = f"bytes {start}-{end - 1}/{whole}"
        self.send_response(status)
        if web.etags:
            self.send_header("ETag", web.etag(path))
        if web.lengths:
            self.send_header("Content-Length", str(len(data)))
        else:
            self.send_header("Connection", "close")
            self.close_connection = True
        for name, value in extra.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            if web.cut:
                self.wfile.write(data[: web.cut])
                self.close_connection = True
                return None
            for start in range(0, len(data), 1 << 20):
                self.wfile.write(data[start : start + (1 << 20)])
                time.sleep(web.pause)
        return None

    def _plain(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()


def _handler(web: Web) -> type[BaseHTTPRequestHandler]:
    return type("Handler", (_Handler,), {"web": web})
