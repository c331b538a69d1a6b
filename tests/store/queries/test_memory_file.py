"""A small file opened through the Python API is in memory: what it promises beside a file of the `io` module."""

from __future__ import annotations

import io
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from artstore.errors import DamageError
from artstore.queries.content_file import ContentFile
from artstore.queries.memory_file import MemoryFile
from artstore.queries.versions import Version
from artstore.reclaim.leases import is_held
from artstore.storage.packs import pack_path
from artstore.workspace import Workspace

SIZES = (0, 1, 100, 65_535, 65_536, 65_537, 128 * 1024, 128 * 1024 + 1, 400_000)


def content_of(size: int) -> bytes:
    return random.Random(size).randbytes(size // 2).ljust(size, b"\n")


@pytest.fixture
def version(workspace: Workspace, tmp_path: Path) -> Version:
    folder = tmp_path / "data"
    folder.mkdir()
    for size in SIZES:
        (folder / str(size)).write_bytes(content_of(size))
    return workspace.put(folder, "x")


@pytest.mark.parametrize("size", SIZES)
def test_a_file_of_any_size_is_that_of_the_io_module(version: Version, size: int) -> None:
    """The same steps on a file of the version and on a plain one give the same, the first time and again."""
    for turn in range(2):
        chance = random.Random(turn)
        plain = io.BufferedReader(io.FileIO(os.memfd_create("plain"), "w+"))
        os.write(plain.fileno(), content_of(size))
        plain.seek(0)
        with plain, version.open(str(size)) as file:
            assert isinstance(file, io.BufferedReader)
            assert (file.readable(), file.writable(), file.seekable()) == (True, False, True)
            assert (file.raw.name, file.raw.size) == (str(size), size)
            for _ in range(60):
                step = chance.randrange(5)
                if step == 0:
                    place = chance.randrange(size + 10)
                    assert file.seek(place) == plain.seek(place)
                elif step == 1:
                    assert file.readline() == plain.readline()
                elif step == 2:
                    into, same = bytearray(300), bytearray(300)
                    assert file.readinto(into) == plain.readinto(same) and into == same
                elif step == 3:
                    assert file.seek(-min(size, 9), io.SEEK_END) == plain.seek(-min(size, 9), io.SEEK_END)
                else:
                    length = chance.choice((-1, 0, 1, 1000, 200_000))
                    assert file.read(length) == plain.read(length)
                assert file.tell() == plain.tell()
            for call in (lambda: file.write(b"x"), lambda: file.truncate(0), file.fileno):
                with pytest.raises(io.UnsupportedOperation):
                    call()


def test_only_small_files_are_in_memory(version: Version) -> None:
    for size in SIZES:
        with version.open(str(size)) as file:
            assert isinstance(file.raw, MemoryFile if size <= 128 * 1024 else ContentFile)
            if isinstance(file.raw, MemoryFile):
                for change in (lambda: file.raw.write(b"x"), lambda: file.raw.truncate(0)):
                    with pytest.raises(io.UnsupportedOperation):
                        change()


@pytest.fixture
def held(version: Version) -> Iterator[io.BufferedReader]:
    with version.open("100") as file:
        yield file


def test_the_version_is_in_use_until_the_file_is_closed(
    workspace: Workspace, version: Version, held: io.BufferedReader
) -> None:
    """The content of a deleted version stays, and the reaper still counts its readers."""
    serial = version.record.serial
    workspace.delete("x:v0", now=True)
    workspace.gc(now=True)
    assert is_held(workspace.store, serial) and held.read() == content_of(100)
    held.close()
    assert not is_held(workspace.store, serial)
    workspace.gc(now=True)
    assert workspace.usage().deadlist_bytes == 0


def test_a_file_that_nothing_refers_to_any_more_ends_its_lease(workspace: Workspace, version: Version) -> None:
    serial = version.record.serial
    file = version.open("100")
    assert is_held(workspace.store, serial)
    del file
    assert not is_held(workspace.store, serial)


def test_damage_is_raised_by_the_reading(workspace: Workspace, version: Version) -> None:
    """Opening a damaged file succeeds, small or large, known or not, as it does under a mount."""
    with workspace.store.snapshot() as snapshot:
        chunk = version._chunk(snapshot, "65535")[0]
    assert chunk is not None
    with pack_path(workspace.path, chunk.extent.pack).open("r+b") as pack:
        pack.seek(chunk.extent.offset + 7)
        pack.write(b"damage")
    for _ in range(2):
        with version.open("65535") as file, pytest.raises(DamageError):
            file.read()
        with pytest.raises(DamageError):
            version.read_bytes("65535")
    assert not is_held(workspace.store, version.record.serial)
