"""Where versions come from: recorded with each, outside of digest and equality, and off where it is not wanted."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from artstore.changes import putting
from artstore.changes.committing import Commit
from artstore.errors import InvalidInputError
from artstore.origins import RepositoryState, repository
from artstore.repairing.rebuild import rebuild
from artstore.workspace import Workspace
from messages import raises
from store.lived import reopened
from store.oracle import assert_sound

PROCESS = {"user", "host", "command", "folder"}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file").write_text("x")
    return tmp_path / "data"


def commit_all(folder: Path) -> str:
    """Make a repository of a folder; return its commit."""
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "x"]):
        line = ["git", "-C", str(folder), "-c", "user.name=x", "-c", "user.email=x@x", *words]
        subprocess.run(line, check=True, capture_output=True)
    line = ["git", "-C", str(folder), "rev-parse", "HEAD"]
    return subprocess.run(line, check=True, capture_output=True, text=True).stdout.strip()


def test_every_version_has_one(workspace: Workspace, data: Path) -> None:
    """By a put, a draft, a link, a reference: the process that made it."""
    version = workspace.put(data, "a")
    draft = workspace.drafts.new("a", base="latest")
    draft.remove("file")
    for made in (version, draft.commit(), workspace.link("a:v0", "b"), workspace.refer(data.as_uri(), "c")):
        assert made.origin.keys() == PROCESS, made
    assert_sound(workspace)


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_the_repository_of_the_folder(workspace: Workspace, data: Path) -> None:
    """Its commit, and whether files differ from it; a file that is put belongs to it too."""
    commit = commit_all(data)
    origin = workspace.put(data, "a", exclude=[".git"]).origin
    assert (origin["commit"], origin["dirty"]) == (commit, False) and origin.keys() == {*PROCESS, "commit", "dirty"}
    (data / "file").write_text("changed")
    assert workspace.put(data / "file", "a").origin["dirty"] is True
    found = workspace.find(origin=[f"commit^={commit[:8]}", "dirty=true"])
    assert [version.name for version in found] == ["a:v1"]
    assert_sound(workspace)


def test_it_makes_no_version(workspace: Workspace, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same content from elsewhere is the same version, which keeps its origin; the digest does not know of it."""
    first = workspace.put(data, "a")
    monkeypatch.setattr(sys, "argv", ["another.py"])
    again = workspace.put(data, "a")
    assert again.number == 0 and again.origin == first.origin
    forced = workspace.put(data, "a", new=True)
    assert forced.number == 1 and forced.digest == first.digest and forced.origin["command"] == "another.py"


def test_the_setting(workspace: Workspace, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it nothing is recorded, and git is not asked."""
    workspace.configure(record_origin=False)
    monkeypatch.setattr(putting, "RepositoryState", None)
    assert workspace.put(data, "a").origin == {}
    workspace.configure(record_origin=True)
    monkeypatch.setattr(putting, "RepositoryState", RepositoryState)
    assert workspace.put(data, "a", new=True).origin.keys() >= PROCESS
    with raises(InvalidInputError, names=["record_origin"]):
        workspace.configure(record_origin="none")
    assert_sound(workspace)


def test_what_is_searched(workspace: Workspace, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each field, apart from metadata of the same names."""
    monkeypatch.setattr(sys, "argv", ["/x/train.py", "--lr", "0.1", "--token", "secret-of-mine"])
    version = workspace.put(data, "a", metadata={"user": "nobody"})
    workspace.configure(record_origin=False)
    workspace.put(data, "b", metadata=version.origin)
    for name in PROCESS:
        found = workspace.find(origin=f"{name}={version.origin[name]}")
        assert [each.name for each in found] == ["a:v0"], name
    assert [each.name for each in workspace.find(origin="command^=/x/train.py")] == ["a:v0"]
    assert [each.name for each in workspace.find(where="user=nobody")] == ["a:v0"]
    assert "secret-of-mine" not in str(version.origin)


def test_a_rebuild_keeps_it(workspace: Workspace, data: Path) -> None:
    """The journal has it."""
    origin = workspace.put(data, "a").origin
    path = workspace.path
    (path / "manifest.1" / "data.mdb").unlink()
    workspace.close()
    rebuild(path)
    again = reopened(workspace)
    assert again.version("a").origin == origin and len(again.find(origin=f"user={origin['user']}")) == 1
    assert_sound(again)


def test_a_put_of_nothing_new_does_not_wait_for_git(
    workspace: Workspace, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a version that is made needs the answer."""
    waited: list[object] = []

    def result(state: Any) -> dict[str, Any]:
        waited.append(state)
        return {"commit": None, "dirty": None}

    monkeypatch.setattr(RepositoryState, "result", result)
    assert workspace.put(data, "a").origin["commit"] is None and len(waited) == 1
    workspace.put(data, "a")
    assert len(waited) == 1
    workspace.put(data, "a", metadata={"n": 1})
    assert len(waited) == 2


def test_a_commit_has_the_origin_of_its_process() -> None:
    assert Commit("a").origin.keys() == PROCESS


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_a_put_of_nothing_new_does_not_start_git(
    workspace: Workspace, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Git is asked once a file is read; a folder that is known by its times needs no process."""
    commit_all(data)
    monkeypatch.setattr("artstore.ingest.statcache.MARGIN_NS", -(10**18))
    monkeypatch.setattr(repository, "_HESITATION", 60.0)
    asked: list[Path] = []
    monkeypatch.setattr(repository, "is_dirty", lambda top, *_: asked.append(top) or False)
    assert workspace.put(data, "a", exclude=[".git"]).origin["dirty"] is False
    workspace.put(data, "a", exclude=[".git"])
    assert asked == [data]
    workspace.put(data, "a", exclude=[".git"], new=True)  # nothing is read, and the answer is needed
    assert asked == [data] * 2
    (data / "file").write_text("changed")
    monkeypatch.setattr(RepositoryState, "result", lambda state: state._thread.join() or {})
    workspace.put(data, "a", exclude=[".git"])
    assert asked == [data] * 3
