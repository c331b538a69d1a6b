"""The difference between two directory trees, in time proportional to the difference.

Equal node numbers mean equal content, so records that both sides have are skipped unread.  A directory that is split
into many records is compared record by record, from the highest level down, until only the differing entries of the
differing records are left.

How entries are compared:

- files and links are entries; a directory is listed by its contents, and itself (with a trailing ``/``) only if it is
  empty and the other side has no directory of that name;
- a file or link that exists on both sides and differs is *changed*, also if a file became a link; a file that only
  gained or lost the executable bit is a *mode* change;
- a file or link that became a directory is removed, and the directory's contents are added; and the reverse;
- removed and added files with the same content, kind and a size above zero are *renamed*, same base names first, then
  in the order of their paths.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Final, NamedTuple, overload

from artstore.errors import DamageError
from artstore.records.lazy_nodes import LAZY
from artstore.records.trees import Kind, TreeEntry, TreeView
from artstore.rows.trees import Loader, check_directory, walk
from artstore.store import Store

__all__ = ["Change", "Difference", "compare", "compare_trees"]

_CACHED_RECORDS: Final = 256
_FILES: Final = frozenset({Kind.FILE, Kind.EXECUTABLE})


class Change(NamedTuple):
    """One path that differs; ``kind`` is added, removed, changed, renamed or mode.

    ``path`` is the current path (the former one for removed), ``old_path`` a renamed file's former path.  Sizes are in
    bytes, None on a side without the entry.  Paths are ``str`` as in `FileInfo`, surrogateescape where a name is not
    UTF-8; ``raw_path`` and ``old_raw_path`` are the bytes.
    """

    kind: str
    path: str
    old_path: str | None
    old_size: int | None
    new_size: int | None

    @property
    def raw_path(self) -> bytes:
        """The bytes of ``path``."""
        return os.fsencode(self.path)

    @property
    def old_raw_path(self) -> bytes | None:
        """The bytes of ``old_path``."""
        return None if self.old_path is None else os.fsencode(self.old_path)


class Difference(Sequence[Change]):
    """The changes that lead from one tree to another, sorted by path."""

    __slots__ = ("_changes",)

    def __init__(self, changes: Sequence[Change]) -> None:
        self._changes = tuple(sorted(changes, key=lambda change: (change.raw_path, change.kind)))

    def __repr__(self) -> str:
        counts = Counter(change.kind for change in self._changes)
        return f"<Difference {', '.join(f'{count} {kind}' for kind, count in sorted(counts.items())) or 'none'}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Difference) and self._changes == other._changes

    def __hash__(self) -> int:
        return hash(self._changes)

    def __len__(self) -> int:
        return len(self._changes)

    @overload
    def __getitem__(self, index: int) -> Change: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Change]: ...
    def __getitem__(self, index: int | slice) -> Change | Sequence[Change]:
        return self._changes[index]

    def _of(self, kind: str) -> list[Change]:
        return [change for change in self._changes if change.kind == kind]

    @property
    def added(self) -> list[Change]:
        """Entries that only the second tree has."""
        return self._of("added")

    @property
    def removed(self) -> list[Change]:
        """Entries that only the first tree has."""
        return self._of("removed")

    @property
    def changed(self) -> list[Change]:
        """Entries with different content, or that are a link on one side only."""
        return self._of("changed")

    @property
    def renamed(self) -> list[Change]:
        """Files that moved to another path."""
        return self._of("renamed")

    @property
    def mode_changed(self) -> list[Change]:
        """Files that only gained or lost the executable bit."""
        return self._of("mode")

    @property
    def added_bytes(self) -> int:
        """Bytes of added entries."""
        return sum(change.new_size or 0 for change in self.added)

    @property
    def removed_bytes(self) -> int:
        """Bytes of removed entries."""
        return sum(change.old_size or 0 for change in self.removed)

    @property
    def changed_bytes(self) -> int:
        """Bytes of changed entries, by their new sizes."""
        return sum(change.new_size or 0 for change in self.changed)

    @property
    def renamed_bytes(self) -> int:
        """Bytes of renamed files."""
        return sum(change.new_size or 0 for change in self.renamed)


class _Item(NamedTuple):
    """A file, link or empty directory that one side has."""

    path: bytes
    kind: Kind
    node: int
    size: int


def compare(store: Store, root_a: int, root_b: int) -> Difference:
    """Return the changes from the tree below record ``root_a`` to the tree below ``root_b``."""
    with store.snapshot() as snapshot:
        identity = snapshot.identity if max(root_a, root_b) >= LAZY else None
        return compare_trees(snapshot.tree, root_a, root_b, identity)


def compare_trees(load: Loader, root_a: int, root_b: int, identity: Callable[[int], bytes] | None = None) -> Difference:
    """Do as `compare`, given what reads the records of both trees, and the id of content if equal has many nodes."""
    content = _itself if identity is None else lru_cache(_CACHED_RECORDS)(identity)
    return _Comparison(lru_cache(_CACHED_RECORDS)(load), content).run(root_a, root_b)


_Content = Callable[[int], int | bytes]
"""What is equal for nodes of equal content: the node itself, unless one of the trees is in a remote."""


def _itself(node: int) -> int:
    return node


class _Comparison:
    """One comparison, over a loader that is valid while it runs."""

    def __init__(self, load: Loader, content: _Content) -> None:
        self._load = load
        self._content = content
        self._changes: list[Change] = []
        self._removed: list[_Item] = []
        self._added: list[_Item] = []
        self._pending: list[tuple[bytes, int, int]] = []

    def run(self, root_a: int, root_b: int) -> Difference:
        self._pending.append((b"", root_a, root_b))
        while self._pending:
            prefix, a, b = self._pending.pop()
            if a != b and self._load(a).digest != self._load(b).digest:
                for old, new in _differing_entries(self._load, self._content, a, b):
                    self._entry(prefix, old, new)
        self._pair_renamed()
        self._changes += [Change("removed", os.fsdecode(item.path), None, item.size, None) for item in self._removed]
        self._changes += [Change("added", os.fsdecode(item.path), None, None, item.size) for item in self._added]
        return Difference(self._changes)

    def _entry(self, prefix: bytes, old: TreeEntry | None, new: TreeEntry | None) -> None:
        if old is not None and new is not None and (old.kind == Kind.DIRECTORY) == (new.kind == Kind.DIRECTORY):
            path = prefix + old.name
            if old.kind == Kind.DIRECTORY:
                for entry in (old, new):
                    check_directory(self._load(entry.node), entry.inodes)
                self._pending.append((path + b"/", old.node, new.node))
                return
            is_same = self._content(old.node) == self._content(new.node)
            kind = "mode" if is_same and {old.kind, new.kind} == _FILES else "changed"
            self._changes.append(Change(kind, os.fsdecode(path), None, old.size, new.size))
            return
        if old is not None:
            self._removed += self._items(prefix, old)
        if new is not None:
            self._added += self._items(prefix, new)

    def _items(self, prefix: bytes, entry: TreeEntry) -> Iterator[_Item]:
        """Yield the parts of an entry that only one side has."""
        path = prefix + entry.name
        if entry.kind != Kind.DIRECTORY:
            yield _Item(path, entry.kind, entry.node, entry.size)
            return
        if not self._load(entry.node).total_entries:
            yield _Item(path + b"/", entry.kind, entry.node, 0)
            return
        for below, inner in walk(self._load, entry.node, path + b"/"):
            if inner.kind != Kind.DIRECTORY:
                yield _Item(below, inner.kind, inner.node, inner.size)
            elif not self._load(inner.node).total_entries:
                yield _Item(below + b"/", inner.kind, inner.node, 0)

    def _pair_renamed(self) -> None:
        """Turn removed and added files of the same content and kind into renamed ones."""
        old_by_content = self._by_content(self._removed)
        new_by_content = self._by_content(self._added)
        paired: set[bytes] = set()
        taken: set[bytes] = set()
        for content in old_by_content.keys() & new_by_content.keys():
            for old, new in _pairs(old_by_content[content], new_by_content[content]):
                self._changes.append(
                    Change("renamed", os.fsdecode(new.path), os.fsdecode(old.path), old.size, new.size)
                )
                paired.add(old.path)
                taken.add(new.path)
        self._removed = [item for item in self._removed if item.path not in paired]
        self._added = [item for item in self._added if item.path not in taken]

    def _by_content(self, items: Sequence[_Item]) -> dict[tuple[Kind, int | bytes], list[_Item]]:
        groups: dict[tuple[Kind, int | bytes], list[_Item]] = {}
        for item in sorted(items):
            if item.size:
                groups.setdefault((item.kind, self._content(item.node)), []).append(item)
        return groups


def _pairs(old: list[_Item], new: list[_Item]) -> Iterator[tuple[_Item, _Item]]:
    """Yield pairs of items with equal content: those that kept their base name first, then in path order."""
    waiting: dict[bytes, list[_Item]] = {}
    for item in reversed(new):
        waiting.setdefault(_base_name(item), []).append(item)
    moved, taken = [], set()
    for item in old:
        same_name = waiting.get(_base_name(item))
        if same_name:
            taken.add(same_name[-1].path)
            yield item, same_name.pop()
        else:
            moved.append(item)
    yield from zip(moved, (item for item in new if item.path not in taken), strict=False)


def _base_name(item: _Item) -> bytes:
    return item.path.rpartition(b"/")[2]


def _differing_entries(
    load: Loader, content: _Content, a: int, b: int
) -> Iterator[tuple[TreeEntry | None, TreeEntry | None]]:
    """Yield (entry of ``a``, entry of ``b``) for each name that differs, None for a side without it."""
    old, new = _differing_records(load, a, b)
    right_entries = _entries(new)
    right = next(right_entries, None)
    for left in _entries(old):
        while right is not None and right.name < left.name:
            yield None, right
            right = next(right_entries, None)
        if right is None or left.name < right.name:
            yield left, None
            continue
        if left.kind != right.kind or (left.node != right.node and content(left.node) != content(right.node)):
            yield left, right
        right = next(right_entries, None)
    while right is not None:
        yield None, right
        right = next(right_entries, None)


def _entries(records: Sequence[TreeView]) -> Iterator[TreeEntry]:
    for record in records:
        yield from record.entries()


def _differing_records(load: Loader, a: int, b: int) -> tuple[list[TreeView], list[TreeView]]:
    """Return the records of level 0 that only one of two directories has, in order.

    Both sides are opened level by level, the higher one first.  Records that both sides have at a level are dropped
    before they are read, and those of equal content before they are opened.
    """
    old, new = [a], [b]
    views = {a: load(a), b: load(b)}
    while level := max((view.level for view in views.values()), default=0):
        old, new = ([node for above in side for node in _opened(views[above], above, level)] for side in (old, new))
        common = set(old) & set(new)
        old, new = ([node for node in side if node not in common] for side in (old, new))
        views = {node: views.get(node) or load(node) for node in (*old, *new)}
        equal = {views[node].digest for node in old} & {views[node].digest for node in new}
        old, new = ([node for node in side if views[node].digest not in equal] for side in (old, new))
        views = {node: views[node] for node in (*old, *new)}
        if any(view.level >= level for view in views.values()):
            raise DamageError("a directory record contains itself")
    return [views[node] for node in old], [views[node] for node in new]


def _opened(view: TreeView, node: int, level: int) -> list[int]:
    return view.nodes() if view.level == level else [node]
