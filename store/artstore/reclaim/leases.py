"""Leases: locks by which readers of the Python API mark open versions, and runs mark that they are alive.

A reader takes a shared lock on the byte of ``run/leases`` whose offset is the version's serial, and then checks that
the version still exists.  The reaper tests whether it could lock that byte exclusively.  A run locks the byte of
``run/runs`` at its number.  Mounts have leases of their own: `artstore.mount_leases`.

Each lease is a lock of an open file of its own.  When one of a version ends, its file stays open without a lock, for
the next: most files of a data set are open for microseconds.  A lease from before a fork is of an open file that parent
and child share, and it lasts until both have closed it; so it is closed, never unlocked.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from artstore import beneath, byte_locks
from artstore.errors import BusyError, RefusedError
from artstore.records.catalogue import RunRecord
from artstore.storage import disk
from artstore.storage.environment import on_close
from artstore.store import Store

__all__ = ["RUNS", "Lease", "is_held", "run_state"]

_NOT_WRITABLE: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


VERSIONS: Final = "leases"
RUNS: Final = "runs"


_MOST_SPARES: Final = 8

_Spare = tuple[int, tuple[int, int]]
"""A descriptor of a file of leases that is open without locks, and the stamp of the file."""
_spares: dict[str, list[_Spare]] = {}
_forks = 0


class Lease:
    """Keep a version's content from being reaped, or mark a run as alive, until `close` or the process's end."""

    __slots__ = ("_fd", "_forks", "_number", "_path", "_stamp")

    def __init__(self, store: Store, number: int, file: str = VERSIONS) -> None:
        self._fd = -1
        self._forks = _forks  # first: a fork after this line keeps the file from being used again
        self._number = number
        self._path = f"{store.path}/run/{file}"
        try:
            self._fd, self._stamp = _spare(self._path) or _open(store, file)
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
        if self._fd < 0:
            return
        spares = _spares.setdefault(self._path, [])
        if self._forks == _forks and len(spares) < _MOST_SPARES:
            byte_locks.unlock(self._fd, self._number)
            fd, self._fd = self._fd, -1
            spares.append((fd, self._stamp))
        else:
            self._end()

    def _end(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __del__(self) -> None:
        try:
            self._end()
        except KeyboardInterrupt:  # which a finaliser would lose, and the descriptor with it
            self._end()


def _open(store: Store, file: str) -> _Spare:
    """Open the file, to read if it cannot be written: a shared lock needs no more."""
    path = store.run_dir / file
    try:
        fd = disk.open_lock_file(store.path, path, store.file_mode)
    except OSError as error:
        if error.errno not in _NOT_WRITABLE:
            raise
        try:
            fd = beneath.open_file(store.path, path)
        except FileNotFoundError:
            raise error from None
    status = os.fstat(fd)
    return fd, (status.st_ino, status.st_mtime_ns)


def _spare(path: str) -> _Spare | None:
    """Return an open file that another lease has left, if it is still the one at the path."""
    spares = _spares.get(path)
    while spares:
        try:
            spare = spares.pop()
        except IndexError:  # another thread has taken it
            break
        with suppress(OSError):
            if beneath.stamp(path) == spare[1]:
                return spare
        os.close(spare[0])
    return None


def _close_spares(_workspace: Path | None = None) -> None:
    for spares in list(_spares.values()):
        while spares:
            with suppress(IndexError):
                os.close(spares.pop()[0])


def _after_fork() -> None:
    global _forks
    _forks += 1
    _close_spares()


on_close.append(_close_spares)
os.register_at_fork(after_in_child=_after_fork, after_in_parent=_after_fork)


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


def run_state(store: Store, record: RunRecord) -> str:
    """Return ``running``, ``finished``, ``failed``, or ``crashed`` for a run that was killed.

    A run of another machine, which has no pid here, is what it was when it was pushed.
    """
    is_here = record.state == "running" and record.pid != 0
    return "crashed" if is_here and not is_held(store, record.number, RUNS) else record.state
