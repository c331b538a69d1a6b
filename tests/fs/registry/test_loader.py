"""What was registered is loaded: by id, chain, step, fold and dependence, once, and never without a word left out."""

from __future__ import annotations

import json
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.cross_decomposition import PLSRegression
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from artfs.registry import ArtifactLoader, ArtifactRegistry
from artfs.registry.errors import AmbiguousIdError, DependencyError, RecordError, UnknownArtifactError
from artfs.registry.serializers.errors import PickleWarning, UntrustedError, VersionMismatchError
from artstore.errors import InvalidInputError, NotFoundError
from fs.registry.registries import add, make_registry

CHAIN = "s1.MinMaxScaler>s3.PLSRegression"
X = np.random.default_rng(0).random((30, 4))
Y = X @ np.arange(4.0)


@pytest.fixture
def loader(registry: ArtifactRegistry) -> ArtifactLoader:
    """Return a loader of five fold models, what they share, and the models of another step."""
    add(registry, {"scale": 1}, "s1.MinMaxScaler")
    for fold in (4, 2, 0, 3, 1):
        add(registry, {"fold": fold}, CHAIN, fold_id=fold, custom_name=f"pls {fold}")
    add(registry, {"branch": 1}, "s4.Ridge[br=1]", branch_path=[1])
    return ArtifactLoader(registry.workspace, registry.dataset)


def test_by_id_and_chain(loader: ArtifactLoader, registry: ArtifactRegistry) -> None:
    ident = registry.generate_id(CHAIN, 3)
    assert loader.load_by_id(ident) == {"fold": 3}
    assert loader.load_by_chain(CHAIN, fold_id=2) == {"fold": 2}
    assert loader.load_by_artifact_id(ident) == ("pls 3_fold3", {"fold": 3})
    assert loader.load_by_id("0001:3:1") == {"fold": 1}
    assert [value for _, value in loader.load_by_chain_prefix("s1.MinMaxScaler")] != []
    assert len(loader.load_by_chain_prefix("s1.MinMaxScaler")) == 6
    assert loader.load_by_chain_prefix("s1.MinMax") == []


def test_by_step(loader: ArtifactLoader) -> None:
    assert [value for _, value in loader.load_for_step(3, fold_id=0)] == [{"fold": 0}]
    assert len(loader.load_for_step(3)) == 5
    assert loader.load_for_step(9) == []
    assert loader.load_for_step(4, branch_path=[0]) == []
    assert [value for _, value in loader.load_for_step(4, branch_path=[1, 0])] == [{"branch": 1}]
    assert loader.load_fold_models(3) == [(fold, {"fold": fold}) for fold in range(5)]
    assert loader.has_binaries_for_step(3) and not loader.has_binaries_for_step(2)
    assert not loader.has_binaries_for_step(4, branch_path=[2])


def test_fold_models_of_two_chains_are_not_mixed(loader: ArtifactLoader, registry: ArtifactRegistry) -> None:
    add(registry, 1, "s3.Ridge", fold_id=0)
    with pytest.raises(AmbiguousIdError):
        loader.load_fold_models(3)
    other = ArtifactRegistry(registry.workspace, registry.dataset, "0002_ridge")
    add(other, 2, "s1.MinMaxScaler")
    with pytest.raises(AmbiguousIdError):
        loader.load_for_step(1)
    assert len(loader.load_for_step(1, pipeline_id="0001")) == 1


def test_older_versions(loader: ArtifactLoader, registry: ArtifactRegistry) -> None:
    ident = add(registry, {"fold": "new"}, CHAIN, fold_id=0).artifact_id
    assert loader.load_by_id(ident) == {"fold": "new"}
    assert loader.load_by_id(ident, version=0) == {"fold": 0}
    with pytest.raises(KeyError):
        loader.load_by_id(ident, version=7)


def test_what_is_not_there(loader: ArtifactLoader, registry: ArtifactRegistry) -> None:
    for wrong in (
        lambda: loader.load_by_id("0001$ffffffffffff:0"),
        lambda: loader.load_by_id("nonsense"),
        lambda: loader.load_by_chain("s1.Absent"),
        lambda: loader.load_with_dependencies("0009:1:0"),
        lambda: loader.preload_artifacts(["0009:1:0"]),
        lambda: loader.load_estimator("0009"),
    ):
        with pytest.raises(UnknownArtifactError):
            wrong()
    with pytest.raises(InvalidInputError):
        loader.load_by_id(3)  # type: ignore[arg-type]
    assert loader.get_record("0001:9:0") is None
    assert loader.find_artifact_by_custom_name("pls 3").fold_id == 3  # type: ignore[union-attr]
    assert loader.find_artifact_by_custom_name("pls 9") is None
    assert len(loader.get_all_records()) == 7


