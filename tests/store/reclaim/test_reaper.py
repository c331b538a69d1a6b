"""The reaper: bounded steps, nothing too early, nothing twice, and a stop on doubt."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from artstore.errors import BusyError, DamageError, NotFoundError, OutOfSpaceError
from artstore.ids import content_id
from artstore.ingest.staging import Stager
from artstore.reclaim.reaper import STEP_NODES, Reaper, reap
from artstore.records.tables import Table
from artstore.rows import deadlist, drafts, space
from artstore.rows.nodes import change_counts
from artstore.storage import disk
from artstore.storage.codec import encode
from artstore.storage.packs import pack_path
from artstore.workspace import Workspace
from crash.recount import contradictions
from messages import missing, raises


@pytest.fixture
def many(workspace: Workspace, tmp_path: Path) -> Workspace:
    """Return a workspace with a version of 3000 small files and one of a single file."""
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(3000):
        (folder / f"{number}").write_bytes(b"%d" % number * 20)
    workspace.put(folder, "a")
    for number in range(1, 3000):
        (folder / f"{number}").unlink()
    workspace.put(folder, "a")
    return workspace


def test_a_large_version_goes_in_bounded_steps(many: Workspace) -> None:
    """Between two steps all is sound, and the version cannot come back once the first was taken."""
    promised = many.delete("a:v0").freed_bytes
    reaper = Reaper(many.store)
    steps = [reaper.step(now=True)]
    assert 0 < steps[0].nodes <= STEP_NODES + 1
    assert contradictions(many.path) == []
    with raises(NotFoundError, names=["a:v0"], reason="content freed"):
        many.undelete("a:v0")
    while steps[-1].more:
        steps.append(reaper.step(now=True))
        assert contradictions(many.path) == []
    assert len(steps) >= 4 and all(step.nodes <= STEP_NODES + 1 for step in steps)
    assert sum(step.freed_bytes for step in steps) == promised
    assert many.usage().condemned_bytes == many.usage().deadlist_entries == 0
    assert many.version("a:v1").read_bytes("0") == b"0" * 20


def test_any_number_of_reapers_at_once_are_safe(many: Workspace) -> None:
    """They share the work; what is freed is freed once."""
    promised = many.delete("a:v0").freed_bytes
    freed: list[int] = []
    threads = [threading.Thread(target=lambda: freed.append(reap(many.store, now=True).freed_bytes)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(freed) == promised
    assert contradictions(many.path) == []


def test_what_a_reader_may_still_see_is_not_punched(many: Workspace) -> None:
    """A transaction that began before the deletion reads every byte; when it ends, the bytes go."""
    with many.store.snapshot() as snapshot:
        root = snapshot.version(1)
        assert root is not None
        entry = snapshot.resolve(root.root, b"2999")
        assert entry is not None
        done: list[object] = []
        thread = threading.Thread(target=lambda: done.append(many.delete("a:v0", now=True)))
        thread.start()
        thread.join()
        assert snapshot.read(entry.node, 0, 100) == b"2999" * 20
        found: list[list[str]] = []
        asking = threading.Thread(target=lambda: found.append(many.gc().in_use))
        asking.start()
        asking.join()
        (use,) = found[0]
        assert f"process {os.getpid()}, reading since before the deletion" in use
    assert many.usage().deadlist_entries == 1  # a reader from before the deletion might yet open a file of it
    assert many.gc().deadlist_entries == 0
    assert many.usage().condemned_bytes == 0


def test_condemned_bytes_wait_for_the_readers_of_their_time(many: Workspace) -> None:
    """Extents are punched when no transaction is left that could lead to them."""
    many.delete("a:v0")
    with many.store.snapshot() as snapshot:
        version = snapshot.version(2)
        assert version is not None
        promised = many.gc(now=True, dry_run=True).freed_bytes
        done: list[int] = []
        thread = threading.Thread(target=lambda: done.append(many.gc(now=True).condemned_bytes))
        thread.start()
        thread.join()
        assert done == [promised]
    pack = pack_path(many.path, 1)
    before = pack.stat().st_blocks
    assert many.gc().condemned_bytes == many.usage().condemned_bytes == 0
    assert not pack.exists() or pack.stat().st_blocks < before


def test_an_open_file_keeps_its_version_whole(workspace: Workspace, tmp_path: Path) -> None:
    """Through the Python API: readable to the last byte after deletion and gc, and freed when it is closed."""
    data = os.urandom(3_000_000)
    (tmp_path / "f").write_bytes(data)
    workspace.put(tmp_path / "f", "a")
    file = workspace.version("a").open("f")
    assert file.read(10) == data[:10]
    done = workspace.delete("a:v0", now=True)
    assert done.reaped_bytes == 0 and len(done.in_use) == 1 and not missing(done.in_use[0], ["a:v0", "Python API"])
    assert file.read() == data[10:]
    report = workspace.gc()
    assert (report.waiting_entries, report.waiting_bytes) == (1, done.freed_bytes)
    file.close()
    assert workspace.gc().freed_bytes == done.freed_bytes


def test_a_forked_reader_keeps_it_too(workspace: Workspace, tmp_path: Path) -> None:
    """A child that inherited an open file holds the version, and when it is killed it does so no more."""
    (tmp_path / "f").write_bytes(os.urandom(100_000))
    workspace.put(tmp_path / "f", "a")
    file = workspace.version("a").open("f")
    child = os.fork()
    if not child:
        os.read(0, 0)
        signal_wait()
    file.close()
    workspace.delete("a:v0")
    assert workspace.gc(now=True).waiting_entries == 1
    os.kill(child, 9)
    os.waitpid(child, 0)
    assert workspace.gc(now=True).deadlist_entries == 0


def signal_wait() -> None:
    import signal

    signal.pause()
    os._exit(0)


def test_it_stops_on_doubt(many: Workspace) -> None:
    """A count that is too low, a record that does not read: one sentence, and nothing is freed."""
    many.delete("a:v0")
    with many.store.write() as transaction:
        (entry,) = deadlist.entries(transaction)
        change_counts(transaction, {entry.nodes[0]: -1})
    before = many.usage
    with pytest.raises(DamageError):
        many.gc(now=True)
    with many.store.write() as transaction:
        change_counts(transaction, {entry.nodes[0]: 1})
        transaction.raw.put(b"\0" * 16, b"junk", db=transaction.handles[Table.DEADLIST])
    with pytest.raises(DamageError):
        many.gc(now=True)
    with many.store.write() as transaction:
        transaction.delete(Table.DEADLIST, b"\0" * 16)
    assert contradictions(many.path) == []
    assert before().deadlist_entries == 1
    assert many.gc(now=True).deadlist_entries == 0


def test_dead_drafts_are_taken_after_an_hour(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A living draft is never taken, a dead one waits so that its put can be taken up, gc --now does not wait."""
    data = os.urandom(50_000)
    stager = Stager(workspace.store, "a", "test")
    stager.chunk(content_id(data), len(data), encode(data))
    stager._write(None, None)
    monkeypatch.setattr(drafts, "RESUME_SECONDS", 0)
    assert workspace.gc(now=True).freed_nodes == 0
    stager.close(keep=True)
    monkeypatch.undo()
    assert workspace.gc().freed_nodes == 0
    assert len(workspace.drafts.states()) == 1
    assert workspace.gc(now=True).freed_bytes == 50_000
    assert workspace.drafts.states() == [] and list((workspace.path / "run" / "drafts").iterdir()) == []
    assert contradictions(workspace.path) == []


