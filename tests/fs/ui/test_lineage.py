"""Lineage and runs are the commands' documents, drawn; curves have every run that was selected."""

from __future__ import annotations

import json

import pytest

from artfs.documents.encoding import to_json
from artfs.documents.lineage import LineageDocument
from artfs.documents.runs import RunsDocument
from artstore.workspace import Workspace
from fs.ui.clients import Client
from fs.ui.test_artifacts import words


@pytest.fixture
def runs(workspace: Workspace) -> list[str]:
    """Record two runs that used a version; the first made another one."""
    titles = []
    for index, name in enumerate(("one", "two")):
        record, lease = workspace.runs.start("train", name, config={"lr": 0.1 * (index + 1), "net": "<b>"})
        workspace.runs.use(record.number, workspace.version("team/images:v3"), "latest")
        rows = [{"_step": step, "_timestamp": 100.0 + step, "loss": 1 / (step + 1), "acc": "NaN"} for step in range(20)]
        rows[7]["acc"] = 0.5
        workspace.runs.log(record.number, rows, {"loss": 0.05})
        if not index:
            workspace.runs.made(record.number, workspace.version("notes:v0"))
        workspace.runs.change(record.number, state="finished")
        lease.close()
        titles.append(record.title)
    return titles


def test_lineage(client: Client, workspace: Workspace, runs: list[str]) -> None:
    """From data to run to model; the page has the reason for which `rm` refuses."""
    page = client.get("/lineage?ref=notes:v0").text
    text = words(page)
    assert "<svg" in page and "team/images:v3" in text and runs[0] in text and "used by" in text and "logged" in text
    document = client.get("/lineage?ref=notes:v0&format=json").text
    assert document == to_json(LineageDocument.of(workspace.lineage("notes:v0")))
    assert "cannot be deleted" in words(client.get("/lineage?ref=team/images:v3").text)
    assert "cannot be deleted" not in text
    assert client.get(f"/lineage?ref=run:{runs[0]}").status == 200
    assert "nothing was made from it" in words(client.get("/lineage?ref=team/images:v1").text)


def test_runs(client: Client, workspace: Workspace, runs: list[str]) -> None:
    """Configuration and summary are columns, those that are chosen or the first few."""
    page = client.get("/runs").text
    text = words(page)
    assert all(title in text for title in runs) and "config.lr" in text and "0.05" in text and "<b>" not in page
    chosen = words(client.get("/runs?columns=summary.loss").text)
    assert "config.lr" not in chosen.partition("Steps")[2] and "summary.loss" in chosen
    document = client.get("/runs?format=json").text
    every = workspace.runs.all()
    assert document == to_json(RunsDocument.of((each, workspace.runs.state(each)) for each in every))
    assert client.get("/runs?project=nothing").status == 200


def test_a_run(client: Client, runs: list[str]) -> None:
    text = words(client.get(f"/run?run={runs[0]}").text)
    assert (
        "team/images:v3" in text and "notes:v0" in text and "lr 0.1" in text and "loss" in text and "20 steps" in text
    )
    assert json.loads(client.get(f"/run?run={runs[0]}&format=json").text)["run"] == runs[0]
    assert client.get("/run?run=train/none").status == 404


def test_curves(client: Client, runs: list[str]) -> None:
    """All selected runs are in one chart, over steps or time; numbers that are none are gaps."""
    page = client.get(f"/curves?run={runs[0]}&run={runs[1]}&metric=loss").text
    assert page.count("<svg") == 1 and all(title in page for title in runs)
    for more in ("&over=time", "&log=1", "&metric=none", "&metric=acc"):
        assert client.get(f"/curves?run={runs[0]}{more}").status == 200
    assert client.get("/curves").status == 400 and client.get("/curves?run=none").status == 404
