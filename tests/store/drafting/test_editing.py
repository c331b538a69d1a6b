"""Trees made out of trees: the digest is that of building the result from nothing, and little is written for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from artstore.drafting import editing
from artstore.drafting.editing import Edits, apply_edits, entry_at, merge_edits, parse_path, paths_below
from artstore.errors import ExistsError, InvalidInputError, NotFoundError
from artstore.ids import content_id
from artstore.ingest.batch import EntryDraft, Ref
from artstore.ingest.staging import Stager
from artstore.records.trees import Kind
from artstore.storage.codec import encode
from artstore.store import Store
from artstore.workspace import Workspace
from messages import raises
from store.oracle import Model, assert_sound, canonical_digest, model_of, whole

NewWorkspace = Callable[[], AbstractContextManager[Workspace]]


@contextmanager
def staging(store: Store) -> Iterator[Stager]:
    stager = Stager(store, "a", "test")
    try:
        yield stager
    finally:
        stager.close()


def entry_of(stager: Stager, data: bytes) -> EntryDraft:
    ident = content_id(data)
    return EntryDraft(b"", Kind.FILE, len(data), ident, stager.chunk(ident, len(data), encode(data)), 0, 0o644)


def built(stager: Stager, model: Model) -> Ref:
    """Stage a tree by edits of nothing."""
    edits = Edits()
    for path, (kind, data) in model.items():
        assert kind == "file"
        edits.put(path, entry_of(stager, data))
    root = apply_edits(stager._store, stager, None, edits)
    stager.flush()
    return root


NAMES = st.integers(0, 900).map(lambda number: b"%03d" % number)
FILES = st.sampled_from([0, 5, 255, 256, 257, 300, 700]).map(
    lambda count: {b"%03d" % number: b"" for number in range(count)}
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(data=st.data(), before=FILES)
def test_a_folder_of_any_size_is_as_if_built_anew(
    new_workspace: NewWorkspace, data: st.DataObject, before: dict[bytes, bytes]
) -> None:
    """Where records are taken over and where they are not, the cuts are those of the whole sequence."""
    put = data.draw(st.dictionaries(NAMES, st.binary(max_size=3), max_size=20))
    taken = data.draw(st.sets(st.sampled_from(sorted(before)), max_size=20)) if before else set()
    model = {name: ("file", content) for name, content in before.items()}
    after = {**{name: value for name, value in model.items() if name not in taken}}
    after |= {name: ("file", content) for name, content in put.items()}
    with new_workspace() as workspace, staging(workspace.store) as stager:
        root = built(stager, model)
        assert root.digest == canonical_digest(model)
        edits = Edits()
        for name in taken:
            edits.put(name, None)
        for name, content in put.items():
            edits.put(name, entry_of(stager, content))
        edited = apply_edits(workspace.store, stager, root.node, edits)
        stager.flush()
        assert edited.digest == canonical_digest(after)
        assert model_of(workspace.store, edited.node) == after
        assert_sound(workspace)


def test_little_is_looked_at_for_little(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a folder with 20,000 entries in some 300 records, a change reads and writes the records it lies in."""
    with staging(workspace.store) as stager:
        root = built(stager, {b"%05d" % number: ("file", b"") for number in range(20_000)})
        read: list[int] = []
        monkeypatch.setattr(editing._Applying, "_entries", counting(editing._Applying._entries, read))
        edits = Edits()
        edits.put(b"10000", None)
        edits.put(b"10000x", entry_of(stager, b"new"))
        edited = apply_edits(workspace.store, stager, root.node, edits)
        stager.flush()
    assert 1 <= len(read) <= 4
    names = {b"%05d" % number: ("file", b"") for number in range(20_000) if number != 10_000}
    assert edited.digest == canonical_digest({**names, b"10000x": ("file", b"new")})


def counting(function: Callable[..., Any], calls: list[int]) -> Callable[..., Any]:
    def counted(self: object, node: int) -> Any:
        calls.append(node)
        return function(self, node)

    return counted


def test_folders_come_and_go_with_what_they_hold(workspace: Workspace) -> None:
    with staging(workspace.store) as stager:
        root = built(stager, {b"a/b/c": ("file", b"1"), b"a/d": ("file", b"2")})
        edits = Edits()
        edits.put(b"a/b/c", None)
        edits.put(b"x/y/z", entry_of(stager, b"3"))
        edited = apply_edits(workspace.store, stager, root.node, edits)
        stager.flush()
        assert model_of(workspace.store, edited.node) == whole({b"a/d": ("file", b"2"), b"x/y/z": ("file", b"3")})
        edits = Edits()
        edits.put(b"a", None)
        edits.put(b"x/y/z", None)
        emptied = apply_edits(workspace.store, stager, edited.node, edits)
        assert emptied.digest == canonical_digest({})


