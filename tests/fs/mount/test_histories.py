"""Histories of paths in a mount: links to each distinct content, beside a model that looks at every version."""

from __future__ import annotations

import errno
import stat
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artfs.mount import inodes
from artfs.mount.attributes import ABOVE_SECONDS
from artfs.mount.counters import Epoch
from artfs.mount.errnos import errno_of
from artfs.mount.tree import Tree
from artstore.errors import ArtfsError, NotFoundError
from fs.mount.test_tree import enter, listing

leaves = st.sampled_from([b"", b"one", b"two", (b"one",), "one", "x/y"])
folders = st.recursive(
    st.dictionaries(st.sampled_from([b"a", b"b", b"v0", b"v1", b"\xff"]), leaves, max_size=4),
    lambda inner: st.dictionaries(
        st.sampled_from([b"a", b"b", b"v0", b"v1", b"d"]), st.one_of(leaves, inner), max_size=4
    ),
    max_leaves=12,
)


def at(folder: Any, path: bytes) -> Any:
    """Return what a folder has at a path, or None."""
    for name in path.split(b"/"):
        if not isinstance(folder, dict) or name not in folder:
            return None
        folder = folder[name]
    return folder


def paths_of(folder: Any, above: bytes = b"") -> set[bytes]:
    """Return all paths below a folder."""
    found: set[bytes] = set()
    for name, value in folder.items():
        found |= {above + name} | (paths_of(value, above + name + b"/") if isinstance(value, dict) else set())
    return found


def links_of(versions: list[Any], path: bytes) -> dict[bytes, bytes]:
    """Return the links that the history of a path must have."""
    first: dict[Any, int] = {}
    for number, folder in enumerate(versions):
        there = None if folder is None else at(folder, path)
        if there is not None and not isinstance(there, dict):
            first.setdefault(there, number)
    up = b"../" * (path.count(b"/") + 2)
    return {b"v%d" % number: b"%sv%d/%s" % (up, number, path) for number in first.values()}


@settings(max_examples=80)
@given(put=st.lists(folders, min_size=1, max_size=5), deleted=st.sets(st.integers(min_value=0, max_value=4)))
def test_every_path_has_its_history(new_store: Any, put: list[Any], deleted: set[int]) -> None:
    """Each path of any living version is found, lists its contents and nothing else, and no two share an inode."""
    store = new_store()
    records = [store.put("p/a", folder) for folder in put]
    for number in deleted & set(range(len(put))):
        store.delete(records[number].serial)
    versions = [None if number in deleted else folder for number, folder in enumerate(put)]
    if all(folder is None for folder in versions):
        return
    tree = Tree(store, Epoch())
    top = enter(tree, b"p", b"a", b".history")
    assert listing(tree, top) == {} and b".history" not in listing(tree, enter(tree, b"p", b"a"))
    seen = {inodes.ROOT, top, enter(tree, b"p", b"a")}
    for path in sorted(set().union(*(paths_of(folder) for folder in versions if folder is not None))):
        expected = links_of(versions, path)
        names = path.split(b"/")
        if any(names[depth] in links_of(versions, b"/".join(names[:depth])) for depth in range(1, len(names))):
            continue  # a link of a path above has the name
        inode = enter(tree, b"p", b"a", b".history", *names)
        assert inode not in seen
        seen.add(inode)
        attributes = tree.attributes(inode)
        assert stat.S_ISDIR(attributes.mode) and attributes.entry_seconds == ABOVE_SECONDS
        shown = listing(tree, inode, page=1)
        assert {label: tree.link_target(found.inode) for label, found in shown.items()} == expected
        parent = enter(tree, b"p", b"a", b".history", *names[:-1])
        assert next(tree.page(inode, 1)).attributes.inode == parent
        for label, found in shown.items():
            assert found.inode not in seen and found.size == len(expected[label])
            seen.add(found.inode)
            assert tree.lookup(inode, label) == tree.attributes(found.inode) == found
            assert stat.S_ISLNK(found.mode)


def test_what_is_not_there(fake_store: Any) -> None:
    fake_store.put("a", {b"x": b"1", b"d": {b"y": b"2"}})
    tree = Tree(fake_store, Epoch())
    top = enter(tree, b"a", b".history")
    of_file = enter(tree, b"a", b".history", b"x")
    for parent, name in ((top, b"z"), (top, b"v0"), (of_file, b"v1"), (of_file, b"y"), (of_file, b"v00")):
        with pytest.raises(NotFoundError):
            tree.lookup(parent, name)
    for artifact_less in (inodes.ROOT,):
        with pytest.raises(NotFoundError):
            tree.lookup(artifact_less, b".history")


def test_the_folder_of_a_path_outlives_the_version_that_had_it_first(fake_store: Any) -> None:
    """A process in the folder sees what other versions have; the link to the deleted version is stale."""
    version = fake_store.put("a", {b"x": b"1"})
    fake_store.put("a", {b"x": b"1"})
    tree = Tree(fake_store, Epoch())
    folder = enter(tree, b"a", b".history", b"x")
    link = enter(tree, b"a", b".history", b"x", b"v0")
    fake_store.delete(version.serial)
    for call in (tree.attributes, tree.link_target):
        with pytest.raises(ArtfsError) as caught:
            call(link)
        assert errno_of(caught.value) == errno.ESTALE
    assert list(listing(tree, folder)) == [b"v1"] and tree.attributes(folder).inode == folder
    assert enter(tree, b"a", b".history", b"x") != folder


def test_inodes_that_no_history_has(fake_store: Any) -> None:
    version = fake_store.put("a", {b"x": b"1"})
    tree = Tree(fake_store, Epoch())
    for inode in (inodes.history(version.mount, 2), inodes.history_link(version.mount, 2), inodes.history(99, 1)):
        with pytest.raises(ArtfsError) as caught:
            tree.attributes(inode)
        assert errno_of(caught.value) == errno.ESTALE


def test_a_target_that_is_too_long_is_refused(fake_store: Any) -> None:
    folder: Any = {b"x" * 200: b"1"}
    for _ in range(20):
        folder = {b"d" * 200: folder}
    fake_store.put("a", folder)
    tree = Tree(fake_store, Epoch())
    path = enter(tree, b"a", b".history", *[b"d" * 200] * 20, b"x" * 200)
    with pytest.raises(ArtfsError) as caught:
        listing(tree, path)
    assert errno_of(caught.value) == errno.ENAMETOOLONG
