"""Leases: locks by which readers of the Python API mark open versions, and runs mark that they are alive.

A reader takes a shared lock on the byte of ``run/leases`` whose offset is the version's serial, and then checks that
the version still exists.  The reaper tests whether it could lock that byte exclusively.  A run locks the byte of
``run/runs`` at its number.  Mounts have leases of their own: `artstore.mount_leases`.
"""

from __future__ import annotations

import errno
import os
from typing import Final

from artstore import beneath, byte_locks
from artstore.errors import BusyError, RefusedError
from artstore.storage import disk
from artstore.store import Store

__all__ = ["RUNS", "Lease", "is_held"]

_NOT_WRITABLE: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


VERSIONS: Final = "leases"
RUNS: Final = "runs"


class Lease:
    """Keep a version's content from being reaped, or mark a run as alive, until `close` or the process's end."""

    __slots__ = ("_fd",)

    def __init__(self, store: Store, number: int, file: str = VERSIONS) -> None:
        self._fd = -1
        try:
            self._fd = _open(store, file)
            byte_locks.share(self._fd, number)
        except RefusedError:
            raise
        except BlockingIOError:  # no process of ours locks it exclusively
            self.close()
            raise BusyError(f"another program has locked {store.run_dir / file}", hint="find it with: fuser") from None
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
        try:
            self.close()
        except KeyboardInterrupt:  # which a finaliser would lose, and the descriptor with it
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
        return byte_locks.is_shared_by_others(fd, number)
    finally:
        os.close(fd)
