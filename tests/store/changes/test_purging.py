"""Purging: the content is nowhere, the versions are still there, and they say what happened."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from artstore.errors import BusyError, InvalidInputError, NotFoundError, RefusedError
from artstore.ingest.staging import Stager
from artstore.reclaim import compaction
from artstore.rows import space
from artstore.storage import disk
from artstore.storage.journal import journal_path, replay
from artstore.workspace import Workspace
from crash.recount import contradictions
from messages import raises

SECRET = os.urandom(300_000) + b"the name of a person" * 20


@pytest.fixture
def held(workspace: Workspace, tmp_path: Path) -> Workspace:
    """Return a workspace in which three versions hold the secret, one of them twice and deleted."""
    folder = tmp_path / "folder"
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "b" / "secret").write_bytes(SECRET)
    (folder / "kept").write_bytes(os.urandom(100_000))
    workspace.put(folder, "x", aliases=["prod"])
    (folder / "other").write_bytes(b"other")
    workspace.put(folder, "x")
    (folder / "copy").write_bytes(SECRET)
    workspace.put(folder, "x")
    workspace.delete("x:v2")
    return workspace


def on_disk(workspace: Workspace) -> bytes:
    return b"".join(
        path.read_bytes() for path in workspace.path.rglob("*") if path.is_file() and path.name != "reserve"
    )


def assert_gone(workspace: Workspace) -> None:
    everything = on_disk(workspace)
    assert SECRET[:40] not in everything and SECRET[-40:] not in everything
    assert contradictions(workspace.path) == []


def test_it_is_taken_out_of_every_version(held: Workspace) -> None:
    """Living and deleted ones; numbers, aliases and all else stay, and the records tell."""
    before = held.version("x:prod")
    secret = before.stat("a/b/secret").digest
    promised = held.purge("x:v0/a/b/secret", reason="asked for by the person", everywhere=True, dry_run=True)
    assert SECRET[:40] in on_disk(held)
    done = held.purge("x:v0/a/b/secret", reason="asked for by the person", everywhere=True)
    assert done.files == promised.files
    assert sorted(done.files) == ["x:v0/a/b/secret", "x:v1/a/b/secret", "x:v2/a/b/secret", "x:v2/copy"]
    assert (done.digests, done.shared_bytes, done.waiting) == ([secret], 0, False)
    assert_gone(held)
    after = held.version("x:prod")
    assert (after.name, after.file_count) == ("x:v0", before.file_count - 1)
    assert after.digest != before.digest
    assert [file.name for file in after.listdir("a/b")] == []
    (record,) = after.purged
    assert (record["path"], record["id"], record["reason"]) == ("a/b/secret", secret, "asked for by the person")
    assert record["old_digest"] == before.digest and record["purged_ns"] > 0
    back = held.undelete("x:v2").version
    assert sorted(file.name for file in back.listdir()) == ["a", "kept", "other"]
    assert len(back.purged) == 2
    events = [event for event in replay(journal_path(held.path)) if event["event"] == "purge"]
    assert [event["version"] for event in events] == [0, 1, 2]
    with pytest.raises(NotFoundError):
        held.purge(secret, reason="again")


def test_other_versions_need_to_be_meant(held: Workspace) -> None:
    """Without ``everywhere`` it is refused by name, and nothing is changed."""
    digest = held.version("x:v0").stat("a/b/secret").digest
    for target in ("x:v0/a/b/secret", digest):
        with raises(RefusedError, names=["x:v1"]):
            held.purge(target, reason="r")
    assert held.version("x:v0").read_bytes("a/b/secret") == SECRET
    held.delete("x:v1")
    held.gc(now=True)
    held.purge("x:v0/a/b/secret", reason="r")  # the one that is named is the only one
    assert_gone(held)


def test_a_folder_and_a_part_of_a_file(held: Workspace, tmp_path: Path) -> None:
    """A folder is purged of its files and stays; chunks that other content has stay with it, and are told."""
    held.purge("x:v0/a", reason="r", everywhere=True)
    assert_gone(held)
    assert held.version("x:v0").stat("a/b").kind == "directory"
    big, tail = os.urandom(3_000_000), os.urandom(100_000)
    (tmp_path / "one").write_bytes(big)
    (tmp_path / "two").write_bytes(big + tail)
    held.put(tmp_path / "one", "one")
    held.put(tmp_path / "two", "two")
    done = held.purge("two:v0/two", reason="r")
    assert done.shared_bytes > 2_000_000
    assert held.version("one").read_bytes("one") == big
    assert contradictions(held.path) == []


def test_what_is_refused(held: Workspace) -> None:
    """A purge without reason, of a whole version, of what is not there, or of what a put is using."""
    with raises(InvalidInputError, names=["reason"]):
        held.purge("x:v0/kept", reason=" ")
    with raises(InvalidInputError, names=["'x:v0'"]) as caught:
        held.purge("x:v0", reason="r")
    assert "artfs rm" in caught.value.hint
    with pytest.raises(NotFoundError):
        held.purge("x:v0/nothing", reason="r")
    with pytest.raises(NotFoundError):
        held.purge("0" * 64, reason="r")
    base = held.version("x:v1").record
    stager = Stager(held.store, "x", "test")
    stager.hold_base(base.serial, base.root)
    try:
        with raises(BusyError, names=["a put", str(os.getpid())]):
            held.purge("x:v0/a/b/secret", reason="r", everywhere=True)
    finally:
        stager.close()
    held.purge("x:v0/a/b/secret", reason="r", everywhere=True)
    assert_gone(held)


def test_what_was_half_reaped_goes_too(held: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits on the deadlist without a version is overwritten with the rest."""
    from artstore.reclaim import reaper

    held.delete("x:v1")
    monkeypatch.setattr(reaper, "STEP_NODES", 1)
    reaper.Reaper(held.store).step(now=True)
    monkeypatch.undo()
    held.purge("x:v0/a/b/secret", reason="r", everywhere=True)
    assert_gone(held)