def test_the_cache(loader: ArtifactLoader, registry: ArtifactRegistry) -> None:
    """Figures, preloading, emptying and resizing are those of the guide."""
    loader.load_fold_models(3)
    loader.load_fold_models(3)
    info = loader.get_cache_info()
    assert f"{info['hit_rate']:.2%}" == "50.00%"
    assert (info["cached_count"], info["hits"], info["misses"], info["total_artifacts"]) == (5, 5, 5, 7)
    assert info["artifacts_by_type"] == {"model": 7} and info["cached_bytes"] > 0
    assert loader.preload_artifacts(artifact_ids=["0001:3:0", "0001:3:1"]) == 0
    assert loader.preload_artifacts() == 2
    loader.clear_cache()
    assert loader.get_cache_info()["hit_rate"] == 0.0
    assert loader.preload_artifacts(artifact_types="encoder") == 0
    loader.set_cache_size(200)
    assert loader.get_cache_info()["max_size"] == 200
    with pytest.raises(ValueError, match="cache"):
        loader.set_cache_size(-1)
    with pytest.raises(ValueError, match="cache_size"):
        ArtifactLoader(registry.workspace, registry.dataset, cache_size=-1)
    none = ArtifactLoader(registry.workspace, registry.dataset, cache_size=0)
    assert none.load_by_id("0001:3:0") is not none.load_by_id("0001:3:0")


def test_objects_are_shared_or_ones_own(loader: ArtifactLoader) -> None:
    first = loader.load_by_id("0001:3:0")
    assert loader.load_by_chain(CHAIN, 0) is first
    assert loader.load_by_id("0001:3:0", copy=True) is not first
    assert loader.load_by_id("0001:3:0", copy=True) == first


