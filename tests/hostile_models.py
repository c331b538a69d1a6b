"""Hostile payloads of libraries' own formats: for each format a table of changes, each of which must be refused.

What every format must refuse, whatever it is, is in `of_any_format`.
"""

from __future__ import annotations

import io
import os
import pickle
import random
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from artfs.registry.serializers import deserialize
from artstore.errors import ArtfsError

Change = Callable[[bytes], bytes]


class Runs:
    """Makes a folder when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.path = str(canary)

    def __reduce__(self) -> Any:
        return os.mkdir, (self.path,)


def refused(data: bytes, format_name: str) -> str:
    """Check that a payload is refused by one error of ours, of one sentence; return its kind."""
    with pytest.raises(ArtfsError) as caught:
        deserialize(io.BytesIO(data), format_name)
    assert isinstance(caught.value, ValueError | PermissionError)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
    return caught.value.kind


def of_any_format(data: bytes, canary: Path) -> Iterator[tuple[str, bytes]]:
    """Yield (name, payload) of what no format has."""
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", bytes(10**7))
        archive.writestr("../canary", b"")
    yield "nothing", b""
    yield "a pickle", pickle.dumps(Runs(canary))
    yield "a text pickle", pickle.dumps(Runs(canary), protocol=0)
    yield "a pickle after it", data + pickle.dumps(Runs(canary))
    yield "an archive", bomb.getvalue()
    yield "noise", random.Random(1).randbytes(5000)
    yield "zeros", bytes(5000)
    for part in (0.1, 0.5, 0.9):
        yield f"{part} of it", data[: int(len(data) * part)]


def flips(data: bytes, count: int, seed: int = 1) -> Iterator[bytes]:
    """Yield payloads with one bit changed."""
    numbers = random.Random(seed)
    for _ in range(count):
        place = numbers.randrange(len(data))
        yield data[:place] + bytes([data[place] ^ (1 << numbers.randrange(8))]) + data[place + 1 :]


def replaced(old: str, new: str, count: int = 1) -> Change:
    """Return a change of a text that matches a pattern, which must occur."""

    def change(data: bytes) -> bytes:
        changed, found = re.subn(old.encode(), new.encode(), data, count=count)
        assert found, old
        return changed

    return change
