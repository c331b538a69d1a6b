"""Leases: locks by which readers of the Python API mark open versions, and runs mark that they are alive.

A reader takes a shared lock on the byte of ``run/leases`` whose offset is the version's serial, and then checks that
the version still exists.  The reaper tests whether it could lock that byte exclusively.  A run locks the byte of
``run/runs`` at its number.  They are open file description locks: they belong to no process or thread, are inherited by
forked children, and end with the last descriptor.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from typing import Final

from artstore import beneath
from artstore.errors import RefusedError
from artstore.storage import disk
from artstore.store import Store

__all__ = ["RUNS", "Lease", "is_held"]

_FLOCK: Final = struct.Struct("hhqqi4x")
_NOT_WRITABLE: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


VERSIONS: Final = "leases"
RUNS: Final = "runs"


def _request(kind: int, number: int) -> bytes:
    return _FLOCK.pack(kind, os.SEEK_SET, number, 1, 0)


class Lease:
    """Keep a version's content from being reaped, or mark a run as alive, until `close` or the process's end."""

    __slots__ = ("_fd",)

    def __init__(self, store: Store, number: int, file: str = VERSIONS) -> None:
        self._fd = -1
        try:
            self._fd = _open(store, file)
            # Wait: a reaper that tests this byte may hold its lock for a moment.
            fcntl.fcntl(self._fd, fcntl.F_OFD_SETLKW, _request(fcntl.F_RDLCK, number))
        except RefusedError:
            raise
        except OSError as error:
            if error.errno not in _NOT_WRITABLE:
                raise
            self.close()  # no file can be made, and a reaper does not see this reader

    def close(self) -> None:
        """Release the lease."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __del__(self) -> None:
        self.close()


def _open(store: Store, file: str) -> int:
    """Open the file, to read if it cannot be written: a shared lock needs no more."""
    try:
        return disk.open_lock_file(store.path, store.run_dir / file, store.file_mode)
    except OSError as error:
        if error.errno not in _NOT_WRITABLE:
            raise
        try:
            return beneath.open_file(store.path, store.run_dir / file)
        except FileNotFoundError:
            raise error from None


def is_held(store: Store, number: int, file: str = VERSIONS) -> bool:
    """Return whether any process holds the lease of a version (by serial) or run (by number)."""
    try:
        fd = beneath.open_file(store.path, store.run_dir / file)
    except FileNotFoundError:
        return False
    try:
        lock = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _request(fcntl.F_WRLCK, number))
    finally:
        os.close(fd)
    return bool(_FLOCK.unpack(lock)[0] != fcntl.F_UNLCK)
