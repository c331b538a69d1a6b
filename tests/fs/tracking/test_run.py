"""Runs: how they begin, what they log, and how they end."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import numpy
import pytest

import artfs
from artfs.tracking import active_run
from artstore.errors import ExistsError, InvalidInputError, NotFoundError, RefusedError
from messages import missing, raises
from store.oracle import assert_sound


def test_a_run_is_what_was_said(workspace: artfs.Workspace) -> None:
    run = artfs.init(
        project="p", job_type="train", group="g", name="first", notes="n", tags=["a"], config={"lr": numpy.float32(0.5)}
    )
    assert artfs.run == run
    assert (run.project, run.job_type, run.group, run.name, run.notes, run.tags) == (
        "p",
        "train",
        "g",
        "first",
        "n",
        ("a",),
    )
    assert run.config.lr == 0.5
    artfs.config.update({"epochs": 3, "shape": (2, 3)})
    run.config["seed"] = numpy.int64(7)
    run.config.batch = 32
    run.finish()
    assert artfs.run is None
    record = workspace.runs.get(f"p/{run.id}")
    assert record.config == {"lr": 0.5, "epochs": 3, "shape": [2, 3], "seed": 7, "batch": 32}
    assert record.state == "finished"
    assert record.finished_ns > record.created_ns
    run.finish()


def test_init_finishes_the_run_before(workspace: artfs.Workspace) -> None:
    first = artfs.init(project="p")
    second = artfs.init(project="p")
    assert [run.state for run in artfs.Api().runs("p")] == ["running", "finished"]
    assert artfs.run == second != first
    with raises(RefusedError, names=[f"'p/{first.id}'"], reason="run finished"):
        first.log({"a": 1})


def test_an_exception_marks_the_run_failed(workspace: artfs.Workspace) -> None:
    with pytest.raises(ZeroDivisionError), artfs.init(project="p"):
        1 / 0  # noqa: B018
    with artfs.init(project="p"):
        pass
    assert [run.state for run in artfs.Api().runs("p")] == ["finished", "failed"]


@pytest.mark.parametrize(
    ("ending", "state"), [("", "finished"), ("raise ValueError('x')", "failed"), ("os._exit(3)", "crashed")]
)
def test_a_process_that_ends(workspace: artfs.Workspace, ending: str, state: str) -> None:
    program = f"import os, artfs; artfs.init(project='p').log({{'x': 1}}); {ending}"
    subprocess.run([sys.executable, "-c", program], stderr=subprocess.DEVNULL, check=False)
    (run,) = artfs.Api().runs("p")
    assert run.state == state


def test_a_forked_child_does_not_end_it(workspace: artfs.Workspace) -> None:
    program = (
        "import os, artfs; run = artfs.init(project='p'); child = os.fork()\n"
        "if not child: raise SystemExit(0)\n"
        "os.waitpid(child, 0); print(run.state)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "running\n"


def test_what_is_logged(workspace: artfs.Workspace) -> None:
    run = artfs.init(project="p")
    artfs.log({"loss": numpy.float64(0.5)})
    artfs.log({"loss": 0.25, "bad": math.nan})
    artfs.log({"part": 1}, commit=False)
    artfs.log({"loss": 0.1})
    artfs.log({"loss": 0.05, "hist": numpy.arange(3)}, step=10)
    artfs.log({"more": 1}, step=10)
    rows = [{key: value for key, value in row.items() if key != "_timestamp"} for row in run.history()]
    assert rows == [
        {"loss": 0.5, "_step": 0},
        {"loss": 0.25, "bad": "NaN", "_step": 1},
        {"part": 1, "loss": 0.1, "_step": 2},
        {"loss": 0.05, "hist": [0, 1, 2], "more": 1, "_step": 10},
    ]
    run.summary["best"] = 0.05
    artfs.finish()
    record = workspace.runs.get(f"p/{run.id}")
    assert (record.summary["loss"], record.summary["best"], record.steps) == (0.05, 0.05, 4)
    assert_sound(workspace)


def test_many_rows(workspace: artfs.Workspace) -> None:
    with artfs.init(project="p") as run:
        for step in range(2500):
            run.log({"loss": step})
    record = workspace.runs.get(f"p/{run.id}")
    assert (record.steps, record.blocks) == (2500, 3)
    assert [row["loss"] for row in artfs.Api().run(f"p/{run.id}").history()] == list(range(2500))


def test_a_run_goes_on(workspace: artfs.Workspace) -> None:
    with artfs.init(project="p", id="mine", config={"a": 1}) as run:
        run.log({"x": 1})
    with raises(ExistsError, names=["p/mine"]):
        artfs.init(project="p", id="mine")
    with artfs.init(project="p", id="mine", resume="allow", config={"b": 2}) as run:
        assert run.resumed
        assert run.step == 1
        run.log({"x": 2})
    assert [row["x"] for row in artfs.Api().run("p/mine").history()] == [1, 2]
    assert dict(artfs.Api().run("someone/p/mine").config) == {"a": 1, "b": 2}
    with raises(InvalidInputError, names=["id"]):
        artfs.init(project="p", resume="must")


def test_unused_words_are_recorded_with_one_notice(
    workspace: artfs.Workspace, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(active_run, "_noticed", False)
    run = artfs.init(project="p", entity="me", mode="offline", save_code=True, dir=Path("x"), config=Namespace(lr=1))
    artfs.init(project="p", mode="offline")
    (notice,) = caplog.messages
    assert notice.count("\n") == 0 and not missing(notice, ["dir", "save_code"])
    assert "entity" not in notice and "mode" not in notice
    record = workspace.runs.get(f"p/{run.id}")
    assert record.settings == {"entity": "me", "mode": "offline", "save_code": True, "dir": "x"}
    assert record.config == {"lr": 1}


def test_the_environment_has_a_project(workspace: artfs.Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_PROJECT", "theirs")
    assert artfs.init().project == "theirs"
    monkeypatch.setenv("ARTFS_PROJECT", "ours")
    assert artfs.init().project == "ours"
    assert artfs.init(project="mine").project == "mine"


def test_names_that_are_not_there(workspace: artfs.Workspace) -> None:
    with raises(AttributeError, names=["'Image'"], reason="wandb only"):
        artfs.Image  # noqa: B018
    with raises(AttributeError, names=["'display'"]):
        artfs.init(project="p").display  # noqa: B018
    artfs.finish()
    for action in (lambda: artfs.log({"a": 1}), lambda: artfs.config):
        with raises(RefusedError, reason="no run"):
            action()
    artfs.finish()
    assert artfs.login()
    with raises(NotFoundError, names=["p/none"]):
        artfs.Api().run("p/none")


def test_the_first_run_makes_the_workspace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ARTFS_WORKSPACE", str(tmp_path / "new"))
    monkeypatch.setattr(active_run, "_run", None)
    monkeypatch.setattr(active_run, "_hooked", True)
    with artfs.init(project="p"):
        pass
    (notice,) = caplog.messages
    assert notice.startswith("artfs: ") and notice.count("\n") == 0 and not missing(notice, [str(tmp_path / "new")])
    assert os.path.exists(tmp_path / "new" / "current")
