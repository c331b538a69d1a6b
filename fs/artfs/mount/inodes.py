"""Inode numbers as a pure function of the store.

A 64-bit number encodes its object, so no worker keeps a table and all of them agree:

    class 0   1: the root of the mount
    class 0   31 bits mount serial | 31 bits preorder index       a link in the history of a path to the entry
    class 1   31 bits mount serial | 31 bits preorder index       an entry of a version
    class 2   31 bits mount serial | 31 bits preorder index       the history of the path that the entry has
    class 3   4 bits sort | 26 bits 0 | 32 bits value             entries above the versions

The preorder index counts all entries of a version, files, links and directories alike: 0 is the version's root, and an
entry comes right after its directory and the entries before it with all that they hold.  A version gets its mount
serial, from 1 on, at its commit and a new one at each purge, and serials are never reused.  So an inode denotes one
path for ever, and two paths never share one.  The history of a path is that of the entry in the first living version
that has the path; when that version is deleted, it is another inode.

The rest of class 0 is free: 0 means "no such name" in the kernel's protocol.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

__all__ = [
    "INDEX_LIMIT",
    "ROOT",
    "Inode",
    "Sort",
    "alias",
    "artifact",
    "decode",
    "entry",
    "histories",
    "history",
    "history_link",
    "latest",
    "project",
]

ROOT = 1
"""The root of the mount, which is the project with the empty name."""

_CLASS_SHIFT = 62
_SORT_SHIFT = 58
_INDEX_BITS = 31
_SERIAL_LIMIT = 1 << 31
INDEX_LIMIT = 1 << _INDEX_BITS
"""Preorder indexes are below this."""
_VALUE_LIMIT = 1 << 32
_VALUE_MASK = (1 << _SORT_SHIFT) - 1
_INDEX_MASK = INDEX_LIMIT - 1
_CLASS_MASK = (1 << _CLASS_SHIFT) - 1

_LINK, _ENTRY, _HISTORY, _ABOVE = range(4)
_ENTRY_BASE = _ENTRY << _CLASS_SHIFT


class Sort(IntEnum):
    """The sort of object that an inode denotes; the kind of an entry is in its directory's record."""

    ENTRY = 0
    PROJECT = 1
    ARTIFACT = 2
    ALIAS = 3
    LATEST = 4
    HISTORIES = 5
    HISTORY = 6
    HISTORY_LINK = 7


_ABOVE_SORTS = {1: Sort.PROJECT, 2: Sort.ARTIFACT, 3: Sort.ALIAS, 4: Sort.LATEST, 5: Sort.HISTORIES}
_HISTORY_SORTS = {_LINK: Sort.HISTORY_LINK, _HISTORY: Sort.HISTORY}
_ABOVE_BASES = {sort: _ABOVE << _CLASS_SHIFT | code << _SORT_SHIFT for code, sort in _ABOVE_SORTS.items()}


class Inode(NamedTuple):
    """A decoded inode: ``value`` is a mount serial, name number or serial, ``ordinal`` the index in a version."""

    sort: Sort
    value: int
    ordinal: int = 0


def entry(mount: int, index: int) -> int:
    """Return the inode of the entry with the preorder ``index`` (0 = the root) in the version of a mount serial."""
    if not (0 <= mount < _SERIAL_LIMIT and 0 <= index < INDEX_LIMIT):
        raise ValueError(f"entry {index} of mount serial {mount} does not fit in an inode")
    return _ENTRY_BASE | mount << _INDEX_BITS | index


def history(mount: int, index: int) -> int:
    """Return the inode of the history of the path that an entry has; its version is the first one with the path."""
    return entry(mount, index) - _ENTRY_BASE | _HISTORY << _CLASS_SHIFT


def history_link(mount: int, index: int) -> int:
    """Return the inode of the link to an entry in the history of its path."""
    return entry(mount, index) - _ENTRY_BASE


def histories(artifact: int) -> int:
    """Return the inode of the directory below which the histories of an artifact's paths are, by its name number."""
    return _above(Sort.HISTORIES, artifact)


def project(number: int) -> int:
    """Return the inode of the project with that name number; number 0 is the root of the mount."""
    return _above(Sort.PROJECT, number) if number else ROOT


def artifact(number: int) -> int:
    """Return the inode of the artifact with that name number."""
    return _above(Sort.ARTIFACT, number)


def alias(serial: int) -> int:
    """Return the inode of the alias with that serial; a moved alias has a new serial, so it is a new inode."""
    return _above(Sort.ALIAS, serial)


def latest(serial: int) -> int:
    """Return the inode of a ``latest`` that points at the version with that serial."""
    return _above(Sort.LATEST, serial)


def _above(sort: Sort, value: int) -> int:
    if not 0 <= value < _VALUE_LIMIT:
        raise ValueError(f"{sort.name.lower()} {value} does not fit in an inode")
    return _ABOVE_BASES[sort] | value


def decode(inode: int) -> Inode:
    """Return the decoded ``inode``; ValueError for a number that no function here returns."""
    kind = inode >> _CLASS_SHIFT
    rest = inode & _CLASS_MASK
    if kind == _ENTRY:
        return Inode(Sort.ENTRY, rest >> _INDEX_BITS, rest & _INDEX_MASK)
    if inode == ROOT:
        return Inode(Sort.PROJECT, 0)
    if kind in _HISTORY_SORTS and rest >> _INDEX_BITS and rest & _INDEX_MASK:
        return Inode(_HISTORY_SORTS[kind], rest >> _INDEX_BITS, rest & _INDEX_MASK)
    if kind == _ABOVE and rest >> _SORT_SHIFT in _ABOVE_SORTS:
        sort = _ABOVE_SORTS[rest >> _SORT_SHIFT]
        value = rest & _VALUE_MASK
        if value < _VALUE_LIMIT and (value or sort is not Sort.PROJECT):
            return Inode(sort, value)
    raise ValueError(f"{inode} is not an inode of this file system")
