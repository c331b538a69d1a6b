"""Runs through the facade: what a program records of itself is what others read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import zstandard

from artstore.changes.committing import Commit
from artstore.changes.putting import PutOptions, put
from artstore.errors import ExistsError, InvalidInputError, NotFoundError
from artstore.rows import runs
from artstore.workspace import Workspace
from messages import raises


def test_a_run_is_recorded_and_read(workspace: Workspace, tmp_path: Path) -> None:
    """State, rows, summary and used versions follow what the run records."""
    (tmp_path / "file").write_bytes(b"content")
    version = workspace.put(tmp_path / "file", "data")
    record, lease = workspace.runs.start("p", "one", config={"lr": 0.1})
    assert workspace.runs.state(record) == "running"
    workspace.runs.use(record.number, version, "latest")
    changed = workspace.runs.log(record.number, [{"loss": 0.5}, {"loss": 0.25}], {"loss": 0.25})
    assert (changed.steps, changed.summary) == (2, {"loss": 0.25})
    assert [row["loss"] for row in workspace.runs.rows(record.number)] == [0.5, 0.25]
    assert workspace.runs.versions(record.number, used=True) == [version]
    lease.close()
    assert workspace.runs.state(workspace.runs.get("p/one")) == "crashed"
    assert workspace.runs.state(workspace.runs.change(record.number, state="finished")) == "finished"
    assert [run.title for run in workspace.runs.all("p")] == ["p/one"]


def test_an_id_is_one_run(workspace: Workspace) -> None:
    """A run that exists is refused, unless it is resumed; one that does not exist is not found."""
    first, lease = workspace.runs.start("p", "one")
    lease.close()
    with pytest.raises(ExistsError):
        workspace.runs.start("p", "one")
    again, lease = workspace.runs.start("p", "one", resume=True)
    lease.close()
    assert again.number == first.number
    with pytest.raises(NotFoundError):
        workspace.runs.get("p/two")


def test_logging_no_rows_leaves_rows_readable(workspace: Workspace) -> None:
    """The summary changes, and every row that was logged before and after is read; none is added."""
    record, lease = workspace.runs.start("p", "one")
    workspace.runs.log(record.number, [{"loss": 1}], {})
    assert workspace.runs.log(record.number, [], {"best": 1}).summary == {"best": 1}
    assert workspace.runs.log(record.number, [{"loss": 2}], {}).steps == 2
    assert workspace.runs.rows(record.number) == [{"loss": 1}, {"loss": 2}]
    lease.close()
    assert workspace.fsck().clean


def test_a_block_without_rows_is_read(workspace: Workspace) -> None:
    """Earlier releases wrote one if no rows were logged."""
    record, lease = workspace.runs.start("p", "one")
    lease.close()
    with workspace.store.write() as transaction:
        runs.put_block(transaction, record.number, 0, zstandard.compress(b""))
        runs.put_block(transaction, record.number, 1, *runs.pack_rows([{"loss": 2}]))
    assert workspace.runs.rows(record.number) == [{"loss": 2}]


def test_many_rows_at_once_become_blocks_that_are_read(workspace: Workspace) -> None:
    record, lease = workspace.runs.start("p", "one")
    lease.close()
    rows = [{"text": "x" * 1_000_000, "number": number} for number in range(10)]
    logged = workspace.runs.log(record.number, rows, {})
    assert logged.steps == 10 and logged.blocks > 1
    assert workspace.runs.rows(record.number) == rows
    assert workspace.fsck(data=True).clean
    with raises(InvalidInputError, names=["5,000,011"]):
        workspace.runs.log(record.number, [{"text": "x" * 5_000_000}], {})


@pytest.mark.parametrize("data", [b"junk", zstandard.compress(b"[]"), *runs.pack_rows([{"a": 1}, {"a": 2}])])
def test_a_block_that_is_none_is_found(workspace: Workspace, data: bytes) -> None:
    record, lease = workspace.runs.start("p", "one")
    lease.close()
    workspace.runs.log(record.number, [{"loss": 1}], {})
    with workspace.store.write() as transaction:
        runs.put_block(transaction, record.number, 0, data)
    assert any("p/one" in problem.message for problem in workspace.fsck().problems)


@pytest.mark.parametrize("fields", [{"id": "two"}, {"project": "q"}, {"state": "finished", "id": "two"}])
def test_what_identifies_a_run_does_not_change(workspace: Workspace, fields: dict[str, Any]) -> None:
    """It is found under its title, and no row is left that leads to another."""
    record, lease = workspace.runs.start("p", "one")
    lease.close()
    with pytest.raises(InvalidInputError):
        workspace.runs.change(record.number, **fields)
    assert workspace.runs.all() == [workspace.runs.get("p/one")] == [record]
    assert workspace.fsck().clean


def test_what_is_recorded_of_no_run_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    """A number without a run gets neither rows nor edges."""
    (tmp_path / "file").write_bytes(b"content")
    version = workspace.put(tmp_path / "file", "data")
    for call in (
        lambda: workspace.runs.change(9, state="finished"),
        lambda: workspace.runs.log(9, [{"a": 1}], {}),
        lambda: workspace.runs.use(9, version, "latest"),
    ):
        with pytest.raises(NotFoundError):
            call()
    assert workspace.runs.rows(9) == [] and workspace.runs.versions(9, used=True) == []
    assert workspace.fsck().clean


def test_values_that_json_cannot_hold_change_nothing(workspace: Workspace) -> None:
    """The run keeps its rows, summary and config."""
    record, lease = workspace.runs.start("p", "one", config={"lr": 1})
    lease.close()
    for call in (
        lambda: workspace.runs.log(record.number, [{"a": float("nan")}], {}),
        lambda: workspace.runs.log(record.number, [{"a": 1}], {"a": object()}),
        lambda: workspace.runs.change(record.number, config={"a": {1, 2}}),
        lambda: workspace.runs.start("p", "two", config={"a": object()}),
    ):
        with pytest.raises(InvalidInputError):
            call()
    assert workspace.runs.all() == [record] and workspace.runs.rows(record.number) == []


def test_runs_are_listed_by_project(workspace: Workspace) -> None:
    """Oldest first, whatever their ids; a project whose name begins alike is another, and runs may have none."""
    for project, ident in (("p", "z"), ("pq", "a"), ("p", "a"), ("", "m")):
        workspace.runs.start(project, ident)[1].close()
    assert [run.title for run in workspace.runs.all()] == ["p/z", "pq/a", "p/a", "m"]
    assert [run.title for run in workspace.runs.all("p")] == ["p/z", "p/a"]
    assert [run.title for run in workspace.runs.all("")] == ["m"]
    assert workspace.runs.get("m").project == ""


def test_versions_that_a_run_made_are_told_from_those_that_it_used(workspace: Workspace, tmp_path: Path) -> None:
    """Deleted ones are not listed."""
    (tmp_path / "file").write_bytes(b"used")
    used = workspace.put(tmp_path / "file", "used")
    record, lease = workspace.runs.start("p", "one")
    workspace.runs.use(record.number, used, "latest")
    (tmp_path / "file").write_bytes(b"made")
    put(workspace.store, tmp_path / "file", Commit("made", runs=(record.number,)), PutOptions())
    lease.close()
    assert workspace.runs.versions(record.number, used=True) == [used]
    assert workspace.runs.versions(record.number, used=False) == [workspace.version("made:v0")]
    workspace.delete("made:v0", force=True)
    assert workspace.runs.versions(record.number, used=False) == []
