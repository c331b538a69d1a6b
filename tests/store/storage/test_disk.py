"""The seam to the operating system: short writes and reads, full disks, locks."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest

from artstore.errors import DamageError, OutOfSpaceError
from artstore.ids import Buffer
from artstore.storage import disk
from messages import raises


@pytest.mark.parametrize("most", [1, 3, 6, 9, 100])
def test_append_goes_on_after_short_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """Whatever the system takes at once, all of every buffer is written in order."""
    real = os.pwritev

    def shorter(fd: int, buffers: Sequence[Buffer], offset: int) -> int:
        return real(fd, [b"".join(buffers)[:most]], offset)

    monkeypatch.setattr(os, "pwritev", shorter)
    with (tmp_path / "file").open("w+b", buffering=0) as file:
        assert disk.append(file.fileno(), [b"hello ", bytearray(b"wor"), b"", memoryview(b"ld!")], 2) == 14
    assert (tmp_path / "file").read_bytes() == b"\0\0hello world!"


def test_append_takes_more_buffers_than_one_call_can(tmp_path: Path) -> None:
    """Thousands of buffers, empty ones among them, are written in order."""
    buffers = [b"%d" % number * (number % 3) for number in range(5000)]
    with (tmp_path / "file").open("w+b", buffering=0) as file:
        assert disk.append(file.fileno(), buffers, 0) == sum(map(len, buffers))
    assert (tmp_path / "file").read_bytes() == b"".join(buffers)


def test_reads_go_on_after_short_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All bytes come, and a file that ends before them is damage."""
    (tmp_path / "file").write_bytes(b"hello world!")
    real = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, size, offset: real(fd, min(size, 5), offset))
    with (tmp_path / "file").open("rb") as file:
        assert disk.read_exactly(file.fileno(), 11, 1) == b"ello world!"
        with raises(DamageError, names=["1 bytes"]):
            disk.read_exactly(file.fileno(), 12, 1)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_has_an_error_of_its_own(tmp_path: Path, code: int) -> None:
    """It names what was being written; other errors, and one that was translated already, pass."""
    with raises(OutOfSpaceError, names=[str(tmp_path), "a pack"]), disk.out_of_space(tmp_path, "a pack"):
        raise OSError(code, "full")
    with pytest.raises(PermissionError), disk.out_of_space(tmp_path, "a pack"):
        raise PermissionError(errno.EACCES, "no")
    with raises(OutOfSpaceError, names=["inner"]), disk.out_of_space(tmp_path, "outer"):
        raise OutOfSpaceError("inner")


def test_files_are_replaced_whole(tmp_path: Path) -> None:
    """The new content and mode are there, and nothing is left beside."""
    for data in (b"one", b"another"):
        disk.write_file(tmp_path, tmp_path / "file", data, 0o640)
        assert (tmp_path / "file").read_bytes() == data
        assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640
        assert os.listdir(tmp_path) == ["file"]


def test_preallocated_bytes_are_real(tmp_path: Path) -> None:
    """The file has its blocks, not a hole."""
    disk.preallocate(tmp_path, tmp_path / "reserve", 1 << 20, 0o600)
    status = (tmp_path / "reserve").stat()
    assert status.st_size == 1 << 20
    assert status.st_blocks * 512 >= 1 << 20
    assert disk.free_bytes(tmp_path) > 0


def test_locks(tmp_path: Path) -> None:
    """Shared ones go together; an exclusive one is alone."""
    path = tmp_path / "lock"
    path.touch()
    with path.open("r+b") as a, path.open("r+b") as b, path.open("r+b") as c:
        assert disk.try_lock(a.fileno(), shared=True)
        assert disk.try_lock(b.fileno(), shared=True)
        assert not disk.try_lock(c.fileno())
        a.close()
        b.close()
        assert disk.try_lock(c.fileno())
