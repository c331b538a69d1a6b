"""Repairing the holders of nodes: drafts, the deadlist, the index, and the counts that are derived from them.

Unreferenced nodes go to the deadlist, due at once: the reaper frees them like any others, so that the sums stay exact.
Runs inside one write transaction.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from artstore.checking.recounting import Recount, readable_rows
from artstore.checking.report import Report
from artstore.errors import DamageError
from artstore.records.catalogue import DraftRecord, VersionRecord
from artstore.records.deadlist import DeadEntry, decode_entry
from artstore.records.tables import Table, key32, key64
from artstore.rows import catalogue, deadlist, nodes
from artstore.rows.drafts import held_node
from artstore.rows.nodes import COUNT_BLOCK, index_keys, node_payload
from artstore.storage.manifest import WriteTransaction

__all__ = ["repair_counts", "repair_deadlist", "repair_drafts", "repair_index"]

_ENTRY_NODES: Final = 1000


def _keys(transaction: WriteTransaction, table: Table) -> list[bytes]:
    with transaction.raw.cursor(transaction.handles[table]) as cursor:
        return list(cursor.iternext(values=False))


def _is_present(transaction: WriteTransaction, node: int) -> bool:
    return transaction.raw.get(key64(node), db=transaction.handles[Table.NODES]) is not None


def _held_node(transaction: WriteTransaction, key: bytes) -> int:
    """Return the node that a row of STAGED holds, or 0 if the row is unreadable."""
    try:
        return held_node(key, transaction.raw.get(key, db=transaction.handles[Table.STAGED]) or b"")
    except DamageError:
        return 0


# -- drafts ------------------------------------------------------------------------------------------------------------


def repair_drafts(transaction: WriteTransaction) -> list[str]:
    """Give every draft that holds nodes a record, and remove its holds on nodes that do not exist."""
    repairs = []
    known: dict[int, DraftRecord] = {}
    held = set()
    for _, payload in readable_rows(transaction, Table.DRAFTS, Report()):
        try:
            record = DraftRecord.decode(payload)
        except DamageError:
            continue
        known[record.draft] = record
    for key in _keys(transaction, Table.STAGED):
        if not _is_present(transaction, _held_node(transaction, key)):
            transaction.delete(Table.STAGED, key)
            repairs.append(f"removed the row {key.hex()} of a draft, which held nothing")
            continue
        draft = int.from_bytes(key[:8], "big")
        held.add((draft, int.from_bytes(key[8:], "big")))
        if draft not in known:
            known[draft] = DraftRecord(draft, "", time.time_ns(), 0)
            transaction.put(Table.DRAFTS, key64(draft), known[draft].encode())
            transaction.state.next_draft = max(transaction.state.next_draft, draft + 1)
            repairs.append(f"recreated the record of draft {draft} as that of a dead one")
    for draft, record in known.items():
        if record.id and not {(draft, node) for node in record.held} <= held:
            closed = DraftRecord(draft, record.artifact, record.created_ns, 0)
            transaction.put(Table.DRAFTS, key64(draft), closed.encode())
            repairs.append(f"discarded the open draft {record.id!r}, part of which is lost")
    for key in _keys(transaction, Table.DRAFTS):
        if int.from_bytes(key, "big") not in known:
            transaction.delete(Table.DRAFTS, key)
            repairs.append(f"removed the record of draft {int.from_bytes(key, 'big')}, which held nothing")
    return repairs


# -- the deadlist ------------------------------------------------------------------------------------------------------


def repair_deadlist(transaction: WriteTransaction) -> list[str]:
    """Make the deadlist hold each deleted version once, and no node that does not exist."""
    repairs: list[str] = []
    kept: dict[int, DeadEntry] = {}
    waiting: dict[int, DeadEntry] = {}
    for key in _keys(transaction, Table.DEADLIST):
        try:
            entry = decode_entry(key, transaction.get(Table.DEADLIST, key) or b"")
        except DamageError:
            transaction.delete(Table.DEADLIST, key)
            repairs.append("removed an unreadable entry of the deadlist")
            continue
        repaired = _repaired_entry(transaction, entry, kept)
        if repaired != entry:
            transaction.delete(Table.DEADLIST, key)
            repairs.append(f"repaired entry {entry.number} of the deadlist")
            if repaired is None:
                continue
            deadlist.change_entry(transaction, repaired)
        kept[repaired.number] = repaired
        transaction.state.next_entry = max(transaction.state.next_entry, repaired.number + 1)
        if repaired.serial and not repaired.started:
            waiting[repaired.serial] = repaired
    transaction.state.deadlist_entries = len(kept)
    for version in list(_deleted(transaction)):
        repairs += _repair_deleted(transaction, version, waiting.get(version.serial))
    return repairs


def _repaired_entry(transaction: WriteTransaction, entry: DeadEntry, kept: dict[int, DeadEntry]) -> DeadEntry | None:
    """Return a corrected entry, or None if nothing is left of it."""
    present = tuple(node for node in entry.nodes if _is_present(transaction, node))
    if not present:
        return None
    entry = entry._replace(nodes=present, transaction=min(entry.transaction, transaction.number))
    if entry.number in kept:
        entry = entry._replace(number=max(transaction.state.next_entry, max(kept) + 1))
    if entry.serial and not entry.started:
        version = catalogue.recorded_version(transaction, entry.serial)
        if version is None:
            return entry._replace(started=True)  # it cannot be undeleted: its version is unknown
        others = (other.serial for other in kept.values() if not other.started)
        if version.state == "live" or entry.serial in others:
            return None
        if entry.nodes != (version.root,):
            return entry._replace(nodes=(version.root,))
    return entry


def _deleted(transaction: WriteTransaction) -> Iterator[VersionRecord]:
    for _, payload in transaction.rows(Table.VERSIONS):
        version = VersionRecord.decode(payload)
        if version.state != "live":
            yield version


def _repair_deleted(transaction: WriteTransaction, version: VersionRecord, entry: DeadEntry | None) -> list[str]:
    """Make a deleted version and its entry agree."""
    if entry is None:
        entry = deadlist.add_entry(
            transaction,
            [version.root],
            version.due_ns or time.time_ns(),
            serial=version.serial,
            artifact=version.artifact,
            version=version.number,
        )
    corrected = replace(version, due_ns=entry.due_ns, entry=entry.number)
    if corrected == version:
        return []
    transaction.put(Table.VERSIONS, key32(version.serial), corrected.encode())
    return [f"put the deleted version with serial {version.serial} back on the deadlist"]


# -- the index ---------------------------------------------------------------------------------------------------------


def repair_index(transaction: WriteTransaction, recounted: Recount) -> list[str]:
    """Make the index lead from each node's id to the node, and to no other; return a sentence if it did not."""
    wrong = 0
    covered: set[int] = set()
    with transaction.raw.cursor(transaction.handles[Table.INDEX]) as cursor:
        rows = [(key, int.from_bytes(value, "big")) for key, value in cursor]
    for key, node in rows:
        if recounted.rank(node) >= 0 and node not in covered and key in index_keys(node_payload(transaction, node)):
            covered.add(node)
        else:
            transaction.delete(Table.INDEX, key)
            wrong += 1
    for node in recounted.numbers:
        if node in covered:
            continue
        payload = node_payload(transaction, node)
        free = [key for key in index_keys(payload) if transaction.find(key[0], key[1:]) is None]
        if free:
            transaction.put_index(free[0][0], free[0][1:], node)
            wrong += 1
    return [f"repaired {wrong} rows of the index"] if wrong else []


