"""The public names of wandb's artifacts, runs and Api: each is here with its parameters, or is absent for a reason."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any, Final

import pytest

import artfs
from artfs.tracking.absent import ABSENT
from artfs.tracking.artifact_collections import ArtifactCollection, ArtifactType, Project
from artfs.tracking.entries import ArtifactEntry
from artfs.tracking.manifest import ArtifactManifest
from artfs.tracking.recorded_run import RecordedRun

ROOT: Final = Path(__file__).parents[3]
TABLE: Final = json.loads((ROOT / "tests/corpora/wandb/signatures.json").read_text())
CLASSES: Final[dict[str, type]] = {
    "Artifact": artfs.Artifact,
    "Run": artfs.Run,
    "Api": artfs.Api,
    "ArtifactManifest": ArtifactManifest,
    "ArtifactManifestEntry": ArtifactEntry,
    "public.Run": RecordedRun,
    "public.File": ArtifactEntry,
    "public.Project": Project,
    "public.ArtifactType": ArtifactType,
    "public.ArtifactCollection": ArtifactCollection,
}
NAMES: Final = [(of, name) for of in CLASSES for name in TABLE[of]]
OF_INSTANCES: Final = {
    "Run": {"config"},
    "public.Run": {"config", "summary"},
    "Api": {"default_entity"},
    "Artifact": {"distributed_id", "incremental", "use_as"},
    "ArtifactManifestEntry": {"name"},
    "public.File": {"size"},
    "public.Project": {"id", "url"},
    "public.ArtifactType": {"id", "name"},
    "public.ArtifactCollection": {"description"},
}
"""Attributes that an object gets when it is made."""


def is_there(of: str, name: str) -> bool:
    return hasattr(CLASSES[of], name) or name in OF_INSTANCES.get(of, ())


def accepted(theirs: list[str], ours: inspect.Signature) -> list[str]:
    """Return the parameters of wandb's that a function lacks, or has at another place."""
    parameters = {name: each for name, each in ours.parameters.items() if name != "self"}
    positions = [name for name, each in parameters.items() if each.kind is each.POSITIONAL_OR_KEYWORD]
    takes_any = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
    lacking, place = [], 0
    for written in theirs:
        name = written.rstrip("=!*/")
        if written.endswith(("*", "**")):
            continue
        if name not in parameters:
            if not takes_any:
                lacking.append(name)
        elif not written.rstrip("=").endswith("!"):
            if name in positions and positions.index(name) != place:
                lacking.append(f"{name} at {place}")
            place += 1
    return lacking


@pytest.mark.parametrize(("of", "name"), NAMES, ids=[f"{of}.{name}" for of, name in NAMES])
def test_each_name_is_there_or_absent_for_a_reason(of: str, name: str) -> None:
    reason = ABSENT[of].get(name)
    if reason is not None and (name == "__init__" or not is_there(of, name)):
        return
    assert is_there(of, name) and reason is None
    facts = TABLE[of][name]
    if facts.get("parameters") is not None:
        assert accepted(facts["parameters"], inspect.signature(getattr(CLASSES[of], name))) == []


@pytest.mark.parametrize("name", TABLE["module"])
def test_each_name_of_the_module(name: str) -> None:
    reason = ABSENT["wandb"].get(name)
    assert (name in dir(artfs)) == (reason is None)
    if reason is None:
        facts = TABLE["module"][name]
        if facts.get("parameters") is not None:
            assert accepted(facts["parameters"], inspect.signature(getattr(artfs, name))) == []
    else:
        with pytest.raises(AttributeError, match=re.escape(reason)):
            getattr(artfs, name)


def test_nothing_is_called_absent_that_wandb_lacks() -> None:
    for of, names in ABSENT.items():
        assert set(names) <= set(TABLE["module" if of == "wandb" else of]), of


def test_errors() -> None:
    for name in TABLE["errors"]:
        if name != "WandbCoreNotAvailableError":
            assert issubclass(getattr(artfs.errors, name), artfs.ArtfsError)
    with pytest.raises(artfs.errors.CommError):
        raise artfs.errors.NotFoundError("x")
    assert [each.name for each in artfs.ArtifactTTL] == TABLE["ArtifactTTL"]


