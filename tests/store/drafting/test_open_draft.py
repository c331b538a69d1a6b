"""Open drafts: what steps make of them, what outlives what, and what is said of everything that cannot be."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from artstore.drafting import adding
from artstore.drafting.open_draft import OpenDraft
from artstore.errors import (
    ArtfsError,
    ExistsError,
    InvalidInputError,
    InvalidNameError,
    NotFoundError,
    OutOfSpaceError,
    RefusedError,
    SourceError,
)
from artstore.reclaim import collecting
from artstore.records.tables import Table, key64
from artstore.rows import drafts
from artstore.workspace import Workspace
from messages import raises
from store.oracle import Model, assert_sound, canonical_digest, leftovers, model_of, whole, write_folder

NewWorkspace = Callable[[], AbstractContextManager[Workspace]]

MODEL: Model = {b"a/x": ("file", b"1"), b"a/y": ("exec", b"2"), b"b/c/z": ("file", b"3" * 5000), b"top": ("file", b"4")}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "source", MODEL)


def content(draft: OpenDraft) -> Model:
    return model_of(draft._store, draft.record().root)


def age(workspace: Workspace, draft: OpenDraft, seconds: float) -> None:
    """Let the last step of a draft lie back."""
    record = draft.record()
    with workspace.store.write() as transaction:
        older = replace(record, active_ns=record.active_ns - int(seconds * 1e9))
        transaction.put(Table.DRAFTS, key64(record.draft), older.encode())


# -- steps -------------------------------------------------------------------------------------------------------------


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
    with raises(NotFoundError, names=["'d1'"]):
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
    assert again.name == "data:v3", "what an older version had is made anew"
    assert workspace.drafts.new("data", base="latest").commit(metadata={"k": 1}).name == "data:v4"


@pytest.mark.parametrize(
    ("path", "to", "expected"),
    [
        ("top", "", b"top"),
        ("top", "new", b"new"),
        ("top", "a", b"a/top"),
        ("top", "q/", b"q/top"),
        ("top", "q/r", b"q/r"),
        ("a/y", "/s//", None),
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
    with raises(ExistsError, names=["'a/x'"]) as caught:
        draft.add(third)
    assert caught.value.paths == [b"a/x", b"n"]
    with raises(ExistsError, names=["'n'"]):
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
        with pytest.raises(ExistsError, match="a folder on one side and a file on the other"):
            draft.add(path, overwrite=True)
    with raises(ExistsError, names=["'top'"]):
        draft.add(source / "a", "top")
    with raises(ExistsError, names=["'top'"]):
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
    with raises(NotFoundError, names=["'top'"]):
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
    with raises(ExistsError, names=["'a/y'"]):
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
        ("changed", b"a/x"), ("removed", b"b/c/z"), ("added", b"n")
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


# -- life --------------------------------------------------------------------------------------------------------------


def test_names_of_drafts(workspace: Workspace) -> None:
    workspace.drafts.new("a", id="one")
    with raises(ExistsError, names=["'one'"]):
        workspace.drafts.new("b", id="one")
    assert workspace.drafts.new("a").id == "d2"
    assert [draft.id for draft in workspace.drafts.all()] == ["one", "d2"]
    assert workspace.drafts.get("one").artifact == "a"
    for ident in ("a/b", "v1", "latest", ".x", "-x"):
        with pytest.raises(InvalidNameError):
            workspace.drafts.new("a", id=ident)
    with pytest.raises(InvalidNameError):
        workspace.drafts.new("a:b")
    with pytest.raises(NotFoundError):
        workspace.drafts.get("two")
    with pytest.raises(NotFoundError):
        workspace.drafts.new("a", base="v0")


def test_a_draft_outlives_the_process_that_opened_it(workspace: Workspace, source: Path) -> None:
    program = (
        "import sys; from artstore.workspace import open_workspace\n"
        "draft = open_workspace(sys.argv[1]).drafts.new('data', id='kept'); draft.add(sys.argv[2])"
    )
    subprocess.run([sys.executable, "-c", program, workspace.path, source], check=True)
    workspace.gc(now=True)
    draft = workspace.drafts.get("kept")
    assert content(draft) == whole(MODEL)
    assert draft.commit().file_count == 4


def test_a_draft_expires(workspace: Workspace, source: Path) -> None:
    """A week after the last step, and not before; then gc takes it, and what it alone held."""
    draft = workspace.drafts.new("data", id="x")
    draft.add(source)
    age(workspace, draft, 6.9 * 86400)
    workspace.gc(now=True)
    (source / "top").write_bytes(b"other")
    draft.add(source / "top", "later")  # a step: another week begins
    age(workspace, draft, 6.9 * 86400)
    assert workspace.drafts.get("x").id == "x"
    age(workspace, draft, 0.2 * 86400)
    for use in (lambda: workspace.drafts.get("x"), draft.commit, lambda: draft.add(source), draft.status):
        with raises(NotFoundError, names=["'x'"]):
            use()
    assert workspace.drafts.all() == []
    workspace.gc()
    assert workspace.drafts.states() == []
    assert leftovers(workspace) == []
    for seconds in (0.0, -1.0, float("nan")):
        with pytest.raises(InvalidInputError, match="cannot expire before it is opened"):
            workspace.drafts.new("data", id="x", expires=seconds)


def test_by_a_wrong_clock_no_draft_is_lost(workspace: Workspace, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Far ahead of all that is recorded it may be wrong: the draft has expired by it, and comes back with the clock."""
    draft = workspace.drafts.new("data", id="x")
    draft.add(source)
    now_ns = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now_ns + 40 * 86400 * 10**9)
    assert workspace.drafts.all() == []
    workspace.gc(now=True)
    monkeypatch.setattr(time, "time_ns", lambda: now_ns + 1)
    assert content(workspace.drafts.get("x")) == whole(MODEL)
    monkeypatch.setattr(time, "time_ns", lambda: now_ns + 20 * 86400 * 10**9)
    workspace.gc()
    assert workspace.drafts.states() == []


