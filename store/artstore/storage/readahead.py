"""Readahead for packs, which are laid out in the order of trees and files.

Two access patterns profit.  A sequential reader of a large file soon needs the bytes that follow in the pack.  A
reader of many files of a data set, in any order, needs the neighbours of each file: the second touch of a region of a
pack prefetches the rest of it, and once half of the touched regions were touched again, the first touch prefetches a
larger piece.  Random reads inside large files prefetch only the bytes to be read, in one request.

The kernel's own readahead does not see these patterns, because the reads of one file come from several processes.
"""

from __future__ import annotations

import mmap
import os
from collections import OrderedDict
from typing import Final

__all__ = ["ReadAhead", "Regions", "ask_for"]

REGION: Final = 256 * 1024
"""Bytes of a pack that are asked for together, around small files."""
_GROUP: Final = 4
"""Regions that are prefetched together while nearly all of a data set is being read."""
_AHEAD: Final = 8 * 1024 * 1024
"""Bytes to prefetch after a sequential reader's position."""
_AT_ONCE: Final = 128 * 1024
"""Bytes that the kernel reads from the disk in one request; it waits for each before it sends the next."""
_SLACK: Final = 1024 * 1024
"""How far a read may skip ahead and still count as sequential: other processes serve the reads between."""
_STREAMS: Final = 64
_SLOTS: Final = 1 << 16
_PACK_STRIDE: Final = 1024
"""Regions of one pack that have slots of their own: those of 256 MiB."""
_FRESH, _TOUCHED, _ASKED = 0, 1, 2
_FEW: Final = 64


class Regions:
    """Remember which regions of packs were touched, by this process and all that it forks later.

    Two regions may share a slot, and two processes may count at the same time: a race loses only a hint.
    """

    def __init__(self, budget: int | None = None) -> None:
        """Forget everything after prefetching ``budget`` bytes, by default half of the machine's memory.

        By then the page cache may have dropped the first of them, so they may be worth a prefetch again.
        """
        self._budget = os.sysconf("SC_PHYS_PAGES") * mmap.PAGESIZE // 2 if budget is None else budget
        self._memory = mmap.mmap(-1, _SLOTS + mmap.PAGESIZE)
        self._slots = memoryview(self._memory)[:_SLOTS]
        self._counts = memoryview(self._memory)[_SLOTS : _SLOTS + 24].cast("Q")  # touched, touched again, asked for

    def touch(self, pack: int, offset: int) -> tuple[int, int] | None:
        """Note a read at ``offset`` of a pack; return (offset, length) to prefetch now, or None."""
        region = offset // REGION
        slots, counts = self._slots, self._counts
        at = (pack * _PACK_STRIDE + region) % _SLOTS
        state = slots[at]
        if state == _ASKED:
            return None
        counts[state] += 1
        slots[at] = state + 1
        if counts[1] >= _FEW and 2 * counts[1] >= counts[0]:
            return self._ask(pack, region - region % _GROUP, _GROUP)
        return None if state == _FRESH else self._ask(pack, region, 1)

    def _ask(self, pack: int, region: int, count: int) -> tuple[int, int]:
        for each in range(region, region + count):
            self._slots[(pack * _PACK_STRIDE + each) % _SLOTS] = _ASKED
        self._counts[2] += count
        if self._counts[2] * REGION > self._budget:
            self._memory[:] = bytes(len(self._memory))
        return region * REGION, count * REGION


class ReadAhead:
    """Remember what one process has read of packs; threads may share it, since a race loses only a hint."""

    def __init__(self) -> None:
        self.regions = Regions()
        self._streams: OrderedDict[int, tuple[int, int, int]] = OrderedDict()

    def touch(self, descriptor: int, pack: int, offset: int) -> None:
        """Note that a whole small stored form at ``offset`` is about to be read from the open pack."""
        wanted = self.regions.touch(pack, offset)
        if wanted is not None:
            ask_for(descriptor, *wanted)

    def follow(self, descriptor: int, node: int, start: int, end: int, pack: int, low: int, offset: int) -> None:
        """Note a read of bytes ``[start, end)`` of a large file, stored from ``low`` to ``offset``.

        ``low`` is negative if they are not stored contiguously.
        """
        before = self._streams.pop(node, None)
        requested = 0
        if before is not None and before[1] == pack:
            requested = before[2]
        goes_on = start == 0 or (before is not None and before[0] <= start <= before[0] + _SLACK)
        if goes_on and requested - offset < _AHEAD // 2:
            begin = max(requested, offset)
            requested = offset + _AHEAD
            ask_for(descriptor, begin, requested - begin)
        elif not goes_on and _AT_ONCE < offset - low <= _AHEAD and low >= 0:
            ask_for(descriptor, low, offset - low)
        self._streams[node] = (end, pack, requested)
        if len(self._streams) > _STREAMS:
            self._streams.popitem(last=False)


def ask_for(descriptor: int, offset: int, length: int) -> None:
    """Ask the kernel to read bytes of a file into the page cache, without waiting; only a hint."""
    try:
        os.posix_fadvise(descriptor, offset, length, os.POSIX_FADV_WILLNEED)
    except OSError:
        return  # not every file system supports the hint
