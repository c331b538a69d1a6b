"""A record that is sealed as if it were right is compared with all that it says of what is below it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from artstore.checking.verifying import Fault, verify
from artstore.records.nodes import KIND_LIST, KIND_TREE, Extent, decode_list, encode_list
from artstore.records.packing import PackedEntry
from artstore.records.tables import Table
from artstore.records.trees import ChildRecord, Kind, TreeEntry, TreeTotals, TreeView, encode_tree
from artstore.rows.nodes import node_extent, node_payload
from artstore.storage import disk
from artstore.storage.packs import pack_path, read_segments
from artstore.workspace import Workspace
from reasons import has_reason

Rows = list[TreeEntry] | list[ChildRecord]


def verified(ws: Workspace, node: int, entry: PackedEntry | None = None) -> Fault | None:
    def read(extent: Extent) -> bytes:
        with pack_path(ws.path, extent.pack).open("rb") as file:
            return disk.read_exactly(file.fileno(), extent.stored, extent.offset)

    with ws.store.snapshot() as snapshot:
        return verify(snapshot.transaction, node, entry, read)


def nodes_of(ws: Workspace, kind: int) -> dict[int, bytes]:
    with ws.store.snapshot() as snapshot:
        rows = snapshot.transaction.numbered_rows(Table.NODES)
        return {node: payload for node, payload in rows if payload[0] == kind}


def test_all_that_was_put_is_as_it_says(lived: Workspace) -> None:
    entries = {
        (1, entry.offset): entry
        for segment in read_segments(pack_path(lived.path, 1))
        for entry in segment
        if entry.stored
    }
    with lived.store.snapshot() as snapshot:
        rows = {node: node_extent(payload) for node, payload in snapshot.transaction.numbered_rows(Table.NODES)}
    for node, extent in rows.items():
        assert verified(lived, node, entries[extent[:2]] if extent.stored else None) is None


@pytest.mark.parametrize("size", [5, 7])
def test_the_record_of_a_reference(workspace: Workspace, tmp_path: Path, size: int) -> None:
    """It is decoded, and must have the size of the entry; other content is no reference."""
    (tmp_path / "f").write_bytes(b"bytes")
    node = workspace.refer(str(tmp_path / "f"), "x").record.root
    payload = nodes_of(workspace, KIND_TREE)[node]
    assert verified(workspace, node) is None
    view = TreeView(payload)
    other = workspace.put(tmp_path / "f", "y")
    with workspace.store.snapshot() as snapshot:
        chunk = snapshot.resolve(other.record.root, b"f").node
    entry = view.entry(0)
    changed = entry._replace(size=size) if size == 7 else entry._replace(node=chunk)
    totals = view.totals._replace(bytes=size)
    with workspace.store.write() as transaction:
        record = encode_tree(0, view.digest, view.form, totals, view.extent, [changed])
        transaction.put_numbered(Table.NODES, node, record)
    fault = verified(workspace, node)
    assert fault is not None and fault.kind == "record" and "reference" in fault.sentence


def change_tree(ws: Workspace, level: int, change: Callable[[TreeView, Rows], tuple[Rows, TreeTotals]]) -> Fault | None:
    """Write a directory record otherwise, and return what is found."""
    node, view = next(
        (node, view)
        for node, payload in nodes_of(ws, KIND_TREE).items()
        if (view := TreeView(payload)).level == level and view.count > 3
    )
    rows, totals = change(view, list(view.children()) if level else list(view.entries()))
    with ws.store.write() as transaction:
        transaction.put_numbered(
            Table.NODES, node, encode_tree(level, view.digest, view.form, totals, view.extent, rows)
        )
    return verified(ws, node)


def swapped(view: TreeView, rows: Rows) -> tuple[Rows, TreeTotals]:
    rows[0], rows[1] = rows[1], rows[0]
    return rows, view.totals


def renamed(view: TreeView, rows: Rows) -> tuple[Rows, TreeTotals]:
    return [_with(rows[0], name=b"!", last_name=b"!"), *rows[1:]], view.totals  # type: ignore[return-value]


def impossible(view: TreeView, rows: Rows) -> tuple[Rows, TreeTotals]:
    return [_with(rows[0], name=b"../x", last_name=b"../x"), *rows[1:]], view.totals  # type: ignore[return-value]


def larger(view: TreeView, rows: Rows) -> tuple[Rows, TreeTotals]:
    changed = [_with(row, size=77) if isinstance(row, TreeEntry) else row for row in rows]
    return changed, view.totals  # type: ignore[return-value]


def other_kind(view: TreeView, rows: Rows) -> tuple[Rows, TreeTotals]:
    changed = [_with(row, kind=Kind.EXECUTABLE) if isinstance(row, TreeEntry) else row for row in rows]
    return changed, view.totals  # type: ignore[return-value]


def older(view: TreeView, rows: Rows) -> tuple[Rows, TreeTotals]:
    changed = [_with(row, mtime_ns=1) for row in rows]
    return changed, view.totals._replace(newest_ns=1)  # type: ignore[return-value]


def not_writable(view: TreeView, rows: Rows) -> tuple[Rows, TreeTotals]:
    return [_with(row, mode=0o444) for row in rows], view.totals  # type: ignore[return-value]


def one_late(view: TreeView, rows: Rows) -> tuple[Rows, TreeTotals]:
    """Count one inode too many before the second row and those after it."""
    late = [_with(row, inodes_before=row.inodes_before + 1) for row in rows[1:]]
    return [rows[0], *late], view.totals._replace(files=view.totals.files + 1)  # type: ignore[return-value]


def newer_totals(view: TreeView, rows: Rows) -> tuple[Rows, TreeTotals]:
    return rows, view.totals._replace(newest_ns=view.totals.newest_ns + 1)


def more_files(view: TreeView, rows: Rows) -> tuple[Rows, TreeTotals]:
    """Count a file as a directory: the sum of the two stays."""
    return rows, view.totals._replace(files=view.totals.files - 1, directories=view.totals.directories + 1)


def other_totals(view: TreeView, rows: Rows) -> tuple[Rows, TreeTotals]:
    return rows, view.totals._replace(bytes=view.totals.bytes + 1)


def moved_up(view: TreeView, rows: Rows) -> tuple[Rows, TreeTotals]:
    changed = [_with(row, entries_before=row.entries_before + 1) for row in rows if isinstance(row, ChildRecord)]
    return changed, view.totals._replace(entries=view.totals.entries + 1)  # type: ignore[return-value]


def _with(row: TreeEntry | ChildRecord, **changes: object) -> TreeEntry | ChildRecord:
    return row._replace(**{name: value for name, value in changes.items() if name in row._fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("level", "change", "reason"),
    [
        (0, swapped, "names out of order"),
        (0, renamed, "other content than its digest"),
        (0, impossible, "invalid name"),
        (0, larger, "wrong entry"),
        (0, other_kind, "other content than its digest"),
        (0, older, "other form than its id"),
        (0, not_writable, "other form than its id"),
        (0, one_late, "running totals"),
        (0, newer_totals, "wrong totals"),
        (0, more_files, "wrong totals"),
        (0, other_totals, "wrong totals"),
        (1, swapped, "names out of order"),
        (1, renamed, "record of another"),
        (1, other_totals, "wrong totals"),
        (1, moved_up, "wrong entry"),
        (1, one_late, "wrong entry"),
        (1, newer_totals, "wrong totals"),
        (1, more_files, "wrong totals"),
    ],
)
def test_a_directory_record_that_is_wrong_is_found(
    lived: Workspace, level: int, change: Callable[[TreeView, Rows], tuple[Rows, TreeTotals]], reason: str
) -> None:
    fault = change_tree(lived, level, change)
    assert fault is not None
    assert fault.kind == "record"
    assert has_reason(fault.sentence, reason)


def test_a_directory_that_is_counted_otherwise_than_it_counts_is_found(lived: Workspace) -> None:
    """An index off by one: the entries after a directory are counted one too late, and the totals with them."""
    root = lived.version("alone:v1").record.root
    with lived.store.write() as transaction:
        view = TreeView(node_payload(transaction, root))
        first, *rest = view.entries()
        assert first.is_directory
        rows = [first, *(entry._replace(inodes_before=entry.inodes_before + 1) for entry in rest)]
        totals = view.totals._replace(files=view.totals.files + 1)
        payload = encode_tree(0, view.digest, view.form, totals, view.extent, rows)
        transaction.put_numbered(Table.NODES, root, payload)
    fault = verified(lived, root)
    assert fault is not None
    assert fault.kind == "record"
    assert has_reason(fault.sentence, "wrong entry")
    assert "b'deep'" in fault.sentence


def test_a_list_that_says_something_else_than_its_children_is_found(lived: Workspace) -> None:
    node, payload = next(iter(nodes_of(lived, KIND_LIST).items()))
    record = decode_list(payload)
    for changed, kind in (
        (record._replace(children=(record.children[0]._replace(end=1), *record.children[1:])), "record"),
        (record._replace(level=record.level + 1), "record"),
        (record._replace(extent=record.extent._replace(codec=1 - record.extent.codec)), "packed"),
    ):
        with lived.store.write() as transaction:
            transaction.put_numbered(Table.NODES, node, encode_list(changed))
        fault = verified(lived, node)
        assert fault is not None
        assert fault.kind == kind


def test_an_index_that_says_something_else_is_found(lived: Workspace) -> None:
    """A rebuild reads the packs' indexes only."""
    entries = {entry.offset: entry for segment in read_segments(pack_path(lived.path, 1)) for entry in segment}
    with lived.store.snapshot() as snapshot:
        places = {
            node_extent(payload).offset: node for node, payload in snapshot.transaction.numbered_rows(Table.NODES)
        }
    for offset in sorted(places)[1::40]:
        entry = entries[offset]
        for wrong in (entry._replace(klass=0x78), entry._replace(id=bytes(32)), entry._replace(size=entry.size + 1)):
            fault = verified(lived, places[offset], wrong)
            assert fault is not None
            assert fault.kind == "packed"
