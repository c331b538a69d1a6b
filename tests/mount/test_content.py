"""What is read through a mount is what was put, by whatever system call or program."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import random
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from artfs.mount.control import status, unmount
from artstore.workspace import Workspace, init_workspace
from mount.conftest import Mounts

Folder = tuple[Path, Path]


def build(source: Path) -> None:
    """Make a folder of everything that a version can hold."""
    numbers = random.Random(1)
    (source / "sub" / "deep").mkdir(parents=True)
    (source / "empty dir").mkdir()
    (source / "empty").touch()
    (source / "one").write_bytes(b"1")
    (source / "with space").write_text("space")
    (source / "line\nbreak").write_text("newline")
    Path(os.fsdecode(os.fsencode(source) + b"/\xff\xfe")).write_text("not UTF-8")
    (source / ("n" * 255)).write_text("255 bytes")
    (source / "big").write_bytes(numbers.randbytes(5_000_003))
    (source / "text").write_bytes(b"all work and no play\n" * 200_000)
    (source / "run").write_text("#!/bin/sh\necho ran\n")
    (source / "run").chmod(0o755)
    with (source / "sparse").open("wb") as file:
        file.write(b"x")
        file.truncate(3_000_000)
    for number in range(400):
        (source / "sub" / f"{number:04}.bin").write_bytes(numbers.randbytes(number))
    (source / "sub" / "deep" / "er").write_text("deep")
    (source / "link").symlink_to("sub/deep/er")
    (source / "sub" / "up").symlink_to("../one")
    path = source / "nested"
    for _ in range(50):
        path = path / "d"
    path.mkdir(parents=True)
    (path / "bottom").write_text("bottom")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, transport: str) -> Iterator[Folder]:
    """Return (source, the same under a mount)."""
    folder = tmp_path_factory.mktemp("content")
    build(folder / "source")
    workspace = init_workspace(folder / "ws")
    version = workspace.put(folder / "source", "team/data")
    mounts = Mounts(workspace.path, folder, transport)
    yield folder / "source", Path(mounts().path(version))
    mounts.end()


def walk(folder: Path) -> dict[bytes, tuple[int, int, bytes]]:
    """Return path -> (type and executable bit, size, content) of everything below."""
    found = {}
    top = os.fsencode(folder)
    for directory, folders, files in os.walk(top):
        for name in folders + files:
            path = os.path.join(directory, name)
            status = os.lstat(path)
            kind = stat.S_IFMT(status.st_mode)
            if stat.S_ISLNK(status.st_mode):
                content = os.readlink(path)
            elif stat.S_ISREG(status.st_mode):
                content = Path(os.fsdecode(path)).read_bytes()
                kind |= status.st_mode & 0o100
                assert len(content) == status.st_size
            else:
                content = b""
            found[os.path.relpath(path, top)] = (kind, len(content), content)
    return found


def test_every_byte_agrees(folders: Folder) -> None:
    """Names, kinds, executable bits, link texts, sizes and contents are those of the source, and no more."""
    source, mounted = folders
    assert walk(mounted) == walk(source)


def test_attributes(folders: Folder) -> None:
    source, mounted = folders
    for name in (".", "one", "run", "sub", "empty dir", "link"):
        before, shown = (source / name).lstat(), (mounted / name).lstat()
        assert (shown.st_mode, shown.st_mtime_ns) == (before.st_mode, before.st_mtime_ns), name
        assert (shown.st_uid, shown.st_gid, shown.st_nlink) == (os.getuid(), os.getgid(), 1)
        assert shown.st_ctime_ns == mounted.stat().st_ctime_ns > before.st_mtime_ns
    assert (mounted / "sub" / "up").stat().st_ino == (mounted / "one").stat().st_ino
    assert os.statvfs(mounted).f_namemax == 255


def test_random_reads(folders: Folder) -> None:
    """Reads anywhere, of any length, also past the end, return what the source has there."""
    source, mounted = folders
    numbers = random.Random(2)
    for name in ("big", "text", "sparse"):
        with (source / name).open("rb") as expected, (mounted / name).open("rb") as found:
            end = os.fstat(expected.fileno()).st_size
            for _ in range(60):
                offset, length = numbers.randrange(end + 1000), numbers.choice([1, 100, 4096, 65536, 300_000])
                assert os.pread(found.fileno(), length, offset) == os.pread(expected.fileno(), length, offset)


def test_mmap(folders: Folder) -> None:
    source, mounted = folders
    with (
        (mounted / "big").open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
    ):
        assert mapped[:] == (source / "big").read_bytes()


def test_sendfile(folders: Folder, tmp_path: Path) -> None:
    source, mounted = folders
    with (mounted / "text").open("rb") as file, (tmp_path / "copy").open("wb") as copy:
        end = os.fstat(file.fileno()).st_size
        sent = 0
        while sent < end:
            sent += os.sendfile(copy.fileno(), file.fileno(), sent, end - sent)
    assert (tmp_path / "copy").read_bytes() == (source / "text").read_bytes()


def test_running_a_program(folders: Folder) -> None:
    assert subprocess.run([folders[1] / "run"], capture_output=True, check=True).stdout == b"ran\n"


class _Dirent(ctypes.Structure):
    _fields_ = (
        ("inode", ctypes.c_uint64),
        ("cookie", ctypes.c_int64),
        ("length", ctypes.c_ushort),
        ("kind", ctypes.c_ubyte),
        ("name", ctypes.c_char * 256),
    )


def test_telldir_and_seekdir(folders: Folder) -> None:
    """A position taken while reading a directory leads back to the same entries, in any order."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.opendir.restype = ctypes.c_void_p
    libc.readdir.restype = ctypes.POINTER(_Dirent)
    libc.telldir.restype = ctypes.c_long
    for function in (libc.readdir, libc.telldir, libc.closedir, libc.rewinddir):
        function.argtypes = [ctypes.c_void_p]
    libc.seekdir.argtypes = [ctypes.c_void_p, ctypes.c_long]
    opened = libc.opendir(os.fsencode(folders[1] / "sub"))
    assert opened
    try:
        positions, names = [], []
        while True:
            positions.append(libc.telldir(opened))
            entry = libc.readdir(opened)
            if not entry:
                break
            names.append(entry.contents.name)
        assert sorted(names) == sorted([b".", b"..", *map(os.fsencode, os.listdir(folders[0] / "sub"))])
        for index in random.Random(3).sample(range(len(names)), 60):
            libc.seekdir(opened, positions[index])
            assert libc.readdir(opened).contents.name == names[index]
        libc.rewinddir(opened)
        assert libc.readdir(opened).contents.name == b"."
    finally:
        libc.closedir(opened)


