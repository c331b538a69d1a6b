"""Which folder is the environment in use, which come before and after it, and who reads in one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from artstore.errors import DamageError, UnsupportedError, WorkspaceNotFoundError
from artstore.storage import manifest
from artstore.storage.environment import Environment
from artstore.storage.manifest_folders import (
    Reader,
    folder_number,
    identity_of,
    numbered_folders,
    read_current,
    readers_of,
    replaced,
)
from artstore.workspace import Workspace


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("manifest.1", 1),
        ("manifest.20", 20),
        ("manifest.0", 0),
        ("manifest.01", 0),
        ("manifest.1.damaged", 0),
        ("x", 0),
    ],
)
def test_folders_have_numbers(name: str, number: int) -> None:
    assert folder_number(name) == number


def test_what_was_replaced_has_a_lower_number(tmp_path: Path) -> None:
    """Numbers, not names: 9 comes before 10."""
    for name in ("manifest.9", "manifest.10", "manifest.11", "manifest.8.damaged", "packs"):
        (tmp_path / name).mkdir()
    assert numbered_folders(tmp_path) == {number: tmp_path / f"manifest.{number}" for number in (9, 10, 11)}
    assert replaced(tmp_path, "manifest.10") == [tmp_path / "manifest.9"]


def test_current_is_read_or_refused(tmp_path: Path) -> None:
    """The stamp changes with every replacement; what does not read is one of three errors."""
    with pytest.raises(WorkspaceNotFoundError):
        read_current(tmp_path)
    current = tmp_path / "current"
    current.write_text("2 manifest.3\n")
    stamp, folder = read_current(tmp_path)
    assert folder == "manifest.3"
    other = tmp_path / "other"
    other.write_text("2 manifest.4\n")
    other.rename(current)
    assert read_current(tmp_path) != (stamp, folder)
    for text, error in (
        ("4 manifest.3", UnsupportedError),
        ("1 manifest.3", UnsupportedError),
        ("manifest.3", DamageError),
        ("", DamageError),
    ):
        current.write_text(text)
        with pytest.raises(error):
            read_current(tmp_path)


def test_identity_of_what_is_not_there(tmp_path: Path) -> None:
    assert identity_of(tmp_path, "nothing") == (0, 0)
    assert identity_of(tmp_path.parent, tmp_path.name) == (tmp_path.stat().st_dev, tmp_path.stat().st_ino)


def test_who_reads(workspace: Workspace) -> None:
    """A reader counts while it looks at a transaction, not while it is idle."""
    env = Environment.of(workspace.path).env
    assert readers_of(env) == []
    with manifest.read(workspace.path) as transaction:
        assert readers_of(env) == [Reader(os.getpid(), transaction.number)]
    assert readers_of(env) == []
