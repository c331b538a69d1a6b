"""Drafts through the facade."""

from __future__ import annotations

from pathlib import Path

from artstore.changes.committing import Commit
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
