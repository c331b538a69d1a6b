"""Directory records against a plain list of rows."""

from __future__ import annotations

from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artstore.errors import DamageError
from artstore.records.nodes import Extent
from artstore.records.trees import (
    CanonicalEntry,
    CanonicalTree,
    ChildRecord,
    Kind,
    TreeEntry,
    TreeTotals,
    TreeView,
    canonical_entries,
    canonical_index,
    encode_tree,
    is_entry_name,
    parse_canonical_tree,
)

EXTENT = Extent(7, 4096, 300, 1)
NAMES = st.binary(min_size=1, max_size=255)
IDS = st.binary(min_size=32, max_size=32)


@st.composite
def entries(draw: st.DrawFn) -> list[TreeEntry]:
    rows, before = [], 0
    for name in sorted(draw(st.sets(NAMES, max_size=40))):
        kind, node, size = draw(st.sampled_from(Kind)), draw(st.integers(1, 2**63)), draw(st.integers(0, 2**63))
        if kind == Kind.DIRECTORY:
            count = draw(st.integers(1, 1000))
            rows.append(TreeEntry(name, kind, node, size, 0, count, before))
            before += count
        else:
            rows.append(TreeEntry(name, kind, node, size, draw(st.integers(0, 2**62)), 0, 0))
    return rows


@st.composite
def children(draw: st.DrawFn) -> list[ChildRecord]:
    rows, entries_before, directories_before = [], 0, 0
    for name in sorted(draw(st.sets(NAMES, min_size=1, max_size=40))):
        count, directories = draw(st.integers(1, 256)), draw(st.integers(0, 5))
        row = ChildRecord(draw(st.integers(1, 2**63)), name, count, entries_before, directories, directories_before)
        entries_before += count
        directories_before += directories
        rows.append(row)
    return rows


def view_of(level: int, rows: list[TreeEntry] | list[ChildRecord]) -> TreeView:
    totals = TreeTotals(
        sum(row.entries if isinstance(row, ChildRecord) else 1 for row in rows),
        2**40,
        sum(row.directories for row in rows),
        2**50,
    )
    return TreeView(encode_tree(level, bytes(range(32)), totals, EXTENT, rows))


@given(rows=entries(), missing=NAMES, start=st.integers(0, 40))
def test_entries_are_those_of_a_list(rows: list[TreeEntry], missing: bytes, start: int) -> None:
    """By index, by name, from a position, and as references, a record of level 0 is the list that it was made of."""
    view = view_of(0, rows)
    names = [row.name for row in rows]
    assert (view.level, view.count, view.digest, view.extent) == (0, len(rows), bytes(range(32)), EXTENT)
    assert (view.total_entries, view.total_files, view.total_bytes) == (len(rows), 2**40, 2**50)
    assert view.total_directories == sum(row.directories for row in rows)
    assert [view.entry(index) for index in range(len(rows))] == rows
    assert list(view.entries()) == rows
    assert list(view.entries(min(start, len(rows)))) == rows[start:]
    if not view.total_directories:
        assert list(view.contents(start)) == [
            (row.name, int(row.kind), row.node, row.size, row.birth_ns) for row in rows[start:]
        ]
    assert view.nodes() == [row.node for row in rows]
    assert [view.name(index) for index in range(len(rows))] == names
    assert [view.find(name) for name in names] == list(range(len(rows)))
    assert view.find(missing) == (names.index(missing) if missing in names else -1)
    assert view.footprint > 0


@given(rows=entries())
def test_directories_are_found_by_their_preorder_index(rows: list[TreeEntry]) -> None:
    """Every directory below, counted through, lies below the entry that a plain count says."""
    view = view_of(0, rows)
    owners = [index for index, row in enumerate(rows) for _ in range(min(row.directories, 3))]
    probes = [
        directory
        for row in rows
        for directory in range(row.directories_before, row.directories_before + min(row.directories, 3))
    ]
    assert [view.child_for_directory(probe) for probe in probes] == owners
    assert view.child_for_directory(view.total_directories) == -1


