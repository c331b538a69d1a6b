"""Versions that a remote has, deleted and restored by one machine, as others see it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from artstore.changes import deleting as local_deleting
from artstore.errors import ArtfsError, NotFoundError, RefusedError
from artstore.objects.failures import UnreachableError
from artstore.remotes import deleting
from artstore.remotes.entry_notes import EntryNotes
from artstore.remotes.following import follow
from artstore.remotes.log.appending import append
from artstore.remotes.log.operations import Alias, Condemn, Hold
from artstore.remotes.log.state import DELETED, LIVE, REAPED, State, VersionRow
from artstore.rows.views import is_lazy
from artstore.workspace import Workspace
from messages import raises
from store.objects.model_store import ModelStore
from store.oracle import assert_sound
from store.remotes.shared_bucket import SharedBucket

NewWorkspace = Callable[[], AbstractContextManager[Workspace]]


@pytest.fixture
def shared(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SharedBucket:
    """Return a remote that has ``data:v0`` and ``data:v1`` (with the alias ``clean``) of a workspace."""
    shared = SharedBucket(monkeypatch)
    shared.join(workspace)
    (tmp_path / "data").mkdir()
    for number in range(2):
        (tmp_path / "data" / f"file{number}").write_bytes(random.Random(number).randbytes(5000))
        workspace.put(tmp_path / "data", "data", aliases=["clean"] if number else [])
    workspace.remotes.push("data")
    return shared


@contextmanager
def hinted(error: type[ArtfsError], *, names: list[str], hint: str) -> Iterator[None]:
    """Assert that the block raises this error, naming these, with a way out that contains ``hint``."""
    with raises(error, names=names) as caught:
        yield
    assert hint in (caught.value.hint or "")


def rows(shared: SharedBucket, workspace: Workspace) -> list[VersionRow]:
    state = shared.connection(workspace).state
    return [row for _, row in sorted(state.versions.items())]


def pulled(shared: SharedBucket, workspace: Workspace) -> Workspace:
    shared.join(workspace)
    workspace.remotes.pull(every=True)
    return workspace


def numbers(workspace: Workspace, name: str = "data") -> list[int]:
    """Return the numbers of the living versions of which there is a copy here."""
    return [version.number for version in workspace.versions(name) if not is_lazy(version.record)]


def test_a_deletion_is_for_all_machines(
    workspace: Workspace, shared: SharedBucket, new_workspace: NewWorkspace
) -> None:
    """With the same window, by name and time, and back again by another machine, with its alias."""
    with new_workspace() as there:
        pulled(shared, there)
        before = shared.bucket.now
        shared.by = "eve@lab"
        deletion = workspace.delete("data:v1", force=True)
        (remote,) = deletion.remotes
        assert (remote.remote, remote.versions, deletion.aliases) == ("origin", ["data:v1"], ["data:clean"])
        row = rows(shared, workspace)[1]
        assert row.state == DELETED and row.released == ("clean",)
        assert remote.due_at is not None and 86_400 <= remote.due_at.timestamp() - before < 86_500
        assert numbers(workspace) == [0] and numbers(there) == [0, 1]
        fetched = there.remotes.fetch()
        assert fetched.followed.deleted == ["data:v1"] and numbers(there) == [0]
        (gone,) = fetched.deleted
        assert (gone.name, gone.by, gone.due_at) == ("data:v1", "eve@lab", remote.due_at)
        record = there.log("data")[0].record
        assert record.reason == f"eve@lab (entry {row.changed.number} of origin)"
        assert workspace.log("data")[0].record.reason == record.reason
        assert record.due_ns > time.time_ns() + 86_000 * 10**9, "the window here begins now"
        (undeletion,) = there.undelete(["data:v1"])
        assert undeletion.aliases == ["clean"]
        state = shared.connection(there).state
        assert rows(shared, there)[1].state == LIVE and state.aliases_of(row.artifact, 1) == ["clean"]
        assert workspace.remotes.fetch().followed.restored == ["data:v1"]
        assert workspace.version("data:clean").number == 1
        assert there.remotes.fetch().followed.restored == []
        for each in (workspace, there):
            assert_sound(each)
            assert each.fsck().problems == []


def test_nothing_is_deleted_while_the_remote_does_not_answer(workspace: Workspace, shared: SharedBucket) -> None:
    """The error names the remote and the way out, which deletes here only; a later fetch does not restore that."""
    with shared.offline():
        for call in (lambda: workspace.delete("data:v0"), lambda: workspace.delete("data:v0", dry_run=True)):
            with hinted(UnreachableError, names=["data:v0", "origin"], hint="rm --local"):
                call()
        assert numbers(workspace) == [0, 1]
        assert workspace.delete("data:v0", local=True).remotes == []
    assert numbers(workspace) == [1]
    assert workspace.remotes.fetch().followed.restored == [] and numbers(workspace) == [1]
    assert [row.state for row in rows(shared, workspace)] == [LIVE, LIVE]
    workspace.undelete("data:v0")
    assert numbers(workspace) == [0, 1]
    workspace.delete("data:v0", local=True)
    assert workspace.remotes.pull("data:v0").versions[0].name == "data:v0"
    workspace.delete("data:v0", local=True, now=True)
    assert workspace.remotes.pull("data:v0").versions[0].name == "data:v0"
    assert numbers(workspace) == [0, 1]
    assert_sound(workspace)


def test_a_version_of_one_workspace_needs_no_remote(workspace: Workspace, shared: SharedBucket, tmp_path: Path) -> None:
    workspace.put(tmp_path / "data", "mine")
    with shared.offline():
        assert workspace.delete("mine:v0").remotes == []
        workspace.undelete("mine:v0")
    with shared.offline(), raises(UnreachableError, names=["data:v0"]):
        workspace.delete("mine:v0", "data:v0")
    assert numbers(workspace, "mine") == [0]


def test_a_remote_for_reading_only_keeps_its_versions(
    workspace: Workspace, shared: SharedBucket, new_workspace: NewWorkspace
) -> None:
    with new_workspace() as there:
        shared.join(there, read_only=True)
        there.remotes.pull(every=True)
        for call in (lambda: there.delete("data:v0"), lambda: there.delete("data:v0", dry_run=True)):
            with hinted(RefusedError, names=["data:v0", "origin"], hint="rm --local"):
                call()
        workspace.delete("data:v0")
        there.remotes.fetch()
        with raises(RefusedError, names=["data:v0", "origin"]):
            there.undelete("data:v0")


def append_alias(shared: SharedBucket, workspace: Workspace, alias: str, number: int) -> None:
    """Set an alias in the remote, as another machine does."""
    remote = shared.connection(workspace)

    def prepare(state: State) -> list[object]:
        artifact = state.artifact("data")
        assert artifact is not None
        row = state.aliases.get((artifact.uuid, alias))
        if row is not None and row.version == number:
            return []
        return [state.transaction(Alias(artifact.uuid, alias, None if row is None else row.version, number))]

    append(remote.log, remote.machine, prepare, EntryNotes(workspace.store, remote.uuid))  # type: ignore[arg-type]


def test_what_another_machine_did_is_named(
    workspace: Workspace, shared: SharedBucket, new_workspace: NewWorkspace, tmp_path: Path
) -> None:
    """An alias that it moved here, and a version that links to this one: nothing is deleted anywhere without a flag."""
    with new_workspace() as there:
        pulled(shared, there)
        shared.by = "eve@lab"
        append_alias(shared, there, "best", 0)
        for dry_run in (True, False):
            with hinted(RefusedError, names=["data:v0", "'best'", "eve@lab"], hint="--force"):
                workspace.delete("data:v0", dry_run=dry_run)
        there.link("data:v1", "linked")
        there.remotes.push("linked")
        with hinted(RefusedError, names=["data:v1", "linked:v0"], hint="--cascade"):
            workspace.delete("data:v1", force=True)
        assert numbers(workspace) == [0, 1]
        assert [row.state for row in rows(shared, there)] == [LIVE] * 3
        workspace.delete("data:v1", force=True, cascade="delete")
        workspace.delete("data:v0", force=True)
        assert [row.state for row in rows(shared, there)] == [DELETED] * 3
        assert sorted(there.remotes.fetch().followed.deleted) == ["data:v0", "data:v1", "linked:v0"]
        with pytest.raises(NotFoundError):
            there.versions("data")


def test_what_happens_between_the_look_and_the_entry_is_refused(
    workspace: Workspace, shared: SharedBucket, new_workspace: NewWorkspace
) -> None:
    """``--force`` is about the aliases that were there when the call looked, not about one that came since."""
    with new_workspace() as there:
        pulled(shared, there)
        before, asked = shared.store, [0]

        def step(kind: str) -> None:
            asked[0] += kind == "create"
            if asked[0] == 1 and kind == "create":
                asked[0] += 1
                shared.store, other = before, shared.store
                append_alias(shared, there, "best", 1)
                shared.store = other

        shared.store = ModelStore(shared.bucket, step=step)
        with raises(RefusedError, names=["data:v1", "'best'"]):
            workspace.delete("data:v1", force=True)
        assert numbers(workspace) == [0, 1]
        workspace.delete("data:v0")  # an alias of another version does not matter


def test_two_machines_delete_one_version(
    workspace: Workspace, shared: SharedBucket, new_workspace: NewWorkspace
) -> None:
    """The second finds it deleted, and its own copy goes."""
    with new_workspace() as there:
        pulled(shared, there)
        workspace.delete("data:v0")
        deletion = there.delete("data:v0")
        assert deletion.remotes[0].versions == [] and numbers(there) == [1]
        assert len([row for row in rows(shared, there) if row.state == DELETED]) == 1


@pytest.mark.parametrize("after", [False, True])
def test_a_deletion_that_is_killed_at_any_request_goes_on(
    after: bool, workspace: Workspace, shared: SharedBucket, new_workspace: NewWorkspace
) -> None:
    """Before or after each request: the same call ends it, and the log has it once; likewise for the way back."""

    class Killed(BaseException):
        pass

    class _After(ModelStore):
        def create(self, name: str, body: bytes) -> bool:
            found = super().create(name, body)
            kill("create")
            return found

    left = [0]

    def kill(kind: str) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Killed

    def killed_at(number: int, call: Callable[[], object]) -> bool:
        left[0] = number
        sound, shared.store = shared.store, _After(shared.bucket) if after else ModelStore(shared.bucket, step=kill)
        try:
            call()
        except Killed:
            return True
        finally:
            shared.store = sound
        return False

    points = 0
    while killed_at(points, lambda: workspace.delete("data:v0")):
        if numbers(workspace) == [0, 1]:
            workspace.delete("data:v0")
        assert numbers(workspace) == [1] and rows(shared, workspace)[0].state == DELETED
        entries = [name for name in shared.bucket.objects if name.startswith("log/")]
        workspace.undelete("data:v0")
        assert len([name for name in shared.bucket.objects if name.startswith("log/")]) == len(entries) + 1
        points += 1
    assert points >= (1 if after else 4)
    points = 0
    while killed_at(points, lambda: workspace.undelete("data:v0")):
        if numbers(workspace) == [1]:
            workspace.undelete("data:v0")
        assert numbers(workspace) == [0, 1] and rows(shared, workspace)[0].state == LIVE
        workspace.delete("data:v0")
        points += 1
    assert points >= (1 if after else 4)
    assert_sound(workspace)


def test_a_fetch_ends_a_deletion_whose_local_part_failed(
    workspace: Workspace, shared: SharedBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        kept = local_deleting.delete

        def delete(*args: object, dry_run: bool, **more: object) -> object:
            if not dry_run:
                raise KeyboardInterrupt
            return kept(*args, dry_run=dry_run, **more)  # type: ignore[arg-type]

        patch.setattr(local_deleting, "delete", delete)
        with pytest.raises(KeyboardInterrupt):
            workspace.delete("data:v0")
    assert numbers(workspace) == [0, 1]
    assert workspace.remotes.fetch().followed.deleted == ["data:v0"]
    assert numbers(workspace) == [1]


def test_a_protected_alias_keeps_a_copy(
    workspace: Workspace, shared: SharedBucket, new_workspace: NewWorkspace
) -> None:
    """What this workspace protects stays here when another machine deletes it, and a sentence says so."""
    with new_workspace() as there:
        pulled(shared, there)
        workspace.configure(protected_aliases=["clean"])
        there.delete("data:v0", "data:v1", force=True)
        followed = follow(workspace.store, shared.connection(workspace))
        assert followed.deleted == ["data:v0"] and numbers(workspace) == [1]
        (sentence,) = followed.kept
        assert "data:v1" in sentence and "'clean'" in sentence


def test_what_a_remote_gave_up_is_restored_here_and_pushed_again(workspace: Workspace, shared: SharedBucket) -> None:
    """Its content there is lost, its copy here is not: it becomes the next version of the remote."""
    workspace.delete("data:v1", force=True)
    remote = shared.connection(workspace)
    row = rows(shared, workspace)[1]

    def prepare(state: State) -> list[object]:
        condemn = Condemn(row.root, 1, 1, (row.place,))
        return [] if state.condemned else [state.transaction(condemn)]

    append(remote.log, remote.machine, prepare, EntryNotes(workspace.store, remote.uuid))  # type: ignore[arg-type]
    assert rows(shared, workspace)[1].state == REAPED
    assert workspace.remotes.fetch().deleted == []
    workspace.undelete("data:v1")
    assert numbers(workspace) == [0, 1]
    assert workspace.remotes.fetch().followed.deleted == []
    assert workspace.fsck().problems == []
    assert_sound(workspace)


def test_expired_versions_go_by_the_log(workspace: Workspace, shared: SharedBucket, tmp_path: Path) -> None:
    """With the rule as the reason; they stay while the remote does not answer, or its clock is another one."""
    (tmp_path / "data" / "more").write_bytes(b"more")
    workspace.put(tmp_path / "data", "data")
    workspace.remotes.push("data")
    workspace.put(tmp_path / "data", "mine")
    (tmp_path / "data" / "more").write_bytes(b"other")
    workspace.put(tmp_path / "data", "mine")
    workspace.retention.set("last", last=1)
    shared.bucket.now = time.time() + 86_400
    retired = workspace.retention.apply()
    assert retired.versions == ["mine:v0"]
    assert "differ by 86," in retired.kept[0] and retired.kept[0].startswith("data:v0: ")
    with shared.offline():
        assert "does not answer" in workspace.retention.apply().kept[0]
    shared.bucket.now = time.time() + 100
    assert workspace.retention.apply().versions == ["data:v0"]
    row = rows(shared, workspace)[0]
    assert row.state == DELETED and row.reason == "last: not among the last 1"
    assert workspace.log("data")[-1].record.reason.startswith("last: not among the last 1; ada@lab (entry ")


def test_a_hold_does_not_hinder_a_deletion(workspace: Workspace, shared: SharedBucket) -> None:
    """A hold keeps packs; the version itself may be deleted, at the revision that the hold has made."""
    remote, row = shared.connection(workspace), rows(shared, workspace)[0]

    def prepare(state: State) -> list[object]:
        hold = Hold(b"h" * 16, row.artifact, 0, 1 << 62, "training")
        return [] if state.holds else [state.transaction(hold)]

    append(remote.log, remote.machine, prepare, EntryNotes(workspace.store, remote.uuid))  # type: ignore[arg-type]
    workspace.delete("data:v0")
    assert rows(shared, workspace)[0].state == DELETED


def test_a_dry_run_counts_what_comes_back(workspace: Workspace, shared: SharedBucket) -> None:
    """The packs that only the version needs; nothing is written."""
    before = dict(shared.bucket.objects)
    first = workspace.delete("data:v0", dry_run=True).remotes[0]
    both = workspace.delete("data:v0", "data:v1", dry_run=True, force=True).remotes[0]
    packs = sum(len(body) for name, (body, _) in before.items() if name[:2] in ("d/", "t/"))
    assert (first.versions, first.freed_bytes) == (["data:v0"], 0), "v1 has its content"
    assert both.freed_bytes == packs
    assert shared.bucket.objects == before


def test_many_versions_are_deleted_in_few_entries(
    workspace: Workspace, shared: SharedBucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deleting, "_TOGETHER", 3)
    for number in range(7):
        (tmp_path / "data" / "file").write_bytes(b"%d" % number)
        workspace.put(tmp_path / "data", "many")
    workspace.remotes.push("many")
    before = len([name for name in shared.bucket.objects if name.startswith("log/")])
    deletion = workspace.delete("many:v0..v5")
    assert deletion.remotes[0].versions == [f"many:v{number}" for number in range(6)]
    assert len([name for name in shared.bucket.objects if name.startswith("log/")]) == before + 2
    assert numbers(workspace, "many") == [6]


def test_a_store_without_a_clock_opens_no_window(workspace: Workspace, shared: SharedBucket) -> None:
    class Timeless(ModelStore):
        def date(self) -> float | None:
            return None

    shared.store = Timeless(shared.bucket)
    with hinted(RefusedError, names=["model://bucket"], hint="--now"):
        workspace.delete("data:v0")
    workspace.delete("data:v0", now=True)
    assert rows(shared, workspace)[0].due_ns == 0


def test_a_version_without_a_copy_is_pulled_first(
    workspace: Workspace, shared: SharedBucket, new_workspace: NewWorkspace
) -> None:
    """Readers see it; the error says what to do, and the deletion works then."""
    with new_workspace() as there:
        shared.join(there)
        there.remotes.fetch()
        with hinted(RefusedError, names=["data:v0"], hint="artfs pull data:v0"):
            there.delete("data:v0")
        there.remotes.pull("data:v0")
        there.delete("data:v0")
        assert rows(shared, there)[0].state == DELETED
