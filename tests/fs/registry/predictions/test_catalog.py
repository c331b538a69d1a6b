"""The catalogue: what is added is there, once, with its arrays and its models, whoever else adds and deletes."""

from __future__ import annotations

import itertools
import multiprocessing
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from artfs.registry import (
    AmbiguousIdError,
    ArtifactRecord,
    ArtifactRegistry,
    MalformedPayloadError,
    MissingDependencyError,
    MissingLibraryError,
    PredictionCatalog,
    PredictionError,
    UnknownPredictionError,
)
from artfs.registry.predictions import parts
from artstore.errors import InvalidNameError, RefusedError
from artstore.queries.versions import Version
from fs.registry.predictions.catalogs import given
from fs.registry.registries import add, make_registry

NAME = "catalog/wheat"


def test_what_is_added_comes_back(catalog: PredictionCatalog, registry: ArtifactRegistry) -> None:
    """A row has what was given and what is known of the model; arrays have their values, shapes and dtypes."""
    model = add(registry, [1], fold_id=2)
    arrays: dict[str, Any] = {
        "y_true": np.array(["a", "b"]),
        "y_pred": np.array(["a", "c"], object),
        "y_proba": np.array([[0.5, 0.5], [0.25, 0.75]], "f4"),
        "sample_indices": np.array([7, 9], "i4"),
        "weights": [1.0, 2.0],
    }
    ident = catalog.add(
        "wheat", **given(model, metadata={"pre": ["SNV"]}, scores={"f1": 0.5, "metric": "f1"}, **arrays)
    )
    found = catalog.get(ident)
    for name, value in arrays.items():
        kept = found.pop(name)
        assert (
            kept.dtype == np.asarray(value).dtype and np.array_equal(kept, np.asarray(value)) and kept.flags.writeable
        )
    assert found == catalog.get(ident[:8], arrays=False) == catalog.filter()[0] == catalog.query(metric="f1")[0]
    assert found == {
        "prediction_id": ident,
        "dataset": "wheat",
        "pipeline_id": "0001_pls",
        "model": model.artifact_id,
        "model_ref": model.ref,
        "class_name": "list",
        "chain": "s1.A>s3.B",
        "step_index": 3,
        "fold_id": 2,
        "partition": "test",
        "metric": "f1",
        "train_score": None,
        "val_score": None,
        "test_score": None,
        "scores": {"f1": 0.5},
        "metadata": {"pre": ["SNV"]},
        "n_samples": 2,
        "version": 0,
    }
    assert "y_true" not in catalog.get(catalog.add("wheat", **given(model)))


def test_reading_makes_nothing(tmp_path: Path) -> None:
    """Without a workspace, and without predictions, everything is empty, and no folder appears."""
    catalog = PredictionCatalog(tmp_path / "nothing")
    assert catalog.filter() == catalog.query("wheat") == catalog.datasets() == catalog.compare_across_datasets() == []
    assert catalog.summary()["predictions"] == 0 and catalog.compare_folds("wheat")["folds"] == []
    with pytest.raises(UnknownPredictionError):
        catalog.get("0" * 32)
    with pytest.raises(MissingDependencyError):
        catalog.add("wheat", pipeline_id="a", model="a$abc:0", fold_id=0, partition="test", scores={})
    assert not (tmp_path / "nothing").exists()


def test_the_same_again_changes_nothing(catalog: PredictionCatalog, model: ArtifactRecord) -> None:
    """Equal predictions make no version, whatever is next to them; of several only the new ones are added."""
    first = given(model, y_pred=np.arange(3))
    ident = catalog.add("wheat", **first)
    versions = catalog.workspace.versions
    assert catalog.add("wheat", **first) == ident == catalog.add_many("wheat", [first, first])[1]  # type: ignore[list-item]
    assert len(versions(NAME)) == 1 and catalog.add_many("wheat", []) == []
    ids = catalog.add_many("wheat", [given(model, partition="val"), first, given(model, partition="val")])  # type: ignore[list-item]
    assert ids[1] == ident and ids[0] == ids[2] and len(versions(NAME)) == 2 and len(catalog.filter()) == 2
    assert catalog.workspace.version(NAME).metadata == {"artfs.predictions": 2}