def test_the_document_lists_what_is_absent() -> None:
    """docs/coming-from.md has each absent name with its reason."""
    text = (ROOT / "docs/coming-from.md").read_text()
    rows = dict(re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", text, re.MULTILINE))
    for of, names in ABSENT.items():
        for name, reason in names.items():
            if name != "__init__":
                assert any(f"`{name}`" in first and reason in second for first, second in rows.items()), (of, name)


# -- what the names do -------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for path in ("s/f1", "s/f10", "s/f2", "s/f1d/x", "top"):
        (tmp_path / "data" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / path).write_text(path)
    return tmp_path


def logged(name: str = "set", **options: Any) -> artfs.Artifact:
    with artfs.init(project="p") as run:
        artifact = artfs.Artifact(name, "dataset", **options)
        artifact.add_dir("data")
        return run.log_artifact(artifact)


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("s/f1", {"s/f1", "s/f10", "s/f1d/x"}),
        ("./s//f1", {"s/f1", "s/f10", "s/f1d/x"}),
        ("s/f1d", {"s/f1d/x"}),
        ("s/f1d/", {"s/f1d/x"}),
        ("s", {"s/f1", "s/f10", "s/f1d/x", "s/f2"}),
        ("", {"s/f1", "s/f10", "s/f1d/x", "s/f2", "top"}),
        ("t", {"top"}),
    ],
)
def test_a_prefix_is_the_beginning_of_paths(
    workspace: artfs.Workspace, folder: Path, prefix: str, expected: set[str]
) -> None:
    artifact = logged()
    root = Path(artifact.download("out", path_prefix=prefix))
    assert {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()} == expected
    with pytest.raises(FileNotFoundError):
        artifact.download("none", path_prefix="s/f3")


def test_one_file_does_not_bring_its_siblings(workspace: artfs.Workspace, folder: Path) -> None:
    path = Path(logged().get_entry("./s//f1").download("out"))
    assert path.read_text() == "s/f1" and not path.with_name("f10").exists()
    entry = logged().get_entry("s/f1")
    path.write_text("mine")
    assert Path(entry.download("out", exist_ok=True)).read_text() == "mine"
    with pytest.raises(FileExistsError):
        entry.download("out", replace=False)
    assert Path(entry.download("out", replace=True)).read_text() == "s/f1"


def test_names_in_an_artifact_are_normalised(workspace: artfs.Workspace, folder: Path) -> None:
    artifact = artfs.Artifact("set", "dataset")
    artifact.add_file("data/top", name="./a//f")
    artifact.add_dir("data/s", name="b/./")
    with artifact.new_file("c//d") as file:
        file.write("d")
    assert sorted(entry.path for entry in artifact.files()) == ["a/f", "b/f1", "b/f10", "b/f1d/x", "b/f2", "c/d"]
    assert artifact.get_entry("/a/./f").path == "a/f"
    assert artifact.get_entry("a/f").local_path == str(folder / "data/top")
    assert artifact.get_added_local_path_name("data/top") == "a/f"
    artifact.remove("./b//f1d/")
    artifact.finalize()
    with pytest.raises(artfs.errors.RefusedError):
        artifact.add_file("data/top")


def test_leading_entities_and_empty_components(workspace: artfs.Workspace, folder: Path) -> None:
    """Reading, linking and the Api pass over them alike."""
    logged()
    with artfs.init(project="p") as run:
        for name in ("set:v0", "p/set:v0", "me/p/set:v0", "p//set:v0", "/p/set:latest"):
            assert run.use_artifact(name).qualified_name == "p/set:v0"
        first = run.link_artifact(run.use_artifact("set:v0"), "other/models")
        assert first.qualified_name == "other/models:v0"
    api = artfs.Api()
    assert api.artifact("me/other//models").qualified_name == "other/models:v0"
    assert (
        [a.name for a in api.artifacts(name="me/p/set")]
        == [a.name for a in api.artifacts("dataset", "p//set")]
        == ["set:v0"]
    )
    assert [a.name for a in api.artifacts(project="me/p")] == ["set:v0"]
    assert api.artifact_collection_exists("me/p/set", "dataset") and not api.artifact_collection_exists(
        "p/no", "dataset"
    )


