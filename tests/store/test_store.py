"""`Store`: opening, what is no workspace, and one process's handles after a fork."""

from __future__ import annotations

import json
import multiprocessing
import pickle
import shutil
from pathlib import Path

import pytest

from artstore.creating import create_workspace
from artstore.errors import DamageError, WorkspaceNotFoundError
from artstore.records.identity import IDENTITY
from artstore.store import Store
from artstore.workspace import Workspace
from messages import raises


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b'{"uuid": 5}',
        b'{"uuid": null}',
        b'{"uuid": "x"}',
        b"\xff\xfe",
        b'{"uuid": []}',
    ],
)
def test_a_garbled_identity_is_damage(workspace: Workspace, content: bytes) -> None:
    """Truncated, or JSON that is something else."""
    sound = (workspace.path / IDENTITY).read_bytes()
    (workspace.path / IDENTITY).write_bytes(content)
    with raises(DamageError, names=[str(workspace.path), IDENTITY], reason="damaged"):
        Store.open(workspace.path)
    for length in range(len(sound) - 2):
        (workspace.path / IDENTITY).write_bytes(sound[:length])
        with pytest.raises(DamageError):
            Store.open(workspace.path)
    (workspace.path / IDENTITY).unlink()
    with raises(DamageError, names=[str(workspace.path), IDENTITY], reason="lost identity"):
        Store.open(workspace.path)
    (workspace.path / IDENTITY).write_bytes(sound)


def test_opening_by_another_path_is_the_same(workspace: Workspace, tmp_path: Path) -> None:
    """Links are resolved, and a pickle opens what it was made of."""
    (tmp_path / "link").symlink_to(workspace.path)
    store = Store.open(tmp_path / "link")
    assert store.path == workspace.path and store.uuid == workspace.uuid
    again = pickle.loads(pickle.dumps(store))
    assert (again.path, again.uuid) == (store.path, store.uuid)
    assert json.loads((workspace.path / IDENTITY).read_bytes())["uuid"] == store.uuid
    assert store.file_mode == 0o600 and store.run_dir == workspace.path / "run"


def test_a_workspace_made_anew_is_read_anew(quick_dir: Path, tmp_path: Path) -> None:
    """Packs that were open of a workspace that was deleted are not read for the one in its place."""
    for word in (b"first", b"second"):
        (tmp_path / "file").write_bytes(word)
        workspace = Workspace(create_workspace(quick_dir / "again"))
        assert workspace.put(tmp_path, "a").read_bytes("file") == word
        shutil.rmtree(quick_dir / "again")
    with pytest.raises(WorkspaceNotFoundError):
        workspace.artifacts()


def _read(workspace: Workspace, expected: bytes) -> None:
    assert workspace.store.reader is not None
    assert workspace.version("a").read_bytes("file") == expected


def test_a_forked_child_has_a_reader_of_its_own(workspace: Workspace, tmp_path: Path) -> None:
    """It opens the packs itself, and the parent's stay open."""
    (tmp_path / "file").write_bytes(b"data")
    workspace.put(tmp_path, "a")
    _read(workspace, b"data")
    reader = workspace.store.reader
    child = multiprocessing.get_context("fork").Process(target=_read, args=(workspace, b"data"))
    child.start()
    child.join()
    assert child.exitcode == 0
    assert workspace.store.reader is reader
    _read(workspace, b"data")


def test_what_is_no_workspace(workspace: Workspace, tmp_path: Path) -> None:
    """Errors of opening are those of the tree, never bare system errors."""
    for place in (tmp_path, tmp_path / "missing", workspace.path / IDENTITY):
        with pytest.raises(WorkspaceNotFoundError):
            Store.open(place)
