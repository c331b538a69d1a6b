"""Repairing damage that a check found: derived records are derived again, damaged ones are restored from copies.

The order is from stored to derived data, because each step relies on those before it: folders; unreadable counters;
unreadable records of nodes, from the packs; damaged stored forms, from copies; the catalogue, from the journal; drafts,
deadlist, index and counts, from a recount; packs and gaps; the journal.  Each step is a transaction of its own and
leaves no new damage, so that a repair can be killed at any point and run again.  Other processes may continue.

Nothing that a node uses is ever freed.  Content without any sound copy becomes a lost node: all other files of its
versions stay, and a put of the same content restores it in every version.
"""

from __future__ import annotations

import os
import time
import uuid as uuids
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Final

import lmdb

from artstore import beneath
from artstore.checking.packed import Packed
from artstore.checking.recounting import Recount, readable_rows, recount
from artstore.checking.report import OnProgress, Progress, Report
from artstore.errors import DamageError
from artstore.ids import EMPTY_ID
from artstore.queries.figures import forget
from artstore.records.packing import CLASS_CONTENT, HEADER_LENGTH, encode_header, parse_header
from artstore.records.tables import Table
from artstore.repairing.merge_duplicates import merge_twins
from artstore.repairing.repair_catalogue import repair_catalogue, repair_journal
from artstore.repairing.repair_chunks import renew
from artstore.repairing.repair_counts import repair_counts, repair_deadlist, repair_drafts, repair_index
from artstore.repairing.repair_folders import restore_folders
from artstore.repairing.repair_records import restore_counters, restore_directories, restore_nodes
from artstore.repairing.repair_space import repair_ends, repair_space
from artstore.rows import space
from artstore.rows.nodes import find_node, node_extent
from artstore.storage import disk
from artstore.storage.manifest import ReadTransaction
from artstore.storage.packs import pack_path
from artstore.store import Store

__all__ = ["repair"]

_LOW: Final = (1 << 32) - 1


def repair(store: Store, damaged: Iterable[int] = (), progress: OnProgress | None = None) -> list[str]:
    """Repair a workspace; return one sentence for each kind of repair.

    ``damaged`` are nodes whose stored forms failed a check of the data.  Raises `DamageError` where LMDB's own pages
    are damaged, which only a rebuild repairs, and `BusyError` if a reaper makes no progress.
    """
    repairs = restore_folders(store.path)
    with space.exclusive(store.path), _pages():
        if restore_counters(store.path):
            repairs.append("rewrote the counters")
        repairs += _repair_parameters(store)
        repairs += _repair_headers(store)
        with closing(_scanned(store, progress)) as packed:
            node_repairs = _repair_nodes(store, packed, frozenset(damaged))
            if not node_repairs:
                repairs += _repair_rest(store, packed)
        if node_repairs:
            repairs += node_repairs
            with closing(_scanned(store, progress)) as packed:  # scan again: some stored forms have moved
                repairs += _repair_rest(store, packed)
    return repairs


@contextmanager
def _pages() -> Iterator[None]:
    """Translate LMDB's errors inside the block into one sentence."""
    try:
        yield
    except lmdb.Error as error:
        raise DamageError(
            f"the manifest's own pages are damaged: {error}", hint="rebuild it: artfs fsck --rebuild"
        ) from error


def _scanned(store: Store, progress: OnProgress | None) -> Packed:
    def report_progress(repairs: int, total: int) -> None:
        if progress is not None:
            progress(Progress("packs", repairs, total))

    return Packed(store.path, uuids.UUID(store.uuid).bytes, Report(), report_progress)


def _repair_parameters(store: Store) -> list[str]:
    """Remove unreadable settings."""
    with store.write() as transaction:
        with transaction.raw.cursor(transaction.handles[Table.META]) as cursor:
            present = set(cursor.iternext(values=False))
        unread = present - {key for key, _ in readable_rows(transaction, Table.META, Report())}
        for key in unread:
            transaction.delete(Table.META, key)
    return ["reset the settings to their defaults"] if unread else []


