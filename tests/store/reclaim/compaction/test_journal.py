"""Writing the journal again: the same catalogue from fewer events, and the right file found whatever was cut short."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from artstore.errors import ArtfsError, DamageError, DiskError, OutOfSpaceError
from artstore.reclaim.compaction import compact_journal
from artstore.records.journal_frames import encode_records
from artstore.storage import journal, manifest
from artstore.store import Store
from artstore.workspace import Workspace
from crash.recount import contradictions
from messages import raises
from store.reclaim.compaction.conftest import Faults

Event = dict[str, Any]


@pytest.fixture
def busy(workspace: Workspace, tmp_path: Path) -> Workspace:
    """Return a workspace where much has come and gone: two artifacts, one of them without versions by now."""
    for number in range(6):
        (tmp_path / "file").write_bytes(b"number %d" % number)
        workspace.put(tmp_path, "team/data", type="dataset", description=f"the {number}th", metadata={"n": number})
    workspace.put(tmp_path, "other")
    for step in range(60):
        workspace.aliases.set(f"team/data:v{step % 6}", "good", f"step{step % 4}")
    workspace.tags.add("team/data:v4", "first", "second")
    workspace.tags.remove("team/data:v4", "first")
    workspace.aliases.set("team/data:v3", "waits")
    workspace.delete("team/data:v0..v2", "other:v0", force=True, now=True)
    workspace.delete("team/data:v3", force=True)
    return workspace


def events(workspace: Workspace) -> list[Event]:
    return list(journal.replay(journal.journal_path(workspace.path)))


def names(workspace: Workspace) -> list[str]:
    return sorted(os.listdir(workspace.path / "journal"))


def generation(workspace: Workspace) -> int:
    with manifest.read(workspace.path) as transaction:
        return transaction.counters().journal_generation


def test_the_same_catalogue_from_fewer_events(busy: Workspace) -> None:
    """What is gone leaves only its numbers; what waits can still be undeleted, aliases and all."""
    before = {(event["event"], event.get("number")): event for event in events(busy)}
    serial = max(event["serial"] for event in events(busy) if event["event"] == "version")
    old, new = compact_journal(busy.store)
    assert names(busy) == ["catalogue.1.journal"] and generation(busy) == 1
    assert journal.journal_path(busy.path).stat().st_size == new < old
    assert contradictions(busy.path) == []
    rewritten = events(busy)
    assert [event["event"] for event in rewritten] == [
        *("artifact", "artifact", "version", "delete", "version", "tags", "version"),
        *["alias"] * sum(event["event"] == "alias" for event in rewritten),
    ]
    assert {(event["name"], event["next_version"], event["type"]) for event in rewritten[:2]} == {
        ("team/data", 6, "dataset"),
        ("other", 1, None),
    }
    assert all(event["next_serial"] == serial + 1 and event["created_ns"] for event in rewritten[:2])
    assert rewritten[6] == before["version", 5]
    assert {event["alias"] for event in rewritten if event["event"] == "alias"} == {
        alias for version in busy.versions("team/data") for alias in version.aliases
    } - {"latest"}
    assert set(busy.undelete("team/data:v3").aliases) == set(rewritten[3]["aliases"]) == {"waits", "step1"}
    assert contradictions(busy.path) == []


def test_it_goes_on_from_there(busy: Workspace, tmp_path: Path) -> None:
    """Later events are appended to the new generation, which is rewritten in its turn."""
    compact_journal(busy.store)
    for step in range(60):
        busy.aliases.set(f"team/data:v{4 + step % 2}", "good")
    (tmp_path / "file").write_bytes(b"more")
    assert busy.put(tmp_path, "other").name == "other:v1"
    compact_journal(busy.store)
    assert names(busy) == ["catalogue.2.journal"]
    assert contradictions(busy.path) == []


def test_what_saves_no_block_is_left(workspace: Workspace, tmp_path: Path) -> None:
    """A journal that is short, or says nothing in vain, is not rewritten."""
    (tmp_path / "file").write_bytes(b"content")
    workspace.put(tmp_path, "data")
    length = journal.journal_path(workspace.path).stat().st_size
    assert compact_journal(workspace.store) == (length, length)
    assert names(workspace) == ["catalogue.journal"] and generation(workspace) == 0


def test_what_is_appended_meanwhile_is_kept(busy: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between reading the journal and replacing it: what was read is read again."""
    original: Callable[[Store], Any] = Store.write

    def late(self: Store) -> Any:
        monkeypatch.setattr(Store, "write", original)
        busy.aliases.set("team/data:v5", "late")
        return original(self)

    monkeypatch.setattr(Store, "write", late)
    compact_journal(busy.store)
    assert generation(busy) == 1
    assert "late" in busy.version("team/data:v5").aliases
    assert contradictions(busy.path) == []


