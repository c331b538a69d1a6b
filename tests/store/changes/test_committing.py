"""When a version is made, and what is recorded of it."""

from __future__ import annotations

import itertools
import multiprocessing
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from artstore.changes.committing import Commit
from artstore.daemon_requests import Change, parent_changes
from artstore.drafting.batches import NewVersion
from artstore.errors import BusyError, InvalidInputError, RefusedError
from artstore.queries.versions import PutReceipt
from artstore.storage import journal
from artstore.workspace import Workspace, open_workspace
from messages import raises
from store.oracle import assert_sound


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that gives a folder with this content in its one file."""
    counter = itertools.count()

    def make(content: object) -> Path:
        path = tmp_path / f"folder{next(counter)}"
        path.mkdir()
        (path / "file").write_bytes(str(content).encode())
        return path

    return make


def test_equal_content_makes_no_second_version(workspace: Workspace, folder: Callable[..., Path]) -> None:
    """Content and given metadata equal to the latest's make none; `new` and anything else do."""
    one, two = folder("one"), folder("two")
    receipt = workspace.put(one, "a", metadata={"k": 1}, description="d").receipt
    assert receipt == PutReceipt(True, workspace.version("a").new_bytes, [])
    for options in ({}, {"metadata": {"k": 1}}, {"description": "d"}, {"aliases": ["best"]}):
        version = workspace.put(one, "a", **options)
        assert (version.number, version.receipt and version.receipt.created) == (0, False)
    assert workspace.aliases.of("a") == {"best": 0, "latest": 0}
    expected = 0
    for path, options in (
        (one, {"new": True}),
        (one, {"metadata": {"k": 2}}),
        (one, {"metadata": {}}),
        (one, {"description": "other"}),
        (two, {}),
        (one, {}),  # equal to an older version, not to the latest
    ):
        expected += 1
        version = workspace.put(path, "a", **options)
        assert (version.number, version.receipt and version.receipt.created) == (expected, True)
    again = workspace.versions("a")[-1]
    assert again.digest == workspace.version("a:v0").digest
    assert again.new_bytes == 0
    assert [v.number for v in workspace.versions("a")] == list(range(expected + 1))
    assert_sound(workspace)


def test_types_are_fixed_by_the_first_that_is_given(workspace: Workspace, folder: Callable[..., Path]) -> None:
    """None until then; another is refused and nothing is committed; `set_type` changes it for all versions."""
    workspace.put(folder(1), "a")
    assert workspace.version("a").type is None
    workspace.put(folder(2), "a", type="dataset")
    workspace.put(folder(3), "a")
    with raises(RefusedError, names=["'dataset'", "'model'"]) as caught:
        workspace.put(folder(4), "a", type="model")
    assert "set-type" in caught.value.hint
    assert [v.type for v in workspace.versions("a")] == ["dataset"] * 3
    workspace.set_type("a", "model")
    assert workspace.put(folder(4), "a", type="model").number == 3
    assert_sound(workspace)


def test_a_name_is_never_an_artifact_and_a_project(workspace: Workspace, folder: Callable[..., Path]) -> None:
    """Both ways it is refused inside the commit, in one sentence, and leaves no trace."""
    workspace.put(folder(1), "team/x")
    before = len(list(journal.replay(journal.journal_path(workspace.path))))
    for name, names in (
        ("team", ["'team'", "project"]),
        ("team/x/y", ["'team/x'", "'team/x/y'"]),
        ("team/x/y/z", ["'team/x'", "'team/x/y/z'"]),
    ):
        with raises(InvalidInputError, names=names):
            workspace.put(folder(name), name)
    assert [artifact.name for artifact in workspace.artifacts()] == ["team/x"]
    assert workspace.is_project("team") and not workspace.is_project("team/x")
    assert len(list(journal.replay(journal.journal_path(workspace.path)))) == before
    assert_sound(workspace)