def test_the_name_of_an_expired_draft_is_free(workspace: Workspace) -> None:
    age(workspace, workspace.drafts.new("data", id="x", expires=10.0), 11.0)
    assert workspace.drafts.new("other", id="x").artifact == "other"


def test_the_base_of_an_open_draft_is_kept(workspace: Workspace, source: Path, tmp_path: Path) -> None:
    workspace.put(source, "data")
    draft = workspace.drafts.new("data", base="v0", id="x")
    draft.remove("b")
    with raises(RefusedError, names=["data:v0", "'x'", "'data'"]):
        workspace.delete("data:v0")
    workspace.delete("data:v0", now=True, force=True)
    assert [(change.kind, change.path) for change in draft.status()] == [("removed", b"b/c/z")]
    workspace.put(source, "other")
    with raises(ArtfsError, names=["'x'", "'data'"]):
        workspace.purge(blake(MODEL[b"a/x"][1]), reason="r", everywhere=True)
    assert draft.commit().name == "data:v1"
    workspace.gc(now=True)
    assert_sound(workspace)


def blake(data: bytes) -> str:
    from artstore.ids import content_id

    return content_id(data).hex()


def test_why_names_an_open_draft(workspace: Workspace, source: Path) -> None:
    draft = workspace.drafts.new("data", id="x")
    draft.add(source)
    assert any("the open draft 'x' of 'data'" in line for line in workspace.why(blake(b"1")).drafts)
    age(workspace, draft, 8 * 86400)
    assert any("has expired" in line for line in workspace.why(blake(b"1")).drafts)


def test_steps_of_several_processes_are_all_done(workspace: Workspace, tmp_path: Path) -> None:
    """Each upon what the one before it made, whoever comes first."""
    workspace.drafts.new("data", id="x")
    program = (
        "import sys; from artstore.workspace import open_workspace\n"
        "draft = open_workspace(sys.argv[1]).drafts.get('x')\n"
        "for number in range(5): draft.add(sys.argv[2], f'{sys.argv[3]}/{number}')"
    )
    (tmp_path / "f").write_bytes(b"f")
    started = [
        subprocess.Popen([sys.executable, "-c", program, workspace.path, tmp_path / "f", name]) for name in "abc"
    ]
    assert [process.wait(60) for process in started] == [0, 0, 0]
    draft = workspace.drafts.get("x")
    assert sorted(path for path, (kind, _) in content(draft).items() if kind == "file") == sorted(
        b"%s/%d" % (name, number) for name in (b"a", b"b", b"c") for number in range(5)
    )
    assert_sound(workspace)


