"""Walking directory trees of the store: by name, by position, by preorder index, or completely.

A directory is one record, or an index of records (`artstore.records.trees`); these functions hide which.  They take
a loader, so that a caller with a cache of parsed records reads each once.

Guarantees: each step down leads to a record of a lower level, or with fewer directories below; a record that disagrees
with the record above raises `DamageError`.  So every walk terminates, even over damaged records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from artstore.errors import DamageError
from artstore.records.trees import ChildRecord, Kind, TreeEntry, TreeView, is_entry_name

__all__ = [
    "DirectoryPlace",
    "Loader",
    "check_directory",
    "directory_at",
    "entries_from",
    "lookup",
    "record_below",
    "resolve",
    "walk",
]

Loader = Callable[[int], TreeView]


def record_below(load: Loader, view: TreeView, child: ChildRecord) -> TreeView:
    """Return the record that a row of an index record leads to; raise `DamageError` if they disagree."""
    below = load(child.node)
    totals = below.totals
    if (below.level, totals.entries, totals.directories) != (view.level - 1, child.entries, child.directories):
        raise DamageError(f"the directory record {child.node} does not match its parent")
    return below


def check_directory(view: TreeView, directories: int) -> None:
    """Raise `DamageError` if ``view`` is not a directory that, with all below it, counts ``directories``."""
    if view.totals.directories + 1 != directories:
        raise DamageError(f"a directory has {view.totals.directories} below it, but its parent records another number")


def lookup(load: Loader, directory: int, name: bytes) -> tuple[TreeEntry, int] | None:
    """Return (entry, directories of this directory before it) for a name, or None.

    The second figure gives a subdirectory's preorder index: its parent's, plus 1, plus the figure.
    """
    view = load(directory)
    before = 0
    while view.level:
        index = view.child_for_name(name)
        if index < 0:
            return None
        child = view.child(index)
        before += child.directories_before
        view = record_below(load, view, child)
    index = view.find(name)
    if index < 0:
        return None
    entry = view.entry(index)
    return entry, before + entry.directories_before


def entries_from(load: Loader, directory: int, position: int = 0) -> Iterator[tuple[TreeEntry, int]]:
    """Yield (entry, directories of this directory before it) from entry ``position`` on, in name order."""
    yield from _entries_from(load, load(directory), position, 0)


def _entries_from(load: Loader, view: TreeView, position: int, before: int) -> Iterator[tuple[TreeEntry, int]]:
    if not view.level:
        for entry in view.entries(position):
            yield entry, before + entry.directories_before
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
        yield from _entries_from(load, record_below(load, view, child), start, before + child.directories_before)


class DirectoryPlace(NamedTuple):
    """A directory's place: its tree node, its parent's preorder index (0 for the root), its names from the root."""

    node: int
    parent: int
    path: list[bytes]


def directory_at(load: Loader, root: int, index: int) -> DirectoryPlace | None:
    """Return the directory with a preorder index, or None.

    The root has index 0; a subdirectory comes right after its parent and the siblings before it with all they hold.
    """
    node, current, parent, path = root, 0, 0, list[bytes]()
    while current < index:
        left = index - current - 1
        view = load(node)
        while view.level and (row := view.child_for_directory(left)) >= 0:
            child = view.child(row)
            left -= child.directories_before
            view = record_below(load, view, child)
        row = view.child_for_directory(left)
        if row < 0:
            return None
        entry = view.entry(row)
        left -= entry.directories_before
        node, current, parent = entry.node, index - left, current
        path.append(entry.name)
    return DirectoryPlace(node, parent, path)


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
            check_directory(load(entry.node), entry.directories)
            stack.append((entries_from(load, entry.node), path + b"/"))
