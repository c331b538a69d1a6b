"""Located directory records: canonical records, and beside them where everything below lies, for a remote.

A located record is a local one with places for node numbers.  Its digest and its form id are those of the local
record, since names, ids, times and modes are the same; places are outside of both.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final, NamedTuple

from artstore.errors import DamageError
from artstore.ids import EMPTY_ID, ID_LENGTH, content_id
from artstore.records.nodes import FANOUT, LARGEST
from artstore.records.packed_trees import (
    Attributes,
    CanonicalEntry,
    canonical_entries,
    canonical_index,
    entry_attributes,
    form_id,
    index_attributes,
)
from artstore.records.references import LARGEST_OUTSIDE, LONGEST_REFERENCE
from artstore.records.trees import EARLIEST_NS, INODES_MAX, MAX_LINK, MODE_BITS, Kind, TreeTotals, is_entry_name
from artstore.remotes.packs.containers import LARGEST_FORM
from artstore.remotes.packs.places import Place, check_place
from artstore.storage.codec import RAW, ZSTD

__all__ = [
    "INLINE",
    "Below",
    "Chunk",
    "ChunkList",
    "Content",
    "FormPlace",
    "Identity",
    "LocatedEntry",
    "LocatedRecord",
    "check_chunk",
    "check_list",
    "check_record",
    "identity",
    "totals_of",
]

INLINE: Final = 4
"""Chunks of a file that stand in its record, at most; more are in a list of their own."""
LARGEST_TOTAL: Final = 2**58
"""Bytes of all files of a version, at most, as in a workspace."""


class Chunk(NamedTuple):
    """A chunk of content, and where its stored form lies: ``place.stored`` bytes in a codec of the local packs."""

    id: bytes
    size: int
    codec: int
    place: Place


class ChunkList(NamedTuple):
    """A list object: the BLAKE3 of its stored bytes, its level, the chunks below it, its length when decompressed."""

    hash: bytes
    level: int
    chunks: int
    size: int
    place: Place


class FormPlace(NamedTuple):
    """A form that is no chunk: the BLAKE3 of its stored bytes, its length when decompressed (0: unknown), its place."""

    hash: bytes
    size: int
    place: Place


class Below(NamedTuple):
    """What a record says of a record below: its ids and totals, its span (None: the same), and its number there."""

    digest: bytes
    form: bytes
    totals: TreeTotals
    span: FormPlace | None
    record: int


Content = tuple[Chunk, ...] | ChunkList
"""The chunks of a file, in order; none of an empty one."""


class LocatedEntry(NamedTuple):
    """An entry of a directory: what its canonical record and attributes hold, and its content, or the record below.

    ``size`` is 0 for a directory, and ``id`` its digest.
    """

    name: bytes
    kind: Kind
    size: int
    id: bytes
    mtime_ns: int
    mode: int
    content: Content | Below


class LocatedRecord(NamedTuple):
    """A directory record: entries at level 0, (last name, record below) above."""

    level: int
    entries: tuple[LocatedEntry, ...]
    children: tuple[tuple[bytes, Below], ...]


class Identity(NamedTuple):
    """The two ids of a record, which are those of the local record."""

    digest: bytes
    form: bytes


def identity(record: LocatedRecord) -> Identity:
    """Return the digest and the form id of a record, computed from its content."""
    if record.level:
        canonical = canonical_index(record.level, [(name, below.digest) for name, below in record.children])
        attributes = index_attributes([below.form for _, below in record.children])
    else:
        canonical = canonical_entries([CanonicalEntry(*entry[:4]) for entry in record.entries])
        attributes = entry_attributes(
            [
                Attributes(entry.mtime_ns, entry.mode, entry.content.form if isinstance(entry.content, Below) else b"")
                for entry in record.entries
            ]
        )
    digest = content_id(canonical)
    return Identity(digest, form_id(digest, attributes))


def totals_of(record: LocatedRecord) -> TreeTotals:
    """Return the sums over a record; raise `DamageError` if they are more than a version can have."""
    entries = files = directories = size = 0
    newest_ns = EARLIEST_NS
    for entry in record.entries:
        if isinstance(entry.content, Below):
            below = entry.content.totals
            files += below.files
            directories += below.directories + 1
            size += below.bytes
            newest_ns = max(newest_ns, below.newest_ns, entry.mtime_ns)
        else:
            files += 1
            size += 0 if entry.kind is Kind.LINK else entry.size
            newest_ns = max(newest_ns, entry.mtime_ns)
        entries += 1
    for _, below_record in record.children:
        below = below_record.totals
        entries += below.entries
        files += below.files
        directories += below.directories
        size += below.bytes
        newest_ns = max(newest_ns, below.newest_ns)
    if files + directories > INODES_MAX or size > LARGEST_TOTAL:
        raise DamageError("a directory record counts more entries or bytes than a version can have")
    return TreeTotals(entries, files, directories, size, newest_ns)


def check_chunk(chunk: Chunk) -> None:
    """Raise `DamageError` for a chunk that no reader makes room for."""
    stored = chunk.place.stored
    is_right = stored == chunk.size if chunk.codec == RAW else chunk.codec == ZSTD and stored < chunk.size
    if not stored > 0 or chunk.size > LARGEST or not is_right or len(chunk.id) != ID_LENGTH:
        raise DamageError(f"a chunk has invalid sizes: {chunk.size} bytes, {stored} stored with codec {chunk.codec}")
    check_place(chunk.place)


def check_list(item: ChunkList) -> None:
    """Raise `DamageError` for a list object that no reader makes room for."""
    if not 0 < item.place.stored <= LARGEST_FORM or not 0 < item.size <= LARGEST_FORM or item.chunks <= INLINE:
        raise DamageError(f"a list of {item.chunks} chunks has invalid sizes: {item.size} bytes")
    check_place(item.place)


def check_record(record: LocatedRecord) -> None:
    """Raise `DamageError` for a record that no version can have; both directions check the same."""
    names = [name for name, _ in record.children] if record.level else [entry.name for entry in record.entries]
    if (
        len(names) > FANOUT
        or (record.level and (not names or record.entries))
        or (not record.level and record.children)
    ):
        raise DamageError(f"a directory record of level {record.level} has {len(names)} rows")
    if not all(map(is_entry_name, names)) or any(name >= following for name, following in pairwise(names)):
        raise DamageError("a directory record has names that are invalid or out of order")
    for entry in record.entries:
        _check_entry(entry)
    if any(not below.totals.entries for _, below in record.children):
        raise DamageError("a directory record has an empty record below it")
    totals_of(record)


def _check_entry(entry: LocatedEntry) -> None:
    content, size, kind = entry.content, entry.size, entry.kind
    if entry.mode & ~MODE_BITS or isinstance(content, Below) != (kind is Kind.DIRECTORY):
        raise DamageError(f"the entry {entry.name!r} has the mode {entry.mode:o}, or content of another kind")
    if isinstance(content, Below):
        is_right = not size and content.digest == entry.id
    elif isinstance(content, ChunkList):
        check_list(content)
        is_right = kind in (Kind.FILE, Kind.EXECUTABLE) and content.chunks <= size <= LARGEST_TOTAL
    else:
        for chunk in content:
            check_chunk(chunk)
        is_right = _is_right(entry, content)
    if not is_right:
        raise DamageError(f"the entry {entry.name!r} of {size} bytes has content of another size or id")


def _is_right(entry: LocatedEntry, chunks: tuple[Chunk, ...]) -> bool:
    """Return whether the chunks in a record can be the content of their entry."""
    if len(chunks) > INLINE:
        return False
    if len(chunks) == 1 and chunks[0].id != entry.id:
        return False
    if entry.kind is Kind.REFERENCE:
        return len(chunks) == 1 and chunks[0].size <= LONGEST_REFERENCE and entry.size <= LARGEST_OUTSIDE
    if entry.kind is Kind.LINK and not (len(chunks) == 1 and entry.size <= MAX_LINK):
        return False
    return sum(chunk.size for chunk in chunks) == entry.size and (bool(chunks) or entry.id == EMPTY_ID)
