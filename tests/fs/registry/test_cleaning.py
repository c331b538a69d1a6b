"""Deleting: exactly what is meant, never another's bytes, and the bytes that were promised."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from artfs.registry import ArtifactRegistry, RecordError
from artstore.errors import InvalidInputError, RefusedError
from fs.registry.registries import add, make_registry
from fs.registry.test_running import killed


def content(size: int, seed: int) -> list[str]:
    """Return what takes about ``size`` stored bytes."""
    import random

    return [random.Random(seed).randbytes(size // 2).hex()]


def test_shared_content_stays_with_its_other_owner(registry: ArtifactRegistry, tmp_path: Path) -> None:
    """One pipeline's deletion leaves the other's payload; the bytes are those that come back."""
    for pipeline in ("0001_pls", "0002_pls"):
        add(registry, content(20_000, 0), pipeline_id=pipeline)
    add(registry, content(10_000, 1), fold_id=0, pipeline_id="0002_pls")
    stats = registry.get_stats()
    assert (stats["total_artifacts"], stats["unique_files"], stats["disk_file_count"]) == (3, 2, 2)
    assert stats["deduplication_ratio"] == pytest.approx(1 - stats["disk_usage_bytes"] / stats["total_size_bytes"])
    assert stats["by_type"] == {"model": 3} and stats["dataset"] == "wheat"
    assert registry.delete_pipeline_artifacts("0002", delete_files=True) == 2
    (record,) = registry.get_all_records()
    assert record.pipeline_id == "0001_pls" and registry.load_artifact(record) == content(20_000, 0)
    assert registry.workspace.fsck(data=True).clean


@pytest.mark.parametrize("how", ["orphans", "purge"])
def test_promised_bytes_come_back(registry: ArtifactRegistry, tmp_path: Path, how: str) -> None:
    """The dry run and the deletion promise one number, and that is what is freed."""
    shared = content(20_000, 2)
    kept = make_registry(tmp_path, "barley" if how == "purge" else "wheat", "kept")
    add(kept, shared)
    kept.workspace.close()
    killed(tmp_path, shared, content(30_000, 3))
    before = kept.workspace.usage().stored_bytes
    if how == "orphans":
        names, freed = registry.delete_orphaned_artifacts()
        assert (names, freed) == registry.delete_orphaned_artifacts(dry_run=False) and len(names) == 2
    else:
        count, freed = registry.purge_dataset_artifacts(confirm=True)
        assert count == 2
    assert 10_000 < freed < 30_000
    kept.workspace.gc(now=True)
    assert kept.workspace.usage().stored_bytes == before - freed
    assert [kept.load_artifact(record) for record in kept.get_all_records()] == [shared]


def test_a_purge_is_of_one_data_set(registry: ArtifactRegistry, tmp_path: Path) -> None:
    """`wheat` is not `wheat_sample1`; it must be confirmed, and it can be undone."""
    other = make_registry(tmp_path, "wheat_sample1")
    for each in (registry, other):
        add(each, [1])
        add(each, [2])
    for wrong in (False, 1, "yes"):
        with pytest.raises(InvalidInputError):
            registry.purge_dataset_artifacts(confirm=wrong)  # type: ignore[arg-type]
    assert registry.purge_dataset_artifacts(confirm=True)[0] == 2
    assert registry.get_all_records() == [] and len(other.versions(other.generate_id("s1.A>s3.B"))) == 2
    registry.workspace.undelete(_deleted(registry))
    assert registry.load_artifact(registry.get_all_records()[0]) == [2]


def _deleted(registry: ArtifactRegistry) -> list[str]:
    name = f"runs/wheat/0001_pls/{registry.generate_id('s1.A>s3.B').partition('$')[2].replace(':', '/')}"
    return [version.name for version in registry.workspace.log(name) if version.state == "deleted"]


def test_what_others_depend_on_refuses_both(registry: ArtifactRegistry, tmp_path: Path) -> None:
    """It is named, and nothing is deleted; a cascade takes what was made from it."""
    base = add(registry, [1], pipeline_id="a").artifact_id
    meta = registry.register_meta_model([2], "b$abc:all", [base])
    registry.workspace.link(meta.ref, "library/kept")
    with pytest.raises(RefusedError, match=r"b/abc/all:v0 includes"):
        registry.delete_pipeline_artifacts("a")
    with pytest.raises(RefusedError, match=r"library/kept:v0 links to"):
        registry.purge_dataset_artifacts(confirm=True)
    assert len(registry.get_all_records()) == 2
    assert registry.delete_pipeline_artifacts("a", cascade=True) == 3 and registry.get_all_records() == []


def test_manifests_keep_what_they_name(registry: ArtifactRegistry, tmp_path: Path) -> None:
    """By id, reference, digest or path; a manifest that cannot be read stops the search: nothing is an orphan then."""
    add(registry, ["kept"])
    registry.workspace.close()
    killed(tmp_path, *([number] for number in range(5)))
    orphans = registry.find_orphaned_artifacts()
    records = [registry.resolve(registry.generate_id("s1.A>s3.B", fold)) for fold in range(5)]
    names = [
        {"artifact_id": records[0].artifact_id},  # type: ignore[union-attr]
        {"ref": records[1].ref},  # type: ignore[union-attr]
        {"content_hash": records[2].content_hash},  # type: ignore[union-attr]
        {"path": records[3].path},  # type: ignore[union-attr]
    ]
    folder = tmp_path / "workspace" / "runs" / "2026-01-01_wheat" / "0001"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps({"artifacts": {"items": names[:2]}}))
    written = "\n".join(f"- {json.dumps(name)}" for name in names[2:])
    (folder / "manifest.yaml").write_text(f"artifacts:\n{written}\n")
    assert registry.find_orphaned_artifacts() == [records[4].ref]  # type: ignore[union-attr]
    assert registry.find_orphaned_artifacts(scan_all_manifests=False) == orphans
    for name, text in [
        ("manifest.json", "{"),
        ("manifest.yaml", "a: [b"),
        ("manifest.yml", "[1]"),
        ("manifest.json", ""),
    ]:
        file = folder.parent / name
        file.write_text(text)
        for call in (registry.find_orphaned_artifacts, registry.delete_orphaned_artifacts, registry.get_stats):
            with pytest.raises(RecordError, match="cannot be read"):
                call()
        file.unlink()
    (folder / "manifest.yml").mkdir()
    locked = folder / "locked"
    locked.mkdir(mode=0)
    if os.getuid():
        with pytest.raises(RecordError):
            registry.find_orphaned_artifacts()
    locked.chmod(0o700)


def test_superseded_versions(registry: ArtifactRegistry) -> None:
    """Older versions that nothing keeps are added on request."""
    add(registry, [1])
    old = add(registry, [2])
    add(registry, ["m"], "s9.M", depends_on=[old.artifact_id])
    latest = add(registry, [3])
    assert registry.find_orphaned_artifacts() == []
    assert registry.find_orphaned_artifacts(superseded=True) == [latest.ref.replace(":v2", ":v0")]
    registry.delete_orphaned_artifacts(dry_run=False, superseded=True)
    assert [record.ref.rpartition(":")[2] for record in registry.versions(latest.artifact_id)] == ["v1", "v2"]
