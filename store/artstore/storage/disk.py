"""System calls on stored data, in one module, so that tests can inject faults.

Every write that must be ordered, or that may hit a full disk, goes through this module.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Final

from artstore import beneath, locate
from artstore.errors import ArtfsError, DamageError, DiskError, OutOfSpaceError, RefusedError
from artstore.ids import Buffer
from artstore.limits import raise_machine_error

__all__ = [
    "append",
    "free_bytes",
    "open_lock_file",
    "out_of_space",
    "own",
    "preallocate",
    "punch_hole",
    "read_exactly",
    "remove",
    "require_writable",
    "shorten",
    "sync_data",
    "sync_folder",
    "truncate",
    "try_lock",
    "unlock",
    "write_file",
]

_NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_VECTORS: Final = 1024
"""Buffers that the kernel takes in one call (IOV_MAX)."""


def free_bytes(folder: Path) -> int:
    """Return the bytes that an ordinary user can still write to the file system of ``folder``."""
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


def require_writable(workspace: Path) -> None:
    """Raise `RefusedError` if the workspace's file system is read-only as a whole."""
    if locate.is_on_read_only_disk(workspace):
        raise RefusedError(
            f"the workspace {workspace} is on a read-only file system and cannot be changed",
            hint="mount the file system writable, or copy the workspace to one that is",
        )


@contextmanager
def out_of_space(folder: Path, what: str) -> Iterator[None]:
    """Turn ENOSPC and EDQUOT inside the block into `OutOfSpaceError`, naming ``what`` was being written.

    EROFS becomes `RefusedError`, EIO `DiskError`, and a limit `LimitError`: the system's errors would name no file.
    """
    try:
        yield
    except ArtfsError:
        raise
    except OSError as error:
        if error.errno == errno.EROFS:
            raise RefusedError(
                f"{folder} is on a read-only file system: {what} cannot be written", hint="mount it writable"
            ) from error
        if error.errno == errno.EIO:
            raise DiskError(
                f"the disk of {folder} failed while {what} was being written: nothing was committed",
                hint="the system log may have details",
            ) from error
        raise_machine_error(error, f"{what} in {folder} cannot be written")
        if error.errno not in _NO_SPACE:
            raise
        raise OutOfSpaceError(
            f"no space left on the disk of {folder} while writing {what}",
            hint="free some space and run the command again: stored content is kept",
        ) from error


def append(fd: int, buffers: Iterable[Buffer], offset: int) -> int:
    """Write all ``buffers`` one after another at ``offset``; return the offset after them.

    The kernel takes up to `_VECTORS` of them in one call, without a copy that joins them.
    """
    rest = iter(buffers)
    while group := list(islice(rest, _VECTORS)):
        end = offset + sum(map(len, group))
        while offset < end:
            written = os.pwritev(fd, group, offset)
            offset += written
            if offset < end:
                group = _without(group, written)
    return offset


def _without(buffers: list[Buffer], size: int) -> list[Buffer]:
    """Return what is left of buffers without their first ``size`` bytes."""
    for index, buffer in enumerate(buffers):
        if size < len(buffer):
            return [memoryview(buffer)[size:], *buffers[index + 1 :]]
        size -= len(buffer)
    return []


def read_exactly(fd: int, size: int, offset: int) -> bytes:
    """Return ``size`` bytes at ``offset``; raise `DamageError` if the file ends before."""
    data = os.pread(fd, size, offset)
    while len(data) < size:
        more = os.pread(fd, size - len(data), offset + len(data))
        if not more:
            raise DamageError(f"a pack ends {size - len(data)} bytes before the end of a chunk")
        data += more
    return data


def sync_data(fd: int) -> None:
    """Make the file's bytes durable."""
    os.fdatasync(fd)


def sync_folder(root: Path, folder: Path | str = "") -> None:
    """Make the entries of a folder beneath ``root`` durable, or those of ``root``."""
    fd = beneath.open_folder(root, folder)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_file(root: Path, path: Path, data: bytes, mode: int, *, like: os.stat_result | None = None) -> None:
    """Create or replace a small file beneath ``root`` durably: write a temporary file, sync it, rename it.

    It gets the owner and group of ``like`` as far as this process may set them.

    The order matters: a rename that reaches the disk before the data would leave an empty file after a crash.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    beneath.remove(root, temporary, missing_ok=True)  # left by a killed process that had this number
    fd = beneath.open_file(root, temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        own(fd, mode, like)
        append(fd, [data], 0)
        os.fsync(fd)
    finally:
        os.close(fd)
    beneath.rename(root, temporary, path)
    sync_folder(root, path.parent)


def own(fd: int, mode: int, like: os.stat_result | None = None) -> None:
    """Set the mode of a file or folder, and the owner and group of ``like`` as far as this process may."""
    status = os.fstat(fd)
    if like is not None and (status.st_uid, status.st_gid) != (like.st_uid, like.st_gid):
        with suppress(PermissionError):  # files of a group member belong to that user; the group may write to them
            os.fchown(fd, like.st_uid, like.st_gid)
    os.fchmod(fd, mode)


def preallocate(root: Path, path: Path, size: int, mode: int) -> None:
    """Create a file beneath ``root`` with ``size`` bytes of real blocks."""
    fd = beneath.open_file(root, path, os.O_WRONLY | os.O_CREAT, mode)
    try:
        os.fchmod(fd, mode)
        os.posix_fallocate(fd, 0, size)
        os.fsync(fd)
    finally:
        os.close(fd)


_libc: Final = ctypes.CDLL(None, use_errno=True)
_KEEP_SIZE_PUNCH_HOLE: Final = 1 | 2


def punch_hole(fd: int, offset: int, length: int) -> bool:
    """Deallocate the blocks of bytes ``[offset, offset + length)``; return False if the file system cannot."""
    size, start = ctypes.c_int64(length), ctypes.c_int64(offset)
    while _libc.fallocate(fd, _KEEP_SIZE_PUNCH_HOLE, start, size) != 0:
        number = ctypes.get_errno()
        if number in (errno.EOPNOTSUPP, errno.ENOSYS):
            return False
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number))
    return True


def remove(root: Path, path: Path) -> None:
    """Remove a file and free its blocks at once, even if a process still has it open."""
    truncate(root, path)
    beneath.remove(root, path)
    sync_folder(root, path.parent)


def truncate(root: Path, path: Path) -> None:
    """Remove the content of a file and free its blocks."""
    os.close(beneath.open_file(root, path, os.O_WRONLY | os.O_TRUNC))


def shorten(root: Path, path: Path, size: int) -> None:
    """Free the blocks of a file past ``size`` bytes; do nothing if it is not longer."""
    with beneath.closing(beneath.open_file(root, path, os.O_WRONLY)) as fd:
        if os.fstat(fd).st_size > size:
            os.ftruncate(fd, size)


def open_lock_file(root: Path, path: Path, mode: int) -> int:
    """Open a lock file, creating it if it is missing; ``mode`` applies regardless of the umask.

    An existing one is opened without O_CREAT: the kernel refuses that for another user's file in a sticky folder
    (protected_regular).
    """
    while True:
        with suppress(FileNotFoundError):
            return beneath.open_file(root, path, os.O_RDWR)
        with suppress(FileExistsError):
            fd = beneath.open_file(root, path, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
            os.fchmod(fd, mode)
            return fd


def unlock(fd: int) -> None:
    """Release a flock at once, even if a forked child still holds the descriptor."""
    fcntl.flock(fd, fcntl.LOCK_UN)


def try_lock(fd: int, *, shared: bool = False) -> bool:
    """Take a flock without waiting; return whether it was had."""
    try:
        fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
