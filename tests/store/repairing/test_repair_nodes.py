"""A repair restores records and stored forms of nodes, or sets lost chunks aside so that a later put heals them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from artstore.errors import DamageError
from artstore.reclaim.compaction import compact_pack
from artstore.records.nodes import (
    KIND_CHUNK,
    KIND_LIST,
    KIND_TREE,
)
from artstore.records.tables import Table, key64
from artstore.repairing.repair import repair
from artstore.rows.nodes import children_of, index_keys, node_extent, node_payload
from artstore.workspace import Workspace
from crash.recount import all_nodes, contradictions
from messages import raises
from store.checking.conftest import structure_of
from store.lived import catalogue_of
from store.oracle import assert_sound, leftovers, problems, usage_contradictions
from store.repairing.damage import flip_bit, node_at, node_of, rows_spoilt, spoil, table_keys


@pytest.mark.parametrize("gone", [False, True], ids=["spoilt", "gone"])
@pytest.mark.parametrize("kind", [KIND_CHUNK, KIND_LIST, KIND_TREE])
def test_records_of_nodes_come_back_from_the_packs(lived: Workspace, kind: int, gone: bool) -> None:
    """A chunk, a list, a directory: recreated with the same number, from the index and the canonical form."""
    before = catalogue_of(lived)
    with lived.store.write() as transaction:
        for node in [node_of(transaction, kind, rank) for rank in (0, -1)]:
            if gone:
                transaction.delete(Table.NODES, key64(node))
            else:
                spoil(transaction, Table.NODES, key64(node))
    assert repair(lived.store)
    assert_sound(lived)
    assert catalogue_of(lived) == before
    assert repair(lived.store) == []


@pytest.mark.parametrize("kind", [KIND_CHUNK, KIND_LIST, KIND_TREE])
def test_an_id_is_found_through_what_refers_to_it(lived: Workspace, kind: int) -> None:
    """Where the row of the index is gone as well, the canonical form of the parent has it, or the version."""
    before = catalogue_of(lived)
    with lived.store.write() as transaction:
        for node in [node_of(transaction, kind, rank) for rank in (0, -1)]:
            for key in index_keys(node_payload(transaction, node)):
                transaction.delete(Table.INDEX, key)
            transaction.delete(Table.NODES, key64(node))
    assert repair(lived.store)
    assert_sound(lived)
    assert catalogue_of(lived) == before


def test_two_nodes_of_one_id_become_one(lived: Workspace, tmp_path: Path) -> None:
    """The index had lost some, and the content was put once more: nothing is there twice afterwards."""
    with lived.store.write() as transaction:
        for key in table_keys(transaction, Table.INDEX):
            transaction.delete(Table.INDEX, key)
    shutil.copytree(tmp_path / "second", tmp_path / "elsewhere", symlinks=True)
    lived.put(tmp_path / "elsewhere", "twin")
    lived.put(tmp_path / "elsewhere", "alone", new=True)
    before = catalogue_of(lived)
    assert repair(lived.store)
    assert structure_of(lived.path).clean
    assert_sound(lived)
    after = catalogue_of(lived)
    for name, artifact in before.items():
        for number, version in artifact["versions"].items():
            assert after[name]["versions"][number][:9] == version[:9]
    assert repair(lived.store) == []
    lived.gc(now=True)
    lived.gc(now=True)
    assert leftovers(lived) == []


def test_all_records_of_nodes_come_back_together(lived: Workspace) -> None:
    """From the lowest number on, each finds those below it."""
    before = catalogue_of(lived)
    with lived.store.write() as transaction:
        rows_spoilt(Table.NODES)(lived, transaction)
    repair(lived.store)
    assert_sound(lived)
    assert catalogue_of(lived) == before


@pytest.mark.parametrize("source", ["second", "elsewhere"], ids=["through the stat cache", "read again"])
@pytest.mark.parametrize("path", [b"deep/run", b"large"], ids=["one chunk", "a chunk of many"])
def test_a_damaged_chunk_is_set_aside_and_healed(lived: Workspace, tmp_path: Path, path: bytes, source: str) -> None:
    """Other files stay readable, no put finds it, the same content heals every version, and nothing is left behind."""
    before = catalogue_of(lived)
    node = node_at(lived, "alone:v1", path)
    with lived.store.snapshot() as snapshot:
        while (payload := node_payload(snapshot.transaction, node))[0] == KIND_LIST:
            node = children_of(payload)[-1]
    flip_bit(lived, node_extent(payload))
    repair(lived.store, [node])
    assert contradictions(lived.path) == []
    assert problems(lived) == [f"node {node} is lost"]
    assert usage_contradictions(lived) == []
    for ref in ("alone:v1", "team/vision/data:v1"):
        with raises(DamageError, reason="lost"):
            lived.version(ref).read_bytes(os.fsdecode(path))
        assert lived.version(ref).read_bytes("many/123") == b"123 of many"
    assert repair(lived.store) == []
    if source == "elsewhere":
        shutil.copytree(tmp_path / "second", tmp_path / "elsewhere", symlinks=True)
    version = lived.put(tmp_path / source, "alone")
    assert version.receipt is not None
    assert not version.receipt.created
    assert version.receipt.new_bytes
    assert catalogue_of(lived) == before
    assert_sound(lived)
    lived.gc(now=True)
    lived.gc(now=True)
    assert leftovers(lived) == []
    assert usage_contradictions(lived) == []


def test_a_lost_chunk_is_reaped_with_its_version(lived: Workspace) -> None:
    """What was set aside leaves nothing behind when no one refers to it any more."""
    node = node_at(lived, "alone:v1", b"deep/run")
    with lived.store.snapshot() as snapshot:
        payload = node_payload(snapshot.transaction, node)
    flip_bit(lived, node_extent(payload))
    repair(lived.store, [node])
    lived.delete("alone:v1", "team/vision/data:v1", now=True, force=True, local=True)
    lived.gc(now=True)
    lived.gc(now=True)
    assert leftovers(lived) == []
    assert_sound(lived)


def test_what_is_not_damaged_is_not_set_aside(lived: Workspace) -> None:
    """A suspicion is looked into: the stored form may have been renewed since."""
    before = catalogue_of(lived)
    with lived.store.snapshot() as snapshot:
        nodes = list(all_nodes(snapshot.transaction))
    assert repair(lived.store, nodes) == []
    assert catalogue_of(lived) == before


def test_a_copy_takes_the_place_of_a_damaged_chunk(lived: Workspace) -> None:
    """Compaction has left one that is not freed yet."""
    before = catalogue_of(lived)
    compact_pack(lived.store, 1)
    node = node_at(lived, "alone:v1", b"deep/run")
    with lived.store.snapshot() as snapshot:
        extent = node_extent(node_payload(snapshot.transaction, node))
    assert extent.pack == 2
    flip_bit(lived, extent)
    repair(lived.store, [node])
    assert catalogue_of(lived) == before
    assert_sound(lived)


@pytest.mark.parametrize("kind", [KIND_LIST, KIND_TREE])
def test_canonical_forms_are_written_anew(lived: Workspace, kind: int) -> None:
    """What only a rebuild reads comes from the record."""
    with lived.store.snapshot() as snapshot:
        transaction = snapshot.transaction
        node, payload = [item for item in all_nodes(transaction).items() if item[1][0] == kind][-1]
    flip_bit(lived, node_extent(payload))
    assert problems(lived)
    repair(lived.store, [node])
    assert_sound(lived)
