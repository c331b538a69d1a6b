"""Copying packs: nothing is lost, everything comes back, and what is damaged stays where it is."""

from __future__ import annotations

import errno
import os
import random
from pathlib import Path

import pytest

from artstore.errors import ArtfsError, DamageError, OutOfSpaceError
from artstore.ids import content_id
from artstore.reclaim.compaction import compact_pack, remove_empty, worthwhile
from artstore.reclaim.compaction import packs as compacting
from artstore.records.counters import Counters
from artstore.records.packing import CLASS_CONTENT
from artstore.rows import space
from artstore.rows.nodes import node_extent
from artstore.storage import disk, manifest
from artstore.storage.codec import encode
from artstore.storage.packs import PackWriter, Segment, pack_path, read_segments
from artstore.workspace import Workspace
from corpora import folders
from corpora.folders import content_of
from crash.recount import all_nodes, contradictions, stray_packs
from messages import raises
from store.oracle import problems
from store.reclaim.compaction.conftest import Faults, holds, scatter

pytestmark = pytest.mark.usefixtures("untidy")

PACK = 1


def totals(workspace: Workspace) -> Counters:
    with manifest.read(workspace.path) as transaction:
        return transaction.counters()


def places(workspace: Workspace) -> set[int]:
    """Return the packs that nodes refer to."""
    with manifest.read(workspace.path) as transaction:
        return {node_extent(payload).pack for payload in all_nodes(transaction).values()}


def on_disk(workspace: Workspace) -> int:
    return sum(path.stat().st_blocks * 512 for path in (workspace.path / "packs").iterdir())


def settle(workspace: Workspace) -> None:
    """Give back what was condemned, and remove what is empty."""
    workspace.gc()
    remove_empty(workspace.store)


def test_what_lives_moves_and_the_pack_goes(workspace: Workspace, tmp_path: Path) -> None:
    """Counters are right at every stage; afterwards neither normal nor eager rules find anything to do."""
    kept = scatter(workspace, tmp_path / "f", files=600, size=3000, dead=0.5)
    assert worthwhile(workspace.store, None, eager=False) == [PACK]
    before = totals(workspace)
    copied = compact_pack(workspace.store, PACK)
    after = totals(workspace)
    with manifest.read(workspace.path) as transaction:
        nodes = len(all_nodes(transaction))
    assert (copied.nodes, copied.bytes, copied.damaged) == (nodes, before.stored_bytes, [])
    assert after.stored_bytes == before.stored_bytes
    assert after.condemned_bytes == before.condemned_bytes + copied.bytes
    assert places(workspace) == {2}
    assert contradictions(workspace.path) == []
    settle(workspace)
    assert not pack_path(workspace.path, PACK).exists()
    assert problems(workspace.store) == [] and stray_packs(workspace.path) == []
    assert holds(workspace, kept)
    assert worthwhile(workspace.store, None, eager=False) == worthwhile(workspace.store, None, eager=True) == []


@pytest.mark.parametrize("holes", [True, False])
def test_small_chunks_give_their_space_back(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, holes: bool
) -> None:
    """Half of 10,000 chunks of 3,000 bytes, scattered: 90 % of their bytes are free on the disk, holes or none."""
    monkeypatch.undo()
    if not holes:
        monkeypatch.setattr(disk, "punch_hole", lambda *_: False)
    noise = random.Random(1)
    folder = tmp_path / "f"
    folder.mkdir()
    for number in range(10_000):
        (folder / f"{number:05}").write_bytes(noise.randbytes(3000))
    workspace.put(folder, "data")
    before = on_disk(workspace)
    for number in noise.sample(range(10_000), 5000):
        (folder / f"{number:05}").unlink()
    workspace.put(folder, "data")
    workspace.delete("data:v0", now=True)
    workspace.gc()
    assert before - on_disk(workspace) >= 0.9 * 5000 * 3000
    assert holds(workspace, content_of(folder))
    assert contradictions(workspace.path) == [] and stray_packs(workspace.path) == []


