"""A version repeats what its root is, and has a mount serial of its own; where it does not, a check names it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from artstore.records.catalogue import VersionRecord
from artstore.records.nodes import LostRecord
from artstore.records.packing import CLASS_TREE
from artstore.records.tables import Table, key32
from artstore.records.trees import EARLIEST_NS
from artstore.rows import catalogue
from artstore.rows.nodes import put_lost
from artstore.storage.manifest import WriteTransaction
from artstore.workspace import Workspace
from store.checking.conftest import found, structure_of

Change = Callable[[VersionRecord, VersionRecord], VersionRecord]


def change(ws: Workspace, ref: str, changes: Change) -> None:
    """Replace the record of a version, with its rows, by another; the second argument is another version's record."""
    record, other = ws.version(ref).record, ws.version("team/vision/data:v0").record
    with ws.store.write() as transaction:
        catalogue.put_version(transaction, changes(record, other))


@pytest.mark.parametrize(
    ("changes", "kind", "reason"),
    [
        (lambda one, other: replace(one, digest=other.digest), "catalogue", "another root"),
        (lambda one, other: replace(one, form=other.form), "catalogue", "another root"),
        (lambda one, other: replace(one, root=other.root), "catalogue", "another root"),
        (lambda one, other: replace(one, files=one.files + 1), "catalogue", "other files or bytes"),
        (lambda one, other: replace(one, bytes=one.bytes + 1), "catalogue", "other files or bytes"),
        (lambda one, other: replace(one, newest_ns=one.newest_ns - 10**11), "catalogue", "time after the newest"),
        (lambda one, other: replace(one, mode=0o40755), "catalogue", "impossible mode"),
        (lambda one, other: replace(one, mount=1 << 30), "counter", "mount serial"),
        (lambda one, other: replace(one, mount=other.mount), "catalogue", "mount serial of two"),
        (lambda one, other: replace(one, form=other.form), "journal", "other times"),
        (lambda one, other: replace(one, mtime_ns=one.mtime_ns + 1), "journal", "other times"),
        (lambda one, other: replace(one, mtime_ns=EARLIEST_NS), "journal", "other times"),
        (lambda one, other: replace(one, mode=one.mode ^ 0o020), "journal", "other times"),
        (lambda one, other: replace(one, newest_ns=one.newest_ns + 1), "journal", "other times"),
        (lambda one, other: replace(one, mount=1 << 30), "journal", "mount serial"),
    ],
)
def test_a_version_that_disagrees_is_named(lived: Workspace, changes: Change, kind: str, reason: str) -> None:
    assert structure_of(lived.path).clean
    change(lived, "alone:v1", changes)
    report = structure_of(lived.path)
    assert found(report, kind, names=["alone:v1"] if reason != "mount serial of two" else (), reason=reason), (
        report.problems
    )


def test_times_of_another_version_are_named(lived: Workspace) -> None:
    """A time taken from the wrong version: the root's, and the newest."""
    change(lived, "team/vision/data:v1", lambda one, other: replace(one, mtime_ns=other.mtime_ns - 1))
    assert found(structure_of(lived.path), "journal", names=["team/vision/data:v1"], reason="other times")


def mount_gone(transaction: WriteTransaction, mount: int, serial: int) -> None:
    transaction.delete(Table.MOUNTS, key32(mount))


def mount_of_another(transaction: WriteTransaction, mount: int, serial: int) -> None:
    transaction.put(Table.MOUNTS, key32(mount), key32(serial - 1))


def mount_of_before(transaction: WriteTransaction, mount: int, serial: int) -> None:
    transaction.put(Table.MOUNTS, key32(mount - 1), key32(serial))


def mount_of_its_own(transaction: WriteTransaction, mount: int, serial: int) -> None:
    transaction.put(Table.MOUNTS, key32(serial), key32(serial))


@pytest.mark.parametrize("damage", [mount_gone, mount_of_another, mount_of_before, mount_of_its_own])
def test_rows_of_mount_serials_are_compared(
    lived: Workspace, damage: Callable[[WriteTransaction, int, int], None]
) -> None:
    """After a purge a row leads from the mount serial to the version; no other row may be there."""
    lived.purge("alone:v1/deep/run", reason="a test", everywhere=True)
    record = lived.version("alone:v1").record
    assert record.mount > record.serial
    assert structure_of(lived.path).clean
    with lived.store.write() as transaction:
        damage(transaction, record.mount, record.serial)
    report = structure_of(lived.path)
    assert found(report, "catalogue", reason="row of a mount serial"), report.problems


def test_a_lost_root_is_named_once(lived: Workspace) -> None:
    """What it says of itself is unknown, so that nothing disagrees."""
    record = lived.version("alone:v1").record
    with lived.store.write() as transaction:
        put_lost(transaction, record.root, LostRecord(CLASS_TREE, record.form, 0, 0, record.digest))
    report = structure_of(lived.path)
    assert found(report, "lost", names=[f"node {record.root}"])
    assert not found(report, "catalogue")
    with lived.store.snapshot() as snapshot:
        assert snapshot.identity(record.root) == record.digest
        assert snapshot.form(record.root) == record.form
