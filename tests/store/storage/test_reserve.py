"""The reserve: released when space is short or was refused, and allocated again afterwards."""

from __future__ import annotations

import errno
import os
from types import SimpleNamespace

import pytest

from artstore.errors import OutOfSpaceError
from artstore.storage import disk, reserve
from artstore.storage.reserve import refill, release_if_short, with_reserve
from artstore.workspace import Workspace

SIZE = 4096
"""Bytes of the reserve of the workspaces that these tests use."""
SHORT = 16 << 20
"""Free bytes below which an action gets the reserve's blocks."""


def blocks(workspace: Workspace) -> int:
    return (workspace.path / "reserve").stat().st_blocks * 512


def test_an_action_with_space_leaves_it_alone(workspace: Workspace) -> None:
    inode = (workspace.path / "reserve").stat().st_ino
    assert with_reserve(workspace.path, lambda: blocks(workspace)) >= SIZE
    assert blocks(workspace) >= SIZE and (workspace.path / "reserve").stat().st_ino == inode


@pytest.mark.parametrize("needed", [None, 2 * SHORT])
def test_little_space_releases_it_before_the_action(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, needed: int | None
) -> None:
    """It is released as soon as less is free than half of it, or than is needed; with ample space it is refilled."""
    with monkeypatch.context() as patch:
        patch.setattr(disk, "free_bytes", lambda _: SHORT - 1 if needed is None else SHORT + 1)
        if needed is None:
            assert with_reserve(workspace.path, lambda: blocks(workspace)) == 0
        else:
            release_if_short(workspace.path)
            assert blocks(workspace) >= SIZE
            release_if_short(workspace.path, needed)
            assert blocks(workspace) == 0
    refill(workspace.path)
    assert blocks(workspace) >= SIZE


def test_what_may_find_nothing_runs_with_it_in_place(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look for something to free leaves the reserve in place while another program fills the disk."""
    monkeypatch.setattr(disk, "free_bytes", lambda _: 0)
    assert with_reserve(workspace.path, lambda: blocks(workspace), is_certain=False) >= SIZE
    assert blocks(workspace) >= SIZE


def test_a_refusal_releases_it_once(workspace: Workspace) -> None:
    """An action that met a quota is run again without the reserve, and its second error is raised."""
    calls = []

    def action() -> int:
        calls.append(blocks(workspace))
        if blocks(workspace):
            raise OutOfSpaceError("quota")
        return 7

    assert with_reserve(workspace.path, action) == 7
    assert len(calls) == 2 and blocks(workspace) >= SIZE

    def never() -> None:
        calls.append(0)
        raise OutOfSpaceError("quota")

    with pytest.raises(OutOfSpaceError):
        with_reserve(workspace.path, never)
    assert len(calls) == 4 and blocks(workspace) >= SIZE


def test_without_inodes_its_own_is_given_up(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The action can then create one file; the reserve comes back with the permissions that it had."""
    mode = (workspace.path / "reserve").stat().st_mode
    full = SimpleNamespace(f_files=10, f_favail=0)

    def action() -> str:
        if (workspace.path / "reserve").exists():
            raise OutOfSpaceError("no inode")
        return "done"

    with monkeypatch.context() as patch:
        patch.setattr(reserve.os, "statvfs", lambda _: full)
        patch.setattr(disk, "free_bytes", lambda _: SIZE)
        assert with_reserve(workspace.path, action) == "done"
        assert blocks(workspace) == 0, "an empty one, until there is space"
    refill(workspace.path)
    assert blocks(workspace) >= SIZE and (workspace.path / "reserve").stat().st_mode == mode


def test_a_refill_that_fails_is_silent(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The work that needed it is done, and a later call tries again."""

    def full(*_: object) -> None:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    (workspace.path / "reserve").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(disk, "preallocate", full)
        refill(workspace.path)
    refill(workspace.path)
    assert blocks(workspace) >= SIZE
