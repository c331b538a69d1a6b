"""Reads that wait for an outside service: each runs in its own thread and is answered when it ends.

The worker serves everything else meanwhile.  An answer must be written to the clone of the device that the request was
read from; any thread of the worker may write to it.
"""

from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from artfs.mount.counters import WorkerCounts
from artfs.mount.transports import protocol
from artfs.mount.transports.answering import number_of
from artfs.mount.tree import Fetch

__all__ = ["Waiting"]

_AT_ONCE: Final = 64
"""Largest number of concurrent waiting reads of one worker; further reads are queued."""
_NOBODY: Final = frozenset({errno.ENOENT, errno.ENODEV, errno.ECONNABORTED})
"""The requesting process was killed, or the mount has ended."""


class Waiting:
    """Answer slow reads on ``device``; the threads are started at the first one."""

    def __init__(self, device: int, counts: WorkerCounts) -> None:
        self._device = device
        self._counts = counts
        self._threads: ThreadPoolExecutor | None = None

    def read(self, unique: int, fetch: Fetch) -> None:
        """Answer the request ``unique`` with the result of ``fetch``, or with the errno of its exception."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_AT_ONCE, "artfs-fetch")
        self._threads.submit(self._answer, unique, fetch)

    def _answer(self, unique: int, fetch: Fetch) -> None:
        try:
            pieces = fetch()
            length = sum(map(len, pieces))
            self._counts.read(length)
            answer = (protocol.answer_head(unique, length), *pieces)
        except Exception as error:
            answer = (protocol.failure(unique, number_of(error, "READ", self._counts)),)
        try:
            os.writev(self._device, answer)
        except OSError as error:
            if error.errno not in _NOBODY:
                raise
