"""The most recently fetched spans, in memory shared by processes, until they are written to disk or replaced.

The sequential reads of a large file go to several workers of a mount in turn, and each needs the data that another has
fetched.  They read it here, while it is written to the disk with O_DIRECT.

    slot: 8 MiB of a file · one page that describes them
    page: id of the reference (32) · offset in the file, length, age (3 x 8) · checksums of the parts · that of all this
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import threading
import weakref
from collections.abc import Iterable
from contextlib import suppress
from typing import Final, NamedTuple

from xxhash import xxh3_64_digest

from artstore.ids import ID_LENGTH, Buffer
from artstore.references.sums import PART, SUM, are_sound, sums_of

__all__ = ["SPAN", "RecentSpans", "Slot"]

SPAN: Final = 8 * 1024 * 1024
_SLOTS: Final = 8
_HEAD: Final = struct.Struct(f"<{ID_LENGTH}sQQQ")
_SUMS: Final = SPAN // PART * SUM
_PAGE: Final = mmap.PAGESIZE
_EMPTY: Final = bytes(_HEAD.size)


class Slot(NamedTuple):
    """One span, aligned to a page, with its checksums; only its owner may replace it until `RecentSpans.release`."""

    number: int
    data: memoryview
    sums: bytes


class RecentSpans:
    """Hold some spans for the process that creates this and all its forks; any thread may use it.

    Guarantees: a read returns the data that was stored, even if another process replaces it or was killed doing so,
    because each read is verified.  The memory is allocated on first use.
    """

    def __init__(self, slots: int = _SLOTS) -> None:
        self._slots = slots
        self._fd = os.memfd_create("artfs-recent", os.MFD_CLOEXEC)
        weakref.finalize(self, os.close, self._fd).atexit = False
        os.ftruncate(self._fd, slots * (SPAN + _PAGE))
        self._memory = memoryview(mmap.mmap(self._fd, 0))
        self._lock = threading.Lock()
        self._owned: set[int] = set()

    def holds(self, ident: bytes, offset: int) -> bool:
        """Return whether the byte at ``offset`` of a reference is probably held."""
        return self._find(ident, offset, offset + 1) is not None

    def read(self, ident: bytes, start: int, end: int) -> Buffer | None:
        """Return bytes ``[start, end)`` of a reference, verified; None unless one span holds them all."""
        slot = self._find(ident, start, end)
        if slot is None:
            return None
        page = bytes(self._page(slot)[: _HEAD.size + _SUMS + SUM])  # at once, for it may change at any time
        holder, base, length, _ = _HEAD.unpack_from(page)
        if xxh3_64_digest(page[:-SUM]) != page[-SUM:] or holder != ident or not base <= start <= end <= base + length:
            return None
        low = (start - base) // PART * PART
        high = min(-(-(end - base) // PART) * PART, length)
        data = memoryview(bytes(self._memory[slot * SPAN + low : slot * SPAN + high]))
        if not are_sound(data, page[_HEAD.size + low // PART * SUM :]):
            return None
        return data[start - base - low : end - base - low]

    def keep(self, ident: bytes, start: int, pieces: Iterable[Buffer]) -> Slot | None:
        """Store a reference's data from ``start`` in place of the oldest span; None if every slot has an owner.

        In that case no piece was consumed.  Errors of the iterator are passed on; `ValueError` if a span is exceeded.
        """
        number = self._take()
        if number is None:
            return None
        try:
            return self._fill(number, ident, start, pieces)
        except BaseException:
            self.release(number)
            raise

    def _fill(self, number: int, ident: bytes, start: int, pieces: Iterable[Buffer]) -> Slot:
        view = self._memory[number * SPAN : (number + 1) * SPAN]
        page, age = self._page(number), 1 + max(self._age(slot) for slot in range(self._slots))
        page[: _HEAD.size] = _EMPTY
        length = 0
        for piece in pieces:
            view[length : length + len(piece)] = piece
            length += len(piece)
        sums = sums_of(view[:length])
        described = _HEAD.pack(ident, start, length, age) + sums.ljust(_SUMS, b"\0")
        page[: len(described) + SUM] = described + xxh3_64_digest(described)
        return Slot(number, view[:length], sums)

    def release(self, number: int) -> None:
        """Release a slot, so that any thread or process may replace it."""
        with self._lock:
            fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, number)
            self._owned.discard(number)

    def _take(self) -> int | None:
        """Acquire the oldest slot without an owner: among threads by ``_owned``, among processes by a lock."""
        with self._lock:
            for slot in sorted(set(range(self._slots)) - self._owned, key=self._age):
                with suppress(OSError):
                    fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, slot)
                    self._owned.add(slot)
                    return slot
        return None

    def _find(self, ident: bytes, start: int, end: int) -> int | None:
        for slot in range(self._slots):
            holder, base, length, _ = _HEAD.unpack_from(self._page(slot))
            if holder == ident and base <= start and end <= base + length:
                return slot
        return None

    def _age(self, slot: int) -> int:
        age: int = _HEAD.unpack_from(self._page(slot))[3]
        return age

    def _page(self, slot: int) -> memoryview:
        at = self._slots * SPAN + slot * _PAGE
        return self._memory[at : at + _PAGE]
