"""The environment is copied into fewer pages, and a failed or killed copy leaves one of the two."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from artstore.errors import ArtfsError, DamageError, OutOfSpaceError
from artstore.reclaim import compaction
from artstore.reclaim.compaction import compact_environment, environment, retire_replaced
from artstore.records.tables import Table
from artstore.storage import disk
from artstore.storage.environment import Environment
from artstore.workspace import Workspace
from corpora.folders import content_of
from crash.recount import contradictions
from crash.states import content_of_version
from messages import raises
from store.reclaim.compaction.conftest import Faults
from store.reclaim.compaction.environments import Rows, folders_of, loosen, number_of, rows


def test_the_same_rows_in_fewer_pages(grown: Workspace, tmp_path: Path) -> None:
    """Transaction numbers go on, modes are kept, and what was replaced is gone; again, it is not worth it."""
    before, number = rows(grown), number_of(grown)
    old, new = compact_environment(grown.store)
    assert new < old / 2
    assert rows(grown) == before
    assert number_of(grown) > number
    assert folders_of(grown) == ["manifest.2"]
    assert (grown.path / "current").read_text() == "3 manifest.2\n"
    modes = {path.name: path.stat().st_mode & 0o777 for path in [grown.path / "manifest.2", grown.path / "current"]}
    modes |= {path.name: path.stat().st_mode & 0o777 for path in (grown.path / "manifest.2").iterdir()}
    expected = {"manifest.2": 0o700, "current": 0o600, "data.mdb": 0o600, "lock.mdb": 0o600, "lease": 0o600}
    assert modes == expected
    assert contradictions(grown.path) == []
    assert set(content_of_version(grown.version("keep:good"))) == {b"%d" % number for number in range(20)}
    again = compact_environment(grown.store)
    assert new <= again[0] == again[1] < new + 65536
    assert folders_of(grown) == ["manifest.2"]


@pytest.mark.parametrize("commits", [0, 1, 60, 61])
def test_numbers_go_on(grown: Workspace, commits: int) -> None:
    """Odd or even, few or many: the copy shows a number that is not lower, and every commit after it a higher one."""
    for step in range(commits):
        grown.aliases.set("keep:v0", f"before{step}")
    number = number_of(grown)
    compact_environment(grown.store)
    assert number_of(grown) <= max(number, 40) + 5
    for step in range(4):
        assert number_of(grown) >= number + 1 + step
        grown.aliases.set("keep:v0", f"step{step}")
    assert contradictions(grown.path) == []


def test_modes_of_a_group(grown: Workspace) -> None:
    """What a group may use stays so, whatever the umask."""
    for path in [grown.path / "manifest.1", *(grown.path / "manifest.1").iterdir(), grown.path / "current"]:
        path.chmod(0o2770 if path.is_dir() else 0o660)
    before = os.umask(0o077)
    try:
        compact_environment(grown.store)
    finally:
        os.umask(before)
    new = grown.path / "manifest.2"
    assert new.stat().st_mode & 0o7777 == 0o2770
    assert {path.stat().st_mode & 0o777 for path in [*new.iterdir(), grown.path / "current"]} == {0o660}


def test_a_table_that_is_not_known_is_not_dropped(grown: Workspace) -> None:
    """Refused before anything is copied."""
    grown_manifest = Environment.of(grown.path)
    grown_manifest.env.open_db(b"of tomorrow")
    with raises(DamageError, names=[str(grown.path), "tables"]):
        compact_environment(grown.store)
    assert folders_of(grown) == ["manifest.1"]


def test_a_copy_that_lacks_rows_is_dropped(grown: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was copied is counted before it is put in place."""
    original = environment._pieces

    def lossy(transaction: Any, table: Table) -> Iterator[list[tuple[bytes, bytes]]]:
        for piece in original(transaction, table):
            yield piece[1:] if table is Table.INDEX else piece

    monkeypatch.setattr(environment, "_pieces", lossy)
    with raises(DamageError, names=[str(grown.path), "rows"]):
        compact_environment(grown.store)
    assert folders_of(grown) == ["manifest.1"]
    assert contradictions(grown.path) == []


def test_without_room_nothing_changes(grown: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reserve is kept."""
    with monkeypatch.context() as patch, pytest.raises(OutOfSpaceError):
        patch.setattr(disk, "free_bytes", lambda _: 1 << 20)
        compact_environment(grown.store)
    assert folders_of(grown) == ["manifest.1"]
    compact_environment(grown.store)
    assert folders_of(grown) == ["manifest.2"]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_faults_at_every_call(grown: Workspace, faults: Faults, number: int, after: bool) -> None:
    """Before or after each call of the disk: all rows are there, and the next run leaves one environment."""
    before = rows(grown)
    nth, failed = 0, 0
    while True:
        nth += 1
        loosen(grown, nth)
        faults.arm(nth, OSError(number, os.strerror(number)), after=after)
        try:
            compact_environment(grown.store)
        except (ArtfsError, OSError):
            failed += 1
        reached = faults.disarm() >= nth
        assert _without_counters(rows(grown)) == _without_counters(before)
        retire_replaced(grown.store)
        assert len(folders_of(grown)) == 1
        if not reached:
            break
    assert failed > 5
    assert contradictions(grown.path) == []


def _without_counters(found: Rows) -> Rows:
    return {**found, Table.META: [row for row in found[Table.META] if row[0] != b"counters"]}


class Killed(BaseException):
    """Stand for a SIGKILL: nothing is cleaned up."""


def test_leftovers_of_the_killed_go(grown: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy that was never put in place, and one that was and left the old; `gc` sees to both."""

    def killed(*_: object) -> None:
        raise Killed

    before = rows(grown)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(environment, "_switch", killed)
        patch.setattr(environment, "_discard", lambda *_: None)
        compact_environment(grown.store)
    assert folders_of(grown) == ["manifest.1", "manifest.2"]
    assert _without_counters(rows(grown)) == _without_counters(before)
    grown.gc()
    assert folders_of(grown) == ["manifest.1"]
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(environment, "_remove_folder", killed)
        compact_environment(grown.store)
    assert folders_of(grown) == ["manifest.1", "manifest.2"]
    (grown.path / "manifest.1" / "data.mdb").unlink()  # killed once more, while it was removed
    grown.gc()
    assert folders_of(grown) == ["manifest.2"]
    assert _without_counters(rows(grown)) == _without_counters(before)


def test_a_replaced_one_that_does_not_open_goes_when_nobody_has_it(grown: Workspace) -> None:
    """As a killed rebuild leaves it; while a process has it open, nothing is freed."""
    old = grown.path / "manifest.1"
    kept = (old / "data.mdb").read_bytes()
    compact_environment(grown.store)
    old.mkdir()
    (old / "data.mdb").write_bytes(b"\xff" * len(kept))
    (old / "lease").write_bytes(b"")
    holder = os.open(old / "lease", os.O_RDWR)
    assert disk.try_lock(holder, shared=True)
    with raises(DamageError, names=[str(old)]):
        compaction.retire_replaced(grown.store)
    os.close(holder)
    assert compaction.retire_replaced(grown.store) == []
    assert folders_of(grown) == ["manifest.2"]


def test_the_folder_that_was_put_stays_as_it_was(grown: Workspace, tmp_path: Path) -> None:
    """A put after a compaction finds all content that is there."""
    compact_environment(grown.store)
    for path in (tmp_path / "f").glob("more*"):
        path.unlink()
    version = grown.put(tmp_path / "f", "again")
    assert version.receipt is not None and version.receipt.new_bytes == 0
    assert content_of_version(version) == content_of(tmp_path / "f")
