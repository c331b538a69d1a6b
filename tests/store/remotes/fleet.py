"""Three workspaces on one remote in memory, with clocks a day off, faults and offline spells, against a model.

Each step is an operation of one machine; at one of its requests another machine may carry out a whole operation.  After
each step a sound reader folds the log from its start and compares:

1. what was acknowledged and not deleted since lives, with the digest that it was pushed with;
2. what lives, or was deleted and can still be restored, is readable: all its objects are there, and were verified;
3. an object that is gone was given up a day before, by the store's clock.
"""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest

from artstore.errors import ArtfsError
from artstore.objects.failures import UnreachableError
from artstore.records.remotes import PENDING
from artstore.remotes.collecting import collect_remote
from artstore.remotes.connection import Connection
from artstore.remotes.log.appending import Machine
from artstore.remotes.log.reading import Log
from artstore.remotes.log.state import DELETED, LIVE, REAPED, VersionRow
from artstore.remotes.packs.checking import check_version
from artstore.remotes.packs.pack_sets import packs_of
from artstore.rows import catalogue
from artstore.rows import remotes as rows
from artstore.rows.views import is_lazy
from artstore.storage import lmdb_files
from artstore.workspace import Workspace, init_workspace
from store.objects.model_store import Bucket, ModelStore
from store.remotes.shared_bucket import SharedBucket

DAY = 86_400.0
ODDS = {"before": 0.01, "after": 0.02, "late": 0.01, "conflict": 0.02, "denied": 0.01}
NAMES = ("a", "b")
KINDS = (*("put",) * 3, "push", "pull", "fetch", *("rm",) * 5, "undelete", *("gc",) * 4, "drop")
BESIDE = (*("put",) * 4, "push", "rm", "undelete", *("gc",) * 4)


class FleetError(AssertionError):
    """Raised for a promise that was broken; the message has the seed and the steps before."""


class _Beside(ModelStore):
    """A machine's store, which lets another machine act once, before one of its requests."""

    def __init__(self, fleet: Fleet, *, beside: Callable[[], None] | None, at: int, sound: bool) -> None:
        super().__init__(fleet.bucket, fleet.chance, {} if sound else ODDS, self._count)
        self._beside = beside
        self._at = at

    def _count(self, kind: str) -> None:
        self._at -= 1
        if self._at < 0 and self._beside is not None:
            act, self._beside = self._beside, None
            act()


class _Unplugged(ModelStore):
    """A store that answers nothing."""

    def __init__(self, bucket: Bucket) -> None:
        super().__init__(bucket, step=self._refuse)

    def _refuse(self, kind: str) -> None:
        raise UnreachableError("model://bucket does not answer")


