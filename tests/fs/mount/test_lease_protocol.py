"""However look-ups, releases, deletions and a reaper interleave, nothing that a kernel uses is reaped.

The real code runs in threads of which one runs at a time; a schedule decides after each step which one is next.  Some
schedules are drawn.  Others put an undeletion and a look-up between any two steps of a release, which few of the drawn
ones do.
"""

from __future__ import annotations

import copy
import random
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from artfs.mount import holding, inodes
from artfs.mount.counters import Epoch
from artfs.mount.holding import DeletedVersion, Holding
from artfs.mount.tree import Tree
from artstore.errors import NotFoundError
from artstore.mount_leases import MountLeases, leased

SCHEDULES = 1200


class Schedule:
    """Run actors one step at a time: as ``order`` names them, and then, or without it, at random."""

    def __init__(self, seed: int, order: Iterable[str] = ()) -> None:
        self.random = random.Random(seed)
        self.order = iter(order)
        self.waiting: set[str] = set()
        self.running: dict[str, threading.Thread] = {}
        self.turn = threading.Condition()
        self.next: threading.Thread | None = None
        self.failures: list[BaseException] = []

    def step(self, *, waits: bool = False) -> None:
        """Let the schedule decide who is next; an actor that ``waits`` for another one is passed over once."""
        me = threading.current_thread()
        if me not in self.running.values():
            return  # the test itself
        with self.turn:
            self._choose({me.name} if waits else set())
            self.turn.wait_for(lambda: self.next is me, 10)

    def _choose(self, passed_over: set[str]) -> None:
        name = next((name for name in self.order if name in self.running), None)
        candidates = sorted(self.running.keys() - passed_over) or sorted(self.running)
        if name is None and candidates:
            name = self.random.choice(candidates)
        self.next = None if name is None else self.running[name]
        self.turn.notify_all()

    def run(self, **actors: Callable[[], None]) -> None:
        def body(name: str, actor: Callable[[], None]) -> None:
            with self.turn:
                self.turn.wait_for(lambda: self.next is threading.current_thread(), 10)
            try:
                actor()
            except BaseException as error:
                self.failures.append(error)
            with self.turn:
                del self.running[name]
                self._choose(set())

        self.running = {
            name: threading.Thread(target=body, args=(name, actor), name=name) for name, actor in actors.items()
        }
        threads = list(self.running.values())
        for thread in threads:
            thread.start()
        with self.turn:
            self._choose(set())
        for thread in threads:
            thread.join(20)
        if self.failures:
            raise self.failures[0]


class SteppingLeases(MountLeases):
    """The leases, with a switch before each change."""

    schedule: Schedule

    def take(self, artifact: int, first: int, last: int) -> None:
        self.schedule.step()
        super().take(artifact, first, last)

    def guard(self, artifact: int, number: int) -> None:
        self.schedule.step()
        super().guard(artifact, number)

    def release(self, artifact: int, number: int) -> None:
        self.schedule.step()
        super().release(artifact, number)

    def unguard(self, artifact: int, number: int) -> None:
        self.schedule.step()
        super().unguard(artifact, number)

    def stray(self) -> None:
        pass


class World:
    """One version, a mount of it, and a reaper."""

    def __init__(self, store: Any, run_file: Path, schedule: Schedule) -> None:
        self.schedule = schedule
        self.store = store
        self.version = store.put("data", {b"a": b"1"})
        store.put("data", {b"a": b"2"})
        self.named = DeletedVersion(self.version.artifact, self.version.number, self.version.serial)
        self.root = inodes.entry(self.version.mount, 0)
        self.run_file = run_file
        with run_file.open("rb") as file:
            self.leases = SteppingLeases.of_run_file(file.fileno())
        self.leases.schedule = self.schedule
        self.tree = Tree(self, Epoch(), leases=self.leases)
        self.holding = Holding(self, 1, Epoch(), self.leases)
        self.under_way = 0
        self.known = False
        self.used = False

    # What the tree and the holding see of the store.

    @contextmanager
    def snapshot(self) -> Iterator[Any]:
        self.schedule.step()
        frozen = copy.copy(self.store)
        for name in ("versions", "deleted", "names"):
            setattr(frozen, name, dict(getattr(self.store, name)))
        yield frozen

    # The kernel.

    def look(self) -> None:
        """Look the version up, or list its artifact, and use it if the kernel is given its root."""
        self.under_way += 1
        artifact = inodes.artifact(self.version.artifact)
        try:
            if self.schedule.random.random() < 0.5:
                found = self.tree.lookup(artifact, b"v0") is not None
            else:
                found = any(entry.attributes.inode == self.root for entry in self.tree.page(artifact, 0))
        except NotFoundError:
            found = False
        if found:
            self.known = self.used = True
            self.check()
        self.under_way -= 1
        self.schedule.step()
        self.used = False

    def invalidate_entry(self, device: int, parent: int, name: bytes) -> bool:
        self.schedule.step()
        while self.under_way:
            self.schedule.step(waits=True)
        self.known = self.used
        return True

    def invalidate_inode(self, device: int, inode: int, *, attributes_only: bool) -> bool:
        return self.known

    # The others.

    def supervise(self) -> None:
        self.holding.settle([self.named], set(), seconds=5)

    def delete(self) -> None:
        self.store.delete(self.version.serial)

    def undelete(self) -> None:
        """Undelete, and delete again, unless it has been reaped."""
        self.schedule.step()
        if self.version.serial in self.store.deleted:
            self.store.undelete(self.version.serial)
            self.schedule.step()
            self.delete()

    def reap(self) -> None:
        for _ in range(2):
            self.schedule.step()
            record = self.store.deleted.get(self.version.serial)
            if record is None or self.is_leased():
                continue
            self.schedule.step()
            if self.store.deleted.get(self.version.serial) is record:  # one transaction checks that, and reaps
                del self.store.deleted[self.version.serial]
                self.check()

    def is_leased(self) -> bool:
        return bool(leased(self.run_file, [self.named]))

    def check(self) -> None:
        serial = self.version.serial
        assert not self.used or serial in self.store.versions or serial in self.store.deleted, "it is used and reaped"


