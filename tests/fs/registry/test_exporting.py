"""Exporting: bundles that are equal for equal artifacts, and the best models under names of their own."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import pytest

from artfs.registry import ArtifactRegistry, PickleWarning, RecordError, UnknownArtifactError
from artfs.registry.errors import UnknownMetricError
from artstore.errors import ExistsError, InvalidInputError, InvalidNameError, NotFoundError, RefusedError
from fs.registry.registries import add, make_registry


def filled(registry: ArtifactRegistry) -> list[str]:
    """Register two models, one of which is registered again later, and a meta-model of both; return the ids."""
    models = [add(registry, [n], fold_id=n, metrics={"rmse": n}) for n in range(2)]
    ids = [each.artifact_id for each in models]
    meta = registry.register_meta_model([3], None, ids, chain="s1.A>s4.M")
    add(registry, [7], fold_id=0, metrics={"rmse": 5})
    return [*ids, meta.artifact_id]


def test_a_bundle_has_what_was_asked_for_and_its_sources(registry: ArtifactRegistry, tmp_path: Path) -> None:
    """The sources are the versions that the meta-model was made from, the latest or not."""
    one, two, meta = filled(registry)
    add(registry, [9], pipeline_id="0002")
    named = {"one": [one], "two": two, "meta": [meta]}
    found = {name: registry.export_bundle(tmp_path / name, ids=ids).versions for name, ids in named.items()}
    assert [len(each) for each in found.values()] == [1, 1, 3]
    assert found["one"][0].endswith(":v1") and found["one"][0] not in found["meta"]
    assert len(registry.export_bundle(tmp_path / "pipeline").versions) == 4
    assert len(registry.export_bundle(tmp_path / "other", pipeline_id="0002").versions) == 1
    whole = make_registry(tmp_path, pipeline="")
    assert len(whole.export_bundle(tmp_path / "all").versions) == 5
    receipt = whole.export_bundle(tmp_path / "dry", dry_run=True)
    assert receipt.bytes == (tmp_path / "all").stat().st_size and not (tmp_path / "dry").exists()


def test_equal_artifacts_are_equal_bundles(
    registry: ArtifactRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whenever they were registered, in whatever order of the ids, and with whatever key pickles were signed."""
    warnings.simplefilter("ignore", PickleWarning)
    ids = [*filled(registry), add(registry, {1}.union, "s1.U").artifact_id]
    registry.export_bundle(tmp_path / "a", ids=ids)
    monkeypatch.setenv("ARTFS_KEY_FILE", str(tmp_path / "other.key"))
    other = make_registry(tmp_path / "other")
    ids = [*filled(other), add(other, {1}.union, "s1.U").artifact_id]
    other.export_bundle(tmp_path / "b", ids=ids[::-1])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    first, second = (each.resolve(ids[-1]) for each in (registry, other))
    assert first is not None and second is not None and first.mac != second.mac
    assert (first.mac or "").encode() not in (tmp_path / "a").read_bytes()


def test_what_cannot_be_exported(registry: ArtifactRegistry, tmp_path: Path) -> None:
    """Each is one error, and no file is there afterwards."""
    with pytest.raises(NotFoundError):
        registry.export_bundle(tmp_path / "x")
    assert not registry.folder.exists()  # no workspace is made
    ids = filled(registry)
    for options, error in [
        ({"ids": ["0001_pls$ffff:0"]}, UnknownArtifactError),
        ({"ids": []}, NotFoundError),
        ({"ids": ids, "pipeline_id": "0001_pls"}, InvalidInputError),
        ({"pipeline_id": "0009"}, NotFoundError),
        ({"ids": 3}, InvalidInputError),
    ]:
        with pytest.raises(error):
            registry.export_bundle(tmp_path / "x", **options)  # type: ignore[arg-type]
    (tmp_path / "y").write_text("mine")
    with pytest.raises(ExistsError):
        registry.export_bundle(tmp_path / "y")
    assert sorted(os.listdir(tmp_path)) == ["workspace", "y"] and (tmp_path / "y").read_text() == "mine"
    registry.export_bundle(tmp_path / "y", overwrite=True)