def test_find_tar_rsync_and_diff_agree(folders: Folder, tmp_path: Path) -> None:
    """The programs that people compare folders with see no difference."""
    source, mounted = folders

    def find(folder: Path) -> list[bytes]:
        found = subprocess.run(["find", ".", "-printf", r"%P %y %l\0"], cwd=folder, capture_output=True, check=True)
        return sorted(found.stdout.split(b"\0"))

    assert find(mounted) == find(source)
    assert subprocess.run(["diff", "-r", "--no-dereference", source, mounted], check=False).returncode == 0
    archive = tmp_path / "archive.tar"
    subprocess.run(["tar", "-cf", archive, "-C", mounted, "."], check=True)
    (tmp_path / "unpacked").mkdir()
    subprocess.run(["tar", "-xf", archive, "-C", tmp_path / "unpacked", "--no-same-permissions"], check=True)
    assert walk(tmp_path / "unpacked") == walk(source)
    if shutil.which("rsync"):
        options = ["-rlcn", "--delete", "--itemize-changes"]
        listed = subprocess.run(["rsync", *options, f"{source}/", f"{mounted}/"], capture_output=True, check=True)
        assert listed.stdout == b""


def test_names_that_cannot_be(folders: Folder) -> None:
    _, mounted = folders
    for folder in (mounted, mounted / "sub", mounted.parent, mounted.parents[2]):
        with pytest.raises(OSError) as caught:
            os.stat(folder / ("n" * 256))
        assert caught.value.errno == errno.ENAMETOOLONG
        with pytest.raises(FileNotFoundError):
            os.stat(folder / "absent")
        with pytest.raises(FileNotFoundError):
            os.stat(os.fsencode(folder) + b"/\xff")
    with pytest.raises(NotADirectoryError):
        os.stat(mounted / "one" / "x")