def test_many_threads(loader: ArtifactLoader) -> None:
    """Eight threads that load everything load each once, and get the same objects."""
    found: list[list[Any]] = []

    def load() -> None:
        found.append([model for _, model in loader.load_fold_models(3)])

    threads = [threading.Thread(target=load) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and loader.get_cache_info()["misses"] == 5
    assert all(list(map(id, each)) == list(map(id, found[0])) for each in found)


def test_a_changed_artifact_is_not_the_cached_one(loader: ArtifactLoader, registry: ArtifactRegistry) -> None:
    loader.load_by_id("0001:3:0")
    add(registry, {"fold": "changed"}, CHAIN, fold_id=0)
    assert loader.load_by_id("0001:3:0") == {"fold": "changed"}


def test_each_change_is_seen_at_once(loader: ArtifactLoader, registry: ArtifactRegistry) -> None:
    """Records that were looked up are kept only while nothing changes, by any process."""
    other = ArtifactRegistry(registry.folder, registry.dataset, "0001_pls")
    ident = registry.generate_id(CHAIN, 0)
    short = ident[: ident.index("$") + 3] + ":0"
    for turn in range(3):
        add(other, {"turn": turn}, CHAIN, fold_id=0)
        assert loader.load_by_id(ident) == loader.load_by_id(short) == {"turn": turn}
    other.workspace.delete(f"{other.resolve(ident).ref.rpartition(':')[0]}:latest")  # type: ignore[union-attr]
    assert loader.load_by_id(ident) == {"turn": 1}
    made = [loader.load_by_id("0001:3:1")]
    add(make_registry(registry.folder.parent, pipeline="0001_other"), {"other": 1}, "s3.Other", fold_id=1)
    with pytest.raises(AmbiguousIdError):
        loader.load_by_id("0001:3:1")
    assert made == [{"fold": 1}]


# -- dependences -------------------------------------------------------------------------------------------------------


@pytest.fixture
def stacked(registry: ArtifactRegistry) -> tuple[ArtifactLoader, str, list[str]]:
    """Return a loader, the id of a meta-model, and those of its sources in two branches."""
    ids = [
        add(registry, {"base": branch}, f"s4.{name}[br={branch}]", branch_path=[branch]).artifact_id
        for branch, name in enumerate(("PLSRegression", "Forest"))
    ]
    meta = registry.register_meta_model(
        {"meta": 1}, "0001_pls$abc123:all", ids, chain="s4.PLSRegression[br=0]+s4.Forest[br=1]>s5.Ridge"
    )
    return ArtifactLoader(registry.workspace, registry.dataset), meta.artifact_id, ids


def test_a_meta_model_with_its_sources(stacked: tuple[ArtifactLoader, str, list[str]]) -> None:
    loader, meta, ids = stacked
    model, sources, columns = loader.load_meta_model_with_sources(meta)
    assert model == {"meta": 1}
    assert sources == [(ids[0], {"base": 0}), (ids[1], {"base": 1})]
    assert columns == loader.get_record(meta).meta_config.feature_columns  # type: ignore[union-attr]
    assert loader.load_meta_model_for_prediction(meta, X)[2] == columns
    assert list(loader.load_with_dependencies(meta)) == [*ids, meta]
    with pytest.raises(RecordError):
        loader.load_meta_model_with_sources(ids[0])


def test_sources_are_the_versions_that_it_was_made_from(
    stacked: tuple[ArtifactLoader, str, list[str]],
    registry: ArtifactRegistry,
) -> None:
    """Registering a source again changes nothing for what was made from it."""
    loader, meta, ids = stacked
    add(registry, {"base": "new"}, "s4.PLSRegression[br=0]", branch_path=[0])
    assert loader.load_by_id(ids[0]) == {"base": "new"}
    assert loader.load_meta_model_with_sources(meta)[1][0] == (ids[0], {"base": 0})
    assert loader.load_with_dependencies(meta)[ids[0]] == {"base": 0}


def test_sources_of_a_foreign_branch(registry: ArtifactRegistry) -> None:
    """A branch that the chain does not merge is refused, unless that is not to be checked."""
    source = add(registry, 1, "s4.A[br=1]", branch_path=[1]).artifact_id
    meta = registry.register_meta_model(2, None, [source], chain="s4.A[br=0]>s5.B[br=0]").artifact_id  # type: ignore[arg-type]
    loader = ArtifactLoader(registry.workspace, registry.dataset)
    with pytest.raises(DependencyError):
        loader.load_meta_model_with_sources(meta)
    assert loader.load_meta_model_with_sources(meta, validate_branch=False)[0] == 2


def test_a_pipeline_of_its_steps(registry: ArtifactRegistry) -> None:
    """What `register_estimator` took apart predicts the same to the bit."""
    fitted = make_pipeline(MinMaxScaler(), PLSRegression(2)).fit(X, Y)
    registry.register_estimator(fitted, fold_id=0)
    loader = ArtifactLoader(registry.workspace, registry.dataset)
    assert np.array_equal(loader.load_estimator("0001", 0).predict(X), fitted.predict(X))
    add(registry, 1, "s2.Other[br=1]", fold_id=0, branch_path=[1])
    with pytest.raises(DependencyError):
        loader.load_estimator("0001", 0)


# -- trust and versions ------------------------------------------------------------------------------------------------


def test_pickles_of_ones_own_and_of_others(registry: ArtifactRegistry, own_key: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PickleWarning)
        ident = add(registry, {1, 2}.union, "s1.Union").artifact_id
    loader = ArtifactLoader(registry.workspace, registry.dataset)
    assert loader.load_by_id(ident)([3]) == {1, 2, 3}
    own_key.unlink()  # another user
    other = ArtifactLoader(registry.workspace, registry.dataset)
    with pytest.raises(UntrustedError):
        other.load_by_id(ident)
    assert ArtifactLoader(registry.workspace, registry.dataset, trust=True).load_by_id(ident)([]) == {1, 2}


def test_versions_of_libraries(registry: ArtifactRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    """One warning for each library and loader; an error if that is asked for."""
    from artfs.registry.serializers import versions
    from artfs.registry.serializers.errors import VersionMismatchWarning

    idents = [add(registry, Ridge().fit(X, Y + fold), "s1.Ridge", fold_id=fold).artifact_id for fold in range(3)]
    real = versions.version_of
    monkeypatch.setattr(versions, "version_of", lambda name: "99.0" if name == "scikit-learn" else real(name))
    loader = ArtifactLoader(registry.workspace, registry.dataset)
    with pytest.warns(VersionMismatchWarning) as caught:
        for ident in idents:
            loader.load_by_id(ident)
    assert len(caught) == 1 and "99.0" in str(caught[0].message)
    with pytest.raises(VersionMismatchError):
        ArtifactLoader(registry.workspace, registry.dataset, on_mismatch="error").load_by_id(idents[0])


# -- manifests ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def manifest(loader: ArtifactLoader, registry: ArtifactRegistry) -> dict[str, Any]:
    """Return what went through JSON."""
    exported: dict[str, Any] = json.loads(json.dumps(registry.export_to_manifest()))
    return exported


@pytest.mark.parametrize("whole", [False, True])
def test_from_a_manifest(manifest: dict[str, Any], registry: ArtifactRegistry, whole: bool) -> None:
    """A whole manifest and its part are read, and ids mean what they mean in the registry."""
    given = {"dataset": "wheat", "artifacts": manifest} if whole else manifest
    results = registry.folder / "runs" / "wheat" / "0001_pls"
    loader = ArtifactLoader.from_manifest(given, results)
    assert loader.load_by_id("0001:3:2") == {"fold": 2}
    assert loader.load_by_id(registry.generate_id(CHAIN, 1)) == {"fold": 1}
    assert loader.load_by_chain(CHAIN, 4) == {"fold": 4}
    assert loader.load_fold_models(3) == [(fold, {"fold": fold}) for fold in range(5)]
    assert [value for _, value in loader.load_for_step(3, [0], fold_id=0)] == [{"fold": 0}]
    assert loader.get_cache_info()["total_artifacts"] == 7
    with pytest.raises(UnknownArtifactError):
        loader.load_by_id("0001:7:0")
    with pytest.raises(RecordError):
        ArtifactLoader.from_manifest({"artifacts": {}}, results)


def foreign(folder: Path, content: bytes, **values: Any) -> ArtifactLoader:
    """Return a loader of the original's manifest, with one payload in a file."""
    import hashlib

    results = folder / "runs" / "2026-01-01_wheat" / "0001_pls"
    results.mkdir(parents=True)
    binaries = folder / "binaries" / "wheat"
    binaries.mkdir(parents=True)
    (binaries / "model_1.pkl").write_bytes(content)
    item = {
        "artifact_id": "0001_pls:3:0",
        "artifact_type": "model",
        "content_hash": f"sha256:{hashlib.sha256(content).hexdigest()}",
        "path": "model_1.pkl",
        "format": "joblib",
        "step_index": 3,
        "fold_id": 0,
        **values,
    }
    options = {"trust": True} if values.pop("trust", False) else {}
    return ArtifactLoader.from_manifest({"dataset": "wheat", "artifacts": {"items": [item]}}, results, **options)


def test_a_workspace_of_the_original(tmp_path: Path) -> None:
    """It is readable as foreign: its pickles and joblib files need trust."""
    import io

    import joblib

    buffer = io.BytesIO()
    joblib.dump(MinMaxScaler().fit(X), buffer, compress=3)
    loader = foreign(tmp_path / "a", buffer.getvalue())
    assert loader.get_record("0001_pls:3:0") is not None
    with pytest.raises(UntrustedError):
        loader.load_by_id("0001_pls:3:0")
    loader = foreign(tmp_path / "b", buffer.getvalue(), trust=True)
    assert np.array_equal(loader.load_by_id("0001_pls:3:0").transform(X), MinMaxScaler().fit_transform(X))


@pytest.mark.parametrize("path", ["../../secret", "/etc/passwd", "", "a\0b", "absent.pkl", "link.pkl"])
def test_paths_in_manifests(tmp_path: Path, path: str) -> None:
    """A path that leads out, or through a link, is refused; a file that is gone is named."""
    loader = foreign(tmp_path, b"1", path=path, format="json", content_hash="")
    (tmp_path / "binaries" / "wheat" / "link.pkl").symlink_to("model_1.pkl")
    kind: type[Exception] = {"absent.pkl": NotFoundError, "link.pkl": PermissionError}.get(path, RecordError)
    with pytest.raises(kind):
        loader.load_by_id("0001_pls:3:0")


def test_a_foreign_payload_that_was_changed(tmp_path: Path) -> None:
    loader = foreign(tmp_path, b'{"a":1}', format="json")
    assert loader.load_by_id("0001_pls:3:0") == {"a": 1}
    (tmp_path / "binaries" / "wheat" / "model_1.pkl").write_bytes(b'{"a":2}')
    loader.clear_cache()
    with pytest.raises(OSError, match="digest"):
        loader.load_by_id("0001_pls:3:0")


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PickleWarning)
        yield
