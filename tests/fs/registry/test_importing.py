"""Importing: what a bundle has is there as it was, once, and nothing of it is trusted."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from artfs.registry import (
    ArtifactLoader,
    ArtifactRegistry,
    ChainConflictError,
    PickleWarning,
    UntrustedError,
)
from artfs.registry.importing import BundleImport
from artfs.registry.trust import vouch
from artstore.drafting.batches import VersionBatch
from artstore.errors import BusyError, NotFoundError
from artstore.storage.environment import Environment
from artstore.workspace import open_workspace
from fs.registry.registries import add, make_registry

TARGET = "target"


@pytest.fixture
def target(tmp_path: Path) -> Iterator[ArtifactRegistry]:
    """Return the registry of a workspace that does not exist yet, in which is imported."""
    made = ArtifactRegistry(tmp_path / TARGET, "wheat", "0001_pls")
    yield made
    if (opened := made._existing()) is not None:
        opened.close()
        Environment.of(opened.path).drop()


def stacked(registry: ArtifactRegistry) -> list[str]:
    """Register a scaler, two models made from it, and a meta-model of these; return their ids."""
    scaler = add(registry, [0], "s1.A")
    models = [add(registry, [1, n], fold_id=n, depends_on=[scaler.artifact_id], params={"n": n}) for n in range(2)]
    ids = [each.artifact_id for each in models]
    meta = registry.register_meta_model([2], None, ids, chain="s1.A>s4.M", metrics={"rmse": 0.5}, custom_name="x")
    return [scaler.artifact_id, *ids, meta.artifact_id]


def test_what_was_exported_is_there(registry: ArtifactRegistry, target: ArtifactRegistry, tmp_path: Path) -> None:
    """Ids, records, digests, libraries, dependences and what users added; by the mount's files and by every search."""
    ids = stacked(registry)
    first = registry.resolve(ids[0])
    assert first is not None
    registry.workspace.metadata.set(first.ref, {"note": "mine"})
    registry.workspace.describe(first.ref, "a scaler")
    registry.export_bundle(tmp_path / "b")
    imported = ArtifactRegistry.import_bundle(tmp_path / "b", tmp_path / TARGET)
    assert sorted(each.artifact_id for each in imported) == sorted(ids)
    for ident in ids:
        before, after = registry.resolve(ident), target.resolve(ident)
        assert before is not None and after is not None
        assert after.to_dict() == {**before.to_dict(), "created_at": after.created_at}
        assert after.libraries == before.libraries
        assert target.version_of(after).digest == registry.version_of(before).digest
        assert target.load_artifact(after) == registry.load_artifact(before)
        assert target.get_dependents(ident) == registry.get_dependents(ident)
        assert [each.ref for each in target.resolve_dependencies(ident)] == [
            each.ref for each in registry.resolve_dependencies(ident)
        ]
    assert target.version_of(first).metadata["note"] == "mine"
    assert target.version_of(first).description == registry.version_of(first).description
    assert [each.artifact_id for each in target.find(custom_name="x", metrics=["rmse<0.6"])] == ids[-1:]
    target.export_bundle(tmp_path / "c")
    assert (tmp_path / "b").read_bytes() == (tmp_path / "c").read_bytes()


def test_importing_again_makes_nothing(registry: ArtifactRegistry, target: ArtifactRegistry, tmp_path: Path) -> None:
    """Also into the workspace that it came from, and where only some are there."""
    ids = stacked(registry)
    registry.export_bundle(tmp_path / "b")
    registry.export_bundle(tmp_path / "some", ids=ids[:2])
    some = ArtifactRegistry.import_bundle(tmp_path / "some", tmp_path / TARGET)
    assert [each.created for each in BundleImport(tmp_path / "b", tmp_path / TARGET).plan()].count(False) == len(some)
    every = BundleImport(tmp_path / "b", tmp_path / TARGET).run()
    assert sum(each.created for each in every) == len(ids) - len(some)
    for place in (registry.folder, tmp_path / TARGET):
        before = open_workspace(place / ".artfs").usage().versions
        again = BundleImport(tmp_path / "b", place).run()
        assert not any(each.created for each in again) and [each.record.ref for each in again]
        assert open_workspace(place / ".artfs").usage().versions == before


