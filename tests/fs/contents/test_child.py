"""A child has no rights, its death is a sentence, and errors of reading stay what they are."""

from __future__ import annotations

import io
import os
import resource
import signal
import socket
import time
from typing import Any

import pytest

from artfs.contents.child import Limits, UnreadableError, ask
from artfs.contents.child_program import Files
from artfs.contents.sources import Source
from artstore.errors import DamageError

# What the child runs: this file is a module for it, if its folder is on the path.


def rights(files: Files, _options: dict[str, Any]) -> dict[str, Any]:
    try:
        with socket.socket() as connection:
            connection.connect(("127.0.0.1", 1))
        network = "open"
    except OSError as error:
        network = os.strerror(error.errno or 0)
    return {
        "network": network,
        "user": os.geteuid(),
        "core": resource.getrlimit(resource.RLIMIT_CORE),
        "secret": os.environ.get("AWS_SECRET_ACCESS_KEY"),
        "read": files.open(0).read().hex(),
        "descriptors": len(os.listdir("/proc/self/fd")),
    }


def die(_files: Files, options: dict[str, Any]) -> None:
    how = options["how"]
    if how == "memory":
        bytearray(1 << 30)
    elif how == "sleep":
        time.sleep(60)
    elif how == "spin":
        while True:
            pass
    elif how == "answer":
        raise ValueError("x" * 10_000)
    elif how == "exit":
        os._exit(3)
    else:
        os.kill(os.getpid(), getattr(signal, how))


def source(data: bytes = b"abc") -> Source:
    return Source("a.bin", len(data), io.BytesIO(data))


@pytest.fixture(autouse=True)
def on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([os.path.dirname(__file__), os.environ.get("PYTHONPATH", "")]))


def test_a_child_has_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    found = ask("test_child:rights", [source()])
    assert found["read"] == "616263"
    assert found["secret"] is None
    assert found["core"] == [0, 0]
    assert found["descriptors"] <= 6
    assert found["network"] == "Network is unreachable"
    if os.geteuid() == 0:
        assert found["user"] == 65534


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("memory", "more than 500 MiB of memory"),
        ("sleep", "not read within 2 seconds"),
        ("spin", "processor time"),
        ("answer", "cannot be read: x"),
        ("exit", "exit code 3"),
        ("SIGSEGV", "signal 11"),
    ],
)
def test_deaths_are_sentences(how: str, sentence: str) -> None:
    limits = Limits(seconds=2) if how == "sleep" else Limits(processor=1)
    with pytest.raises(UnreadableError, match=sentence) as raised:
        ask("test_child:die", [source()], {"how": how}, limits=limits)
    assert len(str(raised.value)) < 250


def test_damage_stays_damage() -> None:
    class Damaged(io.BytesIO):
        def read(self, _size: int | None = -1, /) -> bytes:
            raise DamageError("chunk 3 is damaged")

    with pytest.raises(DamageError, match="chunk 3"):
        ask("test_child:rights", [Source("a", 3, Damaged())])
