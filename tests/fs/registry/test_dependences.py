"""What artifacts were made from: pinned versions, whole folders, and nothing deleted under a dependant."""

from __future__ import annotations

import json

import pytest

from artfs.registry import ArtifactRegistry, ArtifactType, DependencyError, MetaModelConfig, MissingDependencyError
from artfs.registry.dependences import DEEPEST
from artstore.errors import InvalidInputError, RefusedError
from fs.registry.registries import add

MERGE = "s4.A[br=0]+s4.B[br=1]>s5.Ridge"


def stack(registry: ArtifactRegistry) -> tuple[list[str], str]:
    """Register two models on branches, made from one scaler, and a meta-model."""
    scaler = registry.register_with_chain(["scale"], "s1.S", "transformer", 1).artifact_id
    bases = [
        add(registry, [branch], f"s1.S>s4.{name}[br={branch}]", depends_on=[scaler]).artifact_id
        for branch, name in enumerate("AB")
    ]
    return [scaler, *bases], registry.register_meta_model(["meta"], None, bases, chain=MERGE).artifact_id


def test_a_meta_model_has_step_branch_and_columns(registry: ArtifactRegistry) -> None:
    """They are those of its chain; columns are distinct where two sources have one class."""
    (_, *bases), meta = stack(registry)
    record = registry.resolve(meta)
    assert record is not None and record.meta_config is not None
    assert (record.step_index, record.branch_path, record.chain_path) == (5, [], MERGE)
    assert record.artifact_type is ArtifactType.META_MODEL and record.is_meta_model
    assert record.meta_config.feature_columns == ["list_pred_0", "list_pred_1"]
    assert record.meta_config.source_ids == record.depends_on == bases
    given = registry.register_meta_model([0], "0001_pls$abc:all", bases[::-1], ["x", "y"], chain=MERGE)
    assert given.meta_config == MetaModelConfig(
        [{"artifact_id": ident, "feature_index": place} for place, ident in enumerate(bases[::-1])], ["x", "y"]
    )
    with pytest.raises(InvalidInputError, match="1 feature columns were given for 2 sources"):
        registry.register_meta_model([0], "0001_pls$abd:all", bases, ["x"])
    with pytest.raises(InvalidInputError, match="an id or a chain"):
        registry.register_meta_model([0], None, bases)


def test_the_folder_is_whole(registry: ArtifactRegistry) -> None:
    """Everything that it was made from is in it, each once, with its record; nothing is copied."""
    (scaler, *bases), meta = stack(registry)
    record = registry.resolve(meta)
    assert record is not None
    version = registry.version_of(record)
    found = [json.loads(version.read_bytes(f"sources/{place}/record.json"))["artifact_id"] for place in range(3)]
    assert found == [*bases, scaler] == [each["artifact_id"] for each in record.sources]
    assert [info.name for info in version.listdir("sources")] == ["0", "1", "2"]
    for place, ident in enumerate(found):
        source = registry.resolve(ident)
        assert source is not None
        assert version.stat(f"sources/{place}/payload.json").digest == source.content_hash.partition(":")[2]
        assert sorted(info.name for info in version.listdir(f"sources/{place}")) == ["payload.json", "record.json"]
    assert [each.artifact_id for each in registry.resolve_dependencies(meta)] == [scaler, *bases]
    assert registry.get_dependencies(meta) == bases and registry.get_dependents(scaler) == bases
    assert registry.get_dependents(bases[0]) == [meta] and registry.get_dependents(meta) == []
    assert registry.resolve_dependencies(scaler) == []


def test_a_dependence_is_on_a_version(registry: ArtifactRegistry) -> None:
    """Registering a source again changes nothing for what was made from it."""
    (_, base, _), meta = stack(registry)
    before = registry.resolve_dependencies(meta)
    again = add(registry, ["other"], "s1.S>s4.A[br=0]")
    assert again.ref.endswith(":v1") and registry.resolve_dependencies(meta) == before
    assert [registry.load_artifact(record) for record in before] == [["scale"], [0], [1]]
    assert registry.get_dependents(base) == [meta]
    newer = registry.register_meta_model(["meta"], None, registry.get_dependencies(meta), chain=MERGE)
    assert newer.ref.endswith(":v1")
    assert [registry.load_artifact(record) for record in registry.resolve_dependencies(meta)] == [
        ["other"],
        ["scale"],
        [1],
    ]


