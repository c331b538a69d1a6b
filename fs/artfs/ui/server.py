"""The server of the pages: one process, on this machine, until Ctrl-C."""

from __future__ import annotations

import errno
import html
import logging
import os
import socket
import tempfile
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import uvicorn

from artfs.ui.application import make_application
from artfs.ui.pages import Pages
from artfs.ui.security import ENTRY, Guard
from artstore.errors import BusyError, InvalidInputError

if TYPE_CHECKING:
    from artstore.workspace import Workspace

__all__ = ["PORT", "is_loopback", "serve"]

PORT: Final = 7878
_REDIRECT: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>artfs</title>
<meta http-equiv="refresh" content="0;url={address}"></head><body><a href="{address}">Open artfs</a></body></html>
"""


def serve(
    workspace: Workspace,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    start: str = "/",
    is_read_only: bool = False,
    browser: bool = True,
    ready: Callable[[str, str], None],
) -> None:
    """Serve the pages of a workspace until the process is interrupted.

    Without ``port`` it is 7878, or a free one if that is taken; 0 is a free one.  ``ready`` gets the address of the
    server, and one with the token, as soon as both can be opened; with ``browser`` a browser then opens ``start``.
    Raises `BusyError` for a port that is taken, `InvalidInputError` for a host that is not this machine's.
    """
    with _listening(host, port) as listener:
        bound = listener.getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        if host in ("0.0.0.0", "::"):
            shown = "localhost"
        guard = Guard(make_application(Pages(workspace, is_read_only=is_read_only)), bound, hosts=[host])
        base = f"http://{shown}:{bound}"
        entry = f"{base}{ENTRY}?token={guard.token}" + (f"&to={start.lstrip('/')}" if start != "/" else "")
        server = uvicorn.Server(
            uvicorn.Config(
                guard,
                log_level=logging.WARNING,
                access_log=False,
                lifespan="off",
                ws="none",
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=2,
            )
        )
        ready(f"{base}/", entry)
        # The server ends cleanly at the signal, and sends it again: it is how users end this command.
        with _redirect(entry) if browser else nullcontext(), suppress(KeyboardInterrupt):
            server.run(sockets=[listener])


@contextmanager
def _listening(host: str, port: int | None) -> Iterator[socket.socket]:
    if not host:
        raise InvalidInputError("the host is empty", hint="127.0.0.1 is this machine alone, 0.0.0.0 all its addresses")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, PORT if port is None else port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE or port is not None:
                raise
            listener.bind((host, 0))
        listener.listen(128)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise BusyError(f"the port {port} of {host} is taken", hint="name another one with --port") from error
        if error.errno == errno.EACCES:
            raise InvalidInputError(f"only root may listen on port {port}", hint="name one above 1023") from error
        raise InvalidInputError(f"{host!r} is no address of this machine: {error.strerror or error}") from error
    with listener:
        yield listener


@contextmanager
def _redirect(entry: str) -> Iterator[None]:
    """Open a browser on a file that leads to the address with the token, so that no list of processes shows it."""
    with tempfile.TemporaryDirectory(prefix="artfs-ui-") as folder:
        file = Path(folder) / "artfs.html"
        fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(fd, "w", encoding="utf-8") as opened:
            opened.write(_REDIRECT.format(address=html.escape(entry)))
        webbrowser.open(file.as_uri())
        yield


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a host."""
    return host in ("localhost", "::1") or host.startswith("127.")
