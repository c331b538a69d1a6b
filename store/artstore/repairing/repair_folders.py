"""Recreating missing folders and files of a workspace that hold no data of their own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from artstore import beneath
from artstore.checking.exclusive import alone
from artstore.errors import ArtfsError
from artstore.locate import refuse_unsafe_filesystem
from artstore.storage import disk
from artstore.storage.manifest_folders import read_current
from artstore.storage.modes import folder_mode
from artstore.storage.reserve import RESERVE
from artstore.store import read_identity

__all__ = ["modes_of", "own", "restore_folders", "restore_lease"]

_FOLDERS: Final = ("packs", "journal", "cache", "run", "run/drafts", "run/daemons")


def modes_of(workspace: Path, folder: str = "packs") -> tuple[int, int]:
    """Return the modes of a workspace's folder and of files: for its owner, or for the group that it is shared with."""
    is_shared = bool(read_identity(workspace).group)
    return folder_mode(folder, is_shared=is_shared), 0o660 if is_shared else 0o600


def own(workspace: Path, path: Path, mode: int) -> None:
    """Give a recreated file or folder the group and mode that the workspace uses."""
    is_folder = beneath.is_folder(workspace, path)
    opened = beneath.open_folder(workspace, path) if is_folder else beneath.open_file(workspace, path)
    with beneath.closing(opened) as fd:
        os.fchown(fd, -1, workspace.stat().st_gid)
        os.fchmod(fd, mode)


def restore_lease(workspace: Path) -> bool:
    """Recreate the file that processes lock while they use the manifest; return whether it was missing.

    Raises `BusyError` while any process uses it: that process would hold the lock of the removed file.
    """
    folder = workspace / read_current(workspace)[1]
    data = folder / "data.mdb"
    if beneath.exists(workspace, folder / "lease") or not beneath.exists(workspace, data):
        return False
    if not beneath.status(workspace, data).st_size:
        return False
    with alone(workspace, None):
        mode = modes_of(workspace)[1]
        disk.write_file(workspace, folder / "lease", b"", mode)
        own(workspace, folder / "lease", mode)
    return True


def restore_folders(workspace: Path) -> list[str]:
    """Make missing folders and the reserve; return a sentence for each.

    The reserve is omitted if the disk has no room for it.
    """
    refuse_unsafe_filesystem(workspace)
    file_mode = modes_of(workspace)[1]
    made = []
    for name in _FOLDERS:
        path = workspace / name
        if not beneath.is_folder(workspace, path):
            with disk.out_of_space(workspace, "a folder"):
                beneath.make_folder(workspace, path)
                own(workspace, path, modes_of(workspace, name)[0])
                disk.sync_folder(workspace, path.parent)
            made.append(f"recreated the folder {name}")
    reserve = workspace / "reserve"
    if not beneath.exists(workspace, reserve) and disk.free_bytes(workspace) > 3 * RESERVE:
        try:
            with disk.out_of_space(workspace, "the reserve"):
                disk.preallocate(workspace, reserve, RESERVE, file_mode)
                own(workspace, reserve, file_mode)
            made.append("recreated the reserve")
        except ArtfsError:
            beneath.remove(workspace, reserve, missing_ok=True)
    return made
