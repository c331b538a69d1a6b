"""Steps of a draft: adding, removing and moving files; sequences of steps are compared with a dictionary."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from artstore.drafting.open_draft import OpenDraft
from artstore.errors import (
    ArtfsError,
    ExistsError,
    InvalidInputError,
    NotFoundError,
)
from artstore.workspace import Workspace
from messages import raises
from store.drafting.sources import MODEL, content
from store.oracle import Model, assert_sound, canonical_digest, leftovers, whole, write_folder

NewWorkspace = Callable[[], AbstractContextManager[Workspace]]


def test_a_draft_becomes_a_version(workspace: Workspace, source: Path, tmp_path: Path) -> None:
    draft = workspace.drafts.new("team/data")
    assert content(draft) == {} and draft.base is None and draft.artifact == "team/data"
    added = draft.add(source)
    assert (added.files, added.bytes) == (4, 5003) and added.new_bytes > 0
    version = draft.commit(type="dataset", aliases=["good"], metadata={"k": (1, 2)}, description="d")
    assert version.name == "team/data:v0" and version.receipt is not None and version.receipt.created
    assert version.receipt.new_bytes >= added.new_bytes
    assert (version.digest, version.metadata, version.aliases) == (
        canonical_digest(whole(MODEL)).hex(), {"k": [1, 2]}, ["good", "latest"]
    )  # fmt: skip
    assert workspace.drafts.states() == [] and workspace.drafts.all() == []
    with raises(NotFoundError, names=["'d1'"], reason="no open draft"):
        draft.add(source)
    workspace.gc()
    assert_sound(workspace)
    assert leftovers(workspace) == []


def test_a_draft_begins_as_a_version_and_copies_nothing(workspace: Workspace, source: Path) -> None:
    workspace.put(source, "data")
    before = workspace.usage().stored_bytes
    draft = workspace.drafts.new("other", base="data:latest", id="fixes")
    assert content(draft) == whole(MODEL) and draft.base == "data:v0" and workspace.usage().stored_bytes == before
    version = draft.commit()
    assert version.name == "other:v0" and version.digest == workspace.version("data:v0").digest
    assert workspace.version("other:v0").record.base == "data:v0"


def test_what_equals_the_latest_makes_no_version(workspace: Workspace, source: Path) -> None:
    workspace.put(source, "data", metadata={"k": 1})
    (source / "top").write_bytes(b"other")
    workspace.put(source, "data")
    unchanged = workspace.drafts.new("data", base="latest").commit()
    assert unchanged.name == "data:v1" and unchanged.receipt is not None and not unchanged.receipt.created
    assert workspace.drafts.new("data", base="latest").commit(new=True).name == "data:v2"
    again = workspace.drafts.new("data", base="v0").commit()
    assert again.name == "data:v3", "content of an older version becomes a new version"
    assert workspace.drafts.new("data", base="latest").commit(metadata={"k": 1}).name == "data:v4"


@pytest.mark.parametrize(
    ("path", "to", "expected"),
    [
        ("top", "", b"top"),
        ("top", "new", b"new"),
        ("top", "a", b"a/top"),
        ("top", "q/", b"q/top"),
        ("top", "q/r", b"q/r"),
        ("a/y", "s//", None),
    ],
)
def test_where_a_file_goes(workspace: Workspace, source: Path, path: str, to: str, expected: bytes | None) -> None:
    draft = workspace.drafts.new("data")
    draft.add(source / "a", "a")
    if expected is None:
        draft.add(source / path, to)
        assert content(draft)[b"s/y"] == ("exec", b"2")
        return
    draft.add(source / path, to)
    assert content(draft)[expected] == MODEL[path.encode()]


def test_where_a_folder_goes(workspace: Workspace, source: Path) -> None:
    draft = workspace.drafts.new("data")
    draft.add(source / "a", "deep/down")
    draft.add(source / "b", "deep")
    (source / "nothing").mkdir()
    draft.add(source / "nothing", "empty")
    assert content(draft) == whole(
        {
            b"deep/down/x": MODEL[b"a/x"],
            b"deep/down/y": MODEL[b"a/y"],
            b"deep/c/z": MODEL[b"b/c/z"],
            b"empty": ("dir", b""),
        }
    )
    assert_sound(workspace)


def test_what_was_added_before_is_not_replaced_by_chance(workspace: Workspace, source: Path, tmp_path: Path) -> None:
    workspace.put(source, "data")
    other = write_folder(tmp_path / "other", {b"a/x": ("file", b"9"), b"a/y": ("exec", b"2"), b"n": ("file", b"n")})
    third = write_folder(tmp_path / "third", {b"a/x": ("file", b"8"), b"n": ("file", b"m"), b"top": ("file", b"5")})
    draft = workspace.drafts.new("data", base="v0")
    draft.add(other)  # a/x is of the base
    before = content(draft)
    with raises(ExistsError, names=["'a/x'", "1 more"], reason="added before") as caught:
        draft.add(third)
    assert caught.value.paths == [b"a/x", b"n"]
    with raises(ExistsError, names=["'n'"], reason="added before"):
        draft.add(third / "n")
    assert content(draft) == before, "a step is done whole or not at all"
    draft.add(other)
    assert content(draft) == before
    draft.add(third, overwrite=True)
    assert content(draft) == whole({**MODEL, b"a/x": ("file", b"8"), b"n": ("file", b"m"), b"top": ("file", b"5")})


def test_a_folder_and_a_file_do_not_take_each_others_place(workspace: Workspace, source: Path, tmp_path: Path) -> None:
    draft = workspace.drafts.new("data")
    draft.add(source)
    folder = write_folder(tmp_path / "folder", {b"top/x": ("file", b"")})
    file = write_folder(tmp_path / "file", {b"a": ("file", b"")})
    for path in (folder, file):
        with raises(ExistsError, reason="folder against file"):
            draft.add(path, overwrite=True)
    with raises(ExistsError, names=["'top'"], reason="not a folder"):
        draft.add(source / "a", "top")
    with raises(ExistsError, names=["'top'"], reason="not a folder"):
        draft.add(source / "top", "top/x")
    assert content(draft) == whole(MODEL)


def test_removing(workspace: Workspace, source: Path) -> None:
    workspace.put(source, "data")
    draft = workspace.drafts.new("data", base="v0")
    assert draft.remove("a/x", "b/") == [b"a/x", b"b"]
    assert content(draft) == whole({b"a/y": MODEL[b"a/y"], b"top": MODEL[b"top"]})
    assert draft.remove("*") == [b"a", b"top"]
    assert content(draft) == {}
    for pattern in ("x", "a/", "*.jpg", "b/c/z"):
        with pytest.raises(NotFoundError):
            draft.remove(pattern)
    with pytest.raises(InvalidInputError):
        draft.remove("../x")
    other = workspace.drafts.new("data", base="v0")
    with raises(NotFoundError, names=["'top'"], reason="not a folder"):
        other.remove("top/")
    assert other.remove("[xy]") == [b"a/x", b"a/y"]
    assert other.remove("b", "b/c/z") == [b"b", b"b/c/z"]
    assert content(other) == {b"top": MODEL[b"top"]}


def test_moving(workspace: Workspace, source: Path) -> None:
    workspace.put(source, "data")
    draft = workspace.drafts.new("data", base="v0")
    assert draft.move("a/x", "b") == b"b/x"
    assert draft.move("b/c", "d/e") == b"d/e"
    assert draft.move("top", "a/y2") == b"a/y2"
    expected = {b"b/x": MODEL[b"a/x"], b"a/y": MODEL[b"a/y"], b"d/e/z": MODEL[b"b/c/z"], b"a/y2": MODEL[b"top"]}
    assert content(draft) == whole(expected)
    with raises(ExistsError, names=["'a/y'"], reason="occupied"):
        draft.move("b/x", "a/y")
    assert draft.move("b/x", "a/y", overwrite=True) == b"a/y"
    assert b"b" not in content(draft)
    for old, new, error in (
        ("d", "d/e", InvalidInputError),
        ("d", "d", InvalidInputError),
        ("a/y", "a/", InvalidInputError),
        ("q", "r", NotFoundError),
        ("a/y", "..", InvalidInputError),
    ):
        with pytest.raises(error):
            draft.move(old, new)


def test_status_is_the_difference_to_the_beginning(workspace: Workspace, source: Path, tmp_path: Path) -> None:
    workspace.put(source, "data")
    draft = workspace.drafts.new("data", base="v0")
    assert list(draft.status()) == []
    (tmp_path / "x").write_bytes(b"new")
    draft.add(tmp_path / "x", "a/")
    draft.add(tmp_path / "x", "n")
    draft.remove("b")
    assert [(change.kind, change.path) for change in draft.status()] == [
        ("changed", "a/x"), ("removed", "b/c/z"), ("added", "n")
    ]  # fmt: skip


PATHS = st.sampled_from([b"a", b"a/x", b"a/y", b"a/b/z", b"c", b"c/d"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.dictionaries(PATHS, st.binary(max_size=2), max_size=3), st.booleans()),
        st.tuples(st.just("remove"), PATHS, st.none()),
        st.tuples(st.just("move"), PATHS, PATHS),
    ),
    max_size=6,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80, deadline=None)
@given(base=st.dictionaries(PATHS, st.binary(max_size=2), max_size=4), steps=STEPS)
def test_steps_are_those_of_a_dictionary(
    new_workspace: NewWorkspace,
    tmp_path_factory: pytest.TempPathFactory,
    base: dict[bytes, bytes],
    steps: list[tuple[str, object, object]],
) -> None:
    """Whatever is done in whatever order, and refused; and all of it is gone with the draft."""
    folder = tmp_path_factory.mktemp("steps")
    with new_workspace() as workspace:
        start = files_of(base)
        workspace.put(write_folder(folder / "base", start), "data")
        draft = workspace.drafts.new("data", base="v0")
        model = dict(start)
        for number, (kind, first, second) in enumerate(steps):
            model = done(draft, model, start, kind, first, second, folder / str(number))
            assert content(draft) == whole(model)
            assert_sound(workspace)
        draft.abort()
        workspace.gc(now=True)  # also what refused steps have stored
        assert_sound(workspace)
        assert leftovers(workspace) == []


def files_of(files: dict[bytes, bytes]) -> Model:
    """Return the files of a dictionary that can be together: none stands where another has a folder."""
    return {
        path: ("file", data)
        for path, data in files.items()
        if not any(other.startswith(path + b"/") for other in files)
    }


def done(draft: OpenDraft, model: Model, start: Model, kind: str, first: object, second: object, folder: Path) -> Model:
    """Do one step with the draft and with the model; both must allow it, or neither."""
    after = stepped(model, start, kind, first, second)
    try:
        if kind == "add":
            assert isinstance(first, dict)
            draft.add(write_folder(folder, files_of(first)), overwrite=bool(second))
        elif kind == "remove":
            assert isinstance(first, bytes)
            draft.remove(first)
        else:
            assert isinstance(first, bytes) and isinstance(second, bytes)
            draft.move(first, second)
    except ArtfsError:
        assert after is None
        return model
    assert after is not None
    return after


def stepped(model: Model, start: Model, kind: str, first: object, second: object) -> Model | None:
    if kind == "add":
        assert isinstance(first, dict)
        added = files_of(first)
        for path in added:
            if any(path.startswith(other + b"/") or other.startswith(path + b"/") for other in model):
                return None
            if path in model and model[path] != added[path] and model[path] != start.get(path) and not second:
                return None
        return {**model, **added}
    assert isinstance(first, bytes)
    moved = {path: value for path, value in model.items() if path == first or path.startswith(first + b"/")}
    if not moved:
        return None
    left = {path: value for path, value in model.items() if path not in moved}
    if kind == "remove":
        return left
    assert isinstance(second, bytes)
    target = second
    if any(path.startswith(second + b"/") for path in model):
        target = second + b"/" + first.rpartition(b"/")[2]
    in_the_way = any(path == target or path.startswith(target + b"/") for path in model)
    if in_the_way or target == first or target.startswith(first + b"/"):
        return None
    if any(target.startswith(path + b"/") for path in left):
        return None
    return {**left, **{target + path[len(first) :]: value for path, value in moved.items()}}
