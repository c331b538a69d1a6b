"""Inode numbers as a pure function of the store.

A 64-bit number encodes its object, so no worker keeps a table and all of them agree:

    class 0   62 bits: content node << 1 | executable             a file in a version
    class 1   31 bits version serial | 31 bits directory index    a directory in a version
    class 2   0 | 61 bits: content node                           a symbolic link in a version
              1 | 61 bits: content node                           a file that is referred to in a version
    class 3   4 bits sort | 26 bits 0 | 32 bits value             entries above the versions

Node numbers are local and never reused, serials are global and never reused, and node numbers start at 16, so the
numbers 0 to 31 are free: 0 means "no such name" in the kernel's protocol and 1 is the root of the mount.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

__all__ = [
    "ROOT",
    "Inode",
    "Sort",
    "alias",
    "artifact",
    "decode",
    "directory",
    "file",
    "latest",
    "link",
    "project",
    "reference",
]

ROOT = 1
"""The root of the mount, which is the project with the empty name."""

FIRST_NODE = 16

_CLASS_SHIFT = 62
_SORT_SHIFT = 58
_INDEX_BITS = 31
_SERIAL_LIMIT = 1 << 31
_INDEX_LIMIT = 1 << _INDEX_BITS
_NODE_LIMIT = 1 << 61
_VALUE_LIMIT = 1 << 32
_VALUE_MASK = (1 << _SORT_SHIFT) - 1
_INDEX_MASK = _INDEX_LIMIT - 1
_CLASS_MASK = (1 << _CLASS_SHIFT) - 1

_FILE, _DIRECTORY, _LINK, _ABOVE = range(4)
_DIRECTORY_BASE = _DIRECTORY << _CLASS_SHIFT
_LINK_BASE = _LINK << _CLASS_SHIFT
_REFERENCE_BASE = _LINK_BASE | _NODE_LIMIT


class Sort(IntEnum):
    """The sort of object that an inode denotes."""

    FILE = 0
    EXECUTABLE = 1
    LINK = 2
    DIRECTORY = 3
    PROJECT = 4
    ARTIFACT = 5
    ALIAS = 6
    LATEST = 7
    REFERENCE = 8


_ABOVE_SORTS = {1: Sort.PROJECT, 2: Sort.ARTIFACT, 3: Sort.ALIAS, 4: Sort.LATEST}
_ABOVE_BASES = {sort: _ABOVE << _CLASS_SHIFT | code << _SORT_SHIFT for code, sort in _ABOVE_SORTS.items()}


class Inode(NamedTuple):
    """A decoded inode: ``value`` is a node, name number or serial, ``ordinal`` a directory in its version."""

    sort: Sort
    value: int
    ordinal: int = 0


def file(node: int, executable: bool) -> int:
    """Return the inode of the file whose content is ``node``; all names of that content share it."""
    if not FIRST_NODE <= node < _NODE_LIMIT:
        raise ValueError(f"node {node} does not fit in an inode")
    return node << 1 | executable


def link(node: int) -> int:
    """Return the inode of the symbolic link in a version whose text is the content ``node``."""
    if not FIRST_NODE <= node < _NODE_LIMIT:
        raise ValueError(f"node {node} does not fit in an inode")
    return _LINK_BASE | node


def reference(node: int) -> int:
    """Return the inode of the outside file whose record is the content ``node``."""
    if not FIRST_NODE <= node < _NODE_LIMIT:
        raise ValueError(f"node {node} does not fit in an inode")
    return _REFERENCE_BASE | node


def directory(serial: int, index: int) -> int:
    """Return the inode of the directory with the preorder ``index`` (0 = the root) in the version ``serial``."""
    if not (0 <= serial < _SERIAL_LIMIT and 0 <= index < _INDEX_LIMIT):
        raise ValueError(f"directory {index} of version serial {serial} does not fit in an inode")
    return _DIRECTORY_BASE | serial << _INDEX_BITS | index


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
    if kind == _DIRECTORY:
        return Inode(Sort.DIRECTORY, rest >> _INDEX_BITS, rest & _INDEX_MASK)
    if kind == _FILE and rest >> 1 >= FIRST_NODE:
        return Inode(Sort.EXECUTABLE if rest & 1 else Sort.FILE, rest >> 1)
    if inode == ROOT:
        return Inode(Sort.PROJECT, 0)
    if kind == _LINK and rest & (_NODE_LIMIT - 1) >= FIRST_NODE:
        return Inode(Sort.REFERENCE if rest & _NODE_LIMIT else Sort.LINK, rest & (_NODE_LIMIT - 1))
    if kind == _ABOVE and rest >> _SORT_SHIFT in _ABOVE_SORTS:
        sort = _ABOVE_SORTS[rest >> _SORT_SHIFT]
        value = rest & _VALUE_MASK
        if value < _VALUE_LIMIT and (value or sort is not Sort.PROJECT):
            return Inode(sort, value)
    raise ValueError(f"{inode} is not an inode of this file system")
