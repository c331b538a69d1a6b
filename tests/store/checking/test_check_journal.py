"""The journal is compared with the catalogue, event by event and as a whole; what does not fit is named."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from artstore.checking.check_journal import check_journal
from artstore.checking.check_names import read_names
from artstore.checking.report import Report
from artstore.errors import DamageError
from artstore.reclaim import compaction
from artstore.records.catalogue import VersionRecord
from artstore.records.events import DeleteEvent, TypeEvent
from artstore.records.journal_frames import encode_records
from artstore.records.tables import Table
from artstore.rows.history import History
from artstore.storage import journal
from artstore.workspace import Workspace
from messages import raises
from store.checking.conftest import found


def checked(ws: Workspace) -> Report:
    report = Report()
    with ws.store.snapshot() as snapshot:
        transaction = snapshot.transaction
        versions = [VersionRecord.decode(payload) for _, payload in transaction.rows(Table.VERSIONS)]
        check_journal(ws.path, transaction, read_names(transaction, report), versions, report)
    return report


def log(ws: Workspace, *events: dict[str, Any]) -> None:
    """Write events that nothing in the manifest answers to."""
    with ws.store.write() as transaction:
        journal.append_records(ws.path, transaction, list(events))


def test_what_was_put_is_what_the_journal_tells(lived: Workspace) -> None:
    assert checked(lived).problems == []
    compaction.compact_journal(lived.store)
    assert checked(lived).problems == []


def test_bytes_past_the_acknowledged_end_are_nobodys(lived: Workspace) -> None:
    with journal.journal_path(lived.path).open("ab") as file:
        file.write(encode_records([{"event": "type", "name": "alone", "type": "other"}]) + b"torn")
    assert checked(lived).problems == []


PURGE = {"event": "purge", "name": "alone", "version": 1, "digest": "00", "form": "00", "mount": 70, "purged": []}


@pytest.mark.parametrize(
    ("event", "names", "reason"),
    [
        ({"event": "alias", "name": "alone", "alias": "new", "version": 1}, ["alone:new"], "manifest names nothing"),
        ({"event": "alias", "name": "alone", "alias": "none", "version": None}, [], "impossible event"),
        ({"event": "tags", "name": "alone", "version": 1, "tags": ["odd"]}, ["alone:v1"], "other metadata"),
        ({"event": "tags", "name": "alone", "version": 9, "tags": []}, [], "impossible event"),
        ({"event": "type", "name": "alone", "type": "odd"}, ["'alone'", "'odd'"], None),
        ({"event": "delete", "name": "alone", "version": 1, "aliases": []}, ["alone:v1"], "deleted in one"),
        ({"event": "undelete", "name": "alone", "version": 0}, ["alone:v0"], "deleted in one"),
        (PURGE, ["alone:v1"], "other digest"),
        ({"event": "odd", "name": "alone"}, ["'odd'"], "not an event"),
        ({"event": "type"}, [], "impossible event"),
        ({"event": "type", "name": ["x"], "type": 1}, [], "impossible event"),
        ({"event": "alias", "name": "unknown", "alias": "a", "version": 1}, ["'unknown'"], "only in the journal"),
    ],
)
def test_an_event_that_does_not_fit_is_named(
    lived: Workspace, event: dict[str, Any], names: list[str], reason: str | None
) -> None:
    log(lived, event)
    assert found(checked(lived), "journal", names=names, reason=reason)


def test_a_version_that_only_the_journal_has_is_named(lived: Workspace) -> None:
    event = {"event": "version", "name": "alone", "number": 7, "serial": 70, "digest": "00", "form": "00"}
    times = {"created_ns": 1, "mtime_ns": -1, "mode": 0o755, "newest_ns": -1}
    log(lived, {**event, **times, "metadata": {}, "description": "", "base": None})
    report = checked(lived)
    assert found(report, "journal", names=["alone:v7"], reason="only in the journal")
    assert found(report, "journal", names=["'alone'"], reason="next version")


def test_every_byte_counts(lived: Workspace) -> None:
    """A flipped bit anywhere before the acknowledged end is found, and what follows it is still read."""
    path = journal.journal_path(lived.path)
    whole = path.read_bytes()
    for offset in range(0, len(whole), 7):
        path.write_bytes(whole[:offset] + bytes([whole[offset] ^ 1]) + whole[offset + 1 :])
        assert {problem.kind for problem in checked(lived).problems} == {"journal"}, offset


@pytest.mark.parametrize("share", [0, 0.3, 0.99])
def test_a_journal_that_is_cut_short_is_named(lived: Workspace, share: float) -> None:
    path = journal.journal_path(lived.path)
    os.truncate(path, int(path.stat().st_size * share))
    assert found(checked(lived), "journal", reason="journal ends early")


def test_a_generation_that_is_gone_is_named(lived: Workspace) -> None:
    compaction.compact_journal(lived.store)
    with lived.store.snapshot() as snapshot:
        generation = snapshot.transaction.counters().journal_generation
    path: Path = journal.journal_path(lived.path, generation)
    path.unlink()
    assert found(checked(lived), "file", names=[str(path)])


def test_events_that_contradict_are_refused_one_by_one() -> None:
    history = History()
    event = DeleteEvent(name="a", version=0, aliases=[])
    with raises(DamageError, names=[str(event.encode())]):
        history.apply(event)
    history.apply(TypeEvent(name="a", type="dataset"))
    assert history.artifacts["a"].type == "dataset"
