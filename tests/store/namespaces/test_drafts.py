"""Drafts through the facade."""

from __future__ import annotations

from pathlib import Path

import pytest

from artstore.changes.committing import Commit
from artstore.errors import ExistsError, InvalidInputError, NotFoundError
from artstore.workspace import Workspace
from messages import raises


def test_gathered_content_begins_as_its_base(workspace: Workspace, tmp_path: Path) -> None:
    """Files of the base are there, with their digests, and the commit returns the version."""
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "b").write_bytes(b"b")
    base = workspace.put(tmp_path / "a", "data")
    gathering = workspace.drafts.gather("data", base)
    gathering.add(tmp_path / "b")
    assert [(file.path, file.size) for file in gathering.files()] == [("a", 1), ("b", 1)]
    file = gathering.file("a")
    assert file is not None and file.digest == base.stat("a").digest
    version = gathering.commit(Commit("data"))
    assert version == workspace.version("data:v1") and version.receipt is not None and version.receipt.created


def test_an_option_that_does_not_exist_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    """A typo in the name of an option raises before anything is stored."""
    (tmp_path / "a").write_bytes(b"a")
    with raises(TypeError, names=["'alias'"]):
        workspace.put(tmp_path / "a", "data", alias=["x"])  # type: ignore[call-arg]
    draft = workspace.drafts.new("data")
    with raises(TypeError, names=["'alias'"]):
        workspace.drafts.commit(draft.id, alias=["x"])  # type: ignore[call-arg]
    assert workspace.artifacts() == [] and [each.id for each in workspace.drafts.all()] == [draft.id]


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf"), 1e300])
def test_a_draft_expires_at_some_time(workspace: Workspace, seconds: float) -> None:
    """After a number of seconds that a clock can count; no draft is left of another one."""
    with pytest.raises(InvalidInputError):
        workspace.drafts.new("data", expires=seconds)
    assert workspace.drafts.all() == [] and workspace.drafts.states() == []


def test_drafts_are_found_by_id_and_listed_by_age(workspace: Workspace) -> None:
    """An id is generated if none is given; an open one is not given twice; any other text finds none."""
    first, second, third = (workspace.drafts.new("data", id=ident) for ident in ("z", "", "a"))
    assert second.id and [draft.id for draft in workspace.drafts.all()] == ["z", second.id, "a"]
    assert workspace.drafts.get("a").id == third.id
    with pytest.raises(ExistsError):
        workspace.drafts.new("other", id="z")
    for ident in ("", "q", "a/b", "Z"):
        with pytest.raises(NotFoundError):
            workspace.drafts.get(ident)
    first.abort()
    assert [draft.id for draft in workspace.drafts.all()] == [second.id, "a"]


def test_drafts_are_committed_together_or_not_at_all(workspace: Workspace, tmp_path: Path) -> None:
    """One that does not exist, or two of one artifact, leave every draft open; the options apply to each."""
    (tmp_path / "a").write_bytes(b"a")
    for name, ident in (("one", "x"), ("two", "y"), ("two", "z")):
        workspace.drafts.new(name, id=ident).add(tmp_path / "a")
    with pytest.raises(NotFoundError):
        workspace.drafts.commit("x", "missing")
    for ids in (("x", "y", "z"), ("x", "x")):
        with pytest.raises(InvalidInputError):
            workspace.drafts.commit(*ids)
    assert workspace.drafts.commit() == []
    assert workspace.artifacts() == [] and len(workspace.drafts.all()) == 3
    versions = workspace.drafts.commit("y", "x", aliases=["best"], description="both")
    assert [version.name for version in versions] == ["two:v0", "one:v0"]
    assert [(version.aliases, version.description) for version in versions] == [(["best", "latest"], "both")] * 2
    assert [draft.id for draft in workspace.drafts.all()] == ["z"]


def test_a_base_is_a_version_of_the_artifact_or_of_another(workspace: Workspace, tmp_path: Path) -> None:
    """By number, alias, or full reference; one that is missing opens no draft."""
    (tmp_path / "a").write_bytes(b"a")
    workspace.put(tmp_path / "a", "data", aliases=["best"])
    for name, base in (("data", "v0"), ("data", "best"), ("other", "data:latest")):
        draft = workspace.drafts.new(name, base=base)
        assert draft.commit(new=True).read_bytes("a") == b"a"
    with pytest.raises(NotFoundError):
        workspace.drafts.new("other", base="v7")
    with pytest.raises(NotFoundError):
        workspace.drafts.new("new", base="v0")
    assert workspace.drafts.all() == []


def test_states_show_drafts_of_all_kinds(workspace: Workspace, tmp_path: Path) -> None:
    """An open draft has an id; one that a process assembles has none and is alive until it ends."""
    (tmp_path / "a").write_bytes(b"a")
    workspace.drafts.new("data", id="x")
    gathering = workspace.drafts.gather("other")
    gathering.add(tmp_path / "a")
    gathering.root()
    assert [(state.artifact, state.id, state.alive) for state in workspace.drafts.states()] == [
        ("data", "x", True),
        ("other", "", True),
    ]
    assert [draft.id for draft in workspace.drafts.all()] == ["x"]
    gathering.close()
    assert [(state.id, state.alive) for state in workspace.drafts.states()] == [("x", True), ("", False)]
