"""Spans of a remote as a process has them: compared with their hashes, and their records as local ones are."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

from artstore.errors import DamageError
from artstore.ids import content_id
from artstore.records.lazy_nodes import CONTENT, RECORD, encode
from artstore.records.nodes import Extent
from artstore.records.trees import ChildRecord, TreeEntry, TreeView, encode_tree
from artstore.remotes.lazy.cache import KnownSpan
from artstore.remotes.lazy.failures import ToldError, damaged, telling
from artstore.remotes.lazy.ranges import PackSource
from artstore.remotes.packs.located import (
    Below,
    Chunk,
    FormPlace,
    LocatedEntry,
    LocatedRecord,
    identity,
    totals_of,
)
from artstore.remotes.packs.places import Pack, Place
from artstore.remotes.packs.spans import Span, decompress
from artstore.storage.codec import RAW
from artstore.storage.codec import decode as decode_chunk

__all__ = ["LoadedSpan", "as_chunk", "as_form", "as_span", "checked", "damage"]

V = TypeVar("V")


class LoadedSpan(NamedTuple):
    """A span that was read: its number, what it is known by, and the numbers of the spans that it leads to."""

    number: int
    known: KnownSpan
    span: Span
    below: dict[FormPlace, int]
    records: dict[int, LocatedRecord]

    def record(self, number: int) -> LocatedRecord:
        """Return a record, which is parsed once."""
        record = self.records.get(number)
        if record is None:
            record = self.records[number] = self.span.record(number)
        return record

    def entry(self, row: int) -> LocatedEntry:
        """Return the entry of a row."""
        number = self.span.record_of_row(row)
        entries = self.record(number).entries
        if not entries:
            raise DamageError("a row of a span is none of a file")
        return entries[row - self.span.first_row(number)]

    def view(self, number: int) -> TreeView:
        """Return a record as a local one, with numbers of nodes in the remote."""
        try:
            record = self.record(number)
            found, totals = identity(record), totals_of(record)
        except DamageError as error:
            raise damage(self.known, "", error.message) from error
        rows = self._children(record) if record.level else self._entries(record, number)
        return TreeView(encode_tree(record.level, found.digest, found.form, totals, Extent(0, 0, 0, RAW), rows))

    def _node(self, below: Below) -> int:
        span = self.number if below.span is None else self.below[below.span]
        return encode(RECORD, span, below.record)

    def _entries(self, record: LocatedRecord, number: int) -> list[TreeEntry]:
        rows, before, first = [], 0, self.span.first_row(number)
        for at, entry in enumerate(record.entries):
            content = entry.content
            if isinstance(content, Below):
                node, size, inodes = self._node(content), content.totals.bytes, content.totals.inodes + 1
            else:
                node, size, inodes = encode(CONTENT, self.number, first + at), entry.size, 1
            rows.append(TreeEntry(entry.name, entry.kind, node, size, entry.mtime_ns, entry.mode, before, inodes))
            before += inodes
        return rows

    def _children(self, record: LocatedRecord) -> list[ChildRecord]:
        rows, entries, inodes = [], 0, 0
        for name, below in record.children:
            totals = below.totals
            node = self._node(below)
            rows.append(ChildRecord(node, name, totals.entries, entries, totals.inodes, inodes))
            entries, inodes = entries + totals.entries, inodes + totals.inodes
        return rows


def as_form(form: FormPlace, stored: bytes) -> bytes | None:
    """Return what a form has when decompressed, None if the bytes are others than its hash says."""
    if len(stored) != form.place.stored or content_id(stored) != form.hash:
        return None
    return decompress(stored, form.size)


def as_span(form: FormPlace, stored: bytes) -> Span | None:
    """Return the span of a form, None if the bytes are others than its hash says."""
    raw = as_form(form, stored)
    return None if raw is None else Span(raw)


def as_chunk(chunk: Chunk, stored: bytes) -> bytes | None:
    """Return the content of a chunk, None if the bytes are not those of its id."""
    if len(stored) != chunk.place.stored:
        return None
    try:
        content = decode_chunk(chunk.codec, stored, chunk.size)
    except DamageError:
        return None
    return content if content_id(content) == chunk.id else None


def checked(
    ranges: PackSource, place: Place, stored: bytes, known: KnownSpan, name: str, check: Callable[[bytes], V | None]
) -> V:
    """Return what ``check`` makes of the bytes at a place; if they are wrong, of those that the remote has now."""
    try:
        result = check(stored)
        if result is None:
            with telling(known.title, name):
                again = ranges.again(place)
            result = check(again)
    except ToldError:
        raise
    except DamageError as error:
        raise damage(known, name, error.message, place.pack) from error
    if result is None:
        raise damage(known, name, f"there are other bytes at {place.offset:,} than the version has", place.pack)
    return result


def damage(known: KnownSpan, name: str, what: str, pack: Pack | None = None) -> DamageError:
    """Return the error for a span, or for the file of a name in it."""
    return damaged(known.title, name, f"{what} in the object {(pack or known.form.place.pack).object_name}")
