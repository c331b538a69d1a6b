"""Comparing trees: against a plain dictionary of paths, and in the records that it reads."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from artstore.errors import InvalidInputError, NotFoundError
from artstore.queries.difference import Change, Difference, compare
from artstore.records.trees import Kind, TreeView
from artstore.rows.snapshot import Snapshot
from artstore.store import Store
from artstore.workspace import Workspace, init_workspace

CommitTree = Callable[..., Any]
Tree = dict[bytes, Any]

NAMES = st.sampled_from([b"a", b"b", b"c", b"d", b"\xff\n"])
FILES = st.tuples(st.sampled_from([Kind.FILE, Kind.EXECUTABLE, Kind.LINK]), st.sampled_from([b"", b"x", b"yy", b"zzz"]))
TREES = st.recursive(
    st.dictionaries(NAMES, FILES, max_size=4),
    lambda below: st.dictionaries(NAMES, FILES | below, max_size=4),
    max_leaves=12,
)


def differences(store: Store, commit_tree: CommitTree, old: Tree, new: Tree) -> Difference:
    return compare(store, commit_tree(old).root, commit_tree(new).root)


def listing(tree: Mapping[bytes, Any], prefix: bytes = b"") -> Iterator[tuple[bytes, tuple[Kind, bytes] | None]]:
    """Yield (path, file) of everything, (path, None) for directories."""
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield prefix + name, None
            yield from listing(value, prefix + name + b"/")
        else:
            yield prefix + name, value if isinstance(value, tuple) else (Kind.FILE, value)


def expected(old: Tree, new: Tree) -> set[tuple[str, bytes]]:
    """Return what differs by the rules of the module, before renames are paired, from plain dictionaries."""
    before, after = dict(listing(old)), dict(listing(new))
    found: set[tuple[str, bytes]] = set()
    for kind, mine, other in (("removed", before, after), ("added", after, before)):
        for path, value in mine.items():
            if value is None:
                is_empty = not any(below.startswith(path + b"/") for below in mine)
                if is_empty and other.get(path, b"") is not None:
                    found.add((kind, path + b"/"))
            elif other.get(path) is None:
                found.add((kind, path))
            elif value != other[path]:
                kinds = {value[0], other[path][0]}
                same_content = value[1] == other[path][1]
                found.add(("mode" if same_content and Kind.LINK not in kinds else "changed", path))
    return found


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(old=TREES, new=TREES)
def test_the_difference_is_that_of_two_dictionaries(
    store: Store, commit_tree: CommitTree, old: Tree, new: Tree
) -> None:
    """With each renamed file counted as removed and added, the changes are those that a plain comparison finds."""
    difference = differences(store, commit_tree, old, new)
    before, after = dict(listing(old)), dict(listing(new))
    found: list[tuple[str, bytes]] = []
    for change in difference:
        if change.kind == "renamed":
            assert change.old_raw_path is not None
            assert before[change.old_raw_path] == after[change.raw_path]
            assert change.old_size == change.new_size != 0
            found += [("removed", change.old_raw_path), ("added", change.raw_path)]
            continue
        found.append((change.kind, change.raw_path))
        for size, side in ((change.old_size, before), (change.new_size, after)):
            value = side.get(change.raw_path.rstrip(b"/"))
            if size is not None:
                assert size == (len(value[1]) if value else 0)
    assert sorted(found) == sorted(expected(old, new))
    assert [change.raw_path for change in difference] == sorted(change.raw_path for change in difference)
    gone = {before[change.raw_path] for change in difference.removed if change.old_size}
    came = {after[change.raw_path] for change in difference.added if change.new_size}
    assert not gone & came, "no two equal files are left that could be a rename"


def test_kinds_of_change(store: Store, commit_tree: CommitTree) -> None:
    """Each kind of change is listed once, with sizes, sorted by path; the lists and totals follow."""
    old = {
        b"changed": b"one",
        b"dir": {b"x": b"inside"},
        b"emptied": {b"only": b"last one"},
        b"file-to-link": b"target",
        b"gone": b"gone!",
        b"mode": b"#!",
        b"old name": b"the same",
        b"same": {b"deep": {b"er": b"untouched"}},
    }
    new = {
        b"changed": b"two!!",
        b"dir": b"now a file",
        b"emptied": {},
        b"file-to-link": (Kind.LINK, b"target"),
        b"mode": (Kind.EXECUTABLE, b"#!"),
        b"new": {b"a": b"1", b"empty": {}},
        b"new name": b"the same",
        b"same": {b"deep": {b"er": b"untouched"}},
    }
    difference = differences(store, commit_tree, old, new)
    assert list(difference) == [
        Change("changed", "changed", None, 3, 5),
        Change("added", "dir", None, None, 10),
        Change("removed", "dir/x", None, 6, None),
        Change("removed", "emptied/only", None, 8, None),
        Change("changed", "file-to-link", None, 6, 6),
        Change("removed", "gone", None, 5, None),
        Change("mode", "mode", None, 2, 2),
        Change("renamed", "new name", "old name", 8, 8),
        Change("added", "new/a", None, None, 1),
        Change("added", "new/empty/", None, None, 0),
    ]
    assert [change.raw_path for change in difference.added] == [b"dir", b"new/a", b"new/empty/"]
    assert [change.raw_path for change in difference.mode_changed] == [b"mode"]
    totals = difference.added_bytes, difference.removed_bytes, difference.changed_bytes, difference.renamed_bytes
    assert totals == (11, 19, 11, 8)
    assert repr(difference) == "<Difference 3 added, 2 changed, 1 mode, 3 removed, 1 renamed>"


def test_renames_keep_base_names_first(store: Store, commit_tree: CommitTree) -> None:
    """Among equal files that moved, a pair with one base name goes before the order of paths."""
    old = {b"p": {b"x": b"data", b"y": b"data"}}
    new = {b"q": {b"a": b"data", b"x": b"data", b"z": b"data"}}
    difference = differences(store, commit_tree, old, new)
    assert [(change.old_raw_path, change.raw_path) for change in difference.renamed] == [
        (b"p/y", b"q/a"),
        (b"p/x", b"q/x"),
    ]
    assert [change.raw_path for change in difference.added] == [b"q/z"]


def test_equal_trees_differ_in_nothing(store: Store, commit_tree: CommitTree) -> None:
    """Comparing a version with an equal one gives an empty sequence that is false."""
    tree = {b"a": {b"b": b"c"}}
    difference = differences(store, commit_tree, tree, tree)
    assert not difference and list(difference) == [] and repr(difference) == "<Difference none>"


@pytest.mark.parametrize("others", [0, 200, 3000])
def test_large_directories(store: Store, commit_tree: CommitTree, others: int) -> None:
    """Changes in split directories are found, also where one side is small enough not to be split."""
    many = {b"%06d" % number: b"%d" % number for number in range(6000)}
    few = {name: many[name] for name in list(many)[:others]}
    few[b"extra"] = b"extra"
    difference = differences(store, commit_tree, {b"d": many}, {b"d": few})
    assert [change.raw_path for change in difference.removed] == [b"d/" + name for name in sorted(set(many) - set(few))]
    assert [change.raw_path for change in difference.added] == [b"d/extra"]
    assert len(difference) == 6001 - others


def test_time_is_proportional_to_the_difference(
    store: Store, commit_tree: CommitTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One changed file in 20,000 reads a path of records on either side, not the directories beside it."""
    tree = {b"big": {b"%05d" % number: b"%d" % number for number in range(10000)}}
    tree |= {b"dir%d" % number: {b"%d" % index: b"%d" % index for index in range(100)} for number in range(100)}
    changed = tree | {b"big": tree[b"big"] | {b"05000": b"new"}}
    old, new = commit_tree(tree), commit_tree(changed)
    read: list[int] = []
    load = Snapshot.tree

    def counted(self: Snapshot, node: int) -> TreeView:
        read.append(node)
        return load(self, node)

    monkeypatch.setattr(Snapshot, "tree", counted)
    assert list(compare(store, old.root, new.root)) == [Change("changed", "big/05000", None, 4, 3)]
    assert len(read) <= 10


