"""Leases: readers of the Python API say which versions they have open.

A reader holds a shared lock on the byte of ``run/leases`` whose offset is the version's serial, and then looks whether
the version is still there; the reaper asks whether it could lock that byte alone.  The locks are those of an open file
description: they belong to no process or thread, pass to forked children, and end with the last descriptor.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from pathlib import Path
from typing import Final

from artstore import disk
from artstore.store import Store

__all__ = ["Lease", "is_held"]

_FLOCK: Final = struct.Struct("hhqqi4x")


def _path(run_dir: Path) -> Path:
    return run_dir / "leases"


def _request(kind: int, serial: int) -> bytes:
    return _FLOCK.pack(kind, os.SEEK_SET, serial, 1, 0)


class Lease:
    """Keep a version's content from being reaped until `close`, or until the process ends."""

    __slots__ = ("_fd",)

    def __init__(self, store: Store, serial: int) -> None:
        self._fd = -1
        try:
            self._fd = disk.open_lock_file(_path(store.run_dir), store.file_mode)
            # A reader may wait for a moment: for a reaper that is just asking.
            fcntl.fcntl(self._fd, fcntl.F_OFD_SETLKW, _request(fcntl.F_RDLCK, serial))
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise
            self.close()  # a workspace that is only ours to read: its owner's reaper does not hear of us

    def close(self) -> None:
        """Let the version go."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __del__(self) -> None:
        self.close()


def is_held(store: Store, serial: int) -> bool:
    """Return whether any process has the version with a serial open through the Python API."""
    try:
        fd = os.open(_path(store.run_dir), os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        found = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _request(fcntl.F_WRLCK, serial))
    finally:
        os.close(fd)
    return bool(_FLOCK.unpack(found)[0] != fcntl.F_UNLCK)
