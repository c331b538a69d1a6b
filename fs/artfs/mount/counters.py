"""Numbers in memory that the workers share with the supervisor.

The memory is mapped before the fork.  Each worker slot has one writer per field (the worker that holds the slot, or the
zygote between two workers), so no lock is needed; a reader may see a count that is one request old.  The supervisor
writes the epoch, and the workers read it.
"""

from __future__ import annotations

import mmap
import os
import threading
from collections.abc import Callable
from enum import IntEnum

from artstore.ids import Buffer
from artstore.storage.chunkcaches import ChunkSource

__all__ = ["CountedChunks", "Counters", "Epoch", "Field", "WorkerCounts"]


class Field(IntEnum):
    """The unsigned 64-bit numbers of one slot."""

    PID = 0
    STARTED_NS = 1
    RESTARTS = 2
    REQUESTS = 3
    LOOKUPS = 4
    READS = 5
    BYTES = 6
    ERRORS = 7
    STRAY_LEASES = 8
    CACHE_HITS = 9
    CACHE_MISSES = 10
    VERIFICATION_FAILURES = 11


_WIDTH = len(Field)


class WorkerCounts:
    """The counts of one worker."""

    __slots__ = ("_base", "_bytes", "_cells", "_lookups", "_reads", "_requests")

    def __init__(self, cells: memoryview, slot: int) -> None:
        self._cells = cells
        self._base = slot * _WIDTH
        # Plain integers: these are counted for each request.
        self._requests = self._base + int(Field.REQUESTS)
        self._lookups = self._base + int(Field.LOOKUPS)
        self._reads = self._base + int(Field.READS)
        self._bytes = self._base + int(Field.BYTES)

    def add(self, field: Field, amount: int = 1) -> None:
        """Add ``amount`` to ``field``."""
        self._cells[self._base + field] += amount

    def served(self) -> None:
        """Count a request."""
        self._cells[self._requests] += 1

    def looked_up(self) -> None:
        """Count a look-up."""
        self._cells[self._lookups] += 1

    def read(self, size: int) -> None:
        """Count a read that was answered with ``size`` bytes."""
        cells = self._cells
        cells[self._reads] += 1
        cells[self._bytes] += size

    def set(self, field: Field, value: int) -> None:
        """Make ``field`` equal to ``value``."""
        self._cells[self._base + field] = value

    def get(self, field: Field) -> int:
        """Return ``field``."""
        return int(self._cells[self._base + field])


class CountedChunks:
    """A cache of decompressed chunks whose hits and misses are counted for one worker."""

    __slots__ = ("_chunks", "_counts")

    def __init__(self, chunks: ChunkSource, counts: WorkerCounts) -> None:
        self._chunks = chunks
        self._counts = counts

    def fetch(self, ident: bytes, start: int, end: int, make: Callable[[], bytes]) -> Buffer:
        """Return bytes ``[start, end)`` of a chunk; raise what ``make`` raises, which is neither hit nor miss."""
        field = Field.CACHE_HITS

        def made() -> bytes:
            nonlocal field
            field = Field.CACHE_MISSES
            return make()

        found = self._chunks.fetch(ident, start, end, made)
        self._counts.add(field)
        return found


class Epoch:
    """A count that advances whenever the workers' cached places in versions become stale."""

    __slots__ = ("_cell", "_lock")

    def __init__(self, cell: memoryview | None = None) -> None:
        """Count in ``cell``, one unsigned 64-bit number; without it, in this process's memory."""
        self._cell = memoryview(bytearray(8)).cast("Q") if cell is None else cell
        self._lock = threading.Lock()

    @property
    def value(self) -> int:
        """The count."""
        return int(self._cell[0])

    def advance(self) -> None:
        """Make every worker drop its cached places before its next request; callable from any thread."""
        with self._lock:
            self._cell[0] += 1


class Counters:
    """Map one slot of counts per worker, one for the fast lane, and the epoch, in memory that stays shared across fork.

    ``descriptor`` is the memory's file, for a program that does not inherit the map: the counts of the lane begin at
    byte ``lane_at``, and the epoch is at ``epoch_at``.
    """

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.lane_at, self.epoch_at = slots * _WIDTH * 8, (slots + 1) * _WIDTH * 8
        self.descriptor = os.memfd_create("artfs-counters", os.MFD_CLOEXEC)
        os.ftruncate(self.descriptor, max(mmap.PAGESIZE, self.epoch_at + 8))
        self._memory = mmap.mmap(self.descriptor, 0)
        self._cells = memoryview(self._memory).cast("Q")
        self.lane = WorkerCounts(self._cells, slots)
        self.epoch = Epoch(self._cells[(slots + 1) * _WIDTH : (slots + 1) * _WIDTH + 1])

    def total(self, field: Field) -> int:
        """Return the sum of ``field`` over all slots, the lane's too."""
        return sum(self.slot(index).get(field) for index in range(self.slots)) + self.lane.get(field)

    def slot(self, index: int) -> WorkerCounts:
        """Return the counts of the worker in slot ``index``, from 0."""
        if not 0 <= index < self.slots:
            raise IndexError(index)
        return WorkerCounts(self._cells, index)