STEPS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(["a", "b"]),
        st.none() | st.dictionaries(st.sampled_from(["k"]), st.integers(0, 1)),
        st.none() | st.sampled_from(["d", ""]),
        st.booleans(),
        st.sets(st.sampled_from(["x", "y"])),
    ),
    max_size=8,
)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_the_rule_against_a_model(new_workspace: Any, folder: Callable[..., Path], steps: list[Any]) -> None:
    """Any sequence of puts gives the versions and aliases that a list and a dict give, and the journal replays them."""
    versions: dict[str, list[tuple[int, dict[str, int], str]]] = {"a": [], "b": []}
    aliases: dict[str, dict[str, int]] = {"a": {}, "b": {}}
    folders = [folder(content) for content in range(3)]
    with new_workspace() as workspace:
        for content, name, metadata, description, new, labels in steps:
            known = versions[name]
            equal = known and known[-1] == (
                content,
                known[-1][1] if metadata is None else metadata,
                known[-1][2] if description is None else description,
            )
            created = bool(new or not equal)
            if created:
                known.append((content, metadata or {}, description or ""))
            aliases[name] |= dict.fromkeys(labels, len(known) - 1)
            version = workspace.put(
                folders[content], name, metadata=metadata, description=description, new=new, aliases=sorted(labels)
            )
            assert (version.number, version.receipt.created) == (len(known) - 1, created)
        for name, known in versions.items():
            if known:
                found = workspace.versions(name)
                assert [(int(v.read_bytes("file")), v.metadata, v.description) for v in found] == known
                assert workspace.aliases.of(name) == {**aliases[name], "latest": len(known) - 1}
        events = list(journal.replay(journal.journal_path(workspace.path)))
        for name, known in versions.items():
            version_events = [event for event in events if event["event"] == "version" and event["name"] == name]
            assert [(e["number"], e["metadata"], e["description"]) for e in version_events] == [
                (number, metadata, description) for number, (_, metadata, description) in enumerate(known)
            ]
            moved = {e["alias"]: e["version"] for e in events if e["event"] == "alias" and e["name"] == name}
            assert moved == aliases[name]
        assert_sound(workspace)


def test_threads_get_consecutive_numbers(workspace: Workspace, folder: Callable[..., Path]) -> None:
    """Several threads that put to one artifact at once all succeed."""
    folders = [folder(f"{number} " * 30_000) for number in range(6)]
    failures: list[BaseException] = []

    def work(paths: list[Path]) -> None:
        try:
            for path in paths:
                workspace.put(path, "a", new=True)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(folders[part::2],)) for part in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    versions = workspace.versions("a")
    assert [v.number for v in versions] == list(range(6))
    assert {v.read_bytes("file") for v in versions} == {(path / "file").read_bytes() for path in folders}
    assert_sound(workspace)


def _put_all(workspace: Path, folders: list[Path]) -> None:
    opened = open_workspace(workspace)
    for path in folders:
        opened.put(path, "a", new=True)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_get_consecutive_numbers(workspace: Workspace, folder: Callable[..., Path], method: str) -> None:
    """Several processes that put to one artifact at once all succeed, and share what they have in common."""
    common = "shared line\n" * 20_000
    folders = [folder(f"{common}{number}") for number in range(6)]
    context = multiprocessing.get_context(method)
    processes = [context.Process(target=_put_all, args=(workspace.path, folders[part::2])) for part in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    versions = workspace.versions("a")
    assert [v.number for v in versions] == list(range(6))
    assert {v.read_bytes("file") for v in versions} == {(path / "file").read_bytes() for path in folders}
    assert_sound(workspace)


def test_a_version_that_must_be_the_latest(workspace: Workspace, folder: Callable[..., Path]) -> None:
    """A commit that names the latest version is refused if another one is by then, and then changes nothing."""
    first = workspace.put(folder(1), "a/b")

    def commit(latest: int, content: object, name: str = "a/b") -> int:
        with workspace.drafts.batch(name) as batch:
            batch.add(NewVersion(replace(Commit.checked(name), latest=latest), {b"file": str(content).encode()}))
            return batch.commit()[0].record.serial

    second = commit(first.record.serial, 2)
    for latest in (0, first.record.serial):
        with raises(BusyError, names=["a/b"]):
            commit(latest, 3)
    workspace.delete("a/b:v1")
    with raises(BusyError, names=["a/b"]):
        commit(second, 3)
    with raises(BusyError, names=["c/d"]):
        commit(second, 3, "c/d")
    assert not workspace.has_artifact("c/d") and [each.number for each in workspace.versions("a/b")] == [0]
    assert commit(0, 3, "c/d") and commit(first.record.serial, 3)
    assert_sound(workspace)


def test_what_a_new_artifact_changes_above_it() -> None:
    """Each project on the way lists one more name."""
    assert parent_changes("a") == [Change("", ["a"])]
    assert parent_changes("a/b/c") == [Change("", ["a"]), Change("a", ["b"]), Change("a/b", ["c"])]