@pytest.fixture
def run_file(tmp_path: Path) -> Path:
    path = tmp_path / "run" / "daemons" / "a.json"
    path.parent.mkdir(parents=True)
    path.touch()
    return path


@pytest.fixture
def fails(new_store: Callable[[], Any], run_file: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., bool]:
    """Return a function that makes a world, runs actors in it, and returns whether something used was reaped."""
    monkeypatch.setattr(holding, "time", SimpleNamespace(monotonic=lambda: 0.0))

    def run(schedule: Schedule, actors: Callable[[World], dict[str, Callable[[], None]]]) -> bool:
        world = World(new_store(), run_file, schedule)
        monkeypatch.setattr(holding, "invalidate_entry", world.invalidate_entry)
        monkeypatch.setattr(holding, "invalidate_inode", world.invalidate_inode)
        try:
            schedule.run(**actors(world))
        except AssertionError as error:
            assert "used and reaped" in str(error)
            return True
        finally:
            world.leases.close()
        return False

    return run


def drawn(fails: Callable[..., bool], schedules: int) -> bool:
    """Run so many drawn schedules of two look-ups, a deletion, a release and a reaper."""

    def actors(world: World) -> dict[str, Callable[[], None]]:
        looks = {"one": world.look, "two": world.look}
        return {**looks, "release": world.supervise, "delete": world.delete, "reap": world.reap}

    return any(fails(Schedule(seed), actors) for seed in range(schedules))


def directed(fails: Callable[..., bool]) -> bool:
    """Run a release of a version that is undeleted, looked up, deleted again and reaped between its steps."""

    def actors(world: World) -> dict[str, Callable[[], None]]:
        world.leases.take(world.named.artifact, 0, 0)
        world.delete()
        return {"look": world.look, "release": world.supervise, "change": world.undelete, "reap": world.reap}

    return any(
        fails(
            Schedule(
                seed,
                ["release"] * before
                + ["change"] * 2
                + ["look"] * first
                + ["release"] * between
                + ["look"] * (LOOK - first)
                + ["release"] * after
                + ["change"]
                + ["reap"] * 3,
            ),
            actors,
        )
        for before, first, between, after, seed in product(range(8), range(LOOK), range(7), range(3), range(2))
    )


LOOK = 4
"""Steps after which a look-up has told the kernel."""


def test_nothing_that_is_used_is_reaped(fails: Callable[..., bool]) -> None:
    assert not drawn(fails, SCHEDULES)
    assert not directed(fails)


def looks_before_it_leases(self: Any, seen: int, version: Any) -> Any:
    with self._source.snapshot() as later:
        living = later.version_by_number(version.artifact, version.number)
    self._leases.take(version.artifact, version.number, version.number)
    if living is None:
        raise NotFoundError("the version was deleted")
    return living


def releases_without_guard(self: Any, version: Any, record: Any) -> bool:
    self._leases.release(record.artifact, record.number)
    with self._source.snapshot() as snapshot:
        found = snapshot.recorded_version(record.serial)
    if found in (record, None):
        return True
    self._leases.take(record.artifact, record.number, record.number)
    return False


def releases_without_a_second_look(self: Any, version: Any, record: Any) -> bool:
    self._leases.release(record.artifact, record.number)
    return True


@pytest.mark.parametrize(
    ("kind", "name", "bug"),
    [
        (Tree, "_leased", looks_before_it_leases),
        (Tree, "_leased_listing", lambda self, snapshot, artifact, listing: listing),
        (World, "is_leased", lambda self: False),
    ],
    ids=["look-first", "listing", "reaper"],
)
def test_seeded_bugs_are_found(
    fails: Callable[..., bool], monkeypatch: pytest.MonkeyPatch, kind: type, name: str, bug: Callable[..., Any]
) -> None:
    monkeypatch.setattr(kind, name, bug)
    assert drawn(fails, 4 * SCHEDULES)


@pytest.mark.parametrize("bug", [releases_without_guard, releases_without_a_second_look])
def test_seeded_bugs_of_the_release_are_found(
    fails: Callable[..., bool], monkeypatch: pytest.MonkeyPatch, bug: Callable[..., bool]
) -> None:
    monkeypatch.setattr(Holding, "_release", bug)
    assert directed(fails)
