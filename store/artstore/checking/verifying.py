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
    ChunkRecord,
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
from artstore.records.references import ReferenceRecord
from artstore.records.trees import EARLIEST_NS, Kind, TreeEntry, TreeTotals, TreeView
from artstore.rows.nodes import node_payload
from artstore.rows.packed_trees import NOTHING, packed_tree, summed
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
            _check_rows(transaction, view, read)
            packed = packed_tree(transaction, view)
            if packed.digest != view.digest:
                return Fault("record", f"directory {view.digest.hex()} does not match its digest")
            if packed.form != view.form:
                return Fault("record", f"the times or modes of directory {view.form.hex()} do not match its form id")
            return _verify_packed(CLASS_TREE, view.form, view.extent, packed.data, entry, read)
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


def _check_rows(transaction: ReadTransaction, view: TreeView, read: Read) -> None:
    """Check the names, rows and totals of a directory record; raise `DamageError` if they disagree with the children.

    A lost child takes part with what its row says; the totals of what is above it are then unknown.
    """
    names = [view.name(index) for index in range(view.count)]
    if any(first >= second for first, second in pairwise(names)):
        raise DamageError("its names are out of order")
    if any(name in _FORBIDDEN or b"/" in name or b"\0" in name for name in names):
        raise DamageError("it has an invalid name")
    totals = _totals_of_index(transaction, view) if view.level else _totals_of_entries(transaction, view, read)
    if totals is not None and view.totals != totals:
        raise DamageError("its totals are wrong")


def _totals_of_entries(transaction: ReadTransaction, view: TreeView, read: Read) -> TreeTotals | None:
    """Check the rows of a record of level 0; return the totals of what they lead to, or None if a part is lost."""
    files = directories = size = before = 0
    newest_ns = EARLIEST_NS
    is_whole = True
    for entry in view.entries():
        payload = node_payload(transaction, entry.node)
        if entry.inodes_before != before:
            raise DamageError(f"its entry {entry.name!r} is counted as the {entry.inodes_before}th, not the {before}th")
        before += entry.inodes
        newest_ns = max(newest_ns, entry.mtime_ns)
        if not entry.is_directory:
            _check_file(entry, payload, read)
            files += 1
        elif payload[0] == KIND_LOST:
            is_whole = False
        else:
            below = _directory_totals(entry, payload)
            files, directories = files + below.files, directories + below.directories + 1
            newest_ns = max(newest_ns, below.newest_ns)
        if entry.kind != Kind.LINK:
            size += entry.size
    return TreeTotals(view.count, files, directories, size, newest_ns) if is_whole else None


def _directory_totals(entry: TreeEntry, payload: bytes) -> TreeTotals:
    """Check the row of a directory against its record; return the totals of that."""
    below = TreeView(payload).totals
    if (entry.size, entry.inodes) != (below.bytes, below.inodes + 1):
        raise DamageError(f"its entry for the directory {entry.name!r} is wrong")
    return below


def _check_file(entry: TreeEntry, payload: bytes, read: Read) -> None:
    if entry.kind == Kind.REFERENCE:
        if payload[0] != KIND_LOST:
            _check_reference(entry, decode_chunk(payload), read)
        return
    if payload[0] == KIND_LOST:
        size = decode_lost(payload).size
    else:
        size = (decode_chunk(payload) if payload[0] == KIND_CHUNK else decode_list(payload)).size
    if entry.size != size:
        raise DamageError(f"its entry for {entry.name!r} is wrong")


def _check_reference(entry: TreeEntry, chunk: ChunkRecord, read: Read) -> None:
    """Check the record of a reference; its entry has the size of the file outside."""
    try:
        stored = read(chunk.extent)
        verify_stored(stored, chunk.checksums)
        data = decode(chunk.extent.codec, stored, chunk.size)
    except DamageError:
        return  # the chunk has this fault
    if ReferenceRecord.decode(data).size != entry.size:
        raise DamageError(f"its entry for the reference {entry.name!r} is wrong")


def _totals_of_index(transaction: ReadTransaction, view: TreeView) -> TreeTotals | None:
    """Check the rows of a record above level 0; return the totals of what they lead to, or None if a part is lost."""
    sums = NOTHING
    entries_before = inodes_before = 0
    is_whole = True
    for row in view.children():
        if (row.entries_before, row.inodes_before) != (entries_before, inodes_before):
            raise DamageError(f"its row for the entries up to {row.last_name!r} is wrong")
        entries_before, inodes_before = entries_before + row.entries, inodes_before + row.inodes
        payload = node_payload(transaction, row.node)
        if payload[0] == KIND_LOST:
            is_whole = False
            continue
        below = TreeView(payload)
        last = below.name(below.count - 1) if below.count else b""
        if below.level != view.level - 1 or last != row.last_name:
            raise DamageError(f"the record that ends at {row.last_name!r} does not match")
        if (row.entries, row.inodes) != (below.totals.entries, below.totals.inodes):
            raise DamageError(f"its row for the entries up to {row.last_name!r} is wrong")
        sums = summed(sums, below.totals)
    return sums if is_whole else None
