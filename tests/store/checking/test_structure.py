"""Every contradiction between the tables, the packs and the journal is found and named; a sound workspace has none."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from artstore.checking import check
from artstore.checking.report import MOST_OF_A_KIND
from artstore.records.catalogue import DraftRecord, VersionRecord
from artstore.records.deadlist import Condemned, Free, encode_condemned, encode_entry, encode_free
from artstore.records.nodes import KIND_CHUNK, KIND_LIST, KIND_TREE, LostRecord, decode_chunk, encode_chunk
from artstore.records.packing import CLASS_CONTENT, CLASS_TREE
from artstore.records.tables import Table, key32, key64
from artstore.rows import catalogue, deadlist, space
from artstore.rows.nodes import change_counts, node_payload, put_lost
from artstore.storage import manifest
from artstore.storage.environment import Environment
from artstore.storage.manifest import WriteTransaction
from artstore.workspace import Workspace
from store.checking.conftest import found, structure_of

Damage = Callable[[Workspace, WriteTransaction], None]


def node_of(transaction: WriteTransaction, kind: int, *, rank: int = -1) -> int:
    rows = transaction.numbered_rows(Table.NODES)
    return [node for node, payload in rows if payload[0] == kind and len(payload) > 70][rank]


def version_of(transaction: WriteTransaction, state: str = "live") -> VersionRecord:
    records = [VersionRecord.decode(payload) for _, payload in transaction.rows(Table.VERSIONS)]
    return next(record for record in records if record.state == state)


def raw_put(transaction: WriteTransaction, table: Table, key: bytes, value: bytes) -> None:
    transaction.raw.put(key, value, db=transaction.handles[table])


# -- one function for each way to be wrong -----------------------------------------------------------------------------


def count_too_high(ws: Workspace, transaction: WriteTransaction) -> None:
    change_counts(transaction, {node_of(transaction, KIND_TREE): 1})


def count_too_low(ws: Workspace, transaction: WriteTransaction) -> None:
    change_counts(transaction, {ws.version("alone:v1").record.root: -1})


def counts_row_gone(ws: Workspace, transaction: WriteTransaction) -> None:
    transaction.delete(Table.COUNTS, key64(0))


def counts_malformed(ws: Workspace, transaction: WriteTransaction) -> None:
    transaction.put_numbered(Table.COUNTS, 0, b"\xff\1\0\0\0")


def node_gone(ws: Workspace, transaction: WriteTransaction) -> None:
    transaction.delete(Table.NODES, key64(node_of(transaction, KIND_CHUNK)))


def node_orphaned(ws: Workspace, transaction: WriteTransaction) -> None:
    entry = next(deadlist.entries(transaction))
    catalogue.remove_version(transaction, entry.serial, entry.artifact, entry.version)
    deadlist.remove_entry(transaction, entry)
    change_counts(transaction, dict.fromkeys(entry.nodes, -1))


def index_row_gone(ws: Workspace, transaction: WriteTransaction) -> None:
    payload = node_payload(transaction, node_of(transaction, KIND_TREE))
    transaction.delete(Table.INDEX, bytes([CLASS_TREE]) + payload[2:34])


def index_row_to_nothing(ws: Workspace, transaction: WriteTransaction) -> None:
    transaction.put_index(CLASS_CONTENT, bytes(32), 1 << 40)


def index_row_to_another(ws: Workspace, transaction: WriteTransaction) -> None:
    payload = node_payload(transaction, node_of(transaction, KIND_CHUNK))
    transaction.put_index(CLASS_CONTENT, payload[2:34], node_of(transaction, KIND_CHUNK, rank=0))


def index_row_in_another_class(ws: Workspace, transaction: WriteTransaction) -> None:
    node = node_of(transaction, KIND_TREE)
    ident = node_payload(transaction, node)[2:34]
    transaction.delete(Table.INDEX, bytes([CLASS_TREE]) + ident)
    transaction.put_index(CLASS_CONTENT, ident, node)


def move_chunk(transaction: WriteTransaction, **place: int) -> None:
    node = node_of(transaction, KIND_CHUNK)
    record = decode_chunk(node_payload(transaction, node))
    moved = record._replace(extent=record.extent._replace(**place))
    transaction.put_numbered(Table.NODES, node, encode_chunk(moved))


def extent_past_the_end(ws: Workspace, transaction: WriteTransaction) -> None:
    move_chunk(transaction, offset=4_000_000_000)


def extent_in_the_header(ws: Workspace, transaction: WriteTransaction) -> None:
    move_chunk(transaction, offset=3)


def extent_on_another(ws: Workspace, transaction: WriteTransaction) -> None:
    other = decode_chunk(node_payload(transaction, node_of(transaction, KIND_CHUNK, rank=0))).extent
    move_chunk(transaction, offset=other.offset)


def extent_in_no_pack(ws: Workspace, transaction: WriteTransaction) -> None:
    move_chunk(transaction, pack=99)


def gap_on_a_node(ws: Workspace, transaction: WriteTransaction) -> None:
    extent = decode_chunk(node_payload(transaction, node_of(transaction, KIND_CHUNK))).extent
    transaction.put(Table.FREE, *encode_free(Free(extent.pack, extent.offset + 1, 5, 0)))
    transaction.state.free_bytes += 5


def condemned_on_a_node(ws: Workspace, transaction: WriteTransaction) -> None:
    extent = decode_chunk(node_payload(transaction, node_of(transaction, KIND_CHUNK))).extent
    transaction.put(Table.CONDEMNED, *encode_condemned(Condemned(1, extent.pack, extent.offset + 1, 5)))


def condemned_in_the_future(ws: Workspace, transaction: WriteTransaction) -> None:
    transaction.put(Table.CONDEMNED, *encode_condemned(Condemned(1 << 40, 1, 50, 1)))


def gap_malformed(ws: Workspace, transaction: WriteTransaction) -> None:
    transaction.put(Table.FREE, key32(1) + key32(60), struct.pack("<II", 5, 6))


def version_without_number(ws: Workspace, transaction: WriteTransaction) -> None:
    version = version_of(transaction)
    transaction.delete(Table.NUMBERS, key64(version.artifact) + key32(version.number))


def number_without_version(ws: Workspace, transaction: WriteTransaction) -> None:
    transaction.put(Table.NUMBERS, key64(version_of(transaction).artifact) + key32(77), key32(78))


def version_in_no_state(ws: Workspace, transaction: WriteTransaction) -> None:
    catalogue.put_version(transaction, replace(version_of(transaction), state="odd"))


def version_of_nothing(ws: Workspace, transaction: WriteTransaction) -> None:
    transaction.delete(Table.ARTIFACTS, key64(version_of(transaction).artifact))


def version_without_root(ws: Workspace, transaction: WriteTransaction) -> None:
    catalogue.put_version(transaction, replace(version_of(transaction), root=1 << 40))


def version_still_to_come(ws: Workspace, transaction: WriteTransaction) -> None:
    transaction.state.next_serial = 1


def deleted_and_not_on_the_deadlist(ws: Workspace, transaction: WriteTransaction) -> None:
    entry = next(deadlist.entries(transaction))
    deadlist.remove_entry(transaction, entry)
    change_counts(transaction, dict.fromkeys(entry.nodes, -1))


def on_the_deadlist_and_not_deleted(ws: Workspace, transaction: WriteTransaction) -> None:
    deleted = version_of(transaction, "deleted")
    catalogue.put_version(transaction, replace(deleted, state="live"))


def entry_of_another_root(ws: Workspace, transaction: WriteTransaction) -> None:
    deleted = version_of(transaction, "deleted")
    catalogue.put_version(transaction, replace(deleted, due_ns=deleted.due_ns + 1))


def entry_of_no_version(ws: Workspace, transaction: WriteTransaction) -> None:
    deleted = version_of(transaction, "deleted")
    catalogue.remove_version(transaction, deleted.serial, deleted.artifact, deleted.number)


def entry_malformed(ws: Workspace, transaction: WriteTransaction) -> None:
    key, payload = encode_entry(next(deadlist.entries(transaction)))
    transaction.put(Table.DEADLIST, key, payload[:-3])


def entry_still_to_come(ws: Workspace, transaction: WriteTransaction) -> None:
    transaction.state.next_entry = 1


def two_entries_with_one_number(ws: Workspace, transaction: WriteTransaction) -> None:
    entry = next(deadlist.entries(transaction))
    transaction.put(Table.DEADLIST, *encode_entry(entry._replace(due_ns=entry.due_ns + 1, serial=0)))


def draft_that_holds_and_is_not_there(ws: Workspace, transaction: WriteTransaction) -> None:
    root = ws.version("alone:v1").record.root
    raw_put(transaction, Table.STAGED, key64(77) + key64(root), b"")
    change_counts(transaction, {root: 1})


def open_draft_without_its_tree(ws: Workspace, transaction: WriteTransaction) -> None:
    root = ws.version("alone:v1").record.root
    transaction.put(
        Table.DRAFTS, key64(1 << 20), DraftRecord(1 << 20, "a", 1, 1, id="x", start=root, root=root).encode()
    )
    transaction.state.next_draft = (1 << 20) + 1


def held_malformed(ws: Workspace, transaction: WriteTransaction) -> None:
    raw_put(transaction, Table.STAGED, b"short", b"")


def name_to_nothing(ws: Workspace, transaction: WriteTransaction) -> None:
    transaction.put(Table.NAMES, b"new", key64(1 << 30))


def name_gone(ws: Workspace, transaction: WriteTransaction) -> None:
    transaction.delete(Table.NAMES, b"alone")


def name_of_another(ws: Workspace, transaction: WriteTransaction) -> None:
    transaction.put(Table.NAMES, b"again", key64(version_of(transaction).artifact))


def retired_though_living(ws: Workspace, transaction: WriteTransaction) -> None:
    artifact = catalogue.find_name(transaction, "alone")
    assert artifact is not None
    catalogue.retire(transaction, artifact)


def project_gone(ws: Workspace, transaction: WriteTransaction) -> None:
    project = catalogue.find_name(transaction, "team")
    assert project is not None
    transaction.delete(Table.NAMES, b"team")
    transaction.delete(Table.ARTIFACTS, key64(project.number))


def alias_of_no_version(ws: Workspace, transaction: WriteTransaction) -> None:
    catalogue.put_alias(transaction, version_of(transaction).artifact, "odd", 99, 0)


def alias_serial_gone(ws: Workspace, transaction: WriteTransaction) -> None:
    artifact = catalogue.find_name(transaction, "team/vision/data")
    assert artifact is not None
    transaction.delete(Table.ALIAS_SERIALS, key32(catalogue.aliases_of(transaction, artifact.number)[0].serial))


def alias_serial_to_nothing(ws: Workspace, transaction: WriteTransaction) -> None:
    transaction.put(Table.ALIAS_SERIALS, key32(99), b"x")


def alias_unknown_to_the_journal(ws: Workspace, transaction: WriteTransaction) -> None:
    catalogue.put_alias(transaction, version_of(transaction).artifact, "new", version_of(transaction).number, 0)


def journal_shorter(ws: Workspace, transaction: WriteTransaction) -> None:
    transaction.state.journal_end += 1


def record_spoilt(ws: Workspace, transaction: WriteTransaction) -> None:
    spoil(transaction, Table.NODES, key64(node_of(transaction, KIND_CHUNK)))


def settings_spoilt(ws: Workspace, transaction: WriteTransaction) -> None:
    transaction.put(Table.META, b"settings", b"[")


DAMAGES: list[tuple[Damage, str, list[str], str | None]] = [
    (count_too_high, "count", [], "wrong count"),
    (count_too_low, "count", [], "wrong count"),
    (counts_row_gone, "count", ["0", "1"], "wrong count"),
    (counts_malformed, "record", ["0"], "malformed counts"),
    (node_gone, "reference", [], "missing node"),
    (node_orphaned, "orphan", [], "orphan"),
    (index_row_gone, "index", [], "no index row"),
    (index_row_to_nothing, "index", [], "index leads to nothing"),
    (index_row_to_another, "index", [], "index leads elsewhere"),
    (index_row_in_another_class, "index", [], "index leads elsewhere"),
    (extent_past_the_end, "extent", [], "past the end"),
    (extent_in_the_header, "extent", [], "in the header"),
    (extent_on_another, "extent", [], "overlap"),
    (extent_in_no_pack, "extent", ["pack 99"], "not recorded"),
    (gap_on_a_node, "extent", [], "gap"),
    (condemned_on_a_node, "extent", [], "condemned extent"),
    (condemned_in_the_future, "deadlist", [], "in the future"),
    (gap_malformed, "record", [], "malformed gap"),
    (version_without_number, "catalogue", [], "number does not lead to it"),
    (number_without_version, "catalogue", [], "no such version"),
    (version_in_no_state, "catalogue", ["'odd'"], "unknown state"),
    (version_of_nothing, "catalogue", [], "no artifact"),
    (version_without_root, "reference", [], "root refers to nothing"),
    (version_still_to_come, "counter", [], "serial of a version"),
    (deleted_and_not_on_the_deadlist, "deadlist", [], "not on the deadlist"),
    (on_the_deadlist_and_not_deleted, "deadlist", [], "on the deadlist"),
    (entry_of_another_root, "deadlist", [], "contradictory records"),
    (entry_of_no_version, "deadlist", [], "not recorded"),
    (entry_malformed, "record", [], "entry of the deadlist"),
    (entry_still_to_come, "counter", ["deadlist"], "still to be given out"),
    (two_entries_with_one_number, "deadlist", [], "two entries"),
    (open_draft_without_its_tree, "reference", ["'x'"], "tree not held"),
    (draft_that_holds_and_is_not_there, "reference", ["draft 77"], "draft that is not there"),
    (held_malformed, "record", [], "malformed row"),
    (name_to_nothing, "catalogue", ["'new'"], None),
    (name_gone, "catalogue", ["'alone'"], "name leads nowhere"),
    (name_of_another, "catalogue", [], "name of another"),
    (retired_though_living, "catalogue", ["'alone'", "retired"], None),
    (project_gone, "catalogue", ["'team'", "project"], None),
    (alias_of_no_version, "catalogue", [], "alias of no version"),
    (alias_serial_gone, "catalogue", [], "alias serial lost"),
    (alias_serial_to_nothing, "catalogue", [], "alias serial to nothing"),
    (alias_unknown_to_the_journal, "journal", [], "journal names nothing"),
    (journal_shorter, "journal", [], "journal ends early"),
    (record_spoilt, "record", [], "unreadable record"),
    (settings_spoilt, "unchecked", ["settings"], None),
]


def spoil(transaction: WriteTransaction, table: Table, key: bytes) -> None:
    """Flip one bit of a row."""
    value = bytearray(transaction.raw.get(key, db=transaction.handles[table]))
    value[len(value) // 2] ^= 4
    raw_put(transaction, table, key, bytes(value))


def test_a_sound_workspace_has_no_problems(lived: Workspace) -> None:
    report = structure_of(lived.path)
    assert report.problems == []
    assert report.counted["versions"] == 5


@pytest.mark.parametrize(
    ("damage", "kind", "names", "reason"), DAMAGES, ids=[damage.__name__ for damage, *_ in DAMAGES]
)
def test_what_is_wrong_is_named(
    lived: Workspace, damage: Damage, kind: str, names: list[str], reason: str | None
) -> None:
    with lived.store.write() as transaction:
        damage(lived, transaction)
    report = structure_of(lived.path)
    assert found(report, kind, names=names, reason=reason), report.problems


@pytest.mark.parametrize(
    "name",
    [
        *("next_node", "next_serial", "next_name", "next_pack", "next_alias", "next_entry"),
        *("stored_bytes", "logical_bytes", "versions", "free_bytes", "framing_bytes"),
        *("deadlist_entries", "condemned_bytes"),
    ],
)
def test_every_counter_counts(lived: Workspace, name: str) -> None:
    with lived.store.write() as transaction:
        value = 1 if name.startswith("next") else getattr(transaction.state, name) + 1
        setattr(transaction.state, name, value)
    assert {problem.kind for problem in structure_of(lived.path).problems} == {"counter"}


NUMBERED = (Table.NODES, Table.COUNTS, Table.ARTIFACTS)


@pytest.mark.parametrize("table", [table for table in Table if table not in (Table.INDEX, Table.STAGED)])
def test_a_bit_that_flips_in_any_record_is_found(lived: Workspace, table: Table) -> None:
    """Whatever it does, the check ends, and names it."""
    with lived.store.write() as transaction:
        fill(transaction)
    with (
        lived.store.snapshot() as snapshot,
        snapshot.transaction.raw.cursor(snapshot.transaction.handles[table]) as cursor,
    ):
        keys = list(cursor.iternext(values=False))
    assert structure_of(lived.path).clean
    for key in keys[:: len(keys) // 8 + 1]:
        flip_raw(lived, table, key)
        assert not structure_of(lived.path).clean
        flip_raw(lived, table, key)


def flip_raw(ws: Workspace, table: Table, key: bytes) -> None:
    """Flip one bit of a row past artfs, which would write the counters again."""
    opened = Environment.of(ws.path)
    with opened.env.begin(write=True) as raw:
        value = bytearray(raw.get(key, db=opened.handles[table]) or b"")
        value[len(value) // 2] ^= 4
        raw.put(key, bytes(value), db=opened.handles[table])


def fill(transaction: WriteTransaction) -> None:
    """See that every table has a row: a draft, settings, and a condemned byte at the end of a gap."""
    state = transaction.state
    state.next_draft += 1
    transaction.put(Table.DRAFTS, key64(state.next_draft - 1), DraftRecord(state.next_draft - 1, "a", 0, 1).encode())
    gap = next(space.free_extents(transaction))
    shorter = gap._replace(length=gap.length - 1, punched=min(gap.punched, gap.length - 1))
    transaction.put(Table.FREE, *encode_free(shorter))
    transaction.put(Table.CONDEMNED, *encode_condemned(Condemned(1, gap.pack, gap.end - 1, 1)))
    state.free_bytes += shorter.length - shorter.punched - gap.length + gap.punched
    state.condemned_bytes += 1


def test_damage_is_followed_to_files_and_versions(lived: Workspace) -> None:
    with lived.store.snapshot() as snapshot:
        entry = snapshot.resolve(lived.version("team/vision/data:v0").record.root, b"deep/run")
        assert entry is not None
        ident = snapshot.identity(entry.node)
    with lived.store.write() as transaction:
        spoil(transaction, Table.NODES, key64(entry.node))
    [problem] = structure_of(lived.path).problems
    assert (problem.kind, problem.chunk, problem.node) == ("record", ident.hex(), entry.node)
    assert problem.versions == ["team/vision/data:v0", "gone/away:v0"]
    assert problem.files == ["team/vision/data:v0/deep/run", "gone/away:v0/deep/run"]


def test_content_that_was_given_up_is_named_until_it_is_put_again(lived: Workspace, tmp_path: Path) -> None:
    with lived.store.write() as transaction:
        node = node_of(transaction, KIND_CHUNK, rank=0)
        record = decode_chunk(node_payload(transaction, node))
        put_lost(transaction, node, LostRecord(CLASS_CONTENT, record.id, record.birth_ns, record.size))
        transaction.state.stored_bytes -= record.extent.stored
        transaction.state.framing_bytes += record.extent.stored
    [problem] = structure_of(lived.path).problems
    assert (problem.kind, problem.chunk) == ("lost", record.id.hex())
    assert problem.versions


def test_a_lost_pack_is_named_with_what_it_held(lived: Workspace) -> None:
    Environment.of(lived.path).drop()
    (lived.path / "packs" / "00000001.pack").unlink()
    [problem] = structure_of(lived.path).problems
    assert problem.kind == "file"
    assert "alone:v1/deep/run" in problem.files
    assert set(problem.versions) >= {"alone:v1", "team/vision/data:v0", "team/vision/data:v1"}


def test_very_much_damage_is_counted_and_not_listed(lived: Workspace) -> None:
    with lived.store.write() as transaction:
        for number in range(MOST_OF_A_KIND + 5):
            transaction.put(Table.NAMES, b"name%d" % number, key64(1 << 30))
    report = structure_of(lived.path)
    assert len(report.problems) == MOST_OF_A_KIND
    assert report.omitted == {"catalogue": 5}


MALFORMED = [
    b"",
    b"\1",
    bytes([KIND_CHUNK, 1]) + bytes(20),
    bytes([KIND_CHUNK, 9]) + bytes(57),
    bytes([KIND_CHUNK, 1]) + b"\xff" * 57,
    bytes([KIND_LIST, 1]) + b"\xff" * 200,
    bytes([KIND_TREE, 1]) + b"\xff" * 300,
    bytes([KIND_TREE, 1]) + bytes(300),
    b"\xff" * 400,
]


@pytest.mark.parametrize("payload", MALFORMED, ids=range(len(MALFORMED)))
@pytest.mark.parametrize("table", list(Table))
def test_malformed_records_are_named_and_nothing_else_happens(lived: Workspace, table: Table, payload: bytes) -> None:
    """Sealed as if they were right, in the place of a record or under a new key."""
    with lived.store.write() as transaction:
        with transaction.raw.cursor(transaction.handles[table]) as cursor:
            present = bytes(cursor.key()) if cursor.last() else key64(1 << 50)
        keys = [present] if table == Table.META else [present, key64((1 << 64) - 2)]
        for key in keys:
            if table in NUMBERED:
                transaction.put_numbered(table, int.from_bytes(key, "big"), payload)
            else:
                transaction.put(table, key, payload)
    report = structure_of(lived.path)
    assert not report.clean


def test_a_check_beside_a_writer_finds_nothing(lived: Workspace, tmp_path: Path) -> None:
    """What changes while the check looks is no damage."""
    folder = tmp_path / "more"
    folder.mkdir()
    for number in range(5):
        (folder / "file").write_bytes(b"%d" % number)
        lived.put(folder, "more")
        with manifest.read(lived.path):
            lived.delete(f"more:v{number}", now=True)
            assert check(lived.path).problems == []
        lived.gc(now=True, compact=True)
    assert check(lived.path).problems == []
