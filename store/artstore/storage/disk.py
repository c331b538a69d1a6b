"""System calls on stored data, in one module, so that tests can inject faults.

Every write that must be ordered, or that may hit a full disk, goes through this module.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from artstore import locate
from artstore.errors import ArtfsError, DamageError, OutOfSpaceError, RefusedError
from artstore.ids import Buffer

__all__ = [
    "append",
    "free_bytes",
    "open_lock_file",
    "out_of_space",
    "preallocate",
    "punch_hole",
    "read_exactly",
    "remove",
    "require_writable",
    "sync_data",
    "sync_folder",
    "try_lock",
    "unlock",
    "write_file",
]

_NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


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

    EROFS becomes `RefusedError`.  EIO becomes `DamageError`, because the system's error would name no file either.
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
            raise DamageError(
                f"the disk of {folder} failed while {what} was being written: nothing was committed",
                hint="the system log may have details",
            ) from error
        if error.errno not in _NO_SPACE:
            raise
        raise OutOfSpaceError(
            f"no space left on the disk of {folder} while writing {what}",
            hint="free some space and run the command again: stored content is kept",
        ) from error


def append(fd: int, buffers: Iterable[Buffer], offset: int) -> int:
    """Write all ``buffers`` one after another at ``offset``; return the offset after them."""
    for buffer in buffers:
        view = memoryview(buffer)
        while view.nbytes:
            written = os.pwrite(fd, view, offset)
            view = view[written:]
            offset += written
    return offset


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


def sync_folder(folder: Path) -> None:
    """Make the folder's entries durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_file(path: Path, data: bytes, mode: int) -> None:
    """Create or replace a small file durably: write a temporary file, sync it, rename it.

    The order matters: a rename that reaches the disk before the data would leave an empty file after a crash.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        os.fchmod(fd, mode)
        append(fd, [data], 0)
        os.fsync(fd)
    finally:
        os.close(fd)
    temporary.rename(path)
    sync_folder(path.parent)


def preallocate(path: Path, size: int, mode: int) -> None:
    """Create ``path`` with ``size`` bytes of real blocks."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, mode)
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


def remove(path: Path) -> None:
    """Remove a file and free its blocks at once, even if a process still has it open."""
    os.truncate(path, 0)
    path.unlink()
    sync_folder(path.parent)


def open_lock_file(path: Path, mode: int) -> int:
    """Open a lock file, creating it if it is missing; ``mode`` applies regardless of the umask."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except FileExistsError:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, mode)
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
