"""The permission bits of a workspace's folders and files: its owner's alone, or shared with a group."""

from __future__ import annotations

import stat
from typing import Final

__all__ = ["file_mode", "folder_mode"]

_STICKY: Final = frozenset(("run", "run/daemons"))
"""Folders whose files are removed by their user or the workspace's owner only: run files and sockets."""
_OF_ONE_MEMBER: Final = "cache/stat/"
"""Files that each member keeps for itself."""
_RUN_FILES: Final = "run/daemons/"


def folder_mode(path: str, *, is_shared: bool) -> int:
    """Return the mode of a folder by its path in the workspace; what is made in a shared one takes its group."""
    if not is_shared:
        return 0o700
    return 0o2770 | (stat.S_ISVTX if path in _STICKY else 0)


def file_mode(path: str, *, is_shared: bool) -> int:
    """Return the mode of a file by its path in the workspace."""
    if not is_shared or path.startswith(_OF_ONE_MEMBER):
        return 0o600
    return 0o640 if path.startswith(_RUN_FILES) else 0o660
