"""Requests that wait for an outside service or a remote: each has its own thread, and is answered when that ends.

The worker serves everything else meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from artfs.mount.counters import WorkerCounts
from artfs.mount.transports import protocol
from artfs.mount.transports.answering import number_of
from artfs.mount.tree import Fetch
from artstore.ids import Buffer

__all__ = ["Again", "Waiting", "Write"]

Write = Callable[[Sequence[Buffer]], None]
"""Give the kernel an answer; callable from any thread."""

Again = Callable[[int, str, Callable[[], object], Callable[[], Sequence[Buffer]]], None]
"""Wait for what a request needs, then answer it: its number, its operation, what waits, and what answers."""

_AT_ONCE: Final = 64
"""Largest number of concurrent waiting reads of one worker; further reads are queued."""


class Waiting:
    """Answer slow reads with ``write``; the threads are started at the first one."""

    def __init__(self, write: Write, counts: WorkerCounts) -> None:
        self._write = write
        self._counts = counts
        self._threads: ThreadPoolExecutor | None = None

    def read(self, unique: int, fetch: Fetch) -> None:
        """Answer the request ``unique`` with the result of ``fetch``, or with the errno of its exception."""
        self._pool.submit(self._answer, unique, fetch)

    def again(
        self, unique: int, question: str, wait: Callable[[], object], answer: Callable[[], Sequence[Buffer]]
    ) -> None:
        """Answer the request ``unique`` with what ``answer`` returns after ``wait``, which may be nothing yet."""
        self._pool.submit(self._answer_again, unique, question, wait, answer)

    @property
    def _pool(self) -> ThreadPoolExecutor:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_AT_ONCE, "artfs-fetch")
        return self._threads

    def _answer_again(
        self, unique: int, question: str, wait: Callable[[], object], answer: Callable[[], Sequence[Buffer]]
    ) -> None:
        try:
            wait()
            parts = answer()
        except Exception as error:
            parts = (protocol.failure(unique, number_of(error, question, self._counts)),)
        if parts:
            self._write(parts)

    def _answer(self, unique: int, fetch: Fetch) -> None:
        try:
            pieces = fetch()
            length = sum(map(len, pieces))
            self._counts.read(length)
            answer = (protocol.answer_head(unique, length), *pieces)
        except Exception as error:
            answer = (protocol.failure(unique, number_of(error, "READ", self._counts)),)
        self._write(answer)
