"""The turn to write: a lock that a process takes before LMDB's, so that waiting for it ends.

LMDB waits for its own lock without limit, and a suspended process that holds it would suspend all others.  This one is
a POSIX lock on a byte of ``manifest.N/lease``: the kernel tells whose it is, releases it when that process ends, and
gives none to a forked child.  LMDB's lock alone keeps writers apart: if this one is lost, waiting has no limit, and
nothing else is different.
"""

from __future__ import annotations

import fcntl
import os
import struct
import threading
import time
from pathlib import Path
from typing import Final

from artstore.daemons import is_suspended, user_name
from artstore.errors import BusyError

__all__ = ["WriteTurn"]

_SUSPENDED_SECONDS: Final = 3.0
"""How long a writer must have been suspended before others give up."""
_LONGEST_SECONDS: Final = 600.0
_QUICK_SECONDS, _LOOK_SECONDS = 0.5, 0.1
_SHORT_PAUSE, _LONG_PAUSE = 0.0005, 0.005
_FLOCK: Final = struct.Struct("hhqqi4x")


class WriteTurn:
    """The turn of this process, for all its threads, in one environment."""

    def __init__(self, workspace: Path, lease: int) -> None:
        """Lock ``lease``, which must be open for writing."""
        self._workspace = workspace
        self._lease = lease
        self._holders = 0
        self._lock = threading.Lock()

    def take(self) -> None:
        """Take the turn, or share that of another thread, which LMDB keeps apart.

        Raises `BusyError` naming the process that has it, once that has been suspended for some seconds.
        """
        with self._lock:
            if not self._holders:
                self._wait()
            self._holders += 1

    def end(self) -> None:
        """End the turn, unless another thread shares it."""
        with self._lock:
            self._holders -= 1
            if not self._holders and self._lease >= 0:
                fcntl.lockf(self._lease, fcntl.LOCK_UN, 1, 0)

    def close(self) -> None:
        """Forget the file, which the caller closes."""
        with self._lock:
            self._lease = -1

    def _wait(self) -> None:
        begun = time.monotonic()
        running = look = begun + _QUICK_SECONDS
        while not self._try():
            now = time.monotonic()
            if now >= look:  # most turns last less than a look at the process that has it
                look = now + _LOOK_SECONDS
                pid = self._holder()
                if not is_suspended(pid):
                    running = now
                if now - running > _SUSPENDED_SECONDS or now - begun > _LONGEST_SECONDS:
                    raise self._busy(pid)
            time.sleep(_SHORT_PAUSE if now < begun + _QUICK_SECONDS else _LONG_PAUSE)

    def _try(self) -> bool:
        try:
            fcntl.lockf(self._lease, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 0)
        except (BlockingIOError, PermissionError):
            return False
        return True

    def _holder(self) -> int:
        found = fcntl.fcntl(self._lease, fcntl.F_GETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 1, 0))
        return int(_FLOCK.unpack(found)[4])

    def _busy(self, pid: int) -> BusyError:
        try:
            owner = f" of {user_name(os.stat(f'/proc/{pid}').st_uid)}"
        except OSError:
            owner = ""
        if is_suspended(pid):
            return BusyError(
                f"process {pid}{owner} is suspended while it changes the workspace {self._workspace}",
                hint=f"'kill -CONT {pid}' resumes it",
            )
        return BusyError(f"process {pid}{owner} has been changing the workspace {self._workspace} for ten minutes")
