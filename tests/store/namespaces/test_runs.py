"""Runs through the facade: what a program records of itself is what others read."""

from __future__ import annotations

from pathlib import Path

import pytest

from artstore.errors import ExistsError, NotFoundError
from artstore.workspace import Workspace


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
