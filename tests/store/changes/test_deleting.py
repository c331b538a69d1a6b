"""Deleting and undeleting: what is refused, what is promised, what comes back."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from artstore.changes import deleting
from artstore.errors import InvalidInputError, NotFoundError, RefusedError
from artstore.ingest.staging import Stager
from artstore.rows.planner import Plan
from artstore.storage import journal
from artstore.workspace import Workspace
from crash.recount import contradictions
from messages import raises


@pytest.fixture
def put(workspace: Workspace, tmp_path: Path) -> Callable[..., str]:
    """Return a function that puts files as the next version of an artifact and returns its name."""

    def make(name: str, **files: bytes) -> str:
        folder = tmp_path / "source"
        folder.mkdir(exist_ok=True)
        for old in folder.iterdir():
            old.unlink()
        for file, data in files.items():
            (folder / file).write_bytes(data)
        return workspace.put(folder, name, new=True).name

    return make


def entries(workspace: Workspace) -> int:
    return workspace.usage().deadlist_entries


def test_a_deleted_version_is_gone_and_can_come_back(workspace: Workspace, put: Callable[..., str]) -> None:
    """Its number, its record and its aliases are as before; nothing was stored or freed."""
    put("a", x=b"one")
    put("a", x=b"two")
    workspace.aliases.set("a:v1", "best", "prod")
    before = workspace.usage()
    done = workspace.delete("a:v1", force=True)
    assert (done.versions, done.aliases) == (["a:v1"], ["a:best", "a:prod"])
    assert done.due_at is not None and done.freed_bytes == workspace.usage().deadlist_bytes > 0
    assert workspace.version("a").name == "a:v0"  # latest is the highest that lives
    with pytest.raises(NotFoundError):
        workspace.version("a:v1")
    workspace.aliases.set("a:v0", "best")
    back = workspace.undelete("a:v1")
    assert (back.version.name, back.aliases, back.skipped_aliases) == ("a:v1", ["prod"], ["best"])
    assert workspace.version("a").read_bytes("x") == b"two"
    assert workspace.aliases.of("a") == {"best": 0, "prod": 1, "latest": 1}
    assert workspace.usage().stored_bytes == before.stored_bytes
    assert contradictions(workspace.path) == []


def test_one_refusal_refuses_the_call_and_names_all(workspace: Workspace, put: Callable[..., str]) -> None:
    """Aliases stand against a deletion; what is deleted is all or nothing."""
    for number in range(4):
        put("a", x=b"%d" % number)
    workspace.aliases.set("a:v1", "one")
    workspace.aliases.set("a:v2", "two")
    with pytest.raises(RefusedError) as caught:
        workspace.delete("a:*")
    assert re.search(r"a:v1\b[^;]*'one'.*a:v2\b[^;]*'two'", str(caught.value))
    assert len(workspace.versions("a")) == 4 and entries(workspace) == 0
    with pytest.raises(NotFoundError):
        workspace.delete("a:v0", "a:v9")
    assert len(workspace.versions("a")) == 4


@pytest.mark.parametrize(
    ("refs", "gone"),
    [
        (["a:v1"], [1]),
        (["a:latest"], [4]),
        (["a:best"], [2]),
        (["a:v0..v2"], [0, 1, 2]),
        (["a:v3..v9", "a:v3"], [3, 4]),
        (["a:v[02]"], [0, 2]),
        (["a:be*"], [2]),
        (["a:*"], [0, 1, 2, 3, 4]),
        (["a:v1:v1"], [1]),
    ],
)
def test_what_references_mean(workspace: Workspace, put: Callable[..., str], refs: list[str], gone: list[int]) -> None:
    """Labels, aliases, ranges with both ends, and globs over labels and aliases; a dry run says the same."""
    for number in range(5):
        put("a", x=b"%d" % number)
    workspace.aliases.set("a:v2", "best")
    promised = workspace.delete(*refs, force=True, dry_run=True)
    assert len(workspace.versions("a")) == 5 and promised.dry_run
    done = workspace.delete(*refs, force=True, now=True)
    assert sorted(done.versions) == [f"a:v{number}" for number in gone] == sorted(promised.versions)
    assert done.freed_bytes == promised.freed_bytes == done.reaped_bytes
    assert contradictions(workspace.path) == []


@pytest.mark.parametrize(
    ("ref", "error"),
    [
        ("a", InvalidInputError),
        ("a:", ValueError),
        ("a:v2..v1", InvalidInputError),
        ("a:v0..", InvalidInputError),
        ("a:v0/x", InvalidInputError),
        ("a:v7", NotFoundError),
        ("a:nope", NotFoundError),
        ("a:z*", NotFoundError),
        ("a:v5..v9", NotFoundError),
        ("b:v0", NotFoundError),
        ("team:v0", NotFoundError),
        ("/nowhere/a/v0", NotFoundError),
    ],
)
def test_what_is_no_reference(workspace: Workspace, put: Callable[..., str], ref: str, error: type[Exception]) -> None:
    """Each is one sentence, and nothing is deleted."""
    put("a", x=b"1")
    put("team/b", x=b"1")
    with pytest.raises(error):
        workspace.delete(ref)
    assert entries(workspace) == 0


def test_a_bare_name_is_told_its_choices(workspace: Workspace, put: Callable[..., str]) -> None:
    """Nobody deletes an artifact by forgetting a version."""
    put("a", x=b"1")
    put("a", x=b"2")
    with pytest.raises(InvalidInputError) as caught:
        workspace.delete("a")
    assert all(word in caught.value.hint for word in ("a:latest is v1", "'a:*'", "2 versions", "rm -r a"))


def test_an_artifact_without_versions_is_in_no_listing(workspace: Workspace, put: Callable[..., str]) -> None:
    """Nor are its projects; its numbers go on when the name is put again, or one of its versions comes back."""
    put("team/vision/x", x=b"1")
    put("team/y", x=b"1")
    assert workspace.delete("team/vision/x", recursive=True).versions == ["team/vision/x:v0"]
    assert [artifact.name for artifact in workspace.artifacts()] == ["team/y"]
    assert not workspace.is_project("team/vision") and workspace.is_project("team")
    with pytest.raises(NotFoundError):
        workspace.versions("team/vision/x")
    assert [version.state for version in workspace.log("team/vision/x")] == ["deleted"]
    assert workspace.undelete("team/vision/x:v0").version.read_bytes("x") == b"1"
    assert workspace.is_project("team/vision")
    workspace.delete("team/vision/x:v0", now=True)
    assert put("team/vision/x", x=b"1") == "team/vision/x:v1"
    assert contradictions(workspace.path) == []


def test_a_name_can_become_a_project_after_its_artifact_went(workspace: Workspace, put: Callable[..., str]) -> None:
    """Then the old version cannot come back, which is said, and nothing changes."""
    put("team", x=b"1")
    workspace.delete("team", recursive=True)
    put("team/x", x=b"2")
    with pytest.raises(NotFoundError):
        workspace.undelete("team:v0")
    assert entries(workspace) == 1


def test_undelete_too_late_or_for_nothing(workspace: Workspace, put: Callable[..., str]) -> None:
    """What lives, never was, or has been given back cannot be undeleted."""
    put("a", x=b"1")
    put("a", x=b"2")
    with raises(RefusedError, names=["a:v0"]):
        workspace.undelete("a:v0")
    with raises(NotFoundError, names=["a:v7"], reason="never existed"):
        workspace.undelete("a:v7")
    with pytest.raises(InvalidInputError):
        workspace.undelete("a:latest")
    workspace.delete("a:v0", now=True)
    with raises(NotFoundError, names=["a:v0"], reason="content freed"):
        workspace.undelete("a:v0")
    workspace.configure(undelete_seconds=0)
    assert workspace.delete("a:v1").due_at is None
    assert workspace.gc().deadlist_entries == 0
    with raises(NotFoundError, names=["a:v1"], reason="content freed"):
        workspace.undelete("a:v1")


def test_promises_count_what_is_deleted_already(workspace: Workspace, put: Callable[..., str]) -> None:
    """What two versions share is promised by the second deletion, in one process or in two."""
    shared, own = os.urandom(50_000), os.urandom(20_000)
    put("a", s=shared)
    put("a", s=shared, o=own)
    put("a", z=b"")
    first = workspace.delete("a:v0").freed_bytes
    deleting._plans.clear()  # as another process would know nothing of the plan
    second = workspace.delete("a:v1").freed_bytes
    assert first < 1000 and second > 70_000
    assert workspace.gc(now=True).freed_bytes == first + second


def test_a_series_of_deletions_plans_each_thing_once(
    workspace: Workspace, put: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plan of what is deleted already is kept from one deletion to the next while no one else commits."""
    for number in range(6):
        put("a", x=b"%d" % number)
    workspace.delete("a:v0")
    planned: list[Plan] = []
    monkeypatch.setattr(Plan, "__init__", noting(Plan.__init__, planned))
    for number in range(1, 5):
        workspace.delete(f"a:v{number}")
    assert planned == []
    put("a", x=b"more")
    workspace.delete("a:v5")
    assert len(planned) == 1
    assert contradictions(workspace.path) == []


