"""Who may read the pages: a token for each start of the server, and headers on every answer.

Another user of this machine, and a page of another site in the same browser, can both reach a port on the loopback
interface.  So

- every request must have the token: in a cookie, which the page behind the start address sets, or as a Bearer, for
  programs.  The cookie is HttpOnly and SameSite=Strict; its name has the port, since cookies do not know ports;
- the Host must be this server: a name that another site lets point to 127.0.0.1 (DNS rebinding) is refused;
- what changes something must come from this server's own pages: by its Origin, and by a second token in the form;
- no page runs a script or takes a style but those that the server itself has, and nothing may frame it.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import socket
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from typing import Any, Final
from urllib.parse import parse_qs

from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["ENTRY", "Guard"]

ENTRY: Final = "/enter"
"""The path that takes the token and sets the cookie."""
_SAFE_METHODS: Final = frozenset({"GET", "HEAD"})
_METHODS: Final = _SAFE_METHODS | {"POST"}
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
"""What every answer has; one that sets a header itself keeps it."""
_ENTERED: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>artfs</title>
<meta http-equiv="refresh" content="0;url=/{target}"></head>
<body><p><a href="/{target}">Open the pages of artfs</a></p></body></html>
"""


class Guard:
    """An ASGI application that lets requests with the token through to another one.

    ``hosts`` are names of this server besides IP addresses and ``localhost``.
    """

    def __init__(self, application: ASGIApp, port: int, *, hosts: Iterable[str] = (), token: str = "") -> None:
        self._application = application
        self.token = token or secrets.token_urlsafe(32)
        self._cookie = f"artfs-{port}"
        self._port = port
        self._hosts = {"localhost", socket.gethostname().lower(), *(host.lower() for host in hosts)}

    @property
    def form_token(self) -> str:
        """The token that forms carry; it follows from the first, and does not tell it."""
        return hmac.new(self.token.encode(), b"forms", hashlib.sha256).hexdigest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] != "http":
            return  # neither web sockets nor start-up messages
        scope["state"] = {**scope.get("state", {}), "form_token": self.form_token}
        answer = self._refusal(scope) or self._entered(scope) or self._application
        await answer(scope, receive, _with_headers(send))

    def _refusal(self, scope: Scope) -> Response | None:
        headers = _headers_of(scope)
        if scope["method"] not in _METHODS:
            return PlainTextResponse(
                "The method is not one of GET, HEAD and POST.\n", 405, {"allow": "GET, HEAD, POST"}
            )
        if not self._is_here(headers.get("host", "")):
            return PlainTextResponse("The request names another host than this server.\n", 421)
        if scope["path"] == ENTRY and scope["method"] in _SAFE_METHODS:
            return None
        by_program = self._is_token(headers.get("authorization", "").removeprefix("Bearer "))
        if not by_program and not self._has_cookie(headers.get("cookie", "")):
            return PlainTextResponse(
                "This page needs the token of its server: open the address that 'artfs ui' printed.\n", 403
            )
        if scope["method"] not in _SAFE_METHODS and not self._is_own_origin(headers):
            return PlainTextResponse("The request comes from another site.\n", 403)
        return None

    def _entered(self, scope: Scope) -> Response | None:
        """Return the answer to a request with the token in its address: it sets the cookie, and leads on."""
        if scope["path"] != ENTRY:
            return None
        given = parse_qs(scope["query_string"].decode("latin-1"))
        if not self._is_token(given.get("token", [""])[0]):
            return PlainTextResponse("The token is not this server's: 'artfs ui' made another one.\n", 403)
        target = given.get("to", [""])[0].lstrip("/\\")
        allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~%/?=&"
        if not all(mark in allowed for mark in target):
            target = ""
        # A redirect would count as coming from where the browser was before, which SameSite=Strict keeps the cookie
        # from: a page of this server leads on instead.
        answer = Response(_ENTERED.format(target=target.replace("&", "&amp;")), media_type="text/html")
        answer.set_cookie(self._cookie, self.token, httponly=True, samesite="strict", path="/")
        return answer

    def _is_token(self, text: str) -> bool:
        return hmac.compare_digest(text.encode(), self.token.encode())

    def _has_cookie(self, header: str) -> bool:
        try:
            cookie = SimpleCookie(header).get(self._cookie)
        except CookieError:
            return False
        return cookie is not None and self._is_token(cookie.value)

    def _is_here(self, host: str) -> bool:
        """Return whether the value of a Host header is this server: an address, never a name that others can set."""
        name, _, port = host.rpartition(":") if not host.endswith("]") else (host, "", "")
        if not name or port != str(self._port):
            return False
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return name.lower() in self._hosts
        return True

    def _is_own_origin(self, headers: dict[str, str]) -> bool:
        origin = headers.get("origin")
        if origin is None:  # browsers always send it with a POST; programs with the Bearer do not
            return "authorization" in headers
        return origin == f"http://{headers['host']}" and headers.get("sec-fetch-site", "same-origin") == "same-origin"


def _headers_of(scope: Scope) -> dict[str, str]:
    """Return the headers of a request; of one that comes twice, both values joined."""
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        key = name.decode("latin-1")
        text = value.decode("latin-1")
        found[key] = f"{found[key]}; {text}" if key in found else text
    return found


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            there: list[Any] = list(message.get("headers", ()))
            names = {name.lower() for name, _ in there}
            there += [(k.encode(), v.encode()) for k, v in _HEADERS.items() if k.encode() not in names]
            message = {**message, "headers": there}
        await send(message)

    return sending
