"""Ways to damage the tables, packs and journal of a workspace."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from artstore.records.catalogue import DraftRecord
from artstore.records.deadlist import Free, decode_free, encode_free
from artstore.records.nodes import (
    KIND_CHUNK,
    KIND_LIST,
    Extent,
)
from artstore.records.packing import CLASS_CONTENT
from artstore.records.tables import Table, key32, key64
from artstore.rows import catalogue, deadlist, space
from artstore.rows.nodes import change_counts, node_extent, node_payload
from artstore.storage.manifest import WriteTransaction
from artstore.storage.packs import pack_path
from artstore.workspace import Workspace
from crash.recount import all_nodes

Damage = Callable[[Workspace, WriteTransaction], None]


def table_keys(transaction: WriteTransaction, table: Table) -> list[bytes]:
    with transaction.raw.cursor(transaction.handles[table]) as cursor:
        return list(cursor.iternext(values=False))


def spoil(transaction: WriteTransaction, table: Table, key: bytes) -> None:
    """Flip one bit in the middle of a row."""
    value = bytearray(transaction.raw.get(key, db=transaction.handles[table]))
    value[len(value) // 2] ^= 4
    transaction.raw.put(key, bytes(value), db=transaction.handles[table])


def node_of(transaction: WriteTransaction, kind: int, rank: int = -1) -> int:
    """Return one of the nodes of a kind; by default the last, which a living version uses."""
    return [node for node, payload in all_nodes(transaction).items() if payload[0] == kind][rank]


# -- counts, index and counters ----------------------------------------------------------------------------------------


def counts_gone(ws: Workspace, transaction: WriteTransaction) -> None:
    transaction.delete(Table.COUNTS, table_keys(transaction, Table.COUNTS)[1])


def counts_spoilt(ws: Workspace, transaction: WriteTransaction) -> None:
    for key in table_keys(transaction, Table.COUNTS):
        spoil(transaction, Table.COUNTS, key)


def counts_too_high(ws: Workspace, transaction: WriteTransaction) -> None:
    change_counts(transaction, dict.fromkeys(list(all_nodes(transaction))[5:400:7], 3))


def counts_of_nothing(ws: Workspace, transaction: WriteTransaction) -> None:
    change_counts(transaction, {transaction.state.next_node + 500: 1})


def index_row_gone(ws: Workspace, transaction: WriteTransaction) -> None:
    for key in table_keys(transaction, Table.INDEX)[::9]:
        transaction.delete(Table.INDEX, key)


def index_misleads(ws: Workspace, transaction: WriteTransaction) -> None:
    first, second = table_keys(transaction, Table.INDEX)[4:6]
    transaction.put_index(first[0], first[1:], transaction.find(second[0], second[1:]) or 0)


def index_of_nothing(ws: Workspace, transaction: WriteTransaction) -> None:
    transaction.put_index(CLASS_CONTENT, bytes(32), 1 << 40)


def sums_wrong(ws: Workspace, transaction: WriteTransaction) -> None:
    state = transaction.state
    state.stored_bytes += 5
    state.free_bytes += 6
    state.condemned_bytes += 7
    state.framing_bytes += 8
    state.versions += 1
    state.logical_bytes += 9
    state.deadlist_entries += 1


def numbers_reset(ws: Workspace, transaction: WriteTransaction) -> None:
    state = transaction.state
    state.next_node = 20
    state.next_serial = state.next_name = state.next_alias = state.next_draft = state.next_entry = 1
    state.next_pack = 1


# -- what no one holds -------------------------------------------------------------------------------------------------


def orphan(ws: Workspace, transaction: WriteTransaction) -> None:
    """Let go of a deleted version without telling anybody."""
    entry = next(deadlist.entries(transaction))
    catalogue.remove_version(transaction, entry.serial, entry.artifact, entry.version)
    deadlist.remove_entry(transaction, entry)
    change_counts(transaction, dict.fromkeys(entry.nodes, -1))


def orphan_with_a_count(ws: Workspace, transaction: WriteTransaction) -> None:
    entry = next(deadlist.entries(transaction))
    catalogue.remove_version(transaction, entry.serial, entry.artifact, entry.version)
    deadlist.remove_entry(transaction, entry)


def held_by_no_draft(ws: Workspace, transaction: WriteTransaction) -> None:
    node = ws.version("alone:v1").record.root
    transaction.raw.put(key64(77) + key64(node), b"", db=transaction.handles[Table.STAGED])
    change_counts(transaction, {node: 1})


def nothing_held(ws: Workspace, transaction: WriteTransaction) -> None:
    transaction.raw.put(key64(78) + key64(1 << 40), b"", db=transaction.handles[Table.STAGED])
    transaction.raw.put(b"short", b"", db=transaction.handles[Table.STAGED])


def draft_spoilt(ws: Workspace, transaction: WriteTransaction) -> None:
    transaction.put(Table.DRAFTS, key64(79), b"{")


def open_draft_half_held(ws: Workspace, transaction: WriteTransaction) -> None:
    root, start = (ws.version(ref).record.root for ref in ("alone:v1", "team/vision/data:v0"))
    record = DraftRecord(1 << 20, "a", 1, 1, id="x", start=start, root=root)
    transaction.put(Table.DRAFTS, key64(record.draft), record.encode())
    transaction.put(Table.STAGED, key64(record.draft) + key64(start), b"")
    transaction.state.next_draft = record.draft + 1
    change_counts(transaction, {start: 1})


# -- the deadlist ------------------------------------------------------------------------------------------------------


def entry_spoilt(ws: Workspace, transaction: WriteTransaction) -> None:
    for key in table_keys(transaction, Table.DEADLIST):
        spoil(transaction, Table.DEADLIST, key)


def entry_gone(ws: Workspace, transaction: WriteTransaction) -> None:
    transaction.delete(Table.DEADLIST, table_keys(transaction, Table.DEADLIST)[0])
    transaction.state.deadlist_entries -= 1


def entry_of_nothing(ws: Workspace, transaction: WriteTransaction) -> None:
    deadlist.add_entry(transaction, [1 << 40, (1 << 40) + 1], 5)


def entry_of_the_living(ws: Workspace, transaction: WriteTransaction) -> None:
    version = ws.version("alone:v1").record
    deadlist.add_entry(transaction, [version.root], 5, serial=version.serial, artifact=version.artifact, version=1)


def entry_from_the_future(ws: Workspace, transaction: WriteTransaction) -> None:
    entry = next(deadlist.entries(transaction))
    deadlist.change_entry(transaction, entry._replace(transaction=1 << 50))


def entries_of_one_number(ws: Workspace, transaction: WriteTransaction) -> None:
    entry = next(deadlist.entries(transaction))
    node = ws.version("alone:v1").record.root
    deadlist.change_entry(transaction, entry._replace(due_ns=1, nodes=(node,), serial=0, artifact=0, version=0))
    transaction.state.deadlist_entries += 1
    change_counts(transaction, {node: 1})


# -- the catalogue -----------------------------------------------------------------------------------------------------


def rows_gone(*tables: Table) -> Damage:
    def damage(ws: Workspace, transaction: WriteTransaction) -> None:
        for table in tables:
            for key in table_keys(transaction, table):
                transaction.delete(table, key)

    damage.__name__ = "_gone_" + "_".join(table.name.lower() for table in tables)
    return damage


def rows_spoilt(*tables: Table) -> Damage:
    def damage(ws: Workspace, transaction: WriteTransaction) -> None:
        for table in tables:
            for key in table_keys(transaction, table):
                spoil(transaction, table, key)

    damage.__name__ = "_spoilt_" + "_".join(table.name.lower() for table in tables)
    return damage


def rules_gone(ws: Workspace, transaction: WriteTransaction) -> None:
    transaction.delete(Table.META, b"retention")


def rules_spoilt(ws: Workspace, transaction: WriteTransaction) -> None:
    spoil(transaction, Table.META, b"retention")


def rules_malformed(ws: Workspace, transaction: WriteTransaction) -> None:
    transaction.put(Table.META, b"retention", b"{}")


def end_forgotten(ws: Workspace, transaction: WriteTransaction) -> None:
    record = ws.version("team/vision/data:v0").record
    transaction.put(Table.VERSIONS, key64(record.serial), b"{}")


def settings_spoilt(ws: Workspace, transaction: WriteTransaction) -> None:
    spoil(transaction, Table.META, b"settings")


def version_of_no_number(ws: Workspace, transaction: WriteTransaction) -> None:
    transaction.put(Table.NUMBERS, key64(99) + key32(3), key32(4))


def alias_of_nothing(ws: Workspace, transaction: WriteTransaction) -> None:
    artifact = catalogue.find_name(transaction, "alone")
    assert artifact is not None
    catalogue.put_alias(transaction, artifact.number, "stray", 0, 1)


def project_of_nothing(ws: Workspace, transaction: WriteTransaction) -> None:
    record = catalogue.find_name(transaction, "team")
    assert record is not None
    number = transaction.state.next_name
    transaction.state.next_name += 1
    catalogue.put_artifact(transaction, replace(record, number=number, name="empty"))
    transaction.put(Table.NAMES, b"empty", key64(number))


# -- packs and gaps ----------------------------------------------------------------------------------------------------


def gap_over_a_node(ws: Workspace, transaction: WriteTransaction) -> None:
    extent = node_extent(node_payload(transaction, node_of(transaction, KIND_CHUNK)))
    transaction.put(Table.FREE, *encode_free(Free(extent.pack, extent.offset - 10, extent.stored + 20, 0)))


def condemned_over_a_node(ws: Workspace, transaction: WriteTransaction) -> None:
    space.condemn(transaction, [node_extent(node_payload(transaction, node_of(transaction, KIND_LIST)))])


def gap_outside(ws: Workspace, transaction: WriteTransaction) -> None:
    transaction.put(Table.FREE, *encode_free(Free(1, 1 << 30, 500, 0)))
    transaction.put(Table.FREE, *encode_free(Free(88, 100, 500, 0)))


def gap_gone(ws: Workspace, transaction: WriteTransaction) -> None:
    key = table_keys(transaction, Table.FREE)[0]
    gap = decode_free(key, transaction.get(Table.FREE, key) or b"")
    transaction.delete(Table.FREE, key)
    transaction.state.free_bytes -= gap.length - gap.punched


def hole_too_large(ws: Workspace, transaction: WriteTransaction) -> None:
    for key in table_keys(transaction, Table.FREE):
        gap = decode_free(key, transaction.get(Table.FREE, key) or b"")
        transaction.put(Table.FREE, *encode_free(gap._replace(punched=gap.length)))


SMALL_DAMAGE: list[Damage] = [
    counts_gone,
    counts_spoilt,
    counts_too_high,
    counts_of_nothing,
    index_row_gone,
    index_misleads,
    index_of_nothing,
    sums_wrong,
    numbers_reset,
    orphan,
    orphan_with_a_count,
    held_by_no_draft,
    nothing_held,
    draft_spoilt,
    open_draft_half_held,
    entry_spoilt,
    entry_gone,
    entry_of_nothing,
    entry_of_the_living,
    entry_from_the_future,
    entries_of_one_number,
    rows_gone(Table.NAMES),
    rows_gone(Table.TERMS),
    rows_spoilt(Table.TERMS),
    rows_gone(Table.NUMBERS),
    rows_gone(Table.ALIASES),
    rows_gone(Table.ALIAS_SERIALS),
    rows_gone(Table.VERSIONS, Table.NUMBERS),
    rows_spoilt(Table.NAMES),
    rows_spoilt(Table.VERSIONS),
    rows_spoilt(Table.ARTIFACTS),
    rows_spoilt(Table.ALIASES),
    rows_spoilt(Table.NUMBERS, Table.ALIAS_SERIALS),
    rows_spoilt(Table.FREE),
    rows_spoilt(Table.PACKS),
    rows_gone(Table.PACKS),
    settings_spoilt,
    rules_gone,
    rules_spoilt,
    rules_malformed,
    end_forgotten,
    version_of_no_number,
    alias_of_nothing,
    project_of_nothing,
    gap_over_a_node,
    condemned_over_a_node,
    gap_outside,
    gap_gone,
    hole_too_large,
]


def flip_bit(ws: Workspace, extent: Extent) -> None:
    with pack_path(ws.path, extent.pack).open("r+b") as file:
        file.seek(extent.offset + extent.stored // 2)
        byte = file.read(1)[0]
        file.seek(extent.offset + extent.stored // 2)
        file.write(bytes([byte ^ 1]))


def node_at(ws: Workspace, ref: str, path: bytes) -> int:
    with ws.store.snapshot() as snapshot:
        entry = snapshot.resolve(ws.version(ref).record.root, path)
    assert entry is not None
    return entry.node


def cut_in_half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)