def test_each_version_has_the_earlier_parts(catalog: PredictionCatalog, model: ArtifactRecord) -> None:
    """A version includes the parts before it; the stored bytes grow by the new part, not by the catalogue."""
    noise = np.random.default_rng(0)
    for each in range(12):
        catalog.add("wheat", **given(model, partition=f"p{each}", y_pred=noise.random(4000)))
    versions = catalog.workspace.versions(NAME)
    for before, after in itertools.pairwise(versions):
        for folder in (parts.META, parts.DATA):
            assert set(parts.parts_of(before, folder)) < set(parts.parts_of(after, folder))
    assert all(28_000 < version.new_bytes < 40_000 for version in versions)
    stored = catalog.workspace.usage().stored_bytes
    assert stored < 12 * 40_000 + 10_000
    for number in range(11):  # any version may go
        catalog.workspace.delete(f"{NAME}:v{number}", now=True)
    assert len(catalog.filter()) == 12 and catalog.workspace.usage().stored_bytes > stored - 20_000
    assert catalog.workspace.fsck(data=True).clean


def test_parts_stay_few(catalog: PredictionCatalog, model: ArtifactRecord) -> None:
    """The sixteenth small part makes one of sixteen; each prediction keeps its arrays, and versions their own."""
    for each in range(18):
        catalog.add("wheat", **given(model, partition=f"p{each}", y_pred=np.full(3, each)))
    version = catalog.workspace.version(NAME)
    assert sorted(part.rows for part in parts.parts_of(version, parts.META)) == [1, 1, 16]
    assert sorted(part.rows for part in parts.parts_of(version, parts.DATA)) == [1, 1, 16]
    for row in catalog.filter():
        assert catalog.get(row["prediction_id"])["y_pred"].tolist() == [row["version"]] * 3
    assert len(parts.parts_of(catalog.workspace.version(f"{NAME}:v14"), parts.META)) == 15


