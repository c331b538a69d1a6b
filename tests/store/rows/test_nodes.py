"""Looking nodes up, and counting references to them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from artstore.errors import DamageError
from artstore.ids import content_id
from artstore.records.nodes import ChunkRecord, Extent, ListChild, ListRecord, encode_chunk, encode_list
from artstore.records.packing import CLASS_CONTENT, CLASS_LIST, CLASS_TREE
from artstore.records.tables import Table
from artstore.records.trees import Kind, TreeEntry, TreeTotals, encode_tree
from artstore.rows.nodes import (
    all_counts,
    change_counts,
    children_of,
    content_record,
    find_node,
    node_extent,
    node_payload,
    read_count,
    tree_view,
)
from artstore.storage import manifest
from artstore.workspace import Workspace

NODES = st.sampled_from([16, 17, 127, 128, 129, 255, 256, 5000])


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.dictionaries(NODES, st.integers(-3, 5))))
def test_counts_are_those_of_a_counter(workspace: Workspace, batches: list[dict[int, int]]) -> None:
    """After any changes each node has their sum; a change that would lead below zero is refused and leaves no trace."""
    path = workspace.path
    with manifest.write(path) as transaction:
        change_counts(transaction, {node: -count for node, count in all_counts(transaction)})
    model: Counter[int] = Counter()
    for changes in batches:
        after = model.copy()
        after.update(changes)
        if any(count < 0 for count in after.values()):
            with pytest.raises(DamageError), manifest.write(path) as transaction:
                change_counts(transaction, changes)
            continue
        with manifest.write(path) as transaction:
            change_counts(transaction, changes)
        model = after
    with manifest.read(path) as transaction:
        assert dict(all_counts(transaction)) == +model
        for node in (16, 17, 127, 128, 129, 130, 5000, 10**12):
            assert read_count(transaction, node) == model[node]


EXTENT = Extent(1, 64, 5, 0)
DIGEST = content_id(b"a directory")
IDS = [content_id(b"%d" % number) for number in range(4)]
RECORDS = {
    17: encode_chunk(ChunkRecord(IDS[0], 1, 5, EXTENT, (9,))),
    18: encode_list(ListRecord(IDS[1], 1, 10, 0, EXTENT, (ListChild(17, 5), ListChild(17, 10)))),
    19: encode_tree(
        0, DIGEST, IDS[2], TreeTotals(1, 1, 0, 5, 1), EXTENT, [TreeEntry(b"a", Kind.FILE, 17, 5, 1, 0o644, 0, 1)]
    ),
}


@pytest.fixture
def path(workspace: Workspace) -> Path:
    with manifest.write(workspace.path) as transaction:
        for node, payload in RECORDS.items():
            transaction.put_numbered(Table.NODES, node, payload)
    return workspace.path


def test_kinds(path: Path) -> None:
    """Each kind tells its extent and the references it counts, and is not read as another."""
    with manifest.read(path) as transaction:
        assert [children_of(node_payload(transaction, node)) for node in RECORDS] == [[], [17, 17], [17]]
        assert {node_extent(payload) for payload in RECORDS.values()} == {EXTENT}
        assert content_record(transaction, 17).id == IDS[0]
        assert content_record(transaction, 18).id == IDS[1]
        assert (tree_view(transaction, 19).digest, tree_view(transaction, 19).form) == (DIGEST, IDS[2])
        for node, read in ((19, content_record), (17, tree_view), (18, tree_view), (99, node_payload)):
            with pytest.raises(DamageError):
                read(transaction, node)


def test_the_index_is_not_trusted(path: Path) -> None:
    """A row of the index that leads to another node, another kind, or nowhere is damage, never other content."""
    rows = [
        (CLASS_CONTENT, IDS[0], 17),
        (CLASS_CONTENT, IDS[1], 18),
        (CLASS_LIST, IDS[1], 18),
        (CLASS_TREE, IDS[2], 19),
    ]
    for klass, ident, node in rows:
        with manifest.write(path) as transaction:
            transaction.put_index(klass, ident, node)
        with manifest.read(path) as transaction:
            assert find_node(transaction, klass, ident) == (node, node_payload(transaction, node))
            assert find_node(transaction, klass, IDS[3]) is None
    for klass, ident, node in (
        (CLASS_CONTENT, IDS[0], 18),
        (CLASS_CONTENT, IDS[2], 19),
        (CLASS_TREE, DIGEST, 19),  # a record is found by its form, not by its digest
        (CLASS_TREE, IDS[0], 17),
        (CLASS_CONTENT, IDS[0], 99),
    ):
        with manifest.write(path) as transaction:
            transaction.put_index(klass, ident, node)
        with manifest.read(path) as transaction, pytest.raises(DamageError):
            find_node(transaction, klass, ident)
