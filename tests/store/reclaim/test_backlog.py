"""Whether a reaper is needed is decided without it: where the answer is no, it would have done nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from artstore.reclaim.backlog import is_idle
from artstore.reclaim.reaper import Reaper, reap
from artstore.workspace import Workspace


@pytest.fixture
def filled(workspace: Workspace, tmp_path: Path) -> Iterator[Workspace]:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(name.encode() * 5000)
        workspace.put(tmp_path / name, name)
    yield workspace


def test_a_workspace_without_deletions_is_idle(filled: Workspace) -> None:
    assert is_idle(filled.store)
    assert not reap(filled.store).freed_nodes


def test_a_deletion_counts_once_it_is_due(filled: Workspace) -> None:
    filled.delete("a:v0")
    assert is_idle(filled.store)  # it can be undeleted
    filled.delete("b:v0", now=True)
    if not is_idle(filled.store):
        reap(filled.store, seconds=5)
    filled.gc(now=True)
    assert is_idle(filled.store) and not filled.usage().deadlist_bytes


def test_what_is_condemned_is_work(filled: Workspace) -> None:
    filled.delete("a:v0")
    Reaper(filled.store).step(now=True)  # which frees the extents in its next step
    assert not is_idle(filled.store)
    reap(filled.store, seconds=5)
    assert is_idle(filled.store)


def test_drafts_and_replaced_environments_are_looked_at(filled: Workspace) -> None:
    (filled.path / "manifest.99").mkdir()
    assert not is_idle(filled.store)
    (filled.path / "manifest.99").rmdir()
    assert is_idle(filled.store)
    filled.drafts.new("a")
    assert not is_idle(filled.store)
