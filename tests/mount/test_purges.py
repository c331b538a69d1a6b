"""While files of a version are purged, no path ever shows another path's bytes, whatever is open, mapped or cached."""

from __future__ import annotations

import errno
import mmap
import os
import random
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from artstore.workspace import Workspace

FOLDERS = ("a", "b/c", "b/d", "e")
FILES = 12
LINES = 1000
GONE = {errno.ESTALE, errno.EIO, errno.ENOENT, errno.EFAULT}
"""What reading or finding something that an older inode stands for may end with; EFAULT is a mapped page's."""


def content_of(path: str) -> bytes:
    """Return content of several pages that tells its path everywhere."""
    return b"%-30s\n" % path.encode() * LINES


@pytest.fixture
def artifact(workspace: Workspace, mounts: Any, tmp_path: Path) -> Path:
    """Return an artifact of two versions; what is in both of them is purged from both, and a file is in v1 alone."""
    source = tmp_path / "source"
    for folder in FOLDERS:
        (source / folder).mkdir(parents=True)
        for number in range(FILES):
            (source / folder / f"{number:02}").write_bytes(content_of(f"{folder}/{number:02}"))
    workspace.put(source, "x")
    (source / "a" / "more").write_bytes(content_of("a/more"))
    workspace.put(source, "x")
    return Path(mounts().directory) / "x"


class Reader:
    """Reads of one version from several threads, in every way, each compared with what its path must have."""

    def __init__(self, version: Path, stack: ExitStack) -> None:
        self.paths = sorted(str(path.relative_to(version)) for path in version.rglob("*") if path.is_file())
        self.wrong: list[str] = []
        self.reads = self.errors = 0
        self._version = version
        self._files = {path: stack.enter_context((version / path).open("rb", buffering=0)) for path in self.paths}
        self._maps = {path: mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) for path, file in self._files.items()}
        self._folders = {folder: os.open(version / folder, os.O_RDONLY | os.O_DIRECTORY) for folder in FOLDERS}
        for descriptor in self._folders.values():
            stack.callback(os.close, descriptor)
        for path, file in self._files.items():
            assert file.read(10_000) == content_of(path)[:10_000]
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(3)]

    def __enter__(self) -> Reader:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, number: int) -> None:
        numbers = random.Random(number)
        ways = (self._read_open, self._read_open, self._read_mapped, self._read_below, self._read_path)
        while not self._stop.is_set():
            path = numbers.choice(self.paths)
            offset = numbers.randrange(0, 31 * LINES - 100)
            self._check(numbers.choice(ways), path, offset)

    def _check(self, way: Any, path: str, offset: int) -> None:
        try:
            found = way(path, offset)
        except OSError as error:
            self.errors += 1
            if error.errno not in GONE:
                self.wrong.append(f"{way.__name__} of {path}: {error}")
            return
        self.reads += 1
        if found != content_of(path)[offset : offset + len(found)] or not found:
            self.wrong.append(f"{way.__name__} of {path} at {offset}: {found[:40]!r}")

    def _read_open(self, path: str, offset: int) -> bytes:
        descriptor = self._files[path].fileno()
        if offset % 3 == 0:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        return os.pread(descriptor, 5000, offset)

    def _read_mapped(self, path: str, offset: int) -> bytes:
        """Read a mapped page by a system call, which fails where a program would be killed."""
        source, sink = os.pipe()
        try:
            os.write(sink, memoryview(self._maps[path])[offset : offset + 100])
            return os.read(source, 100)
        finally:
            os.close(source)
            os.close(sink)

    def _read_below(self, path: str, offset: int) -> bytes:
        """Read a name in a folder that has been open since before."""
        folder, _, name = path.rpartition("/")
        descriptor = os.open(name, os.O_RDONLY, dir_fd=self._folders[folder])
        try:
            return os.pread(descriptor, 100, offset)
        finally:
            os.close(descriptor)

    def _read_path(self, path: str, offset: int) -> bytes:
        with (self._version / path).open("rb", buffering=0) as file:
            assert os.fstat(file.fileno()).st_size == 31 * LINES
            return os.pread(file.fileno(), 100, offset)

    def check_all(self) -> None:
        """Read everything in every way, once more."""
        for path in self.paths:
            for way in (self._read_open, self._read_mapped, self._read_below, self._read_path):
                self._check(way, path, 3)
        assert self.wrong == []


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


def test_readers_beside_purges_see_their_own_files(workspace: Workspace, artifact: Path, stack: ExitStack) -> None:
    """In both versions, by open files, mapped pages, open folders and paths: their own bytes, or an error."""
    numbers = random.Random(5)
    with Reader(artifact / "v0", stack) as first, Reader(artifact / "v1", stack) as second:
        victims = numbers.sample(first.paths, 5)
        for victim in victims:
            workspace.purge(f"x:v0/{victim}", reason="private", everywhere=True)
    for reader, version in ((first, artifact / "v0"), (second, artifact / "v1")):
        reader.check_all()
        assert reader.reads and reader.errors
        for path in reader.paths:
            assert (version / path).exists() == (path not in victims)
            if path not in victims:
                assert (version / path).read_bytes() == content_of(path)


def test_another_version_is_not_disturbed(workspace: Workspace, artifact: Path, stack: ExitStack) -> None:
    """A purge of what one version has alone leaves the inodes, open files and pages of the other."""
    version = artifact / "v0"
    before = {path: path.lstat().st_ino for path in (version, *version.rglob("*"))}
    with Reader(version, stack) as reader:
        workspace.purge("x:v1/a/more", reason="private")
    reader.check_all()
    assert reader.reads and not reader.errors
    assert {path: path.lstat().st_ino for path in (version, *version.rglob("*"))} == before
    assert not (artifact / "v1/a/more").exists()


def test_an_older_inode_is_stale(workspace: Workspace, artifact: Path) -> None:
    """Neither attributes nor listings of before stay: a folder that is open has neither its old names nor others."""
    version = artifact / "v0"
    before = {path: path.lstat().st_ino for path in (version, *version.rglob("*"))}
    folder = os.open(version / "b", os.O_RDONLY | os.O_DIRECTORY)
    try:
        assert sorted(os.listdir(folder)) == ["c", "d"]
        workspace.purge("x:v0/a/03", reason="private", everywhere=True)
        for name in ("c", "d", "00"):
            with pytest.raises(OSError) as caught:
                os.stat(name, dir_fd=folder)
            assert caught.value.errno in (errno.ESTALE, errno.ENOENT)
    finally:
        os.close(folder)
    after = {path: path.lstat().st_ino for path in (version, *version.rglob("*"))}
    assert before.keys() - after.keys() == {version / "a/03"}
    assert not set(before.values()) & set(after.values())