def _repair_headers(store: Store) -> list[str]:
    """Rewrite unreadable headers of packs."""
    repairs = []
    with store.snapshot() as snapshot:
        packs = [int.from_bytes(key, "big") for key, _ in readable_rows(snapshot.transaction, Table.PACKS, Report())]
    for path in (pack_path(store.path, pack) for pack in packs):
        if not beneath.exists(store.path, path) or beneath.status(store.path, path).st_size < HEADER_LENGTH:
            continue
        fd = beneath.open_file(store.path, path, os.O_RDWR)
        try:
            parse_header(os.pread(fd, HEADER_LENGTH, 0))
        except DamageError:
            header = encode_header(uuids.UUID(store.uuid).bytes, int(path.stem), time.time_ns())
            with disk.out_of_space(store.path, "a pack"):
                disk.append(fd, [header], 0)
                disk.sync_data(fd)
            repairs.append(f"rewrote the header of the pack {path.name}")
        finally:
            os.close(fd)
    return repairs


def _repair_nodes(store: Store, packed: Packed, damaged: Collection[int]) -> list[str]:
    """Restore nodes whose records or stored forms are damaged, or mark them as lost."""
    repairs = []
    with store.snapshot() as snapshot:
        recounted = recount(snapshot.transaction, Report())
    unread = {*recounted.damaged, *recounted.missing}
    if unread:
        with store.write() as transaction:
            restored, lost = restore_nodes(transaction, packed, unread)
        if restored:
            repairs.append(f"rebuilt {restored} records of nodes from the packs")
        if lost:
            repairs.append(f"dropped {len(lost)} nodes that have no surviving record")
        with store.snapshot() as snapshot:
            recounted = recount(snapshot.transaction, Report())
    with store.write() as transaction:
        corrected = restore_directories(transaction, packed, damaged)
    if corrected:
        repairs.append(f"derived {corrected} directory records from the packs")
    suspects = {*damaged, *_misplaced(recounted, packed)}
    with store.snapshot() as snapshot:
        suspects.update(_unnamed_empty(snapshot.transaction, packed))
    if suspects or unread or corrected:
        forget(store.path)
    if suspects:
        renewed = renew(store, packed, suspects)
        if renewed.written:
            repairs.append(f"rewrote {renewed.written} stored forms")
        if renewed.lost:
            repairs.append(f"quarantined {len(renewed.lost)} damaged chunks")
    return repairs


def _misplaced(recounted: Recount, packed: Packed) -> Iterator[int]:
    """Yield the nodes whose stored forms are in no whole segment, or overlap others."""
    for pack, use in recounted.packs.items():
        end = last = 0
        for place, rank in sorted(zip(use.nodes, use.ranks, strict=True)):
            start, length = place >> 32, place & _LOW
            node = recounted.numbers[rank]
            if start < end:
                yield from (last, node)
            elif not packed.holds(pack, start, length):
                yield node
            end, last = max(end, start + length), node


def _unnamed_empty(transaction: ReadTransaction, packed: Packed) -> Iterator[int]:
    """Yield the empty chunk if no whole segment has it: only its entry in an index proves that it was stored."""
    row = find_node(transaction, CLASS_CONTENT, EMPTY_ID)
    if row is not None:
        extent = node_extent(row[1])
        if not packed.holds(extent.pack, extent.offset, 0):
            yield row[0]


def _repair_rest(store: Store, packed: Packed) -> list[str]:
    """Repair the rows that are derived from the nodes and the packs, in one transaction."""
    with store.write() as transaction:
        recounted = recount(transaction, Report())
        state = transaction.state
        before = replace(state)
        state.next_node = max([state.next_node, *(node + 1 for node in recounted.numbers[-1:])])
        repairs = merge_twins(transaction, recounted)
        recounted = recount(transaction, Report()) if repairs else recounted
        repairs += repair_index(transaction, recounted)
        repairs += repair_catalogue(store.path, transaction)
        repairs += repair_drafts(transaction)
        repairs += repair_deadlist(transaction)
        recounted = recount(transaction, Report())
        repairs += repair_counts(transaction, recounted)
        repairs += repair_ends(store.path, transaction, packed, recounted)
        repairs += repair_space(transaction, packed, recounted)
        repairs += repair_journal(store.path, transaction)
        if state != before:
            repairs.append("updated the counters")
    return repairs