def test_another_content_is_the_next_version(
    registry: ArtifactRegistry, target: ArtifactRegistry, tmp_path: Path
) -> None:
    """And what depends on the imported one is made from that, not from what has the id there."""
    ids = stacked(registry)
    registry.export_bundle(tmp_path / "b")
    mine = add(target, ["mine"], "s1.A")
    ArtifactRegistry.import_bundle(tmp_path / "b", tmp_path / TARGET)
    assert [each.ref for each in target.versions(ids[0])] == [mine.ref, mine.ref.replace(":v0", ":v1")]
    assert [each.ref for each in target.resolve_dependencies(ids[1])] == [mine.ref.replace(":v0", ":v1")]


def test_an_older_source_comes_too(registry: ArtifactRegistry, target: ArtifactRegistry, tmp_path: Path) -> None:
    """Several versions of one artifact keep their order, and the dependence is on the older one."""
    ids = stacked(registry)
    for again in (["b"], ["c"]):
        add(registry, again, "s1.A")
    assert len(registry.export_bundle(tmp_path / "b").versions) == 5
    ArtifactRegistry.import_bundle(tmp_path / "b", tmp_path / TARGET)
    assert [target.load_artifact(each) for each in target.versions(ids[0])] == [[0], ["c"]]
    assert [each.ref[-2:] for each in target.resolve_dependencies(ids[1])] == ["v0"]
    assert not any(each.created for each in BundleImport(tmp_path / "b", tmp_path / TARGET).run())


def test_a_record_that_came_back(registry: ArtifactRegistry, target: ArtifactRegistry, tmp_path: Path) -> None:
    """The latest version is the latest again, and stands once unless another is between."""
    for number, (value, name) in enumerate([("a", "one"), ("b", "two"), ("a", "three"), ("a", "four")]):
        ident = add(registry, [value], "s1.A").artifact_id
        if number < 2:
            add(registry, [name], f"s1.A>s2.{name.title()}", depends_on=[ident])
    registry.export_bundle(tmp_path / "b")
    ArtifactRegistry.import_bundle(tmp_path / "b", tmp_path / TARGET)
    values = [target.load_artifact(each) for each in target.versions(ident)]
    assert values == [["a"], ["b"], ["a"]]
    assert not any(each.created for each in BundleImport(tmp_path / "b", tmp_path / TARGET).run())
    registry.export_bundle(tmp_path / "c", ids=[registry.generate_id("s1.A>s2.One"), ident])
    assert not any(each.created for each in BundleImport(tmp_path / "c", tmp_path / TARGET).run())
    made = BundleImport(tmp_path / "c", tmp_path / "third").run()
    assert [each.record.ref[-2:] for each in made] == ["v0", "v0"]
    made = BundleImport(tmp_path / "b", tmp_path / "third").run()
    assert [each.created for each in made if each.record.artifact_id == ident] == [False, True, True]


def test_a_source_that_was_deleted_is_in_the_folder(
    registry: ArtifactRegistry, target: ArtifactRegistry, tmp_path: Path
) -> None:
    """A bundle without the sources' own versions has all that the dependants have."""
    ids = stacked(registry)
    versions = [record.ref for ident in ids[:3] if (record := registry.resolve(ident))]
    registry.workspace.delete(*versions, force=True, cascade="orphan")
    assert len(registry.export_bundle(tmp_path / "b").versions) == 1
    (meta,) = ArtifactRegistry.import_bundle(tmp_path / "b", tmp_path / TARGET)
    assert {each.artifact_id: target.load_artifact(each) for each in target.sources_of(target.version_of(meta))} == {
        ids[0]: [0],
        ids[1]: [1, 0],
        ids[2]: [1, 1],
    }
    # Something else that was made from one of them includes it from there.
    add(target, ["late"], "s1.A")
    assert target.export_bundle(tmp_path / "c", ids=[meta.artifact_id]).versions == [meta.ref]