def test_a_folder_is_read_once_however_often_others_are_quicker(
    workspace: Workspace, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it holds is in the store by then; and all that was stored for it is told."""
    draft = workspace.drafts.new("data", id="x")
    (tmp_path / "f").write_bytes(b"f")
    step, run = adding.Adding.step, adding.Ingest.run
    losses, reads = [3], []

    def slow_step(self: adding.Adding, *arguments: Any) -> Any:
        done = step(self, *arguments)
        if losses[0] and not self._source.is_file:
            losses[0] -= 1
            OpenDraft(workspace.store, "x").add(tmp_path / "f", f"other{losses[0]}")
        return done

    def counted(self: adding.Ingest) -> Any:
        reads.append(1)
        return run(self)

    monkeypatch.setattr(adding.Adding, "step", slow_step)
    monkeypatch.setattr(adding.Ingest, "run", counted)
    added = draft.add(source)
    assert len(reads) == 1 and losses == [0] and added.files == 4 and added.new_bytes > 0
    others: Model = {b"other%d" % number: ("file", b"f") for number in range(3)}
    assert content(draft) == whole({**MODEL, **others})
    draft.abort()
    workspace.gc(now=True)
    assert_sound(workspace)
    assert leftovers(workspace) == []


def test_one_of_two_commits_makes_the_version(workspace: Workspace, source: Path) -> None:
    draft = workspace.drafts.new("data", id="x")
    draft.add(source)
    outcomes: list[str] = []

    def commit() -> None:
        try:
            outcomes.append(OpenDraft(workspace.store, "x").commit().name)
        except NotFoundError:
            outcomes.append("gone")

    threads = [threading.Thread(target=commit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["data:v0", "gone", "gone", "gone"]


def test_a_failed_step_leaves_the_draft_as_it_was(workspace: Workspace, source: Path, tmp_path: Path) -> None:
    draft = workspace.drafts.new("data")
    draft.add(source)
    os.mkfifo(source / "pipe")
    for use in (lambda: draft.add(source, "more"), lambda: draft.add(tmp_path / "absent")):
        with pytest.raises((SourceError, NotFoundError)):
            use()
    assert content(draft) == whole(MODEL)
    with pytest.raises(RefusedError):
        draft.add(workspace.path)
    version = draft.commit(type="model")
    with pytest.raises(RefusedError, match="type"):
        other = workspace.drafts.new("data", base="v0", id="y")
        other.commit(type="dataset", new=True)
    assert workspace.drafts.get("y").commit().name == version.name


def test_on_a_full_disk_what_was_deleted_makes_room(
    workspace: Workspace, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for a put: it is reaped early, and that is told; where nothing waits, the step fails."""
    draft = workspace.drafts.new("data")
    full = [True]

    def require_room(path: Path) -> None:
        if full[0]:
            raise OutOfSpaceError("no room")

    def reap_for_room(*_: Any) -> int:
        full[0] = False
        return 5

    monkeypatch.setattr(collecting, "require_room", require_room)
    monkeypatch.setattr(collecting, "reap_for_room", lambda *_: 0)
    with pytest.raises(OutOfSpaceError):
        draft.add(source)
    monkeypatch.setattr(collecting, "reap_for_room", reap_for_room)
    assert draft.add(source).reaped_bytes == 5
    assert content(draft) == whole(MODEL)


def test_a_listed_draft_may_end_meanwhile(workspace: Workspace) -> None:
    workspace.drafts.new("data", id="x")
    (listed,) = workspace.drafts.all()
    workspace.drafts.get("x").abort()
    assert listed.id == "x"
    with raises(NotFoundError, names=["'x'"]):
        listed.record()


def test_only_folders_are_remembered(workspace: Workspace, source: Path) -> None:
    """One file costs no cache of its own: there is nothing to skip in it."""
    draft = workspace.drafts.new("data")
    draft.add(source / "top")
    assert list((workspace.path / "cache").rglob("*")) in ([], [workspace.path / "cache" / "stat"])
    draft.add(source / "a")
    assert [path.is_file() for path in (workspace.path / "cache" / "stat").iterdir()] == [True]


def test_aborting_is_for_good(workspace: Workspace, source: Path) -> None:
    draft = workspace.drafts.new("data")
    draft.add(source)
    draft.abort()
    draft.abort()
    workspace.gc()
    assert leftovers(workspace) == []


def test_many_changes_of_a_large_version_are_quick(workspace: Workspace, tmp_path: Path) -> None:
    """Records that a step reads and writes are in proportion to it: 20,000 files, ten steps."""
    model = {b"%03d/%03d" % (number // 200, number % 200): ("file", b"") for number in range(20_000)}
    workspace.put(write_folder(tmp_path / "many", model), "many")
    draft = workspace.drafts.new("many", base="v0")
    (tmp_path / "new").write_bytes(b"new")
    before = next_node(workspace)
    for number in range(5):
        draft.add(tmp_path / "new", f"{number:03}/new")
        draft.remove(f"{number + 10:03}/100")
    draft.commit()
    assert next_node(workspace) - before < 10 * 8
    assert workspace.version("many:v1").file_count == 20_000


def next_node(workspace: Workspace) -> int:
    with workspace.store.write() as transaction:
        return transaction.state.next_node


def test_dead_puts_and_open_drafts_are_told_apart(workspace: Workspace, source: Path) -> None:
    draft = workspace.drafts.new("data", id="x")
    draft.add(source)
    (info,) = [one for one in workspace.drafts.states() if one.id]
    assert info.alive and info.title == "the open draft 'x' of 'data'" and info.expires_ns > time.time_ns()
    with workspace.store.snapshot() as snapshot:
        assert drafts.dead_drafts(snapshot.transaction, workspace.store.run_dir, time.time_ns()) == []
    assert replace(draft.record(), draft=7).draft == 7
