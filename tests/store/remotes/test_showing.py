"""What readers see of a remote: the log's living versions that are not local, under numbers that stay."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from artstore.errors import NotFoundError
from artstore.objects import probing
from artstore.remotes import adding
from artstore.remotes.connecting import choose, connect
from artstore.remotes.exchanging import clone
from artstore.remotes.log.appending import append
from artstore.remotes.log.entries import Transaction
from artstore.remotes.log.operations import RELEASES_ALIASES, Delete
from artstore.remotes.log.state import LIVE, State
from artstore.remotes.showing import show
from artstore.rows.views import is_lazy, shown_to
from artstore.workspace import Workspace, init_workspace
from store.oracle import assert_sound
from store.remotes.log.test_appending import MemoryNotes


@pytest.fixture(autouse=True)
def short_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adding, "probe", partial(probing.probe, threads=4, rounds=1))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "bucket").mkdir()
    return tmp_path / "bucket"


@pytest.fixture
def pushed(workspace: Workspace, tmp_path: Path, place: Path) -> Workspace:
    source = tmp_path / "source"
    source.mkdir()
    for name, count in (("a/b/one", 2), ("a/two", 1), ("top", 1)):
        for number in range(count):
            (source / "file").write_text(f"{name} {number}")
            workspace.put(source, name, aliases=["first"] if not number else [])
    workspace.remotes.add("origin", place.as_uri())
    workspace.remotes.push(every=True)
    return workspace


@pytest.fixture
def cloned(pushed: Workspace, place: Path, tmp_path: Path) -> Iterator[Workspace]:
    with Workspace(clone(place.as_uri(), tmp_path / "clone")) as made:
        yield made


def names(workspace: Workspace) -> list[str]:
    return [artifact.name for artifact in workspace.artifacts()]


def inodes(workspace: Workspace) -> dict[str, tuple[int, int]]:
    """Return the numbers from which a mount makes inodes."""
    found = {}
    with workspace.store.snapshot() as snapshot:
        for artifact in snapshot.all_artifacts():
            for version in snapshot.versions_of(artifact.number):
                found[f"{artifact.name}:v{version.number}"] = artifact.number, version.mount
    return found


def test_names_projects_and_numbers(cloned: Workspace) -> None:
    """Each artifact, in its projects, is found and listed; a second fetch changes nothing."""
    assert names(cloned) == ["a/b/one", "a/two", "top"]
    with cloned.store.snapshot() as snapshot:
        assert {(each.component, each.is_artifact) for each in snapshot.names_in("")} == {("a", False), ("top", True)}
        assert {each.component for each in snapshot.names_in("a")} == {"b", "two"}
        edition = snapshot.edition
    before = inodes(cloned)
    assert len({mount for _, mount in before.values()}) == 4
    cloned.remotes.fetch()
    assert inodes(cloned) == before
    with cloned.store.snapshot() as snapshot:
        assert snapshot.edition == edition


def test_a_name_of_this_workspace_hides_that_of_the_remote(pushed: Workspace, place: Path, tmp_path: Path) -> None:
    """An artifact from before the remote was known is shown alone; a project stays one, and shows what both have."""
    (tmp_path / "x").write_text("x")
    with init_workspace(tmp_path / "apart") as apart:
        apart.put(tmp_path / "x", "top")
        apart.put(tmp_path / "x", "a/mine")
        apart.remotes.add("origin", place.as_uri())
        for _ in range(2):
            apart.remotes.fetch()
            assert names(apart) == ["a/b/one", "a/mine", "a/two", "top"]
            assert [is_lazy(version.record) for version in apart.versions("top")] == [False]
            assert apart.version("top").read_bytes("x") == b"x"
            assert apart.aliases.of("top") == {"latest": 0}
            assert apart.version("a/two").read_text("file") == "a/two 0"
        assert_sound(apart)


def test_a_version_that_the_log_deletes_is_gone(cloned: Workspace) -> None:
    """It goes with its aliases, and an artifact without versions and its projects go too; numbers of others stay."""
    before = inodes(cloned)
    remote = connect(cloned.store, *choose(cloned.store, None))
    artifact = remote.state.artifact("a/b/one")
    assert artifact is not None

    def delete(number: int) -> None:
        def prepare(state: State) -> list[Transaction]:
            if state.versions[artifact.uuid, number].state != LIVE:
                return []
            there = state.artifacts[artifact.uuid]
            return [state.transaction(Delete(artifact.uuid, number, there.revision, 1 << 62, RELEASES_ALIASES, ""))]

        assert append(remote.log, remote.machine, prepare, MemoryNotes()).verdicts == (None,)
        show(cloned.store, remote)

    delete(0)
    assert [version.number for version in cloned.versions("a/b/one")] == [1]
    assert cloned.aliases.of("a/b/one") == {"latest": 1}
    delete(1)
    assert names(cloned) == ["a/two", "top"]
    with cloned.store.snapshot() as snapshot:
        assert [each.component for each in snapshot.names_in("a")] == ["two"]
    after = inodes(cloned)
    assert after == {name: number for name, number in before.items() if name in after}


def test_a_remote_that_is_forgotten_shows_nothing(cloned: Workspace) -> None:
    """What was pulled stays; there is no trace of the rest."""
    cloned.remotes.pull("a/two")
    cloned.remotes.remove("origin", keep_local=True)
    assert names(cloned) == ["a/two"]
    with cloned.store.snapshot() as snapshot:
        assert [each.component for each in snapshot.names_in("")] == ["a"]
        assert shown_to(snapshot.transaction, bytes(16)) is None
    with pytest.raises(NotFoundError):
        cloned.version("top")
    assert_sound(cloned)
