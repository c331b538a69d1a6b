"""Versions that are pushed from one workspace and pulled into another one, through a folder or a store with faults."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from artstore.changes.tracking import record_remote
from artstore.errors import ArtfsError, DamageError, NotFoundError, OutsideError, RefusedError
from artstore.ids import content_id
from artstore.objects.failures import UnreachableError
from artstore.objects.folders import Folder
from artstore.objects.protocol import ObjectStore
from artstore.queries.versions import Version
from artstore.records.catalogue import ArtifactRecord
from artstore.records.remotes import RemoteRecord
from artstore.remotes import pushing
from artstore.remotes.alignment import align
from artstore.remotes.cloning import pull_version
from artstore.remotes.connection import Connection, decode_description, encode_description
from artstore.remotes.log.appending import Machine, append
from artstore.remotes.log.condemn_lists import Pack as CondemnedPack
from artstore.remotes.log.condemn_lists import encode_condemn_list
from artstore.remotes.log.entries import Transaction
from artstore.remotes.log.fields import Span
from artstore.remotes.log.operations import Condemn, Delete
from artstore.remotes.log.reading import Log
from artstore.remotes.log.state import LIVE, State, VersionRow
from artstore.remotes.packs.output import PackOutput
from artstore.remotes.packs.pack_sets import packs_of
from artstore.remotes.packs.places import TREES, Pack
from artstore.remotes.pushing import PushedVersion, PushPlan, plan_push, push_version
from artstore.rows.remotes import all_remotes
from artstore.workspace import Workspace
from store.objects.model_store import Bucket, ModelStore
from store.oracle import assert_sound, model_of
from store.remotes.log.test_appending import MemoryNotes

NewWorkspace = Callable[[], AbstractContextManager[Workspace]]
REMOTE = b"a remote's uuid."


def connected(workspace: Workspace, store: ObjectStore, machine: int = 1) -> Connection:
    """Open the remote for a workspace, which knows it from then on."""
    with workspace.store.snapshot() as snapshot:
        is_known = REMOTE in all_remotes(snapshot.transaction)
    if not is_known:
        record_remote(workspace.store, REMOTE, RemoteRecord("origin", store.url, False, 1))
    return Connection(REMOTE, store, Log(store, REMOTE), Machine(bytes([machine]) * 16, f"user@{machine}"))


def artifact_of(workspace: Workspace, version: Version) -> ArtifactRecord:
    with workspace.store.snapshot() as snapshot:
        artifact = snapshot.artifact(version.record.artifact)
    assert artifact is not None
    return artifact


def push(workspace: Workspace, remote: Connection, version: Version) -> PushedVersion:
    return push_version(workspace.store, remote, artifact_of(workspace, version), version.record)


def pull_all(workspace: Workspace, remote: Connection) -> None:
    """Make all living versions of the log local, in its order."""
    remote.log.read_on()
    for row in sorted(remote.state.versions.values(), key=lambda row: row.place):
        pull_version(workspace.store, remote, row)


def folder_with(path: Path, **files: bytes) -> Path:
    path.mkdir(exist_ok=True)
    for name, data in files.items():
        (path / name).write_bytes(data)
    return path


def test_versions_go_from_one_workspace_to_another(
    workspace: Workspace, new_workspace: NewWorkspace, tmp_path: Path
) -> None:
    """With numbers, descriptions, metadata, tags, aliases, times: what a folder on another disk is for."""
    (tmp_path / "remote").mkdir()
    noise = random.Random(1).randbytes(300_000)
    folder = folder_with(tmp_path / "data", a=b"a", b=noise)
    first = workspace.put(folder, "team/digits", description="the first", metadata={"k": [1, "x"]}, aliases=["best"])
    workspace.tags.add(first.name, "gold")
    second = workspace.put(folder_with(tmp_path / "data", c=b"c"), "team/digits", aliases=["new"])
    remote = connected(workspace, Folder(tmp_path / "remote"))
    for version in (first, second):
        pushed = push(workspace, remote, workspace.version(version.name))
        assert pushed.created and pushed.row.number == version.record.number
    assert not push(workspace, remote, second).created
    with new_workspace() as there:
        other = connected(there, Folder(tmp_path / "remote"), 2)
        pull_all(there, other)
        pull_all(there, other)
        for version in (first, second):
            here, found = workspace.version(version.name), there.version(version.name)
            for name in (
                "digest",
                "form",
                "mtime_ns",
                "mode",
                "created_ns",
                "description",
                "metadata",
                "tags",
                "number",
            ):
                assert getattr(found.record, name) == getattr(here.record, name), name
            assert model_of(there.store, found.record.root) == model_of(workspace.store, here.record.root)
        assert there.version("team/digits:best").record.number == first.record.number
        assert there.version("team/digits:latest").record.number == second.record.number
        assert len(there.versions("team/digits")) == 2
        assert_sound(there)
        assert there.fsck().problems == workspace.fsck().problems == []


def test_a_second_push_sends_what_changed(workspace: Workspace, tmp_path: Path) -> None:
    """One object and one entry; no object but those of the version's own base is read."""
    bucket = Bucket()
    remote = connected(workspace, ModelStore(bucket))
    data = tmp_path / "data"
    for number in range(20):
        folder_with(tmp_path / "data", **{f"f{number}": random.Random(number).randbytes(9000)})
    push(workspace, remote, workspace.put(data, "a"))
    names = set(bucket.objects)
    bucket.requests.clear()
    pushed = push(workspace, remote, workspace.put(folder_with(data, f3=b"changed" * 9), "a"))
    new = set(bucket.objects) - names
    assert sorted(name[:2] for name in new - {"state/hint"}) == ["lo", "t/"] and pushed.sent < 100
    assert bucket.requests["create"] == 2 and bucket.requests["read"] <= 3 and "head" not in bucket.requests


