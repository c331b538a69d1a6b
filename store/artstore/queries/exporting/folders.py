"""Folders of the destination: opened and made name by name, following no link and bound by no length of path."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from artstore.errors import ExistsError

__all__ = ["make_folder", "open_folder"]

_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


@contextmanager
def open_folder(dest: Path, path: bytes) -> Iterator[int]:
    """Open the folder at ``path`` below ``dest`` for the block; ``dest`` itself may be reached through links.

    Raises `NotADirectoryError` if a name on the way is a link or a file, `FileNotFoundError` if there is none.
    """
    fd = os.open(dest, _FLAGS)
    try:
        for name in path.split(b"/") if path else ():
            below = os.open(name, _FLAGS | os.O_NOFOLLOW, dir_fd=fd)
            os.close(fd)
            fd = below
        yield fd
    finally:
        os.close(fd)


def make_folder(parent: int, name: bytes, *, overwrite: bool) -> bool:
    """Make sure that ``name`` is a real folder; with ``overwrite``, replace a file or link of that name.

    Returns whether it was made.
    """
    try:
        os.mkdir(name, dir_fd=parent)
    except FileExistsError:
        if stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            return False
        if not overwrite:
            raise ExistsError(
                f"{os.fsdecode(name)!r} was created where a folder of the version belongs",
                hint="run it again when nothing else writes there",
            ) from None
        os.unlink(name, dir_fd=parent)
        os.mkdir(name, dir_fd=parent)
    return True
