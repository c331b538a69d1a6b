"""Versions as paths: where a mount shows them, everything that takes a path takes a version."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from artstore.errors import MountError
from artstore.workspace import Workspace
from mount.conftest import Mounts


@pytest.mark.one_transport
def test_a_version_is_a_path(workspace: Workspace, mounts: Mounts, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/f").write_text("x")
    version = workspace.put(tmp_path / "a", "team/x")
    handle = mounts()
    folder = handle.directory / "team/x/v0"
    assert version.path == folder and os.fspath(version) == str(folder)
    assert os.listdir(version) == ["f"] and Path(version, "f").read_text() == "x"
    shutil.copytree(version, tmp_path / "copy")
    assert (tmp_path / "copy/f").read_text() == "x"
    assert workspace.put(version, "y").digest == version.digest
    workspace.delete(version.name, cascade="orphan")
    with pytest.raises(MountError):
        os.fspath(version)
