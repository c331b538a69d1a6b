"""``NAME/.history/PATH/vN``: found by look-up in a real mount, read like the file itself, and in no listing above."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from artstore.errors import InvalidInputError
from artstore.workspace import Workspace
from mount.conftest import Mounts, eventually


def test_the_contents_of_a_file_are_links(workspace: Workspace, mounts: Mounts, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "train").mkdir(parents=True)
    labels = folder / "train" / "labels.csv"
    for text in ("one", "two", "two", "three"):
        labels.write_text(text)
        workspace.put(folder, "team/x", new=True)
    top = mounts().directory / "team" / "x"
    history = top / ".history" / "train" / "labels.csv"
    assert {name: (history / name).read_text() for name in os.listdir(history)} == {
        "v0": "one",
        "v1": "two",
        "v3": "three",
    }
    assert os.readlink(history / "v1") == "../../../v1/train/labels.csv"
    assert os.path.samefile(history / "v3", top / "v3" / "train" / "labels.csv")
    found = subprocess.run(["find", top.parent, "-name", ".*"], capture_output=True, text=True, check=True).stdout
    assert found == "" and os.listdir(top / ".history") == os.listdir(top / ".history" / "train") == []
    for missing in ("v2", "x"):
        with pytest.raises(FileNotFoundError):
            (history / missing).stat()
    with pytest.raises(OSError, match="Read-only"):
        (history / "v9").write_text("x")
    assert workspace.resolve(str(history / "v1"))[0].name == "team/x:v1"
    with pytest.raises(InvalidInputError):
        workspace.resolve(str(history))

    labels.write_text("four")
    workspace.put(folder, "team/x")
    eventually(lambda: (history / "v4").read_text() == "four")
    workspace.delete("team/x:v0", "team/x:v1")
    eventually(lambda: sorted(os.listdir(top / ".history/train/labels.csv")) == ["v2", "v3", "v4"])
