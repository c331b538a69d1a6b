"""The history of a version's description and metadata, through renames, rewritten journals and rebuilds."""

from __future__ import annotations

from pathlib import Path

import pytest

from artstore.errors import DamageError
from artstore.queries.revisions import revisions_of
from artstore.reclaim.compaction import compact_journal
from artstore.repairing.rebuild import rebuild
from artstore.storage import journal
from artstore.workspace import Workspace
from messages import raises
from store.lived import reopened

STATES = [("two", {"n": 2}), ("two", {"n": 1}), ("one", {"n": 1})]


@pytest.fixture
def revised(workspace: Workspace, tmp_path: Path) -> Workspace:
    """A workspace with a version that was described twice, and others that were too."""
    for name in ("a", "other"):
        (tmp_path / "file").write_text(name)
        workspace.put(tmp_path / "file", name, description="one", metadata={"n": 1})
        workspace.describe(f"{name}:v0", "two")
        workspace.metadata.set(name, {"n": 2})
    (tmp_path / "file").write_text("more")
    workspace.put(tmp_path / "file", "a")
    workspace.describe("a:v1", "the next version")
    return workspace


def states(ws: Workspace, name: str = "a:v0") -> list[tuple[str, dict[str, object]]]:
    return [(state.description, state.metadata) for state in ws.metadata.log(name)]


def test_the_states_of_a_version(revised: Workspace) -> None:
    """The newest comes first, the last is what it was made with; times ascend from its creation."""
    assert states(revised) == STATES
    times = [state.at for state in revised.metadata.log("a:v0")]
    assert times == sorted(times, reverse=True) and times[-1] == revised.version("a:v0").created_at
    assert states(revised, "a:v1") == [("the next version", {}), ("", {})]


def test_a_renamed_artifact(revised: Workspace) -> None:
    """Changes under all its names belong to it, and those of a later artifact of the old name do not exist."""
    revised.rename("a", "p/b")
    revised.describe("p/b:v0", "three")
    assert states(revised, "p/b:v0") == [("three", {"n": 2}), *STATES]


def test_rewriting_the_journal_keeps_it(revised: Workspace) -> None:
    """Compaction copies the revisions of a version."""
    for number in range(60):
        revised.aliases.set("a:v0", f"alias-{number}")
        revised.aliases.remove("a", f"alias-{number}")
    before, after = compact_journal(revised.store)
    assert after < before
    assert states(revised) == STATES
    assert states(revised, "other:v0") == STATES


def test_a_rebuild_keeps_it(revised: Workspace) -> None:
    """The journal is what a rebuild starts from."""
    (revised.path / "manifest.1" / "data.mdb").unlink()
    path = revised.path
    revised.close()
    rebuild(path)
    assert states(reopened(revised)) == STATES


def test_a_journal_that_is_rewritten_meanwhile(revised: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file that the counters named may be gone when it is opened; the next one is read."""
    replay, calls = journal.replay, []

    def once_gone(path: Path, end: int | None = None) -> object:
        calls.append(path)
        if len(calls) == 1:
            raise FileNotFoundError(path)
        return replay(path, end)

    monkeypatch.setattr(journal, "replay", once_gone)
    assert states(revised) == STATES and len(calls) == 2


def test_a_journal_without_the_version(revised: Workspace) -> None:
    """It is damage, which names the serial."""
    record = revised.version("a:v0").record
    path = journal.journal_path(revised.path)
    path.write_bytes(b"\0" * path.stat().st_size)
    with raises(DamageError, names=[str(record.serial)]):
        revisions_of(revised.store, record)
    path.unlink()
    with pytest.raises(DamageError):
        revisions_of(revised.store, record)


def test_who_made_a_change(revised: Workspace) -> None:
    """The user and host of each, as far as origins were recorded."""
    origin = revised.version("a:v0").origin
    revised.configure(record_origin=False)
    revised.describe("a:v0", "three")
    who = f"{origin['user']}@{origin['host']}"
    assert [state.by for state in revised.metadata.log("a:v0")] == ["", who, who, who]
