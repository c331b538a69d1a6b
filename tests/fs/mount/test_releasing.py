"""Leases of deleted versions are released once the kernel has forgotten them, and nothing is looked for in vain."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from artfs.mount.counters import Counters, Field
from artfs.mount.releasing import Releasing
from artstore.mount_leases import DeletedVersion, MountLeases
from artstore.rows import deadlist
from artstore.workspace import Workspace, init_workspace


class Mount:
    """A daemon whose kernel uses what ``used`` has, by number."""

    def __init__(self, workspace: Workspace, run_file: Path) -> None:
        self.workspace = workspace
        with run_file.open("w") as file:
            self.leases = MountLeases.of_run_file(file.fileno())
        self.counters = Counters(1)
        self.used: set[int] = set()
        self.asked: list[list[int]] = []
        self.releasing = Releasing(workspace.store, self.counters, self.leases, self.settle)

    def settle(self, versions: Sequence[DeletedVersion], free: set[int], *, seconds: float) -> None:
        self.asked.append(sorted(version.number for version in versions))
        for version in versions:
            if version.number not in self.used:
                self.leases.release(version.artifact, version.number)
                free.add(version.serial)

    @property
    def artifact(self) -> int:
        with self.workspace.store.snapshot() as snapshot:
            named = snapshot.name_number("data")
        assert named is not None
        return named[0]

    def leased(self) -> list[int]:
        return [number for number in range(6) if self.leases.has(self.artifact, number)]


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    workspace = init_workspace(tmp_path / "ws")
    for number in range(6):
        (tmp_path / "x").write_text(str(number))
        workspace.put(tmp_path / "x", "data")
    made = Mount(workspace, tmp_path / "run.json")
    made.leases.take(made.artifact, 0, 5)
    yield made
    made.leases.close()


def test_what_is_not_used_is_released_and_the_rest_asked_about_until_it_is(mount: Mount) -> None:
    assert not mount.releasing.release()
    assert mount.asked == [], "nothing is deleted"
    mount.workspace.delete("data:v1", "data:v2", "data:v3")
    mount.used = {2}
    assert mount.releasing.release()
    assert mount.leased() == [0, 2, 4, 5]
    assert not mount.releasing.release()
    mount.used = set()
    assert mount.releasing.release()
    assert mount.leased() == [0, 4, 5]
    assert not mount.releasing.release()
    assert mount.asked == [[1, 2, 3], [2], [2]]


def test_an_undeleted_version_is_not_asked_about(mount: Mount) -> None:
    """Its names would be dropped from the kernel once a second."""
    mount.workspace.delete("data:v1")
    mount.used = {1}
    mount.releasing.release()
    mount.workspace.undelete("data:v1")
    mount.releasing.release()
    assert mount.asked == [[1]]
    mount.workspace.delete("data:v1")
    mount.used = set()
    mount.releasing.release()
    assert mount.asked == [[1], [1]]
    assert mount.leased() == [0, 2, 3, 4, 5]


def _take_in_vain(mount: Mount) -> None:
    mount.leases.take(mount.artifact, 1, 1)
    mount.counters.slot(0).add(Field.STRAY_LEASES)


def _be_killed(mount: Mount) -> None:
    mount.leases.take(mount.artifact, 1, 1)
    mount.counters.slot(0).add(Field.RESTARTS)


@pytest.mark.parametrize("leave", [_take_in_vain, _be_killed])
def test_leases_that_a_worker_leaves_behind_are_found(mount: Mount, leave: Callable[[Mount], None]) -> None:
    mount.workspace.delete("data:v1")
    mount.releasing.release()
    assert mount.leased() == [0, 2, 3, 4, 5]
    leave(mount)
    assert mount.releasing.release()
    assert mount.leased() == [0, 2, 3, 4, 5]


def test_the_deadlist_is_read_only_after_deletions(mount: Mount, monkeypatch: pytest.MonkeyPatch) -> None:
    mount.workspace.delete("data:v1")
    mount.releasing.release()
    monkeypatch.setattr(deadlist, "entries", lambda _: pytest.fail("nothing was deleted since"))
    mount.releasing.release()
    mount.workspace.aliases.set("data:v2", "good")
    mount.releasing.release()
