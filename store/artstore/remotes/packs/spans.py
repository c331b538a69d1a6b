"""Spans: located directory records that are fetched together, in columns, as one zstd frame.

    span     head · packs · spans · record heads · rows · names · ids · chunks · chunk ids · lists · below
    head     format u8 = 1 · zero · packs u16 · spans u16 · records u16 · rows u32 · bytes of names u32 · chunks u32 ·
             chunk ids u32 · lists u32 · below u32
    pack     folder u8 · id 16
    span     hash 32 · pack u16 · offset u32 · stored u32 · size u32
    record heads, in columns: level u8 · rows u16
    rows     of all records in order, in columns: length of the name u8 · kind u8 · mode u16 · seconds i64 ·
             nanoseconds u32 · size u64 · content u8
    chunks   in columns: pack u16 · gap u32 · saved u32 · size u32 · codec u8
    lists    in columns: pack u16 · offset u32 · stored u32 · size u32 · chunks u64 · level u8; then the hashes 32
    below    in columns: span u16 · record u16 · entries u32 · files u64 · directories u32 · bytes u64 · newest i64;
             then the form ids 32

A column has the first byte of all its numbers, then the second, and so on.  ``content`` of a row is its number of
chunks, 5 for a list, or 6 for a directory; rows above level 0 are directories, with their last name, and with zeros
for mode, times and size.  Chunks, lists and below are in the order of the rows.  ``gap`` is the chunk's offset minus
the end of the last chunk of the same pack before it in this span (0 if there is none), modulo 2^32; ``saved`` is its
size minus its stored bytes.  If it is its file's only chunk, ``size`` has the size of the entry subtracted, modulo
2^32, and its id is that of the entry; other chunks have their ids among the chunk ids.  A span of 65535 is this one,
in which a record comes after those below it.  Packs and spans are in the order of their first use.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate, chain
from typing import Any, Final

import zstandard

from artstore.errors import DamageError
from artstore.ids import ID_LENGTH
from artstore.records.nodes import FANOUT
from artstore.records.trees import EARLIEST_NS, LATEST_NS, Kind, TreeTotals
from artstore.remotes.packs.columns import ColumnReader, PackTable, in_order, pack_columns
from artstore.remotes.packs.containers import LARGEST_FORM
from artstore.remotes.packs.located import (
    Below,
    Chunk,
    ChunkList,
    FormPlace,
    LocatedEntry,
    LocatedRecord,
    check_record,
)
from artstore.remotes.packs.places import Pack, Place, check_place

__all__ = ["Span", "compress", "decompress", "encode_span"]

_FORMAT: Final = 1
_HEAD: Final = struct.Struct("<BxHHHIIIIII")
_SPAN: Final = struct.Struct("<32sHIII")
_HEADS: Final = "BH"
_ROWS: Final = "BBHqIQB"
_CHUNKS: Final = "HIIIB"
_LISTS: Final = "HIIIQB"
_BELOW: Final = "HHIQIQq"
_LIST: Final = 5
_DIRECTORY: Final = 6
_OWN: Final = 0xFFFF
_SECOND: Final = 10**9
_MODULUS: Final = 2**32
_LEVEL: Final = 3
_MOST_ROWS: Final = 1 << 17
"""Rows, chunks or lists of a span, at most; a writer ends a span far below."""
_KINDS: Final = {int(kind): kind for kind in Kind}
_SIZE_AT: Final = 5
_SHAPE_AT: Final = 6


def compress(data: bytes) -> bytes:
    """Return the stored form of a span, a list or another record of this package: one zstd frame."""
    return zstandard.ZstdCompressor(level=_LEVEL, write_checksum=False, write_content_size=True).compress(data)


def decompress(stored: bytes, size: int = 0) -> bytes:
    """Return what `compress` was given; raise `DamageError` if it is not ``size`` bytes (0: unknown, but bounded)."""
    try:
        declared = zstandard.frame_content_size(stored)
        if not 0 < declared <= LARGEST_FORM or (size and declared != size):
            raise DamageError(f"a record of a remote has {declared} bytes instead of {size or LARGEST_FORM}")
        data = zstandard.ZstdDecompressor().decompress(stored, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise DamageError(f"a record of a remote does not decompress: {error}") from error
    return data


class _Columns:
    """The columns of a span that is being encoded."""

    def __init__(self, moved: Mapping[Pack, Pack]) -> None:
        self.spans: dict[FormPlace, int] = {}
        self.heads: list[tuple[int, ...]] = []
        self.rows: list[tuple[int, ...]] = []
        self.chunks: list[tuple[Pack, int, int, int, int]] = []
        self.lists: list[tuple[Pack, int, int, int, int, int]] = []
        self.below: list[tuple[int, ...]] = []
        self.names: list[bytes] = []
        self.ids: list[bytes] = []
        self.chunk_ids: list[bytes] = []
        self.hashes: list[bytes] = []
        self.forms: list[bytes] = []
        self._moved = moved
        self._ends: dict[Pack, int] = {}

    def place(self, place: Place) -> tuple[Pack, int]:
        return self._moved.get(place.pack, place.pack), place.offset

    def add(self, record: LocatedRecord) -> None:
        self.heads.append((record.level, len(record.children) if record.level else len(record.entries)))
        for last_name, below in record.children:
            self._row(last_name, below.digest, Kind.DIRECTORY, 0, 0, 0, _DIRECTORY)
            self._add_below(below)
        for entry in record.entries:
            content = entry.content
            if isinstance(content, Below):
                shape = _DIRECTORY
                self._add_below(content)
            elif isinstance(content, ChunkList):
                shape = _LIST
                self._add_list(content)
            else:
                shape = len(content)
                self._add_chunks(content, entry.size)
            self._row(entry.name, entry.id, entry.kind, entry.mode, entry.mtime_ns, entry.size, shape)

    def _row(self, name: bytes, ident: bytes, kind: int, mode: int, mtime_ns: int, size: int, shape: int) -> None:
        seconds, nanoseconds = divmod(mtime_ns, _SECOND)
        self.rows.append((len(name), kind, mode, seconds, nanoseconds, size, shape))
        self.names.append(name)
        self.ids.append(ident)

    def _add_chunks(self, chunks: tuple[Chunk, ...], size: int) -> None:
        is_only = len(chunks) == 1
        for chunk in chunks:
            (pack, offset), stored = self.place(chunk.place), chunk.place.stored
            gap = (offset - self._ends.get(pack, 0)) % _MODULUS
            self._ends[pack] = offset + stored
            said = (chunk.size - size) % _MODULUS if is_only else chunk.size
            self.chunks.append((pack, gap, chunk.size - stored, said, chunk.codec))
            if not is_only:
                self.chunk_ids.append(chunk.id)

    def _add_list(self, item: ChunkList) -> None:
        pack, offset = self.place(item.place)
        self.lists.append((pack, offset, item.place.stored, item.size, item.chunks, item.level))
        self.hashes.append(item.hash)

    def _add_below(self, below: Below) -> None:
        span = _OWN if below.span is None else self.spans.setdefault(below.span, len(self.spans))
        entries, files, directories, size, newest_ns = below.totals
        self.below.append((span, below.record, entries, files, directories, size, newest_ns))
        self.forms.append(below.form)


def encode_span(records: Sequence[LocatedRecord], moved: Mapping[Pack, Pack] | None = None) -> bytes:
    """Return the bytes of a span, before compression; raise `DamageError` if a reader would refuse it.

    Packs among the keys of ``moved`` are replaced: their forms have come to lie in another object, at the same offset.
    """
    columns = _Columns(moved or {})
    for number, record in enumerate(records):
        check_record(record)
        columns.add(record)
        for below in _all_below(record):
            _check_below(below, number)
    table = PackTable()
    chunks = [(table.number(row[0]), *row[1:]) for row in columns.chunks]
    lists = [(table.number(row[0]), *row[1:]) for row in columns.lists]
    spans = [_packed_span(span, table) for span in columns.spans]
    names = b"".join(columns.names)
    counts = (columns.rows, names, columns.chunks, columns.chunk_ids, columns.lists, columns.below)
    _check_counts(len(table), len(spans), len(records), *map(len, counts))
    head = _HEAD.pack(_FORMAT, len(table), len(spans), len(records), *map(len, counts))
    data = b"".join(
        [
            head,
            table.encode(),
            *spans,
            pack_columns(_HEADS, columns.heads),
            pack_columns(_ROWS, columns.rows),
            names,
            *columns.ids,
            pack_columns(_CHUNKS, chunks),
            *columns.chunk_ids,
            pack_columns(_LISTS, lists),
            *columns.hashes,
            pack_columns(_BELOW, columns.below),
            *columns.forms,
        ]
    )
    if len(data) > LARGEST_FORM:
        raise DamageError(f"a span would have {len(data)} bytes; at most {LARGEST_FORM} are possible")
    return data


def _packed_span(span: FormPlace, packs: PackTable) -> bytes:
    check_span(span)
    place = span.place
    return _SPAN.pack(span.hash, packs.number(place.pack), place.offset, place.stored, span.size)


def _all_below(record: LocatedRecord) -> list[Below]:
    return [below for _, below in record.children] + [
        entry.content for entry in record.entries if isinstance(entry.content, Below)
    ]


def _check_below(below: Below, number: int) -> None:
    """Raise `DamageError` for a row that leads to no earlier record, or to ids of another length."""
    if below.span is None and below.record >= number:
        raise DamageError("a directory record comes before one that is below it")
    if len(below.digest) != ID_LENGTH or len(below.form) != ID_LENGTH:
        raise DamageError("a directory record has an id of another length")


def check_span(span: FormPlace) -> None:
    """Raise `DamageError` for a span that no reader makes room for."""
    if not 0 < span.place.stored <= LARGEST_FORM or not 0 < span.size <= LARGEST_FORM or len(span.hash) != ID_LENGTH:
        raise DamageError(f"a span has invalid sizes: {span.size} bytes, {span.place.stored} stored")
    check_place(span.place)


def _check_counts(packs: int, spans: int, records: int, rows: int, names: int, *others: int) -> None:
    if max(packs, spans, records) >= _OWN or not records or max(rows, *others) > _MOST_ROWS or names > LARGEST_FORM:
        raise DamageError(f"a span has {records} records with {rows} rows, {packs} packs and {spans} spans")


class _Starts:
    """Where the rows of each record begin, by record, in each of the sequences that a span consists of."""

    __slots__ = ("below", "chunk_ids", "chunks", "lists", "names", "rows")

    def __init__(self, counts: Sequence[int], shapes: bytes, lengths: bytes) -> None:
        self.rows = [0, *accumulate(counts)]
        parts = [shapes[start : start + count] for start, count in zip(self.rows, counts, strict=False)]
        several = [sum(shape * part.count(shape) for shape in range(2, _LIST)) for part in parts]
        self.chunk_ids = [0, *accumulate(several)]
        self.chunks = [0, *accumulate([many + part.count(1) for many, part in zip(several, parts, strict=True)])]
        self.lists = [0, *accumulate([part.count(_LIST) for part in parts])]
        self.below = [0, *accumulate([part.count(_DIRECTORY) for part in parts])]
        names = [sum(lengths[start : start + count]) for start, count in zip(self.rows, counts, strict=False)]
        self.names = [0, *accumulate(names)]

    @property
    def ends(self) -> tuple[int, ...]:
        return self.rows[-1], self.names[-1], self.chunks[-1], self.chunk_ids[-1], self.lists[-1], self.below[-1]


class Span:
    """The records of one span; each is checked when it is read.

    ``raw`` are the bytes after decompression, which the caller has compared with the hash above.
    """

    __slots__ = (
        "_below",
        "_chunk_ids",
        "_chunks",
        "_forms",
        "_hashes",
        "_ids",
        "_levels",
        "_lists",
        "_names",
        "_rows",
        "_starts",
        "length",
        "packs",
        "spans",
        "weight",
    )

    def __init__(self, raw: bytes) -> None:
        self.length = len(raw)
        """Bytes of the span."""
        self.weight = 8 * len(raw)
        """Upper bound of the bytes of memory of the span."""
        try:
            format_number, packs, spans, records, *counts = _HEAD.unpack_from(raw)
        except struct.error as error:
            raise DamageError("a span is cut short") from error
        if format_number != _FORMAT or raw[1]:
            raise DamageError(f"a span has the unknown format {format_number}")
        _check_counts(packs, spans, records, *counts)
        rows, names, chunks, chunk_ids, lists, below = counts
        read = ColumnReader(raw, _HEAD.size, "a span")
        table = read.packs(packs)
        self.packs = table.packs
        span_rows = list(_SPAN.iter_unpack(read.take(spans * _SPAN.size)))
        self._levels, record_rows = read.columns(_HEADS, records)
        self._rows = read.columns(_ROWS, rows)
        self._names = read.take(names)
        self._ids = read.take(rows * ID_LENGTH)
        chunk_columns = read.columns(_CHUNKS, chunks)
        self._chunk_ids = read.take(chunk_ids * ID_LENGTH)
        self._lists = read.columns(_LISTS, lists)
        self._hashes = read.take(lists * ID_LENGTH)
        self._below = read.columns(_BELOW, below)
        self._forms = read.take(below * ID_LENGTH)
        read.finish()
        lengths, shapes = bytes(self._rows[0]), bytes(self._rows[_SHAPE_AT])
        self._starts = _Starts(record_rows, shapes, lengths)
        if self._starts.ends != tuple(counts) or max(record_rows) > FANOUT:
            raise DamageError("a span's counts do not add up")
        table.check(chain(chunk_columns[0], self._lists[0], [row[1] for row in span_rows]))
        self.spans = [FormPlace(row[0], row[4], Place(self.packs[row[1]], row[2], row[3])) for row in span_rows]
        for span in self.spans:
            check_span(span)
        if (
            not in_order((number for number in self._below[0] if number != _OWN), spans)
            or len(set(self.spans)) != spans
        ):
            raise DamageError("a span has a table of spans that are not used in order")
        self._chunks = _places(chunk_columns, self._rows, self.packs)

    def __len__(self) -> int:
        return len(self._levels)

    def record(self, number: int) -> LocatedRecord:
        """Return a record; raise `DamageError` if there is none of this number, or no version can have it."""
        if not 0 <= number < len(self._levels):
            raise DamageError(f"a span has no record {number}")
        starts = self._starts
        level, start, end = self._levels[number], starts.rows[number], starts.rows[number + 1]
        ids = [self._ids[at : at + ID_LENGTH] for at in range(start * ID_LENGTH, end * ID_LENGTH, ID_LENGTH)]
        names, at = [], starts.names[number]
        for length in self._rows[0][start:end]:
            names.append(self._names[at : at + length])
            at += length
        rows = list(zip(*[column[start:end] for column in self._rows], strict=True))
        contents = self._contents(number, rows, ids)
        if level:
            record = LocatedRecord(level, (), tuple(self._children(names, rows, contents)))
        else:
            record = LocatedRecord(0, tuple(map(self._entry, names, rows, ids, contents)), ())
        check_record(record)
        for below in _all_below(record):
            _check_below(below, number)
        return record

    def first_row(self, number: int) -> int:
        """Return the row of the first entry of a record, counted over all records of the span."""
        return self._starts.rows[number]

    def record_of_row(self, row: int) -> int:
        """Return the number of the record that has a row; raise `DamageError` if there is no such row."""
        if not 0 <= row < self._starts.rows[-1]:
            raise DamageError(f"a span has no row {row}")
        return bisect_right(self._starts.rows, row) - 1

    @staticmethod
    def _entry(name: bytes, row: tuple[int, ...], ident: bytes, content: Any) -> LocatedEntry:
        _, kind, mode, seconds, nanoseconds, size, _ = row
        mtime_ns = seconds * _SECOND + nanoseconds
        if nanoseconds >= _SECOND or not EARLIEST_NS <= mtime_ns <= LATEST_NS or kind not in _KINDS:
            raise DamageError(f"the entry {name!r} has an impossible time or kind")
        return LocatedEntry(name, _KINDS[kind], size, ident, mtime_ns, mode, content)

    @staticmethod
    def _children(names: list[bytes], rows: list[tuple[int, ...]], contents: list[Any]) -> list[tuple[bytes, Below]]:
        for _, kind, *others, shape in rows:
            if kind != Kind.DIRECTORY or shape != _DIRECTORY or any(others):
                raise DamageError("a directory record has a row of another level")
        return list(zip(names, contents, strict=True))

    def _contents(self, number: int, rows: list[tuple[int, ...]], ids: list[bytes]) -> list[Any]:
        """Return the content of each row of a record."""
        starts = self._starts
        chunk, chunk_id = starts.chunks[number], starts.chunk_ids[number]
        item, below = starts.lists[number], starts.below[number]
        contents: list[Any] = []
        for (*_, shape), ident in zip(rows, ids, strict=True):
            if shape == 1:
                contents.append((Chunk(ident, *self._chunks[chunk]),))
                chunk += 1
            elif shape == _DIRECTORY:
                contents.append(self._below_at(below, ident))
                below += 1
            elif shape == _LIST:
                contents.append(self._list_at(item))
                item += 1
            elif shape < _LIST:
                named = [self._id_of(chunk_id + at) for at in range(shape)]
                contents.append(tuple([Chunk(each, *self._chunks[chunk + at]) for at, each in enumerate(named)]))
                chunk += shape
                chunk_id += shape
            else:
                raise DamageError(f"a span has content of the unknown shape {shape}")
        return contents

    def _id_of(self, number: int) -> bytes:
        return self._chunk_ids[number * ID_LENGTH : (number + 1) * ID_LENGTH]

    def _list_at(self, number: int) -> ChunkList:
        pack, offset, stored, size, chunks, level = [column[number] for column in self._lists]
        ident = self._hashes[number * ID_LENGTH : (number + 1) * ID_LENGTH]
        return ChunkList(ident, level, chunks, size, Place(self.packs[pack], offset, stored))

    def _below_at(self, number: int, digest: bytes) -> Below:
        span, record, *totals = [column[number] for column in self._below]
        form = self._forms[number * ID_LENGTH : (number + 1) * ID_LENGTH]
        return Below(digest, form, TreeTotals(*totals), None if span == _OWN else self.spans[span], record)


def _places(
    columns: list[tuple[int, ...]], rows: list[tuple[int, ...]], packs: list[Pack]
) -> list[tuple[int, int, Place]]:
    """Return (size, codec, place) of each chunk, undoing the differences."""
    above: list[int] = []
    for size, shape in zip(rows[_SIZE_AT], rows[_SHAPE_AT], strict=True):
        if shape == 1:
            above.append(size)
        elif 1 < shape < _LIST:
            above.extend((0,) * shape)
    ends: dict[int, int] = {}
    places = []
    for number, gap, saved, said, codec, entry_size in zip(*columns, above, strict=True):
        size = (said + entry_size) % _MODULUS
        offset, stored = (ends.get(number, 0) + gap) % _MODULUS, size - saved
        ends[number] = offset + stored
        places.append((size, codec, Place(packs[number], offset, stored)))
    return places
