"""Manifests: what is exported is read back, and the original's files are foreign."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from artfs.registry import ArtifactRegistry, DependencyError, RecordError
from artfs.registry.manifests import items_of
from artstore.errors import DamageError, NotFoundError
from fs.registry.registries import add, make_registry


def test_an_export_is_read_by_import(registry: ArtifactRegistry, tmp_path: Path) -> None:
    """Through JSON, into another workspace, from the payloads of a mount's layout; sources come first."""
    base = add(registry, [1], params={"n": 1}, custom_name="x")
    meta = registry.register_meta_model([2], "0001_pls$abc:all", [base.artifact_id], chain="s3.B>s5.C")
    add(registry, [3], pipeline_id="other")
    manifest = json.loads(json.dumps(registry.export_to_manifest()))
    assert [item["artifact_id"] for item in manifest["items"]] == [base.artifact_id, meta.artifact_id]
    assert len(registry.export_to_manifest("other")["items"]) == 1
    results = tmp_path / "results"
    for record in (base, meta):
        file = results / record.path
        file.parent.mkdir(parents=True)
        file.write_bytes(registry.open_payload(record).read())
    manifest["items"].reverse()
    there = make_registry(tmp_path / "there")
    imported = there.import_from_manifest({"artifacts": manifest, "name": "run"}, results)
    assert [record.artifact_id for record in imported] == [base.artifact_id, meta.artifact_id]
    assert [there.load_artifact(record) for record in imported] == [[1], [2]]
    assert [each.artifact_id for each in there.resolve_dependencies(meta.artifact_id)] == [base.artifact_id]
    assert there.resolve(base.artifact_id).params == {"n": 1}  # type: ignore[union-attr]
    assert there.import_from_manifest(manifest) == imported


def item(folder: Path, data: bytes, **changes: object) -> dict[str, Any]:
    (folder / "_binaries").mkdir(parents=True, exist_ok=True)
    (folder / "_binaries" / "model_1.json").write_bytes(data)
    values = {
        "artifact_id": "0001:3:0",
        "artifact_type": "model",
        "path": "model_1.json",
        "content_hash": f"sha256:{hashlib.sha256(data).hexdigest()}",
        "format": "json",
        "nirs4all_version": "0.6",
    }
    return {**values, **changes}


def test_the_originals_manifest_is_read(registry: ArtifactRegistry, tmp_path: Path) -> None:
    """Its payload is checked by SHA-256, and its id stays as it is."""
    (record,) = registry.import_from_manifest({"artifacts": {"items": [item(tmp_path, b"[1]")]}}, tmp_path)
    assert registry.load_artifact(record) == [1] and record.artifact_id == "0001:3:0"
    assert record.content_hash.startswith("blake3:") and record.mac is None


@pytest.mark.parametrize("manifest", [None, 3, {}, {"items": 3}, {"artifacts": {}}, [1], {"artifacts": [1]}, "x"])
def test_what_is_no_manifest_is_refused(registry: ArtifactRegistry, manifest: Any) -> None:
    """It is not read as an empty one."""
    with pytest.raises(RecordError):
        items_of(manifest)
    with pytest.raises(RecordError):
        registry.import_from_manifest(manifest)


def test_hostile_and_damaged_manifests(registry: ArtifactRegistry, tmp_path: Path) -> None:
    """A path leads nowhere else, a digest must fit, a missing payload is missing, and cycles are errors."""
    folder = tmp_path / "run"
    good = item(folder, b"[1]")
    (tmp_path / "secret.json").write_text("[2]")
    (folder / "link.json").symlink_to(tmp_path / "secret.json")
    cases: list[tuple[type[Exception], dict[str, Any]]] = [
        (RecordError, {"path": "../secret.json"}),
        (RecordError, {"path": str(tmp_path / "secret.json")}),
        (RecordError, {"path": ""}),
        (NotFoundError, {"path": "link.json"}),
        (NotFoundError, {"path": "gone.json"}),
        (DamageError, {"content_hash": "sha256:00"}),
        (DamageError, {"content_hash": "blake3:00"}),
        (ValueError, {"content_hash": "md5:00"}),
        (RecordError, {"artifact_type": "virus"}),
        (ValueError, {"artifact_id": "nothing"}),
    ]
    for error, changes in cases:
        with pytest.raises(error):
            registry.import_from_manifest([{**good, **changes}], folder)
    with pytest.raises(DependencyError):
        one = {**good, "depends_on": ["0001:4:0"]}
        registry.import_from_manifest([one, {**good, "artifact_id": "0001:4:0", "depends_on": ["0001:3:0"]}], folder)
    assert registry.get_all_records() == []
