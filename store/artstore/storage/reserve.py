"""The reserve: preallocated blocks of a workspace, so that freeing space is possible even on a full disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from artstore import beneath
from artstore.errors import OutOfSpaceError
from artstore.storage import disk

__all__ = ["RESERVE", "refill", "release_if_short", "require_room", "room_to_free"]

RESERVE: Final = 32 * 1024 * 1024
"""Bytes kept back on the workspace's disk; `put` stops while less than this is free."""
_SHORT: Final = RESERVE // 2


def _path(workspace: Path) -> Path:
    return workspace / "reserve"


def release_if_short(workspace: Path) -> bool:
    """Free the reserve's blocks if the disk is short of space; return whether it was."""
    if disk.free_bytes(workspace) >= _SHORT:
        return False
    with suppress(FileNotFoundError):
        disk.truncate(workspace, _path(workspace))
    return True


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
        status = beneath.status(workspace, path)
        if status.st_blocks * 512 >= RESERVE or disk.free_bytes(workspace) < 2 * RESERVE:
            return
        disk.preallocate(workspace, path, RESERVE, status.st_mode & 0o777)
    except OSError:
        pass  # a later call refills it; the work that needed the reserve is done


@contextmanager
def room_to_free(workspace: Path) -> Iterator[None]:
    """Run a block that frees space, with the reserve released if the disk is short; refill it afterwards.

    Raises `OutOfSpaceError` as the block does.
    """
    release_if_short(workspace)
    try:
        yield
    except OutOfSpaceError:
        release_if_short(workspace)
        raise
    finally:
        refill(workspace)
