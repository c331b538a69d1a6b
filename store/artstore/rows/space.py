"""Unreferenced space in packs: condemned while an older reader may still read it, free after that.

A gap is never filled again: pack space is not reused.  Its whole blocks are punched out of the file, which returns them
to the disk.  The rest of a gap (edges that share a block with their neighbours, or all of it if the file system has no
holes) is returned when the pack is copied or removed.

Only the holder of the `exclusive` lock turns condemned bytes into free ones, removes packs, and changes FREE.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from artstore import beneath
from artstore.errors import BusyError
from artstore.interrupts import checkpoint
from artstore.records.deadlist import Condemned, Free, decode_condemned, decode_free, encode_condemned, encode_free
from artstore.records.nodes import Extent
from artstore.records.tables import Table, key32
from artstore.storage import disk
from artstore.storage.manifest import ReadTransaction, WriteTransaction

__all__ = [
    "Merge",
    "apply_merges",
    "condemn",
    "condemned",
    "exclusive",
    "free_extents",
    "overwrite_data",
    "plan_merges",
    "punch",
    "ripe",
]

_BLOCK: Final = 4096
_ZEROS: Final = bytes(1 << 20)
_PATIENCE_SECONDS: Final = 30.0


@contextmanager
def exclusive(workspace: Path, *, seconds: float = _PATIENCE_SECONDS) -> Iterator[None]:
    """Run the block under the lock for freeing space; hold it for one bounded step at a time.

    Raises `BusyError` if another process holds it for ``seconds``.
    """
    path = workspace / "run" / "reaper"
    with disk.out_of_space(workspace, "the lock for freeing space"):
        fd = disk.open_lock_file(workspace, path, beneath.status(workspace, "run").st_mode & 0o660)
    try:
        until = time.monotonic() + seconds
        while not disk.try_lock(fd):
            if time.monotonic() >= until:
                raise BusyError(
                    f"another process is freeing space of {workspace} and makes no progress",
                    hint=f"find it with: fuser {path}",
                )
            checkpoint()
            time.sleep(0.002)
        yield
    finally:
        os.close(fd)


def condemn(transaction: WriteTransaction, extents: Iterable[Extent], *, purge: bool = False) -> None:
    """Record that some extents are no longer referenced; merge neighbours into one row."""
    number, state = transaction.number, transaction.state
    rows: list[Condemned] = []
    for extent in sorted(extent for extent in extents if extent.stored):
        state.condemned_bytes += extent.stored
        last = rows[-1] if rows else None
        if last is not None and (last.pack, last.offset + last.length) == (extent.pack, extent.offset):
            rows[-1] = last._replace(length=last.length + extent.stored)
        else:
            rows.append(Condemned(number, extent.pack, extent.offset, extent.stored, purge))
    for row in rows:
        transaction.put(Table.CONDEMNED, *encode_condemned(row))


def condemned(transaction: ReadTransaction) -> Iterator[Condemned]:
    """Yield the condemned extents, oldest first."""
    for key, payload in transaction.rows(Table.CONDEMNED):
        yield decode_condemned(key, payload)


def ripe(transaction: ReadTransaction, oldest_reader: int, limit: int, pack: int | None = None) -> list[Condemned]:
    """Return up to ``limit`` condemned extents, of one pack or of all, that no reader can look at any more."""
    rows: list[Condemned] = []
    for row in condemned(transaction):
        if len(rows) == limit or row.transaction > oldest_reader:
            break
        if pack is None or row.pack == pack:
            rows.append(row)
    return rows


def free_extents(transaction: ReadTransaction, pack: int | None = None) -> Iterator[Free]:
    """Yield the gaps of one pack, or of all, in order."""
    for key, payload in transaction.rows(Table.FREE, b"" if pack is None else key32(pack)):
        yield decode_free(key, payload)


class Merge(NamedTuple):
    """A planned gap, the condemned extents that form it, and the adjacent gaps that it absorbs."""

    gap: Free
    condemned: list[Condemned]
    absorbed: list[Free]


def plan_merges(transaction: ReadTransaction, rows: Sequence[Condemned]) -> list[Merge]:
    """Return the gaps that condemned extents form together with adjacent gaps, by pack and offset."""
    merges: list[Merge] = []
    for row in sorted(rows, key=lambda row: (row.pack, row.offset)):
        last = merges[-1] if merges else None
        if last is not None and (last.gap.pack, last.gap.end) == (row.pack, row.offset):
            last.condemned.append(row)
        else:
            before = _gap_before(transaction, row)
            start = before.offset if before else row.offset
            last = Merge(Free(row.pack, start, row.offset - start, 0), [row], [before] if before else [])
            merges.append(last)
        end = row.offset + row.length
        after = transaction.get(Table.FREE, key32(row.pack) + key32(end))
        if after is not None:
            gap = decode_free(key32(row.pack) + key32(end), after)
            last.absorbed.append(gap)
            end = gap.end
        merges[-1] = last._replace(gap=last.gap._replace(length=end - last.gap.offset))
    return merges


def _gap_before(transaction: ReadTransaction, row: Condemned) -> Free | None:
    key = key32(row.pack) + key32(row.offset)
    with transaction.raw.cursor(transaction.handles[Table.FREE]) as cursor:
        has_row = cursor.prev() if cursor.set_range(key) else cursor.last()
        if not has_row:
            return None
        before = bytes(cursor.key())
    gap = decode_free(before, transaction.get(Table.FREE, before) or b"")
    return gap if (gap.pack, gap.end) == (row.pack, row.offset) else None


def punch(path: Path, merges: Sequence[Merge]) -> list[Merge]:
    """Return the whole blocks of one pack's new gaps to the disk, durably; return the merges with their hole bytes.

    Bytes to purge are overwritten with zeros first.  Repeating it is harmless, and a pack that is gone needs nothing.
    """
    try:
        fd = beneath.open_file(path.parents[1], path, os.O_RDWR)
    except FileNotFoundError:
        return list(merges)
    try:
        with disk.out_of_space(path.parent, "holes in a pack"):
            return _punch_all(fd, merges)
    finally:
        os.close(fd)


def _punch_all(fd: int, merges: Sequence[Merge]) -> list[Merge]:
    block = max(_BLOCK, os.fstatvfs(fd).f_frsize)
    for merge in merges:
        for row in merge.condemned:
            if row.purge:
                _overwrite(fd, row.offset, row.length)
    if any(row.purge for merge in merges for row in merge.condemned):
        disk.sync_data(fd)
    punched = [merge._replace(gap=_punch_gap(fd, merge, block)) for merge in merges]
    disk.sync_data(fd)
    return punched


def overwrite_data(path: Path, offset: int, length: int) -> None:
    """Overwrite unreferenced bytes of a pack with zeros, durably, except for holes."""
    fd = beneath.open_file(path.parents[1], path, os.O_RDWR)
    try:
        end = offset + length
        while offset < end:
            try:
                offset = os.lseek(fd, offset, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:
                    break  # a hole up to the end of the file
                raise
            until = min(end, os.lseek(fd, offset, os.SEEK_HOLE))
            if offset < until:
                _overwrite(fd, offset, until - offset)
            offset = max(until, offset)
        disk.sync_data(fd)
    finally:
        os.close(fd)


def _overwrite(fd: int, offset: int, length: int) -> None:
    while length:
        size = min(length, len(_ZEROS))
        disk.append(fd, [memoryview(_ZEROS)[:size]], offset)
        offset, length = offset + size, length - size


def _punch_gap(fd: int, merge: Merge, block: int) -> Free:
    """Punch the whole blocks that the condemned extents add to a gap; return it with the bytes that are a hole."""
    gap = merge.gap
    first, last = _whole_blocks(gap, block)
    if first >= last:
        return gap
    spans = [(row.offset, row.offset + row.length) for row in merge.condemned]
    for absorbed in merge.absorbed:
        start, end = _whole_blocks(absorbed, block)
        if absorbed.punched < end - start:  # its file system could not make holes at that time
            spans.append((absorbed.offset, absorbed.end))
    for start, end in spans:
        start = max(first, start // block * block)
        end = min(last, -(-end // block) * block)
        if start < end and not disk.punch_hole(fd, start, end - start):
            return gap
    return gap._replace(punched=last - first)


def _whole_blocks(gap: Free, block: int) -> tuple[int, int]:
    """Return the start and end of the whole blocks of a gap; it has none if the end is not after the start."""
    return -(-gap.offset // block) * block, gap.end // block * block


def apply_merges(transaction: WriteTransaction, merges: Sequence[Merge]) -> int:
    """Turn condemned extents into gaps; return the bytes that were condemned and are free now."""
    freed = 0
    state = transaction.state
    for merge in merges:
        for row in merge.condemned:
            if transaction.delete(Table.CONDEMNED, encode_condemned(row)[0]):
                freed += row.length
        for gap in merge.absorbed:
            transaction.delete(Table.FREE, encode_free(gap)[0])
            state.free_bytes -= gap.length - gap.punched
        transaction.put(Table.FREE, *encode_free(merge.gap))
        state.free_bytes += merge.gap.length - merge.gap.punched
    state.condemned_bytes -= freed
    return freed
