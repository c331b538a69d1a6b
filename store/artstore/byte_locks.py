"""Locks on ranges of a file's bytes that belong to an open file, not to a process (open file description locks).

They are inherited by forked children, end with the last descriptor of the open file, and conflict with those of other
open files only.  The bytes need not exist.
"""

from __future__ import annotations

import fcntl
import os
import struct
from typing import Final

__all__ = ["is_shared_by_others", "share", "unlock"]

_FLOCK: Final = struct.Struct("hhqqi4x")


def share(fd: int, start: int, length: int = 1) -> None:
    """Take a shared lock; raise BlockingIOError if another open file has an exclusive one."""
    fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _request(fcntl.F_RDLCK, start, length))


def unlock(fd: int, start: int, length: int = 1) -> None:
    """Release what this open file has locked in a range; nothing else happens."""
    fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _request(fcntl.F_UNLCK, start, length))


def is_shared_by_others(fd: int, start: int, length: int = 1) -> bool:
    """Return whether any other open file has a lock on a byte of a range."""
    found = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _request(fcntl.F_WRLCK, start, length))
    return bool(_FLOCK.unpack(found)[0] != fcntl.F_UNLCK)


def _request(kind: int, start: int, length: int) -> bytes:
    return _FLOCK.pack(kind, os.SEEK_SET, start, length, 0)
