"""The rule that cuts long sequences into records of bounded size at boundaries that depend on content alone.

A sequence of at most `FANOUT` items is one record.  A longer one is cut after every item whose hash has six zero bits
(level L looks at bits 6L to 6L+5, little-endian), and after `FANOUT` items in any case: records hold 64 items on
average, and an insertion moves the boundaries of its neighbourhood only.  The rule belongs to the format and to the
digest of a version; its constants can never change within a format.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, TypeVar

from artstore.ids import content_id
from artstore.records.trees import FANOUT

__all__ = ["Splitter", "name_hash"]

T = TypeVar("T")

_BITS: Final = 6
_MASK: Final = (1 << _BITS) - 1


def name_hash(name: bytes) -> int:
    """Return the 64-bit hash that decides boundaries between names: the first 8 bytes of their BLAKE3."""
    return int.from_bytes(content_id(name)[:8], "little")


class Splitter(Generic[T]):
    """Cut a stream of items into parts, each returned as soon as it is complete.

    ``hash_of`` gives an item's 64-bit hash.  Holds at most `FANOUT` items.
    """

    def __init__(self, level: int, hash_of: Callable[[T], int], *, many: bool = False) -> None:
        """``many``: more than `FANOUT` items are known to follow."""
        self._shift = _BITS * level
        self._hash_of = hash_of
        self._pending: list[T] = []
        self.split = many
        """Whether a cut was made, so that a record of the next level is needed."""

    @property
    def between_parts(self) -> bool:
        """Whether the next item begins a part."""
        return not self._pending

    def push(self, item: T) -> list[list[T]]:
        """Take the next item; return the parts that it completes (usually none)."""
        self._pending.append(item)
        if self.split:
            if self._is_boundary(item) or len(self._pending) == FANOUT:
                part, self._pending = self._pending, []
                return [part]
            return []
        if len(self._pending) <= FANOUT:
            return []
        return self._start_splitting()

    def finish(self) -> list[T]:
        """Return the last part: everything if no cut was made, else the remaining items (possibly none)."""
        part, self._pending = self._pending, []
        return part

    def _is_boundary(self, item: T) -> bool:
        return not (self._hash_of(item) >> self._shift) & _MASK

    def _start_splitting(self) -> list[list[T]]:
        items, self._pending, self.split = self._pending, [], True
        parts: list[list[T]] = []
        for item in items:
            parts.extend(self.push(item))
        return parts