def test_packs_that_are_whole_are_left_alone(workspace: Workspace, tmp_path: Path) -> None:
    """Neither rule takes one without dead, nor one in which nothing lives: that is removed, not copied."""
    folders.small(tmp_path, seed=1, files=60)
    workspace.put(tmp_path, "data")
    assert worthwhile(workspace.store, None, eager=True) == []
    workspace.delete("data:v0", now=True)
    settle(workspace)
    assert worthwhile(workspace.store, None, eager=True) == []
    assert list((workspace.path / "packs").iterdir()) == []
    assert problems(workspace.store) == []
    assert totals(workspace).framing_bytes == totals(workspace).free_bytes == 0


def test_few_dead_are_for_the_eager(workspace: Workspace, tmp_path: Path) -> None:
    """A tenth is not worth copying unless it is asked for; and holes that leave framing behind are then counted."""
    kept = scatter(workspace, tmp_path / "f", files=400, size=3000, dead=0.1)
    assert worthwhile(workspace.store, None, eager=False) == []
    assert worthwhile(workspace.store, [7], eager=True) == []
    assert worthwhile(workspace.store, [PACK], eager=True) == [PACK]
    compact_pack(workspace.store, PACK)
    settle(workspace)
    assert worthwhile(workspace.store, None, eager=True) == []
    assert holds(workspace, kept)


def test_every_kind_of_node_moves(workspace: Workspace, tmp_path: Path) -> None:
    """Lists, records of large directories, links and empty files; a second run finds nothing left to do."""
    folder = tmp_path / "f"
    (folder / "wide").mkdir(parents=True)
    noise = random.Random(2)
    for number in range(700):
        (folder / "wide" / f"{number:04}").write_bytes(b"%d" % number)
    (folder / "long").write_bytes(noise.randbytes(3 << 20))
    (folder / "same").write_bytes(b"again and again " * 40_000)
    (folder / "empty").write_bytes(b"")
    (folder / "link").symlink_to("long")
    workspace.put(folder, "data")
    compact_pack(workspace.store, PACK)
    assert compact_pack(workspace.store, PACK).nodes == 0
    settle(workspace)
    assert places(workspace) == {2} and not pack_path(workspace.path, PACK).exists()
    assert holds(workspace, content_of(folder), "data:v0")
    assert problems(workspace.store) == []


def test_an_empty_chunk_does_not_keep_its_pack(workspace: Workspace, tmp_path: Path) -> None:
    """Content without bytes lies nowhere, but the index that names it must live on."""
    folder = tmp_path / "f"
    folder.mkdir()
    (folder / "large").write_bytes(random.Random(3).randbytes(200_000))
    (folder / "empty").write_bytes(b"")
    workspace.put(folder, "data")
    (folder / "large").unlink()
    blocker = workspace.store.pack_writer([PACK])  # the second version's records shall lie in a pack of their own
    blocker.new_segment()
    held = os.open(pack_path(workspace.path, PACK), os.O_RDONLY)
    assert disk.try_lock(held)
    blocker.close()
    workspace.put(folder, "data")
    os.close(held)
    workspace.delete("data:v0", now=True)
    settle(workspace)
    assert sorted(path.name for path in (workspace.path / "packs").iterdir()) == ["00000002.pack"]
    assert holds(workspace, content_of(folder))
    assert problems(workspace.store) == []


def test_what_is_damaged_stays(workspace: Workspace, tmp_path: Path) -> None:
    """It is named, all else moves, the pack stays, and no bytes that were not put are ever read."""
    scatter(workspace, tmp_path / "f", files=300, size=3000, dead=0.5)
    with manifest.read(workspace.path) as transaction:
        chunk = next(payload for payload in all_nodes(transaction).values() if node_extent(payload).stored == 3000)
    path = pack_path(workspace.path, PACK)
    with path.open("r+b") as file:
        file.seek(node_extent(chunk).offset + 100)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    copied = compact_pack(workspace.store, PACK)
    assert copied.nodes == 150 and len(copied.damaged) == 1
    assert chunk[2:34].hex() in copied.damaged[0]
    assert compact_pack(workspace.store, PACK).nodes == 0
    settle(workspace)
    assert path.exists() and places(workspace) == {PACK, 2}
    assert contradictions(workspace.path) == []
    with workspace.store.snapshot() as snapshot, raises(DamageError, names=[chunk[2:34].hex()]):
        for node in all_nodes(snapshot.transaction):
            if snapshot.identity(node) == chunk[2:34]:
                snapshot.read(node, 0, 3000)


