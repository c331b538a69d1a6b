"""Runs and lineage from a complete journal, else from the readable rows and what the journal adds."""

from __future__ import annotations

import pytest

from artstore.records.events import decode
from artstore.records.tables import Table
from artstore.repairing.repair_runs import repair_runs
from artstore.rows.history import PROVENANCE_TABLES, History, Provenance, read_provenance
from artstore.storage import journal
from artstore.storage.manifest import ReadTransaction, WriteTransaction
from artstore.workspace import Workspace
from store.oracle import assert_sound
from store.repairing.damage import rows_gone, rows_spoilt, table_keys


def serials(transaction: ReadTransaction) -> set[int]:
    return {int.from_bytes(key, "big") for key, _ in transaction.rows(Table.VERSIONS)}


def journalled(ws: Workspace) -> Provenance:
    """Return runs and lineage as the journal has them."""
    history = History()
    for event in journal.replay(journal.journal_path(ws.path)):
        history.apply(decode(event))
    return history.provenance


def raw_rows(transaction: ReadTransaction) -> dict[Table, list[tuple[bytes, bytes]]]:
    return {table: list(transaction.raw.cursor(transaction.handles[table])) for table in PROVENANCE_TABLES}


def repaired(ws: Workspace, transaction: WriteTransaction, history: Provenance, *, is_whole: bool) -> list[str]:
    return repair_runs(transaction, history, is_whole=is_whole, serials=serials(transaction))


@pytest.mark.parametrize("is_whole", [True, False])
def test_sound_tables_are_left_alone(lived: Workspace, is_whole: bool) -> None:
    """No row is written, whatever the source."""
    with lived.store.write() as transaction:
        before = raw_rows(transaction)
        assert all(before.values())
        assert repaired(lived, transaction, journalled(lived), is_whole=is_whole) == []
        assert raw_rows(transaction) == before


@pytest.mark.parametrize("damage", [rows_gone, rows_spoilt])
@pytest.mark.parametrize("table", PROVENANCE_TABLES, ids=lambda table: table.name.lower())
@pytest.mark.parametrize("is_whole", [True, False])
def test_one_table_comes_back_from_the_others_and_the_journal(
    lived: Workspace, damage: type, table: Table, is_whole: bool
) -> None:
    """It is named, the others are not touched, and a second repair has nothing to do."""
    with lived.store.write() as transaction:
        before = raw_rows(transaction)
        damage(table)(lived, transaction)
        repairs = repaired(lived, transaction, journalled(lived), is_whole=is_whole)
        assert len(repairs) == 1 and table.name.lower() in repairs[0]
        assert raw_rows(transaction) == before
        assert repaired(lived, transaction, journalled(lived), is_whole=is_whole) == []
    assert_sound(lived)


def test_without_a_journal_readable_rows_are_kept(lived: Workspace) -> None:
    """Of an empty history nothing is taken for removed; rows that lead nowhere go with what they need."""
    with lived.store.write() as transaction:
        before = raw_rows(transaction)
        assert repaired(lived, transaction, Provenance(), is_whole=False) == []
        assert raw_rows(transaction) == before
        for key in table_keys(transaction, Table.RUNS):
            transaction.delete(Table.RUNS, key)
        assert repaired(lived, transaction, Provenance(), is_whole=False)
        left = read_provenance(transaction)
        assert not left.runs and not left.blocks
        assert all(end.is_version for edge in left.edges for end in (edge.source, edge.target))
        assert table_keys(transaction, Table.RUN_IDS) == []


def test_a_complete_journal_overrides_readable_rows(lived: Workspace) -> None:
    """A readable row that the journal does not have is removed."""
    with lived.store.write() as transaction:
        before = raw_rows(transaction)
        transaction.put(Table.METRICS, (1 << 40).to_bytes(8, "big") + bytes(4), b"block of no run")
        transaction.put(Table.RUN_IDS, b"p\0other", (1).to_bytes(8, "big"))
        assert len(repaired(lived, transaction, journalled(lived), is_whole=True)) == 2
        assert raw_rows(transaction) == before


def test_blocks_behind_a_gap_are_dropped(workspace: Workspace) -> None:
    """The record counts the blocks that can be read in order, so that later ones are appended to them."""
    record, lease = workspace.runs.start("p", "one")
    for number in range(3):
        workspace.runs.log(record.number, [{"n": number}], {})
    lease.close()
    with workspace.store.write() as transaction:
        transaction.delete(Table.METRICS, table_keys(transaction, Table.METRICS)[1])
        repaired(workspace, transaction, Provenance(), is_whole=False)
        assert read_provenance(transaction).runs[record.number].blocks == 1
    assert workspace.runs.rows(record.number) == [{"n": 0}]
    workspace.runs.log(record.number, [{"n": 9}], {})
    assert workspace.runs.rows(record.number) == [{"n": 0}, {"n": 9}]


def test_numbers_of_runs_are_not_given_twice(lived: Workspace) -> None:
    """The counter is behind all that are recorded; one that is ahead stays."""
    with lived.store.write() as transaction:
        following = transaction.state.next_run
        transaction.state.next_run = 1
        repaired(lived, transaction, journalled(lived), is_whole=True)
        assert transaction.state.next_run == following
        transaction.state.next_run = 99
        repaired(lived, transaction, journalled(lived), is_whole=True)
        assert transaction.state.next_run == 99
        transaction.state.next_run = following
