"""Make a tree from a stored one: set, remove or merge some paths, and refer to the rest unchanged.

The work is proportional to the changes and the folders that contain them.  In a folder with many records, unchanged
records are reused whole: after a change, the rule that cuts sequences finds the same cuts
(`artstore.ingest.content_cuts`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from artstore.arguments import raw_path
from artstore.errors import ExistsError, InvalidInputError, NotFoundError
from artstore.ingest.batch import EntryDraft, Ref
from artstore.ingest.building import DirectoryBuilder, directory_entry
from artstore.ingest.staging import Stager, draft_of
from artstore.names import unknown_path
from artstore.records.trees import FANOUT, NEW_FOLDER_MODE, Kind, TreeView, is_entry_name
from artstore.rows import trees
from artstore.rows.snapshot import Snapshot
from artstore.store import Store

__all__ = ["Edits", "apply_edits", "entry_at", "merge_edits", "parse_path", "paths_below", "target_path"]


def parse_path(path: bytes) -> list[bytes]:
    """Return the components of a path inside a version; raise `InvalidInputError` if the path is invalid."""
    names = path.strip(b"/").split(b"/")
    for name in names:
        if not is_entry_name(name):
            raise InvalidInputError(f"{os.fsdecode(path)!r} is not a path inside a version")
    return names


def target_path(to: str | bytes) -> bytes:
    """Return the place for something new in a version; raise `InvalidInputError` if it is an absolute path."""
    raw = raw_path(to)
    if raw.startswith(b"/"):
        raise InvalidInputError(
            f"{os.fsdecode(raw)!r} is not a path inside a version: it is absolute",
            hint=f"write {os.fsdecode(raw.strip(b'/')) or 'a name'!r}",
        )
    return raw


class Edits:
    """Changes to one folder, by name: an entry to set, None for an entry to remove, or changes inside a subfolder."""

    __slots__ = ("below", "entries", "starts_empty")

    def __init__(self) -> None:
        self.entries: dict[bytes, EntryDraft | None] = {}
        self.below: dict[bytes, Edits] = {}
        self.starts_empty = False
        """Whether the folder starts empty, and so replaces any earlier entry."""

    def __bool__(self) -> bool:
        return bool(self.entries or self.below)

    def put(self, path: bytes, entry: EntryDraft | None) -> None:
        """Set the entry at a path, under its last component, or remove it; missing parent folders are created.

        This replaces earlier changes to the path and to all paths below it.
        """
        *above, name = parse_path(path)
        edits = self
        for each in above:
            edits = edits.folder(each)
        edits.below.pop(name, None)
        edits.entries[name] = None if entry is None else entry._replace(name=name)

    def folder(self, name: bytes) -> Edits:
        """Return the changes inside a folder of this one."""
        edits = self.below.setdefault(name, Edits())
        if name in self.entries and self.entries[name] is None:
            del self.entries[name]
            edits.starts_empty = True
        return edits


def entry_at(snapshot: Snapshot, root: int, path: bytes, name: str) -> EntryDraft:
    """Return the entry at a path of a tree; raise `NotFoundError`, with the ``name`` of the tree, if there is none."""
    entry = snapshot.resolve(root, b"/".join(parse_path(path)))
    if entry is None:
        raise _no_path(name, path)
    return draft_of(snapshot, entry)


def _no_path(name: str, path: bytes) -> NotFoundError:
    if ":" in name:
        return unknown_path(name, path)
    return NotFoundError(f"{name} has no {os.fsdecode(path)!r}", hint="write the whole path within it")


def paths_below(snapshot: Snapshot, root: int, matches: Callable[[bytes, bool], bool]) -> Iterator[bytes]:
    """Yield the paths of a tree for which ``matches(path, is a folder)`` is true, without paths below these."""
    waiting = [(root, b"")]
    while waiting:
        node, above = waiting.pop()
        for entry, _ in trees.entries_from(snapshot.tree, node):
            path = above + entry.name
            is_folder = entry.kind == Kind.DIRECTORY
            if matches(path, is_folder):
                yield path
            elif is_folder:
                waiting.append((entry.node, path + b"/"))


# -- merging -----------------------------------------------------------------------------------------------------------

Settle = Callable[[bytes, EntryDraft, EntryDraft], bool]
"""Return whether, at a path, the second of two different entries replaces the first; may raise."""


def merge_edits(snapshot: Snapshot, lower: int, upper: int, edits: Edits, settle: Settle, path: bytes = b"") -> None:
    """Add to ``edits`` the changes that merge the entries of the folder ``upper`` into the folder ``lower``.

    Folders of the same name are merged; for any other entries that differ, ``settle`` decides.  In a folder that
    differs, equal files get the times and modes of ``upper``, which its other files may name.  The work is proportional
    to ``upper``'s entries in folders that both have.
    """
    for entry, _ in trees.entries_from(snapshot.tree, upper):
        present = trees.lookup(snapshot.tree, lower, entry.name)
        own = draft_of(snapshot, entry)
        if present is None:
            edits.entries[entry.name] = own
            continue
        other = draft_of(snapshot, present[0])
        if (other.id, other.kind) == (own.id, own.kind):
            if own.kind != Kind.DIRECTORY and (other.mtime_ns, other.mode) != (own.mtime_ns, own.mode):
                edits.entries[entry.name] = own
            continue
        full = path + entry.name
        if other.kind == own.kind == Kind.DIRECTORY:
            below = Edits()
            merge_edits(snapshot, present[0].node, entry.node, below, settle, full + b"/")
            if below:
                edits.below[entry.name] = below
        elif settle(full, other, own):
            edits.entries[entry.name] = own


# -- applying ----------------------------------------------------------------------------------------------------------


class _Record(NamedTuple):
    """One record of level 0 of a folder: its last name and its node."""

    last_name: bytes
    node: int


def apply_edits(store: Store, stager: Stager, root: int | None, edits: Edits) -> Ref:
    """Stage the tree that results from applying ``edits`` to ``root``; None stands for an empty folder.

    A folder that loses its last entry is removed too, unless it is the root.  Raises `NotFoundError` if a path to
    remove does not exist, `ExistsError` if a path that must be a folder is something else.
    """
    return _Applying(store, stager).folder(root, edits, b"") or DirectoryBuilder(stager).finish()


class _Applying:
    def __init__(self, store: Store, stager: Stager) -> None:
        self._store = store
        self._stager = stager

    def folder(self, node: int | None, edits: Edits, path: bytes) -> Ref | None:
        """Stage a folder; return None if the changes remove its last entry."""
        wanted = dict(edits.entries)
        for name, below in edits.below.items():
            place = path + name
            put = wanted.get(name)
            under = None if below.starts_empty else self._folder_below(node, put, name, place)
            ref = self.folder(under, below, place + b"/")
            wanted[name] = None if ref is None else self._entry_of(node, put, under, below, name, ref)
        with self._store.snapshot() as snapshot:
            before = 0 if node is None else snapshot.tree(node).totals.entries
            present = {name for name in wanted if node is not None and trees.lookup(snapshot.tree, node, name)}
        for name, entry in edits.entries.items():
            if entry is None and name not in present:
                raise NotFoundError(f"{os.fsdecode(path + name)!r}, which is to be removed, no longer exists")
        set_ = sum(entry is not None for entry in wanted.values())
        after = before - len(present) + set_
        if not after and (present or node is not None):
            return None
        return self._build(node, dict(sorted(wanted.items())), many=after > FANOUT)

    def _entry_of(
        self, node: int | None, put: EntryDraft | None, under: int | None, below: Edits, name: bytes, ref: Ref
    ) -> EntryDraft:
        """Return the entry of a changed folder: its time is the present one if its list of names changes."""
        mtime_ns, mode = time.time_ns(), NEW_FOLDER_MODE
        with self._store.snapshot() as snapshot:
            before = put
            if before is None and under is not None and node is not None:
                entry = trees.lookup(snapshot.tree, node, name)
                before = None if entry is None else draft_of(snapshot, entry[0])
            if before is not None and before.kind is Kind.DIRECTORY:
                mode = before.mode
                listed = {each: entry is not None for each, entry in below.entries.items()}
                listed |= dict.fromkeys(below.below, True)
                if under is not None and all(
                    is_kept == (trees.lookup(snapshot.tree, under, each) is not None)
                    for each, is_kept in listed.items()
                ):
                    mtime_ns = before.mtime_ns
        return directory_entry(name, ref, mtime_ns, mode)

    def _folder_below(self, node: int | None, put: EntryDraft | None, name: bytes, place: bytes) -> int | None:
        """Return the node of the subfolder to change, or None if it begins empty."""
        with self._store.snapshot() as snapshot:
            if put is not None:
                found_kind = put.kind
                found = snapshot.tree_node(put.form) if put.kind == Kind.DIRECTORY else 0
            else:
                entry = None if node is None else trees.lookup(snapshot.tree, node, name)
                if entry is None:
                    return None
                found_kind, found = entry[0].kind, entry[0].node
        if found_kind != Kind.DIRECTORY:
            raise ExistsError(f"{os.fsdecode(place)!r} exists and is not a folder")
        return found

    def _build(self, node: int | None, wanted: dict[bytes, EntryDraft | None], *, many: bool) -> Ref:
        builder = DirectoryBuilder(self._stager, many=many)
        names = iter(wanted)
        name = next(names, None)
        records = [] if node is None else self._records(node)
        for position, record in enumerate(records):
            last = position == len(records) - 1
            if many and not last and builder.between_records and (name is None or name > record.last_name):
                with self._store.snapshot() as snapshot:
                    view = snapshot.tree(record.node)
                builder.add_record(record.last_name, self._stager.known_tree(view.form, view.digest))
                self._stager.flush_if_full()
                continue
            for entry in self._entries(record.node):
                while name is not None and name < entry.name:
                    self._add(builder, wanted[name])
                    name = next(names, None)
                if name == entry.name:
                    self._add(builder, wanted[name])
                    name = next(names, None)
                else:
                    self._add(builder, entry)
        while name is not None:
            self._add(builder, wanted[name])
            name = next(names, None)
        return builder.finish()

    def _add(self, builder: DirectoryBuilder, entry: EntryDraft | None) -> None:
        if entry is not None:
            builder.add(entry)
            self._stager.flush_if_full()

    def _entries(self, node: int) -> list[EntryDraft]:
        with self._store.snapshot() as snapshot:
            return [draft_of(snapshot, entry) for entry in snapshot.tree(node).entries()]

    def _records(self, node: int) -> list[_Record]:
        """Return a folder's records of level 0, in order."""
        with self._store.snapshot() as snapshot:
            return list(_records_below(snapshot, snapshot.tree(node), _Record(b"", node)))


def _records_below(snapshot: Snapshot, view: TreeView, place: _Record) -> Iterator[_Record]:
    if not view.level:
        yield place
        return
    for child in view.children():
        below = trees.record_below(snapshot.tree, view, child)
        yield from _records_below(snapshot, below, _Record(child.last_name, child.node))
