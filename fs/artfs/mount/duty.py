"""Which worker waits for the next request: one of them, as long as one suffices.

The kernel gives a request to the worker that has waited longest.  One reader's requests would go around all workers,
each of which has other records in its memory and nothing in its processor's caches.  So only the worker on duty waits
at the device.  Where requests often wait already when it comes back for the next one, there is work for another: it
hands the duty over, and waits at the device beside the next until requests are few again.

Guarantees: a lock that ends with its process says who is on duty, so that a killed worker leaves nobody waiting.  One
that is stuck (a disk that does not answer, a stopped process) leaves others waiting until `Relief` comes, in seconds.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
from collections.abc import Callable, Sequence
from typing import Final

from artfs.mount.counters import Counters, Field

__all__ = ["Duty", "Relief", "Take"]

Take = Callable[[Sequence[memoryview]], int]
"""Wait for a request, read it into buffers, and return its length; raise OSError as readv does."""

_RELIEVE: Final = signal.SIGURG
"""Ignored by a process that does not wait for its turn."""

_WAITED: Final = 2
_NOT_WAITED: Final = -1
_MOST: Final = 32
_CROWDED: Final = 4
"""The score of requests that had waited is above this where more than every third lately did."""


class Duty:
    """Take requests in turns with the other workers of a mount; for a process without threads."""

    def __init__(self, lock: int, device: int) -> None:
        """Read from ``device``, a clone for this worker; share ``lock``, a file that is there for this alone."""
        self._lock = lock
        self._device = device
        self._poll = select.poll()
        self._poll.register(device, select.POLLIN)
        self._score = 0
        self._held = False
        self._waiting = False
        signal.signal(_RELIEVE, lambda number, frame: self._relieve())

    def read(self, buffers: Sequence[memoryview]) -> int:
        """Wait for a request, read it into ``buffers`` and return its length; raise OSError as readv does."""
        waited = bool(self._poll.poll(0))
        self._score = min(max(self._score + (_WAITED if waited else _NOT_WAITED), 0), _MOST)
        if self._score > _CROWDED:
            if self._held:
                self._held = False
                fcntl.lockf(self._lock, fcntl.LOCK_UN)
        elif not (self._held or waited):
            self._take()
        return os.readv(self._device, buffers)

    def _take(self) -> None:
        self._waiting = True
        try:
            fcntl.lockf(self._lock, fcntl.LOCK_EX)
            self._held = True
        except _Relieved:
            self._held = False
            self._score = _MOST
            fcntl.lockf(self._lock, fcntl.LOCK_UN)
        finally:
            self._waiting = False

    def _relieve(self) -> None:
        if self._waiting:
            self._waiting = False
            raise _Relieved


class _Relieved(Exception):
    """Raised when the worker on duty is stuck."""


class Relief:
    """Notice that requests wait and none is taken, and let the others take them; for a process that watches."""

    def __init__(self, device: int, counters: Counters) -> None:
        """Look at ``device``, any clone of the mount's."""
        self._poll = select.poll()
        self._poll.register(device, select.POLLIN)
        self._counters = counters
        self._taken = -1

    def look(self) -> bool:
        """Return whether requests wait; where they did at the last look, and none was taken since, relieve."""
        taken = self._counters.total(Field.REQUESTS)
        before, self._taken = self._taken, taken
        if [events for _, events in self._poll.poll(0)] != [select.POLLIN]:
            self._taken = -1
            return False
        if before == taken:
            for slot in range(self._counters.slots):
                pid = self._counters.slot(slot).get(Field.PID)
                if pid:
                    with contextlib.suppress(OSError):  # it ended a moment ago
                        os.kill(pid, _RELIEVE)
        return True