def test_an_entity_of_the_environment_is_dropped(
    workspace: artfs.Workspace, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_ENTITY", "me")
    assert logged().link("me/registry/model").qualified_name == "registry/model:v0"


def test_linking_what_is_not_logged(workspace: artfs.Workspace, folder: Path) -> None:
    artifact = artfs.Artifact("alone", "dataset")
    artifact.add_dir("data")
    linked = artifact.link("registry/data", aliases="best")
    assert linked.is_link and linked.source_artifact == artifact and artifact.qualified_name == "alone:v0"
    assert (linked.source_collection.name, linked.source_version, linked.source_project) == ("alone", "v0", "")
    assert linked.linked_at == linked.created_at and artifact.linked_at is None
    with artfs.init(project="p") as run:
        other = artfs.Artifact("other", "dataset", use_as="train")
        other.add_dir("data", "below")
        other.link("registry/data")
        assert run.logged_artifacts()[0].qualified_name == "p/other:v0" and other.use_as == "train"


def test_manifest_and_collection(workspace: artfs.Workspace, folder: Path) -> None:
    artifact = logged()
    manifest = artifact.manifest
    assert sorted(manifest.entries) == ["s/f1", "s/f10", "s/f1d/x", "s/f2", "top"] and len(manifest) == 5
    assert manifest.size() == artifact.size and manifest.digest() == artifact.digest == artifact.commit_hash
    assert [entry.path for entry in manifest.get_entries_in_directory("s/f1d")] == ["s/f1d/x"]
    assert manifest.get_entry_by_path("top") is not None and manifest.get_entry_by_path("s") is None
    collection = artifact.collection
    assert (collection.name, collection.project, collection.aliases) == ("set", "p", ["latest"])
    assert collection.artifacts() == [artifact] and collection.type == "dataset"
    collection.description = "digits"
    collection.save()
    api = artfs.Api({"project": "p"})
    assert api.artifact_collection("dataset", "set").description == "digits"
    assert [each.name for each in api.artifact_types()] == ["dataset"]
    assert api.artifact_type("dataset").collection("set") == api.artifact_collections("p", "dataset")[0] == collection
    assert [project.name for project in api.projects()] == ["p"] and api.project("p").collections() == [collection]
    assert api.from_path("p/set:v0") == artifact


def test_references_have_their_uri(workspace: artfs.Workspace, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARTFS_REFERENCE_ROOTS", str(folder))
    artifact = artfs.Artifact("set", "dataset")
    artifact.add_file("data/top")
    (entry,) = artifact.add_reference((folder / "data/s/f2").as_uri())
    assert entry.ref == (folder / "data/s/f2").as_uri() and artifact.get_entry("top").ref is None
    assert entry.parent_artifact() is artifact and entry.extra == {}


def test_tables(workspace: artfs.Workspace) -> None:
    import numpy

    table = artfs.Table(columns=["a", "b"], data=[[1, "x"]])
    table.add_data(numpy.float32(0.5), None)
    with artfs.init(project="p") as run:
        artifact = artfs.Artifact("set", "dataset")
        artifact["rows"] = table
        run.log_artifact(artifact)
        run.log({"loss": 1, "rows": table})
    read = artfs.Api().artifact("p/set")
    assert read["rows"] == read.get("rows") == artfs.Table(["a", "b"], [[1, "x"], [0.5, None]])
    assert read.get("none") is None
    assert read["rows"].get_dataframe()["a"].tolist() == [1, 0.5]
    (row,) = artfs.Api().runs("p")[0].history()
    assert artfs.Api().artifact(row["rows"]["artifact"])["rows"] == read["rows"]
    with pytest.raises(artfs.errors.InvalidInputError):
        artfs.Artifact("x", "y").add(object(), "name")


def test_saved_files_are_kept(workspace: artfs.Workspace, folder: Path) -> None:
    """``save`` keeps files as its policy says, ``dir`` keeps what it holds, and both can be read again."""
    with artfs.init(project="p", id="r") as run:
        assert run.save("data/s/*", policy="now") == [str(folder / f"data/s/{name}") for name in ("f1", "f10", "f2")]
        artfs.save("data/top")
        run.save("later/*", policy="end")
        (Path(run.dir) / "log.txt").write_text("log")
        (folder / "later").mkdir()
        (folder / "later/w").write_text("w")
        (folder / "data/top").write_text("changed")
        kept = Path(run.dir)
        with pytest.raises(FileNotFoundError):
            run.save("nothing*", policy="now")
        for wrong in ("s3://bucket/x", "../outside"):
            with pytest.raises(ValueError):
                run.save(wrong, policy="now") if "://" in wrong else run.save(__file__, base_path="data", policy="now")
    assert not kept.exists()
    recorded = artfs.Api().run("p/r")
    assert sorted(entry.path for entry in recorded.files()) == [
        *("data/s/f1", "data/s/f10", "data/s/f2", "data/top", "later/w", "log.txt")
    ]
    with recorded.restore("data/top", root=folder / "restored") as file:
        assert file.read() == "changed"
    assert Path(recorded.file("log.txt").download(folder / "one")).read_text() == "log"
    recorded.upload_file("data/s/f1", "data")
    assert recorded.file("s/f1").size == 4


def test_code_is_kept(workspace: artfs.Workspace, folder: Path) -> None:
    (folder / "code" / "__pycache__").mkdir(parents=True)
    for name in ("a.py", "b.txt", "__pycache__/c.py"):
        (folder / "code" / name).write_text(name)
    with artfs.init(project="p") as run:
        code = run.log_code("code")
        assert code is not None and [entry.path for entry in code.files()] == ["a.py"] and code.type == "code"
        both = run.log_code("code", include_fn=lambda path, root: True, exclude_fn=lambda path: path.endswith("a.py"))
        assert both is not None and [entry.path for entry in both.files()] == ["b.txt"]
        assert run.log_code("code", include_fn=lambda path: False) is None


def test_models(workspace: artfs.Workspace, folder: Path) -> None:
    with artfs.init(project="p", id="r"):
        artfs.log_model("data/top", "net", aliases="best")
        assert Path(artfs.use_model("net:best")).read_text() == "top"
        linked = artfs.link_model("data/s", "Classifier")
        assert linked.qualified_name == "model-registry/Classifier:v0" and linked.source_name == "run-r-s:v0"
        with pytest.raises(artfs.errors.RefusedError):
            artfs.use_model(artfs.run.log_artifact("data/s", "set", "dataset"))


def test_what_means_nothing_is_said_once(workspace: artfs.Workspace, caplog: pytest.LogCaptureFixture) -> None:
    with artfs.init(project="p") as run:
        for _ in range(3):
            artfs.define_metric("loss", summary="min")
            run.watch(None)
        run.alert("title", "text")
    said = [record.getMessage() for record in caplog.records]
    assert sum("define_metric" in each for each in said) <= 1 and sum("watch" in each for each in said) <= 1
    assert sum("title: text" in each for each in said) == 1
    artfs.setup()
    artfs.teardown()


def test_a_recorded_run_takes_artifacts(workspace: artfs.Workspace, folder: Path) -> None:
    with artfs.init(project="p", id="r"):
        pass
    artifact = logged()
    recorded = artfs.Api().run("me/p/runs/r")
    recorded.use_artifact(artifact)
    other = artfs.Artifact("made", "dataset")
    other.add_dir("data", "x")
    recorded.log_artifact(other)
    again = artfs.Api().run("p/r")
    assert [a.name for a in again.used_artifacts()] == ["set:v0"]
    assert [a.name for a in again.logged_artifacts()] == ["made:v0"]
    with pytest.raises(artfs.errors.RefusedError):
        recorded.log({"a": 1})


def test_settings_are_defaults(workspace: artfs.Workspace) -> None:
    with artfs.init(settings=artfs.Settings(project="p", run_id="r", run_tags=["t"], console="off")) as run:
        assert (run.project, run.id, run.tags) == ("p", "r", ("t",))
        assert "console" in run.settings.settings
    with artfs.init(settings={"mode": "disabled"}) as run:
        assert run.disabled
    assert [each.id for each in artfs.Api().runs("p")] == ["r"]


def test_runs_are_selected_and_ordered(workspace: artfs.Workspace) -> None:
    for number in range(3):
        with artfs.init(
            project="p", id=f"r{number}", config={"lr": number, "net": {"depth": number}}, tags=["all"]
        ) as run:
            run.log({"loss": 3 - number})
            run.log({"loss": 2 - number, "late": 1})
    api = artfs.Api()

    def ids(filters: Any = None, order: str = "+created_at") -> list[str]:
        return [run.id for run in api.runs("p", filters, order)]

    assert ids() == ["r0", "r1", "r2"] and ids(order="-created_at") == ["r2", "r1", "r0"]
    assert ids({"config.lr": 1}) == ids({"config.net.depth": {"$gt": 0, "$lt": 2}}) == ["r1"]
    assert ids({"summary_metrics.loss": {"$lte": 1}}, "+summary_metrics.loss") == ["r2", "r1"]
    assert ids({"$or": [{"config.lr": 0}, {"name": {"$in": ["r2"]}}], "tags": "all", "state": "finished"}) == [
        "r0",
        "r2",
    ]
    assert ids({"$not": {"config.lr": {"$exists": True}}}) == ids({"config.lr": {"$gt": "text"}}) == []
    for wrong in ({"colour": 1}, {"config.lr": {"$near": 1}}):
        with pytest.raises(artfs.errors.InvalidInputError):
            ids(wrong)
    run = api.run("p/r1")
    assert [row["loss"] for row in run.scan_history(["loss"])] == [2, 1]
    assert list(run.scan_history(["late", "loss"])) == [{"late": 1, "loss": 1}]
    assert len(run.history(samples=1)) == 1 and run.history(pandas=True)["loss"].tolist() == [2, 1]
    assert [row["loss"] for row in run.scan_history(min_step=1)] == [1] and run.lastHistoryStep == 1
    assert run.summary_metrics["loss"] == 1 and run.rawconfig["lr"] == 1 and json.loads(run.json_config)["lr"] == 1


def test_the_time_to_live_of_rules(workspace: artfs.Workspace, folder: Path) -> None:
    artifact = logged()
    artifact.ttl = "30d"
    artifact.ttl = artfs.ArtifactTTL.INHERIT
    artifact.save()
    assert artifact.ttl is None