def test_metadata_are_found_without_arrays(
    catalog: PredictionCatalog, model: ArtifactRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Queries open no file of arrays, not even for its footer; only `get` does, and reads one row group."""
    wide = [given(model, partition=f"p{each}", y_pred=np.arange(40_000.0) + each) for each in range(6)]
    ids = catalog.add_many("wheat", wide)  # type: ignore[arg-type]
    opened: list[str] = []
    real = {name: getattr(Version, name) for name in ("open", "read_bytes")}

    def refusing(name: str) -> Any:
        def call(self: Version, path: str, *args: Any, **options: Any) -> Any:
            opened.append(path)
            if parts.DATA in path:
                raise PermissionError(path)
            return real[name](self, path, *args, **options)

        return call

    catalog = PredictionCatalog(catalog.workspace)
    with monkeypatch.context() as patched:
        for name in real:
            patched.setattr(Version, name, refusing(name))
        assert len(catalog.filter()) == len(catalog.query(metric="rmse")) == catalog.summary()["predictions"] == 6
        assert catalog.get(ids[0], arrays=False)["n_samples"] == 40_000 and catalog.compare_across_datasets(
            metric="rmse"
        )
        assert PredictionCatalog(catalog.workspace).add_many("wheat", wide) == ids and opened  # type: ignore[arg-type]
        assert all(path.startswith(parts.META) for path in opened)
        with pytest.raises(PermissionError):
            catalog.get(ids[0])
    read = 0
    checked = parts.check_group

    def counting(file: Any, group: Any, what: str) -> None:
        nonlocal read
        read += group.rows
        checked(file, group, what)

    monkeypatch.setattr(parts, "check_group", counting)
    assert catalog.get(ids[5])["y_pred"][0] == 5 and read == 2  # one row group


def adding(folder: Path, ident: str, number: int) -> None:
    """Add ten predictions, one by one; run in a process of its own."""
    catalog = PredictionCatalog(folder)
    for each in range(10):
        arguments = {"pipeline_id": "0001", "model": ident, "fold_id": None, "partition": f"{number}-{each}"}
        catalog.add("wheat", **arguments, scores={"rmse": each}, y_pred=[number, each])  # type: ignore[arg-type]


def test_two_processes_add_at_once(catalog: PredictionCatalog, model: ArtifactRecord) -> None:
    """All predictions of both are in the latest version, each once; versions are those of one or the other."""
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=adding, args=(catalog.folder, model.artifact_id, number)) for number in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]
    rows = catalog.filter()
    assert sorted(row["partition"] for row in rows) == sorted(f"{a}-{b}" for a in range(2) for b in range(10))
    assert (
        sorted(row["version"] for row in rows)
        == list(range(20))
        == [v.number for v in catalog.workspace.versions(NAME)]
    )
    assert all(
        catalog.get(row["prediction_id"])["y_pred"].tolist() == [*map(int, row["partition"].split("-"))] for row in rows
    )


def test_another_version_meanwhile(
    catalog: PredictionCatalog, model: ArtifactRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version that another process commits or deletes while one is made is neither lost nor brought back."""
    catalog.add("wheat", **given(model, partition="first"))
    other = PredictionCatalog(catalog.workspace)
    steps = iter(
        [lambda: other.add("wheat", **given(model, partition="other")), lambda: other.workspace.delete(f"{NAME}:v1")]
    )
    real = parts.write_meta
    monkeypatch.setattr("artfs.registry.predictions.staging.write_meta", real)

    def meanwhile(*args: Any) -> Any:
        step = next(steps, None)
        if step is not None:
            monkeypatch.setattr("artfs.registry.predictions.staging.write_meta", real)
            step()
            monkeypatch.setattr("artfs.registry.predictions.staging.write_meta", meanwhile)
        return real(*args)

    monkeypatch.setattr("artfs.registry.predictions.staging.write_meta", meanwhile)
    catalog.add("wheat", **given(model, partition="last"))
    assert [row["partition"] for row in catalog.filter()] == ["first", "last"]
    assert catalog.workspace.drafts.states() == []


# -- models ------------------------------------------------------------------------------------------------------------


def test_a_prediction_keeps_its_model(catalog: PredictionCatalog, registry: ArtifactRegistry, tmp_path: Path) -> None:
    """What a failed run registered is no orphan if a prediction needs that version; others are."""
    with pytest.raises(ZeroDivisionError), registry.run():
        kept, lost = add(registry, [1], fold_id=0), add(registry, [2], fold_id=1)
        ident = catalog.add("wheat", **given(kept))
        raise ZeroDivisionError
    assert [record.ref for record in registry.get_all_records()] == [kept.ref] and lost
    assert registry.find_orphaned_artifacts() == [] and registry.get_stats()["orphaned_count"] == 0
    with pytest.raises(RefusedError, match=NAME):
        registry.workspace.delete(kept.ref)
    add(registry, [3], fold_id=0)  # the next version of the same id
    assert registry.find_orphaned_artifacts(superseded=True) == []
    assert catalog.get(ident)["model_ref"] == kept.ref and registry.load_artifact(kept) == [1]
    later = catalog.add("wheat", **given(kept))
    assert catalog.get(later)["model_ref"] == kept.ref.replace(":v0", ":v1") and later != ident
    assert catalog.add("wheat", **given(kept, model=kept)) == ident
    assert [each.name for each in registry.workspace.relations.included_by(registry.workspace.version(NAME))]
    catalog.workspace.delete(f"{NAME}:*")
    assert registry.find_orphaned_artifacts() == [kept.ref]


def test_deleting_what_predictions_need(catalog: PredictionCatalog, registry: ArtifactRegistry, tmp_path: Path) -> None:
    """A purge is refused with the way out; cascading takes the pipeline's predictions and no others."""
    other = make_registry(tmp_path, pipeline="0002_a")
    own, others = add(registry, [1]), add(other, [2])
    catalog.add("wheat", **given(own, y_pred=[1.0]))
    stays = catalog.add("wheat", **given(others, pipeline_id="0002", y_pred=[2.0]))
    for refused in (
        lambda: registry.purge_dataset_artifacts(confirm=True),
        lambda: registry.delete_pipeline_artifacts("0001"),
    ):
        with pytest.raises(RefusedError, match=NAME) as caught:
            refused()
        assert "artfs rm -r catalog/wheat" in caught.value.hint
    assert registry.delete_pipeline_artifacts("0001", cascade=True) == 1 + 2
    assert [row["prediction_id"] for row in catalog.filter()] == [stays]
    assert catalog.get(stays)["y_pred"].tolist() == [2.0]
    assert [version.number for version in catalog.workspace.versions(NAME)] == [2]
    with pytest.raises(RefusedError, match=NAME):
        other.workspace.delete(others.ref)
    assert make_registry(tmp_path, "barley").purge_dataset_artifacts(confirm=True) == (0, 0)
    catalog.workspace.delete(NAME, recursive=True)
    assert registry.purge_dataset_artifacts(confirm=True)[0] == 1 and catalog.filter() == []
    assert catalog.workspace.fsck(data=True).clean


def test_cascades_end_at_predictions_of_others(catalog: PredictionCatalog, registry: ArtifactRegistry) -> None:
    """What was made from a deleted model goes with its predictions, those of others stay; a refusal changes nothing."""
    own, unrelated = add(registry, [1], fold_id=0), add(registry, [2], pipeline_id="0003_c")
    meta = registry.register_meta_model([3], "0002_b$feed:all", [own.artifact_id])
    for each in (own, meta, unrelated):
        catalog.add("wheat", **given(each, pipeline_id=each.pipeline_id, y_pred=[1.0]))
    catalog.workspace.aliases.set(own.ref, "best")
    with pytest.raises(RefusedError, match="best"):
        registry.delete_pipeline_artifacts("0001", cascade=True)
    assert len(catalog.filter()) == 3 and len(catalog.workspace.versions(NAME)) == 3
    catalog.workspace.aliases.remove(own.ref.partition(":")[0], "best")
    assert registry.delete_pipeline_artifacts("0001", cascade=True) == 2 + 3
    assert [row["model"] for row in catalog.filter()] == [unrelated.artifact_id]
    assert registry.resolve(meta.artifact_id) is None and registry.resolve(unrelated.artifact_id)


def test_equal_models_in_two_versions(catalog: PredictionCatalog, registry: ArtifactRegistry) -> None:
    """A model that is registered again with the content of an earlier version is another version, with its own."""
    first, _, third = (add(registry, [value]) for value in (1, 2, 1))
    assert (first.content_hash, first.ref) == (third.content_hash, third.ref.replace(":v2", ":v0"))
    ident = catalog.add("wheat", **given(first, model=first))
    assert catalog.add("wheat", **given(third, model=third)) == ident
    later = catalog.add("wheat", **given(third, model=third, partition="val"))
    assert catalog.remove_models("wheat", [first.ref]) == 1
    assert [row["prediction_id"] for row in catalog.filter()] == [later]
    assert catalog.remove_models("wheat", third.ref) == 1 and catalog.filter() == []
    assert catalog.remove_models("wheat", []) == catalog.remove_models("oats", [third.ref]) == 0


def test_predictions_are_removed(catalog: PredictionCatalog, registry: ArtifactRegistry) -> None:
    """A version without them, and without their arrays; the bytes come back with the versions that had them."""
    models = [add(registry, [each], fold_id=each) for each in range(3)]
    noise = np.random.default_rng(1)
    rows = [given(model, partition=p, y_pred=noise.random(5000)) for model in models for p in ("val", "test")]
    ids = catalog.add_many("wheat", rows)  # type: ignore[arg-type]
    arrays = {ident: catalog.get(ident)["y_pred"] for ident in ids}
    assert catalog.remove("wheat", ids[:3]) == 3
    for ident in ids[3:]:
        assert np.array_equal(catalog.get(ident)["y_pred"], arrays[ident])
    with pytest.raises(UnknownPredictionError):
        catalog.get(ids[0])
    with pytest.raises(UnknownPredictionError):
        catalog.remove("wheat", [ids[4], ids[0]])
    assert catalog.remove("wheat", []) == 0 and len(catalog.filter()) == 3
    catalog.workspace.delete(f"{NAME}:v0", now=True)
    assert catalog.workspace.usage().stored_bytes < 3 * 45_000
    registry.workspace.delete(models[0].ref)  # no prediction of it is left
    with pytest.raises(RefusedError):
        registry.workspace.delete(models[1].ref)
    assert catalog.remove("wheat", catalog.filter()[0]["prediction_id"]) == 1
    assert catalog.remove("wheat", [row["prediction_id"] for row in catalog.filter()]) == 2
    assert catalog.filter() == [] and catalog.datasets() == ["wheat"] and catalog.summary()["count"] == 0
    assert catalog.add("wheat", **rows[2]) == ids[2] and len(catalog.filter()) == 1


# -- what is wrong -----------------------------------------------------------------------------------------------------


def test_wrong_calls(catalog: PredictionCatalog, model: ArtifactRecord, tmp_path: Path) -> None:
    """Each is one error that says what was given; nothing of a call that fails is added."""
    barley = add(make_registry(tmp_path, "barley"), [1])
    wrong: list[tuple[type[Exception], Any]] = [
        (PredictionError, [given(model, model=None)]),
        (PredictionError, [given(model, model=["a"])]),
        (PredictionError, [given(model, pipeline_id=None)]),
        (PredictionError, [given(model, partition=None)]),
        (PredictionError, [{**given(model), "colour": 1}]),
        (PredictionError, [{**given(model), 3: 1}]),
        (PredictionError, [given(model), 3]),
        (PredictionError, [{}]),
        (PredictionError, given(model)),
        (PredictionError, "abc"),
        (PredictionError, None),
        (InvalidNameError, [given(model, pipeline_id="a/b")]),
        (MissingDependencyError, [given(model, model="0001_pls$ffffffffffff:0")]),
        (InvalidNameError, [given(model, pipeline_id="\ud800")]),
        (MissingDependencyError, [given(model, model="\ud800$abc:0")]),
        (MissingDependencyError, [given(model, model="nonsense")]),
        (MissingDependencyError, [given(model, model=barley)]),
        (PredictionError, [given(model), given(model, y_true=[1], y_pred=[1, 2])]),
    ]
    for kind, rows in wrong:
        with pytest.raises(kind):
            catalog.add_many("wheat", rows)
    with pytest.raises(PredictionError, match="prediction 1 cannot be added"):
        catalog.add_many("wheat", [given(model), given(model, scores=None)])  # type: ignore[list-item]
    for dataset in ("", "a/b", "best_predictions", None):
        with pytest.raises(InvalidNameError):
            catalog.add(dataset, **given(model))  # type: ignore[arg-type]
    assert not catalog.workspace.has_artifact(NAME) and catalog.datasets() == []
    ids = [catalog.add("wheat", **given(model, partition=f"p{each}")) for each in range(2)]
    for ident in ("", "zzzz", ids[0] + "0", ids[0][:3]):
        with pytest.raises(UnknownPredictionError):
            catalog.get(ident)
    with pytest.raises(ValueError, match="id of a prediction"):
        catalog.get(3)  # type: ignore[arg-type]


def test_a_pipeline_that_several_fit(catalog: PredictionCatalog, tmp_path: Path) -> None:
    """A beginning that two pipelines of a data set have is ambiguous, and its candidates are named."""
    for pipeline in ("0007_a", "0007_b"):
        catalog.add("wheat", **given(add(make_registry(tmp_path, pipeline=pipeline), [1]), pipeline_id=pipeline))
    with pytest.raises(AmbiguousIdError) as caught:
        catalog.filter(pipeline_id="0007")
    assert caught.value.candidates == ["0007_a", "0007_b"]


def test_one_id_in_two_data_sets(catalog: PredictionCatalog, model: ArtifactRecord, tmp_path: Path) -> None:
    """A catalogue that was renamed or linked has its own name; an id that two have is ambiguous without a data set."""
    ident = catalog.add("wheat", **given(model, y_pred=[1.0]))
    catalog.workspace.link("catalog/wheat:v0", "catalog/linked")
    assert catalog.datasets() == ["linked", "wheat"] and [row["dataset"] for row in catalog.filter("linked")] == [
        "linked"
    ]
    with pytest.raises(AmbiguousIdError):
        catalog.get(ident)
    for dataset in ("linked", "wheat"):
        found = catalog.get(ident, dataset=dataset)
        assert found["dataset"] == dataset and found["y_pred"].tolist() == [1.0]


def test_another_kind_of_artifact(catalog: PredictionCatalog, model: ArtifactRecord, tmp_path: Path) -> None:
    """Something else under the catalogue's name is one error, also if it only looks like one."""
    folder = tmp_path / "folder" / parts.META
    folder.mkdir(parents=True)
    (folder / "other.txt").write_text("x")
    catalog.workspace.put(folder.parent, NAME)
    for call in (lambda: catalog.filter(), lambda: catalog.add("wheat", **given(model))):
        with pytest.raises(MalformedPayloadError, match=r"other\.txt"):
            call()


def test_without_pyarrow(catalog: PredictionCatalog, model: ArtifactRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence names the library and the extra; nothing is made."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for call in (
        lambda: catalog.add("wheat", **given(model)),
        catalog.filter,
        lambda: catalog.get("abcd", dataset="wheat"),
    ):
        with pytest.raises((MissingLibraryError, UnknownPredictionError)) as caught:
            call()
        if isinstance(caught.value, MissingLibraryError):
            assert caught.value.hint == "pip install 'artfs[catalog]'" and "pyarrow" in str(caught.value)
    assert not catalog.workspace.has_artifact(NAME)
