"""Directory records against a plain list of rows."""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from artstore.errors import DamageError
from artstore.records.nodes import Extent
from artstore.records.packed_trees import (
    Attributes,
    CanonicalEntry,
    canonical_entries,
    canonical_index,
    entry_attributes,
    form_id,
    index_attributes,
    parse_packed_tree,
)
from artstore.records.trees import (
    _HEAD,
    EARLIEST_NS,
    INODES_MAX,
    LATEST_NS,
    MODE_BITS,
    ChildRecord,
    Kind,
    TreeEntry,
    TreeTotals,
    TreeView,
    clamped_ns,
    encode_tree,
    is_entry_name,
    tree_with_extent,
)

EXTENT = Extent(7, 4096, 300, 1)
DIGEST, FORM = bytes(range(32)), bytes(range(32, 64))
NAMES = st.binary(min_size=1, max_size=255)
IDS = st.binary(min_size=32, max_size=32)
TIMES = st.integers(EARLIEST_NS, LATEST_NS) | st.sampled_from([EARLIEST_NS, -1, 0, LATEST_NS])
MODES = st.integers(0, MODE_BITS)


@st.composite
def entries(draw: st.DrawFn) -> list[TreeEntry]:
    rows, before = [], 0
    for name in sorted(draw(st.sets(NAMES, max_size=40))):
        kind, node, size = draw(st.sampled_from(Kind)), draw(st.integers(1, 2**63)), draw(st.integers(0, 2**64 - 1))
        inodes = draw(st.integers(1, 1000)) if kind == Kind.DIRECTORY else 1
        rows.append(TreeEntry(name, kind, node, size, draw(TIMES), draw(MODES), before, inodes))
        before += inodes
    return rows


@st.composite
def children(draw: st.DrawFn) -> list[ChildRecord]:
    rows, entries_before, inodes_before = [], 0, 0
    for name in sorted(draw(st.sets(NAMES, min_size=1, max_size=40))):
        count, deeper = draw(st.integers(1, 256)), draw(st.integers(0, 5))
        row = ChildRecord(draw(st.integers(1, 2**63)), name, count, entries_before, count + deeper, inodes_before)
        entries_before += count
        inodes_before += count + deeper
        rows.append(row)
    return rows


