"""The values that the serving core returns; independent of any FUSE binding."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from artfs.mount import inodes
from artstore.records.trees import Content, Kind

__all__ = [
    "ABOVE_SECONDS",
    "FOREVER",
    "Attributes",
    "Contents",
    "DirectoryEntry",
    "Statistics",
    "above",
    "content_inode",
    "link_above",
    "of_content",
]

FOREVER = 1 << 31
"""Seconds for which the kernel may cache entries inside a version: they never change."""

ABOVE_SECONDS = 1
"""Seconds for which the kernel may cache entries above versions; it is also notified of changes."""

_EDITIONS = 1_000_000

_DIRECTORY_MODE = stat.S_IFDIR | 0o555
_LINK_MODE = stat.S_IFLNK | 0o777
_FILE, _EXECUTABLE, _LINK = int(Kind.FILE), int(Kind.EXECUTABLE), int(Kind.LINK)
_FILE_MODE = stat.S_IFREG | 0o444
_MODES = {
    _FILE: _FILE_MODE,
    _EXECUTABLE: stat.S_IFREG | 0o555,
    _LINK: _LINK_MODE,
    int(Kind.REFERENCE): _FILE_MODE,
}


class Attributes(NamedTuple):
    """The result of ``stat`` for one inode: ``size`` in bytes, ``mtime_ns`` since 1970.

    ``entry_seconds`` and ``attribute_seconds`` define how long the kernel may cache the name and the attributes.
    """

    inode: int
    mode: int
    size: int
    mtime_ns: int
    entry_seconds: int
    attribute_seconds: int


class DirectoryEntry(NamedTuple):
    """One entry of a listing; ``cookie`` is the position after it."""

    name: bytes
    cookie: int
    attributes: Attributes


class Contents(NamedTuple):
    """A listing whose entries need not be built one by one: ``entries`` have the cookies that follow ``cookie``."""

    dots: Sequence[DirectoryEntry]
    entries: Iterator[Content]
    cookie: int


class Statistics(NamedTuple):
    """The result of ``statfs``: counts of blocks of ``block`` bytes, and of files."""

    block: int
    blocks: int
    free: int
    files: int


def content_inode(kind: int, node: int) -> int:
    """Return the inode of a non-directory in a version: a function of its content and executable bit alone."""
    if kind < _LINK:
        return inodes.file(node, kind == _EXECUTABLE)
    return inodes.link(node) if kind == _LINK else inodes.reference(node)


def of_content(kind: int, node: int, size: int, birth_ns: int) -> Attributes:
    """Return the attributes of a non-directory entry of a version."""
    return Attributes(content_inode(kind, node), _MODES[kind], size, birth_ns, FOREVER, FOREVER)


def of_directory(serial: int, index: int, created_ns: int) -> Attributes:
    """Return the attributes of a directory in a version; only the name of the root may disappear."""
    entry_seconds = FOREVER if index else ABOVE_SECONDS
    return Attributes(inodes.directory(serial, index), _DIRECTORY_MODE, 0, created_ns, entry_seconds, FOREVER)


def above(inode: int, changed_ns: int, edition: int) -> Attributes:
    """Return the attributes of a project or artifact; ``edition`` differs whenever the catalogue does.

    It takes the place of the time's last six digits: a kernel that has cached a listing compares the time before it
    uses the listing again.
    """
    shown_ns = changed_ns - changed_ns % _EDITIONS + edition % _EDITIONS
    return Attributes(inode, _DIRECTORY_MODE, 0, shown_ns, ABOVE_SECONDS, ABOVE_SECONDS)


def link_above(inode: int, target: bytes, changed_ns: int) -> Attributes:
    """Return the attributes of an alias."""
    return Attributes(inode, _LINK_MODE, len(target), changed_ns, ABOVE_SECONDS, ABOVE_SECONDS)
