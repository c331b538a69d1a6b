"""Reports of progress while a source is read."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Final

from artstore.ingest.source import FileEntry, LinkEntry, Source
from artstore.progress import Progress

__all__ = ["reporter"]

_PROGRESS_SECONDS: Final = 0.1


def reporter(source: Source, progress: Callable[[Progress], None] | None) -> Callable[[int, int, bytes], None] | None:
    """Return what tells ``progress`` a few times a second how far the reading of a source is; counts what is in it."""
    return None if progress is None else _Reporter(progress, *_count(source, progress))


def _count(source: Source, progress: Callable[[Progress], None]) -> tuple[int, int]:
    """Walk the source once for the totals that a progress bar shows; return (files, bytes)."""
    files = size = 0
    next_report = 0.0
    for event in source.walk():
        if isinstance(event, FileEntry | LinkEntry):
            files += 1
            if isinstance(event, FileEntry):
                size += event.size
            if time.monotonic() >= next_report:
                next_report = time.monotonic() + _PROGRESS_SECONDS
                progress(Progress("scan", files, size, None, None, os.fsdecode(event.name)))
    return files, size


class _Reporter:
    """Pass progress on, a few times a second."""

    def __init__(self, progress: Callable[[Progress], None], files: int, size: int) -> None:
        self._progress = progress
        self._files = files
        self._size = size
        self._next = 0.0

    def __call__(self, files: int, size: int, name: bytes) -> None:
        if time.monotonic() >= self._next or files == self._files:
            self._next = time.monotonic() + _PROGRESS_SECONDS
            self._progress(Progress("put", files, size, self._files, self._size, os.fsdecode(name)))