def totals_of(rows: list[TreeEntry] | list[ChildRecord], newest_ns: int = 0) -> TreeTotals:
    """Return totals in which half of the inodes are directories."""
    inodes = sum(row.inodes for row in rows)
    listed = sum(row.entries if isinstance(row, ChildRecord) else 1 for row in rows)
    return TreeTotals(listed, inodes - inodes // 2, inodes // 2, 2**50, newest_ns)


def encoded(level: int, rows: list[TreeEntry] | list[ChildRecord], totals: TreeTotals | None = None) -> bytes:
    return encode_tree(level, DIGEST, FORM, totals or totals_of(rows), EXTENT, rows)


@given(rows=entries(), missing=NAMES, start=st.integers(0, 40), newest_ns=TIMES)
def test_entries_are_those_of_a_list(rows: list[TreeEntry], missing: bytes, start: int, newest_ns: int) -> None:
    """By index, by name, from a position, and as references, a record of level 0 is the list that it was made of."""
    totals = totals_of(rows, newest_ns)
    view = TreeView(encoded(0, rows, totals))
    names = [row.name for row in rows]
    assert (view.level, view.count, view.digest, view.form, view.extent) == (0, len(rows), DIGEST, FORM, EXTENT)
    assert view.totals == totals
    assert (view.total_entries, view.total_bytes) == (len(rows), 2**50)
    assert view.total_files + view.total_directories == view.totals.inodes == sum(row.inodes for row in rows)
    assert [view.entry(index) for index in range(len(rows))] == rows
    assert list(view.entries()) == rows
    assert list(view.entries(min(start, len(rows)))) == rows[start:]
    assert [entry.is_directory for entry in view.entries()] == [row.kind == Kind.DIRECTORY for row in rows]
    assert view.nodes() == [row.node for row in rows]
    assert [view.name(index) for index in range(len(rows))] == names
    assert [view.find(name) for name in names] == list(range(len(rows)))
    assert view.find(missing) == (names.index(missing) if missing in names else -1)
    assert view.footprint > 0


@given(rows=entries(), beyond=st.integers(0, 2**40))
def test_entries_are_found_by_their_preorder_index(rows: list[TreeEntry], beyond: int) -> None:
    """Every entry at any depth, counted through, is or lies below the entry that a plain count gives."""
    view = TreeView(encoded(0, rows))
    starts = [row.inodes_before for row in rows]
    probes = {probe for row in rows for probe in (row.inodes_before, row.inodes_before + row.inodes - 1)}
    probes |= {probe + 1 for probe in probes if probe + 1 < view.totals.inodes}
    for probe in probes:
        assert view.row_for_inode(probe) == bisect_right(starts, probe) - 1
    assert view.row_for_inode(view.totals.inodes + beyond) == -1


@given(rows=children(), name=NAMES)
def test_records_below_are_found(rows: list[ChildRecord], name: bytes) -> None:
    """By name, by position and by preorder index, an index record leads where a plain search of its rows does."""
    view = TreeView(encoded(1, rows))
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
        assert view.row_for_inode(row.inodes_before) == index
        assert view.row_for_inode(row.inodes_before + row.inodes - 1) == index
    assert view.child_for_position(view.total_entries) == -1
    assert view.row_for_inode(view.totals.inodes) == -1


@given(rows=entries())
def test_a_cut_head_is_refused(rows: list[TreeEntry]) -> None:
    """A record that ends inside its head or its rows is damage, not an error of the reader's."""
    payload = encoded(0, rows)
    for size in range(len(payload) - sum(len(row.name) for row in rows)):
        with pytest.raises(DamageError):
            TreeView(payload[:size])
    with pytest.raises(DamageError):
        TreeView(b"\1" + payload[1:])
    with pytest.raises(DamageError):
        TreeView(payload[:1] + b"\1" + payload[2:])


@given(rows=entries() | children(), extent=st.tuples(*[st.integers(0, 2**20)] * 3, st.integers(0, 255)))
def test_a_moved_record_differs_in_its_extent_only(
    rows: list[TreeEntry] | list[ChildRecord], extent: tuple[int, int, int, int]
) -> None:
    """A record whose stored form was moved has all rows, totals and ids of before."""
    level = int(bool(rows) and isinstance(rows[0], ChildRecord))
    payload = encoded(level, rows)
    moved = TreeView(tree_with_extent(payload, Extent(*extent)))
    assert moved.extent == Extent(*extent)
    assert (moved.digest, moved.form, moved.totals) == (DIGEST, FORM, TreeView(payload).totals)
    assert tree_with_extent(tree_with_extent(payload, Extent(*extent)), EXTENT) == payload


def test_the_largest_record() -> None:
    """256 names of 255 bytes, the most entries that inode numbers count, and the extremes of each field."""
    many = [
        TreeEntry(b"%0255d" % number, Kind.DIRECTORY, 2**64 - 1, 2**64 - 1, LATEST_NS, MODE_BITS, number, 1)
        for number in range(255)
    ]
    rows = [*many, TreeEntry(b"z" * 255, Kind.DIRECTORY, 0, 0, EARLIEST_NS, 0, 255, INODES_MAX - 255)]
    totals = TreeTotals(256, 0, INODES_MAX, 2**64 - 1, LATEST_NS)
    view = TreeView(encoded(0, rows, totals))
    assert list(view.entries()) == rows
    assert view.totals == totals
    assert view.row_for_inode(INODES_MAX - 1) == 255
    assert view.row_for_inode(INODES_MAX) == -1


def test_running_totals_that_cannot_be() -> None:
    """A record is refused where its running totals begin late, stand still, run backwards or leave a file several."""

    def files(*before: int, total: int) -> bytes:
        rows = [
            TreeEntry(b"%d" % at, Kind.FILE, 1, 1, 0, 0o644, inodes_before, 1)
            for at, inodes_before in enumerate(before)
        ]
        return encoded(0, rows, TreeTotals(len(rows), total, 0, 0, 0))

    assert len(list(TreeView(files(0, 1, 2, total=3)).entries())) == 3
    with pytest.raises(DamageError):
        TreeView(files(1, 2, total=3)).row_for_inode(1)
    for payload in (files(0, 0, total=1), files(0, 2, 1, total=3), files(0, 1, total=3), files(0, 1, total=1)):
        with pytest.raises(DamageError):
            list(TreeView(payload).entries())


@given(st.integers(-(2**80), 2**80))
def test_clamped_times(mtime_ns: int) -> None:
    """A time that a record cannot hold becomes the nearest one that it can."""
    clamped = clamped_ns(mtime_ns)
    assert EARLIEST_NS <= clamped <= LATEST_NS
    assert clamped == mtime_ns or clamped in (EARLIEST_NS, LATEST_NS)


# -- the packed form ---------------------------------------------------------------------------------------------------


ENTRY_NAMES = NAMES.filter(is_entry_name)


@st.composite
def packed_entries(draw: st.DrawFn) -> list[tuple[CanonicalEntry, Attributes]]:
    rows = []
    for name in sorted(draw(st.sets(ENTRY_NAMES, max_size=20))):
        entry = CanonicalEntry(name, draw(st.sampled_from(Kind)), draw(st.integers(0, 2**64 - 1)), draw(IDS))
        form = draw(IDS) if entry.kind == Kind.DIRECTORY else b""
        rows.append((entry, Attributes(draw(TIMES), draw(MODES), form)))
    return rows


@given(rows=packed_entries())
def test_packed_records_round_trip(rows: list[tuple[CanonicalEntry, Attributes]]) -> None:
    """The packed form comes back with its ids, and refuses every truncation and an added byte."""
    canonical = canonical_entries([entry for entry, _ in rows])
    attributes = entry_attributes([each for _, each in rows])
    tree = parse_packed_tree(canonical + attributes)
    assert list(zip(tree.entries, tree.attributes, strict=True)) == rows
    assert (tree.level, tree.children) == (0, ())
    assert tree.digest == blake3(canonical).digest()
    assert tree.form == form_id(tree.digest, attributes) == blake3(tree.digest + attributes).digest()
    for size in range(len(canonical + attributes)):
        with pytest.raises(DamageError):
            parse_packed_tree((canonical + attributes)[:size])
    with pytest.raises(DamageError):
        parse_packed_tree(canonical + attributes + b"\0")


CHILDREN = st.lists(st.tuples(ENTRY_NAMES, IDS, IDS), min_size=1, max_size=20, unique_by=lambda row: row[0]).map(sorted)


@given(level=st.integers(1, 5), rows=CHILDREN)
def test_packed_index_records_round_trip(level: int, rows: list[tuple[bytes, bytes, bytes]]) -> None:
    """The same holds above level 0."""
    canonical = canonical_index(level, [(name, digest) for name, digest, _ in rows])
    attributes = index_attributes([form for *_, form in rows])
    tree = parse_packed_tree(canonical + attributes)
    assert (tree.level, tree.entries, tree.attributes, tree.children) == (level, (), (), tuple(rows))
    assert tree.digest == blake3(canonical).digest()
    assert tree.form == blake3(tree.digest + attributes).digest()
    for size in range(len(canonical + attributes)):
        with pytest.raises(DamageError):
            parse_packed_tree((canonical + attributes)[:size])
    with pytest.raises(DamageError):
        parse_packed_tree(canonical + attributes + bytes(32))


@given(rows=packed_entries().filter(bool), data=st.data())
def test_forms_of_one_digest(rows: list[tuple[CanonicalEntry, Attributes]], data: st.DataObject) -> None:
    """Another time, mode or form id below changes the form id and leaves the digest; equal attributes give one form."""
    canonical = canonical_entries([entry for entry, _ in rows])
    attributes = [each for _, each in rows]
    at = data.draw(st.integers(0, len(rows) - 1))
    changed = attributes[at]._replace(mtime_ns=data.draw(TIMES), mode=data.draw(MODES))
    if changed.form:
        changed = changed._replace(form=data.draw(IDS))
    other = [*attributes[:at], changed, *attributes[at + 1 :]]
    first = parse_packed_tree(canonical + entry_attributes(attributes))
    second = parse_packed_tree(canonical + entry_attributes(other))
    assert first.digest == second.digest
    assert (first.form == second.form) == (attributes == other)


def test_malformed_packed_records_are_refused() -> None:
    """Another format, an unknown kind or mode, too many entries, and names that are none or out of order."""
    entry, plain = CanonicalEntry(b"a", Kind.FILE, 1, bytes(32)), Attributes(5, 0o644, b"")

    def packed(*rows: CanonicalEntry, attributes: Attributes = plain) -> bytes:
        return canonical_entries(rows) + entry_attributes([attributes] * len(rows))

    data = packed(entry)
    assert parse_packed_tree(data).entries == (entry,)
    unknown = data[:6] + b"\x09" + data[7:]
    many = packed(*(CanonicalEntry(b"%03d" % n, Kind.FILE, 1, bytes(32)) for n in range(257)))
    modes = [packed(entry, attributes=Attributes(5, mode, b"")) for mode in (0o1000, 0o4755, 0o100644, 0xFFFF)]
    forms = [packed(entry, attributes=Attributes(5, 0o644, bytes(32))), packed(entry._replace(kind=Kind.DIRECTORY))]
    names = [packed(entry._replace(name=name)) for name in (b"", b".", b"..", b"a/b", b"/", b"a\0")]
    out_of_order = packed(entry._replace(name=b"b"), entry)
    for broken in (b"\2" + data[1:], unknown, many, b"", out_of_order, packed(entry, entry), *modes, *forms, *names):
        with pytest.raises(DamageError):
            parse_packed_tree(broken)


@given(rows=entries(), missing=NAMES)
def test_a_name_is_found_without_the_others(rows: list[TreeEntry], missing: bytes) -> None:
    """A look-up takes out the names that a bisection passes; after many, all are kept, and the answer is the same."""
    names = [row.name for row in rows]
    taken: list[int] = []

    class Counting(TreeView):
        def name(self, index: int) -> bytes:
            taken.append(index)
            return super().name(index)

    view = Counting(encoded(0, rows))
    expected = names.index(missing) if missing in names else -1
    assert view.find(missing) == expected
    assert len(taken) <= len(rows).bit_length() + 1
    for _ in range(50):
        assert view.find(missing) == expected
        assert [view.find(name) for name in names[:3]] == [0, 1, 2][: len(names)]
    taken.clear()
    view.find(missing)
    assert len(taken) <= 1


@given(rows=entries(), chance=st.randoms(use_true_random=False))
def test_a_wrong_name_is_damage_whenever_it_is_passed(rows: list[TreeEntry], chance: random.Random) -> None:
    """However often a record was searched, a search has the same answer or the same damage."""
    payload = bytearray(encoded(0, rows))
    if len(rows) < 2:
        return
    at = _HEAD.size + chance.randrange(1, len(rows)) * 32 + 30
    payload[at : at + 2] = b"\xff\xff"
    names = [row.name for row in rows]

    def answers(view: TreeView) -> list[int | None]:
        found: list[int | None] = []
        for name in names:
            try:
                found.append(view.find(name))
            except DamageError:
                found.append(None)
        return found

    view = TreeView(bytes(payload))
    first = answers(view)
    assert all(answers(view) == first for _ in range(20))
    assert None in first
