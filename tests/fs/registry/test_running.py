"""Runs: what a failed or killed one registered goes, and nothing else does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from artfs.registry import ArtifactRegistry
from artstore.errors import RefusedError
from fs.registry.registries import add, make_registry


def killed(tmp_path: Path, *values: object, pipeline: str = "0001_pls") -> None:
    """Register values as folds in a run whose process dies."""
    pid = os.fork()
    if not pid:
        child = make_registry(tmp_path, pipeline=pipeline)
        child.start_run()
        for fold, value in enumerate(values):
            add(child, value, fold_id=fold)
        os._exit(1)
    os.waitpid(pid, 0)


def test_a_failed_run_is_cleaned_up(registry: ArtifactRegistry) -> None:
    """What it registered goes, an earlier version of the same id stays, and so does what it only logged again."""
    earlier, same = add(registry, [1], fold_id=0), add(registry, [2], fold_id=1)
    with pytest.raises(ZeroDivisionError), registry.run() as title:
        assert title.startswith("runs/wheat/")
        add(registry, ["new"], fold_id=0)
        add(registry, [2], fold_id=1)
        scaler = add(registry, [3], "s1.S")
        registry.register_meta_model([4], None, [scaler.artifact_id], chain="s1.S>s5.R")
        raise ZeroDivisionError
    assert registry.get_all_records() == sorted([earlier, same], key=lambda record: record.fold_id or 0)
    assert [record.state for record in registry.workspace.runs.all()] == ["failed"]
    assert registry.find_orphaned_artifacts() == [] and registry.cleanup_failed_run() == 0


def test_a_finished_run_keeps_everything(registry: ArtifactRegistry) -> None:
    """Its lineage says what it registered."""
    with registry.run():
        record = add(registry, [1])
    registry.end_run()
    assert registry.cleanup_failed_run() == 0 and registry.find_orphaned_artifacts() == []
    (run,) = registry.workspace.runs.all()
    assert (run.state, run.project, run.name) == ("finished", "runs/wheat", "0001_pls")
    assert [version.name for version in registry.workspace.runs.versions(run.number, used=False)] == [record.ref]


def test_one_run_at_a_time(registry: ArtifactRegistry) -> None:
    """The clean-up counts what it deletes, and a second start is refused."""
    registry.start_run()
    with pytest.raises(RefusedError):
        registry.start_run()
    add(registry, [1])
    assert registry.cleanup_failed_run() == 1 and registry.get_all_records() == []


def test_a_killed_run_leaves_orphans(registry: ArtifactRegistry, tmp_path: Path) -> None:
    """They are those of the dead run alone; while it lives there are none."""
    kept = add(registry, [0])
    registry.workspace.close()
    killed(tmp_path, [1], [2])
    with registry.run():
        add(registry, [9], fold_id=9)
        orphans = registry.find_orphaned_artifacts()
    assert len(orphans) == 2 and all("/0001_pls/" in name for name in orphans) and kept.ref not in orphans
    planned = registry.delete_orphaned_artifacts()
    assert planned[0] == orphans and registry.find_orphaned_artifacts() == orphans
    assert registry.delete_orphaned_artifacts(dry_run=False) == planned
    assert registry.find_orphaned_artifacts() == [] and registry.load_artifact(kept) == [0]


def test_what_keeps_an_orphan(registry: ArtifactRegistry, tmp_path: Path) -> None:
    """A dependant, a link, an alias, and being registered again, in a run that ends well or outside of runs."""
    add(registry, [0])
    registry.workspace.close()
    killed(tmp_path, *([number] for number in range(6)))
    assert len(registry.find_orphaned_artifacts()) == 6
    ids = [registry.generate_id("s1.A>s3.B", fold) for fold in range(6)]
    refs = [registry.resolve(ident).ref for ident in ids]  # type: ignore[union-attr]
    add(registry, ["made from it"], "s9.M", depends_on=[ids[0]])
    registry.workspace.link(refs[1], "library/kept")
    registry.workspace.aliases.set(refs[2], "production")
    add(registry, [3], fold_id=3)
    with registry.run():
        add(registry, [4], fold_id=4)
    assert registry.find_orphaned_artifacts() == refs[5:]
    with pytest.raises(ZeroDivisionError), registry.run():
        add(registry, [5], fold_id=5)
        raise ZeroDivisionError
    assert registry.find_orphaned_artifacts() == refs[5:]
