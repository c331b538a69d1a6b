"""The content nodes of files that were looked up, in memory shared by the workers.

The inode of a file says which entry of which version it is, and to find that entry's content takes a walk through
directory records.  A look-up has done this walk; the reads that follow, in whatever worker, find its result here.

    slot: inode · content node << 3 | kind · check, a function of both and of the epoch (3 x 8)

Guarantees: no lock, and no wrong result.  Each number is read and written at once, and the check is a one-to-one
function of each of the three numbers if the others are fixed.  So a slot that two workers write at the same time, or
that was written before the present epoch, matches no inode.
"""

from __future__ import annotations

import mmap
from typing import Final

__all__ = ["NodeTable"]

_SLOTS: Final = 1 << 17
_WIDTH: Final = 3
_WORD: Final = (1 << 64) - 1
_OF_VALUE: Final = 0x9E3779B97F4A7C15
_OF_EPOCH: Final = 0xD6E8FEB86659FD93
"""Odd numbers, so that multiplication modulo 2**64 is one-to-one."""


class NodeTable:
    """Map inodes to content nodes for all processes forked from the one that creates this.

    A new inode replaces another one in its slot.  The memory is allocated as it is used, 3 MiB at most.
    """

    __slots__ = ("_cells", "_mask", "_memory")

    def __init__(self, slots: int = _SLOTS) -> None:
        """Have so many ``slots``, a power of two."""
        self._memory = mmap.mmap(-1, slots * _WIDTH * 8)
        self._cells = memoryview(self._memory).cast("Q")
        self._mask = slots - 1

    def get(self, inode: int, epoch: int) -> int:
        """Return the value that was put for ``inode`` in the same epoch, or 0 if it is not there any more."""
        cells = self._cells
        at = ((inode ^ inode >> 31) & self._mask) * _WIDTH
        if cells[at] != inode:
            return 0
        value = cells[at + 1]
        return value if cells[at + 2] == (inode + value * _OF_VALUE + epoch * _OF_EPOCH) & _WORD else 0

    def put(self, inode: int, value: int, epoch: int) -> None:
        """Keep ``value``, not 0, for ``inode``; ``epoch`` is the one before the snapshot that it comes from."""
        cells = self._cells
        at = ((inode ^ inode >> 31) & self._mask) * _WIDTH
        cells[at] = inode
        cells[at + 1] = value
        cells[at + 2] = (inode + value * _OF_VALUE + epoch * _OF_EPOCH) & _WORD
