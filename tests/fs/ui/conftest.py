"""A workspace with a past, and clients of its pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from artstore.workspace import Workspace, init_workspace
from fs.ui.clients import Client


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    """Return a workspace with an artifact in a project, of which one version is deleted, and one of bad names."""
    with init_workspace(tmp_path / "ws") as made:
        folder = tmp_path / "data"
        folder.mkdir()
        for number in range(4):
            (folder / f"file{number}").write_text(f"{number}\n")
            made.put(folder, "team/images", description=f"round {number}", metadata={"acc": number / 10})
        made.delete("team/images:v0")
        made.aliases.set("team/images:v2", "production")
        made.tags.add("team/images:v3", "<b>bold</b>")
        made.put(folder / "file0", "notes", type="text", description='<script>alert("x")</script>')
        yield made


@pytest.fixture
def client(workspace: Workspace) -> Client:
    return Client(workspace)
