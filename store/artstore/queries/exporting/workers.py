"""The threads of an export: a bounded number of tasks, which all end early when one fails or the user interrupts."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Final

from artstore.interrupts import checkpoint

__all__ = ["StoppedError", "Workers"]

_THREADS: Final = 8
_PROGRESS_SECONDS: Final = 0.1


class Workers:
    """Run tasks on threads; leaving the ``with`` block ends those that are still running and waits for them."""

    def __init__(self) -> None:
        self._count = min(_THREADS, max(2, os.cpu_count() or 1))
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(self._count, thread_name_prefix="artfs-get")
        self._running: deque[Future[None]] = deque()

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """End the tasks that are still running, and wait for them."""
        self._stop.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def submit(self, task: Callable[[], None], meanwhile: Callable[[], None]) -> None:
        """Start a task; if enough are running, wait for the oldest first and raise its exception."""
        self._running.append(self._pool.submit(task))
        if len(self._running) >= 4 * self._count:
            self._wait(meanwhile)

    def finish(self, meanwhile: Callable[[], None]) -> None:
        """Wait for all tasks, calling ``meanwhile`` now and then."""
        while self._running:
            self._wait(meanwhile)

    def _wait(self, meanwhile: Callable[[], None]) -> None:
        oldest = self._running.popleft()
        meanwhile()
        while not wait([oldest], _PROGRESS_SECONDS).done:
            checkpoint()
            meanwhile()
        oldest.result()

    def check(self) -> None:
        """End the calling task if the whole export is being cancelled."""
        if self._stop.is_set():
            raise StoppedError


class StoppedError(Exception):
    """Raised when a task was ended because another failed or the user interrupted it."""
