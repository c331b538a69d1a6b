"""What a workspace knows of remotes: taken once, and kept right by rebuild, compaction, renaming and reaping."""

from __future__ import annotations

from pathlib import Path

import pytest

from artstore.changes import tracking
from artstore.changes.deleting import delete, undelete
from artstore.errors import ExistsError, NotFoundError, RefusedError
from artstore.reclaim.compaction import compact_journal
from artstore.records.remotes import PULLED, PUSHED, Counterpart, RemoteRecord
from artstore.records.tables import Table, key32
from artstore.repairing.rebuild import rebuild
from artstore.rows import remotes
from artstore.rows.remotes import Tracking, read_tracking
from artstore.storage import manifest
from artstore.storage.environment import Environment
from artstore.workspace import Workspace
from crash.recount import contradictions
from messages import raises
from store.lived import reopened
from store.oracle import assert_sound
from store.with_remotes import live_with_remotes

REMOTE = bytes(range(16))


@pytest.fixture
def known(workspace: Workspace, tmp_path: Path) -> Workspace:
    """Return a workspace with the remotes ``origin`` and ``mirror``, whose artifact ``team/data`` tracks ``origin``."""
    for number in range(3):
        (tmp_path / "file").write_bytes(b"number %d" % number)
        workspace.put(tmp_path, "team/data")
    live_with_remotes(workspace, "team/data")
    return workspace


def tracking_of(workspace: Workspace) -> Tracking:
    with manifest.read(workspace.path) as transaction:
        return read_tracking(transaction)


def test_a_remote_is_known_once(known: Workspace) -> None:
    """By one name, by one URL, and by its uuid."""
    for uuid, name, url in (
        (b"x" * 16, "origin", "s3://other"),
        (b"x" * 16, "third", "s3://bucket/prefix"),
        (REMOTE, "third", "s3://other"),
    ):
        with raises(ExistsError, names=["origin"]):
            tracking.record_remote(known.store, uuid, RemoteRecord(name, url, False, 9))
    with raises(NotFoundError):
        tracking.update_remote(known.store, b"x" * 16, folded=3)


def test_what_artifacts_track_is_not_forgotten_by_mistake(known: Workspace) -> None:
    """A remote without artifacts goes; one that artifacts track goes with a flag, and its versions stay."""
    assert tracking.forget_remote(known.store, "mirror")[1] == []
    with raises(RefusedError, names=["team/data", "origin"]):
        tracking.forget_remote(known.store, "origin")
    record, names = tracking.forget_remote(known.store, "origin", keep_local=True)
    assert (record.url, names) == ("s3://bucket/prefix", ["team/data"])
    with raises(NotFoundError, names=["origin"]):
        tracking.forget_remote(known.store, "origin")
    with manifest.read(known.path) as transaction:
        for table in (*remotes.TRACKING_TABLES, Table.PLACES, Table.PUSHES):
            assert list(transaction.rows(table)) == []
    assert len(known.versions("team/data")) == 3
    assert_sound(known)
    assert contradictions(known.path) == []


def test_rebuilding_and_compaction_keep_what_the_journal_has(known: Workspace) -> None:
    """Remotes, tracking artifacts, and versions that were pushed; after a rename under the new name."""
    known.rename("team/data", "team/other")
    before = tracking_of(known).told()
    assert len(before.remotes) == 2 and len(before.artifacts) == 1
    assert [there.way for there in before.versions.values()] == [PUSHED]
    for _ in range(200):
        known.describe("team/other", "again")
        known.describe("team/other", "and again")
    compact_journal(known.store)
    assert tracking_of(known).told() == before
    assert contradictions(known.path) == []
    Environment.of(known.path).drop()
    rebuild(known.path)
    again = reopened(known)
    after = tracking_of(again)
    assert (after.remotes, list(after.artifacts.values())) == (before.remotes, list(before.artifacts.values()))
    assert after.versions == before.versions
    assert_sound(again)


def _delete(workspace: Workspace, *, now: bool = False) -> None:
    """Delete the version as what follows a log does, which there is none of here."""
    delete(workspace.store, ["team/data:v0"], force=False, now=now, dry_run=False, recursive=False)


def test_a_version_takes_its_rows_along(known: Workspace) -> None:
    """While a deleted version can be undeleted its counterpart stays, and it goes with the version."""
    serial = known.version("team/data:v0").record.serial
    _delete(known)
    assert (serial, REMOTE) in tracking_of(known).versions
    undelete(known.store, ["team/data:v0"])
    assert tracking_of(known).versions[serial, REMOTE] == Counterpart(b"0" * 16, 0, PUSHED)
    _delete(known, now=True)
    assert (serial, REMOTE) not in tracking_of(known).versions
    assert_sound(known)
    assert contradictions(known.path) == []


def test_a_version_that_is_gone_gets_no_counterpart(known: Workspace) -> None:
    with (
        raises(NotFoundError),
        known.store.write() as transaction,
    ):
        tracking.record_counterpart(known.store, transaction, 99, REMOTE, Counterpart(b"9" * 16, 1, PULLED))
    assert (99, REMOTE) not in tracking_of(known).versions


def test_usage_does_not_change(known: Workspace) -> None:
    """The terms still add up to the byte, and places can be dropped at any time."""
    usage = known.usage()
    with known.store.write() as transaction:
        remotes.drop_places(transaction, REMOTE)
        assert remotes.find_place(transaction, REMOTE, ord("c"), b"c" * 32) is None
        assert list(remotes.noted(transaction, REMOTE, ord("d"))) == [b"d" * 16]
        remotes.settle(transaction, REMOTE, ord("d"), b"d" * 16)
        assert remotes.noted(transaction, REMOTE, ord("d")) == {}
        assert transaction.get(Table.COUNTERPARTS, key32(1) + REMOTE) is not None
    assert known.usage().stored_bytes == usage.stored_bytes
    assert_sound(known)
