"""Reading a version from a remote: nothing is returned that was not compared with the hashes above it.

The log names the root's span with its hash, and the digest of the root.  A span names those below it with theirs, a
record the ids of its files and chunks.  So each object may lie, and each answer may be wrong: what comes is the
version, or an error that names the object, the version and the path.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from artstore.errors import DamageError
from artstore.ids import ContentHasher, content_id
from artstore.objects.failures import WrongAnswerError
from artstore.records.trees import Kind
from artstore.remotes.packs.lists import ListedPart, decode_chunks, decode_parts
from artstore.remotes.packs.located import (
    Below,
    Chunk,
    ChunkList,
    Content,
    FormPlace,
    LocatedEntry,
    LocatedRecord,
    identity,
    totals_of,
)
from artstore.remotes.packs.places import TREES, Fetch, Pack, PackDamageError, Place
from artstore.remotes.packs.ranges import joined
from artstore.remotes.packs.spans import Span, decompress
from artstore.remotes.packs.spans_ahead import SpansAhead
from artstore.storage.codec import decode

__all__ = ["FetchedChunk", "RemoteRoot", "RemoteTree"]

_SPAN_BYTES: Final = 48 << 20
"""Memory of the spans that a tree keeps, at least the last one."""
_WINDOW: Final = 7 << 20
"""Stored bytes of chunks that are fetched together."""


class RemoteRoot(NamedTuple):
    """The root of a version, as an entry of the log names it; ``entries`` are those at all depths.

    The root's record is the last one of the span whose stored bytes at ``place`` have the BLAKE3 ``hash``.
    """

    digest: bytes
    place: Place
    hash: bytes
    entries: int
    files: int
    bytes: int


class FetchedChunk(NamedTuple):
    """A chunk with its stored form and its content, which has its id."""

    chunk: Chunk
    stored: bytes
    content: bytes


class RemoteTree:
    """The tree of one version in a remote; not for use by several threads at once.

    ``version`` is its name in messages.
    """

    def __init__(self, fetch: Fetch, root: RemoteRoot, version: str) -> None:
        self._fetch = _or_nothing(fetch)
        self._root = root
        self._version = version
        self._spans: OrderedDict[bytes, Span] = OrderedDict()
        self._weight = 0
        self._root_below: Below | None = None
        self._ahead = SpansAhead(self._fetch)

    # -- forms ---------------------------------------------------------------------------------------------------------

    def _damage(self, pack: Pack, path: bytes, what: str) -> DamageError:
        place = f"{self._version}/{os.fsdecode(path.rstrip(b'/'))}" if path else self._version
        return PackDamageError.of(
            pack,
            what,
            message=f"{place} cannot be read from the remote: {what} in the object {pack.object_name}",
            hint="restore the object from a copy; 'artfs fsck --remote' names all that is lost with it",
        )

    def _verified(self, place: Place, digest: bytes, path: bytes) -> bytes:
        """Return the bytes at a place; ask once more past caches if they are others than those of the hash."""
        for fresh in (False, True):
            data = self._fetch(place.pack, place.offset, place.stored, fresh=fresh)
            if len(data) == place.stored and content_id(data) == digest:
                return data
        raise self._damage(place.pack, path, f"there are other bytes at {place.offset:,} than were stored")

    def form(self, form: FormPlace, path: bytes = b"") -> bytes:
        """Return the bytes of a set, manifest or other form, decompressed; raise `DamageError` if they are others."""
        stored = self._verified(form.place, form.hash, path)
        try:
            return decompress(stored, form.size)
        except DamageError as error:
            raise self._damage(form.place.pack, path, error.message) from error

    def _span(self, form: FormPlace, path: bytes) -> Span:
        span = self._spans.get(form.hash)
        if span is not None:
            self._spans.move_to_end(form.hash)
            return span
        stored = self._ahead.take(form) or self._verified(form.place, form.hash, path)
        try:
            span = Span(decompress(stored, form.size))
        except DamageError as error:
            raise self._damage(form.place.pack, path, error.message) from error
        self._ahead.name(span.spans)
        self._spans[form.hash] = span
        self._weight += span.weight
        while self._weight > _SPAN_BYTES and len(self._spans) > 1:
            self._weight -= self._spans.popitem(last=False)[1].weight
        return span

    # -- records -------------------------------------------------------------------------------------------------------

    @property
    def named_root(self) -> RemoteRoot:
        """The root, as the log names it."""
        return self._root

    @property
    def root(self) -> Below:
        """The root's record, as a record above it would name it."""
        if self._root_below is None:
            self._root_below = self._verified_root()
        return self._root_below

    def expect_many(self) -> None:
        """Fetch more records with each request: for who compares many places of the version."""
        self._ahead.expect_many()

    @property
    def packs_below_root(self) -> set[Pack]:
        """The packs with the spans that the root's span leads to: how far the records are scattered."""
        span = self._span(FormPlace(self._root.hash, 0, self._root.place), b"")
        return {each.place.pack for each in span.spans}

    def _verified_root(self) -> Below:
        root = self._root
        form = FormPlace(root.hash, 0, root.place)
        if root.place.pack.folder != TREES:
            raise self._damage(root.place.pack, b"", "the root is not in a tree pack")
        span = self._span(form, b"")
        form = form._replace(size=span.length)
        record = self._record(form, len(span) - 1, b"")
        found, totals = identity(record), totals_of(record)
        if found.digest != root.digest:
            raise self._damage(root.place.pack, b"", "the root has another digest than the log says")
        if (totals.inodes, totals.files, totals.bytes) != (root.entries, root.files, root.bytes):
            raise self._damage(root.place.pack, b"", "the root has other totals than the log")
        return Below(root.digest, found.form, totals, form, len(span) - 1)

    def record(self, below: Below, path: bytes = b"") -> LocatedRecord:
        """Return the record that another one names; each record that it names has its span.

        Raises `DamageError` if its content, times, modes or totals are others than the record above says.
        """
        assert below.span is not None
        record = self._record(below.span, below.record, path)
        try:
            found, totals = identity(record), totals_of(record)
        except DamageError as error:
            raise self._damage(below.span.place.pack, path, error.message) from error
        if found.digest != below.digest:
            raise self._damage(below.span.place.pack, path, "a directory record has another digest")
        if found.form != below.form:
            raise self._damage(below.span.place.pack, path, "a directory record has other times or modes")
        if totals != below.totals:
            raise self._damage(below.span.place.pack, path, "a directory record has other totals than the one above it")
        return record

    def _record(self, form: FormPlace, number: int, path: bytes) -> LocatedRecord:
        span = self._span(form, path)
        try:
            record = span.record(number)
        except DamageError as error:
            raise self._damage(form.place.pack, path, error.message) from error
        entries = record.entries
        if any(isinstance(entry.content, Below) and entry.content.span is None for entry in entries):
            entries = tuple([_with_span(entry, form) for entry in entries])
        children = tuple(
            [(name, below if below.span else below._replace(span=form)) for name, below in record.children]
        )
        return LocatedRecord(record.level, entries, children)

    def child(self, record: LocatedRecord, number: int, path: bytes) -> LocatedRecord:
        """Return a record below an index record; raise `DamageError` if its level or its names are not as that says."""
        last_name, below = record.children[number]
        child = self.record(below, path)
        names = [name for name, _ in child.children] or [entry.name for entry in child.entries]
        before = record.children[number - 1][0] if number else b""
        if child.level != record.level - 1 or not names or names[-1] != last_name or names[0] <= before:
            assert below.span is not None
            raise self._damage(below.span.place.pack, path, "a part of a directory is not the one that it says")
        return child

    def entries(self, directory: Below, path: bytes = b"") -> Iterator[LocatedEntry]:
        """Yield the entries of a directory in the order of their names."""
        yield from self._entries(self.record(directory, path), path)

    def _entries(self, record: LocatedRecord, path: bytes) -> Iterator[LocatedEntry]:
        yield from record.entries
        for number in range(len(record.children)):
            yield from self._entries(self.child(record, number, path), path)

    def find(self, directory: Below, name: bytes, path: bytes = b"") -> LocatedEntry | None:
        """Return the entry of a directory that has a name, or None; reads one record a level."""
        record = self.record(directory, path)
        while record.level:
            at = bisect_left(record.children, name, key=lambda child: child[0])
            if at == len(record.children):
                return None
            record = self.child(record, at, path)
        at = bisect_left(record.entries, name, key=lambda entry: entry.name)
        return record.entries[at] if at < len(record.entries) and record.entries[at].name == name else None

    def resolve(self, path: bytes) -> LocatedEntry | None:
        """Return the entry at a relative path, or None; links are not followed, and the root itself has no entry."""
        directory, above, entry = self.root, b"", None
        for name in path.split(b"/"):
            if entry is not None:
                if not isinstance(entry.content, Below):
                    return None
                directory = entry.content
            entry = self.find(directory, name, above)
            if entry is None:
                return None
            above = above + b"/" + name if above else name
        return entry

    def walk(self) -> Iterator[tuple[bytes, LocatedEntry]]:
        """Yield (path, entry) of everything, parents before children, in the order of names."""
        stack = [(self.entries(self.root), b"")]
        while stack:
            entries, above = stack[-1]
            entry = next(entries, None)
            if entry is None:
                stack.pop()
                continue
            path = above + entry.name
            yield path, entry
            if isinstance(entry.content, Below):
                stack.append((self.entries(entry.content, path), path + b"/"))

    # -- content -------------------------------------------------------------------------------------------------------

    def chunks(self, content: Content, size: int, path: bytes, start: int = 0) -> Iterator[tuple[int, Chunk]]:
        """Yield (offset, chunk) of a file of ``size`` bytes, from the chunk at byte ``start`` on."""
        if isinstance(content, ChunkList):
            yield from self._listed(content, size, path, 0, start)
            return
        position = 0
        for chunk in content:
            if position + chunk.size > start:
                yield position, chunk
            position += chunk.size

    def _listed(self, item: ChunkList, size: int, path: bytes, base: int, start: int) -> Iterator[tuple[int, Chunk]]:
        """Yield what `chunks` yields of the part of a file that a list has, which begins at byte ``base`` of it."""
        chunks, parts = self._list(item, size, path)
        for chunk in chunks:
            if base + chunk.size > start:
                yield base, chunk
            base += chunk.size
        for part in parts:
            if base + part.bytes > start:
                yield from self._listed(part.item, part.bytes, path, base, start)
            base += part.bytes

    def _list(self, item: ChunkList, size: int, path: bytes) -> tuple[list[Chunk], list[ListedPart]]:
        """Return the chunks or the lists that a list of ``size`` bytes of a file has."""
        raw = self.form(FormPlace(item.hash, item.size, item.place), path)
        try:
            chunks = [] if item.level else decode_chunks(raw)
            parts = decode_parts(raw, item.level) if item.level else []
        except DamageError as error:
            raise self._damage(item.place.pack, path, error.message) from error
        count = sum(part.item.chunks for part in parts) if item.level else len(chunks)
        if count != item.chunks or sum(part.bytes for part in parts) + sum(chunk.size for chunk in chunks) != size:
            raise self._damage(item.place.pack, path, "a list has other chunks than the record above it says")
        return chunks, parts

    def packs(self, content: Content, size: int, path: bytes) -> Iterator[Pack]:
        """Yield the packs with the lists and chunks of a file of ``size`` bytes; one may come several times."""
        if not isinstance(content, ChunkList):
            yield from [chunk.place.pack for chunk in content]
            return
        yield content.place.pack
        chunks, parts = self._list(content, size, path)
        yield from [chunk.place.pack for chunk in chunks]
        for part in parts:
            yield from self.packs(part.item, part.bytes, path)

    def fetch_chunks(self, chunks: Sequence[tuple[Chunk, bytes]]) -> list[FetchedChunk]:
        """Return chunks, given with the paths of their files, in order: few requests, each chunk verified."""
        found: list[FetchedChunk | None] = [None] * len(chunks)
        for pack, offset, length, members in joined([chunk.place for chunk, _ in chunks]):
            data = self._fetch(pack, offset, length)
            for number in members:
                chunk, path = chunks[number]
                start = chunk.place.offset - offset
                found[number] = self._checked(chunk, data[start : start + chunk.place.stored], path)
        return [item for item in found if item is not None]

    def _checked(self, chunk: Chunk, stored: bytes, path: bytes) -> FetchedChunk:
        """Return a chunk whose stored form has come; ask for it alone, past caches, if it is not that of its id."""
        place = chunk.place
        for attempt in range(2):
            if attempt:
                stored = self._fetch(place.pack, place.offset, place.stored, fresh=True)
            try:
                content = decode(chunk.codec, stored, chunk.size)
            except DamageError:
                continue
            if len(stored) == place.stored and content_id(content) == chunk.id:
                return FetchedChunk(chunk, stored, content)
        raise self._damage(place.pack, path, f"there are other bytes at {place.offset:,} than were stored")

    def read(self, entry: LocatedEntry, path: bytes, offset: int = 0, size: int | None = None) -> bytes:
        """Return verified bytes of a file or link, fewer than ``size`` only at its end."""
        assert not isinstance(entry.content, Below)
        length = self.length(entry)
        end = length if size is None else min(offset + size, length)
        pieces = []
        for base, data in self._fetched(entry.content, length, path, offset, end):
            pieces.append(data[max(offset - base, 0) : end - base])
        return b"".join(pieces)

    def pieces(self, entry: LocatedEntry, path: bytes) -> Iterator[bytes]:
        """Yield the content of a file or link, and prove the id of the whole at its end."""
        assert not isinstance(entry.content, Below)
        hasher = ContentHasher()
        for _, data in self._fetched(entry.content, self.length(entry), path, 0, self.length(entry)):
            hasher.update(data)
            yield data
        if hasher.digest() != entry.id:
            raise self.unproved(entry, path)

    def contradicted(self, below: Below, path: bytes) -> DamageError:
        """Return the error for a record that is not the one that the workspace has under its form id."""
        assert below.span is not None
        return self._damage(below.span.place.pack, path, "a directory record has the form id of another one")

    def unproved(self, entry: LocatedEntry, path: bytes) -> DamageError:
        """Return the error for a file whose chunks are right and are not those of its id."""
        content = entry.content
        place = content.place if isinstance(content, ChunkList) else None
        pack = place.pack if place is not None else self._root.place.pack
        return self._damage(pack, path, "the file has chunks of other content")

    @staticmethod
    def length(entry: LocatedEntry) -> int:
        """Return the bytes of an entry's content: of a reference, those of its record."""
        if entry.kind is Kind.REFERENCE and not isinstance(entry.content, ChunkList | Below):
            return sum(chunk.size for chunk in entry.content)
        return entry.size

    def _fetched(self, content: Content, size: int, path: bytes, start: int, end: int) -> Iterator[tuple[int, bytes]]:
        """Yield (offset, bytes) of the chunks that bytes ``[start, end)`` touch, a window of them at a time."""
        window: list[tuple[Chunk, bytes]] = []
        bases: list[int] = []
        held = 0
        for base, chunk in self.chunks(content, size, path, start):
            if base >= end:
                break
            window.append((chunk, path))
            bases.append(base)
            held += chunk.place.stored
            if held >= _WINDOW:
                yield from zip(bases, [item.content for item in self.fetch_chunks(window)], strict=True)
                window, bases, held = [], [], 0
        yield from zip(bases, [item.content for item in self.fetch_chunks(window)], strict=True)


def _or_nothing(fetch: Fetch) -> Fetch:
    """Return what fetches the same, but nothing of an object that ends before: so that the version is named."""

    def fetched(pack: Pack, offset: int, length: int, *, fresh: bool = False) -> bytes:
        try:
            return fetch(pack, offset, length, fresh=fresh)
        except WrongAnswerError:
            return b""

    return fetched


def _with_span(entry: LocatedEntry, form: FormPlace) -> LocatedEntry:
    content = entry.content
    if isinstance(content, Below) and content.span is None:
        return entry._replace(content=content._replace(span=form))
    return entry
