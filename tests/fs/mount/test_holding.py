"""A deleted version is in use exactly as long as the kernel needs it, and then everything of it vanishes by itself."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from artfs.mount import holding, inodes
from artfs.mount.counters import Epoch
from artfs.mount.holding import DeletedVersion, Holding
from artfs.mount.tree import Tree
from artstore.errors import DamageError


class Kernel:
    """Keep names as the kernel does: an entry stays while it is hashed, in use, or above one that stays."""

    def __init__(self, store: Any) -> None:
        self.store = store
        self.tree = Tree(store, Epoch())
        self.names: dict[int, tuple[int, bytes]] = {}
        self.hashed: set[int] = set()
        self.users: list[int] = []
        self.notified: list[tuple[int, bytes]] = []
        self.asked: list[int] = []
        self.clock: Iterator[float] = itertools.repeat(0.0)

    def look(self, path: str) -> int:
        """Look a path up and return the inode that it leads to."""
        inode = inodes.ROOT
        for name in path.encode().split(b"/"):
            found = self.tree.lookup(inode, name)
            assert found is not None
            self.names[found.inode] = (inode, name)
            self.hashed.add(found.inode)
            inode = found.inode
        return inode

    def open(self, path: str) -> int:
        inode = self.look(path)
        self.users.append(inode)
        return inode

    def close(self, inode: int) -> None:
        self.users.remove(inode)
        self._evict()

    def _evict(self, *, below: int | None = None) -> None:
        """Drop what is neither hashed nor used, and, below a forgotten entry, all that is not used."""
        while True:
            parents = {parent for parent, _ in self.names.values()}
            loose = [
                inode
                for inode in self.names
                if inode not in self.users and inode not in parents
                if inode not in self.hashed or (below is not None and self._is_below(inode, below))
            ]
            if not loose:
                return
            for inode in loose:
                del self.names[inode]
                self.hashed.discard(inode)

    def _is_below(self, inode: int, above: int) -> bool:
        while inode in self.names:
            inode = self.names[inode][0]
            if inode == above:
                return True
        return False

    def invalidate_entry(self, device: int, parent: int, name: bytes) -> bool:
        assert self.store.open_snapshots == 0, "the kernel is told under no snapshot"
        next(self.clock)
        self.notified.append((parent, name))
        for inode, place in self.names.items():
            if place == (parent, name) and inode in self.hashed:
                self.hashed.discard(inode)
                self._evict(below=inode)
                return True
        return False

    def invalidate_inode(self, device: int, inode: int, *, attributes_only: bool) -> bool:
        assert self.store.open_snapshots == 0
        assert attributes_only
        self.asked.append(inode)
        return inode in self.names


@pytest.fixture
def kernel(fake_store: Any, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    kernel = Kernel(fake_store)
    monkeypatch.setattr(holding, "invalidate_entry", lambda *call: kernel.invalidate_entry(*call))
    monkeypatch.setattr(
        holding, "invalidate_inode", lambda *call, attributes_only: kernel.invalidate_inode(*call, attributes_only=True)
    )
    return kernel


FOLDER = {b"a": {b"b": {b"x": b"1", b"y": b"2"}, b"c": {b"z": b"3"}, b"w": b"4"}, b"d": {b"u": b"5"}, b"t": b"6"}


def deleted(store: Any, name: str, folder: Any) -> Callable[[], DeletedVersion]:
    """Put a version and return a function that deletes it and returns its new name."""
    version = store.put(name, folder)

    def delete() -> DeletedVersion:
        store.delete(version.serial)
        return DeletedVersion(version.artifact, version.number, version.serial)

    return delete


def free_among(asked: Holding, *versions: DeletedVersion, seconds: float = 5) -> set[int]:
    free: set[int] = set()
    asked.settle(versions, free, seconds=seconds)
    return free


def test_what_nobody_uses_costs_one_message_and_one_question(fake_store: Any, kernel: Kernel) -> None:
    delete = deleted(fake_store, "data", FOLDER)
    for path in ("data/v0/a/b/x", "data/v0/d/u"):
        kernel.look(path)
    version = delete()
    epoch = Epoch()
    assert free_among(Holding(fake_store, 1, epoch), version) == {version.serial}
    assert kernel.notified == [(inodes.artifact(version.artifact), b"v0")]
    assert kernel.asked == [inodes.entry(version.serial, 0)]
    assert epoch.value == 0, "workers need not drop what leads nowhere"


def test_an_open_file_keeps_its_version_and_takes_everything_with_it(fake_store: Any, kernel: Kernel) -> None:
    """Only directories that the kernel knows are descended into, and workers have dropped what they remember before."""
    delete = deleted(fake_store, "data", FOLDER)
    opened = kernel.open("data/v0/a/b/x")
    kernel.look("data/v0/d/u")
    version = delete()
    epoch = Epoch()
    asked = Holding(fake_store, 1, epoch)
    assert free_among(asked, version) == set()
    assert epoch.value == 1
    notified = {(inodes.decode(parent).ordinal, name) for parent, name in kernel.notified[1:]}
    assert notified == {(0, b"a"), (0, b"d"), (0, b"t"), (1, b"b"), (1, b"c"), (1, b"w"), (2, b"x"), (2, b"y")}
    before = len(kernel.notified)
    assert free_among(asked, version) == set()
    assert len(kernel.notified) == before + 1, "what was forgotten stays so: only the version's own name is repeated"
    kernel.close(opened)
    assert [inodes.decode(inode).sort for inode in kernel.names] == [inodes.Sort.ARTIFACT]
    assert free_among(asked, version) == {version.serial}


def test_a_long_descent_goes_on_where_it_stopped(
    fake_store: Any, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel is notified of each entry once, however short the time for one call is."""
    delete = deleted(fake_store, "data", {b"%03d" % number: b"" for number in range(100)} | {b"500": {b"x": b"1"}})
    opened = kernel.open("data/v0/500/x")
    version = delete()
    monkeypatch.setattr(holding, "_ENTRIES_AT_ONCE", 7)
    now = [0.0]
    kernel.clock = iter(lambda: now.__setitem__(0, now[0] + 1), 0)
    monkeypatch.setattr(holding.time, "monotonic", lambda: now[0])
    asked = Holding(fake_store, 1, Epoch())
    calls = 0
    while (calls := calls + 1) < 50:
        assert free_among(asked, version, seconds=10) == set()
    names = [name for parent, name in kernel.notified if inodes.decode(parent).sort is inodes.Sort.ENTRY]
    assert sorted(names) == [*(b"%03d" % number for number in range(100)), b"500", b"x"]
    kernel.close(opened)
    assert free_among(asked, version, seconds=10) == {version.serial}


