"""When processors are kept awake, and that the wish for it ends."""

from __future__ import annotations

import os
import signal
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from artfs.mount import wakefulness
from artfs.mount.wakefulness import Wakefulness

ZERO, ANY = 0, 2_000_000_000


class Wishes:
    """A stand-in for the kernel's device that records the data written to it."""

    def __init__(self) -> None:
        self._reader, self.descriptor = os.pipe2(os.O_NONBLOCK)
        self.written: list[int] = []

    def now(self) -> list[int]:
        """Return all wishes so far."""
        try:
            data = os.read(self._reader, 4096)
        except BlockingIOError:
            data = b""
        self.written += [wish for (wish,) in struct.iter_unpack("=i", data)]
        return self.written

    def close(self) -> None:
        os.close(self._reader)
        os.close(self.descriptor)


@pytest.fixture
def wishes() -> Iterator[Wishes]:
    before = signal.getsignal(signal.SIGALRM)
    made = Wishes()
    yield made
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)
    made.close()


def test_many_requests_keep_processors_awake_until_they_end(wishes: Wishes) -> None:
    awake = Wakefulness(wishes.descriptor)
    assert wishes.now() == []
    end = time.monotonic() + 0.2
    while time.monotonic() < end:
        awake.note()
    assert wishes.now()[-1] == ZERO
    count = len(wishes.now())
    deadline = time.monotonic() + 10
    while wishes.now()[-1] != ANY and time.monotonic() < deadline:
        time.sleep(0.001)
    assert wishes.now()[count:] == [ANY]
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0), "and a mount at rest is woken by nothing"


def test_few_requests_do_not(wishes: Wishes, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(1_000_000))
    monkeypatch.setattr(time, "monotonic", lambda: next(clock) * 0.02)
    awake = Wakefulness(wishes.descriptor)
    for _ in range(1000):
        awake.note()
    assert wishes.now() == []


@pytest.mark.parametrize(
    ("text", "virtual"),
    [
        ("flags\t\t: fpu hypervisor lahf_lm\n", True),
        ("flags\t\t: fpu lahf_lm\nbugs\t\t: hypervisor\n", False),
        ("CPU implementer : 0x41\n", False),
    ],
)
def test_virtual_machines_are_told_by_their_processors(
    text: str, virtual: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    monkeypatch.setattr(wakefulness, "Path", lambda _: tmp_path / "cpuinfo")
    assert wakefulness.is_virtual() is virtual


def test_where_nothing_is_known_about_processors_they_are_real(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wakefulness, "Path", lambda _: Path("/nonexistent"))
    assert not wakefulness.is_virtual()
