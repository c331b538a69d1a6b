"""The supervisor loads its modules when no request has to wait for that."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from artfs.mount import children
from artfs.mount.counters import Counters


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(tmp_path / "s"))
        made.listen()
        yield made


def test_it_waits_for_a_pause(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two looks with as many requests are a pause; while they come it waits, but not for ever."""
    looks: list[int] = []

    class Busy(Counters):
        def total(self, field: object) -> int:
            looks.append(1)
            return min(len(looks), 5)

    monkeypatch.setattr(children, "_QUIET_SECONDS", 0.01)
    children._await_quiet(listener, Busy(1))
    assert len(looks) == 6
    monkeypatch.setattr(Busy, "total", lambda self, field: looks.append(1) or len(looks))
    looks.clear()
    children._await_quiet(listener, Busy(1))
    assert len(looks) == 300


def test_a_question_ends_the_wait(listener: socket.socket) -> None:
    looks: list[int] = []

    class Busy(Counters):
        def total(self, field: object) -> int:
            looks.append(1)
            return len(looks)

    with socket.socket(socket.AF_UNIX) as asking:
        asking.connect(listener.getsockname())
        children._await_quiet(listener, Busy(1))
    assert len(looks) == 1