def test_many_versions_are_found_free_before_time_goes_into_one(
    fake_store: Any, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    deletes = [deleted(fake_store, f"data{number}", FOLDER) for number in range(10)]
    kernel.open("data0/v0/a/b/x")
    versions = [delete() for delete in deletes]
    now = [0.0]
    kernel.clock = iter(lambda: now.__setitem__(0, now[0] + 1), 0)
    monkeypatch.setattr(holding.time, "monotonic", lambda: now[0])
    assert free_among(Holding(fake_store, 1, Epoch()), *versions, seconds=11) == {one.serial for one in versions[1:]}


def test_a_version_that_came_back_and_went_again_is_descended_into_again(fake_store: Any, kernel: Kernel) -> None:
    delete = deleted(fake_store, "data", FOLDER)
    opened = kernel.open("data/v0/a/w")
    version = delete()
    asked = Holding(fake_store, 1, Epoch())
    free_among(asked, version)
    fake_store.undelete(version.serial)
    kernel.look("data/v0/a/c/z")
    before = len(kernel.notified)
    assert free_among(asked, version) == set()
    assert len(kernel.notified) == before + 1, "names of a living version stay cached"
    fake_store.delete(version.serial)
    assert free_among(asked, version) == set()
    kernel.close(opened)
    assert free_among(asked, version) == {version.serial}


def test_a_version_that_was_purged_is_asked_about_by_its_present_inodes(fake_store: Any, kernel: Kernel) -> None:
    """A file that is open by a former inode is not served any more, so it holds nothing."""
    version = fake_store.put("data", FOLDER)
    kernel.open("data/v0/a/w")
    purged = fake_store.purge(version.serial, {b"a": {b"w": b"4"}})
    kernel.tree = Tree(fake_store, Epoch())
    opened = kernel.open("data/v0/a/w")
    fake_store.delete(version.serial)
    deleted_version = DeletedVersion(version.artifact, version.number, version.serial)
    asked = Holding(fake_store, 1, Epoch())
    assert free_among(asked, deleted_version) == set()
    kernel.close(opened)
    assert free_among(asked, deleted_version) == {version.serial}
    assert set(kernel.asked) == {inodes.entry(purged.mount, 0), inodes.entry(purged.mount, 1)}


def test_a_kernel_that_hangs_holds_nobody_else_up(
    fake_store: Any, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete = deleted(fake_store, "data", FOLDER)
    version = delete()
    hanging, released = threading.Event(), threading.Event()

    def hang(*_: Any) -> bool:
        hanging.set()
        released.wait(10)
        return False

    monkeypatch.setattr(holding, "invalidate_entry", hang)
    asked = Holding(fake_store, 1, Epoch())
    thread = threading.Thread(target=lambda: free_among(asked, version, seconds=0.1))
    thread.start()
    hanging.wait(10)
    begun = time.monotonic()
    assert free_among(asked, version, seconds=0.1) == set()
    assert time.monotonic() - begun < 5
    released.set()
    thread.join()
    assert free_among(asked, version, seconds=0.1) == {version.serial}


def test_a_tree_that_cannot_be_walked_keeps_only_its_own_version(
    fake_store: Any, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = deleted(fake_store, "bad", FOLDER), deleted(fake_store, "good", {b"1": {b"2": b"3"}})
    opened = kernel.open("bad/v0/t")
    kernel.close(kernel.open("good/v0/1/2"))
    versions = [bad(), good()]
    asked = Holding(fake_store, 1, Epoch())

    def damaged(node: int) -> Any:
        raise DamageError("node 99 is missing")

    monkeypatch.setattr(fake_store, "tree", damaged)
    assert free_among(asked, *versions) == {versions[1].serial}
    kernel.close(opened)
    kernel.hashed.clear()  # memory is needed
    kernel._evict()
    assert free_among(asked, versions[0]) == {versions[0].serial}


paths = st.sampled_from(["a", "a/b", "a/b/x", "a/b/y", "a/c", "a/c/z", "a/w", "d", "d/u", "t"])


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seen=st.lists(paths), used=st.lists(paths), order=st.randoms(use_true_random=False))
def test_any_use_holds_and_its_end_frees(
    new_store: Callable[[], Any], monkeypatch: pytest.MonkeyPatch, seen: list[str], used: list[str], order: Any
) -> None:
    """Whatever was looked at and is open, the version is in use until the last close, and free right after it."""
    store = new_store()
    kernel = Kernel(store)
    monkeypatch.setattr(holding, "invalidate_entry", kernel.invalidate_entry)
    monkeypatch.setattr(holding, "invalidate_inode", kernel.invalidate_inode)
    delete = deleted(store, "data", FOLDER)
    for path in seen:
        kernel.look(f"data/v0/{path}")
    opened = [kernel.open(f"data/v0/{path}") for path in used]
    version = delete()
    asked = Holding(store, 1, Epoch())
    order.shuffle(opened)
    while opened:
        assert free_among(asked, version) == set()
        kernel.close(opened.pop())
    assert free_among(asked, version) == {version.serial}