def test_what_others_need_is_not_deleted(registry: ArtifactRegistry) -> None:
    """It is refused by name; without its sources, a meta-model is still whole, and so is what it loads."""
    (scaler, *bases), meta = stack(registry)
    refs = [registry.resolve(ident).ref for ident in (scaler, *bases)]  # type: ignore[union-attr]
    for ref in refs:
        with pytest.raises(RefusedError, match="includes"):
            registry.workspace.delete(ref)
    with pytest.raises(RefusedError):
        registry.workspace.delete(*refs)
    registry.workspace.delete(*refs, cascade="orphan")
    registry.workspace.gc(now=True)
    found = registry.resolve_dependencies(meta)
    assert [record.artifact_id for record in found] == [scaler, *bases]
    assert [registry.load_artifact(record) for record in found] == [["scale"], [0], [1]]
    assert registry.workspace.fsck(data=True).clean


def test_a_cascade_takes_what_was_made_from_it(registry: ArtifactRegistry) -> None:
    """`delete --cascade` knows the dependence without being taught."""
    (scaler, *_), _ = stack(registry)
    registry.workspace.delete(registry.resolve(scaler).ref, cascade="delete")  # type: ignore[union-attr]
    assert registry.get_all_records() == []


def test_unknown_sources_are_refused_for_every_type(registry: ArtifactRegistry) -> None:
    """All of them are named, and nothing is registered."""
    for kind in ArtifactType:
        with pytest.raises(MissingDependencyError) as caught:
            registry.register_with_chain([1], "s1.A", kind, 1, depends_on=["p$aaa:0", "p$bbb:0"])
        assert "p$aaa:0" in str(caught.value) and "p$bbb:0" in str(caught.value)
    config = MetaModelConfig([{"artifact_id": "p$ccc:0", "feature_index": 0}], ["x"])
    with pytest.raises(MissingDependencyError):
        registry.register_with_chain([1], "s1.A", "meta_model", 1, meta_config=config)
    assert registry.get_all_records() == []


def test_cycles_and_depth_are_errors(registry: ArtifactRegistry) -> None:
    """An artifact is not made from itself, and at most a hundred are made from one another."""
    first = add(registry, [0], "s1.A").artifact_id
    last = add(registry, [0], "s1.B", depends_on=[first]).artifact_id
    for source in (first, last):
        with pytest.raises(DependencyError):
            add(registry, [1], "s1.A", depends_on=[source])
    with registry.deferred():
        for number in range(2, DEEPEST + 1):
            last = add(registry, [number], f"s{number}.C", depends_on=[last]).artifact_id
        with pytest.raises(DependencyError, match="100 artifacts"):
            add(registry, [1], "s200.C", depends_on=[last])
    assert len(registry.resolve_dependencies(last)) == DEEPEST
    with pytest.raises(DependencyError):
        add(registry, [1], "s200.C", depends_on=[last])


@pytest.mark.filterwarnings("ignore::artfs.registry.PickleWarning")
def test_estimators_are_registered_step_by_step(registry: ArtifactRegistry) -> None:
    """Each operator has its chain and what it was made from; what merges models is a meta-model."""
    import numpy as np
    from sklearn.ensemble import StackingRegressor
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler
    from sklearn.tree import DecisionTreeRegressor

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 3)), rng.normal(size=30)
    trees = make_pipeline(MinMaxScaler(), DecisionTreeRegressor(max_depth=2))
    stacked = make_pipeline(MinMaxScaler(), StackingRegressor([("t", trees), ("r", Ridge())], Ridge(alpha=2.0), cv=2))
    records = registry.register_estimator(stacked.fit(x, y), fold_id=1)
    assert [record.chain_path for record in records] == [
        "s1.MinMaxScaler",
        "s1.MinMaxScaler>s2.MinMaxScaler[br=0]",
        "s1.MinMaxScaler>s2.MinMaxScaler[br=0]>s3.DecisionTreeRegressor[br=0]",
        "s1.MinMaxScaler>s3.Ridge[br=1]",
        "s1.MinMaxScaler>s2.MinMaxScaler[br=0]>s3.DecisionTreeRegressor[br=0]+s3.Ridge[br=1]>s4.Ridge",
    ]
    assert [str(record.artifact_type) for record in records] == [
        *("transformer", "transformer", "model", "model", "meta_model")
    ]
    assert [[r.step_index for r in records if r.artifact_id in each.depends_on] for each in records] == [
        *([], [1], [2], [1], [3, 3])
    ]
    assert records[-1].params["alpha"] == 2.0 and {record.fold_id for record in records} == {1}
    assert registry.resolve_dependencies(records[-1].artifact_id) == [records[0], records[1], records[2], records[3]]
