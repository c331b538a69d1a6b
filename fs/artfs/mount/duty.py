"""The worker on duty, which waits for the next request: one worker, as long as one suffices.

The kernel gives a request to the worker that has waited longest.  The requests of one reader would rotate among all
workers, each of which has other records in memory and cold processor caches.  So only the worker on duty waits at the
device.  If requests are often waiting when it returns for the next one, another worker is needed: it hands the duty
over, and waits at the device together with the next one until requests are few again.

Guarantees: the duty is a lock that ends with its process, so that a killed worker blocks no other.  A stuck worker (a
disk that does not answer, a stopped process) blocks the others until `Relief` acts, within seconds.
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
"""The signal is ignored by a process that does not wait for its turn."""

_WAITED: Final = 2
_NOT_WAITED: Final = -1
_MOST: Final = 32
_CROWDED: Final = 4
"""The score of requests that had waited is above this if more than a third of recent requests did."""


class Duty:
    """Take requests in turns with the other workers of a mount; for a process without threads."""

    def __init__(self, lock: int, device: int) -> None:
        """Read from ``device``, a clone for this worker; share ``lock``, a file for this purpose only."""
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
    """Detect that requests wait and none is taken, and let the other workers take them; for a watching process."""

    def __init__(self, device: int, counters: Counters) -> None:
        """Watch ``device``, any clone of the mount's device."""
        self._poll = select.poll()
        self._poll.register(device, select.POLLIN)
        self._counters = counters
        self._taken = -1

    def look(self) -> bool:
        """Return whether requests wait; if they did at the last check, and none was taken since, relieve."""
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
