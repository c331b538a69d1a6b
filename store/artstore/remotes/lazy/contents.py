"""Which chunks a range of a file touches, from its located record and the lists that this leads to."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple

from artstore.errors import DamageError
from artstore.remotes.packs.lists import ListedPart, decode_chunks, decode_parts
from artstore.remotes.packs.located import Chunk, ChunkList, Content

__all__ = ["Lists", "Piece", "pieces_between"]

_MOST_LISTS: Final = 32
_Decoded = tuple[list[Chunk], list[ListedPart]]
FetchList = Callable[[ChunkList], bytes]


class Piece(NamedTuple):
    """A chunk that is bytes ``[start, end)`` of a file."""

    start: int
    end: int
    chunk: Chunk


class Lists:
    """The lists that were decoded last, by the hash of their stored bytes; for any number of threads."""

    def __init__(self) -> None:
        self._lists: OrderedDict[bytes, _Decoded] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, item: ChunkList, size: int, fetch: FetchList) -> _Decoded:
        """Return the chunks or the lists that a list of ``size`` bytes of a file has; `DamageError` for others."""
        with self._lock:
            known = self._lists.get(item.hash)
        if known is None:
            raw = fetch(item)
            known = ([], decode_parts(raw, item.level)) if item.level else (decode_chunks(raw), [])
            with self._lock:
                self._lists[item.hash] = known
                if len(self._lists) > _MOST_LISTS:
                    self._lists.popitem(last=False)
        chunks, parts = known
        count = sum(part.item.chunks for part in parts) if item.level else len(chunks)
        if count != item.chunks or sum(part.bytes for part in parts) + sum(chunk.size for chunk in chunks) != size:
            raise DamageError("a list has other chunks than the record above it says")
        return known


def pieces_between(content: Content, size: int, start: int, end: int, lists: Lists, fetch: FetchList) -> list[Piece]:
    """Return the chunks of a file of ``size`` bytes that bytes ``[start, end)`` touch, in order.

    Raises `DamageError` if the chunks do not make up the file.
    """
    found: list[Piece] = []
    if isinstance(content, ChunkList):
        _add(content, size, 0, start, end, lists, fetch, found)
        return found
    at = 0
    for chunk in content:
        if at + chunk.size > start and at < end:
            found.append(Piece(at, at + chunk.size, chunk))
        at += chunk.size
    if at != size:
        raise DamageError("a file has other chunks than its size says")
    return found


def _add(
    item: ChunkList, size: int, base: int, start: int, end: int, lists: Lists, fetch: FetchList, found: list[Piece]
) -> None:
    chunks, parts = lists.get(item, size, fetch)
    for chunk in chunks:
        if base + chunk.size > start and base < end:
            found.append(Piece(base, base + chunk.size, chunk))
        base += chunk.size
    for part in parts:
        if base + part.bytes > start and base < end:
            _add(part.item, part.bytes, base, start, end, lists, fetch, found)
        base += part.bytes
