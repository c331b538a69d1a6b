"""Every command that talks to a server, with every hostile server: the pinned bytes, or one sentence and its exit code.

A server is hostile from the beginning, or once a reference to it is recorded.  Nothing waits for ever, nothing takes
memory without bound, and no other host is asked.  The suite tries each server with some of the commands, in turn;
``ARTFS_HOSTILE=all`` each with all.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from servers.answers import ANSWERS, DATA, DRIPS, LISTINGS
from servers.hostile import Hostile, answer

Run = Callable[..., Any]

MOST_SECONDS = 100.0
SAMPLE = 2
"""Commands that the suite tries with each server."""
ROOM_KB = 400_000
"""Kilobytes by which the memory of this process may grow in one case."""
FIRST: tuple[tuple[str, ...], ...] = (
    ("ref", "add", "{uri}", "x"),
    ("ref", "add", "{uri}", "x", "--no-checksum"),
    ("put", "{uri}", "y"),
)
LATER: tuple[tuple[str, ...], ...] = (
    ("ref", "check", "sound"),
    ("cat", "sound:v0/f"),
    ("get", "sound:v0", "{out}"),
    ("ref", "pin", "sound"),
    ("warm", "sound"),
    ("show", "sound"),
    ("fsck", "--data"),
)


@pytest.fixture(autouse=True)
def impatient(nobody: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARTFS_REFERENCE_TIMEOUT", "1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")


@pytest.fixture
def bounded() -> Iterator[None]:
    """Fail where a case takes much time or memory."""
    started, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    taken, grown = time.monotonic() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert taken < 3 * MOST_SECONDS and grown < ROOM_KB, f"{taken:.1f} s, {grown} kB"


def sound(method: str, path: str) -> list[bytes]:
    """Answer as a server does that keeps to the protocol, for any part."""
    return [answer("200 OK", b"" if method == "HEAD" else DATA, Content_Length=len(DATA))]


def judge(result: Any, command: tuple[str, ...], out: Path) -> None:
    """Assert that a command ended well, or with one sentence; and that what it gave are the pinned bytes."""
    started = result.message
    assert "internal error" not in started and "Traceback" not in started, started
    assert result.code in range(7), started
    assert "\x1b" not in started
    if result.code and command[:2] == ("ref", "check"):
        assert result.text.startswith(("changed: f: ", "unknown: f: ")), result.text
    elif result.code:
        sentences = [line for line in started.splitlines() if line.startswith("artfs: ")]
        assert len(sentences) == 1, started
        assert len(sentences[0]) < 800, started
    elif command[0] == "cat":
        assert result.out == DATA
    elif command[0] == "get":
        assert (out / "f").read_bytes() == DATA


def commands(number: int) -> list[tuple[str, ...]]:
    """Return the commands to be tried on a server."""
    every = (*FIRST, *LATER)
    if os.environ.get("ARTFS_HOSTILE") == "all":
        return list(every)
    return [every[(number * SAMPLE + at) % len(every)] for at in range(SAMPLE)]


def tried(artfs: Run, number: int, uri: str, out: Path) -> None:
    for command in commands(number):
        started = time.monotonic()
        result = artfs(*(part.format(uri=uri, out=out) for part in command))
        judge(result, command, out)
        assert time.monotonic() - started < MOST_SECONDS, command


WEB = {name: ([sent], 0.0, False) for name, sent in ANSWERS.items()} | {
    f"drips {name}": (pieces, 0.1, True) for name, pieces in DRIPS.items()
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", WEB)
def test_web_servers(
    artfs: Run, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bounded: None, name: str
) -> None:
    pieces, pause, forever = WEB[name]
    with Hostile(sound) as server:
        monkeypatch.setenv("ARTFS_REFERENCE_ROOTS", server.url)
        assert artfs("ref", "add", f"{server.url}/f", "sound").code == 0
        server.script, server.pause, server.forever = lambda *_: pieces, pause, forever
        tried(artfs, list(WEB).index(name), f"{server.url}/f", tmp_path / "out")
        server.script, server.pause, server.forever = sound, 0.0, False
        restored = artfs("cat", "sound:v0/f")
        assert restored.out == DATA, restored.message


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", LISTINGS)
def test_object_stores(
    artfs: Run, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bounded: None, name: str
) -> None:
    with Hostile(sound) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
        assert artfs("ref", "add", "s3://b/d/f", "sound").code == 0
        server.script = lambda *_: [LISTINGS[name]]
        tried(artfs, list(LISTINGS).index(name), "s3://b/d/", tmp_path / "out")
        assert os.listdir(tmp_path / "home" / "workspace" / "packs")
