"""Making a version of a remote local: its records, chunks and lists become nodes of the workspace.

Records come after those below them, and content before the record that lists it, as in a put.  What the workspace has
already is not fetched: a directory by its form id, a file or chunk by its id.

Guarantees:

- A chunk is compared with its id before it is handed over, a file of several chunks with its own, and each record with
  the one above it; so the local root has the digest that the log names, with the times and modes of the version.
- Memory is bounded, whatever the size of the version: two windows of chunks, one of which is being fetched, and the
  records on the way down.  What fetches is called by two threads at once.
- An error leaves what was complete in a dead draft, where the next attempt finds it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from artstore.errors import DamageError
from artstore.ids import ContentHasher
from artstore.ingest.batch import EntryDraft, Ref
from artstore.ingest.building import ListBuilder
from artstore.ingest.staging import Stager
from artstore.interrupts import checkpoint
from artstore.records.nodes import BLOCK, FINE_BLOCK
from artstore.records.packing import CLASS_CONTENT, CLASS_TREE
from artstore.records.references import ReferenceRecord
from artstore.records.trees import Kind
from artstore.remotes.packs.located import Below, Chunk, ChunkList, Content, LocatedEntry, LocatedRecord
from artstore.remotes.packs.reading import FetchedChunk, RemoteTree
from artstore.rows.nodes import find_node, tree_view
from artstore.rows.snapshot import Snapshot
from artstore.storage.codec import RAW, Encoded, block_checksums
from artstore.store import Store

__all__ = ["import_tree"]

_WINDOW: Final = 7 << 20
"""Bytes of files whose chunks are fetched together."""
_WINDOW_FILES: Final = 2048
_MOST_SEEN: Final = 50_000
"""Directories that are remembered, in case that the version has them again."""
_BOTH: Final = (Kind.LINK, Kind.REFERENCE)
"""Kinds whose bytes have a form of their own, which is checked."""


class _Slot:
    """A record of the version, whose node is known once it is handed over."""

    __slots__ = ("ref",)

    def __init__(self) -> None:
        self.ref: Ref | None = None


@dataclass(slots=True)
class _Open:
    """A record whose children are being visited; ``path`` ends in a slash unless it is empty."""

    record: LocatedRecord
    path: bytes
    slot: _Slot
    below: dict[int, _Slot] = field(default_factory=dict)
    files: dict[int, Ref | None] = field(default_factory=dict)
    next: int = 0


@dataclass(frozen=True, slots=True)
class _File:
    """A file that waits for its content."""

    owner: _Open
    row: int
    entry: LocatedEntry

    @property
    def path(self) -> bytes:
        """Its path in the version."""
        return self.owner.path + self.entry.name


@dataclass(frozen=True, slots=True)
class _Known:
    """A record that the workspace has, or will have once what comes before it is handed over."""

    slot: _Slot
    form: bytes
    digest: bytes


_Step = _File | _Known | _Open
_Fetched = Future[list[FetchedChunk]]


class _Window(NamedTuple):
    """Steps that wait for chunks which are being fetched; ``present`` are the ids of files that need none."""

    steps: list[_Step]
    present: set[bytes]
    fetched: _Fetched


def import_tree(
    store: Store,
    tree: RemoteTree,
    stager: Stager,
    *,
    hints: bool = True,
    on_bytes: Callable[[int], None] | None = None,
) -> Ref:
    """Hand the nodes of a remote version over to a stager; return its root, to be committed.

    Without ``hints`` nothing is expected to be in the workspace.  ``on_bytes`` is called with the bytes of files as
    they are done.  Raises `DamageError`, with the object, the version and the path, for anything that is not as the log
    says, `StaleHintError` if content was reaped meanwhile, and the errors of fetching.
    """
    return _TreeImport(store, tree, stager, hints, on_bytes).run()


class _TreeImport:
    """Visit the records of a version, and hand over what they list, a window at a time."""

    def __init__(
        self, store: Store, tree: RemoteTree, stager: Stager, hints: bool, on_bytes: Callable[[int], None] | None
    ) -> None:
        self._store = store
        self._tree = tree
        self._stager = stager
        self._hints = hints
        self._on_bytes = on_bytes
        self._steps: list[_Step] = []
        self._ahead: _Window | None = None
        self._fetcher = ThreadPoolExecutor(1, "artfs-fetch")
        self._held = 0
        self._seen: set[bytes] = set()

    def run(self) -> Ref:
        """Hand over everything; return the root."""
        try:
            return self._run()
        finally:
            self._fetcher.shutdown(cancel_futures=True)

    def _run(self) -> Ref:
        root, slot = self._tree.root, _Slot()
        if self._has_tree(root, b""):
            return self._stager.known_tree(root.form, root.digest)
        stack = [_Open(self._tree.record(root), b"", slot)]
        while stack:
            top = stack[-1]
            opened = self._advance(top)
            if opened is not None:
                stack.append(opened)
            else:
                self._add(stack.pop())
        self._flush()
        self._hand_over(self._ahead)
        assert slot.ref is not None
        return slot.ref

    def _advance(self, top: _Open) -> _Open | None:
        """Visit the next children of a record, to the next one that is to be visited before; return that."""
        record = top.record
        rows = len(record.children) if record.level else len(record.entries)
        while top.next < rows:
            row = top.next
            top.next += 1
            below = record.children[row][1] if record.level else record.entries[row].content
            if not isinstance(below, Below):
                self._add(_File(top, row, record.entries[row]))
                continue
            slot = top.below[row] = _Slot()
            path = top.path if record.level else top.path + record.entries[row].name + b"/"
            if self._has_tree(below, path):
                self._add(_Known(slot, below.form, below.digest))
                continue
            child = self._tree.child(record, row, path) if record.level else self._tree.record(below, path)
            return _Open(child, path, slot)
        return None

    def _has_tree(self, below: Below, path: bytes) -> bool:
        """Return whether the workspace has a record, or will have it; raise `DamageError` if it is another one."""
        if below.form in self._seen:
            return True
        if len(self._seen) >= _MOST_SEEN:
            self._seen = set()
        self._seen.add(below.form)
        if not self._hints:
            return False
        with self._store.snapshot() as snapshot:
            node = snapshot.transaction.find(CLASS_TREE, below.form)
            if node is None:
                return False
            view = tree_view(snapshot.transaction, node)
        if (view.form, view.digest, view.totals) != (below.form, below.digest, below.totals):
            raise self._tree.contradicted(below, path)
        return True

    def _add(self, step: _Step) -> None:
        self._steps.append(step)
        if isinstance(step, _File):
            self._held += 0 if isinstance(step.entry.content, ChunkList) else self._tree.length(step.entry)
        if self._held >= _WINDOW or len(self._steps) >= _WINDOW_FILES:
            self._flush()

    # -- handing over --------------------------------------------------------------------------------------------------

    def _flush(self) -> None:
        """Begin to fetch the chunks that are lacking, and hand over what waits for those of the window before."""
        checkpoint()
        steps, self._steps, self._held = self._steps, [], 0
        lacking, present = self._lacking([step for step in steps if isinstance(step, _File)])
        before, self._ahead = self._ahead, _Window(steps, present, self._fetch(lacking))
        self._hand_over(before)

    def _fetch(self, lacking: list[tuple[Chunk, bytes]]) -> _Fetched:
        return self._fetcher.submit(self._tree.fetch_chunks, lacking)

    def _hand_over(self, window: _Window | None) -> None:
        """Hand over what a window has, in order."""
        if window is None:
            return
        fetched = {item.chunk.id: item for item in window.fetched.result()}
        for step in window.steps:
            if isinstance(step, _File):
                entry = step.entry
                is_present = entry.id in window.present and entry.kind not in _BOTH
                step.owner.files[step.row] = None if is_present else self._content(step, fetched)
                if self._on_bytes is not None and entry.kind is not Kind.REFERENCE:
                    self._on_bytes(entry.size)
            elif isinstance(step, _Known):
                step.slot.ref = self._stager.known_tree(step.form, step.digest)
            else:
                step.slot.ref = self._record(step)
            self._stager.flush_if_full()

    def _lacking(self, files: list[_File]) -> tuple[list[tuple[Chunk, bytes]], set[bytes]]:
        """Return the chunks to fetch for small files, with their paths, and the ids of files that are here."""
        lacking: dict[bytes, tuple[Chunk, bytes]] = {}
        present: set[bytes] = set()
        with self._store.snapshot() as snapshot:
            for file in files:
                entry, path = file.entry, file.path
                if self._has_content(snapshot, entry, path):
                    present.add(entry.id)
                elif not isinstance(entry.content, ChunkList):
                    for chunk in self._chunks_of(entry.content):
                        if len(entry.content) == 1 or not self._has_chunk(snapshot, chunk):
                            lacking.setdefault(chunk.id, (chunk, path))
        return list(lacking.values()), present

    @staticmethod
    def _chunks_of(content: Content | Below) -> tuple[Chunk, ...]:
        assert not isinstance(content, ChunkList | Below)
        return content

    def _has_content(self, snapshot: Snapshot, entry: LocatedEntry, path: bytes) -> bool:
        """Return whether the workspace has the content of a file; raise `DamageError` if it has another length."""
        found = find_node(snapshot.transaction, CLASS_CONTENT, entry.id) if self._hints else None
        if found is None:
            return False
        size = snapshot.content(found[0]).size
        said = self._tree.length(entry)
        if size != said:
            raise self._tree.unproved(entry, path)
        return True

    def _has_chunk(self, snapshot: Snapshot, chunk: Chunk) -> bool:
        found = find_node(snapshot.transaction, CLASS_CONTENT, chunk.id) if self._hints else None
        return found is not None and snapshot.content(found[0]).size == chunk.size

    def _content(self, file: _File, fetched: dict[bytes, FetchedChunk]) -> Ref:
        """Hand over the content of a file; return its node."""
        entry, path = file.entry, file.path
        if isinstance(entry.content, ChunkList):
            return self._large(file, entry.content)
        chunks = self._chunks_of(entry.content)
        if len(chunks) == 1:
            ref, content = self._chunk(chunks[0], fetched.get(entry.id), file)  # which has the id of the file
            if entry.kind in _BOTH:
                self._check_text(entry, content, path)
            return ref
        builder, hasher = ListBuilder(self._stager), ContentHasher()
        for chunk in chunks:
            ref, content = self._chunk(chunk, fetched.get(chunk.id), file)
            builder.add(ref, chunk.size)
            hasher.update(content)
        if hasher.digest() != entry.id:
            raise self._tree.unproved(entry, path)
        return builder.finish(entry.id)

    def _chunk(self, chunk: Chunk, fetched: FetchedChunk | None, file: _File) -> tuple[Ref, bytes]:
        """Hand over a chunk that was fetched, or that the workspace has; return its node and its content."""
        if fetched is None:
            with self._store.snapshot() as snapshot:
                found = find_node(snapshot.transaction, CLASS_CONTENT, chunk.id)
                content = b"" if found is None else snapshot.read(found[0], 0, chunk.size + 1)
            if found is not None and len(content) == chunk.size:
                return self._stager.chunk(chunk.id, chunk.size, None), content
            fetched = self._tree.fetch_chunks([(chunk, file.path)])[0]  # reaped since it was looked up
        if len(fetched.content) != chunk.size:
            raise self._tree.unproved(file.entry, file.path)
        checksums = block_checksums(fetched.stored, _block_of(chunk, fetched.stored))
        encoded = Encoded(chunk.codec, fetched.stored, checksums)
        return self._stager.chunk(chunk.id, chunk.size, encoded), fetched.content

    def _large(self, file: _File, content: ChunkList) -> Ref:
        """Hand over a file with a list, a window at a time; its own id is proved at the end."""
        entry, path = file.entry, file.path
        builder, hasher = ListBuilder(self._stager), ContentHasher()
        before: tuple[list[Chunk], _Fetched] | None = None
        for window in _windows(chunk for _, chunk in self._tree.chunks(content, entry.size, path)):
            checkpoint()
            with self._store.snapshot() as snapshot:
                lacking = {chunk.id: chunk for chunk in window if not self._has_chunk(snapshot, chunk)}
            ahead = window, self._fetch([(chunk, path) for chunk in lacking.values()])
            self._add_window(builder, hasher, before, file)
            before = ahead
        self._add_window(builder, hasher, before, file)
        if hasher.digest() != entry.id:
            raise self._tree.unproved(entry, path)
        return builder.finish(entry.id)

    def _add_window(
        self, builder: ListBuilder, hasher: ContentHasher, window: tuple[list[Chunk], _Fetched] | None, file: _File
    ) -> None:
        chunks, fetching = ([], None) if window is None else window
        fetched = {item.chunk.id: item for item in fetching.result()} if fetching is not None else {}
        for chunk in chunks:
            ref, content = self._chunk(chunk, fetched.get(chunk.id), file)
            builder.add(ref, chunk.size)
            hasher.update(content)
            self._stager.flush_if_full()

    def _check_text(self, entry: LocatedEntry, content: bytes, path: bytes) -> None:
        """Raise `DamageError` for the text of a link, or a reference's record, that no put has made."""
        if entry.kind is Kind.LINK:
            is_right = b"\0" not in content
        else:
            try:
                is_right = ReferenceRecord.decode(content).size == entry.size
            except DamageError:
                is_right = False
        if not is_right:
            raise self._tree.unproved(entry, path)

    def _record(self, opened: _Open) -> Ref:
        """Hand over a record, all of whose children are handed over."""
        record = opened.record
        refs = {row: slot.ref for row, slot in opened.below.items()}
        if record.level:
            children = []
            for row, (name, _) in enumerate(record.children):
                ref = refs[row]
                assert ref is not None
                children.append((name, ref))
            return self._stager.index(record.level, children)
        drafts = []
        for row, (name, kind, size, ident, mtime_ns, mode, content) in enumerate(record.entries):
            ref, form = opened.files.get(row), b""
            if isinstance(content, Below):
                ref, form = refs[row], content.form
            drafts.append(EntryDraft(name, kind, size, ident, ref, mtime_ns, mode, form))
        return self._stager.tree(drafts)


def _windows(chunks: Iterable[Chunk]) -> Iterator[list[Chunk]]:
    """Group the chunks of a file, so that each group has about `_WINDOW` bytes."""
    window: list[Chunk] = []
    held = 0
    for chunk in chunks:
        window.append(chunk)
        held += chunk.size
        if held >= _WINDOW:
            yield window
            window, held = [], 0
    if window:
        yield window


def _block_of(chunk: Chunk, stored: bytes) -> int:
    """Return the bytes that each checksum of a local stored form covers."""
    return FINE_BLOCK if chunk.codec == RAW and len(stored) > BLOCK else BLOCK
