"""The journal: appended before the commit, replayed in order, cut where nothing was acknowledged."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from artstore.errors import DamageError, OutOfSpaceError
from artstore.records.journal_frames import encode_records
from artstore.storage import disk, journal, manifest
from artstore.workspace import Workspace
from messages import raises

EVENTS = st.lists(st.dictionaries(st.text(max_size=5), st.integers() | st.text(), max_size=3), max_size=4)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.tuples(EVENTS, EVENTS, st.booleans()), max_size=6))
def test_replay_gives_what_was_committed(workspace: Workspace, batches: list[tuple[Any, Any, bool]]) -> None:
    """Events of transactions that never committed are cut off by the next writer, and only those."""
    path = journal.journal_path(workspace.path)
    with manifest.write(workspace.path) as transaction:
        transaction.state.journal_end = 0
        journal.append_records(workspace.path, transaction, [])
    expected = []
    for first, second, committed in batches:
        try:
            with manifest.write(workspace.path) as transaction:
                journal.append_records(workspace.path, transaction, first)
                journal.append_records(workspace.path, transaction, second)
                if not committed:
                    raise KeyError
        except KeyError:
            continue
        expected += first + second
    with manifest.write(workspace.path) as transaction:
        journal.append_records(workspace.path, transaction, [{"last": 1}])
        end = transaction.state.journal_end
    assert list(journal.replay(path)) == [*expected, {"last": 1}]
    assert path.stat().st_size == end


def test_replay_stops_before_what_is_torn(workspace: Workspace) -> None:
    """Cut anywhere, or with any byte changed, the records before that point come, and no other."""
    path = journal.journal_path(workspace.path)
    events = [{"n": number} for number in range(3)]
    ends = []
    for event in events:
        with manifest.write(workspace.path) as transaction:
            journal.append_records(workspace.path, transaction, [event])
            ends.append(transaction.state.journal_end)
    data = path.read_bytes()
    torn = path.with_name("torn")
    for at in range(len(data)):
        whole = [event for event, end in zip(events, ends, strict=True) if end <= at]
        torn.write_bytes(data[:at])
        assert list(journal.replay(torn)) == whole
        torn.write_bytes(data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :])
        assert list(journal.replay(torn)) == whole


def test_a_journal_that_lost_its_end_is_damage(workspace: Workspace) -> None:
    """Acknowledged bytes that are gone are not papered over."""
    with manifest.write(workspace.path) as transaction:
        journal.append_records(workspace.path, transaction, [{"a": 1}])
    with journal.journal_path(workspace.path).open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        file.truncate(3)
    with raises(DamageError, names=["3", str(end)]), manifest.write(workspace.path) as transaction:
        journal.append_records(workspace.path, transaction, [{"a": 2}])


def test_a_full_disk_is_said(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is acknowledged then."""

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(disk, "append", full)
    with raises(OutOfSpaceError, names=["the journal"]), manifest.write(workspace.path) as transaction:
        journal.append_records(workspace.path, transaction, [{"a": 1}])
    with manifest.read(workspace.path) as transaction:
        assert transaction.counters().journal_end == 0


def test_salvage_reads_the_whole_file(tmp_path: Path) -> None:
    """Records behind a damaged one are read."""
    data = encode_records([{"a": 1}, {"b": 2}])
    path = tmp_path / "journal"
    path.write_bytes(b"x" + data[1:])
    assert [event for _, event in journal.salvage(path)] == [None, {"b": 2}]
