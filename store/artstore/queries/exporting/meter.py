"""Counting the work of an export's threads, and reporting it a few times a second from the caller's thread."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Final

from artstore.progress import Progress

__all__ = ["Meter"]

_SECONDS: Final = 0.1


class Meter:
    """Count files and bytes of one phase towards known totals."""

    def __init__(self, phase: str, files: int, size: int, progress: Callable[[Progress], None] | None) -> None:
        self._phase = phase
        self._totals = files, size
        self._progress = progress
        self._lock = threading.Lock()
        self._files = self._bytes = 0
        self._current = b""
        self._next = 0.0

    def count(self, files: int, size: int, name: bytes) -> None:
        """Count finished work; called by any thread."""
        with self._lock:
            self._files += files
            self._bytes += size
            self._current = name

    def report(self, *, last: bool = False) -> None:
        """Pass on how far it is, unless that was done a moment ago; called by the caller's thread alone."""
        if self._progress is None or (time.monotonic() < self._next and not last):
            return
        self._next = time.monotonic() + _SECONDS
        with self._lock:
            state = Progress(self._phase, self._files, self._bytes, *self._totals, os.fsdecode(self._current))
        self._progress(state)
