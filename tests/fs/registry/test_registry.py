"""The registry's promises: ids, versions and folders on artfs; each defect of the original is a test here or beside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from artfs.registry import (
    AmbiguousIdError,
    ArtifactRecord,
    ArtifactRegistry,
    ArtifactType,
    ChainConflictError,
    MissingDependencyError,
    RecordError,
)
from artfs.registry.errors import ArtifactIdError
from artstore.errors import ArtfsError, InvalidInputError, InvalidNameError, NotFoundError, RefusedError
from artstore.repairing.rebuild import rebuild
from artstore.workspace import open_workspace
from fs.registry.registries import add, make_registry


def test_reading_makes_nothing(registry: ArtifactRegistry, tmp_path: Path) -> None:
    """Every question about a workspace that does not exist is answered, and the folder is not made."""
    assert registry.resolve("0001_pls$abc:0") is None and registry.versions("0001_pls$abc:0") == []
    assert registry.get_by_chain("s1.A") is None and registry.resolve_by_hash("blake3:00") is None
    assert registry.get_artifacts_for_step("0001", 3) == [] == registry.get_fold_models("0001", 3)
    assert registry.find(params={"a": 1}) == [] == registry.get_all_records() == registry.get_chain_prefix("s1.A")
    assert registry.find_orphaned_artifacts() == [] and registry.delete_orphaned_artifacts() == ([], 0)
    assert registry.delete_pipeline_artifacts("0001") == 0 and registry.purge_dataset_artifacts(confirm=True) == (0, 0)
    assert registry.get_stats()["deduplication_ratio"] == 0 and registry.export_to_manifest()["items"] == []
    assert registry.get_dependencies("0001_pls$abc:0") == [] == registry.get_dependents("0001_pls$abc:0")
    assert not (tmp_path / "workspace").exists()


def test_a_version_is_a_folder_with_its_record(registry: ArtifactRegistry) -> None:
    """The name follows from the id; the record has neither time nor host nor user, and the payload's digest."""
    record = add(registry, {"w": 1}, fold_id=2, params={"n": 10}, metrics={"rmse": 0.5}, custom_name="mine")
    assert record.artifact_id == registry.generate_id("s1.A>s3.B", 2) == f"0001_pls${record.chain_hash}:2"
    assert record.ref == f"runs/wheat/0001_pls/{record.chain_hash}/2:v0"
    assert record.path == f"runs/wheat/0001_pls/{record.chain_hash}/2/v0/payload.json"
    version = registry.version_of(record)
    assert sorted(info.name for info in version.listdir()) == ["payload.json", "record.json"]
    values = json.loads(version.read_bytes("record.json"))
    assert values["content_hash"] == f"blake3:{version.stat('payload.json').digest}"
    assert values["params"] == {"n": 10} and values["chain_path"] == "s1.A>s3.B" and values["payload"] == "payload.json"
    assert not {"created_at", "path", "ref", "artfs_version", "libraries", "mac"} & values.keys()
    assert os.uname().nodename not in json.dumps(values)
    assert registry.load_artifact(record) == {"w": 1}
    assert registry.resolve(record.artifact_id) == record
    with pytest.raises(InvalidInputError):
        registry.workspace.metadata.set(record.ref, {"artfs.id": "x"})


def test_registering_again_is_the_same_or_the_next_version(registry: ArtifactRegistry, tmp_path: Path) -> None:
    """Equal content and record make no version, in another process either; other parameters do, and stay apart."""
    first = add(registry, [1], params={"n": 1})
    assert add(make_registry(tmp_path), [1], params={"n": 1}) == first
    second = add(registry, [1], params={"n": 2})
    third = add(registry, [3], params={"n": 2})
    assert [record.ref.rpartition(":")[2] for record in (first, second, third)] == ["v0", "v1", "v2"]
    assert registry.versions(first.artifact_id) == [first, second, third]
    assert registry.resolve(first.artifact_id) == third
    assert registry.resolve(first.artifact_id, version=0) == first
    assert registry.resolve(first.artifact_id, version=9) is None
    assert [registry.load_artifact(record) for record in (first, third)] == [[1], [3]]
    with pytest.raises(InvalidInputError):
        registry.resolve(first.artifact_id, version=-1)


