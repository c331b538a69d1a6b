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


def paths_of(tree: dict[bytes, Any]) -> list[list[bytes]]:
    """Return the paths of the root and all entries in preorder: what their indexes count."""
    return [[], *(path.split(b"/") for path, _ in listing(tree))]


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
    paths = paths_of(tree)
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
            directory = root
            if index:
                place = trees.entry_at(load, root, index)
                assert place is not None and place.path == path and paths[place.parent] == path[:-1]
                assert place.entry == trees.resolve(load, root, b"/".join(path))
                directory = place.entry.node
            below = everything[b"/".join(path)] if path else tree
            if not isinstance(below, dict):
                continue
            entries = list(trees.entries_from(load, directory))
            names = [entry.name for entry, _ in entries]
            assert names == sorted(below)
            for position in range(len(names) + 2):
                assert list(trees.entries_from(load, directory, position)) == entries[position:]
            for entry, before in entries:
                assert trees.lookup(load, directory, entry.name) == (entry, before)
                assert index + 1 + before == paths.index([*path, entry.name])
        for beyond in (len(paths), len(paths) + 1, 2**31 - 1):
            assert trees.entry_at(load, root, beyond) is None


def test_deep_trees_need_no_deep_stack(store: Store, commit_tree: CommitTree) -> None:
    """A walk of a tree that is deeper than Python's stack."""
    tree: dict[bytes, Any] = {b"bottom": b"x"}
    for _ in range(400):
        tree = {b"d": tree}
    root = commit_tree(tree).root
    with store.snapshot() as snapshot:
        *_, (path, entry) = trees.walk(snapshot.tree, root)
        assert path == b"d/" * 400 + b"bottom"
        for index in (1, 400, 401):
            place = trees.entry_at(snapshot.tree, root, index)
            assert place is not None and (place.parent, len(place.path)) == (index - 1, index)
        assert place.entry == entry and trees.entry_at(snapshot.tree, root, 402) is None
        assert trees.resolve(snapshot.tree, root, path) == entry
