"""Every kind of damage is put right, or set aside so that a later put heals it; and nothing else changes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from artstore.errors import DamageError
from artstore.ids import content_id
from artstore.ingest import staging
from artstore.ingest.staging import Stager
from artstore.reclaim.compaction import compact_pack
from artstore.records.catalogue import DraftRecord
from artstore.records.deadlist import Free, decode_free, encode_free
from artstore.records.nodes import (
    KIND_CHUNK,
    KIND_LIST,
    KIND_LOST,
    KIND_TREE,
    Extent,
)
from artstore.records.packing import CLASS_CONTENT, HEADER_LENGTH
from artstore.records.tables import Table, key32, key64
from artstore.repairing.rebuild import rebuild
from artstore.repairing.repair import repair
from artstore.rows import catalogue, deadlist, space
from artstore.rows.nodes import change_counts, children_of, index_keys, node_extent, node_payload
from artstore.storage import disk, journal
from artstore.storage.codec import encode
from artstore.storage.environment import Environment
from artstore.storage.manifest import WriteTransaction
from artstore.storage.packs import pack_path
from artstore.store import Store
from artstore.workspace import Workspace
from crash.recount import all_nodes, contradictions
from store.checking.conftest import structure_of
from store.conftest import forget
from store.lived import told
from store.oracle import assert_sound, leftovers, problems, usage_contradictions

Damage = Callable[[Workspace, WriteTransaction], None]


def _keys(transaction: WriteTransaction, table: Table) -> list[bytes]:
    with transaction.raw.cursor(transaction.handles[table]) as cursor:
        return list(cursor.iternext(values=False))


def _spoil(transaction: WriteTransaction, table: Table, key: bytes) -> None:
    """Flip one bit in the middle of a row."""
    value = bytearray(transaction.raw.get(key, db=transaction.handles[table]))
    value[len(value) // 2] ^= 4
    transaction.raw.put(key, bytes(value), db=transaction.handles[table])


def _node_of(transaction: WriteTransaction, kind: int, rank: int = -1) -> int:
    """Return one of the nodes of a kind; by default the last, which a living version uses."""
    return [node for node, payload in all_nodes(transaction).items() if payload[0] == kind][rank]


# -- counts, index and counters ----------------------------------------------------------------------------------------


def _counts_gone(ws: Workspace, transaction: WriteTransaction) -> None:
    transaction.delete(Table.COUNTS, _keys(transaction, Table.COUNTS)[1])


def _counts_spoilt(ws: Workspace, transaction: WriteTransaction) -> None:
    for key in _keys(transaction, Table.COUNTS):
        _spoil(transaction, Table.COUNTS, key)


def _counts_too_high(ws: Workspace, transaction: WriteTransaction) -> None:
    change_counts(transaction, dict.fromkeys(list(all_nodes(transaction))[5:400:7], 3))


def _counts_of_nothing(ws: Workspace, transaction: WriteTransaction) -> None:
    change_counts(transaction, {transaction.state.next_node + 500: 1})


def _index_row_gone(ws: Workspace, transaction: WriteTransaction) -> None:
    for key in _keys(transaction, Table.INDEX)[::9]:
        transaction.delete(Table.INDEX, key)


def _index_misleads(ws: Workspace, transaction: WriteTransaction) -> None:
    first, second = _keys(transaction, Table.INDEX)[4:6]
    transaction.put_index(first[0], first[1:], transaction.find(second[0], second[1:]) or 0)


def _index_of_nothing(ws: Workspace, transaction: WriteTransaction) -> None:
    transaction.put_index(CLASS_CONTENT, bytes(32), 1 << 40)


def _sums_wrong(ws: Workspace, transaction: WriteTransaction) -> None:
    state = transaction.state
    state.stored_bytes += 5
    state.free_bytes += 6
    state.condemned_bytes += 7
    state.framing_bytes += 8
    state.versions += 1
    state.logical_bytes += 9
    state.deadlist_entries += 1


def _numbers_reset(ws: Workspace, transaction: WriteTransaction) -> None:
    state = transaction.state
    state.next_node = 20
    state.next_serial = state.next_name = state.next_alias = state.next_draft = state.next_entry = 1
    state.next_pack = 1


# -- what no one holds -------------------------------------------------------------------------------------------------


def _orphan(ws: Workspace, transaction: WriteTransaction) -> None:
    """Let go of a deleted version without telling anybody."""
    entry = next(deadlist.entries(transaction))
    catalogue.remove_version(transaction, entry.serial, entry.artifact, entry.version)
    deadlist.remove_entry(transaction, entry)
    change_counts(transaction, dict.fromkeys(entry.nodes, -1))


def _orphan_with_a_count(ws: Workspace, transaction: WriteTransaction) -> None:
    entry = next(deadlist.entries(transaction))
    catalogue.remove_version(transaction, entry.serial, entry.artifact, entry.version)
    deadlist.remove_entry(transaction, entry)


def _held_by_no_draft(ws: Workspace, transaction: WriteTransaction) -> None:
    node = ws.version("alone:v1").record.root
    transaction.raw.put(key64(77) + key64(node), b"", db=transaction.handles[Table.STAGED])
    change_counts(transaction, {node: 1})


def _nothing_held(ws: Workspace, transaction: WriteTransaction) -> None:
    transaction.raw.put(key64(78) + key64(1 << 40), b"", db=transaction.handles[Table.STAGED])
    transaction.raw.put(b"short", b"", db=transaction.handles[Table.STAGED])


def _draft_spoilt(ws: Workspace, transaction: WriteTransaction) -> None:
    transaction.put(Table.DRAFTS, key64(79), b"{")


def _open_draft_half_held(ws: Workspace, transaction: WriteTransaction) -> None:
    root, start = (ws.version(ref).record.root for ref in ("alone:v1", "team/vision/data:v0"))
    record = DraftRecord(1 << 20, "a", 1, 1, id="x", start=start, root=root)
    transaction.put(Table.DRAFTS, key64(record.draft), record.encode())
    transaction.put(Table.STAGED, key64(record.draft) + key64(start), b"")
    transaction.state.next_draft = record.draft + 1
    change_counts(transaction, {start: 1})


# -- the deadlist ------------------------------------------------------------------------------------------------------


def _entry_spoilt(ws: Workspace, transaction: WriteTransaction) -> None:
    for key in _keys(transaction, Table.DEADLIST):
        _spoil(transaction, Table.DEADLIST, key)


def _entry_gone(ws: Workspace, transaction: WriteTransaction) -> None:
    transaction.delete(Table.DEADLIST, _keys(transaction, Table.DEADLIST)[0])
    transaction.state.deadlist_entries -= 1


def _entry_of_nothing(ws: Workspace, transaction: WriteTransaction) -> None:
    deadlist.add_entry(transaction, [1 << 40, (1 << 40) + 1], 5)


def _entry_of_the_living(ws: Workspace, transaction: WriteTransaction) -> None:
    version = ws.version("alone:v1").record
    deadlist.add_entry(transaction, [version.root], 5, serial=version.serial, artifact=version.artifact, version=1)


def _entry_from_the_future(ws: Workspace, transaction: WriteTransaction) -> None:
    entry = next(deadlist.entries(transaction))
    deadlist.change_entry(transaction, entry._replace(transaction=1 << 50))


def _entries_of_one_number(ws: Workspace, transaction: WriteTransaction) -> None:
    entry = next(deadlist.entries(transaction))
    node = ws.version("alone:v1").record.root
    deadlist.change_entry(transaction, entry._replace(due_ns=1, nodes=(node,), serial=0, artifact=0, version=0))
    transaction.state.deadlist_entries += 1
    change_counts(transaction, {node: 1})


# -- the catalogue -----------------------------------------------------------------------------------------------------


def _rows_gone(*tables: Table) -> Damage:
    def damage(ws: Workspace, transaction: WriteTransaction) -> None:
        for table in tables:
            for key in _keys(transaction, table):
                transaction.delete(table, key)

    damage.__name__ = "_gone_" + "_".join(table.name.lower() for table in tables)
    return damage


def _rows_spoilt(*tables: Table) -> Damage:
    def damage(ws: Workspace, transaction: WriteTransaction) -> None:
        for table in tables:
            for key in _keys(transaction, table):
                _spoil(transaction, table, key)

    damage.__name__ = "_spoilt_" + "_".join(table.name.lower() for table in tables)
    return damage


def _rules_gone(ws: Workspace, transaction: WriteTransaction) -> None:
    transaction.delete(Table.META, b"retention")


def _rules_spoilt(ws: Workspace, transaction: WriteTransaction) -> None:
    _spoil(transaction, Table.META, b"retention")


def _rules_malformed(ws: Workspace, transaction: WriteTransaction) -> None:
    transaction.put(Table.META, b"retention", b"{}")


def _end_forgotten(ws: Workspace, transaction: WriteTransaction) -> None:
    record = ws.version("team/vision/data:v0").record
    transaction.put(Table.VERSIONS, key64(record.serial), b"{}")


def _settings_spoilt(ws: Workspace, transaction: WriteTransaction) -> None:
    _spoil(transaction, Table.META, b"settings")


def _version_of_no_number(ws: Workspace, transaction: WriteTransaction) -> None:
    transaction.put(Table.NUMBERS, key64(99) + key32(3), key32(4))


def _alias_of_nothing(ws: Workspace, transaction: WriteTransaction) -> None:
    artifact = catalogue.find_name(transaction, "alone")
    assert artifact is not None
    catalogue.put_alias(transaction, artifact.number, "stray", 0, 1)


def _project_of_nothing(ws: Workspace, transaction: WriteTransaction) -> None:
    record = catalogue.find_name(transaction, "team")
    assert record is not None
    number = transaction.state.next_name
    transaction.state.next_name += 1
    catalogue.put_artifact(transaction, replace(record, number=number, name="empty"))
    transaction.put(Table.NAMES, b"empty", key64(number))


# -- packs and gaps ----------------------------------------------------------------------------------------------------


def _gap_over_a_node(ws: Workspace, transaction: WriteTransaction) -> None:
    extent = node_extent(node_payload(transaction, _node_of(transaction, KIND_CHUNK)))
    transaction.put(Table.FREE, *encode_free(Free(extent.pack, extent.offset - 10, extent.stored + 20, 0)))


def _condemned_over_a_node(ws: Workspace, transaction: WriteTransaction) -> None:
    space.condemn(transaction, [node_extent(node_payload(transaction, _node_of(transaction, KIND_LIST)))])


def _gap_outside(ws: Workspace, transaction: WriteTransaction) -> None:
    transaction.put(Table.FREE, *encode_free(Free(1, 1 << 30, 500, 0)))
    transaction.put(Table.FREE, *encode_free(Free(88, 100, 500, 0)))


def _gap_gone(ws: Workspace, transaction: WriteTransaction) -> None:
    key = _keys(transaction, Table.FREE)[0]
    gap = decode_free(key, transaction.get(Table.FREE, key) or b"")
    transaction.delete(Table.FREE, key)
    transaction.state.free_bytes -= gap.length - gap.punched


def _hole_too_large(ws: Workspace, transaction: WriteTransaction) -> None:
    for key in _keys(transaction, Table.FREE):
        gap = decode_free(key, transaction.get(Table.FREE, key) or b"")
        transaction.put(Table.FREE, *encode_free(gap._replace(punched=gap.length)))


SMALL_DAMAGE: list[Damage] = [
    _counts_gone,
    _counts_spoilt,
    _counts_too_high,
    _counts_of_nothing,
    _index_row_gone,
    _index_misleads,
    _index_of_nothing,
    _sums_wrong,
    _numbers_reset,
    _orphan,
    _orphan_with_a_count,
    _held_by_no_draft,
    _nothing_held,
    _draft_spoilt,
    _open_draft_half_held,
    _entry_spoilt,
    _entry_gone,
    _entry_of_nothing,
    _entry_of_the_living,
    _entry_from_the_future,
    _entries_of_one_number,
    _rows_gone(Table.NAMES),
    _rows_gone(Table.NUMBERS),
    _rows_gone(Table.ALIASES),
    _rows_gone(Table.ALIAS_SERIALS),
    _rows_gone(Table.VERSIONS, Table.NUMBERS),
    _rows_spoilt(Table.NAMES),
    _rows_spoilt(Table.VERSIONS),
    _rows_spoilt(Table.ARTIFACTS),
    _rows_spoilt(Table.ALIASES),
    _rows_spoilt(Table.NUMBERS, Table.ALIAS_SERIALS),
    _rows_spoilt(Table.FREE),
    _rows_spoilt(Table.PACKS),
    _rows_gone(Table.PACKS),
    _settings_spoilt,
    _rules_gone,
    _rules_spoilt,
    _rules_malformed,
    _end_forgotten,
    _version_of_no_number,
    _alias_of_nothing,
    _project_of_nothing,
    _gap_over_a_node,
    _condemned_over_a_node,
    _gap_outside,
    _gap_gone,
    _hole_too_large,
]


@pytest.mark.parametrize("damage", SMALL_DAMAGE, ids=lambda damage: damage.__name__.strip("_"))
def test_what_follows_from_other_records_is_put_right(lived: Workspace, damage: Damage) -> None:
    """Found before, gone after; every version as it was; the space comes back; a second repair has nothing to do."""
    before, rules = told(lived), lived.retention.rules()
    with lived.store.write() as transaction:
        damage(lived, transaction)
    assert not structure_of(lived.path).clean
    assert repair(lived.store)
    assert structure_of(lived.path).clean
    assert_sound(lived)
    assert told(lived) == before and lived.retention.rules() == rules
    assert repair(lived.store) == []
    assert usage_contradictions(lived) == []
    lived.gc(now=True)
    lived.gc(now=True)
    assert leftovers(lived) == []
    assert told(lived) == before


def test_lost_counters_are_made_anew(lived: Workspace, tmp_path: Path) -> None:
    """What comes next goes on behind what is there, and the sums are recounted."""
    before = told(lived)
    with Environment.of(lived.path).begin(write=True) as raw:
        handle = Environment.of(lived.path).handles[Table.META]
        raw.put(b"counters", b"nothing of the sort", db=handle)
    repair(lived.store)
    assert_sound(lived)
    assert told(lived) == before
    serials = [version.record.serial for name in before for version in lived.versions(name)]
    assert lived.put(tmp_path / "third", "alone").record.serial > max(serials)
    assert_sound(lived)


def test_a_sound_workspace_is_left_alone(lived: Workspace) -> None:
    """There is nothing to do, and nothing is written but the transaction."""
    with lived.store.snapshot() as snapshot:
        tables = [list(snapshot.transaction.raw.cursor(handle)) for handle in snapshot.transaction.handles[1:]]
    assert repair(lived.store) == []
    with lived.store.snapshot() as snapshot:
        assert tables == [list(snapshot.transaction.raw.cursor(handle)) for handle in snapshot.transaction.handles[1:]]


def test_a_deleted_version_can_still_be_undeleted(lived: Workspace) -> None:
    """Its record comes back from the journal, its place on the deadlist from the record."""
    lived.delete("team/vision/data:v1", force=True)
    with lived.store.write() as transaction:
        _rows_spoilt(Table.VERSIONS)(lived, transaction)
    repair(lived.store)
    assert_sound(lived)
    lived.undelete("team/vision/data:v1")
    assert lived.version("team/vision/data:v1").read_bytes("many/001") == b"1 of many"
    assert_sound(lived)


# -- nodes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gone", [False, True], ids=["spoilt", "gone"])
@pytest.mark.parametrize("kind", [KIND_CHUNK, KIND_LIST, KIND_TREE])
def test_records_of_nodes_come_back_from_the_packs(lived: Workspace, kind: int, gone: bool) -> None:
    """A chunk, a list, a directory: recreated with the same number, from the index and the canonical form."""
    before = told(lived)
    with lived.store.write() as transaction:
        for node in [_node_of(transaction, kind, rank) for rank in (0, -1)]:
            if gone:
                transaction.delete(Table.NODES, key64(node))
            else:
                _spoil(transaction, Table.NODES, key64(node))
    assert repair(lived.store)
    assert_sound(lived)
    assert told(lived) == before
    assert repair(lived.store) == []


@pytest.mark.parametrize("kind", [KIND_CHUNK, KIND_LIST, KIND_TREE])
def test_an_id_is_found_through_what_refers_to_it(lived: Workspace, kind: int) -> None:
    """Where the row of the index is gone as well, the canonical form of the parent has it, or the version."""
    before = told(lived)
    with lived.store.write() as transaction:
        for node in [_node_of(transaction, kind, rank) for rank in (0, -1)]:
            for key in index_keys(node_payload(transaction, node)):
                transaction.delete(Table.INDEX, key)
            transaction.delete(Table.NODES, key64(node))
    assert repair(lived.store)
    assert_sound(lived)
    assert told(lived) == before


def test_two_nodes_of_one_id_become_one(lived: Workspace, tmp_path: Path) -> None:
    """The index had lost some, and the content was put once more: nothing is there twice afterwards."""
    with lived.store.write() as transaction:
        for key in _keys(transaction, Table.INDEX):
            transaction.delete(Table.INDEX, key)
    shutil.copytree(tmp_path / "second", tmp_path / "elsewhere", symlinks=True)
    lived.put(tmp_path / "elsewhere", "twin")
    lived.put(tmp_path / "elsewhere", "alone", new=True)
    before = told(lived)
    assert repair(lived.store)
    assert structure_of(lived.path).clean
    assert_sound(lived)
    after = told(lived)
    for name, artifact in before.items():
        for number, version in artifact["versions"].items():
            assert after[name]["versions"][number][:9] == version[:9]
    assert repair(lived.store) == []
    lived.gc(now=True)
    lived.gc(now=True)
    assert leftovers(lived) == []


def test_all_records_of_nodes_come_back_together(lived: Workspace) -> None:
    """From the lowest number on, each finds those below it."""
    before = told(lived)
    with lived.store.write() as transaction:
        _rows_spoilt(Table.NODES)(lived, transaction)
    repair(lived.store)
    assert_sound(lived)
    assert told(lived) == before


def _flip(ws: Workspace, extent: Extent) -> None:
    with pack_path(ws.path, extent.pack).open("r+b") as file:
        file.seek(extent.offset + extent.stored // 2)
        byte = file.read(1)[0]
        file.seek(extent.offset + extent.stored // 2)
        file.write(bytes([byte ^ 1]))


def _node_at(ws: Workspace, ref: str, path: bytes) -> int:
    with ws.store.snapshot() as snapshot:
        entry = snapshot.resolve(ws.version(ref).record.root, path)
    assert entry is not None
    return entry.node


@pytest.mark.parametrize("source", ["second", "elsewhere"], ids=["through the stat cache", "read anew"])
@pytest.mark.parametrize("path", [b"deep/run", b"large"], ids=["one chunk", "a chunk of many"])
def test_a_damaged_chunk_is_set_aside_and_healed(lived: Workspace, tmp_path: Path, path: bytes, source: str) -> None:
    """Other files stay readable, no put finds it, the same content heals every version, and nothing is left behind."""
    before = told(lived)
    node = _node_at(lived, "alone:v1", path)
    with lived.store.snapshot() as snapshot:
        while (payload := node_payload(snapshot.transaction, node))[0] == KIND_LIST:
            node = children_of(payload)[-1]
    _flip(lived, node_extent(payload))
    repair(lived.store, [node])
    assert contradictions(lived.path) == []
    assert problems(lived) == [f"node {node} is lost"]
    assert usage_contradictions(lived) == []
    for ref in ("alone:v1", "team/vision/data:v1"):
        with pytest.raises(DamageError, match="lost"):
            lived.version(ref).read_bytes(os.fsdecode(path))
        assert lived.version(ref).read_bytes("many/123") == b"123 of many"
    assert repair(lived.store) == []
    if source == "elsewhere":
        shutil.copytree(tmp_path / "second", tmp_path / "elsewhere", symlinks=True)
    version = lived.put(tmp_path / source, "alone")
    assert version.receipt is not None
    assert not version.receipt.created
    assert version.receipt.new_bytes
    assert told(lived) == before
    assert_sound(lived)
    lived.gc(now=True)
    lived.gc(now=True)
    assert leftovers(lived) == []
    assert usage_contradictions(lived) == []


def test_a_lost_chunk_is_reaped_with_its_version(lived: Workspace) -> None:
    """What was set aside leaves nothing behind when no one refers to it any more."""
    node = _node_at(lived, "alone:v1", b"deep/run")
    with lived.store.snapshot() as snapshot:
        payload = node_payload(snapshot.transaction, node)
    _flip(lived, node_extent(payload))
    repair(lived.store, [node])
    lived.delete("alone:v1", "team/vision/data:v1", now=True, force=True)
    lived.gc(now=True)
    lived.gc(now=True)
    assert leftovers(lived) == []
    assert_sound(lived)


def test_what_is_not_damaged_is_not_set_aside(lived: Workspace) -> None:
    """A suspicion is looked into: the stored form may have been renewed since."""
    before = told(lived)
    with lived.store.snapshot() as snapshot:
        nodes = list(all_nodes(snapshot.transaction))
    assert repair(lived.store, nodes) == []
    assert told(lived) == before


def test_a_copy_takes_the_place_of_a_damaged_chunk(lived: Workspace) -> None:
    """Compaction has left one that is not freed yet."""
    before = told(lived)
    compact_pack(lived.store, 1)
    node = _node_at(lived, "alone:v1", b"deep/run")
    with lived.store.snapshot() as snapshot:
        extent = node_extent(node_payload(snapshot.transaction, node))
    assert extent.pack == 2
    _flip(lived, extent)
    repair(lived.store, [node])
    assert told(lived) == before
    assert_sound(lived)


@pytest.mark.parametrize("kind", [KIND_LIST, KIND_TREE])
def test_canonical_forms_are_written_anew(lived: Workspace, kind: int) -> None:
    """What only a rebuild reads comes from the record."""
    with lived.store.snapshot() as snapshot:
        transaction = snapshot.transaction
        node, payload = [item for item in all_nodes(transaction).items() if item[1][0] == kind][-1]
    _flip(lived, node_extent(payload))
    assert problems(lived)
    repair(lived.store, [node])
    assert_sound(lived)


# -- files -------------------------------------------------------------------------------------------------------------


def test_a_lost_header_is_written_anew(lived: Workspace) -> None:
    """A pack whose first bytes are damaged can be appended to and rebuilt from again."""
    with pack_path(lived.path, 1).open("r+b") as file:
        file.write(bytes(HEADER_LENGTH))
    repair(lived.store)
    assert_sound(lived)


def test_nodes_of_a_pack_that_was_cut_are_saved_or_set_aside(lived: Workspace, tmp_path: Path) -> None:
    """What lies before the cut stays or is copied; what lay behind is lost, and a put of the same folders heals it."""
    before = told(lived)
    path = pack_path(lived.path, 1)
    with lived.store.snapshot() as snapshot:
        places = sorted(node_extent(payload) for payload in all_nodes(snapshot.transaction).values())
    middle = places[len(places) // 2]
    lived.store.reader.close()
    os.truncate(path, middle.offset + middle.stored)
    repair(lived.store)
    assert contradictions(lived.path) == []
    assert repair(lived.store) == []
    for folder in ("first", "second", "third"):
        lived.put(tmp_path / folder, "healing")
    assert {name: told(lived)[name] for name in before} == before
    assert_sound(lived)


def test_a_missing_pack_is_given_up(lived: Workspace, tmp_path: Path) -> None:
    """Lists and directories come back from their records, chunks when they are put again."""
    before = told(lived)
    lived.store.reader.close()
    pack_path(lived.path, 1).unlink()
    repair(lived.store)
    assert contradictions(lived.path) == []
    with lived.store.snapshot() as snapshot:
        kinds = {payload[0] for payload in all_nodes(snapshot.transaction).values()}
    assert kinds == {KIND_LIST, KIND_LOST, KIND_TREE, KIND_CHUNK}  # the empty chunk is whole
    for folder in ("first", "second", "third"):
        lived.put(tmp_path / folder, "healing")
    assert {name: told(lived)[name] for name in before} == before
    assert_sound(lived)


@pytest.mark.parametrize("name", ["cache", "run", "run/drafts", "run/daemons", "journal", "reserve"])
def test_missing_folders_are_made_anew(lived: Workspace, name: str) -> None:
    """What they hold can be recreated; so it is."""
    before = told(lived)
    path = lived.path / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert repair(lived.store)
    assert path.exists()
    lived.tags.add("alone:v1", "later")
    assert_sound(lived)
    assert told(lived).keys() == before.keys()


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _flip_one(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [_cut, _flip_one, Path.unlink])
def test_a_damaged_journal_is_written_anew(lived: Workspace, damage: Callable[[Path], None]) -> None:
    """It says what the catalogue does: a rebuild leads to the same."""
    before = told(lived)
    damage(journal.journal_path(lived.path))
    assert repair(lived.store)
    assert_sound(lived)
    assert told(lived) == before
    lived.tags.add("alone:v1", "later")
    assert_sound(lived)
    forget(lived.store)
    shutil.rmtree(lived.path / "manifest.1")
    after = told(Workspace(Store.open(lived.path))) if rebuild(lived.path).clean else None
    assert after is not None
    assert after["team/vision/data"] == before["team/vision/data"]


def test_a_put_may_run_meanwhile(lived: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a put has staged stays its own."""
    stager = Stager(lived.store, "x", "test")
    monkeypatch.setattr(staging, "BATCH_NODES", 1)
    data = os.urandom(5000)
    stager.chunk(content_id(data), len(data), encode(data))
    stager.flush_if_full()
    assert repair(lived.store) == []
    stager.close()
    assert_sound(lived)


