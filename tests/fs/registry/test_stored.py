"""Records as metadata: what is searched, what is not, and versions that have each detail as a key of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from artfs.registry import ArtifactRegistry
from artfs.registry.records import ArtifactRecord, record_json
from artfs.registry.stored import DEPTH, metadata_of, record_of, unpacked, unsigned
from artstore.changes.committing import Commit
from artstore.drafting.batches import NewVersion
from artstore.records.tables import Table
from artstore.records.terms import terms_of
from artstore.storage import manifest
from fs.registry.registries import add, make_registry

PARAMS = {"n_components": 3, "scale": True}


def _as_before(registry: ArtifactRegistry, record: ArtifactRecord) -> None:
    """Make the version that an earlier artfs made of a record, for fold 7."""
    payload = registry.open_payload(record).read()
    name = record.ref.partition(":")[0].replace("/all", "/7")
    record = replace(record, artifact_id=record.artifact_id.replace(":all", ":7"), fold_id=7)
    metadata = unpacked(metadata_of(record, "payload.json"))
    assert metadata["artfs.format"] == "json" and "artfs.details" not in metadata
    files: dict[bytes, bytes | Path] = {b"record.json": record_json(record, "payload.json"), b"payload.json": payload}
    with registry.workspace.drafts.batch(name) as batch:
        batch.add(NewVersion(replace(Commit.checked(name, type="model"), metadata=metadata), files))
        batch.commit()


def test_earlier_versions_are_found_loaded_exported_and_not_made_again(
    registry: ArtifactRegistry, tmp_path: Path
) -> None:
    """Their records are equal to those of new versions in all but the fold."""
    record = add(registry, [1, 2], params=PARAMS)
    _as_before(registry, record)
    former = registry.resolve(record.artifact_id.replace(":all", ":7"))
    assert former is not None and registry.load_artifact(former) == [1, 2]
    assert {**former.to_dict(), "artifact_id": record.artifact_id, "fold_id": None, "path": "", "ref": ""} == {
        **record.to_dict(),
        "created_at": former.created_at,
        "path": "",
        "ref": "",
    }
    assert registry.find(params=PARAMS) == registry.get_all_records() == [record, former]
    assert registry.get_stats()["total_artifacts"] == 2
    assert add(registry, [1, 2], params=PARAMS, fold_id=7) == former and len(registry.versions(former.artifact_id)) == 1
    registry.export_bundle(tmp_path / "both.tar")
    imported = ArtifactRegistry.import_bundle(tmp_path / "both.tar", tmp_path / "elsewhere")
    assert {each.artifact_id for each in imported} == {record.artifact_id, former.artifact_id}
    assert registry.workspace.fsck(data=True).clean


def test_details_are_one_term(registry: ArtifactRegistry) -> None:
    """The index has what is searched, and one row for all the rest."""
    version = registry.version_of(add(registry, {"a": 1}, params=PARAMS, metrics={"rmse": 0.5}, custom_name="best"))
    paths = [key[1:].partition(b"\0\0")[0].decode() for key in terms_of(version.record) if key[:1] == b"m"]
    searched = ("id", "dataset", "pipeline", "chain", "class", "content", "name", "type", "step", "fold", "size")
    parameters = ("params", "params.n_components", "params.scale", "metrics", "metrics.rmse")
    assert sorted(paths) == sorted(f"artfs.{each}" for each in (*searched, *parameters, "details"))


def test_a_signature_is_left_out_of_both_forms() -> None:
    """Nothing else changes."""
    record = ArtifactRecord("0001$000000000000:all", format="cloudpickle", mac="00", pipeline_id="0001")
    metadata = metadata_of(record, "payload.pickle")
    for form in (metadata, unpacked(metadata)):
        assert unpacked(unsigned({**form, DEPTH: 1, "artfs.macs": {"0": "1"}})) == {
            key: value for key, value in {**unpacked(metadata), DEPTH: 1}.items() if key != "artfs.mac"
        }
    assert ("artfs.details" in unsigned(metadata)) is True and "artfs.details" not in unsigned(unpacked(metadata))


def test_bytes_for_an_artifact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What 1,000 small artifacts take in the tables, the journal and the packs beyond their payloads."""
    monkeypatch.setattr("sys.argv", ["artfs"])  # their origin has the command line
    registry = make_registry(tmp_path)
    with registry.deferred():
        for number in range(1000):
            chain = f"s1.MinMaxScaler>s2.Detrend[br={number}]>s3.PLSRegression[br={number}]"
            add(registry, [number], chain, params={"n_components": number // 10, "scale": True}, branch_path=[number])
    path = registry.workspace.path
    with manifest.read(path) as transaction:
        used = [transaction.raw.stat(transaction.handles[table]) for table in Table]
    pages = sum(each["branch_pages"] + each["leaf_pages"] + each["overflow_pages"] for each in used)
    files = [file for name in ("journal", "packs") for file in (path / name).iterdir()]
    assert (4096 * pages + sum(file.stat().st_size for file in files)) / 1000 < 6200  # 8,000 with a term for each value
    assert all(record_of(version).params["scale"] for version in registry.workspace.find(metadata={"artfs.step": 3}))
