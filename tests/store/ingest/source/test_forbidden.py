"""A source must hold neither the workspace nor a mount of it."""

from __future__ import annotations

import os
from pathlib import Path

from artstore.errors import RefusedError
from artstore.ingest.source import open_source
from artstore.ingest.source.forbidden import forbidden_folders
from artstore.store import Store
from artstore.workspace import Workspace
from messages import raises
from store.fake_daemons import fake_daemons


def test_the_workspace_itself_is_forbidden_by_whatever_path(workspace: Workspace, tmp_path: Path) -> None:
    """It is known by device and inode, and named in the sentence."""
    (tmp_path / "link").symlink_to(workspace.path)
    status = workspace.path.stat()
    folders = forbidden_folders(workspace.store)
    assert list(folders) == [(status.st_dev, status.st_ino)]
    assert str(workspace.path) in folders[status.st_dev, status.st_ino]
    assert forbidden_folders(Store.open(tmp_path / "link")).keys() == folders.keys()


def test_mounts_of_living_daemons_are_forbidden(workspace: Workspace) -> None:
    """By the device that the kernel gave them and the inode of a root; those of dead daemons are not."""
    with fake_daemons(workspace.store.run_dir) as start:
        start("a", device="0:91", listening=False)
        start("b", device="8:300", listening=False)
        dead = start("c", device="0:93", listening=False)
        dead.die()
        folders = forbidden_folders(workspace.store)
    mounts = {identity: sentence for identity, sentence in folders.items() if identity[1] == 1}
    assert mounts.keys() == {(os.makedev(0, 91), 1), (os.makedev(8, 300), 1)}
    assert "/mnt/a" in mounts[os.makedev(0, 91), 1] and "/mnt/b" in mounts[os.makedev(8, 300), 1]


def test_a_source_that_holds_one_is_refused_and_its_neighbour_is_not(workspace: Workspace, tmp_path: Path) -> None:
    """The sentence is the reason; a folder that only leads to the workspace by a link does not hold it."""
    forbidden = forbidden_folders(workspace.store)
    (workspace.path.parent / "neighbour").mkdir()
    with (
        raises(RefusedError, names=[str(workspace.path)]),
        open_source(workspace.path.parent, forbidden=forbidden) as source,
    ):
        list(source.walk())
    with open_source(workspace.path.parent / "neighbour", forbidden=forbidden) as source:
        assert list(source.walk())
