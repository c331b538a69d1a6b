"""Trained pipelines from folders: their files and binaries with equal bytes; and from a registry: nothing is copied."""

from __future__ import annotations

import json
import os
import pickle
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sklearn.linear_model import Ridge

from artfs.registry import (
    AmbiguousIdError,
    ArtifactLoader,
    ArtifactRegistry,
    LibraryManager,
    PickleWarning,
    RecordError,
    UnknownArtifactError,
    UntrustedError,
)
from artfs.registry.library.trained import FromRegistry
from artstore.errors import (
    ArtfsError,
    InvalidInputError,
    InvalidNameError,
    NotFolderError,
    NotFoundError,
    RefusedError,
    SourceError,
)
from artstore.queries.versions import Version


class Canary:
    """A pickle that makes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self._path),)


@pytest.fixture
def run(tmp_path: Path, canary: Path) -> Path:
    """A run of the data set wheat with one pipeline, whose binaries are in all layouts."""
    folder = tmp_path / "workspace" / "runs" / "wheat"
    pipeline = folder / "0042_x"
    binaries = {
        "../_binaries/a.pkl": folder / "_binaries" / "a.pkl",
        "../_binaries/sub/b.pkl": folder / "_binaries" / "sub" / "b.pkl",
        "c.pkl": folder / "_binaries" / "c.pkl",
        "own/d.pkl": pipeline / "own" / "d.pkl",
        "e.joblib": tmp_path / "workspace" / "binaries" / "wheat" / "e.joblib",
        "objects/ab/f.pkl": tmp_path / "workspace" / "artifacts" / "objects" / "ab" / "f.pkl",
    }
    for file in binaries.values():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(pickle.dumps([Canary(canary), file.name]))
    named = {"steps": [1], "artifacts": [{"path": path} for path in binaries]}
    (pipeline / "pipeline.json").write_text(json.dumps(named))
    (pipeline / "metrics.json").write_text('{"rmse": 0.42}')
    (pipeline / "predictions.csv").write_text("y_true,y_pred\n")
    os.chmod(pipeline / "predictions.csv", 0o750)
    return folder


def files(version: Version) -> dict[str, bytes]:
    """Return the files of a version."""
    found = (f"{folder}/{name}".lstrip("/") for folder, _, names in version.walk() for name in names)
    return {path: version.read_bytes(path) for path in found}


def on_disk(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Return the files below a folder, with their times."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns) for path in found}


def test_a_pipeline(library: LibraryManager, run: Path, canary: Path) -> None:
    """All files and the binaries that they name, in `_binaries` unless the folder has them; nothing is loaded."""
    before = on_disk(run.parent.parent)
    version = library.save_pipeline_full(run, run / "0042_x", "wheat/first", "the first")
    assert version.name == "library/trained/pipeline/wheat/first:v0"
    saved = files(version)
    binaries = ["a.pkl", "c.pkl", "e.joblib", "f.pkl", "sub/b.pkl"]
    own = {"pipeline.json", "metrics.json", "predictions.csv", "own/d.pkl"}
    assert set(saved) == own | {f"_binaries/{name}" for name in binaries}
    for name in binaries:
        (source,) = (each for each in run.parent.parent.rglob(name.rpartition("/")[2]) if ".artfs" not in each.parts)
        assert saved[f"_binaries/{name}"] == source.read_bytes()
    assert {path: saved[path] for path in own} == {path: (run / "0042_x" / path).read_bytes() for path in own}
    assert {path: each for path, each in on_disk(run.parent.parent).items() if not path.startswith(".artfs")} == before
    entry = library.load("wheat/first")
    assert entry.config["steps"] == [1] and entry.metrics == {"rmse": 0.42} and entry.records == []
    (info,) = library.list_pipelines()
    assert (info["name"], info["description"], info["kind"]) == ("wheat/first", "the first", "pipeline")
    assert library.workspace.find(where="metrics.rmse<0.5")[0].name == version.name
    assert not canary.exists() and library.workspace.fsck(data=True).clean
    assert version.stat("predictions.csv").mode & 0o777 == 0o750


def test_saving_a_pipeline_again(library: LibraryManager, run: Path, tmp_path: Path) -> None:
    """Equal content makes no version, a changed binary the next one; a copied-out one can be saved again."""
    save: Callable[[], Version] = lambda: library.save_pipeline_full(run, run / "0042_x", "w")  # noqa: E731
    assert save().number == save().number == 0
    (run / "_binaries" / "a.pkl").write_bytes(b"other")
    assert save().number == 1
    assert library.save_pipeline_full(run, run / "0042_x", "w", "described").number == 2
    version = library.load("w").version
    library.workspace.get(version.name, tmp_path / "out")
    assert library.save_pipeline_full(tmp_path / "out", tmp_path / "out", "w", "described").number == 2
    assert files(library.load("w", "pipeline", 0).version)["_binaries/a.pkl"] != b"other"


def test_filtered_and_full_runs(library: LibraryManager, run: Path) -> None:
    """Configuration and metrics alone; and all of a run."""
    assert set(files(library.save_filtered(run / "0042_x", "w"))) == {"pipeline.json", "metrics.json"}
    (run / "0042_x" / "metrics.json").unlink()
    assert set(files(library.save_filtered(run / "0042_x", "w"))) == {"pipeline.json"}
    assert [each["version"] for each in library.list_filtered()] == [1]
    assert library.load("w").metrics == {} and library.load("w", version=0).metrics == {"rmse": 0.42}
    version = library.save_fullrun(run, "w", "everything")
    assert files(version) == {path: content for path, (content, _) in on_disk(run).items()}
    assert library.list_fullruns()[0]["files"] == 6
    with pytest.raises(InvalidInputError, match=r"filtered and fullrun"):
        library.load("w")
    assert library.delete("fullrun", "w").versions == [version.name] and library.list_fullruns() == []


def name_it(run: Path, *paths: object) -> None:
    """Make the pipeline name other binaries."""
    named = {"artifacts": [{"path": path} for path in paths]}
    (run / "0042_x" / "pipeline.json").write_text(json.dumps(named))


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "../../../../../../../etc/passwd", "../../../secret", "a/../../../../secret", "../secret\0"],
)
def test_paths_that_lead_out(library: LibraryManager, run: Path, tmp_path: Path, path: str) -> None:
    """They are refused by name, also if a file with that name is in `_binaries`."""
    (tmp_path / "secret").write_text("secret")
    for name in ("secret", "passwd"):
        (run / "_binaries" / name).write_text("")
    name_it(run, path)
    with pytest.raises(RecordError, match=r"relative|leads out"):
        library.save_pipeline_full(run, run / "0042_x", "w")
    assert library._existing() is None


def link(at: Path, to: str) -> None:
    at.unlink(missing_ok=True)
    at.symlink_to(to)


@pytest.mark.parametrize("place", ["_binaries/a.pkl", "_binaries", "0042_x/own", "0042_x/metrics.json", "0042_x/new"])
def test_links_out(library: LibraryManager, run: Path, tmp_path: Path, place: str) -> None:
    """A link out of the run is refused wherever it is, and nothing of what it leads to is stored."""
    secret = tmp_path / "secret"
    secret.mkdir()
    for name in ("a.pkl", "d.pkl", "metrics.json"):
        (secret / name).write_text('{"secret": 1}')
    at = run / place
    if at.is_dir():
        at.rename(tmp_path / "moved")
    link(at, str(secret if at.suffix == "" else secret / at.name))
    kinds = (RefusedError, SourceError, NotFoundError) if place == "_binaries" else (RefusedError, SourceError)
    with pytest.raises(kinds) as caught:
        library.save_pipeline_full(run, run / "0042_x", "w")
    assert os.path.basename(place) in str(caught.value)
    if place == "0042_x/metrics.json":
        with pytest.raises(RefusedError, match=r"metrics\.json"):
            library.save_filtered(run / "0042_x", "w")
    with pytest.raises((RefusedError, SourceError)) as caught:
        library.save_fullrun(run, "w")
    assert "--exclude" not in caught.value.hint and ".artfsignore" in caught.value.hint
    assert library.list_pipelines() == library.list_filtered() == library.list_fullruns() == []


def test_links_inside(library: LibraryManager, run: Path) -> None:
    """A link within the run leads to the file."""
    (run / "_binaries" / "a.pkl").rename(run / "_binaries" / "real")
    link(run / "_binaries" / "a.pkl", "real")
    version = library.save_pipeline_full(run, run / "0042_x", "w")
    assert version.read_bytes("_binaries/a.pkl") == (run / "_binaries" / "real").read_bytes()


def test_what_is_missing(library: LibraryManager, run: Path) -> None:
    """All missing binaries are named in one FileNotFoundError; what is named is saved whatever ignore files say."""
    name_it(run, "../_binaries/a.pkl", "../_binaries/x.pkl", "y.pkl", "own")
    with pytest.raises(FileNotFoundError, match=r"x\.pkl.*y\.pkl.*own") as caught:
        library.save_pipeline_full(run, run / "0042_x", "w")
    assert isinstance(caught.value, NotFoundError) and library._existing() is None
    name_it(run, "own/d.pkl")
    (run / "0042_x" / ".artfsignore").write_text("own\n")
    assert "own/d.pkl" in files(library.save_pipeline_full(run, run / "0042_x", "w"))


def test_manifests(library: LibraryManager, run: Path) -> None:
    """What a manifest next to it names belongs to the pipeline too; two files for one place are refused."""
    name_it(run)
    manifest = run / "0042_x" / "manifest.yaml"
    manifest.write_text("dataset: wheat\nartifacts:\n  items:\n  - {artifact_id: 'a:1:0', path: e.joblib}\n")
    assert "_binaries/e.joblib" in files(library.save_pipeline_full(run, run / "0042_x", "w"))
    manifest.write_text("dataset: wheat\n")
    assert "_binaries/e.joblib" not in files(library.save_pipeline_full(run, run / "0042_x", "w"))
    manifest.write_text("artifacts: [")
    with pytest.raises(RecordError, match="manifest"):
        library.save_pipeline_full(run, run / "0042_x", "w")
    manifest.unlink()
    (run / "other").mkdir()
    (run / "other" / "a.pkl").write_text("other")
    name_it(run, "../_binaries/a.pkl", "../other/a.pkl")
    with pytest.raises(RecordError, match="two binaries"):
        library.save_pipeline_full(run, run / "0042_x", "w")


@pytest.mark.parametrize(
    "content",
    [
        *("", "{", "[" * 100_000, '{"artifacts": 3}', '{"artifacts": [3]}', '{"artifacts": [{}]}'),
        *(
            '{"artifacts": [{"path": 3}]}',
            '{"artifacts": [""]}',
            '{"artifacts": [".."]}',
            '{"artifacts": {"items": 3}}',
        ),
    ],
)
def test_pipelines_that_are_none(library: LibraryManager, run: Path, content: str) -> None:
    """A configuration that is no JSON, or names no files, is one error."""
    (run / "0042_x" / "pipeline.json").write_text(content)
    with pytest.raises(RecordError) as caught:
        library.save_pipeline_full(run, run / "0042_x", "w")
    assert "\n" not in str(caught.value) and library._existing() is None


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda it, run: it.save_pipeline_full(run, run, "w"), NotFoundError),
        (lambda it, run: it.save_pipeline_full(run, run / "none", "w"), NotFoundError),
        (lambda it, run: it.save_pipeline_full(run / "none", run / "0042_x", "w"), NotFoundError),
        (lambda it, run: it.save_pipeline_full(run, run / "0042_x/pipeline.json", "w"), NotFolderError),
        (lambda it, run: it.save_pipeline_full(run, run / "0042_x"), InvalidNameError),
        (lambda it, run: it.save_pipeline_full(run, run / "0042_x", "../w"), InvalidNameError),
        (lambda it, run: it.save_pipeline_full(run, None, "w"), InvalidInputError),
        (lambda it, run: it.save_pipeline_full(None, None, "w"), InvalidInputError),
        (lambda it, run: it.save_pipeline_full(run, run / "0042_x", "w", ids=["x"]), InvalidInputError),
        (lambda it, run: it.save_filtered(run, "w"), NotFoundError),
        (lambda it, run: it.save_filtered(run / "none", "w"), NotFoundError),
        (lambda it, run: it.save_fullrun(run / "none", "w"), NotFoundError),
        (lambda it, run: it.save_fullrun("", "w"), InvalidInputError),
        (lambda it, run: it.save_fullrun(name="w"), NotFoundError),
        (lambda it, run: it.save_fullrun(run, "w", 3), InvalidInputError),
        (lambda it, run: it.load("w"), NotFoundError),
        (lambda it, run: it.load("w", "pipeline"), NotFoundError),
        (lambda it, run: it.load("w", "pickle"), InvalidInputError),
        (lambda it, run: it.delete("pickle", "w"), InvalidInputError),
    ],
)
def test_bad_input(library: LibraryManager, run: Path, call: Callable[..., object], kind: type[ArtfsError]) -> None:
    """Each is one typed error, and makes no version."""
    with pytest.raises(kind) as caught:
        call(library, run)
    assert isinstance(caught.value, ArtfsError) and "\n" not in str(caught.value)
    assert library._existing() is None or not library.workspace.find()


# -- from a registry ---------------------------------------------------------------------------------------------------


@pytest.fixture
def registry(library: LibraryManager) -> Iterator[ArtifactRegistry]:
    """Two pipelines of wheat and one of barley."""
    registry = ArtifactRegistry(library.folder, "wheat", "0001_pls")
    for fold in range(2):
        registry.register_with_chain(
            ["x" * 50_000, fold], "s1.A>s2.B", "model", 2, fold_id=fold, metrics={"rmse": fold / 2}
        )
    ids = [record.artifact_id for record in registry.get_all_records()]
    registry.register_meta_model(["meta"], None, ids, chain="s1.A>s2.B>s3.Meta")
    registry.register_with_chain(Ridge(0.5).fit([[0], [1]], [0, 1]), "s1.Ridge", "model", 1, pipeline_id="0002_ridge")
    ArtifactRegistry(library.folder, "barley", "0001_pls").register_with_chain([7], "s1.C", "model", 1)
    yield registry
    registry.workspace.close()


def test_by_pipeline(library: LibraryManager, registry: ArtifactRegistry) -> None:
    """Records, payloads and sources are included: the stored bytes do not grow by them."""
    stored = registry.workspace.usage().stored_bytes
    chosen: FromRegistry = {"dataset": "wheat", "pipeline_id": "0001", "pipeline_config": {"range": (0, 1)}}
    version = library.save_pipeline_full(name="best", **chosen)
    assert registry.workspace.usage().stored_bytes - stored < 5_000
    again = library.save_pipeline_full(name="best", **chosen)
    assert again.name == version.name
    entry = library.load("best")
    assert [record.artifact_id for record in entry.records] == [
        record.artifact_id for record in sorted(registry.find(pipeline_id="0001_pls"), key=lambda record: record.path)
    ]
    for record in entry.records:
        assert entry.load_artifact(record.artifact_id) == registry.load_artifact(registry.resolve(record.artifact_id))
    assert sum(path.endswith("/sources/1/payload.json") for path in files(version)) == 1
    assert len(json.loads(version.read_bytes("metrics.json"))) == 2
    sources = {each.name for each in registry.workspace.relations.included_by(version)}
    assert sources == {record.ref for record in registry.find(pipeline_id="0001_pls")}
    assert registry.workspace.fsck(data=True).clean


def test_a_new_registration_is_the_next_version(library: LibraryManager, registry: ArtifactRegistry) -> None:
    """The saved one stays as it is."""
    save: Callable[[], Version] = lambda: library.save_fullrun(name="all", dataset="wheat")  # noqa: E731
    first = save()
    registry.register_with_chain([8], "s1.Ridge", "model", 1, pipeline_id="0002_ridge")
    assert (first.number, save().number) == (0, 1)
    ident = registry.generate_id("s1.Ridge", pipeline_id="0002_ridge")
    assert library.load("all").load_artifact(ident) == [8]
    assert isinstance(library.load("all", version=0).load_artifact(ident), Ridge)


def test_by_ids(library: LibraryManager, registry: ArtifactRegistry) -> None:
    """Abbreviated ids are looked up; unknown and ambiguous ones are named, and so are several data sets."""
    ident = registry.generate_id("s1.A>s2.B", 0)
    save = library.save_pipeline_full
    version = save(name="one", dataset="wheat", ids=[ident, ident.replace("_pls", "")])
    assert [record.artifact_id for record in library.load("one").records] == [ident]
    assert library.load("one").config is None and version.file_count == 4
    for options, kind in [
        ({"dataset": "wheat", "ids": ["0009$abc:0"]}, UnknownArtifactError),
        ({"dataset": "wheat", "ids": ["0001$:0"]}, UnknownArtifactError),
        ({"dataset": "wheat", "ids": []}, InvalidInputError),
        ({"dataset": "rye", "pipeline_id": "0001"}, NotFoundError),
        ({"dataset": "wheat", "pipeline_id": "0009"}, NotFoundError),
        ({"pipeline_id": "0001"}, InvalidInputError),
        ({"dataset": "wheat", "pipeline_id": "0001", "ids": [ident]}, InvalidInputError),
        ({"dataset": "wheat", "pipeline_id": "000"}, NotFoundError),
        ({"dataset": "wheat", "ids": 3}, InvalidInputError),
        ({"dataset": "wheat", "pipeline_id": "0001", "pipeline_config": {"a": len}}, InvalidInputError),
    ]:
        with pytest.raises(kind) as caught:
            save(name="two", **options)  # type: ignore[arg-type]
        assert isinstance(caught.value, ArtfsError), options
    with pytest.raises(UnknownArtifactError):
        library.load("one").load_artifact("0009$abc:0")
    registry.register_with_chain([1], "s1.Ridge", "model", 1, pipeline_id="0002_x")
    with pytest.raises(AmbiguousIdError):
        save(name="two", dataset="wheat", pipeline_id="0002")
    assert [each["name"] for each in library.list_pipelines()] == ["one"]


def test_many_artifacts(library: LibraryManager) -> None:
    """The list of artifacts may be long, and so may a configuration."""
    registry = ArtifactRegistry(library.folder, "wheat", "0001_pls")
    with registry.deferred():
        for number in range(100):
            registry.register_with_chain(number, f"s1.A{number}", "model", 1, params={"text": "x" * 1000})
    library.save_fullrun(name="many", pipeline_config={"text": "x" * 200_000})
    entry = library.load("many")
    assert len(entry.config["text"]) == 200_000 and entry.version.stat("manifest.json").size > 100_000
    assert sorted(entry.load_artifact(record.artifact_id) for record in entry.records) == list(range(100))


def test_filtered_keeps_records_only(library: LibraryManager, registry: ArtifactRegistry) -> None:
    """Payloads are neither included nor kept from deletion."""
    version = library.save_filtered(name="few", dataset="wheat", pipeline_id="0002")
    assert {path.rpartition("/")[2] for path in files(version)} == {"manifest.json", "record.json"}
    assert registry.delete_pipeline_artifacts("0002") == 1
    assert [record.class_name for record in library.load("few").records] == ["Ridge"]


def test_what_the_library_has_is_kept(library: LibraryManager, registry: ArtifactRegistry) -> None:
    """Neither deleted, naming the entry, nor an orphan of a failed run; until the entry is deleted."""
    with pytest.raises(ZeroDivisionError), registry.run():
        kept = registry.register_with_chain(["kept"], "s1.Kept", "model", 1)
        lost = registry.register_with_chain(["lost"], "s1.Lost", "model", 1)
        library.save_pipeline_full(name="kept", dataset="wheat", ids=[kept.artifact_id])
        raise ZeroDivisionError
    assert registry.resolve(kept.artifact_id) and not registry.resolve(lost.artifact_id)
    assert registry.find_orphaned_artifacts() == [] == registry.find_orphaned_artifacts(superseded=True)
    with pytest.raises(RefusedError, match="library/trained/pipeline/kept:v0"):
        registry.purge_dataset_artifacts(confirm=True)
    with pytest.raises(RefusedError, match="library/trained/pipeline/kept:v0"):
        registry.workspace.delete(kept.ref)
    library.delete("pipeline", "kept")
    assert registry.find_orphaned_artifacts() == [kept.ref]


def test_superseded_versions(library: LibraryManager, registry: ArtifactRegistry) -> None:
    """An older version that the library has is no orphan."""
    old = registry.register_with_chain(["old"], "s1.Old", "model", 1)
    library.save_pipeline_full(name="old", dataset="wheat", ids=[old.artifact_id])
    registry.register_with_chain(["new"], "s1.Old", "model", 1)
    assert registry.find_orphaned_artifacts(superseded=True) == []
    library.delete("pipeline", "old")
    assert registry.find_orphaned_artifacts(superseded=True) == [old.ref]


def test_pickles_stay_ones_own(library: LibraryManager, registry: ArtifactRegistry, own_key: Path) -> None:
    """A pickle is loaded with this user's signature, also when its registration is gone, and not without it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PickleWarning)
        record = registry.register_with_chain({1}.union, "s1.Union", "model", 1)
    library.save_pipeline_full(name="pickled", dataset="wheat", ids=[record.artifact_id])
    assert library.load("pickled").load_artifact(record.artifact_id)({2}) == {1, 2}
    registry.workspace.delete(record.ref, cascade="orphan")
    registry.workspace.gc(now=True)
    assert library.load("pickled").load_artifact(record.artifact_id)({2}) == {1, 2}
    own_key.unlink()
    with pytest.raises(UntrustedError):
        library.load("pickled").load_artifact(record.artifact_id)
    assert library.load("pickled").load_artifact(record.artifact_id, trust=True)({2}) == {1, 2}


def test_the_manifest_is_one(library: LibraryManager, registry: ArtifactRegistry, tmp_path: Path) -> None:
    """What was saved is loaded from a copied folder by a loader of another workspace, as data is."""
    version = library.save_fullrun(name="all", dataset="wheat")
    library.workspace.get(version.name, tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    loader = ArtifactLoader.from_manifest(manifest, tmp_path / "out")
    ident = registry.generate_id("s1.Ridge", pipeline_id="0002_ridge")
    assert loader.load_by_id(ident).alpha == 0.5
    assert len(loader.get_all_records()) == 4
