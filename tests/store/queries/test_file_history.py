"""The history of a path, beside a model that reads every version: distinct contents, who has them, since when."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import pytest

from artstore.errors import ArtfsError, InvalidInputError, NotFoundError
from artstore.records.trees import Kind
from artstore.workspace import Workspace
from messages import raises
from store.conftest import CommitTree, Tree

_SEEDS = 8
_VERSIONS = 12
_PATHS = (b"a", b"d", b"d/a", b"d/e/a", b"d/e", b"\xff", b"many", b"many/n0700", b"d/link")


def _random_tree(random_: random.Random) -> Tree:
    """Return a tree in which every path is missing, a file, a link, executable or a directory at times."""

    def leaf() -> bytes | tuple[Kind, bytes]:
        data = random_.choice([b"", b"one", b"two", b"3" * 5000])
        return (random_.choice([Kind.FILE, Kind.FILE, Kind.EXECUTABLE]), data)

    tree: dict[bytes, object] = {b"always": b"x", b"many": {b"n%04d" % number: leaf() for number in range(700, 704)}}
    if random_.random() < 0.7:
        tree[b"a"] = leaf()
    if random_.random() < 0.3:
        tree[b"\xff"] = leaf()
    inside: dict[bytes, object] = {b"a": leaf(), b"link": (Kind.LINK, random_.choice([b"a", b"e"]))}
    if random_.random() < 0.6:
        inside[b"e"] = {b"a": leaf()} if random_.random() < 0.7 else leaf()
    tree[b"d"] = inside if random_.random() < 0.8 else leaf()
    return tree  # type: ignore[return-value]


def _at(tree: object, path: bytes) -> tuple[str, object] | None:
    """Return (kind, content) of a path in a tree, or None."""
    for name in path.split(b"/"):
        if not isinstance(tree, Mapping) or name not in tree:
            return None
        tree = tree[name]
    if isinstance(tree, Mapping):
        return "directory", repr(sorted(tree.items()))
    kind, data = tree if isinstance(tree, tuple) else (Kind.FILE, tree)
    return {Kind.LINK: "link", Kind.EXECUTABLE: "executable"}.get(kind, "file"), data


@pytest.mark.parametrize("seed", range(_SEEDS))
def test_random_histories(store: object, commit_tree: CommitTree, seed: int) -> None:
    """Every path of random versions, some of them deleted, has the history that reading all of them gives."""
    random_ = random.Random(seed)
    workspace = Workspace(store)  # type: ignore[arg-type]
    trees = [_random_tree(random_) for _ in range(_VERSIONS)]
    for tree in trees:
        commit_tree(tree, "a")
    gone = random_.sample(range(_VERSIONS), 3)
    workspace.delete(*(f"a:v{number}" for number in gone))
    living = [number for number in range(_VERSIONS) if number not in gone]
    for path in _PATHS:
        expected: dict[object, list[int]] = {}
        for number in living:
            there = _at(trees[number], path)
            if there is not None:
                expected.setdefault(there, []).append(number)
        ref = f"a:/{os.fsdecode(path)}"
        if not expected:
            with raises(NotFoundError, names=["'a'"]):
                workspace.history(ref)
            continue
        history = workspace.history(ref)
        assert (history.artifact, history.path) == ("a", path)
        assert [list(content.versions) for content in history.contents] == list(expected.values())
        kinds = ["executable" if content.executable else content.kind for content in history.contents]
        assert kinds == [kind for kind, _ in expected]
        for content in history.contents:
            first = workspace.version(f"a:v{content.versions[0]}")
            assert content.since == first.created_at
            assert content.digest == first.stat(path, follow_symlinks=False).digest
            in_spans = [n for n in living for low, high in content.spans if low <= n <= high]
            assert in_spans == list(content.versions)
            assert all(living.index(low) - living.index(high) != 1 for (_, high), (low, _) in _pairs(content.spans))


def _pairs(spans: tuple[tuple[int, int], ...]) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    return list(pairwise(spans))


def test_ways_to_name_a_path(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "x").write_bytes(b"1")
    for name in ("a", "team/b"):
        workspace.put(tmp_path / "folder", name)
        assert (
            workspace.history(f"{name}:/x") == workspace.history(f"{name}:v0/x") == workspace.history(f"{name}:v7/x/")
        )


@pytest.mark.parametrize(
    ("ref", "error"),
    [
        ("a", InvalidInputError),
        ("a:/", InvalidInputError),
        ("a:v0", InvalidInputError),
        ("a:", ArtfsError),
        ("a://x", ArtfsError),
        ("a:/../x", ArtfsError),
        ("a:/./x", ArtfsError),
        ("a:/x\0", ArtfsError),
        ("b:/x", NotFoundError),
        ("a:/y", NotFoundError),
        ("a:/x/y", NotFoundError),
        ("/nowhere/a/v0/x", NotFoundError),
        ("", ArtfsError),
    ],
)
def test_bad_input(workspace: Workspace, tmp_path: Path, ref: str, error: type[ArtfsError]) -> None:
    (tmp_path / "x").write_bytes(b"1")
    workspace.put(tmp_path / "x", "a")
    with raises(error):
        workspace.history(ref)