def test_folds_are_artifacts_of_their_own(registry: ArtifactRegistry) -> None:
    """Fold 0 stays when fold 1 comes, and what all folds share is neither."""
    records = [add(registry, [fold], fold_id=fold) for fold in (3, None, 0, 1)]
    assert [registry.load_artifact(record) for record in records] == [[3], [None], [0], [1]]
    assert registry.get_by_chain("s1.A>s3.B").fold_id is None  # type: ignore[union-attr]
    assert registry.get_by_chain("s1.A > s3.B", fold_id=0).fold_id == 0  # type: ignore[union-attr]
    assert registry.get_by_chain("s1.A>s3.B", fold_id=2) is None
    assert [record.fold_id for record in registry.get_fold_models("0001", 3)] == [0, 1, 3]
    assert [record.fold_id for record in registry.get_artifacts_for_step("0001", 3, fold_id=1)] == [None, 1]


def test_ids_may_be_abbreviated(registry: ArtifactRegistry, tmp_path: Path) -> None:
    """The beginning of a hash or pipeline will do if one artifact fits; an exact one wins; ids split at the last $."""
    record = add(registry, [1])
    start = record.chain_hash[:5]
    assert registry.resolve(f"0001_pls${start}:all") == registry.resolve(f"0001${record.chain_hash}:all") == record
    assert registry.resolve(f"0001${start}:0") is None and registry.resolve(f"000${start}:all") is None
    other = add(registry, [2], pipeline_id="0001_ridge")
    with pytest.raises(AmbiguousIdError) as caught:
        registry.resolve(f"0001${start}:all")
    assert caught.value.candidates == sorted([record.artifact_id, other.artifact_id])
    with pytest.raises(AmbiguousIdError):
        registry.get_artifacts_for_step("0001", 3)
    given = registry.register([3], f"0001_pls${start}:all", "model")
    assert registry.resolve(f"0001_pls${start}:all") == given
    odd = registry.register([4], "a$b$abc123:0", "model")
    assert odd.pipeline_id == "a$b" and registry.resolve("a$b$abc:0") == odd
    for wrong in ("", "nothing", "a:b", "$x:0", "../x$abc:0"):
        assert registry.resolve(wrong) is None
    with pytest.raises(ArtifactIdError):
        registry.resolve(3)  # type: ignore[arg-type]


def test_ids_of_the_older_form(registry: ArtifactRegistry) -> None:
    """They stay as given, and also mean what is registered at that step and fold."""
    older = registry.register([1], "0002:0:1:3:all", "transformer")
    assert (older.step_index, older.branch_path, older.fold_id, older.artifact_id) == (
        3,
        [0, 1],
        None,
        "0002:0:1:3:all",
    )
    assert older.ref == "runs/wheat/0002/0-1-3-all/all:v0" and registry.resolve("0002:0:1:3:all") == older
    assert registry.resolve("0002:3:all") == older and registry.resolve("0002:1:3:all") is None
    model = add(registry, [2], fold_id=0)
    assert registry.resolve("0001:3:0") == registry.resolve("0001_pls:3:0") == model
    add(registry, [3], "s1.A>s3.C", fold_id=0)
    with pytest.raises(AmbiguousIdError):
        registry.resolve("0001:3:0")


def test_one_id_has_one_chain_and_one_type(registry: ArtifactRegistry) -> None:
    """Another chain under the same id is refused, and so is another type; nothing is overwritten."""
    record = registry.register([1], "p$abc:0", "model", chain_path="s1.A>s3.B")
    with pytest.raises(ChainConflictError):
        registry.register([2], "p$abc:0", "model", chain_path="s1.A>s3.C")
    with pytest.raises(RefusedError):
        registry.register([2], "p$abc:0", ArtifactType.ENCODER, chain_path="s1.A>s3.B")
    assert registry.versions("p$abc:0") == [record]