def test_another_chain_is_refused(registry: ArtifactRegistry, target: ArtifactRegistry, tmp_path: Path) -> None:
    """The id is not taken over, and nothing else of the bundle is imported."""
    for each, chain in ((registry, "s1.A>s2.B"), (target, "s1.A>s2.C")):
        each.register([1], "0001_pls$abc:0", "model", chain_path=chain)
    add(registry, [5])
    registry.export_bundle(tmp_path / "b")
    for call in (
        BundleImport(tmp_path / "b", tmp_path / TARGET).plan,
        BundleImport(tmp_path / "b", tmp_path / TARGET).run,
    ):
        with pytest.raises(ChainConflictError, match=r"s1\.A>s2\.C"):
            call()
    assert len(target.get_all_records()) == 1


def test_a_pickle_is_foreign(
    registry: ArtifactRegistry, target: ArtifactRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one's own, until it is signed; as a source in a folder too."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PickleWarning)
        pickled = add(registry, {1}.union, "s1.U")
    made = add(registry, [1], depends_on=[pickled.artifact_id])
    assert registry.load_artifact(pickled)() == {1}
    registry.export_bundle(tmp_path / "b")
    monkeypatch.setenv("ARTFS_KEY_FILE", str(tmp_path / "other.key"))
    ArtifactRegistry.import_bundle(tmp_path / "b", tmp_path / TARGET)
    found = target.resolve(pickled.artifact_id)
    assert found is not None and found.mac is None
    for load in (
        lambda: target.load_artifact(found),
        lambda: ArtifactLoader(tmp_path / TARGET, "wheat").load_with_dependencies(made.artifact_id),
    ):
        with pytest.raises(UntrustedError):
            load()
    vouch(found.format, found.content_hash)
    assert target.load_artifact(found)() == {1}


def test_nothing_is_there_before_all_is(
    registry: ArtifactRegistry, target: ArtifactRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure at the last artifact leaves none, and the next import has all."""
    stacked(registry)
    registry.export_bundle(tmp_path / "b")
    add_one, count = VersionBatch.add, iter(range(4))

    def fails(self: VersionBatch, version: object) -> int:
        if next(count, 3) == 3:
            raise OSError("the disk is gone")
        return add_one(self, version)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(VersionBatch, "add", fails)
        with pytest.raises(OSError, match="gone"):
            ArtifactRegistry.import_bundle(tmp_path / "b", tmp_path / TARGET)
    assert target.get_all_records() == [] and target.workspace.usage().versions == 0
    assert len(ArtifactRegistry.import_bundle(tmp_path / "b", tmp_path / TARGET)) == 4


def test_a_killed_one_leaves_none(
    registry: ArtifactRegistry, target: ArtifactRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    stacked(registry)
    registry.export_bundle(tmp_path / "b")
    registry.workspace.close()
    if (pid := os.fork()) == 0:
        import_ = BundleImport(tmp_path / "b", tmp_path / TARGET)
        import_.run(lambda progress: os._exit(7) if (progress.phase, progress.files_done) == ("import", 4) else None)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    assert target.get_all_records() == []
    assert len(ArtifactRegistry.import_bundle(tmp_path / "b", tmp_path / TARGET)) == 4


def test_two_import_at_once(registry: ArtifactRegistry, target: ArtifactRegistry, tmp_path: Path) -> None:
    """Each has all of it at its end, and there is one version of each."""
    stacked(registry)
    registry.export_bundle(tmp_path / "b")
    registry.workspace.close()
    open_workspace(tmp_path / TARGET / ".artfs", create=True).close()
    children = []
    for _ in range(3):
        if (pid := os.fork()) == 0:
            os._exit(len(ArtifactRegistry.import_bundle(tmp_path / "b", tmp_path / TARGET)))
        children.append(pid)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [4, 4, 4]
    assert target.workspace.usage().versions == 4


def test_content_that_goes_meanwhile_is_staged_again(
    registry: ArtifactRegistry, target: ArtifactRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A source that is deleted at that moment is then imported; what fails each time is raised."""
    stacked(registry)
    registry.export_bundle(tmp_path / "b")
    commit, errors = VersionBatch.commit, [BusyError("reaped"), NotFoundError("deleted")]

    def fails(self: VersionBatch) -> object:
        if errors:
            raise errors.pop()
        return commit(self)

    monkeypatch.setattr(VersionBatch, "commit", fails)
    assert len(ArtifactRegistry.import_bundle(tmp_path / "b", tmp_path / TARGET)) == 4
    errors += [BusyError("reaped")] * 9
    with pytest.raises(BusyError):
        ArtifactRegistry.import_bundle(tmp_path / "b", tmp_path / "third")


def test_large_payloads(registry: ArtifactRegistry, target: ArtifactRegistry, tmp_path: Path) -> None:
    """A payload of several chunks goes through a temporary file, and is one content of two artifacts."""
    numpy = pytest.importorskip("numpy")
    array = numpy.arange(300_000)
    for fold in range(2):
        add(registry, array, fold_id=fold)
    receipt = registry.export_bundle(tmp_path / "b")
    assert receipt.contents == 3 and receipt.bytes < 1.1 * array.nbytes + 20_000
    for record in ArtifactRegistry.import_bundle(tmp_path / "b", tmp_path / TARGET):
        assert (target.load_artifact(record) == array).all()


@pytest.mark.parametrize(
    "options",
    [
        {"params": {"x": "\ud800", "\udc80": 1}, "custom_name": "\udcff"},
        {"params": {"x": "\0\x1b[31m\n"}, "custom_name": "a\0b"},
        {"params": {"x": 10**400, "y": -1.5e308, "z": float("inf")}},
        {"params": {f"p{number}": number for number in range(5_000)}},
        {"params": {"deep": [[[[[[[[[[1]]]]]]]]]]}, "branch_path": list(range(500))},
    ],
    ids=["surrogates", "control characters", "large numbers", "many", "nested"],
)
def test_odd_values_are_moved(
    registry: ArtifactRegistry, target: ArtifactRegistry, tmp_path: Path, options: dict[str, object]
) -> None:
    """Also a record of several chunks."""
    record = add(registry, [1], **options)
    made = add(registry, [2], "s1.A>s5.C", depends_on=[record.artifact_id])
    registry.export_bundle(tmp_path / "b")
    ArtifactRegistry.import_bundle(tmp_path / "b", tmp_path / TARGET)
    found = target.resolve(record.artifact_id)
    assert found is not None and (found.params, found.custom_name) == (record.params, record.custom_name)
    assert [each.ref for each in target.resolve_dependencies(made.artifact_id)] == [record.ref]
    target.export_bundle(tmp_path / "c")
    assert (tmp_path / "b").read_bytes() == (tmp_path / "c").read_bytes()


def test_a_bundle_is_read_without_artfs(registry: ArtifactRegistry, tmp_path: Path) -> None:
    """By tar: the folders are those of a mount."""
    stacked(registry)
    registry.export_bundle(tmp_path / "b")
    subprocess.run(["tar", "-C", tmp_path, "-xf", tmp_path / "b"], check=True)
    for record in registry.get_all_records():
        folder = tmp_path / "artfs-archive" / "versions" / record.path
        assert folder.read_bytes() == registry.open_payload(record).read()


PREDICTS = """
import pickle, sys
from artfs.registry import ArtifactLoader

place, ident, given, predicted = sys.argv[1:]
X = pickle.load(open(given, "rb"))
meta, sources, columns = ArtifactLoader(place, "wheat").load_meta_model_with_sources(ident, validate_branch=False)
import numpy as np
features = np.column_stack([model.predict(X) for _, model in sources])
pickle.dump((meta.predict(features), [name for name, _ in sources], columns), open(predicted, "wb"))
"""


def test_a_stack_predicts_the_same_elsewhere(
    registry: ArtifactRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five folds of three base models and a meta-model: from a bundle, in another process, under another key."""
    numpy = pytest.importorskip("numpy")
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import KFold
    from sklearn.tree import DecisionTreeRegressor

    random = numpy.random.default_rng(1)
    X, y = random.random((60, 4)), random.random(60)
    models, ids = [], []
    with registry.deferred():
        for step, kind in enumerate(
            (RandomForestRegressor(5, random_state=1), DecisionTreeRegressor(random_state=1), Ridge()), 2
        ):
            for fold, (train, _) in enumerate(KFold(5).split(X)):
                models.append(type(kind)(**kind.get_params()).fit(X[train], y[train]))
                chain = f"s1.KFold>s{step}.{type(kind).__name__}"
                ids.append(add(registry, models[-1], chain, fold_id=fold).artifact_id)
        features = numpy.column_stack([model.predict(X) for model in models])
        meta = Ridge().fit(features, y)
        record = registry.register_meta_model(meta, None, ids, chain="s1.KFold>s9.Ridge")
    receipt = registry.export_bundle(tmp_path / "b")
    assert len(receipt.versions) == 16 and receipt.files == 2 * 16 + 2 * 15 and receipt.contents == 2 * 16
    (tmp_path / "X").write_bytes(pickle.dumps(X))
    monkeypatch.setenv("ARTFS_KEY_FILE", str(tmp_path / "other.key"))
    ArtifactRegistry.import_bundle(tmp_path / "b", tmp_path / TARGET)
    files = (tmp_path / TARGET, record.artifact_id, tmp_path / "X", tmp_path / "y")
    subprocess.run([sys.executable, "-c", PREDICTS, *map(str, files)], check=True)
    predicted, names, columns = pickle.loads((tmp_path / "y").read_bytes())
    assert predicted.tobytes() == meta.predict(features).tobytes() and names == ids
    assert record.meta_config is not None and columns == record.meta_config.feature_columns
    assert not (tmp_path / "other.key").exists()  # nothing had to be signed


NAMES = "ABC"


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    made=st.lists(
        st.tuples(st.sampled_from(NAMES), st.integers(0, 2), st.sets(st.sampled_from(NAMES), max_size=2)), max_size=7
    )
)
def test_a_round_trip(made: list[tuple[str, int, set[str]]], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever depends on whatever, in whatever version: the latest are the latest; again, it makes nothing."""
    folder = tmp_path_factory.mktemp("trip")
    source, target = make_registry(folder / "a"), make_registry(folder / "b")
    for name, value, below in made:
        ids = [source.generate_id(f"s1.{each}") for each in sorted(below - {name})]
        present = [ident for ident in ids if source.resolve(ident)]
        chains = {ident: source.resolve_dependencies(ident) for ident in present}
        own = source.generate_id(f"s1.{name}")
        usable = [ident for ident, below in chains.items() if own not in [each.artifact_id for each in below]]
        add(source, [value], f"s1.{name}", depends_on=usable)
    records = source.get_all_records()
    if records:
        source.export_bundle(folder / "x")
        ArtifactRegistry.import_bundle(folder / "x", folder / "b" / "workspace")
        latest = [(each.artifact_id, each.content_hash, each.depends_on) for each in target.get_all_records()]
        assert latest == [(each.artifact_id, each.content_hash, each.depends_on) for each in records]
        for record in records:
            found = target.resolve(record.artifact_id)
            assert found is not None
            assert target.version_of(found).digest == source.version_of(record).digest
            assert len(target.resolve_dependencies(record.artifact_id)) == len(
                source.resolve_dependencies(record.artifact_id)
            )
        assert not any(each.created for each in BundleImport(folder / "x", folder / "b" / "workspace").run())
    for each in (source, target):
        if (opened := each._existing()) is not None:
            opened.close()
            Environment.of(opened.path).drop()
