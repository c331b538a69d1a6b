"""A file opened through the Python API: that of the `io` module, and what a purge of its version leaves of it."""

from __future__ import annotations

import io
import random
from pathlib import Path

import pytest

from artstore.errors import NotFoundError
from artstore.queries.versions import Version
from artstore.workspace import Workspace
from messages import raises

DATA = b"".join(b"line %d\n" % number for number in range(200_000))


@pytest.fixture
def version(workspace: Workspace, tmp_path: Path) -> Version:
    folder = tmp_path / "data"
    (folder / "below").mkdir(parents=True)
    (folder / "big").write_bytes(DATA)
    (folder / "below" / "kept").write_bytes(b"kept")
    return workspace.put(folder, "team/x")


def test_a_file_is_that_of_the_io_module(version: Version) -> None:
    """Seeking and reading in any order is what it is on a `BytesIO`."""
    chance = random.Random(1)
    model = io.BytesIO(DATA)
    with version.open("big") as file:
        assert file.readable() and file.seekable() and not file.writable()
        assert file.raw.name == "big"
        for _ in range(300):
            whence = chance.choice((io.SEEK_SET, io.SEEK_CUR, io.SEEK_END))
            offset = chance.randrange(-300_000, 300_000)
            try:
                expected = model.seek(offset, whence)
            except (ValueError, OSError):
                expected = None
            if expected is None or {0: 0, 1: model.tell(), 2: len(DATA)}[whence] + offset < 0:
                model.seek(file.tell())
                continue
            if whence == io.SEEK_CUR:
                assert file.seek(expected) == expected
            else:
                assert file.seek(offset, whence) == expected
            size = chance.choice((0, 1, 100, 70_000, 400_000))
            assert file.read(size) == model.read(size)
            assert file.tell() == model.tell()
        file.seek(5)
        buffer = bytearray(1000)
        assert file.readinto(buffer) == 1000 and buffer == DATA[5:1005]
        file.seek(0)
        assert file.readline() == b"line 0\n"
        assert sum(1 for _ in file) == 199_999
        assert file.read() == b""
        for position in (-1, -(10**9)):
            with pytest.raises((OSError, ValueError)):
                file.seek(position)
        raw = file.raw
    for call in (raw.tell, raw.readall, lambda: raw.seek(0), lambda: raw.readinto(bytearray(1))):
        with raises(ValueError, reason="closed file"):
            call()


def test_a_file_that_is_purged_while_it_is_open(workspace: Workspace, version: Version) -> None:
    """Its reader is told of the purge, not of damage; other files of the version stay readable."""
    with version.open("big") as purged, version.open("below/kept") as kept:
        workspace.purge("team/x:v0/big", reason="a test")
        with raises(NotFoundError, names=["big"]):
            purged.read()
        assert kept.read() == b"kept"


def test_a_version_that_is_purged_while_it_is_walked(workspace: Workspace, version: Version) -> None:
    """An object made before a purge shows the version as it is afterwards."""
    walk = version.walk()
    assert next(walk)[1:] == (["below"], ["big"])
    workspace.purge("team/x:v0/big", reason="a test")
    workspace.gc(now=True)
    assert list(walk) == [("below", [], ["kept"])]
    assert [each.name for each in version.listdir()] == ["below"]
    assert version.stat("below/kept").size == 4
    with raises(NotFoundError, names=["big"]):
        version.stat("big")
