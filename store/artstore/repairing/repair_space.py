"""Repairing packs and gaps: every byte of a segment's data belongs to one node or to one gap.

Bytes that a node uses are never free: if a node and a gap overlap, the gap is cut.  Bytes without an owner are
condemned, so that the reaper frees them.  For the holder of `space.exclusive`, inside one write transaction.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from artstore import beneath
from artstore.checking.packed import Frame, Packed, holes_between
from artstore.checking.recounting import Recount, readable_rows
from artstore.checking.report import Report
from artstore.errors import DamageError
from artstore.records.deadlist import (
    Condemned,
    Free,
    decode_condemned,
    decode_free,
    encode_condemned,
    encode_free,
)
from artstore.records.nodes import Extent
from artstore.records.tables import Table, key32
from artstore.rows import space
from artstore.storage import disk
from artstore.storage.manifest import WriteTransaction
from artstore.storage.packs import pack_path

__all__ = ["Stretch", "merged", "repair_ends", "repair_space", "whole_hole", "without"]

_BLOCK: Final = 4096
_LOW: Final = (1 << 32) - 1


class Stretch(NamedTuple):
    """A stretch of a pack; the end is exclusive."""

    start: int
    end: int


# -- packs -------------------------------------------------------------------------------------------------------------


def repair_ends(workspace: Path, transaction: WriteTransaction, packed: Packed, recounted: Recount) -> list[str]:
    """Correct the recorded ends of packs; return a sentence for each correction.

    A pack ends after its last whole segment.  A missing pack that no node needs is dropped; a pack that a process is
    appending to is left unchanged.
    """
    repairs = []
    recorded = set(_keys(transaction, Table.PACKS))
    for key in sorted(recorded | {key32(pack) for pack in recounted.packs}):
        pack = int.from_bytes(key, "big")
        name, end, packed_end = pack_path(workspace, pack).name, recounted.ends.get(pack), packed.ends.get(pack)
        if packed_end is None:
            if not beneath.exists(workspace, pack_path(workspace, pack)) and not recounted.pack(pack).nodes:
                transaction.delete(Table.PACKS, key)
                recounted.ends.pop(pack, None)
                repairs.append(f"dropped the missing pack {name}")
            continue
        used = max((place >> 32) + (place & _LOW) for place in [*recounted.pack(pack).nodes, 0])
        if end is not None and used <= end <= os.fstat(packed.fd(pack)).st_size:
            continue
        if _is_appended_to(workspace, pack):
            continue
        transaction.put(Table.PACKS, key32(pack), packed_end.to_bytes(8, "little"))
        recounted.ends[pack] = packed_end
        repairs.append(f"the pack {name} ends at {packed_end}, and not {'nowhere' if end is None else f'at {end}'}")
    state = transaction.state
    state.next_pack = max([state.next_pack, *(pack + 1 for pack in recounted.ends)])
    return repairs


def _is_appended_to(workspace: Path, pack: int) -> bool:
    fd = beneath.open_file(workspace, pack_path(workspace, pack))
    try:
        return not disk.try_lock(fd)
    finally:
        os.close(fd)


def _keys(transaction: WriteTransaction, table: Table) -> list[bytes]:
    with transaction.raw.cursor(transaction.handles[table]) as cursor:
        return list(cursor.iternext(values=False))


# -- gaps --------------------------------------------------------------------------------------------------------------


def repair_space(transaction: WriteTransaction, packed: Packed, recounted: Recount) -> list[str]:
    """Correct the tables of gaps and the sums of bytes; return a sentence for each kind of change."""
    free, condemned = _free_rows(transaction), _condemned_rows(transaction)
    by_pack = _ByPack(free, condemned, packed)
    kept: list[Free] = []
    doomed: list[Condemned] = []
    orphaned: list[Extent] = []
    covered = 0
    for pack, end in sorted(recounted.ends.items()):
        taken = merged(Stretch(place >> 32, (place >> 32) + (place & _LOW)) for place in recounted.pack(pack).nodes)
        rows = sorted(by_pack.condemned.get(pack, ()), key=lambda row: row.offset)
        stretches = [Stretch(row.offset, min(end, row.offset + row.length)) for row in rows]
        parts = list(without(stretches, taken))
        for rank, part in parts:
            number = min(rows[rank].transaction, transaction.number)
            doomed.append(Condemned(number, pack, part.start, part.end - part.start, rows[rank].purge))
        taken = merged([*taken, *(part for _, part in parts)])
        gaps = sorted(by_pack.free.get(pack, ()))
        parts = list(without([Stretch(gap.offset, min(end, gap.end)) for gap in gaps], taken))
        kept += [_measured(packed, gaps[rank], part) for rank, part in parts]
        taken = merged([*taken, *(part for _, part in parts)])
        data = sorted(Stretch(frame.data, frame.data_end) for frame in by_pack.frames.get(pack, ()) if frame.end <= end)
        parts = list(without(data, taken))
        orphaned += [Extent(pack, part.start, part.end - part.start, 0) for _, part in parts]
        covered += sum(stretch.end - stretch.start for stretch in taken)
    repairs = []
    if set(kept) != set(free) or len(_keys(transaction, Table.FREE)) != len(free):
        repairs.append("rewrote the gaps of packs")
        _replace(transaction, Table.FREE, dict(encode_free(gap) for gap in kept))
    if set(doomed) != set(condemned) or len(_keys(transaction, Table.CONDEMNED)) != len(condemned):
        repairs.append("rewrote the condemned bytes of packs")
        _replace(transaction, Table.CONDEMNED, dict(encode_condemned(row) for row in doomed))
    state = transaction.state
    state.stored_bytes = recounted.stored_bytes
    state.free_bytes = sum(gap.length - gap.punched for gap in kept)
    state.condemned_bytes = sum(row.length for row in doomed)
    if orphaned:
        size = sum(extent.stored for extent in orphaned)
        space.condemn(transaction, orphaned)
        repairs.append(f"condemned {size} bytes of packs that no node uses")
        covered += size
    state.framing_bytes = sum(recounted.ends.values()) - covered
    return repairs


class _ByPack:
    """Gaps, condemned bytes and segments, each by pack."""

    def __init__(self, free: Iterable[Free], condemned: Iterable[Condemned], packed: Packed) -> None:
        self.free: dict[int, list[Free]] = {}
        self.condemned: dict[int, list[Condemned]] = {}
        self.frames: dict[int, list[Frame]] = {}
        for gap in free:
            self.free.setdefault(gap.pack, []).append(gap)
        for row in condemned:
            self.condemned.setdefault(row.pack, []).append(row)
        for frame in packed.frames:
            self.frames.setdefault(frame.pack, []).append(frame)


def _free_rows(transaction: WriteTransaction) -> list[Free]:
    rows = []
    for key, payload in readable_rows(transaction, Table.FREE, Report()):
        try:
            rows.append(decode_free(key, payload))
        except DamageError:
            continue  # its bytes then have no owner, and are condemned
    return rows


def _condemned_rows(transaction: WriteTransaction) -> list[Condemned]:
    rows = []
    for key, payload in readable_rows(transaction, Table.CONDEMNED, Report()):
        try:
            rows.append(decode_condemned(key, payload))
        except DamageError:
            continue
    return rows


def _replace(transaction: WriteTransaction, table: Table, rows: dict[bytes, bytes]) -> None:
    for key in _keys(transaction, table):
        if key not in rows:
            transaction.delete(table, key)
    for key, payload in rows.items():
        transaction.put(table, key, payload)


def _measured(packed: Packed, gap: Free, part: Stretch) -> Free:
    """Return the remaining part of a gap, with at most as many hole bytes as the file has there."""
    free = Free(gap.pack, part.start, part.end - part.start, 0)
    if not gap.punched or gap.pack not in packed.ends:
        return free
    fd = packed.fd(gap.pack)
    block = max(_BLOCK, os.fstatvfs(fd).f_frsize)
    first, last = -(-free.offset // block) * block, free.end // block * block
    holes = holes_between(fd, first, last) if first < last else 0
    return free._replace(punched=min(holes, gap.punched))


def whole_hole(fd: int, gap: Extent) -> Free | None:
    """Return a gap as free if its whole blocks are already a hole, else None."""
    block = max(_BLOCK, os.fstatvfs(fd).f_frsize)
    first, last = -(-gap.offset // block) * block, (gap.offset + gap.stored) // block * block
    if first >= last or holes_between(fd, first, last) < last - first:
        return None
    return Free(gap.pack, gap.offset, gap.stored, last - first)


def merged(stretches: Iterable[Stretch]) -> list[Stretch]:
    """Return the union of some stretches, sorted, as stretches that do not touch."""
    merged: list[Stretch] = []
    for stretch in sorted(stretches):
        if merged and stretch.start <= merged[-1].end:
            merged[-1] = Stretch(merged[-1].start, max(merged[-1].end, stretch.end))
        elif stretch.start < stretch.end:
            merged.append(stretch)
    return merged


def without(stretches: list[Stretch], taken: list[Stretch]) -> Iterator[tuple[int, Stretch]]:
    """Yield (rank, part) for the parts of sorted stretches that neither ``taken`` nor an earlier stretch covers."""
    position = index = 0
    for rank, stretch in enumerate(stretches):
        position = max(position, stretch.start)
        while position < stretch.end:
            while index < len(taken) and taken[index].end <= position:
                index += 1
            stop = min(stretch.end, taken[index].start) if index < len(taken) else stretch.end
            if position < stop:
                yield rank, Stretch(position, stop)
            position = max(stop, taken[index].end) if index < len(taken) and stop < stretch.end else stop