def test_what_is_put_into_a_folder_that_was_taken_away_is_all_that_is_in_it(workspace: Workspace) -> None:
    with staging(workspace.store) as stager:
        root = built(stager, {b"a/old": ("file", b"1"), b"b": ("file", b"2")})
        edits = Edits()
        edits.put(b"a", None)
        edits.put(b"a/new", entry_of(stager, b"3"))
        edited = apply_edits(workspace.store, stager, root.node, edits)
        stager.flush()
        assert model_of(workspace.store, edited.node) == whole({b"a/new": ("file", b"3"), b"b": ("file", b"2")})


def test_what_is_put_into_a_folder_that_was_put_joins_it(workspace: Workspace) -> None:
    with staging(workspace.store) as stager:
        root = built(stager, {b"a/old": ("file", b"1"), b"b": ("file", b"2")})
        with workspace.store.snapshot() as snapshot:
            folder = entry_at(snapshot, root.node, b"a", "x:v0")
        edits = Edits()
        edits.put(b"copy", folder)
        edits.put(b"copy/new", entry_of(stager, b"3"))
        edited = apply_edits(workspace.store, stager, root.node, edits)
        stager.flush()
        expected = {b"a/old": b"1", b"b": b"2", b"copy/old": b"1", b"copy/new": b"3"}
        assert model_of(workspace.store, edited.node) == whole(
            {path: ("file", data) for path, data in expected.items()}
        )


def test_what_cannot_be_is_said(workspace: Workspace) -> None:
    with staging(workspace.store) as stager:
        root = built(stager, {b"a/b": ("file", b"1"), b"c": ("file", b"2")})
        for path, error in (
            (b"x", NotFoundError),
            (b"a/x", NotFoundError),
            (b"x/y", NotFoundError),
            (b"c/d", ExistsError),
        ):
            edits = Edits()
            edits.put(path, None)
            with raises(error, names=[path.decode()[0]]):
                apply_edits(workspace.store, stager, root.node, edits)
        edits = Edits()
        edits.put(b"c/d", entry_of(stager, b"3"))
        with raises(ExistsError, names=["'c'"], reason="not a folder"):
            apply_edits(workspace.store, stager, root.node, edits)
        with workspace.store.snapshot() as snapshot, pytest.raises(NotFoundError):
            entry_at(snapshot, root.node, b"a/x", "x:v0")


def test_paths_below_stop_at_what_matches(workspace: Workspace) -> None:
    with staging(workspace.store) as stager:
        root = built(stager, {b"a/b/c": ("file", b""), b"a/d": ("file", b""), b"e": ("file", b"")})
    with workspace.store.snapshot() as snapshot:
        assert list(paths_below(snapshot, root.node, lambda path, folder: folder and path == b"a/b")) == [b"a/b"]
        assert sorted(paths_below(snapshot, root.node, lambda path, folder: not folder)) == [b"a/b/c", b"a/d", b"e"]


def noted(asked: list[bytes], answer: bool, path: bytes, old: EntryDraft, new: EntryDraft) -> bool:
    asked.append(path)
    return answer


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(
    lower=st.dictionaries(st.sampled_from([b"a/x", b"a/y", b"b/x", b"c"]), st.binary(max_size=1)),
    upper=st.dictionaries(st.sampled_from([b"a/x", b"a/y", b"b/z", b"c", b"d/e/f"]), st.binary(max_size=1)),
)
def test_merging_is_what_a_dictionary_does(
    new_workspace: NewWorkspace, lower: dict[bytes, bytes], upper: dict[bytes, bytes]
) -> None:
    """Everything of both, and where both have something else, it is asked about."""
    ours, theirs = ({path: ("file", data) for path, data in one.items()} for one in (upper, lower))
    with new_workspace() as workspace, staging(workspace.store) as stager:
        below, above = built(stager, theirs), built(stager, ours)
        for answer in (True, False):
            asked: list[bytes] = []
            edits = Edits()
            with workspace.store.snapshot() as snapshot:
                merge_edits(snapshot, below.node, above.node, edits, partial(noted, asked, answer))
            merged = apply_edits(workspace.store, stager, below.node, edits)
            stager.flush()
            assert asked == sorted(path for path in upper if path in lower and upper[path] != lower[path])
            assert model_of(workspace.store, merged.node) == whole({**theirs, **ours} if answer else {**ours, **theirs})


def test_paths_that_are_none() -> None:
    for path in (b"", b"/", b"a//b", b"a/../b", b".", b"a\0b", b"n" * 256):
        with pytest.raises(InvalidInputError):
            parse_path(path)
    assert parse_path(b"/a/b/") == [b"a", b"b"]
