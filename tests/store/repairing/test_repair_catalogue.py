"""The catalogue: records from a journal that is complete, only unreadable ones from one that is not."""

from __future__ import annotations

import pytest

from artstore.records.tables import Table, key32
from artstore.repairing.repair_catalogue import repair_catalogue, repair_journal
from artstore.storage import journal
from artstore.storage.manifest import WriteTransaction
from artstore.workspace import Workspace
from store.lived import catalogue_of
from store.oracle import assert_sound
from store.repairing.damage import rows_gone, rows_spoilt, table_keys

CATALOGUE = (
    Table.ARTIFACTS,
    Table.NAMES,
    Table.VERSIONS,
    Table.NUMBERS,
    Table.ALIASES,
    Table.ALIAS_SERIALS,
    Table.RUNS,
    Table.LINEAGE,
)


def rows(transaction: WriteTransaction) -> dict[Table, list[tuple[bytes, bytes]]]:
    return {table: list(transaction.raw.cursor(transaction.handles[table])) for table in CATALOGUE}


def damage_journal(ws: Workspace) -> None:
    """Make one event in the middle unreadable."""
    path = journal.journal_path(ws.path)
    ends = [end for end, _ in journal.salvage(path)]
    data = bytearray(path.read_bytes())
    data[ends[len(ends) // 2] - 2] ^= 4
    path.write_bytes(bytes(data))


def test_a_sound_catalogue_and_its_journal_are_left_alone(lived: Workspace) -> None:
    """No row is written, and the journal is the same file."""
    path = journal.journal_path(lived.path)
    content = path.read_bytes()
    with lived.store.write() as transaction:
        before = rows(transaction)
        assert repair_catalogue(lived.path, transaction) == []
        assert repair_journal(lived.path, transaction) == []
        assert rows(transaction) == before
    assert journal.journal_path(lived.path) == path and path.read_bytes() == content


@pytest.mark.parametrize("table", CATALOGUE, ids=lambda table: table.name.lower())
def test_unreadable_rows_come_back(lived: Workspace, table: Table) -> None:
    """Each repair is a sentence, and a second one has nothing to do."""
    before = catalogue_of(lived)
    with lived.store.write() as transaction:
        rows_spoilt(table)(lived, transaction)
        repairs = repair_catalogue(lived.path, transaction)
        assert repairs and all(isinstance(sentence, str) and sentence for sentence in repairs)
        assert repair_catalogue(lived.path, transaction) == []
    assert catalogue_of(lived) == before
    assert_sound(lived)


def test_a_missing_alias_comes_back_from_a_complete_journal_only(lived: Workspace) -> None:
    """In the unreadable part the alias may have been removed: it is not given back to a version that lost it."""
    others = lived.aliases.of("alone")
    with lived.store.write() as transaction:
        (key,) = [key for key in table_keys(transaction, Table.ALIASES) if key.endswith(b"clean")]
        transaction.delete(Table.ALIASES, key)
        assert repair_catalogue(lived.path, transaction)
        assert key in table_keys(transaction, Table.ALIASES)
        transaction.delete(Table.ALIASES, key)
        damage_journal(lived)
        repair_catalogue(lived.path, transaction)
        assert key not in table_keys(transaction, Table.ALIASES)
    assert lived.aliases.of("alone") == others


def test_a_version_is_restored_only_if_its_directory_survives(lived: Workspace) -> None:
    """A lost root is named, and no record is made that leads to nothing."""
    record = lived.version("alone:v1").record
    with lived.store.write() as transaction:
        transaction.delete(Table.VERSIONS, key32(record.serial))
        root = transaction.find(ord("t"), record.form)
        assert root == record.root
        transaction.delete(Table.INDEX, b"t" + record.form)
        repairs = repair_catalogue(lived.path, transaction)
        assert any("alone:v1" in sentence and "lost" in sentence for sentence in repairs)
        assert key32(record.serial) not in table_keys(transaction, Table.VERSIONS)
        transaction.put_index(ord("t"), record.form, record.root)
        assert any("alone:v1" in sentence for sentence in repair_catalogue(lived.path, transaction))
    assert lived.version("alone:v1").digest == record.digest.hex()


def test_rules_are_removed_if_the_journal_may_lack_some(lived: Workspace) -> None:
    """With a part of the rules more versions could expire; without any none does."""
    rules = lived.retention.rules()
    assert rules
    with lived.store.write() as transaction:
        transaction.delete(Table.META, b"retention")
        repair_catalogue(lived.path, transaction)
    assert lived.retention.rules() == rules
    with lived.store.write() as transaction:
        transaction.put(Table.META, b"retention", b"{}")
        damage_journal(lived)
        assert any("retention" in sentence for sentence in repair_catalogue(lived.path, transaction))
    assert lived.retention.rules() == []


def test_counters_are_behind_what_is_recorded(lived: Workspace) -> None:
    """No number of an artifact, version or alias is given again."""
    with lived.store.write() as transaction:
        state = transaction.state
        before = (state.next_name, state.next_serial, state.next_alias, state.versions, state.logical_bytes)
        state.next_name = state.next_serial = state.next_alias = 1
        state.versions = state.logical_bytes = 0
        repair_catalogue(lived.path, transaction)
        after = (state.next_name, state.next_serial, state.next_alias, state.versions, state.logical_bytes)
        assert after[1] == before[1] and after[3:] == before[3:]
        assert after[0] > max(int.from_bytes(key, "big") for key in table_keys(transaction, Table.ARTIFACTS))
        assert after[2] > max(int.from_bytes(key, "big") for key in table_keys(transaction, Table.ALIAS_SERIALS))


def test_a_journal_that_disagrees_is_written_again(lived: Workspace) -> None:
    """Under the next number, the old one being kept; it leads to the same catalogue, and fsck finds nothing."""
    old = journal.journal_path(lived.path)
    damage_journal(lived)
    damaged = old.read_bytes()
    with lived.store.write() as transaction:
        assert len(repair_journal(lived.path, transaction)) == 1
        generation = transaction.state.journal_generation
    new = journal.journal_path(lived.path, generation)
    assert generation == journal.generation_of(old) + 1 and new != old
    assert old.read_bytes() == damaged
    with lived.store.write() as transaction:
        assert transaction.state.journal_end == new.stat().st_size
        assert repair_journal(lived.path, transaction) == []
        rows_gone(Table.VERSIONS, Table.NUMBERS)(lived, transaction)
        assert repair_catalogue(lived.path, transaction)
    journal.remove_others(lived.path, generation)
    assert_sound(lived)
