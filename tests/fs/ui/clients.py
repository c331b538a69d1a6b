"""A browser's part of pages without a browser: an ASGI application is called in the process."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from artfs.ui.application import make_application
from artfs.ui.pages import FIELD, Pages
from artfs.ui.security import Guard
from artstore.workspace import Workspace

PORT = 7878


@dataclass
class Answer:
    """What the server answered: ``headers`` by lower-case name."""

    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def text(self) -> str:
        return self.content.decode()


class Client:
    """A client of the pages of a workspace that sends the token, unless a header replaces it."""

    def __init__(self, workspace: Workspace, *, is_read_only: bool = False) -> None:
        self.guard = Guard(make_application(Pages(workspace, is_read_only=is_read_only)), PORT)
        self.cookie = f"artfs-{PORT}={self.guard.token}"

    def request(self, method: str, target: str, body: bytes = b"", **headers: str | None) -> Answer:
        """Send a request; headers that are None are left out."""
        given: dict[str, str | None] = {"host": f"127.0.0.1:{PORT}", "cookie": self.cookie}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        parts = urlsplit(target)
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": parts.path,
            "raw_path": parts.path.encode(),
            "query_string": parts.query.encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in given.items() if value is not None],
            "server": ("127.0.0.1", PORT),
            "client": ("127.0.0.1", 1),
        }
        return asyncio.run(_answered(self.guard, scope, body))

    def get(self, target: str, **headers: str | None) -> Answer:
        return self.request("GET", target, **headers)

    def get_result(self, target: str) -> Answer:
        """Get a page that may take long: its progress is looked at until it has ended."""
        answer = self.get(target)
        deadline = time.monotonic() + 60
        while answer.status == 303 or "data-running" in answer.text:
            assert time.monotonic() < deadline
            target = answer.headers.get("location", target)
            time.sleep(0.02)
            answer = self.get(target)
        return answer

    def post(self, target: str, fields: dict[str, str], **headers: str | None) -> Answer:
        """Send a form with the token of forms, as a page of the server does."""
        body = urlencode({FIELD: self.guard.form_token, **fields}).encode()
        given = {"content_type": "application/x-www-form-urlencoded", "origin": f"http://127.0.0.1:{PORT}"}
        return self.request("POST", target, body, **{**given, **headers})


async def _answered(application: Any, scope: dict[str, Any], body: bytes) -> Answer:
    sent: list[dict[str, Any]] = []
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if waiting:
            return waiting.pop()
        await asyncio.sleep(3600)
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await application(scope, receive, send)
    start = sent[0]
    headers = {name.decode().lower(): value.decode() for name, value in start["headers"]}
    return Answer(start["status"], headers, b"".join(message.get("body", b"") for message in sent[1:]))