def test_writing_is_refused(folders: Folder) -> None:
    """Every attempt to change something fails with EROFS."""
    _, mounted = folders
    attempts: list[Callable[[], object]] = [
        lambda: os.open(mounted / "one", os.O_WRONLY),
        lambda: os.open(mounted / "one", os.O_RDWR),
        lambda: os.open(mounted / "new", os.O_WRONLY | os.O_CREAT),
        lambda: os.open(mounted.parent / "new", os.O_WRONLY | os.O_CREAT),
        lambda: os.truncate(mounted / "one", 0),
        lambda: os.unlink(mounted / "one"),
        lambda: os.rmdir(mounted / "empty dir"),
        lambda: os.mkdir(mounted / "new"),
        lambda: os.rename(mounted / "one", mounted / "two"),
        lambda: os.link(mounted / "one", mounted / "two"),
        lambda: os.symlink("one", mounted / "two"),
        lambda: os.chmod(mounted / "one", 0o777),
        lambda: os.chown(mounted / "one", 1, 1),
        lambda: os.utime(mounted / "one"),
        lambda: os.mkfifo(mounted / "fifo"),
        lambda: os.setxattr(mounted / "one", "user.x", b"1"),
        lambda: os.removexattr(mounted / "one", "user.artfs.digest"),
    ]
    for attempt in attempts:
        with pytest.raises(OSError) as caught:
            attempt()
        assert caught.value.errno == errno.EROFS


def test_extended_attributes(workspace: Workspace, mounts: Any, tmp_path: Path) -> None:
    from blake3 import blake3

    source = tmp_path / "source"
    source.mkdir()
    (source / "x").write_bytes(b"12345")
    version = workspace.put(source, "a", type="dataset", metadata={"k": 1}, description="d")
    mounted = mounts().path(version)
    assert os.getxattr(mounted, "user.artfs.digest").decode() == version.digest
    assert os.getxattr(mounted, "user.artfs.type") == b"dataset"
    assert os.getxattr(mounted, "user.artfs.metadata") == b'{"k": 1}'
    assert os.getxattr(mounted, "user.artfs.workspace").decode() == workspace.uuid
    assert os.getxattr(f"{mounted}/x", "user.artfs.digest").decode() == blake3(b"12345").hexdigest()
    assert os.listxattr(f"{mounted}/x") == os.listxattr(mounted) == [], "copies take none along"
    with pytest.raises(OSError) as caught:
        os.getxattr(f"{mounted}/x", "user.other")
    assert caught.value.errno == errno.ENODATA


def test_a_workspace_with_an_odd_path(tmp_path: Path, transport: str) -> None:
    """Paths may hold what the table of mounts and its options escape, and a mount point any bytes."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "x").write_text("odd")
    workspace = init_workspace(tmp_path / "w, s\\p\n\tü")
    version = workspace.put(source, "a")
    directory = Path(os.fsdecode(os.fsencode(tmp_path) + b"/m\xfe ,"))
    directory.mkdir()
    others = Mounts(workspace.path, tmp_path, transport)
    try:
        mounted = others(directory)
        assert Path(mounted.path(version), "x").read_text() == "odd"
        assert [(one.directory, one.state) for one in status(workspace.path)] == [(str(directory), "live")]
        unmount(directory)
    finally:
        others.end()