@pytest.mark.parametrize("change", ["type", "name", "file"])
def test_what_no_import_would_take_is_not_exported(registry: ArtifactRegistry, tmp_path: Path, change: str) -> None:
    """A version that was retyped, renamed or purged since."""
    record = add(registry, [1])
    name = record.ref.partition(":")[0]
    if change == "type":
        registry.workspace.set_type(name, "dataset")
    elif change == "name":
        registry.workspace.rename(name, name.replace("/all", "/9"))
    else:
        registry.workspace.purge(f"{record.ref}/payload.json", reason="r", everywhere=True)
    with pytest.raises(RecordError, match=name[:20]):
        registry.export_bundle(tmp_path / "x")
    assert os.listdir(tmp_path) == ["workspace"]


def test_the_best(registry: ArtifactRegistry) -> None:
    """By what the metric means; they include the models, copy nothing, and are not registered themselves."""
    for fold, (rmse, r2) in enumerate([(3, 0.7), (1, 0.9), (2, 0.8), ("nan", 0.1)]):
        add(registry, [fold], fold_id=fold, metrics={"rmse": rmse, "r2": r2})
    registry.register_with_chain([5], "s1.A", "transformer", 1, metrics={"rmse": 0})
    before = registry.workspace.usage().stored_bytes
    best = registry.export_best("wheat", "rmse", 2)
    assert [each.name for each in best] == ["exports/wheat/rmse-1:v0", "exports/wheat/rmse-2:v0"]
    assert [each.read_bytes("payload.json") for each in best] == [b"[1]", b"[2]"]
    assert [each.metadata["artfs.export"]["value"] for each in best] == [1, 2]
    assert registry.workspace.usage().stored_bytes - before < 500
    assert registry.export_best("wheat", "r2")[0].read_bytes("payload.json") == b"[1]"
    assert registry.export_best("wheat", "rmse", ascending=False)[0].name == "exports/wheat/rmse-1:v1"
    assert len(registry.export_best("wheat", "rmse", 9)) == 3
    assert len(registry.get_all_records()) == registry.get_stats()["total_artifacts"] == 5


def test_exporting_the_best_again(registry: ArtifactRegistry) -> None:
    """Makes a version of what has changed only; what is exported is not deleted."""
    for fold in range(2):
        add(registry, [fold], fold_id=fold, metrics={"rmse": fold})
    registry.export_best("wheat", "rmse", 2)
    assert [each.number for each in registry.export_best("wheat", "rmse", 2)] == [0, 0]
    add(registry, [2], fold_id=2, metrics={"rmse": 0.5})
    assert [each.name for each in registry.export_best("wheat", "rmse", 3)] == [
        "exports/wheat/rmse-1:v0",
        "exports/wheat/rmse-2:v1",
        "exports/wheat/rmse-3:v0",
    ]
    with pytest.raises(RefusedError, match="exports/wheat/rmse-1"):
        registry.purge_dataset_artifacts(confirm=True)


def test_a_best_with_sources_is_whole(registry: ArtifactRegistry) -> None:
    filled(registry)
    meta = registry.register_meta_model(
        [4],
        None,
        [each.artifact_id for each in registry.get_fold_models("0001_pls", 3)],
        chain="s9.M",
        metrics={"r2": 1},
    )
    (best,) = registry.export_best("wheat", "r2")
    assert best.digest == registry.version_of(meta).digest and best.type == "meta_model"


def test_what_is_no_best(registry: ArtifactRegistry, tmp_path: Path) -> None:
    """No models are none; a metric without a direction, or that no name can have, is an error."""
    assert registry.export_best("wheat", "rmse") == [] and not registry.folder.exists()
    add(registry, [1], metrics={"rmse": 1, "size": 3})
    assert registry.export_best("wheat", "mae") == registry.export_best("barley", "rmse") == []
    assert registry.export_best("wheat", "rmse", 0) == []
    with pytest.raises(UnknownMetricError):
        registry.export_best("wheat", "size")
    assert registry.export_best("wheat", "size", ascending=True)[0].name == "exports/wheat/size-1:v0"
    for metric, error in [
        ("a/b", InvalidNameError),
        ("rmse>0", InvalidInputError),
        (3, InvalidInputError),
        ("", ValueError),
    ]:
        with pytest.raises(error):
            registry.export_best("wheat", metric, ascending=True)  # type: ignore[arg-type]
    for count in (-1, "2", 1.5, True):
        with pytest.raises(ValueError, match="how many"):
            registry.export_best("wheat", "rmse", count)  # type: ignore[arg-type]
    for dataset in ("best_predictions", "a/b", ""):
        with pytest.raises(ValueError, match=r"name|id"):
            registry.export_best(dataset, "rmse")