@pytest.mark.parametrize("seed", range(12))
def test_pushes_through_a_bad_network_land_once(
    seed: int, new_workspace: NewWorkspace, workspace: Workspace, tmp_path: Path
) -> None:
    """Lost requests and answers, creations that land late, false conflicts: run again until it ends well."""
    bucket, chance = Bucket(), random.Random(seed)
    odds = {"before": 0.1, "after": 0.15, "late": 0.1, "conflict": 0.1, "denied": 0.05}
    version = workspace.put(folder_with(tmp_path / "data", a=b"a" * 900, b=chance.randbytes(9000)), "a", aliases=["x"])
    for _ in range(60):
        remote = connected(workspace, ModelStore(bucket, chance, odds))
        try:
            pushed = push(workspace, remote, version)
            break
        except ArtfsError as error:
            assert isinstance(error, (OutsideError, DamageError)), error
    sound = ModelStore(bucket)
    with new_workspace() as there:
        other = connected(there, sound, 2)
        pull_all(there, other)
        assert [row.uuid for row in other.state.versions.values()] == [pushed.row.uuid]
        found = there.version("a:x")
        assert (found.record.digest, found.record.form) == (version.record.digest, version.record.form)
        assert_sound(there)


class Killed(BaseException):
    """Ends a push at a request, as a signal does."""


