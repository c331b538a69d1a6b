"""Collecting a remote: what is given up and when it is deleted, beside pushers, and killed at every request."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from artstore.errors import DamageError, NotFoundError, RefusedError
from artstore.objects.failures import NoRightError
from artstore.remotes import collecting
from artstore.remotes.collecting import LEFT_SECONDS, WAIT_SECONDS, RemoteCollection, collect_remote
from artstore.remotes.entry_notes import EntryNotes
from artstore.remotes.holdings import LostSetError
from artstore.remotes.log.appending import append
from artstore.remotes.log.operations import Hold, Stage
from artstore.remotes.log.state import DELETED, LIVE, REAPED, State
from artstore.remotes.usage import remote_usage
from artstore.storage import lmdb_files
from artstore.workspace import Workspace
from messages import raises
from store.objects.model_store import ModelStore
from store.oracle import model_of
from store.remotes.shared_bucket import SharedBucket

NewWorkspace = Callable[[], AbstractContextManager[Workspace]]
WINDOW = 86_400.0


@pytest.fixture
def shared(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> SharedBucket:
    """Return a remote that a workspace knows."""
    shared = SharedBucket(monkeypatch)
    shared.join(workspace)
    return shared


def put(workspace: Workspace, tmp_path: Path, name: str, *seeds: int) -> str:
    """Put a version with a file of 3,000 bytes for each seed, and push it; return its name."""
    folder = tmp_path / f"{name}-{'-'.join(map(str, seeds))}"
    folder.mkdir(exist_ok=True)
    for seed in seeds:
        (folder / f"file{seed}").write_bytes(random.Random(seed).randbytes(3000))
    version = workspace.put(folder, name, new=True)
    return workspace.remotes.push(version.name).versions[0].remote_name


def packs(shared: SharedBucket) -> dict[str, int]:
    """Return the sizes of the packs that the store has, by name."""
    return {name: len(body) for name, (body, _) in shared.bucket.objects.items() if name[:2] in ("d/", "t/")}


def collect(workspace: Workspace, *, dry_run: bool = False) -> RemoteCollection:
    return collect_remote(workspace.store, dry_run=dry_run)


def assert_whole(shared: SharedBucket, new_workspace: NewWorkspace, *names: str) -> None:
    """Assert that these are the living versions, and that another machine can read them."""
    with new_workspace() as there:
        shared.join(there)
        assert sorted(version.name for version in there.remotes.pull(every=True).versions) == sorted(names)
        for name in names:
            model_of(there.store, there.version(name).record.root)


def test_from_a_deletion_to_free_space(
    workspace: Workspace, shared: SharedBucket, new_workspace: NewWorkspace, tmp_path: Path
) -> None:
    """Nothing in the window; then given up, and deleted a day later; what another version needs stays."""
    put(workspace, tmp_path, "a", 1, 2)
    first = packs(shared)
    put(workspace, tmp_path, "b", 2, 3)
    both = packs(shared)
    workspace.delete("a:v0")
    assert collect(workspace) == RemoteCollection("origin", dry_run=False)
    shared.bucket.now += WINDOW + 100
    done = collect(workspace)
    assert done.reaped == [] and done.condemned == 0, "b:v0 took a file of it"
    workspace.delete("b:v0")
    shared.bucket.now += WINDOW + 100
    planned = collect(workspace, dry_run=True)
    assert planned.dry_run and (planned.condemned, planned.condemned_bytes) == (len(both), sum(both.values()))
    done = collect(workspace)
    assert done.reaped == planned.reaped == ["a:v0", "b:v0"] and first.keys() < both.keys()
    assert (done.condemned, done.condemned_bytes) == (planned.condemned, planned.condemned_bytes)
    assert done.waiting == planned.waiting == len(both) and done.deleted == 0
    assert done.next_due is not None and abs(done.next_due.timestamp() - shared.bucket.now - WAIT_SECONDS) < 60
    assert both.keys() < packs(shared).keys()
    shared.bucket.now += WAIT_SECONDS - 60
    assert collect(workspace).deleted == 0
    shared.bucket.now += 61
    planned, done = collect(workspace, dry_run=True), collect(workspace)
    assert (done.deleted, done.deleted_bytes) == (len(both), sum(both.values()))
    assert planned.deleted == done.deleted
    assert len(packs(shared)) == 1, "the list"
    shared.bucket.now += 10 * LEFT_SECONDS
    done = collect(workspace)
    assert (done.deleted, done.condemned) == (0, 0) and len(packs(shared)) == 1
    assert [row.state for row in shared.connection(workspace).state.versions.values()] == [REAPED, REAPED]
    put(workspace, tmp_path, "b", 2, 3)
    assert_whole(shared, new_workspace, "b:v1")
    with raises(NotFoundError, names=["a:v0"]):
        workspace.gc(now=True)
        workspace.undelete("a:v0")


def test_no_local_clock_is_asked(
    workspace: Workspace, shared: SharedBucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine whose clock is wrong by years gives up and deletes at the same times as any other."""
    put(workspace, tmp_path, "a", 1)
    workspace.delete("a:v0")
    monkeypatch.setattr(lmdb_files, "_remove_abandoned", lambda _: None)  # others' files are not as old as they seem
    for years in (-20, 20):
        monkeypatch.setattr(time, "time", lambda years=years: 1_800_000_000.0 + years * 31_536_000)
        monkeypatch.setattr(time, "time_ns", lambda years=years: int((1_800_000_000 + years * 31_536_000) * 1e9))
        assert collect(workspace).condemned == 0
    shared.bucket.now += WINDOW + 100
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert collect(workspace).condemned == 1
    assert collect(workspace).deleted == 0
    shared.bucket.now += WAIT_SECONDS
    assert collect(workspace).deleted == 1