def test_killed_before_the_commit(busy: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two generations that say the same; the next writer removes the one that is not in use before it appends."""
    before = events(busy)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(manifest, "_commit", killed)
        compact_journal(busy.store)
    assert names(busy) == ["catalogue.1.journal", "catalogue.journal"] and generation(busy) == 0
    assert _catalogue(events(busy)) == _catalogue(before)
    assert contradictions(busy.path) == []
    busy.aliases.set("team/data:v5", "late")
    assert names(busy) == ["catalogue.journal"]
    assert events(busy)[-1]["alias"] == "late"
    assert contradictions(busy.path) == []


def test_killed_after_the_commit(busy: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old generation is still there; whoever comes next removes it, with what killed writers left."""
    before = (busy.path / "journal" / "catalogue.journal").read_bytes()
    compact_journal(busy.store)
    for write in (lambda: busy.aliases.set("team/data:v5", "late"), lambda: compact_journal(busy.store)):
        (busy.path / "journal" / "catalogue.journal").write_bytes(before)
        (busy.path / "journal" / ".catalogue.2.journal.77.tmp").write_bytes(b"{")
        (busy.path / "journal" / "README").write_bytes(b"not ours")
        assert _catalogue(events(busy))
        write()
        assert names(busy) == ["README", "catalogue.1.journal"]
        assert contradictions(busy.path) == []


def test_what_a_killed_writer_left_goes_with_the_next_gc(busy: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where that gc has nothing else to do."""
    with monkeypatch.context() as patch:
        patch.setattr(journal, "remove_others", lambda *_: None)
        compact_journal(busy.store)
    assert len(names(busy)) == 2
    before = busy.usage().manifest_bytes
    busy.gc()
    assert names(busy) == ["catalogue.1.journal"]
    assert busy.usage().manifest_bytes < before
    assert contradictions(busy.path) == []


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_faults_at_every_call(busy: Workspace, faults: Faults, number: int, after: bool) -> None:
    """Before or after each call of the disk: one sentence, the same catalogue, and the next run does it."""
    catalogue = _catalogue(events(busy))
    nth, failed = 0, 0
    while True:
        nth += 1
        faults.arm(nth, OSError(number, os.strerror(number)), after=after)
        try:
            compact_journal(busy.store)
        except ArtfsError as error:
            failed += 1
            assert isinstance(error, OutOfSpaceError | DiskError | DamageError)
        except OSError:
            failed += 1  # of the removal of the old one
        reached = faults.disarm() >= nth
        assert contradictions(busy.path) == []
        assert _catalogue(events(busy)) == catalogue
        if not reached:
            break
        for step in range(60):
            busy.aliases.set(f"team/data:v{4 + step % 2}", "turn")
        catalogue = _catalogue(events(busy))
    assert failed >= 2 and names(busy) == [f"catalogue.{generation(busy)}.journal"]


@pytest.mark.parametrize("lacks", [("event", "version"), ("event", "delete"), ("alias", "good")])
def test_one_that_contradicts_the_manifest_is_left(busy: Workspace, lacks: tuple[str, str]) -> None:
    """Refused, and nothing is changed: a rebuild from what would be written would lose something."""
    path = journal.journal_path(busy.path)
    ours = [(index, event) for index, event in enumerate(events(busy)) if event["name"] == "team/data"]
    last = max(index for index, event in ours if event.get(lacks[0]) == lacks[1])
    kept = encode_records(event for index, event in enumerate(events(busy)) if index != last)
    path.write_bytes(kept)
    with busy.store.write() as transaction:
        transaction.state.journal_end = len(kept)
    with raises(DamageError, names=["the journal"]):
        compact_journal(busy.store)
    assert path.read_bytes() == kept and names(busy) == ["catalogue.journal"]


@pytest.mark.parametrize("event", [{"event": "unheard of", "name": "team/data"}, {"event": "tags"}, {"name": "x"}])
def test_what_is_not_understood_is_left(busy: Workspace, event: Event) -> None:
    """An event of another kind, or without what one of its kind has, may mean anything."""
    with busy.store.write() as transaction:
        journal.append_records(busy.path, transaction, [event])
    with raises(DamageError, names=[str(busy.path)], reason="journal contradicts itself"):
        compact_journal(busy.store)
    assert generation(busy) == 0


def test_a_journal_that_is_gone_is_damage(busy: Workspace) -> None:
    """Neither rewritten from nothing nor made by the next writer."""
    journal.journal_path(busy.path).unlink()
    with raises(DamageError, names=[str(busy.path)], reason="missing"):
        compact_journal(busy.store)
    with raises(DamageError, names=[str(busy.path)], reason="missing"):
        busy.aliases.set("team/data:v5", "late")


def test_modes_are_kept(busy: Workspace) -> None:
    """The new generation is whose the old one was."""
    journal.journal_path(busy.path).chmod(0o640)
    compact_journal(busy.store)
    assert journal.journal_path(busy.path).stat().st_mode & 0o777 == 0o640


def _catalogue(rewritten: list[Event]) -> object:
    """Return what events lead to, but for what has been reaped: versions with tags and deletions, and aliases."""
    versions: dict[str, Event] = {}
    aliases: dict[str, int] = {}
    for event in rewritten:
        place = f"{event['name']}:{event.get('number', event.get('version'))}"
        match event["event"]:
            case "version":
                versions[place] = {"made": event}
            case "tags":
                versions[place]["tags"] = event["tags"]
            case "delete":
                versions[place]["deleted"] = event
                for alias in event["aliases"]:
                    aliases.pop(f"{event['name']}:{alias}", None)
            case "undelete":
                versions[place].pop("deleted")
            case "alias" if event["version"] is None:
                aliases.pop(f"{event['name']}:{event['alias']}", None)
            case "alias":
                aliases[f"{event['name']}:{event['alias']}"] = event["version"]
    reaped = [place for place in versions if place in {"other:0", "team/data:0", "team/data:1", "team/data:2"}]
    return json.dumps([{place: versions[place] for place in versions if place not in reaped}, aliases], sort_keys=True)
