"""The values that the serving core returns; independent of any FUSE binding."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from artstore.records.trees import MODE_BITS, Kind, TreeEntry

__all__ = [
    "ABOVE_SECONDS",
    "FOREVER",
    "Attributes",
    "Contents",
    "DirectoryEntry",
    "Modes",
    "Statistics",
    "above",
    "link_above",
    "of_entry",
    "root_entry",
]

FOREVER = 1 << 31
"""Seconds for which the kernel may cache entries inside a version: they never change."""

ABOVE_SECONDS = 1
"""Seconds for which the kernel may cache entries above versions; it is also notified of changes."""

_EDITIONS = 1_000_000
_READ, _READ_AND_SEARCH = 0o444, 0o555
_KIND_SHIFT = 9
_TYPES = {
    Kind.FILE: stat.S_IFREG,
    Kind.EXECUTABLE: stat.S_IFREG,
    Kind.LINK: stat.S_IFLNK,
    Kind.DIRECTORY: stat.S_IFDIR,
    Kind.REFERENCE: stat.S_IFREG,
}
_LINK_MODE = stat.S_IFLNK | 0o777


class Modes:
    """The modes that a mount shows: the permission bits as they were kept, changed by the options of the mount.

    ``umask`` are bits that are never shown.  ``readable`` adds read permission for all to files, and read and search
    permission to directories.  The root of a version has these always, unless ``umask`` takes them.  The bits of a
    link have no meaning on Linux, which shows all of them.
    """

    __slots__ = ("shown",)

    def __init__(self, *, umask: int = 0, readable: bool = False) -> None:
        self.shown: list[int] = []
        """By kind and permission bits (kind << 9 | bits): type and permission bits as ``st_mode`` has them."""
        for kind, file_type in _TYPES.items():
            added = (_READ_AND_SEARCH if kind is Kind.DIRECTORY else _READ) if readable else 0
            for bits in range(MODE_BITS + 1):
                mode = _LINK_MODE if kind is Kind.LINK else file_type | ((bits | added) & ~umask)
                self.shown.append(mode)

    @property
    def directory_above(self) -> int:
        """The mode of a directory above versions."""
        return self.shown[Kind.DIRECTORY << _KIND_SHIFT | _READ_AND_SEARCH]


class Attributes(NamedTuple):
    """The result of ``stat`` for one inode: ``size`` in bytes, times in nanoseconds since 1970, earlier ones negative.

    ``entry_seconds`` and ``attribute_seconds`` define how long the kernel may cache the name and the attributes.
    """

    inode: int
    mode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    entry_seconds: int
    attribute_seconds: int


class DirectoryEntry(NamedTuple):
    """One entry of a listing; ``cookie`` is the position after it."""

    name: bytes
    cookie: int
    attributes: Attributes


class Contents(NamedTuple):
    """The rest of a listing of a directory without subdirectories, whose entries need not be built one by one.

    ``entries`` are those of `TreeView.leaves`, whose modes are to be shown as ``modes`` says (see `Modes.shown`).  The
    cookie and the inode of each are one more than those of the entry before; ``cookie`` and ``inode`` are the last ones
    before the first entry.  ``ctime_ns`` applies to all of them, and ``following`` is the inode that follows all of the
    directory in preorder.
    """

    dots: Sequence[DirectoryEntry]
    entries: Iterator[tuple[bytes, int, int, int]]
    cookie: int
    inode: int
    modes: Sequence[int]
    ctime_ns: int
    following: int


class Statistics(NamedTuple):
    """The result of ``statfs``: counts of blocks of ``block`` bytes, and of files."""

    block: int
    blocks: int
    free: int
    files: int


def of_entry(inode: int, entry: TreeEntry, modes: Modes, created_ns: int) -> Attributes:
    """Return the attributes of an entry of a version that was created at ``created_ns``.

    Only the name of the version's root may disappear.
    """
    mode = modes.shown[entry.kind << _KIND_SHIFT | entry.mode]
    size = 0 if entry.kind is Kind.DIRECTORY else entry.size
    entry_seconds = FOREVER if entry.name else ABOVE_SECONDS
    return Attributes(inode, mode, size, entry.mtime_ns, created_ns, entry_seconds, FOREVER)


def root_entry(node: int, mtime_ns: int, mode: int) -> TreeEntry:
    """Return the root of a version as an entry: it has no name, everyone may enter it, and ``inodes`` is 0."""
    return TreeEntry(b"", Kind.DIRECTORY, node, 0, mtime_ns, mode | _READ_AND_SEARCH, 0, 0)


def above(inode: int, modes: Modes, changed_ns: int, edition: int) -> Attributes:
    """Return the attributes of a project or artifact; ``edition`` differs whenever the catalogue does.

    It takes the place of the time's last six digits: a kernel that has cached a listing compares the time before it
    uses the listing again.
    """
    shown_ns = changed_ns - changed_ns % _EDITIONS + edition % _EDITIONS
    return Attributes(inode, modes.directory_above, 0, shown_ns, shown_ns, ABOVE_SECONDS, ABOVE_SECONDS)


def link_above(inode: int, target: bytes, changed_ns: int) -> Attributes:
    """Return the attributes of an alias."""
    return Attributes(inode, _LINK_MODE, len(target), changed_ns, changed_ns, ABOVE_SECONDS, ABOVE_SECONDS)
