"""The command serves until it is interrupted, and says in a sentence why it cannot."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from artfs.ui import server
from artfs.ui.server import is_loopback, serve
from artstore.errors import BusyError, InvalidInputError
from artstore.workspace import Workspace


def test_the_command(workspace: Workspace) -> None:
    """It prints one address, which lets a client in, and ends cleanly at Ctrl-C."""
    words = [sys.executable, "-m", "artfs", "-w", str(workspace.path), "ui", "notes", "--no-browser", "--port", "0"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment}
    with subprocess.Popen(words, **pipes) as process:
        assert process.stdout is not None and process.stderr is not None
        entry = urlsplit(process.stdout.readline().strip())
        connection = http.client.HTTPConnection("127.0.0.1", entry.port or 0, timeout=30)
        connection.request("GET", f"{entry.path}?{entry.query}")
        answer = connection.getresponse()
        page = answer.read().decode()
        assert answer.status == 200 and "/artifact?name=notes" in page
        cookie = (answer.getheader("set-cookie") or "").partition(";")[0]
        connection.request("GET", "/artifact?name=notes", headers={"cookie": cookie})
        answer = connection.getresponse()
        assert answer.status == 200 and b"<h1>notes</h1>" in answer.read()
        assert answer.getheader("server") is None
        connection.close()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert process.stderr.read() == ""


def test_a_busy_port(workspace: Workspace) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(BusyError, match="taken"):
        serve(workspace, port=taken.getsockname()[1], ready=lambda *_: None)


def test_hosts_that_are_not_here(workspace: Workspace) -> None:
    for host in ("192.0.2.1", "no.such.host.invalid"):
        with pytest.raises(InvalidInputError):
            serve(workspace, host=host, port=0, ready=lambda *_: None)


def test_the_browser_gets_a_file_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The token is in no list of processes, and in no file that others can read; the file is removed."""
    opened: list[Path] = []

    def look(uri: str) -> bool:
        file = Path(urlsplit(uri).path)
        assert stat.S_IMODE(os.stat(file).st_mode) == 0o600 and "token=x&amp;to=y" in file.read_text()
        opened.append(file)
        return True

    monkeypatch.setattr(server.webbrowser, "open", look)
    with server._redirect("http://127.0.0.1:1/enter?token=x&to=y"):
        assert opened[0].exists()
    assert not opened[0].exists()


def test_loopback() -> None:
    assert all(map(is_loopback, ["127.0.0.1", "localhost", "::1"])) and not is_loopback("0.0.0.0")