def noting(make: Callable[..., None], made: list[Plan]) -> Callable[..., None]:
    def init(plan: Plan, *arguments: object) -> None:
        made.append(plan)
        make(plan, *arguments)

    return init


def test_the_base_of_a_running_put_is_refused_and_survives_force(workspace: Workspace, put: Callable[..., str]) -> None:
    """A put on a base holds the base's content, whatever happens to the version."""
    put("a", x=b"kept")
    put("a", y=b"other")
    base = workspace.version("a:v0").record
    stager = Stager(workspace.store, "a", "test")
    stager.hold_base(base.serial, base.root)
    try:
        with raises(RefusedError, names=["a:v0", "a put", str(os.getpid())]):
            workspace.delete("a:v0")
        workspace.delete("a:v0", force=True, now=True)
        with workspace.store.snapshot() as snapshot:
            assert snapshot.resolve(base.root, b"x") is not None
    finally:
        stager.close()
    assert workspace.gc(now=True).freed_nodes > 0  # the draft has died with its stager
    assert contradictions(workspace.path) == []
    assert workspace.usage().stored_bytes == workspace.du("a:v1").alone


def test_deletions_are_in_the_journal(workspace: Workspace, put: Callable[..., str]) -> None:
    """A rebuild finds deleted versions deleted and undeleted ones alive."""
    put("a", x=b"1")
    workspace.aliases.set("a:v0", "best")
    workspace.delete("a:v0", force=True)
    workspace.undelete("a:v0")
    events = [event["event"] for event in journal.replay(journal.journal_path(workspace.path))]
    assert events[-3:] == ["delete", "undelete", "alias"]
