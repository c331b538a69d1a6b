"""`artfs library`: templates and trained pipelines are saved, listed, copied out and deleted from the shell."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from artfs.cli.main import cli
from artfs.registry import ArtifactRegistry, LibraryManager
from fs.cli.conftest import Run


@pytest.fixture
def run(home: Path) -> Path:
    """A run with one pipeline, in a folder that is no workspace itself."""
    pipeline = home / "folder" / "runs" / "wheat" / "0001_pls"
    pipeline.mkdir(parents=True)
    (pipeline.parent / "_binaries").mkdir()
    (pipeline.parent / "_binaries" / "a.pkl").write_bytes(b"a")
    (pipeline / "pipeline.json").write_text('{"artifacts": [{"path": "../_binaries/a.pkl"}]}')
    (pipeline / "metrics.json").write_text('{"rmse": 0.5}')
    registry = ArtifactRegistry(home / "folder", "wheat", "0001_pls")
    registry.register_with_chain([1], "s1.A", "model", 1)
    return pipeline


def test_templates(artfs: Run, home: Path, run: Path) -> None:
    """From a file into the library, and out again as the same file."""
    at = ("-w", home / "folder", "library")
    file = home / "baseline.yaml"
    file.write_text("steps:\n- {class: sklearn.linear_model.Ridge, params: {alpha: 0.5}}\n")
    words = ("--description", "ridge", "--tag", "nir", "--category", "linear", "--metric", "rmse=0.5", "--notes", "n")
    saved = artfs(*at, "save", "template", "team/ridge", file, *words, "--json").json
    assert saved["created"] and saved["version"] == "library/templates/team/ridge:v0"
    again = artfs(*at, "save", "template", "team/ridge", file, *words)
    assert again.code == 0 and "no version was made" in again.message
    assert json.loads(artfs(*at, "load", "team/ridge").text)["steps"][0]["params"] == {"alpha": 0.5}
    assert artfs(*at, "load", "team/ridge", home / "out.yaml").code == 0
    assert artfs(*at, "save", "template", "team/ridge", home / "out.yaml", "--json").json["created"] is False
    file.write_text("steps: []\n")
    assert artfs(*at, "save", "template", "team/ridge", file).code == 0
    assert artfs(*at, "load", "team/ridge", home / "out.yaml").code == 4
    assert artfs(*at, "load", "team/ridge", home / "out.yaml", "--overwrite").code == 0
    shown = artfs(*at, "show", "team/ridge", "--version", "0")
    assert all(word in shown.text for word in ("ridge", "nir", "linear", "rmse=0.5", "of 2 versions"))
    listed = [artfs(*at, "ls", *words).text for words in ((), ("--tag", "nir"), ("--search", "TEAM"), ("filtered",))]
    assert [len(text.splitlines()) for text in listed] == [1, 0, 1, 0]


def test_trained_pipelines(artfs: Run, home: Path, run: Path) -> None:
    """From folders and from the registry; the run is the folder above unless it is named."""
    at = ("-w", home / "folder", "library")
    assert artfs(*at, "save", "pipeline", "w", run).code == 0
    assert artfs(*at, "save", "pipeline", "w", run, "--run", run.parent, "--json").json["created"] is False
    assert artfs(*at, "save", "filtered", "w", run, "--description", "few").code == 0
    assert artfs(*at, "save", "fullrun", "w", run.parent).code == 0
    assert artfs(*at, "show", "w").code == 2  # of three kinds
    assert artfs(*at, "show", "w", "-k", "pipeline", "--json").json["metrics"] == {"rmse": 0.5}
    assert artfs(*at, "load", "w", home / "out", "-k", "pipeline").code == 0
    assert (home / "out" / "_binaries" / "a.pkl").read_bytes() == b"a"
    assert artfs(*at, "load", "w", "-k", "pipeline").code == 2
    made = artfs(*at, "save", "pipeline", "registered", "--dataset", "wheat", "--pipeline", "0001", "--json").json
    shown = artfs(*at, "show", "registered", "--json").json
    assert made["created"] and len(shown["artifacts"]) == 1
    ident = shown["artifacts"][0]
    assert artfs(*at, "save", "pipeline", "registered", "--id", ident, "--json").json["created"] is False
    refused = artfs("-w", home / "folder", "registry", "purge", "wheat", "--yes")
    assert refused.code == 4 and "library/trained/pipeline/registered:v0" in refused.message


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("save", "template", "t"), 2),
        (("save", "template", "t", "{run}"), 2),
        (("save", "template", "t", "{run}/pipeline.json", "--run", "{run}"), 2),
        (("save", "template", "t", "{run}/none.json"), 3),
        (("save", "pipeline", "t"), 2),
        (("save", "pipeline", "t", "{run}", "--tag", "x"), 2),
        (("save", "pipeline", "t", "{run}", "--id", "x"), 2),
        (("save", "pipeline", "t", "{run}/.."), 3),
        (("save", "pipeline", "t", "--id", "0009$abc:0"), 3),
        (("save", "pipeline", "t", "--pipeline", "0001", "--dataset", "rye"), 3),
        (("save", "fullrun", "t", "{run}/none"), 3),
        (("save", "fullrun", "..", "{run}"), 2),
        (("load", "t"), 3),
        (("rm", "t", "--yes"), 3),
        (("show", "t", "-k", "template"), 3),
    ],
)
def test_what_is_wrong(artfs: Run, home: Path, run: Path, words: tuple[str, ...], code: int) -> None:
    """Each is one sentence and its exit code, and nothing is saved."""
    done = artfs("-w", home / "folder", "library", *(word.format(run=run) for word in words))
    assert done.code == code and len(done.message.splitlines()) == 1, done.message
    assert artfs("-w", home / "folder", "library", "ls").text == ""


def test_deleting_shows_first(artfs: Run, home: Path, run: Path) -> None:
    """Without --yes nothing is deleted; with it the same, for one version or all, and it can be undeleted."""
    at = ("-w", home / "folder", "library")
    library = LibraryManager(home / "folder" / "library")
    for number in range(3):
        library.save_template([number] * 9, "t")
    planned = artfs(*at, "rm", "t", "--version", "1", "--json").json
    assert planned["versions"] == ["library/templates/t:v1"] and not planned["deleted"]
    assert artfs(*at, "rm", "t", "--version", "1", "--yes", "--json").json == {**planned, "deleted": True}
    shown = artfs(*at, "rm", "t")
    assert "--yes" in shown.message and len(library.list_templates()) == 1
    assert artfs(*at, "rm", "t", "--yes").code == 0 and library.list_templates() == []
    assert artfs("-w", home / "folder/.artfs", "undelete", "library/templates/t:v1").code == 0
    assert library.load_template("t") == [1] * 9


def test_the_first_save_makes_the_workspace(artfs: Run, home: Path) -> None:
    """As the first put does, and not for a file that is missing."""
    at = ("-w", home / "new", "library", "save", "template", "t")
    assert artfs(*at, home / "none.json").code == 3 and not (home / "new").exists()
    (home / "t.json").write_text("[1]")
    assert artfs(*at, home / "t.json").code == 0
    assert LibraryManager(home / "new").load_template("t") == [1]


def test_completion(home: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of entries are completed, component by component."""
    library = LibraryManager(home / "folder")
    library.save_template([1], "team/ridge")
    library.save_pipeline_full(run.parent, run, "top")
    monkeypatch.setenv("ARTFS_WORKSPACE", str(library.workspace.path))
    for incomplete, found in {"t": ["team", "top"], "team/": ["team/ridge"], "x": []}.items():
        candidates = ShellComplete(cli, {}, "artfs", "_ARTFS_COMPLETE").get_completions(["library", "show"], incomplete)
        assert sorted(each.value for each in candidates) == found