@pytest.mark.parametrize("part", ["index", "head"])
def test_a_segment_that_does_not_read_stays(workspace: Workspace, tmp_path: Path, part: str) -> None:
    """What its index names is left; segments after it move where its length is known; the pack is not removed."""
    folder = tmp_path / "f"
    folder.mkdir()
    for number in range(3):
        (folder / str(number)).write_bytes(b"number %d" % number)
        workspace.put(folder, "data")
    first, second, third = read_segments(pack_path(workspace.path, PACK))
    with pack_path(workspace.path, PACK).open("r+b") as file:
        file.seek(second[-1].offset + second[-1].stored + 20 if part == "index" else second[0].offset - 8)
        file.write(b"\xff\xff")
    copied = compact_pack(workspace.store, PACK)
    assert copied.nodes == len(first) + (len(third) if part == "index" else 0)
    assert len(copied.damaged) == 1
    settle(workspace)
    assert pack_path(workspace.path, PACK).exists()
    assert holds(workspace, content_of(folder), "data:v2")  # every byte is still where a record says


def test_a_pack_that_is_written_to_is_left_alone(workspace: Workspace, tmp_path: Path) -> None:
    """Neither copied nor removed while a put appends to it."""
    scatter(workspace, tmp_path / "f", files=100, size=3000, dead=0.6)
    writer = workspace.store.pack_writer()
    writer.new_segment()
    assert writer.number == PACK
    assert compact_pack(workspace.store, PACK).nodes == 0
    assert worthwhile(workspace.store, None, eager=True) == [PACK]
    workspace.delete("data:v1", now=True, force=True)
    settle(workspace)
    assert pack_path(workspace.path, PACK).exists()
    writer.close()
    settle(workspace)
    assert not pack_path(workspace.path, PACK).exists()
    assert contradictions(workspace.path) == []


def test_copies_go_where_they_may_stay(workspace: Workspace, tmp_path: Path) -> None:
    """Not into another pack that is to be copied; a pack that has room and is whole takes them."""
    scatter(workspace, tmp_path / "f", files=100, size=3000, dead=0.6)
    one, two = workspace.store.pack_writer(), workspace.store.pack_writer()
    for writer in (one, two):
        writer.new_segment()
    for writer in (one, two):
        writer.close()
    assert compact_pack(workspace.store, PACK, avoid=[PACK, 2]).nodes
    assert places(workspace) == {3}
    assert compact_pack(workspace.store, 3, avoid=[PACK]).nodes
    assert places(workspace) == {2}
    assert contradictions(workspace.path) == []


