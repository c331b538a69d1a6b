"""The planner against a recount of the whole store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from artstore.errors import DamageError
from artstore.records.tables import Table
from artstore.records.trees import Kind
from artstore.rows.catalogue import recorded_versions
from artstore.rows.nodes import all_counts, change_counts, children_of, node_extent
from artstore.rows.planner import plan_release
from artstore.storage.manifest import ReadTransaction, WriteTransaction
from artstore.store import Store
from messages import raises

CommitTree = Callable[..., Any]

NAMES = st.sampled_from([b"a", b"b", b"c"])
CONTENTS = st.builds(
    lambda seed, parts: b"".join(bytes([seed + i]) * 2000 for i in parts),
    st.integers(0, 2),
    st.lists(st.integers(0, 2), max_size=4),
)
TREES = st.recursive(
    st.dictionaries(NAMES, CONTENTS, max_size=3),
    lambda below: st.dictionaries(NAMES, CONTENTS | below, max_size=3),
    max_leaves=8,
)


def records(transaction: ReadTransaction) -> dict[int, bytes]:
    return dict(transaction.numbered_rows(Table.NODES))


def recount(transaction: ReadTransaction, without: list[int]) -> set[int]:
    """Return the nodes that no reference from outside leads to, once one to each of ``without`` is taken away."""
    nodes = records(transaction)
    inside = Counter(child for payload in nodes.values() for child in children_of(payload))
    outside = Counter(dict(all_counts(transaction))) - inside
    outside.subtract(without)
    reached: set[int] = set()
    stack = [node for node, count in outside.items() if count > 0]
    while stack:
        node = stack.pop()
        if node not in reached:
            reached.add(node)
            stack += children_of(nodes[node])
    return set(nodes) - reached


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(trees=st.lists(TREES, min_size=1, max_size=4), data=st.data())
def test_a_plan_frees_what_a_recount_would(
    store: Store, commit_tree: CommitTree, trees: list[Any], data: st.DataObject
) -> None:
    """Whatever versions share, a plan names the nodes that a mark and sweep of the whole store would find dead."""
    commit_tree({b"kept": {b"a": b"\x00" * 2000}}, "kept")
    versions = [commit_tree(tree, "gone").root for tree in trees]
    roots = data.draw(st.lists(st.sampled_from(versions), max_size=4))
    with store.snapshot() as snapshot:
        transaction = snapshot.transaction
        counts = Counter(dict(all_counts(transaction)))
        roots = [root for index, root in enumerate(roots) if roots[:index].count(root) < counts[root]]
        plan = plan_release(transaction, roots)
        dead = recount(transaction, roots)
        nodes = records(transaction)
    assert set(plan.nodes) == dead and len(plan.nodes) == len(dead)
    assert plan.bytes == sum(node_extent(nodes[node]).stored for node in dead)
    order = {node: index for index, node in enumerate(plan.nodes)}
    for node in plan.nodes:
        assert all(order[node] < order[child] for child in children_of(nodes[node]) if child in order)


def test_a_node_named_twice_by_one_parent(store: Store, commit_tree: CommitTree) -> None:
    """A file under two names of one directory, and a chunk twice in one list, are freed once, with their parent."""
    twice = bytes(2000) + b"x" * 2000 + bytes(2000)
    root = commit_tree({b"one": twice, b"two": twice, b"run": (Kind.EXECUTABLE, twice), b"sub": {b"one": twice}}).root
    with store.snapshot() as snapshot:
        plan = plan_release(snapshot.transaction, [root])
        assert sorted(plan.nodes) == sorted(records(snapshot.transaction))
        assert plan.bytes == snapshot.usage_totals().stored_bytes


def test_equal_versions_share_their_root(store: Store, commit_tree: CommitTree) -> None:
    """A root with two versions goes with the second reference only: given once nothing is freed, twice all of it."""
    tree = {b"a": b"b" * 100}
    root = commit_tree(tree).root
    assert commit_tree(tree).root == root
    with store.snapshot() as snapshot:
        assert plan_release(snapshot.transaction, [root]) == ([], 0)
        assert len(plan_release(snapshot.transaction, [root, root]).nodes) == 2


def test_nothing_is_planned_for_nothing(store: Store) -> None:
    """No root frees no node."""
    with store.snapshot() as snapshot:
        assert plan_release(snapshot.transaction, []) == ([], 0)


def test_a_count_that_is_too_low_is_damage(store: Store, commit_tree: CommitTree) -> None:
    """A plan stops where a node has fewer references than are made to it, rather than free what is in use."""
    version = commit_tree({b"a": b"data" * 10, b"b": b"data" * 10})
    with store.snapshot() as snapshot:
        shared = snapshot.tree(version.root).nodes()[0]
    transaction: WriteTransaction
    with store.write() as transaction:
        change_counts(transaction, {shared: -1})
    with store.snapshot() as snapshot, raises(DamageError, names=[f"node {shared}"], reason="too few references"):
        plan_release(snapshot.transaction, [version.root])


def test_versions_are_what_holds_roots(store: Store, commit_tree: CommitTree) -> None:
    """After versions were committed no draft holds anything, so that outside references are the versions'."""
    roots = [commit_tree({b"f": bytes([number]) * 50}).root for number in range(3)]
    with store.snapshot() as snapshot:
        transaction = snapshot.transaction
        inside = Counter(child for payload in records(transaction).values() for child in children_of(payload))
        assert Counter(dict(all_counts(transaction))) - inside == Counter(roots)
        artifact = snapshot.name_number("a")
        assert artifact is not None
        assert [record.root for record in recorded_versions(transaction, artifact[0])] == roots