class Fleet:
    """The machines, the bucket, and what was acknowledged."""

    def __init__(self, folder: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seed = seed
        self.chance = random.Random(seed)
        self.folder = folder
        self.shared = SharedBucket(monkeypatch)
        self.bucket = self.shared.bucket
        self.active = 0
        self.offsets = (-DAY, 0.0, DAY)
        monkeypatch.setattr(
            lmdb_files, "_remove_abandoned", lambda _: None
        )  # others' files are not as old as they seem
        monkeypatch.setattr(time, "time", lambda: self.bucket.now + self.offsets[self.active])
        monkeypatch.setattr(time, "time_ns", lambda: int((self.bucket.now + self.offsets[self.active]) * 1e9))
        self.workspaces = [init_workspace(folder / f"machine{number}") for number in range(3)]
        for workspace in self.workspaces:
            self.shared.join(workspace)
        self.offline = [0, 0, 0]
        self.told: list[str] = []
        self.living: dict[bytes, str] = {}
        self.doubtful: set[bytes] = set()
        self._whole: dict[bytes, frozenset[str]] = {}
        self._before: set[str] = set()
        self._begin()

    def _begin(self) -> None:
        """Let one machine push both artifacts, and the others pull them: else their names would clash."""
        for number, kinds in ((1, ("put", "put", "push")), (0, ("pull",)), (2, ("pull",))):
            self.shared.store, self.active = ModelStore(self.bucket), number
            for place, kind in enumerate(kinds):
                workspace = self.workspaces[number]
                if kind == "put":
                    self._put(workspace, NAMES[place])
                else:
                    getattr(self, f"_{kind}")(workspace)

    def close(self) -> None:
        """Remove the workspaces."""
        for workspace in self.workspaces:
            workspace.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- steps ---------------------------------------------------------------------------------------------------------

    def step(self) -> None:
        """Run one machine, and at times another one in between; then compare."""
        chance = self.chance
        if chance.random() < 0.25:
            hours = chance.choice((0.5, 5, 13, 25, 25, 100))
            self.told.append(f"wait {hours} h")
            self.bucket.now += hours * 3600
            self.bucket.late.clear()
        number = chance.randrange(3)
        beside: Callable[[], None] | None = None
        if chance.random() < 0.5:
            other = (number + chance.randrange(1, 3)) % 3
            beside = partial(self._act, other, None, BESIDE)
        self._act(number, beside, KINDS)
        self.compare()

    def _act(self, number: int, beside: Callable[[], None] | None, kinds: Sequence[str]) -> None:
        chance = self.chance
        if self.offline[number] == 0 and chance.random() < 0.04:
            self.offline[number] = chance.randrange(1, 6)
        is_offline = self.offline[number] > 0
        self.offline[number] -= is_offline
        kind = chance.choice(kinds)
        before, active = self.shared.store, self.active
        self.active = number
        self.shared.store = (
            _Unplugged(self.bucket)
            if is_offline
            else _Beside(self, beside=beside, at=chance.randrange(20), sound=chance.random() < 0.7)
        )
        place = len(self.told)
        self.told.append(f"{number} {kind}")
        try:
            self.told[place] += f" {getattr(self, f'_{kind}')(self.workspaces[number])}"
        except ArtfsError as error:
            self.told[place] += f" failed: {error}"
        finally:
            self.shared.store, self.active = before, active

    def _put(self, workspace: Workspace, name: str | None = None) -> str:
        folder = self.folder / "source"
        folder.mkdir(exist_ok=True)
        for path in folder.iterdir():
            path.unlink()
        for seed in self.chance.sample(range(4), 2):
            (folder / f"file{seed}").write_bytes(random.Random(seed).randbytes(2000))
        return workspace.put(folder, name or self.chance.choice(NAMES)).name

    def _push(self, workspace: Workspace) -> str:
        pushed = workspace.remotes.push(every=True)
        return ", ".join(version.name for version in pushed.versions if version.is_new)

    def _pull(self, workspace: Workspace) -> str:
        pulled = workspace.remotes.pull(every=True)
        return ", ".join(version.name for version in pulled.versions if version.is_new)

    def _fetch(self, workspace: Workspace) -> str:
        followed = workspace.remotes.fetch().followed
        return f"deleted {followed.deleted}, restored {followed.restored}"

    def _rm(self, workspace: Workspace) -> str:
        name = self._chosen(workspace, "live")
        uuid = self._uuid(workspace, name)
        if uuid is not None:
            self.doubtful.add(uuid)
        workspace.delete(name, force=True, now=self.chance.random() < 0.5)
        return name

    def _drop(self, workspace: Workspace) -> str:
        name = self._chosen(workspace, "live")
        workspace.delete(name, force=True, local=True)
        return name

    def _undelete(self, workspace: Workspace) -> str:
        name = self._chosen(workspace, "deleted")
        uuid = self._uuid(workspace, name)
        workspace.undelete(name)
        if uuid is not None and self._uuid(workspace, name) == uuid and not self._is_dropped(workspace, name):
            self.doubtful.discard(uuid)
        return name

    def _gc(self, workspace: Workspace) -> str:
        done = collect_remote(workspace.store)
        return f"gave up {done.condemned}, deleted {done.deleted}, ended {done.reaped}"

    def _chosen(self, workspace: Workspace, state: str) -> str:
        found = []
        for name in NAMES:
            try:
                versions = [version for version in workspace.log(name) if not is_lazy(version.record)]
                found += [version.name for version in versions if version.state == state]
            except ArtfsError:
                continue
        if not found:
            raise ArtfsError("there is none")
        return self.chance.choice(found)

    # -- the model -----------------------------------------------------------------------------------------------------

    def _uuid(self, workspace: Workspace, name: str) -> bytes | None:
        """Return what a local version is in the remote."""
        artifact, _, label = name.rpartition(":")
        version = next(version for version in workspace.log(artifact) if version.name == f"{artifact}:{label}")
        with workspace.store.snapshot() as snapshot:
            there = rows.counterparts_of(snapshot.transaction, version.record.serial).get(self.shared.uuid)
        return None if there is None else there.uuid

    def _is_dropped(self, workspace: Workspace, name: str) -> bool:
        """Return whether the log still has a version as deleted, which was restored here only."""
        uuid = self._uuid(workspace, name)
        row = None if uuid is None else self._reader().state.version_of(uuid)
        return row is None or row.state != LIVE

    def _reader(self) -> Connection:
        """Return a sound reader of the remote as it is now, whose requests take no time."""
        store = ModelStore(self.bucket.copy())
        connection = Connection(self.shared.uuid, store, Log(store, self.shared.uuid), Machine(bytes(16), "reader"))
        connection.log.read_on()
        if connection.log.trouble is not None:
            self._fail(str(connection.log.trouble))
        return connection

    def _acknowledged(self) -> Iterator[tuple[bytes, str]]:
        """Yield the uuid and the digest of all versions that some machine knows to be in the remote."""
        for workspace in self.workspaces:
            with workspace.store.snapshot() as snapshot:
                transaction = snapshot.transaction
                for (serial, _), there in rows.read_tracking(transaction).versions.items():
                    version = catalogue.recorded_version(transaction, serial)
                    if there.way != PENDING and version is not None:
                        yield there.uuid, version.digest.hex()

    def compare(self) -> None:
        """Raise `FleetError` for a promise that is broken."""
        remote, now_ns = self._reader(), int(self.bucket.now * 1e9)
        self.living.update(self._acknowledged())
        for uuid, digest in self.living.items():
            row = remote.state.version_of(uuid)
            if row is None:
                self._fail(f"an acknowledged version is not in the log: {uuid.hex()}")
            elif row.digest.hex() != digest:
                self._fail(f"{remote.state.title(row.artifact, row.number)} has another digest than it was pushed with")
            elif row.state != LIVE and uuid not in self.doubtful:
                self._fail(f"{remote.state.title(row.artifact, row.number)} is not live, and nothing deleted it")
        for row in remote.state.versions.values():
            if row.state == LIVE or (row.state == DELETED and row.due_ns > now_ns):
                self._compare_version(remote, row)
            elif row.state == REAPED and row.due_ns > row.changed.at_ns:
                self._fail(f"{remote.state.title(row.artifact, row.number)} was given up in its undelete window")
        present = {name for name in self.bucket.objects if name[:2] in ("d/", "t/")}
        gone = self._before - present
        remote.condemned()
        for place, condemn in remote.state.condemned.items():
            if condemn.made.at_ns + int(DAY * 1e9) <= now_ns:
                gone -= {pack.object_name for pack in remote.lists[place]}
        if gone:
            self._fail(f"an object is gone that was not given up a day ago: {min(gone)}")
        self._before = present

    def _compare_version(self, remote: Connection, row: VersionRow) -> None:
        title = remote.state.title(row.artifact, row.number)
        try:
            if row.uuid not in self._whole:
                tree, form = remote.tree_and_packs(row)
                checked = check_version(tree, form, content=True)
                if checked.damage or checked.unlisted:
                    self._fail(f"{title} is damaged: {checked}")
                packs = packs_of(tree.form(form), tree.form)
                self._whole[row.uuid] = frozenset(pack.object_name for pack in packs)
        except ArtfsError as error:
            self._fail(f"{title} cannot be read: {error}")
        missing = self._whole[row.uuid] - self.bucket.objects.keys()
        if missing:
            self._fail(f"{title} ({'live' if row.state == LIVE else 'deleted'}) lacks {min(missing)}")

    def _fail(self, what: str) -> None:
        steps = "\n".join(f"  {line}" for line in self.told[-60:])
        raise FleetError(f"seed {self.seed}: {what}\n{steps}")

    def pull_afresh(self) -> None:
        """Pull all that lives into a new workspace, and compare digests."""
        self.shared.store, self.active = ModelStore(self.bucket), 1
        fresh = init_workspace(self.folder / "fresh")
        try:
            self.shared.join(fresh)
            fresh.remotes.pull(every=True)
            state = self._reader().state
            for row in state.versions.values():
                if row.state == LIVE:
                    digest = fresh.version(state.title(row.artifact, row.number)).digest
                    if digest != row.digest.hex():
                        self._fail(f"{state.title(row.artifact, row.number)} is another one after a pull")
        finally:
            fresh.close()


@contextmanager
def fleet(folder: Path, seed: int) -> Iterator[Fleet]:
    """Make a fleet for a block."""
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        folder.mkdir(parents=True)
        made = Fleet(folder, seed, patch)
        stack.callback(made.close)
        yield made


def run(folder: Path, seed: int, steps: int = 40) -> Fleet:
    """Run one example; raise `FleetError` for a promise that is broken."""
    with fleet(folder, seed) as made:
        for _ in range(steps):
            made.step()
        made.pull_afresh()
        return made
