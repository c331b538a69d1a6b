"""Asking the disk for stored bytes before they are read: packs are laid out in the order of trees and files.

Two habits of readers are worth it.  Who reads a large file from front to end will want what follows in the pack.  Who
reads the files of a data set in any order will want the neighbours of what was read: where a region of a pack is
touched for the second time, the rest of it is asked for.  For who reads at random inside large files, nothing is asked
for but what is read, all of it at once.

The kernel's own readahead does not see these habits: the reads of one file come through several processes.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from typing import Final

__all__ = ["ReadAhead"]

REGION: Final = 256 * 1024
"""Bytes of a pack that are asked for together, around small files."""
_AHEAD: Final = 8 * 1024 * 1024
"""Bytes behind the place that a sequential reader has come to."""
_AT_ONCE: Final = 128 * 1024
"""Bytes that the kernel reads from the disk at once; it waits for them before it goes on to the next."""
_SLACK: Final = 1024 * 1024
"""How far ahead of its last read of a file one process still counts as going on: others serve what is between."""
_STREAMS: Final = 64
_REGIONS: Final = 1 << 16


class ReadAhead:
    """Remember what one process has read of packs; threads may share it, and lose nothing but an occasional hint."""

    def __init__(self) -> None:
        self._touched: set[tuple[int, int]] = set()
        self._asked: set[tuple[int, int]] = set()
        self._streams: OrderedDict[int, tuple[int, int, int]] = OrderedDict()

    def touch(self, descriptor: int, pack: int, offset: int) -> None:
        """Note that a whole small stored form at ``offset`` is about to be read from the open pack."""
        region = (pack, offset // REGION)
        if region in self._asked:
            return
        if region not in self._touched:
            if len(self._touched) >= _REGIONS:
                self._touched.clear()
                self._asked.clear()
            self._touched.add(region)
            return
        self._asked.add(region)
        _ask(descriptor, region[1] * REGION, REGION)

    def follow(self, descriptor: int, node: int, start: int, end: int, pack: int, low: int, offset: int) -> None:
        """Note that bytes ``[start, end)`` of a large file are read, which are stored from ``low`` to ``offset``.

        ``low`` is negative where they do not lie together.
        """
        before = self._streams.pop(node, None)
        asked = 0
        if before is not None and before[1] == pack:
            asked = before[2]
        goes_on = start == 0 or (before is not None and before[0] <= start <= before[0] + _SLACK)
        if goes_on and asked - offset < _AHEAD // 2:
            begin = max(asked, offset)
            asked = offset + _AHEAD
            _ask(descriptor, begin, asked - begin)
        elif not goes_on and _AT_ONCE < offset - low <= _AHEAD and low >= 0:
            _ask(descriptor, low, offset - low)
        self._streams[node] = (end, pack, asked)
        if len(self._streams) > _STREAMS:
            self._streams.popitem(last=False)


def _ask(descriptor: int, offset: int, length: int) -> None:
    try:
        os.posix_fadvise(descriptor, offset, length, os.POSIX_FADV_WILLNEED)
    except OSError:
        return  # a hint that a file system does not take
