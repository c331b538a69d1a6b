"""The mode ``disabled``: a program's own tests run, and leave nothing in the workspace or on the disk."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import artfs
from artstore.errors import InvalidInputError, NotFoundError, RefusedError


def training(mode: str | None) -> artfs.Run:
    """Use everything that a training script uses of runs and artifacts."""
    with artfs.init(project="p", group="g", config={"lr": 0.1}, mode=mode, tags=["t"]) as run:
        run.config.update({"epochs": 3})
        data = run.use_artifact("dataset:latest", type="dataset")
        assert os.path.isdir(data.download()) and os.path.isdir(data.download("out"))
        for step in range(3):
            run.log({"loss": 1 / (step + 1)})
        run.summary["best"] = 0.3
        model = artfs.Artifact("model", "model", metadata={"acc": 0.9})
        model.add_file("here.txt")
        model.add_dir("folder", "below")
        with model.new_file("notes.txt") as file:
            file.write("text")
        model.add_reference("s3://bucket/key", "remote")
        assert [entry.path for entry in model.files()] == ["below/a", "below/b/c", "here.txt", "notes.txt", "remote"]
        assert model.get_entry("here.txt").size == 4 and (model.file_count, len(model.digest)) == (5, 64)
        model.remove("below")
        run.log_artifact(model, aliases=["best"], tags=["good"]).wait()
        assert (model.version, model.state, model.is_draft()) == ("v0", "COMMITTED", False)
        assert (model.aliases, model.tags) == (["best", "latest"], ["good"])
        assert (model.metadata, model.size > 0, model.qualified_name) == ({"acc": 0.9}, True, "p/model:v0")
        assert [entry.path for entry in model.files()] == ["here.txt", "notes.txt", "remote"]
        model.metadata["more"] = 1
        model.aliases.append("production")
        model.description = "d"
        model.ttl = timedelta(days=3)
        model.save()
        assert model.metadata == {"acc": 0.9, "more": 1} and "production" in model.aliases
        assert model.ttl == timedelta(days=3)
        assert run.use_artifact("model:best") == model
        model.verify()
        assert run.link_artifact(model, "registry/model", aliases=["live"]).qualified_name == "registry/model:v0"
        changed = model.new_draft()
        changed.add_file("here.txt", "again.txt")
        assert run.log_artifact(changed).version == "v1"
        run.upsert_artifact(artfs.Artifact("shared", "results"))
        assert run.finish_artifact(artfs.Artifact("shared", "results")).version == "v0"
        assert run.log_artifact("here.txt", name="single", type="t").type == "t"
        assert model.logged_by() is None and model.used_by() == []
        assert len(model.id) == 16
        model.delete(delete_aliases=True)
        assert (run.logged_artifacts(), run.used_artifacts(), run.history(), run.state) == ([], [], [], "running")
        assert artfs.run == run and run.disabled
    assert run.state == "finished" and run.summary["loss"] == pytest.approx(1 / 3)
    return run


@pytest.fixture
def inputs(workspace: artfs.Workspace) -> None:
    Path("here.txt").write_text("text")
    os.makedirs("folder/b")
    for name in ("a", "b/c"):
        Path("folder", name).write_text(name)


def traces(folder: Path) -> dict[str, bytes]:
    """Return the content of all files below a folder but locks and LMDB's table of readers."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "lock.mdb"
    }


@pytest.mark.parametrize("by", ["argument", "ARTFS_MODE", "WANDB_MODE"])
def test_nothing_is_recorded(
    workspace: artfs.Workspace, inputs: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """Neither runs nor versions, drafts or aliases: the workspace is the same, byte for byte."""
    if by != "argument":
        monkeypatch.setenv(by, "disabled")
    before = traces(tmp_path / "ws")
    training("disabled" if by == "argument" else None)
    assert traces(tmp_path / "ws") == before
    assert not (tmp_path / "cache").exists()
    assert (workspace.artifacts(), workspace.runs.all(), workspace.drafts.states()) == ([], [], [])


def test_no_workspace_is_made(
    workspace: artfs.Workspace, inputs: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARTFS_WORKSPACE", str(tmp_path / "none"))
    training("disabled")
    monkeypatch.setenv("WANDB_MODE", "disabled")
    alone = artfs.Artifact("alone", "t")
    alone.add_file("here.txt")
    alone.save()
    assert alone.version == "v0"
    assert not artfs.Api().artifact_exists("alone2")
    assert artfs.Api().artifacts() == [] and artfs.Api().runs() == []
    assert not (tmp_path / "none").exists()


def test_what_exists_is_read_and_not_changed(workspace: artfs.Workspace, inputs: None, tmp_path: Path) -> None:
    workspace.put("folder", "p/dataset", type="dataset", aliases=["clean"])
    before = workspace.version("p/dataset")
    with artfs.init(project="p", mode="disabled") as run:
        data = run.use_artifact("dataset:clean")
        assert (Path(data.download()) / "a").read_text() == "a"
        data.aliases.append("mine")
        data.tags.append("mine")
        data.metadata["mine"] = 1
        data.save()
        data.link("other/dataset")
        next_one = data.new_draft()
        assert [entry.path for entry in next_one.files()] == ["a", "b/c"]
        assert run.log_artifact(next_one).version == "v1"
        data.delete(delete_aliases=True)
    assert workspace.version("p/dataset") == before
    assert (before.aliases, before.tags, workspace.version("p/dataset").metadata) == (["clean", "latest"], [], {})
    assert [info.name for info in workspace.artifacts()] == ["p/dataset"]
    assert workspace.runs.all() == []


def test_the_mode_ends_with_the_run(workspace: artfs.Workspace, inputs: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with artfs.init(project="p", mode="disabled") as run, pytest.raises(NotFoundError):
        artfs.Api().artifact("p/nothing")
    with pytest.raises(RefusedError):
        run.log({"a": 1})
    with artfs.init(project="p") as run:
        run.log_artifact("here.txt", name="x")
    assert workspace.version("p/x").number == 0
    monkeypatch.setenv("WANDB_MODE", "disabled")
    with artfs.init(project="p", mode="online") as run:
        run.log_artifact("here.txt", name="y")
    assert workspace.version("p/y").number == 0


@pytest.mark.parametrize("mode", ["online", "offline", "shared", "dryrun"])
def test_other_modes_record(workspace: artfs.Workspace, mode: str, caplog: pytest.LogCaptureFixture) -> None:
    with artfs.init(project="p", mode=mode) as run:
        assert not run.disabled
    assert [record.id for record in workspace.runs.all()] == [run.id]
    assert caplog.messages == []


@pytest.mark.parametrize("mode", ["Disabled", "off", 3], ids=repr)
def test_unknown_modes(workspace: artfs.Workspace, mode: Any) -> None:
    with pytest.raises(InvalidInputError):
        artfs.init(mode=mode)


def test_mistakes_are_still_mistakes(workspace: artfs.Workspace, inputs: None) -> None:
    """A test of a program in this mode finds the errors that the program would make."""
    run = artfs.init(project="p", mode="disabled")
    wrong: list[Callable[[], object]] = [
        lambda: artfs.Artifact("a:b", "t"),
        lambda: artfs.Artifact("a", "t").add_file("nothing"),
        lambda: artfs.Artifact("a", "t").version,
        lambda: artfs.Artifact("a", "t").get_entry("nothing"),
        lambda: run.log([1]),  # type: ignore[arg-type]
        lambda: run.log_artifact("nothing"),
    ]
    for action in wrong:
        with pytest.raises(artfs.ArtfsError):
            action()
