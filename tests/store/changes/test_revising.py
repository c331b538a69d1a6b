"""Later changes of descriptions and metadata: journalled, kept as history, and purged from it without a trace."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from artstore.changes import committing, revising
from artstore.changes.revising import forget_descriptions, forget_metadata, revise
from artstore.errors import BusyError, InvalidInputError, NotFoundError
from artstore.reclaim.compaction import environment
from artstore.storage import journal
from artstore.workspace import Workspace
from messages import raises
from store.oracle import assert_sound

SECRET = "hunter2-hunter2"


@pytest.fixture
def described(workspace: Workspace, tmp_path: Path) -> Workspace:
    (tmp_path / "file").write_bytes(b"1")
    workspace.put(tmp_path / "file", "a", description="first", metadata={"acc": 0.5, "token": SECRET})
    return workspace


def metadata(ws: Workspace) -> dict[str, Any]:
    return ws.version("a").metadata


def changes(ws: Workspace) -> list[dict[str, Any]]:
    events = list(journal.replay(journal.journal_path(ws.path)))
    return [event for event in events if event["event"] == "revision"]


def files_with(ws: Workspace, data: str) -> list[str]:
    """Return the files of a workspace that contain a text."""
    return [path.name for path in ws.path.rglob("*") if path.is_file() and data.encode() in path.read_bytes()]


def test_changes_of_keys(described: Workspace) -> None:
    """Keys are set and removed one by one, and the others keep their values."""
    record = described.version("a").record
    revised = revise(described.store, record, update={"acc": 0.9, "n": [1]}, remove=["token"])
    assert revised.changed and revised.artifact.name == "a"
    assert metadata(described) == revised.record.metadata == {"acc": 0.9, "n": [1]}
    assert revise(described.store, record, description="").record.description == ""
    assert revise(described.store, record, metadata={"new": 1}).record.metadata == {"new": 1}
    assert len(changes(described)) == 3 and all(event["at_ns"] for event in changes(described))
    assert_sound(described)


def test_a_change_makes_no_version(described: Workspace, tmp_path: Path) -> None:
    """The digest stays, and the next put of the content without metadata leads to the same version."""
    before = described.version("a")
    described.metadata.set("a", {"acc": 1})
    assert described.version("a").digest == before.digest
    again = described.put(tmp_path / "file", "a")
    assert again.number == 0 and again.receipt is not None and not again.receipt.created


def test_what_changes_nothing_is_not_journalled(described: Workspace) -> None:
    """Equal values are no change; true is not 1, and 1.0 is 1."""
    record = described.version("a").record
    revise(described.store, record, update={"one": 1})
    assert not revise(described.store, record, update={"one": 1.0}, description="first").changed
    assert len(changes(described)) == 1
    assert revise(described.store, record, update={"one": True}).changed
    assert metadata(described)["one"] is True
    assert_sound(described)


def test_all_or_none(described: Workspace) -> None:
    """A key that is not there refuses the call, and so does a version that was deleted."""
    record = described.version("a").record
    with raises(NotFoundError, names=["a:v0", "'none'"]):
        revise(described.store, record, update={"acc": 1}, remove=["token", "none"])
    with raises(InvalidInputError, names=[]):
        revise(described.store, record, update={"acc": float("nan")})
    with raises(InvalidInputError, names=["5 (int)"]):
        revise(described.store, record, description=5)  # type: ignore[arg-type]
    assert metadata(described) == {"acc": 0.5, "token": SECRET} and changes(described) == []
    described.delete("a:v0")
    with pytest.raises(NotFoundError):
        revise(described.store, record, update={"acc": 1})
    with pytest.raises(NotFoundError):
        forget_metadata(described.store, record, ["token"])


def test_reserved_keys(described: Workspace, tmp_path: Path) -> None:
    """Users cannot write what artfs writes, on no way; replacing all metadata keeps it."""
    for write in (
        lambda: described.put(tmp_path / "file", "a", metadata={"artfs.x": 1}),
        lambda: described.metadata.set("a", {"artfs.x": 1}),
        lambda: described.metadata.remove("a", "artfs.x"),
        lambda: described.metadata.remove("a", "artfs.x", purge=True),
        lambda: described.revise("a", metadata={"artfs.x": 1}),
    ):
        with raises(InvalidInputError, names=["'artfs.x'", "'artfs.'"]):
            write()
    request = committing.Commit.checked("a", metadata={"acc": 1})
    assert request.metadata == {"acc": 1}
    record = described.version("a").record
    with described.store.write() as transaction:
        revising.catalogue.put_version(
            transaction, revising.replace(record, metadata={**record.metadata, "artfs.x": 1})
        )
    described.revise("a", metadata={"b": 2})
    assert metadata(described) == {"b": 2, "artfs.x": 1}
    described.revise("a", metadata={**metadata(described), "c": 3})  # what was read can be written
    assert metadata(described) == {"b": 2, "artfs.x": 1, "c": 3}
    with pytest.raises(InvalidInputError):
        described.revise("a", metadata={"artfs.x": True})
    assert described.link("a", "linked").metadata == metadata(described)


def test_changes_by_threads(described: Workspace) -> None:
    """Each sets its own key, and none is lost: the whole is read in the transaction that writes it."""
    names = [f"k{number}" for number in range(8)]
    threads = [threading.Thread(target=described.metadata.set, args=("a", {name: 1})) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert metadata(described).keys() == {*names, "acc", "token"}
    assert_sound(described)


def test_purging_metadata(described: Workspace) -> None:
    """The value is then in no file of the workspace, whether the version has it or only its history."""
    other = described.put(described.path / "artfs.json", "b", metadata={"token": "of another"})
    described.metadata.set("a", {"token": f"{SECRET}-2"})
    described.metadata.remove("a", "token")
    assert files_with(described, SECRET)
    forget_metadata(described.store, described.version("a").record, ["token"])
    assert files_with(described, SECRET) == []
    assert metadata(described) == {"acc": 0.5}
    assert [state.metadata for state in described.metadata.log("a")] == [{"acc": 0.5}]
    assert described.version(other.name).metadata == {"token": "of another"}
    with raises(NotFoundError, names=["a:v0", "'token'"]):
        forget_metadata(described.store, described.version("a").record, ["token"])
    assert_sound(described)


def test_purging_a_value_in_use(described: Workspace) -> None:
    """A key that the version has leaves its record and its history in one call."""
    forget_metadata(described.store, described.version("a").record, ["token"])
    assert files_with(described, SECRET) == [] and metadata(described) == {"acc": 0.5}
    assert_sound(described)


def test_purging_descriptions(described: Workspace) -> None:
    """The new description is then the only one that the version ever had; other versions keep theirs."""
    described.describe("a:v0", f"with {SECRET}!")
    described.metadata.remove("a", "token", purge=True)
    forget_descriptions(described.store, described.version("a").record, "clean")
    assert files_with(described, SECRET) == []
    assert {state.description for state in described.metadata.log("a")} == {"clean"}
    assert_sound(described)


def test_purging_beside_a_reader(described: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long read transaction refuses it; the value is then still in the history, and the next call purges it."""
    monkeypatch.setattr(environment, "READER_SECONDS", 0.1)
    record = described.version("a").record
    with described.store.snapshot(), pytest.raises(BusyError):
        done = []
        thread = threading.Thread(target=lambda: done.append(_outcome(described, record)))
        thread.start()
        thread.join()
        if isinstance(done[0], Exception):
            raise done[0]
    assert "token" not in metadata(described) and files_with(described, SECRET)
    forget_metadata(described.store, record, ["token"])
    assert files_with(described, SECRET) == []
    assert_sound(described)


def _outcome(ws: Workspace, record: Any) -> object:
    try:
        return forget_metadata(ws.store, record, ["token"])
    except BusyError as error:
        return error
