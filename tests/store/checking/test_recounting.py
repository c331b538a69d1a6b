"""A recount adds up what brute force does, and leads from any number to what is known of it."""

from __future__ import annotations

from collections import Counter

from artstore.checking.recounting import Recount, recount
from artstore.checking.report import Report
from artstore.records.catalogue import VersionRecord
from artstore.records.nodes import KIND_TREE, Extent, ListChild, ListRecord, encode_list
from artstore.records.tables import Table
from artstore.rows import deadlist, space
from artstore.rows.nodes import all_counts, children_of, node_extent
from artstore.workspace import Workspace


def recounted(ws: Workspace) -> tuple[Recount, Report]:
    report = Report()
    with ws.store.snapshot() as snapshot:
        return recount(snapshot.transaction, report), report


def test_it_is_what_brute_force_finds(lived: Workspace) -> None:
    found, report = recounted(lived)
    with lived.store.snapshot() as snapshot:
        transaction = snapshot.transaction
        nodes = dict(transaction.numbered_rows(Table.NODES))
        counts = dict(all_counts(transaction))
        gaps = list(space.free_extents(transaction))
        entries = list(deadlist.entries(transaction))
        versions = [VersionRecord.decode(payload) for _, payload in transaction.rows(Table.VERSIONS)]
        counters = transaction.counters()
    assert report.clean
    assert list(found.numbers) == sorted(nodes)
    assert dict(zip(found.numbers, found.wanted, strict=True)) == counts
    assert [nodes[node][0] for node in found.numbers] == list(found.kinds)
    assert found.stored_bytes == sum(node_extent(payload).stored for payload in nodes.values())
    assert found.free_bytes == counters.free_bytes
    assert found.entries == entries
    assert found.versions == versions
    assert [place >> 32 for use in found.packs.values() for place in use.free] == [gap.offset for gap in gaps]
    use = found.packs[1]
    assert Counter(use.nodes) == Counter(
        node_extent(payload).offset << 32 | node_extent(payload).stored
        for payload in nodes.values()
        if node_extent(payload).stored
    )
    assert all(
        node_extent(nodes[found.numbers[rank]]).offset == place >> 32
        for place, rank in zip(use.nodes, use.ranks, strict=True)
    )


def test_a_rank_leads_from_a_number_to_the_arrays(lived: Workspace) -> None:
    found, _ = recounted(lived)
    assert [found.rank(node) for node in found.numbers] == list(range(len(found.numbers)))
    assert found.rank(0) == found.rank(found.numbers[-1] + 1) == found.rank(1 << 63) == -1


def test_a_reference_to_a_higher_number_counts(lived: Workspace) -> None:
    """What a repair writes again may keep its number, and get children that are newer."""
    with lived.store.write() as transaction:
        last = max(node for node, _ in transaction.numbered_rows(Table.NODES))
        record = ListRecord(bytes(32), 0, 4, 0, Extent(1, 0, 0, 0), (ListChild(last, 3), ListChild(last + 9, 4)))
        transaction.put_numbered(Table.NODES, 1, encode_list(record))
    before, _ = recounted(lived)
    assert before.missing == {last + 9: "node 1"}
    assert before.wanted[before.rank(last)] == 2


def test_a_record_that_does_not_read_is_left_out_and_not_missed(lived: Workspace) -> None:
    """Who refers to it refers to what is damaged, not to nothing."""
    whole, _ = recounted(lived)
    tree = next(node for node, kind in zip(whole.numbers, whole.kinds, strict=True) if kind == KIND_TREE)
    with lived.store.write() as transaction:
        children = children_of(transaction.get_numbered(Table.NODES, tree) or b"")
        transaction.put_numbered(Table.NODES, tree, b"\3")
    found, _ = recounted(lived)
    assert list(found.damaged) == [tree]
    assert found.missing == {}
    assert found.rank(tree) == -1
    counted = Counter(children)
    assert all(found.wanted[found.rank(child)] == whole.wanted[whole.rank(child)] - n for child, n in counted.items())
