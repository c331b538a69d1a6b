"""The reserve: blocks that a workspace keeps back, so that what is to free space has room to do so on a full disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from artstore.errors import OutOfSpaceError
from artstore.storage import disk

__all__ = ["RESERVE", "refill", "release_if_short", "require_room", "room_to_free"]

RESERVE: Final = 32 * 1024 * 1024
"""Bytes kept back on the workspace's disk; `put` stops while less than this is free."""
_SHORT: Final = RESERVE // 2


def _path(workspace: Path) -> Path:
    return workspace / "reserve"


def release_if_short(workspace: Path) -> bool:
    """Give the reserve's blocks to the disk where it is short of free ones; return whether that was so."""
    if disk.free_bytes(workspace) >= _SHORT:
        return False
    with suppress(FileNotFoundError):
        os.truncate(_path(workspace), 0)
    return True


def require_room(workspace: Path) -> None:
    """Raise `OutOfSpaceError` if so little is free that nothing is to be put."""
    free = disk.free_bytes(workspace)
    if free < RESERVE:
        raise OutOfSpaceError(
            f"only {free} bytes are left on the disk of {workspace}", hint="free some space and run the command again"
        )


def refill(workspace: Path) -> None:
    """Keep the blocks back again, where the disk has room for them and for others; a matter of one look if they are."""
    path = _path(workspace)
    try:
        status = path.stat()
        if status.st_blocks * 512 >= RESERVE or disk.free_bytes(workspace) < 2 * RESERVE:
            return
        disk.preallocate(path, RESERVE, status.st_mode & 0o777)
    except OSError:
        pass  # another time: what it is kept for has been done


@contextmanager
def room_to_free(workspace: Path) -> Iterator[None]:
    """Run the block, which frees space, with the reserve's blocks where the disk is short; keep them back again after.

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
