"""Drafts that several processes change, failed steps, and full disks."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from artstore.drafting import adding
from artstore.drafting.open_draft import OpenDraft
from artstore.errors import (
    NotFoundError,
    OutOfSpaceError,
    RefusedError,
    SourceError,
)
from artstore.reclaim import space
from artstore.rows import drafts
from artstore.workspace import Workspace
from messages import missing, raises
from store.drafting.sources import MODEL, content
from store.oracle import Model, assert_sound, leftovers, whole, write_folder


def test_steps_of_several_processes_are_all_done(workspace: Workspace, tmp_path: Path) -> None:
    """Each process works on the result of the one before it, in any order."""
    workspace.drafts.new("data", id="x")
    program = (
        "import sys; from artstore.workspace import open_workspace\n"
        "draft = open_workspace(sys.argv[1]).drafts.get('x')\n"
        "for number in range(5): draft.add(sys.argv[2], f'{sys.argv[3]}/{number}')"
    )
    (tmp_path / "f").write_bytes(b"f")
    started = [
        subprocess.Popen([sys.executable, "-c", program, workspace.path, tmp_path / "f", name]) for name in "abc"
    ]
    assert [process.wait(60) for process in started] == [0, 0, 0]
    draft = workspace.drafts.get("x")
    assert sorted(path for path, (kind, _) in content(draft).items() if kind == "file") == sorted(
        b"%s/%d" % (name, number) for name in (b"a", b"b", b"c") for number in range(5)
    )
    assert_sound(workspace)


def test_a_folder_is_read_once_however_often_others_are_quicker(
    workspace: Workspace, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its content is in the store by then, and everything stored for it is reported."""
    draft = workspace.drafts.new("data", id="x")
    (tmp_path / "f").write_bytes(b"f")
    step, run = adding.Adding.step, adding.Ingest.run
    losses, reads = [3], []

    def slow_step(self: adding.Adding, *arguments: Any) -> Any:
        done = step(self, *arguments)
        if losses[0] and not self._source.is_file:
            losses[0] -= 1
            OpenDraft(workspace.store, "x").add(tmp_path / "f", f"other{losses[0]}")
        return done

    def counted(self: adding.Ingest) -> Any:
        reads.append(1)
        return run(self)

    monkeypatch.setattr(adding.Adding, "step", slow_step)
    monkeypatch.setattr(adding.Ingest, "run", counted)
    added = draft.add(source)
    assert len(reads) == 1 and losses == [0] and added.files == 4 and added.new_bytes > 0
    others: Model = {b"other%d" % number: ("file", b"f") for number in range(3)}
    assert content(draft) == whole({**MODEL, **others})
    draft.abort()
    workspace.gc(now=True)
    assert_sound(workspace)
    assert leftovers(workspace) == []


def test_one_of_two_commits_makes_the_version(workspace: Workspace, source: Path) -> None:
    draft = workspace.drafts.new("data", id="x")
    draft.add(source)
    outcomes: list[str] = []

    def commit() -> None:
        try:
            outcomes.append(OpenDraft(workspace.store, "x").commit().name)
        except NotFoundError:
            outcomes.append("gone")

    threads = [threading.Thread(target=commit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["data:v0", "gone", "gone", "gone"]


def test_a_failed_step_leaves_the_draft_as_it_was(workspace: Workspace, source: Path, tmp_path: Path) -> None:
    draft = workspace.drafts.new("data")
    draft.add(source)
    os.mkfifo(source / "pipe")
    for use in (lambda: draft.add(source, "more"), lambda: draft.add(tmp_path / "absent")):
        with pytest.raises((SourceError, NotFoundError)):
            use()
    assert content(draft) == whole(MODEL)
    with pytest.raises(RefusedError):
        draft.add(workspace.path)
    version = draft.commit(type="model")
    with raises(RefusedError, names=["'model'", "'dataset'"]):
        other = workspace.drafts.new("data", base="v0", id="y")
        other.commit(type="dataset", new=True)
    assert workspace.drafts.get("y").commit().name == version.name


def test_on_a_full_disk_what_was_deleted_makes_room(
    workspace: Workspace, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for a put: deleted content is reaped early and reported; if nothing waits, the step fails."""
    draft = workspace.drafts.new("data")
    full = [True]

    def require_room(path: Path) -> None:
        if full[0]:
            raise OutOfSpaceError("no room")

    def reap_for_room(*_: Any) -> int:
        full[0] = False
        return 5

    monkeypatch.setattr(space, "require_room", require_room)
    monkeypatch.setattr(space, "_reap", lambda *_: 0)
    with pytest.raises(OutOfSpaceError):
        draft.add(source)
    monkeypatch.setattr(space, "_reap", reap_for_room)
    assert draft.add(source).reaped_bytes == 5
    assert content(draft) == whole(MODEL)


def test_a_listed_draft_may_end_meanwhile(workspace: Workspace) -> None:
    workspace.drafts.new("data", id="x")
    (listed,) = workspace.drafts.all()
    workspace.drafts.get("x").abort()
    assert listed.id == "x"
    with raises(NotFoundError, names=["'x'"], reason="no open draft"):
        listed.record()


def test_many_changes_of_a_large_version_are_quick(workspace: Workspace, tmp_path: Path) -> None:
    """Records that a step reads and writes are in proportion to it: 20,000 files, ten steps."""
    model = {b"%03d/%03d" % (number // 200, number % 200): ("file", b"") for number in range(20_000)}
    workspace.put(write_folder(tmp_path / "many", model), "many")
    draft = workspace.drafts.new("many", base="v0")
    (tmp_path / "new").write_bytes(b"new")
    before = next_node(workspace)
    for number in range(5):
        draft.add(tmp_path / "new", f"{number:03}/new")
        draft.remove(f"{number + 10:03}/100")
    draft.commit()
    assert next_node(workspace) - before < 10 * 8
    assert workspace.version("many:v1").file_count == 20_000


def next_node(workspace: Workspace) -> int:
    with workspace.store.write() as transaction:
        return transaction.state.next_node


def test_dead_puts_and_open_drafts_are_told_apart(workspace: Workspace, source: Path) -> None:
    draft = workspace.drafts.new("data", id="x")
    draft.add(source)
    (info,) = [one for one in workspace.drafts.states() if one.id]
    assert info.alive and not missing(info.title, ["'x'", "'data'"]) and info.expires_ns > time.time_ns()
    with workspace.store.snapshot() as snapshot:
        assert drafts.dead_drafts(snapshot.transaction, workspace.store.run_dir, time.time_ns()) == []
    assert replace(draft.record(), draft=7).draft == 7
