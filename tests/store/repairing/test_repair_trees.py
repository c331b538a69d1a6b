"""A repair derives directory records, records of versions and mount serials again where they disagree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from artstore.records.catalogue import VersionRecord
from artstore.records.nodes import KIND_LOST, KIND_TREE, decode_lost
from artstore.records.packing import CLASS_TREE
from artstore.records.tables import Table, key32, key64
from artstore.records.trees import TreeEntry, TreeTotals, TreeView, encode_tree
from artstore.repairing import check_and_repair
from artstore.repairing.repair import repair
from artstore.rows import catalogue
from artstore.rows.nodes import node_extent, node_payload
from artstore.storage.manifest import WriteTransaction
from artstore.workspace import Workspace
from store.checking.conftest import structure_of
from store.lived import catalogue_of
from store.oracle import assert_sound, problems
from store.repairing.damage import flip_bit, node_at


def write_otherwise(
    ws: Workspace, node: int, change: Callable[[list[TreeEntry], TreeTotals], tuple[list[TreeEntry], TreeTotals]]
) -> None:
    """Write a directory record of level 0 with other rows and totals."""
    with ws.store.write() as transaction:
        view = TreeView(node_payload(transaction, node))
        rows, totals = change(list(view.entries()), view.totals)
        payload = encode_tree(0, view.digest, view.form, totals, view.extent, rows)
        transaction.put_numbered(Table.NODES, node, payload)


def one_late(rows: list[TreeEntry], totals: TreeTotals) -> tuple[list[TreeEntry], TreeTotals]:
    first, *rest = rows
    return [first, *(row._replace(inodes_before=row.inodes_before + 1) for row in rest)], totals._replace(
        files=totals.files + 1
    )


def older(rows: list[TreeEntry], totals: TreeTotals) -> tuple[list[TreeEntry], TreeTotals]:
    return [row._replace(mtime_ns=-1) for row in rows], totals._replace(newest_ns=-1)


def writable(rows: list[TreeEntry], totals: TreeTotals) -> tuple[list[TreeEntry], TreeTotals]:
    return [row._replace(mode=0o777) for row in rows], totals


@pytest.mark.parametrize("change", [one_late, older, writable])
@pytest.mark.parametrize("path", [b"", b"deep", b"deep/er"])
def test_rows_and_totals_of_directories_are_derived(
    lived: Workspace,
    change: Callable[[list[TreeEntry], TreeTotals], tuple[list[TreeEntry], TreeTotals]],
    path: bytes,
) -> None:
    """Sealed records with an index off by one, other times or modes come back from the packs, as do those above."""
    before = catalogue_of(lived)
    node = node_at(lived, "alone:v1", path) if path else lived.version("alone:v1").record.root
    write_otherwise(lived, node, change)
    assert problems(lived)
    report = check_and_repair(lived.path, data=True)
    assert report.clean
    assert any("derived" in sentence for sentence in report.repaired)
    assert_sound(lived)
    assert catalogue_of(lived) == before


def test_what_is_above_follows(lived: Workspace) -> None:
    """A directory and all above it that count an entry too many, each in agreement with those below."""
    before = catalogue_of(lived)
    version = lived.version("alone:v1").record
    write_otherwise(lived, node_at(lived, "alone:v1", b"deep/er"), one_late)
    for node in (node_at(lived, "alone:v1", b"deep"), version.root):
        write_otherwise(lived, node, one_late)
    with lived.store.write() as transaction:
        for key, payload in list(transaction.rows(Table.VERSIONS)):
            record = VersionRecord.decode(payload)
            if record.root == version.root:
                transaction.put(Table.VERSIONS, key, replace(record, files=record.files + 1).encode())
    assert check_and_repair(lived.path, data=True).clean
    assert_sound(lived)
    assert catalogue_of(lived) == before


def test_records_of_versions_follow_their_roots(lived: Workspace) -> None:
    """Digest, form, files, bytes and newest time are those of the root; the times of the root are the journal's."""
    before = catalogue_of(lived)
    record = lived.version("alone:v1").record
    other = lived.version("team/vision/data:v0").record
    changed = replace(
        record, digest=other.digest, form=other.form, files=1, bytes=2, newest_ns=record.newest_ns - 10**12
    )
    with lived.store.write() as transaction:
        catalogue.put_version(transaction, changed)
        transaction.state.logical_bytes += 2 - record.bytes
    assert not structure_of(lived.path).clean
    assert repair(lived.store)
    assert structure_of(lived.path).clean
    assert_sound(lived)
    after = catalogue_of(lived)
    assert [row[:9] for row in after["alone"]["versions"].values()] == [
        row[:9] for row in before["alone"]["versions"].values()
    ]