def test_a_push_while_a_collection_looks_is_seen(
    workspace: Workspace, shared: SharedBucket, new_workspace: NewWorkspace, tmp_path: Path
) -> None:
    """R2: what another machine pushed between the look and the entry is subtracted, and the entry tried again."""
    with new_workspace() as there:
        shared.join(there)
        put(there, tmp_path, "a", 1)
        put(there, tmp_path, "c", 3)
        there.delete("a:v0", "c:v0")
        shared.bucket.now += WINDOW + 100
        pushed: list[str] = []

        def step(kind: str) -> None:
            lists = [name for name, (body, _) in shared.bucket.objects.items() if body.startswith(b"ARTFSCND")]
            if kind == "create" and lists and not pushed:
                pushed.append("")
                collecting_store, shared.store = shared.store, ModelStore(shared.bucket)
                pushed.append(put(there, tmp_path, "b", 1, 2))
                shared.store = collecting_store

        shared.store = ModelStore(shared.bucket, step=step)
        done = collect(workspace)
        assert pushed[1:] == ["b:v0"] and done.reaped == ["c:v0"] and done.condemned == 1
        states = sorted(row.state for row in shared.connection(workspace).state.versions.values())
        assert states == [LIVE, DELETED, REAPED]
        shared.bucket.now += WAIT_SECONDS + 1
        assert collect(workspace).deleted == 1
        assert_whole(shared, new_workspace, "b:v0")


def test_a_push_that_was_about_to_use_what_is_given_up_sends_it_again(
    shared: SharedBucket, new_workspace: NewWorkspace, tmp_path: Path
) -> None:
    """R1: at whichever request of the push the collection comes, and the objects are deleted afterwards."""
    given_up = 0
    for number in range(40):
        one = SharedBucket(shared.monkeypatch)
        with new_workspace() as here:
            if not pushed_beside(one, here, number, tmp_path):
                break
            given_up += bool(one.connection(here).state.condemned)
            one.bucket.now += WAIT_SECONDS + WINDOW
            collect(here)
            assert_whole(one, new_workspace, "b:v0")
    assert given_up >= 5


def pushed_beside(shared: SharedBucket, here: Workspace, number: int, tmp_path: Path) -> bool:
    """Push a version that finds content of a deleted one, which is collected before a request; say if there is one."""
    shared.join(here)
    put(here, tmp_path, "a", 1, 2)
    here.delete("a:v0")
    shared.bucket.now += WINDOW + 100
    left = [number]

    def step(kind: str) -> None:
        left[0] -= 1
        if left[0] == -1:
            before, shared.store = shared.store, ModelStore(shared.bucket)
            collect(here)
            shared.store = before

    shared.store = ModelStore(shared.bucket, step=step)
    put(here, tmp_path, "b", 1, 3)
    shared.store = ModelStore(shared.bucket)
    return left[0] < 0


def test_objects_of_pushes_that_never_ended(workspace: Workspace, shared: SharedBucket, tmp_path: Path) -> None:
    """They are given up after seven days by the store's Last-Modified, and deleted a day later; so is a probe's."""
    put(workspace, tmp_path, "a", 1)
    names = [f"d/ab/{'ab' * 16}", f"t/cd/{'cd' * 16}"]
    for name in (*names, "probe/rest", "d/foreign"):
        shared.store.create(name, b"left")
    shared.bucket.now += LEFT_SECONDS - 600
    assert collect(workspace) == RemoteCollection("origin", dry_run=False)
    shared.bucket.now += 601
    done = collect(workspace)
    assert (done.condemned, done.left, done.removed, done.reaped) == (2, 2, 1, [])
    shared.bucket.now += WAIT_SECONDS + 1
    assert collect(workspace).deleted == 2
    assert not {*names, "probe/rest"} & shared.bucket.objects.keys()
    assert "d/foreign" in shared.bucket.objects, "it belongs to no push, and stays"


def test_holds_and_stages_keep_objects(workspace: Workspace, shared: SharedBucket, tmp_path: Path) -> None:
    put(workspace, tmp_path, "a", 1)
    put(workspace, tmp_path, "b", 2)
    remote = shared.connection(workspace)
    first, second = sorted(remote.state.versions.values(), key=lambda row: row.place)
    until = int((shared.bucket.now + 40 * WINDOW) * 1e9)

    def prepare(state: State) -> list[object]:
        operations = (
            Hold(b"h" * 16, first.artifact, 0, until, ""),
            Stage(b"s" * 16, second.manifest, until),
        )
        return [] if state.holds else [state.transaction(*operations)]

    append(remote.log, remote.machine, prepare, EntryNotes(workspace.store, remote.uuid))  # type: ignore[arg-type]
    workspace.delete("a:v0", "b:v0", now=True)
    shared.bucket.now += 30 * WINDOW
    done = collect(workspace)
    assert (done.condemned, done.reaped) == (0, [])
    shared.bucket.now += 11 * WINDOW
    assert collect(workspace).condemned == 2