def test_what_changed_meanwhile_wins(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reaped between the copy and its transaction: the copies are condemned, and the pack goes all the same."""
    scatter(workspace, tmp_path / "f", files=100, size=3000, dead=0.6)
    original = PackWriter.write_segment

    def reaped(self: PackWriter, segment: Segment) -> None:
        original(self, segment)
        monkeypatch.setattr(PackWriter, "write_segment", original)
        workspace.delete("data:v1", now=True)

    monkeypatch.setattr(PackWriter, "write_segment", reaped)
    copied = compact_pack(workspace.store, PACK)
    assert copied.nodes == 0
    assert contradictions(workspace.path) == []
    settle(workspace)
    assert list((workspace.path / "packs").iterdir()) == []
    assert contradictions(workspace.path) == []


def test_an_older_reader_keeps_the_old_place(workspace: Workspace, tmp_path: Path) -> None:
    """It reads every byte where it was, through gc, for as long as it goes on; then the pack goes."""
    kept = scatter(workspace, tmp_path / "f", files=200, size=3000, dead=0.5)
    with workspace.store.snapshot() as snapshot:
        compact_pack(workspace.store, PACK)
        settle(workspace)
        assert totals(workspace).condemned_bytes
        root = snapshot.version(workspace.version("data:v1").record.serial)
        assert root is not None
        read = {path: snapshot.read(entry.node, 0, entry.size) for path, entry in snapshot.walk(root.root)}
        assert {path: content_id(data).hex() for path, data in read.items()} == {
            path: entry.id for path, entry in kept.items()
        }
    settle(workspace)
    assert not totals(workspace).condemned_bytes
    assert not pack_path(workspace.path, PACK).exists()


def test_without_room_nothing_changes(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reserve is kept: one sentence, and the next run with room does it."""
    kept = scatter(workspace, tmp_path / "f", files=100, size=3000, dead=0.6)
    with monkeypatch.context() as patch, pytest.raises(OutOfSpaceError):
        patch.setattr(disk, "free_bytes", lambda _: 1 << 20)
        compact_pack(workspace.store, PACK)
    assert places(workspace) == {PACK} and contradictions(workspace.path) == []
    compact_pack(workspace.store, PACK)
    settle(workspace)
    assert places(workspace) == {2} and holds(workspace, kept)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_faults_at_every_call(
    workspace: Workspace,
    tmp_path: Path,
    faults: Faults,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    after: bool,
) -> None:
    """Before or after each call of the disk: nothing is lost, records add up, and the next run does the rest."""
    monkeypatch.setattr(compacting, "BATCH_NODES", 15)
    kept = scatter(workspace, tmp_path / "f", files=60, size=3000, dead=0.5)
    nth, failed = 0, 0
    while True:
        source = max(places(workspace))
        nth += 1
        faults.arm(nth, OSError(number, os.strerror(number)), after=after)
        try:
            compact_pack(workspace.store, source)
            settle(workspace)
        except (OSError, ArtfsError):
            failed += 1
        reached = faults.disarm() >= nth
        assert contradictions(workspace.path) == [] and holds(workspace, kept)
        compact_pack(workspace.store, source)
        settle(workspace)
        assert source not in places(workspace) and not pack_path(workspace.path, source).exists()
        assert contradictions(workspace.path) == [] and stray_packs(workspace.path) == []
        if not reached:
            break
    assert failed > 15 and holds(workspace, kept)


def test_leftover_files_go(workspace: Workspace, tmp_path: Path) -> None:
    """A pack whose removal was cut short, and one whose first transaction never committed; nothing else."""
    scatter(workspace, tmp_path / "f", files=20, size=3000, dead=0.5)
    compact_pack(workspace.store, PACK)
    workspace.gc()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(disk, "remove", lambda root, path: None)
        assert remove_empty(workspace.store) == 1
    assert pack_path(workspace.path, PACK).exists()
    coming = pack_path(workspace.path, totals(workspace).next_pack)
    coming.write_bytes(b"of a put that was killed")
    (workspace.path / "packs" / "notes").write_bytes(b"not ours")
    assert remove_empty(workspace.store) == 0
    assert sorted(os.listdir(workspace.path / "packs")) == ["00000002.pack", "notes"]


def test_removal_asks_once_more_who_waits(workspace: Workspace, tmp_path: Path) -> None:
    """A pack with nothing but condemned bytes stays until they are free."""
    scatter(workspace, tmp_path / "f", files=20, size=3000, dead=0.5)
    compact_pack(workspace.store, PACK)
    assert remove_empty(workspace.store) == 0
    with manifest.read(workspace.path) as transaction:
        assert {row.pack for row in space.condemned(transaction)} == {PACK}
    workspace.gc()
    assert remove_empty(workspace.store, [2]) == 0
    assert remove_empty(workspace.store, [PACK]) == 1


def test_a_pack_with_bytes_that_nobody_accounts_for_stays(workspace: Workspace, tmp_path: Path) -> None:
    """Neither alive, condemned nor free: a rebuild keeps such bytes where it is in doubt, and so does removal."""
    scatter(workspace, tmp_path / "f", files=20, size=3000, dead=0.5)
    writer = workspace.store.pack_writer()
    segment = writer.new_segment()
    segment.add(CLASS_CONTENT, content_id(b"whose?"), encode(b"whose?"), 6, 1)
    writer.write_segment(segment)
    with workspace.store.write() as transaction:
        writer.record_end(transaction)
        transaction.state.framing_bytes += 6
    writer.close()
    assert contradictions(workspace.path) == []
    compact_pack(workspace.store, PACK)
    settle(workspace)
    assert places(workspace) == {2} and pack_path(workspace.path, PACK).exists()
    assert contradictions(workspace.path) == []
