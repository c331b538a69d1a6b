"""An inode leads to its entry, wherever the walk begins, and an entry to its inode."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from artfs.mount import inodes, places
from artfs.mount.counters import Epoch
from artfs.mount.places import Places, Request
from artfs.mount.tree import Tree
from artstore.errors import ArtfsError, DamageError
from artstore.records.trees import TreeEntry
from artstore.rows import trees

FOLDER = {
    b"a": {b"%02d" % number: b"" for number in range(30)} | {b"15": {b"x": {}, b"y": b"1"}},
    b"b": b"2",
    b"c": {},
    b"d": {b"e": {b"f": {b"g": b"3"}}},
    b"e": {b"%d" % number: {b"%d" % inner: b"" for inner in range(7)} for number in range(9)},
}


def numbered(store: Any, node: int, parent: int) -> dict[int, tuple[TreeEntry, int]]:
    """Return inode -> (entry, inode of its directory) of all entries below one, counted by a walk through all."""
    found: dict[int, tuple[TreeEntry, int]] = {}
    inode = parent
    for entry, _ in trees.entries_from(store.trees.__getitem__, node):
        inode += 1
        found[inode] = entry, parent
        if entry.is_directory:
            below = numbered(store, entry.node, inode)
            found |= below
            inode += len(below)
    return found


def compare(store: Any) -> None:
    """Find every entry of two versions, in many orders, each by caches that know what was found before."""
    expected: dict[int, tuple[TreeEntry, int]] = {}
    for version in store.versions.values():
        expected |= numbered(store, version.root, inodes.entry(version.mount, 0))
    for seed in range(5):
        order = list(expected)
        random.Random(seed).shuffle(order)
        known = Places(1 << 20)
        for inode in order:
            with Request(store) as request:
                place = known.find(request, inode)
            entry, parent = expected[inode]
            assert (place.entry.name, place.entry.node, place.parent) == (entry.name, entry.node, parent)


@pytest.fixture
def store(fake_store: Any) -> Any:
    fake_store.put("a", FOLDER)
    fake_store.put("a", FOLDER)
    return fake_store


def test_every_inode_leads_to_its_entry(store: Any) -> None:
    compare(store)


Walk = Callable[[trees.Loader, int, int], trees.InodePlace | None]


def one_too_far(walk: Walk) -> Walk:
    return lambda load, root, index: walk(load, root, index + 1)


def one_back(walk: Walk) -> Walk:
    return lambda load, root, index: walk(load, root, max(1, index - 1))


def at_the_top(walk: Walk) -> Walk:
    def change(load: trees.Loader, root: int, index: int) -> trees.InodePlace | None:
        found = walk(load, root, index)
        return None if found is None else found._replace(parent=0)

    return change


def another_record(walk: Walk) -> Walk:
    def change(load: trees.Loader, root: int, index: int) -> trees.InodePlace | None:
        found = walk(load, root, index)
        return None if found is None else found._replace(first=found.first + 1)

    return change


@pytest.mark.parametrize("bug", [one_too_far, one_back, at_the_top, another_record])
def test_the_comparison_finds_a_fault(store: Any, monkeypatch: pytest.MonkeyPatch, bug: Callable[[Walk], Walk]) -> None:
    monkeypatch.setattr(places.trees, "entry_at", bug(trees.entry_at))
    with pytest.raises((AssertionError, ArtfsError)):
        compare(store)


def test_the_neighbours_of_an_entry_cost_no_walk(store: Any) -> None:
    """They are in the record in which the entry was found, until places are forgotten."""
    expected = numbered(store, store.versions[1].root, inodes.entry(1, 0))
    neighbours = [inode for inode, (entry, _) in expected.items() if entry.name in (b"08", b"09", b"10", b"11")]
    known = Places(0)  # of records, only the last is kept
    with Request(store) as request:
        known.find(request, neighbours[0])
        before = store.tree_reads
        for inode in neighbours:
            assert known.find(request, inode).entry == expected[inode][0]
        assert store.tree_reads == before
        known.forget()
        known.find(request, neighbours[0])
        assert store.tree_reads > before


def test_a_directory_that_disagrees_with_the_one_above_is_damaged(fake_store: Any) -> None:
    """A wrong count would give two paths one inode: the directory cannot be entered, and the rest can."""
    version = fake_store.put("a", {b"a": {b"x": b"1"}, b"b": b"2"})
    wrong, _ = fake_store.add_tree({b"x": b"1", b"y": b"2"})
    right = fake_store.tree(version.root).entry(0).node
    fake_store.trees[right] = fake_store.trees[wrong]
    tree = Tree(fake_store, Epoch())
    folder, file = inodes.entry(version.mount, 1), inodes.entry(version.mount, 3)
    for _ in range(2):
        with pytest.raises(DamageError):
            tree.lookup(folder, b"x")
        with pytest.raises(DamageError):
            list(tree.page(folder, 0))
    assert tree.read(file, 0, 9) == [b"2"]
