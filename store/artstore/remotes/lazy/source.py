"""Nodes of versions in remotes: directory records and content of files, each compared with the hashes above it.

A row of VIEWS, which was made from the log, names the span of a version's root with its hash, and the root's digest.
A span that has been compared names the spans below it with theirs; these get numbers in the cache of the user, together
with what they were named with, so that a number leads to the same bytes in every process.  The records of a span become
`TreeView` objects, whose rows have such numbers; so paths, listings, inodes and differences need to know nothing of it.

Chunks are fetched whole and compared with their ids.  The id of a file of several chunks is not proved by reading a
part of it, so nothing is looked up by such an id.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import lmdb

from artstore.errors import ArtfsError, DamageError, NotFoundError, RefusedError
from artstore.ids import Buffer
from artstore.objects.opening import open_store
from artstore.records.lazy_nodes import CONTENT, RECORD, ROOT, LazyNode, decode
from artstore.records.packing import CLASS_CONTENT
from artstore.records.trees import TreeView
from artstore.records.views import SpanPlace
from artstore.remotes.connection import decode_description
from artstore.remotes.lazy.bounded import Bounded
from artstore.remotes.lazy.cache import KnownSpan, RangeCache, cache_of_user
from artstore.remotes.lazy.contents import Lists, Piece, pieces_between
from artstore.remotes.lazy.failures import ToldError, telling
from artstore.remotes.lazy.ranges import Ranges
from artstore.remotes.lazy.spans import LoadedSpan, as_chunk, as_form, as_span, checked, damage
from artstore.remotes.packs.located import (
    Below,
    Chunk,
    ChunkList,
    FormPlace,
    LocatedEntry,
)
from artstore.remotes.packs.places import TREES, Pack, Place
from artstore.remotes.packs.ranges import LONGEST
from artstore.remotes.packs.reading import RemoteTree
from artstore.rows.content import ContentInfo
from artstore.rows.nodes import find_node
from artstore.rows.remotes import all_remotes
from artstore.rows.snapshot import Snapshot
from artstore.store import Store

__all__ = ["Lazy", "open_lazy"]

_SPAN_BYTES: Final = 48 << 20
_VIEW_BYTES: Final = 32 << 20
_MOST_AHEAD: Final = 64
_GROWTH: Final = 4
_FIRST_WINDOW: Final = 256 << 10
_MOST_READERS: Final = 64
_RUNS: Final = 2
"""The read in sequence at which more is fetched than was asked for."""


class LazyPlan:
    """What is to be fetched into the cache: see `artstore.rows.lazy_source.Plan`."""

    def __init__(self, parts: Sequence[tuple[Ranges, Sequence[Place]]]) -> None:
        self._parts = parts
        self.bytes = sum(place.stored for _, places in parts for place in places)

    def fetch(self) -> Iterator[int]:
        """Fetch everything; yield the bytes of each request."""
        for ranges, places in self._parts:
            yield from ranges.bring_all(places)


@dataclass(slots=True)
class _Reader:
    """One who reads a file in sequence: up to ``position`` so far, in ``reads``; up to ``frontier`` was asked for."""

    position: int = 0
    reads: int = 0
    window: int = 0
    frontier: int = 0


class Lazy:
    """The nodes of the remotes that a workspace knows, for one process: see `artstore.rows.lazy_source.LazySource`."""

    def __init__(self, store: Store, cache: RangeCache | None) -> None:
        self._waits = store.waits
        self._threads = store.has_threads
        self._cache = cache
        self._lock = threading.Lock()
        self._ranges: dict[bytes, Ranges] = {}
        self._spans: Bounded[int, LoadedSpan] = Bounded(_SPAN_BYTES)
        self._views: Bounded[int, TreeView] = Bounded(_VIEW_BYTES)
        self._lists = Lists()
        self._following = 0
        self._count = 1
        self._readers: OrderedDict[int, _Reader] = OrderedDict()

    # -- records -------------------------------------------------------------------------------------------------------

    def tree(self, snapshot: Snapshot, node: int) -> TreeView:
        """Return a directory record; raise `DamageError` for anything that is not as the log says."""
        view = self._views.get(node)
        if view is None:
            place = decode(node)
            view = self._root(snapshot, place.span) if place.kind == ROOT else self._record(snapshot, place)
            self._views.put(node, view, view.footprint)
        return view

    def _root(self, snapshot: Snapshot, serial: int) -> TreeView:
        version = snapshot.recorded_version(serial)
        place = None if snapshot.views is None else snapshot.views.place(serial)
        if version is None or place is None:
            raise NotFoundError("the version is not in the remote any more")
        title = _title(snapshot, serial)
        form = _form_of(place.root)
        number = self._number(place.remote, [form], title)[0]
        loaded = self._load(snapshot, number, KnownSpan(place.remote, form, title))
        view = loaded.view(len(loaded.span) - 1)
        said = place.entries, place.files, place.bytes
        if view.digest != version.digest or (view.totals.inodes, view.totals.files, view.totals.bytes) != said:
            raise damage(loaded.known, "", "the root is not the one that the log names")
        return view

    def _record(self, snapshot: Snapshot, place: LazyNode) -> TreeView:
        if place.kind != RECORD:
            raise DamageError("a file was read as a directory")
        return self._load(snapshot, place.span).view(place.row)

    # -- spans ---------------------------------------------------------------------------------------------------------

    def _number(self, remote: bytes, forms: Sequence[FormPlace], title: str) -> list[int]:
        try:
            return self._required().number_spans(remote, forms, title)
        except lmdb.Error as error:
            raise _unusable(self._required(), error) from error

    def _required(self) -> RangeCache:
        if self._cache is None:
            self._cache = cache_of_user()
        return self._cache

    def _load(self, snapshot: Snapshot, number: int, known: KnownSpan | None = None) -> LoadedSpan:
        """Return a span by its number, compared with the hash that the span above it has."""
        loaded = self._spans.get(number)
        if loaded is not None:
            return loaded
        around = [known] if known is not None else self._around(number)
        if not around:
            raise NotFoundError("the cache of remotes was made again since this was looked up")
        known = around[0]
        ranges = self._of(snapshot, known.remote)
        stored = self._spans_from(ranges, number, around)
        span = checked(ranges, known.form.place, stored, known, "", lambda data: as_span(known.form, data))
        below = self._number(known.remote, span.spans, known.title) if span.spans else []
        loaded = LoadedSpan(number, known, span, dict(zip(span.spans, below, strict=True)), {})
        self._spans.put(number, loaded, span.weight)
        return loaded

    def _around(self, number: int) -> list[KnownSpan]:
        """Return a span, and those after it that a reader who goes on will want, in the same object."""
        found = self._required().spans(number, self._count if number == self._following else 1)
        length = 0
        for count, each in enumerate(found):
            length += each.form.place.stored
            if each.form.place.pack != found[0].form.place.pack or (count and length > LONGEST):
                return found[:count]
        return found

    def _spans_from(self, ranges: Ranges, number: int, around: Sequence[KnownSpan]) -> bytes:
        places = [each.form.place for each in around]
        found = ranges.present(places[:1])[0]
        if found is None:
            with telling(around[0].title):
                found = ranges.read(places[:1], places[1:])[0]
        if number + 1 > self._following:
            self._count = min(self._count * _GROWTH, _MOST_AHEAD) if number == self._following else 1
            self._following = number + len(around)
        return found

    def _of(self, snapshot: Snapshot, remote: bytes) -> Ranges:
        """Return the ranges of a remote; no request is made."""
        with self._lock:
            ranges = self._ranges.get(remote)
            if ranges is None:
                record = all_remotes(snapshot.transaction).get(remote)
                if record is None:
                    raise NotFoundError("the remote of this version is not known any more", hint="artfs remote add")
                objects = open_store(record.url, read_only=True, anonymous=record.anonymous)
                ranges = Ranges(objects, self._required(), waits=self._waits, threads=self._threads)
                self._ranges[remote] = ranges
        return ranges

    # -- content -------------------------------------------------------------------------------------------------------

    def _content(self, snapshot: Snapshot, node: int) -> tuple[LoadedSpan, LocatedEntry]:
        place = decode(node)
        if place.kind != CONTENT:
            raise DamageError("a directory was read as a file")
        loaded = self._load(snapshot, place.span)
        try:
            entry = loaded.entry(place.row)
        except DamageError as error:
            raise damage(loaded.known, "", error.message) from error
        if isinstance(entry.content, Below):
            raise damage(loaded.known, os.fsdecode(entry.name), "a directory is where a file should be")
        return loaded, entry

    def content(self, snapshot: Snapshot, node: int) -> ContentInfo:
        """Return the id and the size of a file's content, of a reference those of its record."""
        _, entry = self._content(snapshot, node)
        return ContentInfo(entry.id, RemoteTree.length(entry), 0)

    def stored_bytes(self, snapshot: Snapshot, node: int) -> int:
        """Return the bytes that the chunks of a file take in the remote."""
        loaded, entry = self._content(snapshot, node)
        ranges = self._of(snapshot, loaded.known.remote)
        return sum(piece.chunk.place.stored for piece in self._pieces(ranges, loaded, entry, 0, entry.size))

    def _pieces(self, ranges: Ranges, loaded: LoadedSpan, entry: LocatedEntry, start: int, end: int) -> list[Piece]:
        """Return the chunks of a file that bytes ``[start, end)`` touch."""
        assert not isinstance(entry.content, Below)
        length = RemoteTree.length(entry)
        name = os.fsdecode(entry.name)

        def fetch_list(item: ChunkList) -> bytes:
            form = FormPlace(item.hash, item.size, item.place)
            with telling(loaded.known.title, name):
                stored = ranges.read([item.place])[0]
            return checked(ranges, item.place, stored, loaded.known, name, lambda data: as_form(form, data))

        try:
            return pieces_between(entry.content, length, start, min(end, length), self._lists, fetch_list)
        except ToldError:
            raise
        except DamageError as error:
            raise damage(loaded.known, name, error.message) from error

    def read(self, snapshot: Snapshot, node: int, offset: int, size: int) -> list[Buffer]:
        """Return verified bytes of a file; raise `DamageError` for other bytes, and the errors of the store."""
        loaded, entry = self._content(snapshot, node)
        length = RemoteTree.length(entry)
        end = min(offset + size, length)
        if offset >= end:
            return []
        ranges = self._of(snapshot, loaded.known.remote)
        reader = self._reader(node, offset, end)
        pieces = self._pieces(ranges, loaded, entry, offset, end)
        parts = [(max(offset - piece.start, 0), min(end, piece.end) - piece.start) for piece in pieces]
        found: list[Buffer | None] = [
            _decompressed(snapshot, piece.chunk, *part) for piece, part in zip(pieces, parts, strict=True)
        ]
        lacking = [
            piece.chunk
            for piece, data in zip(pieces, found, strict=True)
            if data is None and not _is_here(snapshot, piece.chunk)
        ]
        stored = self._stored(ranges, loaded, entry, lacking, reader)
        for number, (piece, part) in enumerate(zip(pieces, parts, strict=True)):
            if found[number] is None:
                make = partial(self._made, snapshot, ranges, loaded.known, os.fsdecode(entry.name), piece.chunk, stored)
                found[number] = snapshot.chunks.fetch(piece.chunk.id, *part, make)
        self._ask_ahead(ranges, loaded, entry, reader)
        return [data for data in found if data is not None]

    def _stored(
        self, ranges: Ranges, loaded: LoadedSpan, entry: LocatedEntry, chunks: Sequence[Chunk], reader: _Reader
    ) -> dict[Place, bytes]:
        """Return the stored forms of chunks; what is fetched for a sequential reader brings those that follow along."""
        if not chunks:
            return {}
        more: list[Place] = []
        places = [chunk.place for chunk in chunks]
        if reader.reads >= _RUNS and reader.position >= reader.frontier:
            following = self._pieces(ranges, loaded, entry, reader.position, reader.position + _FIRST_WINDOW)
            more = [piece.chunk.place for piece in following if piece.chunk.place not in places]
            reader.frontier = following[-1].end if following else reader.position
        with telling(loaded.known.title, os.fsdecode(entry.name)):
            return dict(zip(places, ranges.read(places, more), strict=True))

    def _made(
        self,
        snapshot: Snapshot,
        ranges: Ranges,
        known: KnownSpan,
        name: str,
        chunk: Chunk,
        stored: dict[Place, bytes],
    ) -> bytes:
        """Return a chunk that has its id: of the workspace, or from the bytes that the remote has."""
        data = stored.get(chunk.place)
        if data is None:
            local = self._local(snapshot, chunk)
            if local is not None:
                return local
            with telling(known.title, name):
                data = ranges.read([chunk.place])[0]
        return checked(ranges, chunk.place, data, known, name, lambda data: as_chunk(chunk, data))

    @staticmethod
    def _local(snapshot: Snapshot, chunk: Chunk) -> bytes | None:
        """Return a chunk that the workspace has, or None; what is damaged here comes from the remote."""
        if not chunk.size:
            return b""
        found = find_node(snapshot.transaction, CLASS_CONTENT, chunk.id)
        if found is None:
            return None
        with suppress(DamageError):
            content = snapshot.read(found[0], 0, chunk.size + 1)
            if len(content) == chunk.size:
                return content
        return None

    # -- ahead ---------------------------------------------------------------------------------------------------------

    def _reader(self, node: int, offset: int, end: int) -> _Reader:
        """Return what is known of the reader of a file who reads ``[offset, end)`` now."""
        with self._lock:
            reader = self._readers.pop(node, None)
            if reader is None or offset != reader.position:
                reader = _Reader()
            reader.position = end
            reader.reads += 1
            self._readers[node] = reader
            if len(self._readers) > _MOST_READERS:
                self._readers.popitem(last=False)
        return reader

    def _ask_ahead(self, ranges: Ranges, loaded: LoadedSpan, entry: LocatedEntry, reader: _Reader) -> None:
        """Begin to fetch what a sequential reader wants next, as soon as half of what was fetched for it is read."""
        if reader.reads < _RUNS or reader.position + max(reader.window, _FIRST_WINDOW) // 2 < reader.frontier:
            return
        start = max(reader.frontier, reader.position)
        reader.window = min(max(2 * reader.window, _FIRST_WINDOW), LONGEST)
        reader.frontier = start + reader.window
        with suppress(ArtfsError):
            pieces = self._pieces(ranges, loaded, entry, start, reader.frontier)
            ranges.ask_ahead([piece.chunk.place for piece in pieces])

    def want(self, snapshot: Snapshot, nodes: Sequence[int]) -> None:
        """Fetch the chunks of small files that are not here, with few requests; errors come at the files' turns."""
        wanted: dict[bytes, list[Place]] = {}
        for node in nodes:
            with suppress(ArtfsError):
                loaded, entry = self._content(snapshot, node)
                if not isinstance(entry.content, ChunkList | Below):
                    places = [chunk.place for chunk in entry.content if chunk.size and not _is_here(snapshot, chunk)]
                    wanted.setdefault(loaded.known.remote, []).extend(places)
        for remote, places in wanted.items():
            with suppress(ArtfsError):
                self._of(snapshot, remote).read(list(dict.fromkeys(places)))

    def plan(self, snapshot: Snapshot, nodes: Sequence[int]) -> LazyPlan:
        """Return what has to be fetched so that the contents of files are in the cache.

        Raises `RefusedError` if the cache cannot hold them all.
        """
        wanted: dict[bytes, dict[Place, None]] = {}
        total = 0
        for node in nodes:
            loaded, entry = self._content(snapshot, node)
            ranges = self._of(snapshot, loaded.known.remote)
            for piece in self._pieces(ranges, loaded, entry, 0, RemoteTree.length(entry)):
                place = piece.chunk.place
                places = wanted.setdefault(loaded.known.remote, {})
                if place.stored and place not in places and not _is_here(snapshot, piece.chunk):
                    places[place] = None
                    total += place.stored
        limit = self._required().usage().limit
        if total > limit:
            raise RefusedError(
                f"the files take {total:,} bytes, and the cache holds at most {limit:,}",
                hint=f"artfs config cache {total}, or make the version local: artfs pull",
            )
        parts = []
        for remote, places in wanted.items():
            has = self._required().has(list(places))
            parts.append((self._of(snapshot, remote), [p for p, there in zip(places, has, strict=True) if not there]))
        return LazyPlan(parts)

    def description(self, snapshot: Snapshot, serial: int) -> dict[str, Any]:
        """Return the description, metadata and tags of a version."""
        place = None if snapshot.views is None else snapshot.views.place(serial)
        if place is None or place.record is None:
            return {"description": "", "metadata": {}, "tags": []}
        form = _form_of(place.record)
        known = KnownSpan(place.remote, form, _title(snapshot, serial))
        ranges = self._of(snapshot, place.remote)
        with telling(known.title):
            stored = ranges.read([form.place])[0]
        return decode_description(checked(ranges, form.place, stored, known, "", lambda data: as_form(form, data)))