def test_the_order_of_a_merge_and_unknown_qualifiers(registry: ArtifactRegistry) -> None:
    """Two chains are two artifacts; a chain that does not parse is none."""
    one = add(registry, [1], "s4.A[br=0]+s4.B[br=1]>s5.C")
    assert add(registry, [1], "s4.B[br=1]+s4.A[br=0]>s5.C").artifact_id != one.artifact_id
    with pytest.raises(ValueError, match="is not a chain"):
        add(registry, [1], "s4.A[branch=0]>s5.C")


BRANCHES = {"s1.A": [], "s2.B[br=0]": [0], "s2.B[br=1]": [1], "s3.C[br=0.0]": [0, 0], "s3.C[br=0.1]": [0, 1]}


@pytest.mark.parametrize(
    ("wanted", "found"),
    [([0, 1], [[], [0], [0, 1]]), ([1], [[], [1]]), ([], [[]]), ([0], [[], [0]]), (None, list(BRANCHES.values()))],
)
def test_one_rule_for_branches(registry: ArtifactRegistry, wanted: list[int] | None, found: list[list[int]]) -> None:
    """A branch finds what was made on it and before it, never siblings, wherever a branch is asked for."""
    for chain in BRANCHES:
        registry.register_with_chain([chain], chain, "model", 1)
    assert [record.branch_path for record in registry.get_artifacts_for_step("0001", 1, wanted)] == sorted(found)
    assert [record.branch_path for record in registry.find(branch_path=wanted)] == sorted(found)


def test_whole_nodes_are_compared(registry: ArtifactRegistry) -> None:
    """`s3.Ridge` is no beginning of `s3.RidgeCV`."""
    chains = ["s1.A>s3.Ridge", "s1.A>s3.RidgeCV", "s1.A>s3.Ridge>s4.Z", "s1.A>s3.Ridge+s3.B"]
    for chain in chains:
        add(registry, [chain], chain)
    assert [record.chain_path for record in registry.get_chain_prefix("s1.A>s3.Ridge")] == [chains[0], chains[2]]
    assert len(registry.get_chain_prefix("s1.A")) == 4 and registry.get_chain_prefix("s1.AB") == []


def test_finding(registry: ArtifactRegistry, tmp_path: Path) -> None:
    """Parameters, metrics, names, classes and data are found, by the latest versions of this data set."""
    for fold in range(3):
        add(registry, [fold], fold_id=fold, params={"n": 10, "deep": {"x": None}}, metrics={"rmse": fold / 10})
    add(registry, {"other": 1}, "s1.A>s3.C", params={"n": 11}, custom_name="best", input_data_hash="d1")
    add(make_registry(tmp_path, "wheat_2"), [0], params={"n": 10})
    add(registry, [0], fold_id=0, params={"n": 12})
    assert [record.fold_id for record in registry.find(params={"n": 10})] == [1, 2]
    assert [record.fold_id for record in registry.find(params={"n": 10}, fold_id=2)] == [2]
    assert len(registry.find(params={"deep": {"x": None}})) == 2 and registry.find(params={"n": "x"}) == []
    assert [record.fold_id for record in registry.find(metrics="rmse<0.15")] == [1]
    assert len(registry.find(params=["n>=10"], limit=2, pipeline_id="0001")) == 2
    assert registry.find(custom_name="best")[0].class_name == "dict" and len(registry.find(class_name="list")) == 3
    assert registry.find(artifact_type="encoder") == [] == registry.find(pipeline_id="0009")
    assert registry.get_by_chain_and_data("s1.A>s3.C", "d1").custom_name == "best"  # type: ignore[union-attr]
    assert registry.get_by_chain_and_data("s1.A>s3.C", "d2") is None
    assert registry.get_by_chain_and_data("s1.A>s3.C", "d1", fold_id=1) is None
    digest = registry.get_by_chain("s1.A>s3.C").content_hash  # type: ignore[union-attr]
    assert registry.resolve_by_hash(digest) == registry.resolve_by_hash(digest.partition(":")[2]) != None  # noqa: E711
    assert len(registry.get_all_records()) == 4