@pytest.mark.parametrize("after", [False, True])
def test_a_push_that_is_killed_at_any_request_goes_on(
    after: bool, workspace: Workspace, new_workspace: NewWorkspace, tmp_path: Path
) -> None:
    """Before each request, or after it: the next push ends well, the version is there once, and whole."""
    files = {f"f{number}": random.Random(number).randbytes(2000) for number in range(5)}
    version = workspace.put(folder_with(tmp_path / "data", **files), "a", aliases=["x"])
    killed = 0
    while True:
        bucket, left = Bucket(), [killed]

        def step(_: str, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise Killed

        with new_workspace() as here:
            copy = here.put(tmp_path / "data", "a", aliases=["x"])
            try:
                push(here, connected(here, _After(bucket, step) if after else ModelStore(bucket, step=step)), copy)
            except Killed:
                pushed = push(here, connected(here, ModelStore(bucket)), copy)
                with new_workspace() as there:
                    other = connected(there, ModelStore(bucket), 2)
                    pull_all(there, other)
                    assert list(other.state.uuids) == [pushed.row.uuid]
                    assert there.version("a:x").digest == version.digest
            else:
                break
        killed += 1
    assert killed >= (2 if after else 5)


class _After(ModelStore):
    """Take each step when a request has been carried out."""

    def __init__(self, bucket: Bucket, step: Callable[[str], None]) -> None:
        super().__init__(bucket)
        self._after = step

    def create(self, name: str, body: bytes) -> bool:
        found = super().create(name, body)
        self._after("create")
        return found


def test_a_plan_says_what_is_sent(workspace: Workspace, tmp_path: Path) -> None:
    """The objects and bytes that the push then sends; nothing for what is there, and nothing changes."""
    bucket = Bucket()
    remote = connected(workspace, ModelStore(bucket))
    folder = folder_with(tmp_path / "data", a=random.Random(1).randbytes(6_000_000), b=b"b")
    for _ in range(2):
        version = workspace.put(folder, "a")
        artifact = artifact_of(workspace, version)
        plan = plan_push(workspace.store, remote, artifact, version.record)
        before, sent = dict(bucket.objects), list[int]()
        assert plan_push(workspace.store, remote, artifact, version.record).objects == plan.objects
        assert bucket.objects == before
        pushed = push_version(workspace.store, remote, artifact, version.record, on_sent=sent.append)
        assert len(sent) == plan.objects and pushed.created
        assert abs(sum(sent) - plan.bytes) < 100, "random ids compress by some bytes more or less"
        assert plan_push(workspace.store, remote, artifact, version.record) == PushPlan(0, 0)
        folder_with(folder, c=b"c" * 900)


def condemn(remote: Connection, *versions: VersionRow, more: Iterable[Pack] = ()) -> None:
    """Delete versions, and give up all their packs and some more, as a collection of another machine does."""
    remote.log.read_on()
    packs = {CondemnedPack(chr(pack.folder), pack.id) for pack in more}
    for row in versions:
        tree, packs_at = remote.tree_and_packs(row)
        listed = packs_of(tree.form(packs_at), tree.form)
        packs |= {CondemnedPack(chr(pack.folder), pack.id) for pack in listed}
    data, ident = encode_condemn_list(packs), b"a list of packs!"
    assert remote.store.create(Pack(TREES, ident).object_name, data)
    span = Span(ident, 0, len(data), content_id(data))

    def prepare(state: State) -> list[Transaction]:
        if state.condemned:
            return []
        if all(state.versions[row.artifact, row.number].state != LIVE for row in versions):
            return [state.transaction(Condemn(span, len(packs), 1, tuple(row.place for row in versions)))]
        deletes = [
            Delete(row.artifact, row.number, state.artifacts[row.artifact].revision, 0, 0, "") for row in versions
        ]
        return [state.transaction(*deletes)]

    for _ in range(2):
        assert append(remote.log, remote.machine, prepare, MemoryNotes()).number is not None


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_content_in_condemned_packs_is_sent_again(
    when: str, workspace: Workspace, new_workspace: NewWorkspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A collection gives up what this machine still knows: no version leads to it, and the rest is not sent again."""
    bucket = Bucket()
    remote, collector = connected(workspace, ModelStore(bucket)), None
    shared = random.Random(3).randbytes(9000)
    gone = push(workspace, remote, workspace.put(folder_with(tmp_path / "gone", shared=shared), "gone")).row
    push(workspace, remote, workspace.put(folder_with(tmp_path / "kept", kept=shared[::-1]), "kept"))
    collector = Connection(REMOTE, ModelStore(bucket), Log(ModelStore(bucket), REMOTE), Machine(bytes(16), "gc"))
    version = workspace.put(folder_with(tmp_path / "new", shared=shared, kept=shared[::-1], new=b"n"), "new")
    if when == "before":
        condemn(collector, gone)
    else:
        written = pushing.write_version

        def write(*args: Any, **more: Any) -> Any:
            found = written(*args, **more)
            if not collector.state.condemned:
                condemn(collector, gone)
            return found

        monkeypatch.setattr(pushing, "write_version", write)
    sent: list[int] = []
    artifact = artifact_of(workspace, version)
    row = push_version(workspace.store, remote, artifact, version.record, on_sent=sent.append).row
    tree, packs_at = remote.tree_and_packs(row)
    assert remote.condemned().isdisjoint(packs_of(tree.form(packs_at), tree.form))
    assert 9000 < sum(sent) < 15_000, "the shared file again, and not the one that is kept"
    for pack in remote.condemned():
        del bucket.objects[pack.object_name]
    with new_workspace() as there:
        other = connected(there, ModelStore(bucket), 2)
        other.log.read_on()
        found = pull_version(there.store, other, other.state.versions[row.artifact, row.number])
        assert found.digest == version.record.digest


def test_two_objects_are_on_their_way(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never more, and what fails in one of them ends the push; what the others had is not sent again."""
    monkeypatch.setattr("artstore.remotes.pushing.PackOutput", partial(PackOutput, data_target=500_000))
    noise = random.Random(2).randbytes(4_000_000)
    version = workspace.put(folder_with(tmp_path / "data", a=noise, b=b"b" * 200), "a")
    slow = _Slow(Bucket())
    slow.failing = 4
    with pytest.raises(UnreachableError):
        push(workspace, connected(workspace, slow), version)
    assert slow.most == 2
    acknowledged = sum(len(body) for name, (body, _) in slow.bucket.objects.items() if name[0] == "d")
    slow.failing = 1000
    pushed = push(workspace, connected(workspace, slow), version)
    assert acknowledged > 1_000_000 and pushed.sent <= len(noise) + 200 - acknowledged + 600_000
    assert slow.most == 2


class _Slow(ModelStore):
    """Take a moment for each creation, count those at one time, and fail at one of them."""

    def __init__(self, bucket: Bucket) -> None:
        super().__init__(bucket)
        self.failing, self.now, self.most = 0, 0, 0
        self._lock = threading.Lock()

    def create(self, name: str, body: bytes) -> bool:
        with self._lock:
            self.now += 1
            self.failing -= 1
            self.most = max(self.most, self.now)
            fails = not self.failing
        time.sleep(0.02)
        with self._lock:
            self.now -= 1
        if fails:
            raise UnreachableError("no answer")
        return super().create(name, body)


def test_a_name_that_is_taken_is_refused_on_both_sides(
    workspace: Workspace, new_workspace: NewWorkspace, tmp_path: Path
) -> None:
    bucket = Bucket()
    remote = connected(workspace, ModelStore(bucket))
    push(workspace, remote, workspace.put(folder_with(tmp_path / "data", a=b"a"), "a"))
    with new_workspace() as there:
        other = connected(there, ModelStore(bucket), 2)
        mine = there.put(folder_with(tmp_path / "other", b=b"b"), "a")
        with pytest.raises(RefusedError, match="another artifact called 'a'"):
            push(there, other, mine)
        with pytest.raises(RefusedError, match="another artifact called 'a'"):
            pull_all(there, other)
        assert len(there.versions("a")) == 1


def test_an_alias_that_was_moved_there_is_told(
    workspace: Workspace, new_workspace: NewWorkspace, tmp_path: Path
) -> None:
    """Two machines with one artifact: the second version gets the next number, and aliases go along with it."""
    bucket = Bucket()
    remote = connected(workspace, ModelStore(bucket))
    push(workspace, remote, workspace.put(folder_with(tmp_path / "data", a=b"a"), "a", aliases=["best"]))
    with new_workspace() as there:
        other = connected(there, ModelStore(bucket), 2)
        pull_all(there, other)
        align(there.store, other)
        theirs = there.put(folder_with(tmp_path / "data", a=b"b"), "a", aliases=["best"])
        assert theirs.is_pending and push(there, other, theirs).row.number == 1
        mine = workspace.put(folder_with(tmp_path / "data", a=b"c"), "a")
        pushed = push(workspace, remote, mine)
        assert pushed.row.number == 2 and workspace.version(mine.name).number == 2
        assert other.log.read_on() and other.state.aliases_of(pushed.row.artifact, 1) == ["best"]


def test_what_a_version_needs_is_pushed_first(
    workspace: Workspace, new_workspace: NewWorkspace, tmp_path: Path
) -> None:
    """A link to a version that is not there is refused by name; afterwards it is a source of the version."""
    bucket = Bucket()
    remote = connected(workspace, ModelStore(bucket))
    model = workspace.put(folder_with(tmp_path / "data", a=b"a"), "model")
    link = workspace.link(model.name, "collection")
    with pytest.raises(RefusedError, match=f"needs {model.name}"):
        push(workspace, remote, workspace.version(link.name))
    push(workspace, remote, model)
    row = push(workspace, remote, workspace.version(link.name)).row
    assert next(iter(remote.state.versions.values())).uuid == row.sources[0].version
    with new_workspace() as there:
        pull_all(there, connected(there, ModelStore(bucket), 2))
        assert there.version(link.name).digest == there.version(model.name).digest
        source = there.version(model.name).record.serial
        assert [edge.source for edge in there.lineage(link.name).edges] == [f"v{source}"]
        assert_sound(there)


def test_a_deleted_version_is_not_pushed(workspace: Workspace, tmp_path: Path) -> None:
    remote = connected(workspace, ModelStore(Bucket()))
    version = workspace.put(folder_with(tmp_path / "data", a=b"a"), "a")
    workspace.put(folder_with(tmp_path / "data", a=b"b"), "a")
    workspace.delete(version.name)
    with pytest.raises(NotFoundError):
        push(workspace, remote, version)


def test_descriptions_come_back_or_are_refused() -> None:
    """The record that an entry leads to: malformed bytes are damage, and fields of later releases are passed over."""
    assert decode_description(encode_description("d", {"k": [1, None]}, ["t"])) == {
        "description": "d",
        "metadata": {"k": [1, None]},
        "tags": ["t"],
    }
    assert decode_description(b'{"description":"","metadata":{},"tags":[],"later":1}')["tags"] == []
    for data in (b"", b"{}", b"[]", b"\xff", b'{"description":1,"metadata":{},"tags":[]}', b"[" * 5000):
        with pytest.raises(DamageError):
            decode_description(data)
    with pytest.raises(DamageError):
        decode_description(b'{"description":"","metadata":{},"tags":[1]}')
