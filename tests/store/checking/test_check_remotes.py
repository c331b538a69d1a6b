"""The tables of remotes: rows that belong to nothing, or twice, are found, and a repair leaves what is right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from artstore.records.remotes import PULLED, Counterpart, RemoteRecord
from artstore.records.tables import Table
from artstore.rows import remotes
from artstore.rows.remotes import Tracking, read_tracking
from artstore.storage import disk, journal, manifest
from artstore.storage.manifest import WriteTransaction
from artstore.workspace import Workspace
from store.oracle import assert_sound
from store.with_remotes import live_with_remotes

REMOTE = bytes(range(16))
OTHER = b"?" * 16


@pytest.fixture
def known(workspace: Workspace, tmp_path: Path) -> Workspace:
    for number in range(2):
        (tmp_path / "file").write_bytes(b"number %d" % number)
        workspace.put(tmp_path, "data")
    live_with_remotes(workspace, "data")
    return workspace


def forget_the_remote(transaction: WriteTransaction) -> None:
    transaction.delete(Table.REMOTES, REMOTE)


def rename_the_remote(transaction: WriteTransaction) -> None:
    record = remotes.all_remotes(transaction)[REMOTE]
    remotes.put_remote(transaction, REMOTE, RemoteRecord("renamed", record.url, False, record.added_ns))


def take_a_name_twice(transaction: WriteTransaction) -> None:
    remotes.put_remote(transaction, OTHER, RemoteRecord("origin", "s3://third", False, 9))


def track_without_an_artifact(transaction: WriteTransaction) -> None:
    remotes.put_tracked(transaction, 99, REMOTE, OTHER)


def track_one_twice(transaction: WriteTransaction) -> None:
    [number] = remotes.tracked_in(transaction, REMOTE)
    remotes.put_tracked(transaction, number, bytes(16), b"a" * 16)


def lose_what_tracks(transaction: WriteTransaction) -> None:
    [number] = remotes.tracked_in(transaction, REMOTE)
    transaction.delete(Table.TRACKED, number.to_bytes(8, "big") + REMOTE)


def land_without_a_version(transaction: WriteTransaction) -> None:
    remotes.put_counterpart(transaction, 99, REMOTE, Counterpart(OTHER, 1, PULLED))


def land_as_another_version(transaction: WriteTransaction) -> None:
    remotes.put_counterpart(transaction, 2, REMOTE, Counterpart(b"0" * 16, 1, PULLED))


def change_a_number(transaction: WriteTransaction) -> None:
    remotes.put_counterpart(transaction, 1, REMOTE, Counterpart(b"0" * 16, 5, 1))


def note_for_no_remote(transaction: WriteTransaction) -> None:
    remotes.note(transaction, OTHER, ord("t"), OTHER)


def break_a_seal(transaction: WriteTransaction) -> None:
    transaction.raw.put(REMOTE, b"12345", db=transaction.handles[Table.REMOTES])


DAMAGES = [
    *(forget_the_remote, rename_the_remote, take_a_name_twice, track_without_an_artifact, track_one_twice),
    *(lose_what_tracks, land_without_a_version, land_as_another_version, change_a_number, note_for_no_remote),
    break_a_seal,
]


def told(workspace: Workspace) -> Tracking:
    with manifest.read(workspace.path) as transaction:
        return read_tracking(transaction).told()


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: str(damage.__name__))
def test_wrong_rows_are_found_and_repaired(known: Workspace, damage: Callable[[WriteTransaction], None]) -> None:
    """From the journal, which has all of it but what is a cache."""
    before = told(known)
    with known.store.write() as transaction:
        damage(transaction)
    assert not known.fsck().clean
    known.fsck(repair=True)
    assert told(known) == before
    assert_sound(known)


def test_a_sound_workspace_is_clean(known: Workspace) -> None:
    assert_sound(known)


def test_without_a_whole_journal_what_can_be_read_stays(known: Workspace) -> None:
    """The rows that read, and are about something that is there, survive; the journal is then written from them."""
    before = told(known)
    path = journal.journal_path(known.path)
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    disk.write_file(known.path, path, bytes(data), 0o600)
    with known.store.write() as transaction:
        take_a_name_twice(transaction)
        land_without_a_version(transaction)
    assert not known.fsck().clean
    known.fsck(repair=True)
    assert told(known) == before
    assert_sound(known)
