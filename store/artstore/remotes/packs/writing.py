"""Writing a version of a workspace as the objects of a remote.

Each record is written after those below it, into spans that are written one after another.  A directory or file that
the base version has too is not written again, but named where it lies; so is a chunk that ``find`` knows.

Guarantees:

- What is written has the digest and the form id of the local record, or nothing comes of it.
- Memory is bounded, whatever the size of the version: one object of each kind, a span, and the records on the way down.
- No snapshot outlives a window of chunks; the caller holds the version, by a lease or as its draft.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from artstore.errors import DamageError
from artstore.interrupts import checkpoint
from artstore.records.trees import TreeEntry, TreeView
from artstore.remotes.packs.base_trees import BaseDirectory
from artstore.remotes.packs.containers import MANIFEST, RECORD, SET
from artstore.remotes.packs.content_output import ContentOutput, Find, Sent
from artstore.remotes.packs.located import Below, FormPlace, Identity, LocatedEntry, LocatedRecord, identity, totals_of
from artstore.remotes.packs.manifests import AddedPack, PushManifest, encode_manifest
from artstore.remotes.packs.output import TREES_TARGET, PackOutput
from artstore.remotes.packs.pack_sets import without_listed, write_set
from artstore.remotes.packs.places import Pack
from artstore.remotes.packs.reading import RemoteRoot, RemoteTree
from artstore.remotes.packs.span_output import PlacedRecord, SpanOutput
from artstore.rows.nodes import node_payload, tree_view
from artstore.store import Store

__all__ = ["BaseVersion", "WrittenVersion", "write_version"]

MOST_TREE_PACKS: Final = 24
"""Tree packs with records of a base version from which records are taken, at most, beyond what its size needs."""
_FILE_BYTES: Final = 64
"""Bytes of records for a file, and bytes of content for a byte of lists: estimates."""
_CONTENT_BYTES: Final = 3000
_MOST_WAITING: Final = 2048
"""Entries of the top directory whose records wait for the last span, at most."""
_MOST_PLACED: Final = 20_000
"""Directories whose places are kept, in case that the version has them again."""


class BaseVersion(NamedTuple):
    """A version of the remote that the new one has much of: its tree, and where the set of its packs lies."""

    tree: RemoteTree
    packs: FormPlace


class WrittenVersion(NamedTuple):
    """What a version has become: its root, the push manifest, records, and the objects, the manifest's own last.

    ``packs`` is the set of the ``total`` packs that the version uses.  ``used`` are those that were added, or found by
    the caller's table or in a file of the base; the others are of the set of the base.  ``unproved`` are those of them
    that only the table has: whether they still stand is not known.  ``sent`` are the stored bytes of added chunks.
    """

    root: RemoteRoot
    manifest: FormPlace
    records: list[FormPlace]
    objects: list[AddedPack]
    packs: FormPlace
    total: int
    used: frozenset[Pack]
    unproved: frozenset[Pack]
    sent: int


def write_version(
    store: Store,
    root: int,
    name: str,
    output: PackOutput,
    *,
    find: Find,
    base: BaseVersion | None = None,
    records: Sequence[bytes] = (),
) -> WrittenVersion:
    """Write the tree below the directory record ``root``, which the caller holds, as objects of a new ``output``.

    ``name`` is that of the version in messages, ``records`` are what the entry of the log leads to in addition.
    Nothing refers to the objects until the caller's entry does.  Raises `DamageError` for content that is damaged
    here, and the errors of the sink.
    """
    writer = _VersionWriter(store, name, output, find, base)
    place = writer.write(root)
    forms = [output.form(RECORD, record) for record in records]
    packs, total = writer.packs()
    manifest = PushManifest(tuple(sorted(output.added, key=lambda added: added.pack.id)), packs, total)
    form = output.form(MANIFEST, encode_manifest(manifest), stay=True)
    output.finish()
    return WrittenVersion(
        place, form, forms, output.added, packs, total, frozenset(writer.used), writer.unproved(), output.data_bytes
    )


@dataclass(slots=True)
class _Open:
    """A record whose children are being written; ``row`` is its row in the record above, ``base`` that directory."""

    node: int
    path: bytes
    base: BaseDirectory | None
    row: int
    view: TreeView
    rows: list[TreeEntry]
    names: list[bytes]
    waiting: list[tuple[int, int, bytes, BaseDirectory | None]]
    done: dict[int, Below | PlacedRecord | _Waiting] = field(default_factory=dict)


class _Waiting(NamedTuple):
    """A record of the top directory, which goes into the last span; the content of its files is sent."""

    opened: _Open
    files: dict[int, Sent]


class _VersionWriter:
    """Walk a version, and write each record after those below it."""

    def __init__(self, store: Store, name: str, output: PackOutput, find: Find, base: BaseVersion | None) -> None:
        self._store = store
        self._name = name
        self._output = output
        self._base = base
        self._content = ContentOutput(store, output, find, self._shown)
        self._spans = SpanOutput(output)
        self._placed: dict[int, PlacedRecord] = {}
        self._waiting_rows = 0
        self._has_base_records = False
        self._keeps_records = True
        self._base_set = b""

    def _shown(self, path: bytes) -> str:
        return f"{self._name}/{os.fsdecode(path.rstrip(b'/'))}" if path else self._name

    def write(self, root: int) -> RemoteRoot:
        """Write everything; return the root, as the log names it."""
        base = None
        if self._base is not None:
            base = BaseDirectory(self._base.tree, self._base.tree.root, b"")
            with self._store.snapshot() as snapshot:
                view = snapshot.tree(root)
            self._look_at_base(self._base)
            if view.form == base.form and self._keeps_records:
                self._has_base_records = True
                return self._base.tree.named_root
        stack = [self._open(root, b"", base, 0)]
        while True:
            top = stack[-1]
            if top.waiting:
                row, node, path, below = top.waiting.pop()
                placed = self._placed.get(node)
                if placed is not None:
                    top.done[row] = placed
                else:
                    stack.append(self._open(node, path, below, row))
                continue
            files = self._files(stack.pop())
            if stack and self._can_wait(top):
                stack[-1].done[top.row] = _Waiting(top, files)
                continue
            placed = self._place(top, files)
            if not stack:
                form, totals = self._spans.finish(placed), placed.totals
                return RemoteRoot(placed.ids.digest, form.place, form.hash, totals.inodes, totals.files, totals.bytes)
            stack[-1].done[top.row] = placed
            if len(self._placed) >= _MOST_PLACED:
                self._placed = {}
            self._placed[top.node] = placed

    def _look_at_base(self, base: BaseVersion) -> None:
        """Decide whether the records of the base version are taken, or written again because they are scattered."""
        self._base_set = base.tree.form(base.packs)
        base.tree.expect_many()
        root = base.tree.named_root
        needed = (root.files * _FILE_BYTES + root.bytes // _CONTENT_BYTES) // TREES_TARGET
        self._keeps_records = len(base.tree.packs_below_root) <= MOST_TREE_PACKS + 2 * needed
        if not self._keeps_records:
            tree = base.tree
            self._content.listed = lambda item, size, path: (chunk for _, chunk in tree.chunks(item, size, path))

    def _open(self, node: int, path: bytes, base: BaseDirectory | None, row: int) -> _Open:
        """Return a record whose children are still to be written, but for those that the base version has."""
        checkpoint()
        with self._store.snapshot() as snapshot:
            view = tree_view(snapshot.transaction, node)
            rows = [] if view.level else list(view.entries())
            below = [(entry.name, entry.node, at) for at, entry in enumerate(rows) if entry.is_directory]
            if view.level:
                below = [(child.last_name, child.node, at) for at, child in enumerate(view.children())]
            forms = [node_payload(snapshot.transaction, each)[2:34] for _, each, _ in below]
        names = [name for name, *_ in below] if view.level else []
        opened = _Open(node, path, base, row, view, rows, names, [])
        for (name, child, at), form in zip(below, forms, strict=True):
            self._compare(opened, name, child, at, form)
        opened.waiting.reverse()
        return opened

    def _compare(self, opened: _Open, name: bytes, child: int, row: int, form: bytes) -> None:
        """Take a child from the base version, if that has the same, or let it wait to be written."""
        base, level = opened.base, opened.view.level
        path = opened.path if level else opened.path + name + b"/"
        there: Below | None = None
        below = base
        if base is not None and level:
            there = base.part(level - 1, name, form)
        elif base is not None:
            entry = base.entry(name)
            content = None if entry is None else entry.content
            below = None
            if isinstance(content, Below) and self._base is not None:
                there = content if content.form == form else None
                below = BaseDirectory(self._base.tree, content, path.rstrip(b"/"))
        if there is not None and self._keeps_records:
            self._has_base_records = True
            opened.done[row] = there
        else:
            opened.waiting.append((row, child, path, below))

    def _can_wait(self, opened: _Open) -> bool:
        """Return whether a record waits for the last span, so that the root's span leads to all folders at the top.

        Reading anything then takes one request less, and the spans next to it are known.
        """
        if opened.path or opened.view.level or self._waiting_rows + len(opened.rows) > _MOST_WAITING:
            return False
        self._waiting_rows += len(opened.rows)
        return True

    def _place(self, opened: _Open, files: dict[int, Sent]) -> PlacedRecord:
        """Write a record whose children are done."""
        below = {
            row: self._place(*each) if isinstance(each, _Waiting) else each for row, each in sorted(opened.done.items())
        }
        self._spans.make_space()
        done = {row: self._spans.below(each) for row, each in below.items()}
        if opened.view.level:
            children = tuple([(name, done[row]) for row, name in enumerate(opened.names)])
            record = LocatedRecord(opened.view.level, (), children)
        else:
            entries = []
            for row, entry in enumerate(opened.rows):
                sent = files.get(row)
                ident, content = (done[row].digest, done[row]) if sent is None else sent
                size = 0 if sent is None else entry.size
                entries.append(LocatedEntry(entry.name, entry.kind, size, ident, entry.mtime_ns, entry.mode, content))
            record = LocatedRecord(0, tuple(entries), ())
        ids, totals = identity(record), totals_of(record)
        if ids != Identity(opened.view.digest, opened.view.form) or totals != opened.view.totals:
            raise DamageError(f"the record of the directory {self._shown(opened.path)} is damaged", hint="artfs fsck")
        return self._spans.add(record, ids, totals)

    def _files(self, opened: _Open) -> dict[int, Sent]:
        """Send the content of a record's files; return it by row."""
        rows = [row for row, entry in enumerate(opened.rows) if not entry.is_directory]
        entries = [opened.rows[row] for row in rows]
        known: dict[bytes, Sent] = {}
        if opened.base is not None:
            for entry in entries:
                there = opened.base.entry(entry.name)
                if there is not None and not isinstance(there.content, Below):
                    known[entry.name] = Sent(there.id, there.content)
        return dict(zip(rows, self._content.files(entries, known, opened.path), strict=True))

    @property
    def used(self) -> set[Pack]:
        """The packs that the version is known to use: those that were begun, and those of chunks that were found."""
        moved = self._output.moved
        return {moved.get(pack, pack) for pack in self._content.used} | self._output.packs

    def unproved(self) -> frozenset[Pack]:
        """Return the packs that only the caller's table has."""
        found = self.used - self._output.packs
        if self._base is None or not found:
            return frozenset(found)
        return frozenset(without_listed(self._base_set, self._base.tree.form, found))

    def packs(self) -> tuple[FormPlace, int]:
        """Write the set of the packs that the version uses; return its place and their number.

        With a record or list of the base version its whole set is taken: what that needs is not looked up.
        """
        output = self._output
        output.settle()
        used = self.used
        has_parts = self._has_base_records or self._content.has_base_lists
        base = self._base_set if self._base is not None and has_parts else None
        load = self._base.tree.form if self._base is not None else _no_part
        form, total = write_set(used, base, load, lambda raw: output.form(SET, raw, stay=True))
        return form, total


def _no_part(form: FormPlace) -> bytes:
    raise DamageError("a set of packs without a base has a part")
