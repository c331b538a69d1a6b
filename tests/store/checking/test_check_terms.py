"""The index of metadata against the versions: what is missing, what is too much, and that repair writes it anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from artstore.records.tables import Table, key32
from artstore.repairing.rebuild import rebuild
from artstore.storage.manifest import WriteTransaction
from artstore.workspace import Workspace
from store.lived import reopened
from store.oracle import assert_sound


@pytest.fixture
def described(workspace: Workspace, tmp_path: Path) -> Workspace:
    (tmp_path / "file").write_text("x")
    workspace.put(tmp_path, "a", metadata={"n": 1, "s": "x"})
    (tmp_path / "file").write_text("y")
    workspace.put(tmp_path, "a", metadata={"n": 2})
    return workspace


def first(transaction: WriteTransaction) -> bytes:
    return next(key for key, _ in transaction.rows(Table.TERMS))


def lose_a_row(transaction: WriteTransaction) -> None:
    transaction.delete(Table.TERMS, first(transaction))


def add_a_row(transaction: WriteTransaction) -> None:
    transaction.put(Table.TERMS, b"m" + first(transaction), b"")


def lead_elsewhere(transaction: WriteTransaction) -> None:
    key = first(transaction)
    transaction.delete(Table.TERMS, key)
    transaction.put(Table.TERMS, key[:-4] + key32(99), b"")


def swap_two(transaction: WriteTransaction) -> None:
    keys = [key for key, _ in transaction.rows(Table.TERMS)]
    for key in (keys[0], keys[1]):
        transaction.delete(Table.TERMS, key)
    transaction.put(Table.TERMS, keys[0][:-4] + keys[1][-4:], b"")
    transaction.put(Table.TERMS, keys[1][:-4] + keys[0][-4:], b"")


def break_a_seal(transaction: WriteTransaction) -> None:
    transaction.raw.put(first(transaction), b"1234", db=transaction.handles[Table.TERMS])


def fill_a_row(transaction: WriteTransaction) -> None:
    transaction.put(Table.TERMS, first(transaction), b"x")


HARMS = [fill_a_row, lose_a_row, add_a_row, lead_elsewhere, swap_two, break_a_seal]


@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: str(harm.__name__))
def test_harms(described: Workspace, harm: Callable[[WriteTransaction], None]) -> None:
    """Each is found with the version that it concerns, and repaired."""
    with described.store.write() as transaction:
        harm(transaction)
    report = described.fsck()
    assert {problem.kind for problem in report.problems} <= {"index", "record"} and not report.clean
    assert any("a:v" in problem.message or "damaged" in problem.message for problem in report.problems)
    described.fsck(repair=True)
    assert_sound(described)
    assert [version.number for version in described.find(where="n>1")] == [1]


def test_a_rebuild_writes_it(described: Workspace) -> None:
    """From the versions in the journal, with the metadata that were last set."""
    described.metadata.set("a:v0", {"n": 3})
    (described.path / "manifest.1" / "data.mdb").unlink()
    path = described.path
    described.close()
    rebuild(path)
    again = reopened(described)
    assert_sound(again)
    assert [version.number for version in again.find(where="n>1")] == [0, 1]


def test_compaction_keeps_it(described: Workspace) -> None:
    """The copy of the manifest has its rows."""
    described.gc(compact=True)
    assert [version.number for version in described.find(where="s=x")] == [0]
    assert_sound(described)
