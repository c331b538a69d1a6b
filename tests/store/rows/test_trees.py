"""Walking trees of the store against nested dictionaries, with records of every level."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from artstore.ingest import content_cuts
from artstore.records.trees import Kind, is_entry_name
from artstore.rows import trees
from artstore.store import Store

CommitTree = Callable[..., Any]
NAMES = st.binary(min_size=1, max_size=2).filter(is_entry_name)
TREES = st.recursive(
    st.dictionaries(NAMES, st.binary(max_size=3), max_size=12),
    lambda below: st.dictionaries(NAMES, st.binary(max_size=3) | below, max_size=12),
    max_leaves=40,
)


def listing(tree: dict[bytes, Any], prefix: bytes = b"") -> Iterator[tuple[bytes, Any]]:
    for name, value in sorted(tree.items()):
        yield prefix + name, value
        if isinstance(value, dict):
            yield from listing(value, prefix + name + b"/")


def directories(tree: dict[bytes, Any]) -> list[list[bytes]]:
    """Return the paths of all directories in preorder: what their indexes count."""
    return [[], *(path.split(b"/") for path, value in listing(tree) if isinstance(value, dict))]


@pytest.fixture(autouse=True, params=[256, 2])
def fanout(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Once as it is, and once with records so small that directories have many levels."""
    monkeypatch.setattr(content_cuts, "FANOUT", request.param)
    return int(request.param)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=TREES)
def test_all_ways_to_an_entry_agree(store: Store, commit_tree: CommitTree, tree: dict[bytes, Any]) -> None:
    """By name, by position, by preorder index and by walking, a tree is the dictionary that it was made of."""
    root = commit_tree(tree).root
    everything = dict(listing(tree))
    paths = directories(tree)
    with store.snapshot() as snapshot:
        load = snapshot.tree
        walked = list(trees.walk(load, root))
        assert [path for path, _ in walked] == [path for path, _ in listing(tree)]
        for path, entry in walked:
            assert trees.resolve(load, root, path) == entry
            value = everything[path]
            assert (entry.kind == Kind.DIRECTORY) == isinstance(value, dict)
            if not isinstance(value, dict):
                assert snapshot.read(entry.node, 0, 10) == value
                assert trees.resolve(load, root, path + b"/below") is None
            assert trees.resolve(load, root, path + b"\xff\xff\xff") is None
        for index, path in enumerate(paths):
            found = trees.directory_at(load, root, index)
            assert found is not None and found.path == path
            above = trees.directory_at(load, root, found.parent)
            assert above is not None and above.path == path[:-1]
            below = everything[b"/".join(path)] if path else tree
            names = [entry.name for entry, _ in trees.entries_from(load, found.node)]
            assert names == sorted(below)
            for position in range(len(names) + 2):
                rest = [entry.name for entry, _ in trees.entries_from(load, found[0], position)]
                assert rest == names[position:]
            for name, value in below.items():
                entry, before = trees.lookup(load, found[0], name) or pytest.fail(f"{name!r} is lost")
                assert entry.name == name
                if isinstance(value, dict):
                    assert index + 1 + before == paths.index([*path, name])
            assert [before for _, before in trees.entries_from(load, found[0])] == [
                (trees.lookup(load, found[0], name) or (None, -1))[1] for name in names
            ]
        for beyond in (len(paths), len(paths) + 1, 2**31 - 1):
            assert trees.directory_at(load, root, beyond) is None


def test_deep_trees_need_no_deep_stack(store: Store, commit_tree: CommitTree) -> None:
    """A walk of a tree that is deeper than Python's stack."""
    tree: dict[bytes, Any] = {b"bottom": b"x"}
    for _ in range(400):
        tree = {b"d": tree}
    root = commit_tree(tree).root
    with store.snapshot() as snapshot:
        *_, (path, entry) = trees.walk(snapshot.tree, root)
        assert path == b"d/" * 400 + b"bottom"
        node, _, names = trees.directory_at(snapshot.tree, root, 400) or (0, 0, [])
        assert (len(names), snapshot.tree(node).find(b"bottom")) == (400, 0)
        assert trees.resolve(snapshot.tree, root, path) == entry
