"""The reserve: preallocated blocks of a workspace, so that freeing space is possible even on a full disk.

The disk may be full for other reasons than its last free block: a quota, or no inode for a new file.  So the reserve is
released if little is free, and also after an operation has failed for want of space; the operation is then repeated.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from artstore import beneath
from artstore.errors import OutOfSpaceError
from artstore.records.identity import IDENTITY
from artstore.storage import disk

__all__ = ["RESERVE", "refill", "release_if_short", "require_room", "with_reserve"]

T = TypeVar("T")

RESERVE: Final = 32 * 1024 * 1024
"""Bytes kept back on the workspace's disk; `put` stops while less than this is free."""
_SHORT: Final = RESERVE // 2


def _path(workspace: Path) -> Path:
    return workspace / "reserve"


def release_if_short(workspace: Path, needed: int = _SHORT) -> None:
    """Free the reserve's blocks if less than ``needed`` bytes are free on the disk."""
    if disk.free_bytes(workspace) < needed:
        _release(workspace)


def _release(workspace: Path) -> bool:
    """Free the reserve's blocks, and its inode if the disk has no other; return whether that freed anything."""
    path = _path(workspace)
    try:
        had_blocks = beneath.status(workspace, path).st_blocks > 0
        disk.truncate(workspace, path)
        disk_status = os.statvfs(workspace)
        lacks_inodes = bool(disk_status.f_files) and not disk_status.f_favail  # some file systems count none
        if lacks_inodes:
            beneath.remove(workspace, path)
    except FileNotFoundError:
        return False
    return had_blocks or lacks_inodes


def require_room(workspace: Path) -> None:
    """Raise `OutOfSpaceError` if too little space is free for a put."""
    free = disk.free_bytes(workspace)
    if free < RESERVE:
        raise OutOfSpaceError(
            f"only {free} bytes are left on the disk of {workspace}", hint="free some space and run the command again"
        )


def refill(workspace: Path) -> None:
    """Allocate the reserve again if the disk has ample space; costs one stat if it is allocated."""
    path = _path(workspace)
    try:
        size = _ensure(workspace, path)
        if size < RESERVE and disk.free_bytes(workspace) >= 2 * RESERVE:
            disk.preallocate(workspace, path, RESERVE, beneath.status(workspace, path).st_mode & 0o777)
    except OSError:
        pass  # a later call refills it; the work that needed the reserve is done


def _ensure(workspace: Path, path: Path) -> int:
    """Return the bytes on disk of the reserve; create an empty one if its inode was given up."""
    try:
        return beneath.status(workspace, path).st_blocks * 512
    except FileNotFoundError:
        like = beneath.status(workspace, IDENTITY)
        disk.write_file(workspace, path, b"", like.st_mode & 0o777, like=like)
        return 0


def with_reserve(workspace: Path, action: Callable[[], T], *, is_certain: bool = True) -> T:
    """Run an action that frees space, with the reserve released if the disk is short; refill it afterwards.

    If the action fails for want of space and the reserve had blocks left, it is run once more without the reserve: it
    must be safe to repeat.  An action that may find nothing to free is not ``is_certain``: it is first run with the
    reserve in place, because another program that is filling the disk takes what is released.  Raises
    `OutOfSpaceError` as the action does.
    """
    if is_certain:
        release_if_short(workspace)
    try:
        try:
            return action()
        except OutOfSpaceError:
            if not _release(workspace):
                raise
            return action()
    finally:
        refill(workspace)