def test_paths_are_text_as_elsewhere(workspace: Workspace, tmp_path: Path) -> None:
    """A name that is not UTF-8 is the same text in a change, in a listing and for `open`; its bytes are kept."""
    folder = os.fsencode(tmp_path / "d")
    os.mkdir(folder)
    with open(folder + b"/a\xff", "wb") as file:
        file.write(b"x")
    workspace.put(tmp_path / "d", "t")
    os.rename(folder + b"/a\xff", folder + b"/b\xff")
    version = workspace.put(tmp_path / "d", "t")
    (change,) = workspace.diff("t:v0", "t:v1")
    assert (change.path, change.old_path) == ("b\udcff", "a\udcff")
    assert (change.raw_path, change.old_raw_path) == (b"b\xff", b"a\xff")
    assert version.read_bytes(change.path) == b"x" and version.listdir()[0].name == change.path


def test_versions_are_compared_with_versions(workspace: Workspace, tmp_path: Path) -> None:
    """`Version.compare` finds what `diff` finds, and refuses what is no version of the workspace."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "one").write_bytes(b"old")
    first = workspace.put(folder, "data")
    (folder / "another").write_bytes(b"new")
    second = workspace.put(folder, "data")
    assert first.compare(second) == workspace.diff("data:v0", "data:v1")
    assert [change.path for change in first.compare(second)] == ["another"]
    assert [change.kind for change in second.compare(first)] == ["removed"] and not first.compare(first)
    with pytest.raises(InvalidInputError, match="not with str"):
        first.compare("data:v1")  # type: ignore[arg-type]
    other = init_workspace(tmp_path / "other").put(folder, "data")
    with pytest.raises(InvalidInputError, match="two workspaces"):
        first.compare(other)
    workspace.delete("data:v0", now=True)
    workspace.gc()
    with pytest.raises(NotFoundError):
        second.compare(first)