def test_a_killed_repair_is_begun_again(lived: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ended at any call that writes or syncs, it leaves nothing worse; the next run does the rest."""
    before = told(lived)
    nodes = [_node_at(lived, "alone:v1", path) for path in (b"many/001", b"many/002")]
    with lived.store.write() as transaction:
        directories = [node for node, payload in all_nodes(transaction).items() if payload[0] == KIND_TREE]
        for damage in (_counts_spoilt, _index_row_gone, _entry_gone, _gap_over_a_node, _rows_spoilt(Table.NUMBERS)):
            damage(lived, transaction)
        for node in nodes:
            _spoil(transaction, Table.NODES, key64(node))
        extent = node_extent(node_payload(transaction, directories[-1]))
    _flip(lived, extent)
    _cut(journal.journal_path(lived.path))
    shutil.rmtree(lived.path / "run" / "daemons")
    after = 0
    while _is_killed(lived, directories, after, monkeypatch):
        after += 1 + after // 3
    assert after > 15
    assert_sound(lived)
    assert told(lived) == before
    assert repair(lived.store) == []


def _is_killed(ws: Workspace, damaged: list[int], after: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Repair, and end it at the call after some that write or sync; return whether it came so far."""
    calls = iter(range(after))

    def dying(real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object) -> object:
            if next(calls, None) is None:
                raise KeyboardInterrupt
            return real(*args)

        return call

    with monkeypatch.context() as patched:
        for name in ("append", "sync_data", "write_file", "sync_folder"):
            patched.setattr(disk, name, dying(getattr(disk, name)))
        for name in ("put", "put_numbered", "save_state"):
            patched.setattr(WriteTransaction, name, dying(getattr(WriteTransaction, name)))
        try:
            repair(ws.store, damaged)
        except KeyboardInterrupt:
            return True
    return False
