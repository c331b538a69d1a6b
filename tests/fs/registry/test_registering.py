"""Deferral: nothing is seen before the commit, all of it after, and a rollback or a kill leaves what was there."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from artfs.registry import ArtifactRegistry, DeferralError
from artstore.errors import RefusedError
from artstore.workspace import Workspace
from fs.registry.registries import add, make_registry
from store.dying import dying_at


def test_all_are_seen_at_the_commit(registry: ArtifactRegistry, tmp_path: Path) -> None:
    """Others see nothing before it; one id registered twice becomes one version, the last; records have versions."""
    other = make_registry(tmp_path)
    earlier = add(registry, ["earlier"], fold_id=0)
    registry.begin_deferred()
    for fold in (0, 1, 2):
        assert add(registry, [fold], fold_id=fold).ref == ""
    add(registry, ["again"], fold_id=1)
    meta = registry.register_meta_model(["m"], None, [registry.generate_id("s1.A>s3.B", 2)], chain="s3.B>s4.C")
    assert other.get_all_records() == [earlier] == registry.get_all_records()
    with pytest.raises(RefusedError):
        add(registry, ["what the meta-model was not made from"], fold_id=2)
    records = registry.commit_deferred()
    assert sorted(record.ref.rpartition("/")[2] for record in records) == ["0:v1", "1:v0", "2:v0", "all:v0"]
    assert [other.load_artifact(record) for record in other.get_fold_models("0001", 3)] == [[0], ["again"], [2]]
    assert [other.load_artifact(each) for each in other.resolve_dependencies(meta.artifact_id)] == [[2]]
    assert other.get_dependents(registry.generate_id("s1.A>s3.B", 2)) == [meta.artifact_id]
    assert registry.workspace.fsck(data=True).clean


def test_a_rollback_leaves_what_was_there(registry: ArtifactRegistry) -> None:
    """An earlier version of the same id included."""
    earlier = add(registry, [1])
    registry.begin_deferred()
    add(registry, [2])
    add(registry, [3], fold_id=0)
    assert registry.rollback_deferred() == 2
    assert registry.get_all_records() == [earlier] and registry.load_artifact(earlier) == [1]
    with pytest.raises(ZeroDivisionError), registry.deferred():
        add(registry, [2])
        raise ZeroDivisionError
    with registry.deferred():
        pass
    assert registry.versions(earlier.artifact_id) == [earlier]
    registry.workspace.gc(now=True)
    assert registry.workspace.fsck().clean and registry.workspace.usage().deadlist_bytes == 0


def test_a_killed_deferral_leaves_what_was_there(registry: ArtifactRegistry, tmp_path: Path) -> None:
    """Nothing of it is seen, and its bytes are freed."""
    earlier = add(registry, [1])
    before = registry.workspace.usage().stored_bytes
    registry.workspace.close()
    pid = os.fork()
    if not pid:
        child = make_registry(tmp_path)
        child.begin_deferred()
        for fold in range(20):
            add(child, ["x" * 1000, fold], fold_id=fold)
        assert child._batch is not None
        child._batch._stager.flush()
        os._exit(0)
    os.waitpid(pid, 0)
    assert registry.get_all_records() == [earlier]
    registry.workspace.gc(now=True)
    assert registry.workspace.usage().stored_bytes == before and registry.workspace.fsck().clean


def _die_in_a_deferral(tmp_path: Path, calls: int) -> None:
    """Register in a process that dies at a call to the disk, and exit: with 0 if it had fewer calls."""
    try:
        with dying_at(calls):
            child = make_registry(tmp_path)
            child.begin_deferred()
            sources = [add(child, [calls, fold], fold_id=fold).artifact_id for fold in range(3)]
            child.register_meta_model([calls], None, sources, chain="s3.B>s4.C")
            child.commit_deferred()
    except BaseException:
        os._exit(1)
    os._exit(0)


def test_dying_at_any_call_of_a_deferral(registry: ArtifactRegistry, tmp_path: Path) -> None:
    """Whenever the process dies, all of its registrations are seen or none, and the earlier version is there."""
    earlier = add(registry, ["earlier"], fold_id=0)
    seen: dict[bool, int] = {True: 0, False: 0}
    calls = 0
    while True:
        registry.workspace.close()
        pid = os.fork()
        if not pid:
            _die_in_a_deferral(tmp_path, calls)
        died = os.waitpid(pid, 0)[1] != 0
        found = registry.get_all_records()
        values = [registry.load_artifact(record) for record in found]
        wanted = [[calls, 0], [calls, 1], [calls, 2], [calls]]
        is_seen = len(found) == 4 and values == wanted
        assert is_seen or values == [["earlier"]]
        assert is_seen or died
        seen[is_seen] += 1
        assert registry.load_artifact(earlier) == ["earlier"]
        assert registry.workspace.fsck().clean
        if not died:
            break
        calls += 1
        if is_seen:
            registry.workspace.delete(*(record.ref for record in found))
    assert seen[False] > 5 and seen[True] > 1


def test_beginnings_and_ends_match(registry: ArtifactRegistry) -> None:
    """A commit or rollback needs a beginning, and there is one at a time."""
    for call in (registry.commit_deferred, registry.rollback_deferred):
        with pytest.raises(DeferralError):
            call()
    registry.begin_deferred()
    with pytest.raises(ValueError, match="deferred already"):
        registry.begin_deferred()
    assert registry.commit_deferred() == [] and registry._existing() is None


def test_a_refused_deferral_can_be_repeated(registry: ArtifactRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the commit fails, nothing has changed, and a second attempt commits all."""
    registry.begin_deferred()
    for fold in range(3):
        add(registry, [fold], fold_id=fold)
    from artstore.drafting import batches

    def fails(*_: object) -> None:
        raise OSError("no")

    with monkeypatch.context() as patched:
        patched.setattr(batches, "change_counts", fails)
        with pytest.raises(OSError, match="no"):
            registry.commit_deferred()
    assert registry.get_all_records() == []
    assert len(registry.commit_deferred()) == 3 and registry.workspace.fsck().clean


def test_two_register_one_id_at_once(registry: ArtifactRegistry, tmp_path: Path) -> None:
    """Each value becomes a version, equal ones only one."""
    add(registry, [0])
    place = tmp_path / "workspace"

    def work(number: int) -> None:
        other = ArtifactRegistry(place, "wheat", "0001_pls")
        for value in range(5):
            add(other, [number, value], fold_id=1)

    threads = [threading.Thread(target=work, args=[number]) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = registry.versions(registry.generate_id("s1.A>s3.B", 1))
    assert sorted(map(registry.load_artifact, found)) == [[number, value] for number in range(3) for value in range(5)]
    assert registry.workspace.fsck().clean


def test_one_registration_is_one_transaction(registry: ArtifactRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes no more writes than a put of the same files, and an equal one takes none."""
    from artstore.store import Store

    add(registry, [0])
    writes = []
    write = Store.write

    def counted(store: Store) -> object:
        writes.append(store)
        return write(store)

    monkeypatch.setattr(Store, "write", counted)
    record = add(registry, [1], fold_id=1)
    assert len(writes) == 1
    add(registry, [1], fold_id=1)
    assert len(writes) == 1
    assert isinstance(registry.workspace, Workspace) and registry.resolve(record.artifact_id) == record
