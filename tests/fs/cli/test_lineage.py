"""``lineage``, ``link``, ``run``, ``cache`` and ``artifact put|get|ls``: what they print and refuse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import artfs as api
from artfs.tracking import active_run
from messages import refused

Run = Callable[..., Any]


@pytest.fixture
def worked(artfs: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return the command line, over a workspace in which a run has used and made something."""
    monkeypatch.setenv("ARTFS_WORKSPACE", str(tmp_path / "worked"))
    monkeypatch.setenv("ARTFS_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(active_run, "_run", None)
    monkeypatch.setattr(active_run, "_hooked", True)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a").write_text("a")
    workspace = api.init_workspace(tmp_path / "worked")
    workspace.put(tmp_path / "data", "p/data", type="dataset")
    with api.init(project="p", id="one", job_type="train", config={"lr": 0.5}) as run:
        run.use_artifact("data:latest")
        run.log({"loss": 1.5})
        model = api.Artifact("model", "model")
        model.add_file(tmp_path / "data" / "a", "weights")
        run.log_artifact(model)
    return artfs


def test_what_came_of_what(worked: Run) -> None:
    assert worked("lineage", "p/model").text.splitlines() == [
        "p/model:v0",
        "  made by run p/one",
        "    used p/data:v0",
    ]
    assert worked("lineage", "p/data", "--down").text.splitlines() == [
        "p/data:v0",
        "  used by run p/one",
        "    logged p/model:v0",
    ]
    found = worked("lineage", "run:p/one", "--json").json
    assert found["root"] == "p/one"
    assert {node["name"]: node["kind"] for node in found["nodes"]} == {
        "p/one": "run",
        "p/data:v0": "version",
        "p/model:v0": "version",
    }
    assert [(edge["source"], edge["kind"], edge["target"], edge["name"]) for edge in found["edges"]] == [
        ("p/data:v0", "used by", "p/one", "latest"),
        ("p/one", "logged", "p/model:v0", None),
    ]
    dot = worked("lineage", "p/model", "--dot").text
    assert dot.startswith("digraph lineage {") and '[label="logged"]' in dot
    assert worked("show", "p/model", "--json").json["lineage"] == {"made_by": ["p/one"]}
    assert worked("lineage", "p/none").code == 3


def test_runs_are_shown(worked: Run) -> None:
    (record,) = worked("run", "ls", "p", "--json").json["runs"]
    assert (record["run"], record["state"], record["config"]) == ("p/one", "finished", {"lr": 0.5})
    assert "p/one" in worked("run", "ls").text
    found = worked("run", "show", "p/one", "--history", "--json").json
    assert (found["used"], found["logged"]) == (["p/data:v0"], ["p/model:v0"])
    assert found["history"][0]["loss"] == 1.5
    assert "p/model:v0" in worked("run", "show", "p/one").text
    assert worked("run", "show", "p/two").code == 3


def test_rm_and_what_depends(worked: Run) -> None:
    refused(worked("rm", "p/data:v0"), code=4, names=["p/model:v0", "p/data:v0", "--cascade"], reason="made from")
    assert worked("rm", "p/data:v0", "--cascade", "--dry-run", "--json").json["versions"] == ["p/data:v0", "p/model:v0"]
    assert worked("rm", "p/data:v0", "--cascade=orphan").code == 0
    assert worked("lineage", "p/model", "--up").text.splitlines()[-1] == "    used p/data:v0 (deleted)"
    assert worked("rm", "p/model:v0", "--cascade=half").code == 2


def test_links(worked: Run) -> None:
    done = worked("link", "p/model:v0", "registry/best", "-a", "production", "--json").json
    assert (done["name"], done["created"]) == ("registry/best:v0", True)
    assert worked("cat", "registry/best:production/weights").out == b"a"
    assert worked("link", "p/model:v0", "p/model").code == 2
    assert worked("link", "p/none:v0", "x").code == 3


def test_words_of_wandb(worked: Run, tmp_path: Path) -> None:
    put = worked(
        "artifact", "put", "--name", "q/more", "--type", "dataset", "-a", "latest", "-a", "good", tmp_path / "data"
    )
    assert put.code == 0
    found = worked("artifact", "ls", "q", "--json").json["versions"]
    assert [(one["name"], one["aliases"]) for one in found] == [("q/more:v0", ["good", "latest"])]
    assert "p/data:v0" in worked("artifact", "ls").text
    got = worked("artifact", "get", "q/more:good", "--root", tmp_path / "out")
    assert got.text == f"{tmp_path / 'out'}\n"
    assert (tmp_path / "out" / "a").read_text() == "a"
    assert worked("artifact", "get", "q/more", "--type", "model").code == 4


def test_the_cache(worked: Run, tmp_path: Path) -> None:
    (copy,) = worked("cache", "preload", "p/data", "--json").json["copies"]
    assert copy["path"] == str(tmp_path / "cache" / copy["digest"])
    info = worked("cache", "info", "--json").json
    assert (info["path"], len(info["copies"])) == (str(tmp_path / "cache"), 1)
    assert info["bytes"] == info["copies"][0]["bytes"] > 0
    assert copy["digest"][:16] in worked("cache", "info").text
    assert worked("artifact", "cache", "cleanup", "10GB", "--json").json == {"removed": 0, "freed_bytes": 0}
    assert worked("cache", "cleanup", "0", "--json").json == {"removed": 1, "freed_bytes": info["bytes"]}
    assert not list((tmp_path / "cache").iterdir())
    assert worked("cache", "cleanup", "much").code == 2
    assert worked("cache", "info").code == 0


def test_drafts_together(worked: Run, tmp_path: Path) -> None:
    for name in ("one", "two"):
        worked("draft", "new", name, "--id", name)
        worked("draft", "add", name, tmp_path / "data")
    assert worked("draft", "commit", "one", "two", "three").code == 3
    assert worked("ls", "one").code == 3
    done = worked("draft", "commit", "one", "two", "-a", "set", "--json").json["versions"]
    assert [version["artifact"] for version in done] == ["one", "two"]
    assert worked("draft", "ls", "--json").json == {"drafts": [], "interrupted": []}


def test_another_name(worked: Run, tmp_path: Path) -> None:
    assert worked("artifact", "rename", "p/model", "team/net", "--json").json == {
        "artifact": "team/net",
        "was": "p/model",
    }
    assert worked("cat", "team/net:v0/weights").out == b"a"
    assert worked("ls", "p/model").code == 3
    assert worked("artifact", "rename", "team/net", "p/data").code == 4
    assert worked("artifact", "rename", "p/none", "x").code == 3
