"""Caches of decompressed chunks: a read of one part of a chunk is soon followed by a read of the next part.

Each serves one workspace, and is keyed by the content id that its records have.  Content is not hashed when it is read,
so an id in the records of another workspace proves nothing.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Protocol

from artstore.ids import ID_LENGTH, Buffer
from artstore.records.nodes import LARGEST

__all__ = ["CACHE_BYTES", "ChunkCache", "ChunkSource", "OwnedChunks", "SharedChunkCache"]

CACHE_BYTES: Final = 16 * 1024 * 1024
_EMPTY: Final = bytes(ID_LENGTH)


class ChunkSource(Protocol):
    """A source of parts of chunks."""

    def fetch(self, ident: bytes, start: int, end: int, make: Callable[[], bytes]) -> Buffer:
        """Return bytes ``[start, end)`` of a chunk; call ``make`` for the whole chunk if it is not cached."""


class OwnedChunks:
    """The chunks of one owner in a cache that several owners share."""

    __slots__ = ("_cache", "_owner")

    def __init__(self, cache: ChunkCache, owner: bytes) -> None:
        self._cache = cache
        self._owner = owner

    def fetch(self, ident: bytes, start: int, end: int, make: Callable[[], bytes]) -> Buffer:
        """Return bytes ``[start, end)`` of a chunk of the owner; raise what ``make`` raises."""
        return self._cache.fetch(self._owner + ident, start, end, make)


class ChunkCache:
    """Keep chunks for the threads of one process, least recently used first out, bounded in bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._chunks: OrderedDict[bytes, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, owner: bytes) -> OwnedChunks:
        """Return the part of the cache for one workspace, whose identity is ``owner``."""
        return OwnedChunks(self, owner)

    def fetch(self, ident: bytes, start: int, end: int, make: Callable[[], bytes]) -> Buffer:
        """Return bytes ``[start, end)`` of a chunk; raise what ``make`` raises."""
        data = self._get(ident)
        if data is None:
            data = make()
            self._put(ident, data)
        return data if end - start == len(data) else memoryview(data)[start:end]

    def _get(self, ident: bytes) -> bytes | None:
        with self._lock:
            data = self._chunks.get(ident)
            if data is not None:
                self._chunks.move_to_end(ident)
            return data

    def _put(self, ident: bytes, data: bytes) -> None:
        with self._lock:
            if ident in self._chunks or len(data) > self._limit:
                return
            self._chunks[ident] = data
            self._held += len(data)
            while self._held > self._limit:
                self._held -= len(self._chunks.popitem(last=False)[1])

    def after_fork(self) -> None:
        """Start empty in a forked child, where another thread's lock would never be released."""
        self._lock = threading.Lock()
        self._chunks = OrderedDict()
        self._held = 0


class SharedChunkCache:
    """Cache chunks for all processes forked from the one that creates this; each must be single-threaded.

    Several workers may need parts of one chunk at the same time.  The first decompresses it and the others wait,
    which is cheaper than decompressing it again.  A chunk maps to one slot, so the memory has a fixed size.

    POSIX record locks belong to a process, so they would not exclude two threads of it.

    Guarantees: a process that is killed in the middle of filling a slot leaves it empty and unlocked.
    """

    def __init__(self, limit: int = CACHE_BYTES) -> None:
        """Keep at most ``limit`` bytes, in slots for the largest chunk there is."""
        self._slots = max(1, limit // LARGEST)
        self._fd = os.memfd_create("artfs-chunks", os.MFD_CLOEXEC)
        self._heads = self._slots * LARGEST
        os.ftruncate(self._fd, self._heads + self._slots * ID_LENGTH)
        self._memory = mmap.mmap(self._fd, 0)

    def fetch(self, ident: bytes, start: int, end: int, make: Callable[[], bytes]) -> Buffer:
        """Return bytes ``[start, end)`` of a chunk; raise what ``make`` raises."""
        slot = int.from_bytes(ident[:4], "little") % self._slots
        fcntl.lockf(self._fd, fcntl.LOCK_SH, 1, slot)
        try:
            if self._holds(slot, ident):
                return self._part(slot, start, end)
            # Two processes that both upgrade a shared lock deadlock; release it first, and check the slot again.
            fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, slot)
            fcntl.lockf(self._fd, fcntl.LOCK_EX, 1, slot)
            if self._holds(slot, ident):
                return self._part(slot, start, end)
            data = make()
            self._fill(slot, ident, data)
            return data if end - start == len(data) else memoryview(data)[start:end]
        finally:
            fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, slot)

    def _holds(self, slot: int, ident: bytes) -> bool:
        at = self._heads + slot * ID_LENGTH
        return self._memory[at : at + ID_LENGTH] == ident

    def _part(self, slot: int, start: int, end: int) -> bytes:
        base = slot * LARGEST
        return self._memory[base + start : base + end]

    def _fill(self, slot: int, ident: bytes, data: bytes) -> None:
        at, base = self._heads + slot * ID_LENGTH, slot * LARGEST
        self._memory[at : at + ID_LENGTH] = _EMPTY
        self._memory[base : base + len(data)] = data
        self._memory[at : at + ID_LENGTH] = ident
