"""Cut the dead end off a pack, so that its file ends earlier.

Where holes cannot be punched, only this gives space back before all that lives in a pack has been copied.  The offsets
that are cut off are used again by the next writer: no node and no reader refers to them any more.
"""

from __future__ import annotations

from typing import Final

from artstore.errors import DamageError
from artstore.reclaim.compaction.pack_sources import Segment, Source, gap_of
from artstore.records.deadlist import encode_free
from artstore.records.tables import Table, key32
from artstore.storage import disk
from artstore.storage.manifest import ReadTransaction, WriteTransaction
from artstore.storage.packs import pack_path
from artstore.store import Store

__all__ = ["cut_tail"]

_SEGMENTS: Final = 1000
"""Segments that one transaction cuts off: it then holds the write lock for less than 50 ms."""


def cut_tail(store: Store, source: Source) -> None:
    """Cut off the segments at the end of a pack whose data are gaps; the caller holds `space.exclusive`.

    The transaction comes first: if it is not followed by the cut, the bytes past the pack's end are removed by the next
    writer, or by the next call.  A pack that cannot be read stays as it is.
    """
    try:
        segments = list(source.segments())
    except DamageError:
        return
    while segments:
        with store.snapshot() as snapshot:
            if not _is_dead(snapshot.transaction, source, segments[-1]):
                break
        with store.write() as transaction:
            start = _cut(transaction, source, segments)
        source.end = start
    disk.shorten(store.path, pack_path(store.path, source.number), source.end)


def _cut(transaction: WriteTransaction, source: Source, segments: list[Segment]) -> int:
    """Remove up to `_SEGMENTS` dead segments from the records, and from the end of the list; return the new end."""
    start = source.end
    for _ in range(min(_SEGMENTS, len(segments))):
        segment = segments[-1]
        if not _is_dead(transaction, source, segment):
            break
        gap = gap_of(transaction, source.number, segment)
        if gap is not None:
            transaction.delete(Table.FREE, encode_free(gap)[0])
            transaction.state.free_bytes -= gap.length - gap.punched
        transaction.state.framing_bytes -= start - segment.start - segment.data_length
        start = segment.start
        segments.pop()
    transaction.put(Table.PACKS, key32(source.number), start.to_bytes(8, "little"))
    return start


def _is_dead(transaction: ReadTransaction, source: Source, segment: Segment) -> bool:
    """Return whether all data of a segment is a gap, and no content without bytes needs its index."""
    if segment.data_length and gap_of(transaction, source.number, segment) is None:
        return False
    try:
        empty = [entry for entry in source.entries(segment) if not entry.stored]
    except DamageError:
        return False
    return next(source.life(transaction, empty), None) is None
