"""A workspace with two versions of every kind of entry, and their archive; made once for a module."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from artstore.archives.writing import ArchivePlan, SelectedVersion, plan_archive, write_archive
from artstore.queries.versions import Version
from artstore.storage.environment import Environment
from artstore.workspace import Workspace, open_workspace


class Archived(NamedTuple):
    """A workspace, its versions, and the archive of these."""

    workspace: Workspace
    versions: list[Version]
    path: Path

    def plan(self) -> ArchivePlan:
        """Return the plan of the archive."""
        return plan_archive(SelectedVersion(version, version.metadata, ["other:v7"]) for version in self.versions)


def fill(folder: Path) -> None:
    """Make a folder with every kind of entry."""
    (folder / "sub" / "empty").mkdir(parents=True)
    (folder / "a").write_bytes(b"hello")
    (folder / "sub" / "b").write_bytes(b"hello")
    (folder / "run").write_bytes(b"hello")
    (folder / "run").chmod(0o755)
    (folder / "nothing").write_bytes(b"")
    (folder / "sub" / "link").symlink_to("../a")
    (folder / ("ä" * 100)).write_bytes(b"x" * 700)
    (folder / "big").write_bytes(bytes(range(256)) * 4500)
    with open(os.fsencode(folder) + b"/\xff\n\\z", "wb") as file:
        file.write(b"raw")


@pytest.fixture(scope="module")
def archived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archived]:
    """Return the workspace, its versions and the archive."""
    top = tmp_path_factory.mktemp("archive")
    (top / "data").mkdir()
    fill(top / "data")
    (top / "nothing").mkdir()
    workspace = open_workspace(top / "workspace", create=True)
    first = workspace.put(top / "data", "team/x", type="dataset", metadata={"k": [1, 2.5, "ä"]}, description="d")
    made = Archived(workspace, [first, workspace.put(top / "nothing", "empty")], top / "versions.tar")
    write_archive(made.path, made.plan())
    yield made
    workspace.close()
    Environment.of(workspace.path).drop()