def test_where_holes_are_not_supported(many: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Packs are copied instead, and the space comes back all the same."""
    monkeypatch.setattr(disk, "punch_hole", lambda *_: False)
    pack = pack_path(many.path, 1)
    before = pack.stat().st_size
    done = many.delete("a:v0", now=True)
    assert done.reaped_bytes == done.freed_bytes
    left = sum(path.stat().st_blocks * 512 for path in (many.path / "packs").iterdir())
    assert left < before // 4
    assert many.version("a:v1").read_bytes("0") == b"0" * 20
    assert contradictions(many.path) == []


def test_time_and_entries_can_be_bounded(many: Workspace, tmp_path: Path) -> None:
    """A run of no time takes one step; entries that are not meant stay."""
    many.delete("a:v0")
    done = reap(many.store, now=True, seconds=0)
    assert done.more and 0 < done.freed_nodes <= STEP_NODES + 1
    assert reap(many.store, now=True, only=()).freed_nodes == 0
    assert reap(many.store, now=True).freed_nodes > 1000


def test_another_reaper_that_hangs_is_named(many: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for ever for a stopped process."""
    many.delete("a:v0")
    monkeypatch.setattr(space.exclusive, "__kwdefaults__", None, raising=False)
    with (
        space.exclusive(many.path),
        raises(BusyError, names=[str(many.path)]) as caught,
        space.exclusive(many.path, seconds=0.05),
    ):
        pass
    assert "fuser" in caught.value.hint


def test_a_full_disk_stops_it_cleanly_and_it_goes_on(many: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """What punching meets is one sentence; the next run does the rest."""
    many.delete("a:v0")

    def full(*_: object) -> bool:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(disk, "punch_hole", full)
        with pytest.raises(OutOfSpaceError):
            many.gc(now=True)
    assert contradictions(many.path) == []
    assert many.gc(now=True).deadlist_entries == 0


def test_a_put_on_a_full_disk_reaps_what_was_deleted(
    many: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest first, only as much as is needed, and the receipt says how much."""
    promised = many.delete("a:v0").freed_bytes
    real = disk.free_bytes
    full = [True]

    def free_bytes(folder: Path) -> int:
        with many.store.snapshot() as snapshot:
            full[0] = full[0] and any(True for _ in deadlist.entries(snapshot.transaction))
        return 0 if full[0] else real(folder)

    (tmp_path / "new").write_bytes(b"new")
    monkeypatch.setattr(disk, "free_bytes", free_bytes)
    version = many.put(tmp_path / "new", "b")
    assert version.receipt is not None and version.receipt.reaped_bytes == promised
    with pytest.raises(OutOfSpaceError):
        monkeypatch.setattr(disk, "free_bytes", lambda _: 0)
        many.put(tmp_path / "new", "c")


def test_put_takes_up_what_is_being_reaped(many: Workspace, tmp_path: Path, put_many: Callable[[], None]) -> None:
    """Content that is put again while its old version goes is kept or stored again, never lost."""
    many.delete("a:v0")
    Reaper(many.store).step(now=True)
    put_many()
    many.gc(now=True)
    assert many.version("b").read_bytes("2999") == b"2999" * 20
    assert many.version("b").file_count == 3000
    assert contradictions(many.path) == []


@pytest.fixture
def put_many(workspace: Workspace, tmp_path: Path) -> Callable[[], None]:
    def put() -> None:
        folder = tmp_path / "again"
        folder.mkdir()
        for number in range(3000):
            (folder / f"{number}").write_bytes(b"%d" % number * 20)
        workspace.put(folder, "b")

    return put
