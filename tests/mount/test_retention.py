"""A mount applies the rules of retention by itself: what goes is out of sight under it, and can be undeleted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from artstore.workspace import Workspace

pytestmark = pytest.mark.one_transport


def test_the_daemon_applies_the_rules(workspace: Workspace, mounts: Any, tmp_path: Path, eventually: Any) -> None:
    for number in range(3):
        (tmp_path / "file").write_text(str(number))
        workspace.put(tmp_path / "file", "a", aliases=["first"] if number == 0 else [])
    workspace.retention.set("last", last=1)
    mount = mounts()
    folder = mount.directory / "a"
    assert set(os.listdir(folder)) >= {"v0", "v2", "first", "latest"}
    eventually(lambda: "v1" not in os.listdir(folder), seconds=20)
    assert (folder / "v0" / "file").read_text() == "0" and (folder / "latest" / "file").read_text() == "2"
    assert workspace.undelete("a:v1").version.name == "a:v1"
    assert (folder / "v1" / "file").read_text() == "1"