def open_lazy(store: Store) -> Lazy:
    """Return the source of nodes of remotes for a store of this process."""
    return Lazy(store, cache_of_user())


def _title(snapshot: Snapshot, serial: int) -> str:
    version = snapshot.recorded_version(serial)
    artifact = None if version is None else snapshot.artifact(version.artifact)
    return "?" if version is None or artifact is None else f"{artifact.name}:v{version.number}"


def _form_of(span: SpanPlace) -> FormPlace:
    return FormPlace(span.hash, 0, Place(Pack(TREES, span.pack), span.offset, span.length))


class _NotHereError(Exception):
    """Raised by a maker of chunks that makes none."""


def _make_none() -> bytes:
    raise _NotHereError


def _decompressed(snapshot: Snapshot, chunk: Chunk, start: int, stop: int) -> Buffer | None:
    """Return a part of a chunk that is in memory."""
    try:
        return snapshot.chunks.fetch(chunk.id, start, stop, _make_none)
    except _NotHereError:
        return None


def _is_here(snapshot: Snapshot, chunk: Chunk) -> bool:
    return find_node(snapshot.transaction, CLASS_CONTENT, chunk.id) is not None


def _unusable(cache: RangeCache, error: lmdb.Error) -> ArtfsError:
    return DamageError(
        f"the cache of remotes in {cache.folder} cannot be used: {error}", hint="remove that folder: it is a cache"
    )