def test_a_memo_outlives_its_process(registry: ArtifactRegistry, tmp_path: Path) -> None:
    """What another process registered is found by chain, data and fold."""
    code = (
        "import sys; from artfs.registry import ArtifactRegistry\n"
        "r = ArtifactRegistry(sys.argv[1], 'wheat', '0001_pls')\n"
        "for fold in (0, 1):\n"
        "    r.register_with_chain([fold], 's1.A>s3.B', 'model', 3, fold_id=fold, input_data_hash='d')\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "workspace")], check=True)
    assert [registry.get_by_chain_and_data("s1.A>s3.B", "d", fold).fold_id for fold in (0, 1)] == [0, 1]  # type: ignore[union-attr]


def test_the_memo_knows_earlier_data(registry: ArtifactRegistry) -> None:
    """Data that were used before others are found again: the latest version of those that were made from them."""
    for value, data in ((1, "d1"), (2, "d1"), (3, "d2"), (4, None)):
        registry.register_with_chain(value, "s1.A>s3.M", "model", 3, fold_id=0, input_data_hash=data)
    found = [registry.get_by_chain_and_data("s1.A>s3.M", data, 0) for data in ("d1", "d2")]
    assert [registry.load_artifact(each) for each in found if each is not None] == [2, 3]
    assert registry.get_by_chain_and_data("s1.A>s3.M", "d3", 0) is None
    (first, *_) = registry.versions(registry.get_by_chain("s1.A>s3.M", 0).artifact_id)  # type: ignore[union-attr]
    assert registry.resolve_by_hash(first.content_hash) == first
    assert registry.get_by_chain_and_data("s1.A>s3.M", "d1", 1) is None


def test_folds_are_compared(registry: ArtifactRegistry) -> None:
    """One row a fold, mean and deviation of numbers; models of two chains are not to be averaged."""
    for fold, rmse in enumerate([0.2, 0.4]):
        add(registry, [fold], fold_id=fold, metrics={"rmse": rmse, "note": "x"})
    compared = registry.compare_folds("0001", 3)
    assert [row["fold_id"] for row in compared["folds"]] == [0, 1]
    assert compared["mean"] == {"rmse": pytest.approx(0.3)} and compared["std"]["rmse"] == pytest.approx(
        0.1414, abs=1e-4
    )
    add(registry, [9], "s1.A>s3.C", fold_id=0)
    with pytest.raises(AmbiguousIdError):
        registry.get_fold_models("0001", 3)


def test_where_the_workspace_is(tmp_path: Path) -> None:
    """A workspace, its folder, or any folder; every registry sees what others registered."""
    registry = ArtifactRegistry(tmp_path / "w", "wheat", "p")
    record = add(registry, [1])
    assert (tmp_path / "w" / ".artfs").is_dir()
    workspace = open_workspace(tmp_path / "w" / ".artfs")
    for place in (workspace, workspace.path, str(workspace.path), str(tmp_path / "w")):
        other = ArtifactRegistry(place, "wheat", "p")
        assert other.resolve(record.artifact_id) == record
    assert ArtifactRegistry(workspace, "barley").resolve(record.artifact_id) is None


@pytest.mark.parametrize("name", ["", "a/b", ".x", "v1", "latest", "best_predictions", "x:y", None])
def test_ids_that_cannot_be_names(name: str, tmp_path: Path) -> None:
    """Neither a data set nor a pipeline gets a name that artfs or a view needs."""
    with pytest.raises(InvalidNameError):
        ArtifactRegistry(tmp_path, name)
    registry = ArtifactRegistry(tmp_path, "wheat")
    if name not in ("best_predictions", "", None):
        with pytest.raises(ValueError):
            add(registry, [1], pipeline_id=name)
        assert not (tmp_path / ".artfs").exists() or registry.workspace.artifacts() == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"artifact_type": "nothing"},
        {"depends_on": ["0001_pls$000000000000:0"]},
        {"params": [1]},
        {"params": {1: 2}},
        {"custom_name": 3},
        {"branch_path": [-1]},
        {"branch_path": "0"},
        {"source_index": -1},
        {"input_data_hash": 1},
        {"meta_config": {}},
        {"format_hint": "nothing"},
        {"step_index": "3"},
    ],
)
def test_wrong_values_are_one_clear_error(registry: ArtifactRegistry, wrong: dict[str, object]) -> None:
    """A ValueError that is an ArtfsError, and nothing is registered."""
    given: dict[str, object] = {"artifact_type": "model", "step_index": 3, **wrong}
    with pytest.raises(ArtfsError) as caught:
        registry.register_with_chain([1], "s1.A>s3.B", **given)  # type: ignore[arg-type]
    assert isinstance(caught.value, ValueError)
    assert registry.get_all_records() == []
    if "depends_on" in wrong:
        assert isinstance(caught.value, MissingDependencyError)