# -- counts ------------------------------------------------------------------------------------------------------------


def repair_counts(transaction: WriteTransaction, recounted: Recount) -> list[str]:
    """Write each count as recounted; unreferenced nodes go to the deadlist, which then holds them."""
    repairs = []
    orphans = [node for node, wanted in zip(recounted.numbers, recounted.wanted, strict=True) if not wanted]
    for start in range(0, len(orphans), _ENTRY_NODES):
        deadlist.add_entry(transaction, orphans[start : start + _ENTRY_NODES], time.time_ns())
    if orphans:
        repairs.append(f"put {len(orphans)} unreferenced nodes on the deadlist")
    wanted_by_block: dict[int, dict[int, int]] = {}
    for node, wanted in zip(recounted.numbers, recounted.wanted, strict=True):
        wanted_by_block.setdefault(node // COUNT_BLOCK, {})[node] = wanted or 1
    wrong = 0
    for key in _keys(transaction, Table.COUNTS):
        if len(key) != 8 or int.from_bytes(key, "big") not in wanted_by_block:
            transaction.delete(Table.COUNTS, key)
            wrong += 1
    for block, wanted_nodes in wanted_by_block.items():
        counts = [wanted_nodes.get(block * COUNT_BLOCK + index, 0) for index in range(COUNT_BLOCK)]
        try:
            if nodes.read_counts(transaction, block) == counts:
                continue
        except DamageError:
            pass
        transaction.delete(Table.COUNTS, key64(block))
        nodes.change_counts(transaction, wanted_nodes)
        wrong += 1
    if wrong:
        repairs.append(f"rewrote {wrong} blocks of counts")
    return repairs