def test_who_may_not_collect(workspace: Workspace, shared: SharedBucket, tmp_path: Path) -> None:
    """One sentence each: read-only, no right to delete, a store without a clock, a log ahead of it, no remote."""

    class Denied(ModelStore):
        def delete(self, names: Iterable[str]) -> None:
            raise NoRightError("model://bucket: AccessDenied")

    class Timeless(ModelStore):
        def date(self) -> float | None:
            return None

    put(workspace, tmp_path, "a", 1)
    workspace.delete("a:v0", now=True)
    shared.store = Timeless(shared.bucket)
    with raises(RefusedError, names=["model://bucket", "time"]):
        collect(workspace)
    shared.store = Denied(shared.bucket)
    assert collect(workspace).condemned == 1
    shared.bucket.now += WAIT_SECONDS + 1
    with raises(NoRightError, names=["1 objects", "model://bucket", "AccessDenied"]):
        collect(workspace)
    shared.store = ModelStore(shared.bucket)
    shared.bucket.now -= WAIT_SECONDS + 600
    with raises(RefusedError, names=["model://bucket", "clock"]):
        collect(workspace)
    with raises(NotFoundError, names=["'other'"]):
        collect_remote(workspace.store, "other")


def test_a_remote_for_reading_only_is_not_collected(shared: SharedBucket, new_workspace: NewWorkspace) -> None:
    with new_workspace() as there:
        shared.join(there, read_only=True)
        for dry_run in (True, False):
            with raises(RefusedError, names=["'origin'", "reading only"]):
                collect(there, dry_run=dry_run)
        assert remote_usage(there.store).bytes > 0


def test_a_set_that_is_lost_stops_it(workspace: Workspace, shared: SharedBucket, tmp_path: Path) -> None:
    """If it is that of a living version, by name; a deleted one is given up, for nothing can restore it."""
    put(workspace, tmp_path, "a", 1)
    put(workspace, tmp_path, "b", 2)
    remote = shared.connection(workspace)
    row = remote.state.version_of(next(iter(remote.state.uuids)))
    assert row is not None
    name = f"t/{row.manifest.pack.hex()[:2]}/{row.manifest.pack.hex()}"
    del shared.bucket.objects[name]
    title = remote.state.title(row.artifact, row.number)
    with raises(LostSetError, names=[title]):
        collect(workspace)
    with raises(LostSetError, names=[title]):
        remote_usage(workspace.store)
    workspace.delete(title, now=True)
    shared.bucket.now += LEFT_SECONDS + 1
    other = next(iter({"a:v0", "b:v0"} - {title}))
    workspace.delete(other, now=True)
    assert sorted(collect(workspace).reaped) == ["a:v0", "b:v0"]


def test_a_condemn_of_what_a_version_needs_is_not_carried_out(
    workspace: Workspace,
    shared: SharedBucket,
    new_workspace: NewWorkspace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An entry of a program that does not keep the rules: nothing is deleted, and the object is named."""
    put(workspace, tmp_path, "a", 1)
    (name,) = packs(shared)
    with monkeypatch.context() as patch:
        patch.setattr(collecting.Holdings, "needed", lambda *_: 0)
        shared.bucket.now += LEFT_SECONDS + 1
        assert collect(workspace).condemned == 1
    shared.bucket.now += WAIT_SECONDS + 1
    with raises(DamageError, names=[name]):
        collect(workspace)
    assert name in shared.bucket.objects


def test_old_checkpoints_go(workspace: Workspace, shared: SharedBucket, tmp_path: Path) -> None:
    """Those that are older than seven days, but the newest two."""
    put(workspace, tmp_path, "a", 1)
    for number in (64, 128, 192):
        shared.store.create(f"state/{number:020}/{'0' * 64}", b"a checkpoint")
    shared.bucket.now += LEFT_SECONDS + 1
    assert collect(workspace, dry_run=True).removed == 1
    assert collect(workspace).removed == 1
    saved = [name for name in shared.bucket.objects if name.startswith("state/0")]
    assert len(saved) == 2 and f"{64:020}" not in saved[0]


def test_many_versions_are_given_up_in_several_entries(
    workspace: Workspace, shared: SharedBucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collecting, "_REAPED", 2)
    for seed in range(5):
        put(workspace, tmp_path, f"a{seed}", seed)
    workspace.delete(*(f"a{seed}:v0" for seed in range(5)), now=True)
    done = collect(workspace)
    assert (done.condemned, sorted(done.reaped)) == (5, [f"a{seed}:v0" for seed in range(5)])
    assert len(shared.connection(workspace).state.condemned) == 3
