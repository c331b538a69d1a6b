"""Walking directory trees of the store: by name, by position, by preorder index, or completely.

A directory is one record, or an index of records (`artstore.records.trees`); these functions hide which.  They take
a loader, so that a caller with a cache of parsed records reads each once.

Guarantees: each step down leads to a record of a lower level, or with fewer entries below; a record that disagrees
with the record above raises `DamageError`.  So every walk terminates, even over damaged records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from artstore.errors import DamageError
from artstore.records.trees import ChildRecord, Kind, TreeEntry, TreeView, is_entry_name

__all__ = [
    "InodePlace",
    "Loader",
    "check_directory",
    "entries_from",
    "entry_at",
    "lookup",
    "record_below",
    "resolve",
    "same_names",
    "walk",
]

Loader = Callable[[int], TreeView]


def record_below(load: Loader, view: TreeView, child: ChildRecord) -> TreeView:
    """Return the record that a row of an index record leads to; raise `DamageError` if they disagree."""
    below = load(child.node)
    totals = below.totals
    if (below.level, totals.entries, totals.inodes) != (view.level - 1, child.entries, child.inodes):
        raise DamageError(f"the directory record {child.node} does not match its parent")
    return below


def check_directory(view: TreeView, inodes: int) -> None:
    """Raise `DamageError` if ``view`` is not a directory that, with all below it, counts ``inodes``."""
    if view.totals.inodes + 1 != inodes:
        raise DamageError(f"a directory has {view.totals.inodes} entries below it, but its parent has another number")


def lookup(load: Loader, directory: int, name: bytes) -> tuple[TreeEntry, int] | None:
    """Return (entry, entries of all depths in this directory before it) for a name, or None.

    The second figure gives the entry's preorder index: its directory's, plus 1, plus the figure.
    """
    view = load(directory)
    before = 0
    while view.level:
        index = view.child_for_name(name)
        if index < 0:
            return None
        child = view.child(index)
        before += child.inodes_before
        view = record_below(load, view, child)
    index = view.find(name)
    if index < 0:
        return None
    entry = view.entry(index)
    return entry, before + entry.inodes_before


def entries_from(load: Loader, directory: int, position: int = 0) -> Iterator[tuple[TreeEntry, int]]:
    """Yield (entry, entries of all depths in this directory before it) from entry ``position`` on, in name order."""
    yield from _entries_from(load, load(directory), position, 0)


def _entries_from(load: Loader, view: TreeView, position: int, before: int) -> Iterator[tuple[TreeEntry, int]]:
    if not view.level:
        for entry in view.entries(position):
            yield entry, before + entry.inodes_before
        return
    first = view.child_for_position(position)
    if first < 0:
        return
    end = view.child(first).entries_before
    for index in range(first, view.count):
        child = view.child(index)
        if child.entries_before != end:
            raise DamageError("a directory record's running totals do not add up")
        end += child.entries
        start = max(0, position - child.entries_before)
        yield from _entries_from(load, record_below(load, view, child), start, before + child.inodes_before)


def same_names(load: Loader, one: int, other: int) -> bool:
    """Return whether two directories list the same names."""
    if one == other:
        return True
    if load(one).totals.entries != load(other).totals.entries:
        return False
    pairs = zip(entries_from(load, one), entries_from(load, other), strict=True)
    return all(first.name == second.name for (first, _), (second, _) in pairs)


class InodePlace(NamedTuple):
    """An entry found by its preorder index: the entry, its directory's index, the names from the root.

    ``record`` is the one with the entry's row, and ``first`` the preorder index of its first entry.
    """

    entry: TreeEntry
    parent: int
    path: list[bytes]
    record: TreeView
    first: int


def entry_at(load: Loader, root: int, index: int) -> InodePlace | None:
    """Return the entry with a preorder index of at least 1 (the root's is 0), or None.

    An entry comes right after its directory and the entries before it with all that they hold.
    """
    view, current, path = load(root), 0, list[bytes]()
    while True:
        left = index - current - 1
        while view.level and (row := view.row_for_inode(left)) >= 0:
            child = view.child(row)
            left -= child.inodes_before
            view = record_below(load, view, child)
        row = view.row_for_inode(left)
        if row < 0:
            return None
        entry = view.entry(row)
        first = index - left
        left -= entry.inodes_before
        path.append(entry.name)
        if left <= 0 or entry.kind is not Kind.DIRECTORY:
            return None if left else InodePlace(entry, current, path, view, first)
        current = index - left
        view = load(entry.node)
        check_directory(view, entry.inodes)


def resolve(load: Loader, root: int, path: bytes) -> TreeEntry | None:
    """Return the entry at a relative path, or None; links are not followed, and the root itself has no entry."""
    entry: TreeEntry | None = None
    node = root
    for name in path.split(b"/"):
        if entry is not None and entry.kind != Kind.DIRECTORY:
            return None
        lookup_result = lookup(load, node, name)
        if lookup_result is None:
            return None
        entry = lookup_result[0]
        node = entry.node
    return entry


def walk(load: Loader, directory: int, prefix: bytes = b"") -> Iterator[tuple[bytes, TreeEntry]]:
    """Yield (path, entry) of everything below a directory, parents before children, in name order."""
    stack = [(entries_from(load, directory), prefix)]
    while stack:
        entries, above = stack[-1]
        item = next(entries, None)
        if item is None:
            stack.pop()
            continue
        entry = item[0]
        if not is_entry_name(entry.name):
            raise DamageError(f"a directory has an entry with the invalid name {entry.name!r}")
        path = above + entry.name
        yield path, entry
        if entry.kind == Kind.DIRECTORY:
            check_directory(load(entry.node), entry.inodes)
            stack.append((entries_from(load, entry.node), path + b"/"))
