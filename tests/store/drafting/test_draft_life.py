"""Names, expiry and ends of drafts, and what an open draft keeps."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from artstore.errors import (
    ArtfsError,
    ExistsError,
    InvalidInputError,
    InvalidNameError,
    NotFoundError,
    RefusedError,
)
from artstore.workspace import Workspace
from messages import missing, raises
from reasons import has_reason
from store.drafting.sources import MODEL, age, content
from store.oracle import assert_sound, leftovers, whole


def test_names_of_drafts(workspace: Workspace) -> None:
    workspace.drafts.new("a", id="one")
    with raises(ExistsError, names=["'one'"]):
        workspace.drafts.new("b", id="one")
    assert workspace.drafts.new("a").id == "d2"
    assert [draft.id for draft in workspace.drafts.all()] == ["one", "d2"]
    assert workspace.drafts.get("one").artifact == "a"
    for ident in ("a/b", "v1", "latest", ".x", "-x"):
        with pytest.raises(InvalidNameError):
            workspace.drafts.new("a", id=ident)
    with pytest.raises(InvalidNameError):
        workspace.drafts.new("a:b")
    with pytest.raises(NotFoundError):
        workspace.drafts.get("two")
    with pytest.raises(NotFoundError):
        workspace.drafts.new("a", base="v0")


def test_a_draft_outlives_the_process_that_opened_it(workspace: Workspace, source: Path) -> None:
    program = (
        "import sys; from artstore.workspace import open_workspace\n"
        "draft = open_workspace(sys.argv[1]).drafts.new('data', id='kept'); draft.add(sys.argv[2])"
    )
    subprocess.run([sys.executable, "-c", program, workspace.path, source], check=True)
    workspace.gc(now=True)
    draft = workspace.drafts.get("kept")
    assert content(draft) == whole(MODEL)
    assert draft.commit().file_count == 4


def test_a_draft_expires(workspace: Workspace, source: Path) -> None:
    """A week after the last step, and not before; then gc takes it, and what it alone held."""
    draft = workspace.drafts.new("data", id="x")
    draft.add(source)
    age(workspace, draft, 6.9 * 86400)
    workspace.gc(now=True)
    (source / "top").write_bytes(b"other")
    draft.add(source / "top", "later")  # a step: another week begins
    age(workspace, draft, 6.9 * 86400)
    assert workspace.drafts.get("x").id == "x"
    age(workspace, draft, 0.2 * 86400)
    for use in (lambda: workspace.drafts.get("x"), draft.commit, lambda: draft.add(source), draft.status):
        with raises(NotFoundError, names=["'x'"], reason="draft expired"):
            use()
    assert workspace.drafts.all() == []
    workspace.gc()
    assert workspace.drafts.states() == []
    assert leftovers(workspace) == []
    for seconds in (0.0, -1.0, float("nan")):
        with raises(InvalidInputError, reason="expires before it opens"):
            workspace.drafts.new("data", id="x", expires=seconds)


def test_by_a_wrong_clock_no_draft_is_lost(workspace: Workspace, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Far ahead of all that is recorded it may be wrong: the draft has expired by it, and comes back with the clock."""
    draft = workspace.drafts.new("data", id="x")
    draft.add(source)
    now_ns = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now_ns + 40 * 86400 * 10**9)
    assert workspace.drafts.all() == []
    workspace.gc(now=True)
    monkeypatch.setattr(time, "time_ns", lambda: now_ns + 1)
    assert content(workspace.drafts.get("x")) == whole(MODEL)
    monkeypatch.setattr(time, "time_ns", lambda: now_ns + 20 * 86400 * 10**9)
    workspace.gc()
    assert workspace.drafts.states() == []


def test_the_name_of_an_expired_draft_is_free(workspace: Workspace) -> None:
    age(workspace, workspace.drafts.new("data", id="x", expires=10.0), 11.0)
    assert workspace.drafts.new("other", id="x").artifact == "other"


def test_the_base_of_an_open_draft_is_kept(workspace: Workspace, source: Path, tmp_path: Path) -> None:
    workspace.put(source, "data")
    draft = workspace.drafts.new("data", base="v0", id="x")
    draft.remove("b")
    with raises(RefusedError, names=["data:v0", "'x'", "'data'"]):
        workspace.delete("data:v0")
    workspace.delete("data:v0", now=True, force=True)
    assert [(change.kind, change.path) for change in draft.status()] == [("removed", "b/c/z")]
    workspace.put(source, "other")
    with raises(ArtfsError, names=["'x'", "'data'"]):
        workspace.purge(blake(MODEL[b"a/x"][1]), reason="r", everywhere=True)
    assert draft.commit().name == "data:v1"
    workspace.gc(now=True)
    assert_sound(workspace)


def blake(data: bytes) -> str:
    from artstore.ids import content_id

    return content_id(data).hex()


def test_why_names_an_open_draft(workspace: Workspace, source: Path) -> None:
    draft = workspace.drafts.new("data", id="x")
    draft.add(source)
    assert any(not missing(line, ["'x'", "'data'"]) for line in workspace.why(blake(b"1")).drafts)
    age(workspace, draft, 8 * 86400)
    assert any(has_reason(line, "draft expired") for line in workspace.why(blake(b"1")).drafts)


def test_aborting_is_for_good(workspace: Workspace, source: Path) -> None:
    draft = workspace.drafts.new("data")
    draft.add(source)
    draft.abort()
    draft.abort()
    workspace.gc()
    assert leftovers(workspace) == []


def test_only_folders_are_remembered(workspace: Workspace, source: Path) -> None:
    """One file costs no cache of its own: there is nothing to skip in it."""
    draft = workspace.drafts.new("data")
    draft.add(source / "top")
    assert list((workspace.path / "cache").rglob("*")) in ([], [workspace.path / "cache" / "stat"])
    draft.add(source / "a")
    assert [path.is_file() for path in (workspace.path / "cache" / "stat").iterdir()] == [True]
