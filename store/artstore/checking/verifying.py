"""Verifying one node against its stored form, as a reader and a rebuild would read it, and against its record."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Final, NamedTuple

from artstore.errors import DamageError
from artstore.ids import content_id
from artstore.records.nodes import (
    KIND_CHUNK,
    KIND_LIST,
    KIND_LOST,
    KIND_TREE,
    Extent,
    ListRecord,
    canonical_list,
    decode_chunk,
    decode_list,
    decode_lost,
)
from artstore.records.packing import (
    CLASS_CONTENT,
    CLASS_LIST,
    CLASS_ROOT_LIST,
    CLASS_TREE,
    PackedEntry,
)
from artstore.records.trees import (
    CanonicalEntry,
    Kind,
    TreeEntry,
    TreeTotals,
    TreeView,
    canonical_entries,
    canonical_index,
)
from artstore.rows.nodes import node_payload
from artstore.storage.codec import decode, verify_stored
from artstore.storage.manifest import ReadTransaction

__all__ = ["Fault", "Read", "verify"]

Read = Callable[[Extent], bytes]
"""Returns the stored bytes of an extent; raises `DamageError` if they are missing."""
_FORBIDDEN: Final = frozenset({b"", b".", b".."})


class Fault(NamedTuple):
    """The fault of a node: the kind of problem, and a sentence about it."""

    kind: str
    sentence: str


def verify(transaction: ReadTransaction, node: int, entry: PackedEntry | None, read: Read) -> Fault | None:
    """Check one node; ``entry`` is its entry in the index of its segment, or None if that is unreadable.

    A fault of the kind ``chunk`` or ``record`` means that files are unreadable or differ from the original; ``packed``
    means that only a rebuild would be affected.
    """
    payload = node_payload(transaction, node)
    try:
        if payload[0] == KIND_CHUNK:
            return _verify_chunk(payload, entry, read)
        if payload[0] == KIND_LIST:
            record = decode_list(payload)
            is_inner = transaction.find(CLASS_LIST, record.id) == node
            canonical = _canonical_of_list(transaction, record)
            if is_inner and content_id(canonical) != record.id:
                return Fault("record", f"list {record.id.hex()} does not match its id")
            klass = CLASS_LIST if is_inner else CLASS_ROOT_LIST
            return _verify_packed(klass, record.id, record.extent, canonical, entry, read)
        if payload[0] == KIND_TREE:
            view = TreeView(payload)
            canonical = _canonical_of_tree(transaction, view)
            if content_id(canonical) != view.digest:
                return Fault("record", f"directory {view.digest.hex()} does not match its digest")
            return _verify_packed(CLASS_TREE, view.digest, view.extent, canonical, entry, read)
    except DamageError as error:
        return Fault("record", f"the record of node {node} ({payload[2:34].hex()}) is wrong: {error}")
    return None


def _verify_chunk(payload: bytes, entry: PackedEntry | None, read: Read) -> Fault | None:
    record = decode_chunk(payload)
    place = f"chunk {record.id.hex()} (pack {record.extent.pack}, offset {record.extent.offset})"
    try:
        stored = read(record.extent)
        verify_stored(stored, record.checksums)
        if content_id(decode(record.extent.codec, stored, record.size)) != record.id:
            return Fault("chunk", f"{place} does not match its id")
    except DamageError as error:
        return Fault("chunk", f"{place} is damaged: {error}")
    if entry is None:
        return None
    indexed = (entry.klass, entry.codec, entry.id, entry.stored, entry.size, entry.checksums)
    extent = record.extent
    if indexed != (CLASS_CONTENT, extent.codec, record.id, extent.stored, record.size, record.checksums):
        return Fault("packed", f"the pack's index has another entry for {place}")
    return None


def _verify_packed(
    klass: int, ident: bytes, extent: Extent, canonical: bytes, entry: PackedEntry | None, read: Read
) -> Fault | None:
    """Check the packed form of a list or directory against the canonical form that its record leads to."""
    place = f"the packed form of {ident.hex()} (pack {extent.pack}, offset {extent.offset})"
    try:
        stored = read(extent)
        if entry is not None:
            verify_stored(stored, entry.checksums)
        if decode(extent.codec, stored, len(canonical)) != canonical:
            return Fault("packed", f"{place} does not match its record")
    except DamageError as error:
        return Fault("packed", f"{place} is damaged: {error}")
    if entry is None:
        return None
    indexed = (entry.klass, entry.codec, entry.id, entry.stored, entry.size)
    if indexed != (klass, extent.codec, ident, extent.stored, len(canonical)):
        return Fault("packed", f"the pack's index has another entry for {place}")
    return None


def _canonical_of_list(transaction: ReadTransaction, record: ListRecord) -> bytes:
    """Return the canonical form of a list; raise `DamageError` if its children disagree with it."""
    rows = []
    before = 0
    for child in record.children:
        payload = node_payload(transaction, child.node)
        length, before = child.end - before, child.end
        if payload[0] == KIND_LOST:
            lost = decode_lost(payload)
            rows.append((lost.klass, lost.id, length))
            continue
        below = decode_chunk(payload) if payload[0] == KIND_CHUNK else decode_list(payload)
        level = below.level if isinstance(below, ListRecord) else -1
        if below.size != length or level != record.level - 1:
            raise DamageError(f"its child {below.id.hex()} has a wrong size or level: {below.size} bytes, {level}")
        rows.append((CLASS_LIST if isinstance(below, ListRecord) else CLASS_CONTENT, below.id, length))
    return canonical_list(record.level, rows)


def _canonical_of_tree(transaction: ReadTransaction, view: TreeView) -> bytes:
    """Return the canonical form of a directory record; raise `DamageError` if its rows disagree with the children."""
    names = [view.name(index) for index in range(view.count)]
    if any(first >= second for first, second in pairwise(names)):
        raise DamageError("its names are out of order")
    if any(name in _FORBIDDEN or b"/" in name or b"\0" in name for name in names):
        raise DamageError("it has an invalid name")
    if view.level:
        return _canonical_of_index(transaction, view)
    rows = []
    files = directories = size = 0
    is_whole = True
    for entry in view.entries():
        payload = node_payload(transaction, entry.node)
        if entry.kind == Kind.DIRECTORY:
            is_whole &= payload[0] != KIND_LOST
            files += _check_directory(entry, directories, payload)
            directories += entry.directories
            size += entry.size
        else:
            _check_file(entry, payload)
            files += 1
            if entry.kind != Kind.LINK:
                size += entry.size
        rows.append(
            CanonicalEntry(entry.name, entry.kind, 0 if entry.kind == Kind.DIRECTORY else entry.size, payload[2:34])
        )
    if is_whole and view.totals != TreeTotals(len(rows), files, directories, size):
        raise DamageError("its totals are wrong")
    return canonical_entries(rows)


def _check_directory(entry: TreeEntry, before: int, payload: bytes) -> int:
    """Check the row of a directory against its record; return how many files are below it."""
    if payload[0] == KIND_LOST:
        return 0
    below = TreeView(payload).totals
    if (entry.size, entry.directories, entry.directories_before) != (below.bytes, below.directories + 1, before):
        raise DamageError(f"its entry for the directory {entry.name!r} is wrong")
    return below.files


def _check_file(entry: TreeEntry, payload: bytes) -> None:
    if payload[0] == KIND_LOST:
        lost = decode_lost(payload)
        recorded = (lost.size, lost.birth_ns)
    else:
        record = decode_chunk(payload) if payload[0] == KIND_CHUNK else decode_list(payload)
        recorded = (record.size, record.birth_ns)
    if entry.kind == Kind.REFERENCE:  # its size is that of what it leads to
        recorded = (entry.size, recorded[1])
    if (entry.size, entry.birth_ns) != recorded:
        raise DamageError(f"its entry for {entry.name!r} is wrong")


def _canonical_of_index(transaction: ReadTransaction, view: TreeView) -> bytes:
    rows = []
    entries = files = directories = size = 0
    is_whole = True
    for row in view.children():
        payload = node_payload(transaction, row.node)
        rows.append((row.last_name, payload[2:34]))
        if payload[0] == KIND_LOST:
            is_whole = False
            continue
        below = TreeView(payload)
        sums = below.totals
        indexed = (row.entries, row.entries_before, row.directories, row.directories_before)
        last = below.name(below.count - 1) if below.count else b""
        if below.level != view.level - 1 or last != row.last_name:
            raise DamageError(f"the record that ends at {row.last_name!r} does not match")
        if is_whole and indexed != (sums.entries, entries, sums.directories, directories):
            raise DamageError(f"its row for the entries up to {row.last_name!r} is wrong")
        entries, files = entries + sums.entries, files + sums.files
        directories, size = directories + sums.directories, size + sums.bytes
    if is_whole and view.totals != TreeTotals(entries, files, directories, size):
        raise DamageError("its totals are wrong")
    return canonical_index(view.level, rows)
