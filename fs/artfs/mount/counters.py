"""Counts that workers keep in memory shared with the supervisor.

The memory is mapped before the fork.  Each worker slot has one writer per field (the worker that holds the slot, or
the zygote between two workers), so no lock is needed; a reader may see a count that is one request old.
"""

from __future__ import annotations

import mmap
from enum import IntEnum

__all__ = ["Counters", "Field", "WorkerCounts"]


class Field(IntEnum):
    """Name the unsigned 64-bit numbers of one slot."""

    PID = 0
    STARTED_NS = 1
    RESTARTS = 2
    REQUESTS = 3
    LOOKUPS = 4
    READS = 5
    BYTES = 6
    ERRORS = 7


_WIDTH = 8


class WorkerCounts:
    """Count what one worker serves."""

    __slots__ = ("_base", "_cells")

    def __init__(self, cells: memoryview, slot: int) -> None:
        self._cells = cells
        self._base = slot * _WIDTH

    def add(self, field: Field, amount: int = 1) -> None:
        """Add ``amount`` to ``field``."""
        self._cells[self._base + field] += amount

    def set(self, field: Field, value: int) -> None:
        """Make ``field`` equal to ``value``."""
        self._cells[self._base + field] = value

    def get(self, field: Field) -> int:
        """Return ``field``."""
        return int(self._cells[self._base + field])


class Counters:
    """Map one slot of counts per worker in anonymous memory that stays shared across fork."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self._memory = mmap.mmap(-1, max(mmap.PAGESIZE, slots * _WIDTH * 8))
        self._cells = memoryview(self._memory).cast("Q")

    def slot(self, index: int) -> WorkerCounts:
        """Return the counts of the worker in slot ``index``, from 0."""
        if not 0 <= index < self.slots:
            raise IndexError(index)
        return WorkerCounts(self._cells, index)
