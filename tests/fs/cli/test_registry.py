"""`artfs registry`: what programs registered is found, compared and deleted from the shell."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from artfs.cli.main import cli
from artfs.registry import ArtifactRegistry, PickleWarning, PredictionCatalog, UntrustedError
from fs.cli.conftest import Run

CHAIN = "s1.MinMaxScaler>s3.PLSRegression"


@pytest.fixture
def registered(home: Path) -> ArtifactRegistry:
    """Three folds in one data set and one in another, in a folder that is no workspace itself."""
    place = home / "folder"
    for dataset, folds in (("wheat", 3), ("barley", 1)):
        registry = ArtifactRegistry(place, dataset, "0001_pls")
        for fold in range(folds):
            registry.register_with_chain(
                [dataset, fold], CHAIN, "model", 3, fold_id=fold, params={"n": fold}, metrics={"rmse": fold / 2}
            )
    return ArtifactRegistry(place, "wheat", "0001_pls")


def test_finding(artfs: Run, home: Path, registered: ArtifactRegistry) -> None:
    """The folder that a program named is enough, and so is the beginning of an id."""
    at = ("-w", home / "folder")
    assert len(artfs(*at, "registry", "ls").text.splitlines()) == 4
    assert len(artfs(*at, "registry", "ls", "wheat", "--step", "3").text.splitlines()) == 3
    found = artfs(*at, "registry", "find", "--param", "n>0", "--metric", "rmse<0.9", "--json").json["artifacts"]
    assert [(each["dataset"], each["fold"]) for each in found] == [("wheat", 1)]
    shown = artfs(*at, "registry", "show", "0001$35f1:2", "--json").json
    assert shown["artifact_id"] == "0001_pls$35f1eb7779ca:2" and shown["versions"] == [shown["version"]]
    assert artfs(*at, "registry", "show", "0001$35f1:0").code == 2  # both data sets have it
    assert "rmse=0.0" in artfs(*at, "registry", "show", "0001$35f1:0", "-d", "wheat").text
    folds = artfs(*at, "registry", "folds", "0001", "3", "-d", "wheat")
    assert [line.split()[0] for line in folds.text.splitlines()] == ["0", "1", "2", "mean", "std"]
    assert artfs(*at, "registry", "folds", "0001", "3").code == 2
    stats = artfs(*at, "registry", "stats", "--json").json["datasets"]
    assert [(each["dataset"], each["total_artifacts"]) for each in stats] == [("barley", 1), ("wheat", 3)]


def test_what_is_not_there(artfs: Run, home: Path, registered: ArtifactRegistry) -> None:
    """Each is one sentence and its exit code."""
    at = ("-w", home / "folder")
    for words, code in [
        (("show", "0009$abc:0"), 3),
        (("ls", "rye"), 3),
        (("purge", "rye", "--yes"), 3),
        (("find", "--chain", "nothing"), 2),
        (("find", "--type", "nothing"), 2),
    ]:
        assert artfs(*at, "registry", *words).code == code, words
    assert artfs("-w", home / "nowhere", "registry", "ls").code == 3


def test_deleting_shows_first(artfs: Run, home: Path, registered: ArtifactRegistry) -> None:
    """Without --yes nothing is deleted; with it the same versions and bytes."""
    at = ("-w", home / "folder", "registry")
    planned = artfs(*at, "purge", "wheat", "--json").json
    assert len(planned["versions"]) == 3 and not planned["deleted"] and len(registered.get_all_records()) == 3
    registered.workspace.close()
    pid = os.fork()
    if not pid:
        registered.start_run()
        registered.register_with_chain(["dies"], CHAIN, "model", 3, fold_id=9)
        os._exit(1)
    os.waitpid(pid, 0)
    shown = artfs(*at, "orphans", "wheat", "--json").json
    assert len(shown["versions"]) == 1 and not shown["deleted"]
    done = artfs(*at, "orphans", "wheat", "--yes", "--json").json
    assert done == {**shown, "deleted": True} and artfs(*at, "orphans").text == ""
    done = artfs(*at, "purge", "wheat", "--yes", "--json").json
    assert done == {**planned, "deleted": True}
    assert [each["dataset"] for each in artfs(*at, "ls", "--json").json["artifacts"]] == ["barley"]


def test_deleting_with_predictions(artfs: Run, home: Path, registered: ArtifactRegistry) -> None:
    """A purge names the catalogue and the way out; a cascade shows first, and keeps the predictions of other models."""
    catalog = PredictionCatalog(registered.workspace)
    other = ArtifactRegistry(registered.workspace, "wheat", "0009_other")
    models = [*registered.get_all_records(), other.register_with_chain(["other"], CHAIN, "model", 3)]
    for model in models:
        catalog.add(
            "wheat", pipeline_id=model.pipeline_id, model=model, fold_id=None, partition="test", scores={"rmse": 1}
        )
    at = ("-w", home / "folder", "registry")
    refused = artfs(*at, "purge", "wheat", "--yes")
    assert refused.code == 4 and "artfs rm -r catalog/wheat" in refused.message
    planned = artfs(*at, "purge", "wheat", "--pipeline", "0001", "--cascade", "--json").json
    assert len(planned["versions"]) == 3 + 4 and len(catalog.filter()) == 4
    done = artfs(*at, "purge", "wheat", "--pipeline", "0001", "--cascade", "--yes", "--json").json
    assert done["versions"] == planned["versions"]
    assert [row["pipeline_id"] for row in catalog.filter()] == ["0009_other"]


def test_moving(artfs: Run, home: Path, registered: ArtifactRegistry) -> None:
    """Written, shown before and after, and brought into a workspace that did not exist, once."""
    at, there, file = ("-w", home / "folder", "registry"), ("-w", home / "there", "registry"), home / "b.tar"
    assert artfs(*at, "export", file).code == 2  # there are two data sets
    planned = artfs(*at, "export", file, "-d", "wheat", "-n", "--json").json
    assert not file.exists() and len(planned["versions"]) == 3 and not planned["written"]
    written = artfs(*at, "export", file, "-d", "wheat", "--json").json
    assert written == {**planned, "written": True} and file.stat().st_size == written["bytes"]
    assert artfs(*at, "export", file, "-d", "wheat").code == 4
    assert artfs(*at, "export", file, "-d", "wheat", "--overwrite").text.splitlines() == written["versions"]
    assert [line.split()[-1] for line in artfs(*there, "import", "-n", file).text.splitlines()] == ["new"] * 3
    assert not (home / "there").exists()
    done = artfs(*there, "import", file, "--json").json
    assert [each["version"] for each in done["artifacts"]] == written["versions"] and done["imported"]
    assert artfs(*there, "import", file).text.count("present") == 3
    shown = artfs(*there, "show", "0001$35f1:2", "--json").json
    assert shown["metrics"] == {"rmse": 1.0} and shown["versions"] == [shown["version"]]


def test_what_cannot_be_moved(artfs: Run, home: Path, registered: ArtifactRegistry) -> None:
    """Each is one sentence and its exit code, and no file and no workspace is made."""
    at, there, file = ("-w", home / "folder", "registry"), ("-w", home / "there", "registry"), home / "b.tar"
    assert artfs(*at, "export", file, "0001$35f1:1", "0001$35f1:2", "-d", "wheat").text.count("\n") == 2
    file.with_name("cut").write_bytes(file.read_bytes()[:4000])
    file.with_name("text").write_text("text")
    for words, code in [
        ((*at, "export", home / "x", "0009$abc:0"), 3),
        ((*at, "export", home / "x", "0001$35f1:1", "--pipeline", "0001"), 2),
        ((*at, "export", home / "x", "-d", "rye"), 3),
        ((*at, "export", home / "x", "-d", "wheat", "--pipeline", "0009"), 3),
        ((*at, "export", home / "none" / "x", "-d", "wheat"), 3),
        ((*at, "export", home, "-d", "wheat"), 2),
        ((*there, "import", home / "x"), 3),
        ((*there, "import", home), 2),
        ((*there, "import", home / "text"), 2),
        ((*there, "import", home / "cut"), 5),
        ((*there, "import", "-n", home / "cut"), 5),
    ]:
        assert artfs(*words).code == code, words
    assert not (home / "x").exists() and not (home / "there").exists()


@pytest.mark.parametrize(
    ("words", "incomplete", "found"),
    [
        (["registry", "ls"], "w", ["wheat"]),
        (["registry", "folds"], "", ["0001_pls"]),
        (["registry", "find", "--pipeline"], "00", ["0001_pls"]),
        (["registry", "show"], "0001_pls$35f1eb7779ca:2", ["0001_pls$35f1eb7779ca:2"]),
        (["registry", "show"], "0001_pls$3", [f"0001_pls$35f1eb7779ca:{fold}" for fold in (0, 0, 1, 2)]),
        (["registry", "show"], "x", []),
    ],
)
def test_completion(
    home: Path,
    registered: ArtifactRegistry,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    incomplete: str,
    found: list[str],
) -> None:
    """Data sets, pipelines and ids are completed."""
    monkeypatch.setenv("ARTFS_WORKSPACE", str(registered.workspace.path))
    candidates = ShellComplete(cli, {}, "artfs", "_ARTFS_COMPLETE").get_completions(words, incomplete)
    assert sorted(each.value for each in candidates) == found


def test_signing_what_another_wrote(artfs: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Class and origin are shown first; with --yes the pickle is loaded, and what is data needs no signature."""
    monkeypatch.setenv("ARTFS_KEY_FILE", str(home / "key"))
    registry = ArtifactRegistry(home / "folder", "wheat", "0001_pls")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PickleWarning)  # said once a process
        record = registry.register_with_chain({1}.union, "s1.Union", "model", 1)
    data = registry.register_with_chain([1], "s1.Data", "model", 1)
    (home / "key").unlink()  # another user's
    at = ("-w", home / "folder", "registry", "trust")
    shown = artfs(*at, record.artifact_id)
    assert "builtin_function_or_method" in shown.text and "user" in shown.text
    with pytest.raises(UntrustedError):
        registry.load_artifact(record)
    assert artfs(*at, record.artifact_id, "--yes", "--json").json["signed"] is True
    assert registry.load_artifact(record)({2}) == {1, 2}
    assert artfs(*at, data.artifact_id, "--yes").code == 2
    assert artfs(*at, "0009$abc:0").code == 3