def test_a_pipeline_is_needed(tmp_path: Path) -> None:
    """Without one in the registry, the call or the chain there is no id."""
    with pytest.raises(InvalidInputError, match="needs a pipeline"):
        add(ArtifactRegistry(tmp_path, "wheat"), [1])


def test_a_payload_that_is_gone(registry: ArtifactRegistry) -> None:
    """It is a FileNotFoundError, not a shorter list."""
    record = add(registry, [1])
    registry.workspace.delete(record.ref)
    with pytest.raises(NotFoundError) as caught:
        registry.load_artifact(record)
    assert isinstance(caught.value, FileNotFoundError)


def test_the_index_is_recounted_and_rebuilt(registry: ArtifactRegistry) -> None:
    """Deleting and undeleting keep it; after a rebuild everything is found as before."""
    source = add(registry, [1], params={"n": 1})
    meta = registry.register_meta_model([2], None, [source.artifact_id], chain="s3.B>s5.C")
    add(registry, [1], params={"n": 2})
    gone = add(registry, [3], fold_id=4)
    registry.workspace.delete(gone.ref)
    assert registry.get_by_chain("s1.A>s3.B", 4) is None
    registry.workspace.undelete(gone.ref)
    before = registry.get_all_records(), registry.resolve_dependencies(meta.artifact_id), registry.get_stats()
    assert registry.workspace.fsck().clean
    path = registry.workspace.path
    registry.workspace.close()
    rebuild(path)
    after = registry.get_all_records(), registry.resolve_dependencies(meta.artifact_id), registry.get_stats()
    assert after == before and registry.find(params={"n": 2}) != [] and registry.find(params={"n": 1}) == []
    assert registry.workspace.fsck(data=True).clean


def test_records_refuse_what_is_none() -> None:
    """No id or type is made up."""
    for values in (
        {},
        {"artifact_id": "p$a:0"},
        {"artifact_type": "model"},
        {"artifact_id": "x", "artifact_type": "y"},
    ):
        with pytest.raises(RecordError):
            ArtifactRecord.from_dict(values)


def test_numbers_of_numpy_are_numbers(registry: ArtifactRegistry) -> None:
    """Folds, steps and branches often come from arrays; they name and find the same artifacts."""
    import numpy as np

    zero, three = np.int64(0), np.arange(4)[3]
    given = {"fold_id": zero, "branch_path": np.arange(2), "params": {"n": three}, "metrics": {"rmse": np.float32(0.5)}}
    record = registry.register_with_chain([1], "s1.A>s3.B", "model", three, **given)  # type: ignore[arg-type]
    assert record == registry.register_with_chain(
        [1], "s1.A>s3.B", "model", 3, [0, 1], None, 0, params={"n": 3}, metrics={"rmse": 0.5}
    )
    assert registry.get_by_chain("s1.A>s3.B", zero) == registry.find(fold_id=zero, step_index=three)[0] == record
    assert registry.get_artifacts_for_step("0001", three, [0, 1], zero) == [record]
    assert registry.resolve(record.artifact_id, version=zero) == record
    for wrong in (True, 0.0, "0", -1):
        with pytest.raises(InvalidInputError):
            registry.get_by_chain("s1.A>s3.B", wrong)  # type: ignore[arg-type]


def test_texts_and_numbers_that_no_name_has(registry: ArtifactRegistry) -> None:
    """Half of a surrogate pair finds nothing, and a number of thousands of digits is refused."""
    record = add(registry, 1)
    assert registry.resolve("\ud800$abc:0") is None and registry.find(pipeline_id="\ud800") == []
    assert registry.delete_pipeline_artifacts("\ud800") == 0
    for number in (10**5000, 1 << 63, -1):
        with pytest.raises(InvalidInputError, match="a version must be a whole number"):
            registry.resolve(record.artifact_id, version=number)