@given(rows=children(), name=NAMES)
def test_records_below_are_found(rows: list[ChildRecord], name: bytes) -> None:
    """By name, by position and by directory, an index record leads where a plain search of its rows does."""
    view = view_of(1, rows)
    names = [row.last_name for row in rows]
    assert list(view.children()) == rows
    assert [view.child(index) for index in range(len(rows))] == rows
    assert view.nodes() == [row.node for row in rows]
    expected = bisect_left(names, name)
    assert view.child_for_name(name) == (expected if expected < len(rows) else -1)
    assert [view.child_for_name(last) for last in names] == list(range(len(rows)))
    for index, row in enumerate(rows):
        assert view.child_for_position(row.entries_before) == index
        assert view.child_for_position(row.entries_before + row.entries - 1) == index
        for directory in range(row.directories_before, row.directories_before + row.directories):
            assert view.child_for_directory(directory) == index
    assert view.child_for_position(view.total_entries) == -1
    assert view.child_for_directory(view.total_directories) == -1


@given(rows=entries())
def test_a_cut_head_is_refused(rows: list[TreeEntry]) -> None:
    """A record that ends inside its head or its rows is damage, not an error of the reader's."""
    payload = encode_tree(0, bytes(32), TreeTotals(len(rows), 0, 0, 0), EXTENT, rows)
    for size in range(len(payload) - sum(len(row.name) for row in rows)):
        with pytest.raises(DamageError):
            TreeView(payload[:size])
    with pytest.raises(DamageError):
        TreeView(b"\1" + payload[1:])


ENTRY_NAMES = NAMES.filter(is_entry_name)
CANONICAL = st.lists(
    st.builds(CanonicalEntry, ENTRY_NAMES, st.sampled_from(Kind), st.integers(0, 2**63), IDS),
    max_size=20,
    unique_by=lambda e: e.name,
).map(sorted)


@given(rows=CANONICAL)
def test_canonical_records_round_trip(rows: list[CanonicalEntry]) -> None:
    """The packed form comes back, and refuses every truncation, an added byte and an unknown kind."""
    data = canonical_entries(rows)
    assert parse_canonical_tree(data) == CanonicalTree(0, tuple(rows), ())
    for size in range(len(data)):
        with pytest.raises(DamageError):
            parse_canonical_tree(data[:size])
    with pytest.raises(DamageError):
        parse_canonical_tree(data + b"\0")


CHILDREN = st.lists(st.tuples(ENTRY_NAMES, IDS), min_size=1, max_size=20, unique_by=lambda row: row[0]).map(sorted)


@given(level=st.integers(1, 5), rows=CHILDREN)
def test_canonical_index_records_round_trip(level: int, rows: list[tuple[bytes, bytes]]) -> None:
    """The same holds above level 0."""
    data = canonical_index(level, rows)
    assert parse_canonical_tree(data) == CanonicalTree(level, (), tuple(rows))
    for size in range(len(data)):
        with pytest.raises(DamageError):
            parse_canonical_tree(data[:size])


def test_malformed_canonical_records_are_refused() -> None:
    """Another format, an unknown kind, more entries than a record holds, and names that are none or out of order."""
    entry = CanonicalEntry(b"a", Kind.FILE, 1, bytes(32))
    data = canonical_entries([entry])
    unknown = data[:6] + b"\x09" + data[7:]
    many = canonical_entries([CanonicalEntry(b"%03d" % n, Kind.FILE, 1, bytes(32)) for n in range(257)])
    out_of_order = canonical_entries([entry._replace(name=b"b"), entry])
    names = [canonical_entries([entry._replace(name=name)]) for name in (b"", b".", b"..", b"a/b", b"/", b"a\0")]
    for broken in (b"\2" + data[1:], unknown, many, b"", out_of_order, canonical_entries([entry] * 2), *names):
        with pytest.raises(DamageError):
            parse_canonical_tree(broken)