def test_a_put_of_the_same_content_makes_it_anew(held: Workspace, tmp_path: Path) -> None:
    """Purging forbids nothing for the future; what the put remembers of its source does not mislead it."""
    held.purge("x:v0/a/b/secret", reason="r", everywhere=True)
    again = held.put(tmp_path / "folder", "x")
    assert again.read_bytes("copy") == SECRET
    assert contradictions(held.path) == []


def test_places_from_before_a_pack_was_copied_are_overwritten(held: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copied pack that could not go, because something in it is damaged, keeps no old copy of what is purged."""
    with monkeypatch.context() as patch:
        for module in (compaction, compaction.loose_packs):
            patch.setattr(module, "remove_empty", lambda *_: 0)
        patch.setattr(disk, "punch_hole", lambda *_: False)
        with space.exclusive(held.path):
            compaction.compact_pack(held.store, 1)
        held.gc()
    assert on_disk(held).count(SECRET[:40]) == 2
    held.purge("x:v0/a/b/secret", reason="r", everywhere=True)
    assert_gone(held)
    usage = held.usage()
    assert usage.disk_bytes == sum(path.stat().st_blocks * 512 for path in [held.path, *held.path.rglob("*")])


def test_a_larger_file_with_the_same_chunk_stays(workspace: Workspace, tmp_path: Path) -> None:
    """Only files whose whole content is meant are taken; a chunk that another file has too stays with that one."""
    folder = tmp_path / "zeros"
    folder.mkdir()
    (folder / "small").write_bytes(bytes(1 << 20))
    (folder / "large").write_bytes(bytes(5 << 20))
    version = workspace.put(folder, "zeros")
    done = workspace.purge(version.stat("small").digest, reason="r")
    assert done.files == ["zeros:v0/small"]
    assert workspace.version("zeros").read_bytes("large") == bytes(5 << 20)
    assert contradictions(workspace.path) == []
