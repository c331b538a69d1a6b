"""The two regimes of cold reads: from the disk, and from memory with only the mount's own caches empty.

In the regime ``disk`` the whole page cache is dropped after the mount, with inodes and directory entries. In the regime
``memory`` all files that a side reads from (packs, images, the plain folder) are in the page cache of the file system
below, and the mount is new: the kernel drops pages, inodes and names of a file system when it is unmounted, so the new
mount holds none. Both halves are checked with mincore(2), which asks for pages without reading them.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from enum import Enum
from pathlib import Path

from benchmarks.processes import SideFailed

__all__ = [
    "IN_WORDS",
    "Regime",
    "bring_into_memory",
    "check_in_memory",
    "check_new_mount_is_empty",
    "files_below",
    "pages_of",
]

ENOUGH = 0.999
"""The share of pages that must be in memory; the rest may be written by the serving process while it starts."""
_BLOCK = 1 << 20
_LOWEST_BIT = bytes(each & 1 for each in range(256))
_libc = ctypes.CDLL(None, use_errno=True)


class Regime(Enum):
    """Where the bytes of cold reads come from; the value is the option's."""

    DISK = "disk"
    MEMORY = "memory"

    @property
    def state(self) -> str:
        """Return the state of lines that are measured in this regime."""
        return "cold" if self is Regime.DISK else "memory"


IN_WORDS = {"cold": "cold", "memory": "in memory", "warm": "warm"}
"""The states of reads as titles have them."""


def files_below(folders: Iterable[Path]) -> Iterator[Path]:
    """Yield the regular files among these paths and below them; links are not followed."""
    for folder in folders:
        if not folder.is_dir():
            yield folder
        for parent, _, names in os.walk(folder):
            for name in names:
                path = Path(parent, name)
                with contextlib.suppress(FileNotFoundError):
                    if stat.S_ISREG(path.lstat().st_mode):
                        yield path


def pages_of(path: Path) -> tuple[int, int]:
    """Return how many pages of a file are in the page cache, and how many it has; reads none of them."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        size = os.fstat(descriptor).st_size
        if not size:
            return 0, 0
        # Private and writable: ctypes gives the address of writable memory only.
        with mmap.mmap(descriptor, size, access=mmap.ACCESS_COPY) as mapped:
            pages = -(-size // mmap.PAGESIZE)
            there = (ctypes.c_ubyte * pages)()
            first = ctypes.c_char.from_buffer(mapped)
            failed = _libc.mincore(ctypes.byref(first), ctypes.c_size_t(size), there)
            del first
            if failed:
                raise OSError(ctypes.get_errno(), f"mincore of {path} failed")
    finally:
        os.close(descriptor)
    return bytes(there).translate(_LOWEST_BIT).count(1), pages


def bring_into_memory(folders: Iterable[Path]) -> None:
    """Read all files that are not in the page cache as a whole."""
    buffer = bytearray(_BLOCK)
    for path in files_below(folders):
        with contextlib.suppress(FileNotFoundError):
            there, pages = pages_of(path)
            if there < pages:
                with open(path, "rb", buffering=0) as file:
                    while file.readinto(buffer):
                        pass


def check_in_memory(folders: Iterable[Path]) -> None:
    """Raise `SideFailed` unless the page cache holds all of these files."""
    there = pages = 0
    worst = 0, Path()
    for path in files_below(folders):
        with contextlib.suppress(FileNotFoundError):
            some, all_of_it = pages_of(path)
            # A hole has no block, and tmpfs brings none of its pages into the cache.
            needed = min(all_of_it, -(-(path.lstat().st_blocks << 9) // mmap.PAGESIZE))
            there, pages = there + min(some, needed), pages + needed
            worst = max(worst, (needed - min(some, needed), path))
    if there < ENOUGH * pages:
        left = f"{worst[0]} pages of {worst[1]} do not"
        raise SideFailed(
            f"only {there / pages:.1%} of what it reads from stay in memory, {left}: take less data (--scale)"
        )


def check_new_mount_is_empty(shown: Callable[[], AbstractContextManager[Path]], name: str) -> None:
    """Mount twice and read one file; raise `SideFailed` if the second mount still has its pages.

    ``name`` is the file's path inside of what is shown.
    """
    with shown() as folder:
        before, _ = pages_of(folder / name)
        (folder / name).read_bytes()
        after, pages = pages_of(folder / name)
    with shown() as folder:
        again, _ = pages_of(folder / name)
    if before or again:
        raise SideFailed(f"a new mount has {max(before, again)} of {pages} pages of {name} in the kernel's cache")
    if not after:
        # Without this the check would pass on a file system whose pages mincore does not see.
        raise SideFailed(f"mincore does not see the pages of {name} that were read")