def rows_gone(transaction: WriteTransaction, record: VersionRecord) -> None:
    transaction.delete(Table.MOUNTS, key32(record.mount))


def rows_of_before(transaction: WriteTransaction, record: VersionRecord) -> None:
    transaction.put(Table.MOUNTS, key32(record.serial), key32(record.serial))
    transaction.put(Table.MOUNTS, key32(1 << 30), key32(3))


def record_gone(transaction: WriteTransaction, record: VersionRecord) -> None:
    transaction.delete(Table.VERSIONS, key32(record.serial))
    transaction.delete(Table.MOUNTS, key32(record.mount))


def number_reset(transaction: WriteTransaction, record: VersionRecord) -> None:
    transaction.state.next_serial = record.mount


@pytest.mark.parametrize("damage", [rows_gone, rows_of_before, record_gone, number_reset])
def test_mount_serials_come_back(lived: Workspace, damage: Callable[[WriteTransaction, VersionRecord], None]) -> None:
    """A purged version has its mount serial again, which no other version gets."""
    lived.purge("alone:v1/deep/run", reason="a test", everywhere=True)
    before = catalogue_of(lived)
    record = lived.version("alone:v1").record
    with lived.store.write() as transaction:
        damage(transaction, record)
    assert not structure_of(lived.path).clean
    assert repair(lived.store)
    assert structure_of(lived.path).clean
    assert_sound(lived)
    assert catalogue_of(lived) == before
    with lived.store.snapshot() as snapshot:
        found = catalogue.version_of_mount(snapshot.transaction, record.mount)
        assert found is not None and found.serial == record.serial
        assert catalogue.version_of_mount(snapshot.transaction, record.serial) is None
        assert snapshot.transaction.counters().next_serial > record.mount


@pytest.mark.parametrize("purged", [False, True])
def test_a_mount_serial_of_two_versions_is_given_to_one(lived: Workspace, purged: bool) -> None:
    """The version whose own serial it is keeps it; the other gets its own, or after a purge the next."""
    if purged:
        lived.purge("alone:v1/deep/run", reason="a test", everywhere=True)
    record, other = lived.version("alone:v1").record, lived.version("team/vision/data:v0").record
    with lived.store.write() as transaction:
        catalogue.put_version(transaction, replace(record, mount=other.serial))
    assert repair(lived.store)
    assert structure_of(lived.path).clean
    assert_sound(lived)
    mount = lived.version("alone:v1").record.mount
    assert mount > record.mount if purged else mount == record.serial
    assert lived.version("team/vision/data:v0").record.mount == other.mount


def test_a_directory_that_is_in_no_pack_is_lost(lived: Workspace) -> None:
    """Its record keeps digest and form id, so that the records above it stay what their ids say."""
    root, node = lived.version("alone:v1").record.root, node_at(lived, "alone:v1", b"deep/er")
    with lived.store.snapshot() as snapshot:
        view = TreeView(node_payload(snapshot.transaction, node))
        above = node_payload(snapshot.transaction, node_at(lived, "alone:v1", b"deep"))
    flip_bit(lived, view.extent)
    with lived.store.write() as transaction:
        transaction.delete(Table.NODES, key64(node))
    report = check_and_repair(lived.path, data=True)
    assert {problem.kind for problem in report.problems} == {"lost"}
    with lived.store.snapshot() as snapshot:
        payload = node_payload(snapshot.transaction, node)
        assert payload[0] == KIND_LOST
        lost = decode_lost(payload)
        assert (lost.klass, lost.id, lost.digest) == (CLASS_TREE, view.form, view.digest)
        assert node_payload(snapshot.transaction, node_at(lived, "alone:v1", b"deep")) == above
    assert lived.version("alone:v1").read_bytes("many/123") == b"123 of many"
    flip_bit(lived, node_extent(above))
    report = check_and_repair(lived.path, data=True)
    assert {problem.kind for problem in report.problems} == {"lost"}
    with lived.store.snapshot() as snapshot:
        assert snapshot.tree(root).total_files == lived.version("alone:v1").record.files
        assert node_payload(snapshot.transaction, node_at(lived, "alone:v1", b"deep"))[0] == KIND_TREE
