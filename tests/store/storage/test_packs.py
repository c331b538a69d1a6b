"""Packs: segments in order, verified reads, torn tails, and writers side by side."""

from __future__ import annotations

import errno
import os
import random
import threading
from pathlib import Path

import pytest

from artstore.errors import DamageError, OutOfSpaceError
from artstore.ids import content_id
from artstore.records.nodes import BLOCK, ChunkRecord, Extent
from artstore.records.packing import CLASS_CONTENT, HEADER_LENGTH, PackedEntry, parse_header
from artstore.records.tables import Table, key32
from artstore.storage import disk, manifest, packs
from artstore.storage.codec import RAW, ZSTD, Encoded, encode
from artstore.storage.packs import SEGMENT_BYTES, PackReader, PackWriter, Segment, pack_path, read_segments
from artstore.storage.reserve import RESERVE
from artstore.workspace import Workspace
from messages import raises

NOISE = random.Random(3).randbytes(3 * BLOCK + 100)
TEXT = b"the same again and again. " * 8000


def write(writer: PackWriter, workspace: Workspace, *contents: bytes, commit: bool = True) -> list[PackedEntry]:
    segment = writer.new_segment()
    for data in contents:
        segment.add(CLASS_CONTENT, content_id(data), encode(data), len(data), 1)
    writer.write_segment(segment)
    if commit:
        with manifest.write(workspace.path) as transaction:
            writer.record_end(transaction)
            transaction.state.free_bytes += 0
    return segment.entries


def extent_of(pack: int, entry: PackedEntry) -> Extent:
    return Extent(pack, entry.offset, entry.stored, entry.codec)


def record_of(pack: int, entry: PackedEntry) -> ChunkRecord:
    return ChunkRecord(entry.id, entry.birth_ns, entry.size, extent_of(pack, entry), entry.checksums)


def end_of(workspace: Workspace, pack: int) -> int:
    with manifest.read(workspace.path) as transaction:
        return int.from_bytes(transaction.get(Table.PACKS, key32(pack)) or b"", "little")


def test_what_is_written_is_read(workspace: Workspace) -> None:
    """Whole or in part, at every boundary of a block; the pack's own index names each stored form."""
    writer = workspace.store.pack_writer()
    entries = write(writer, workspace, NOISE, TEXT, b"", b"x") + write(writer, workspace, b"next segment")
    assert [entry.codec for entry in entries] == [RAW, ZSTD, RAW, RAW, RAW]
    reader = PackReader(workspace.path)
    for entry, data in zip(entries, [NOISE, TEXT, b"", b"x", b"next segment"], strict=True):
        assert reader.read(extent_of(writer.number, entry), entry.size, entry.checksums) == data
    edges = sorted({0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 3 * BLOCK, 3 * BLOCK + 99, len(NOISE)})
    raw = entries[0]
    for start in edges:
        for end in [edge for edge in edges if edge > start]:
            assert reader.read_parts([(record_of(1, raw), start, end)]) == [NOISE[start:end]]
    with pytest.raises(DamageError):
        reader.read_parts([(record_of(1, entries[1]), 0, 1)])
    with pytest.raises(DamageError):
        reader.read_parts([(record_of(1, raw), 0, len(NOISE) + 1)])
    path = pack_path(workspace.path, writer.number)
    assert read_segments(path) == [entries[:4], entries[4:]]
    assert parse_header(path.read_bytes()[:HEADER_LENGTH])[1] == writer.number
    assert path.stat().st_size == end_of(workspace, 1)
    assert path.stat().st_mode & 0o777 == 0o600
    writer.close()
    reader.close()


@pytest.mark.parametrize("at", [0, BLOCK - 1, BLOCK, 3 * BLOCK + 99])
def test_a_flipped_byte_is_damage(workspace: Workspace, at: int) -> None:
    """A read that touches its block fails; one that does not still gives its bytes."""
    writer = workspace.store.pack_writer()
    (entry,) = write(writer, workspace, NOISE)
    writer.close()
    with pack_path(workspace.path, 1).open("r+b") as file:
        file.seek(entry.offset + at)
        file.write(bytes([NOISE[at] ^ 1]))
    reader = PackReader(workspace.path)
    extent = extent_of(1, entry)
    with pytest.raises(DamageError):
        reader.read(extent, entry.size, entry.checksums)
    for start in range(0, len(NOISE), BLOCK):
        end = min(start + BLOCK, len(NOISE))
        if start <= at < end:
            with pytest.raises(DamageError):
                reader.read_parts([(record_of(1, entry), start, end)])
        else:
            assert reader.read_parts([(record_of(1, entry), start, end)]) == [NOISE[start:end]]


def test_missing_and_short_packs_are_damage(workspace: Workspace) -> None:
    """A pack that is gone, and one that ends too early."""
    writer = workspace.store.pack_writer()
    (entry,) = write(writer, workspace, NOISE)
    writer.close()
    path = pack_path(workspace.path, 1)
    os.truncate(path, entry.offset + 10)
    with raises(DamageError, names=[f"{len(NOISE) - 10} bytes"]):
        PackReader(workspace.path).read(extent_of(1, entry), entry.size, entry.checksums)
    path.unlink()
    with raises(DamageError, names=[str(path)], reason="missing"):
        PackReader(workspace.path).read(extent_of(1, entry), entry.size, entry.checksums)


def test_a_torn_tail_is_cut_by_the_next_writer(workspace: Workspace) -> None:
    """Bytes that no transaction acknowledged go, whether they are a whole segment or part of one."""
    writer = workspace.store.pack_writer()
    kept = write(writer, workspace, b"kept")
    write(writer, workspace, b"lost", commit=False)
    writer.close()
    with pack_path(workspace.path, 1).open("ab") as file:
        file.write(b"torn")
    writer = workspace.store.pack_writer()
    more = write(writer, workspace, b"more")
    writer.close()
    assert writer.number == 1
    assert read_segments(pack_path(workspace.path, 1)) == [kept, more]
    assert pack_path(workspace.path, 1).stat().st_size == end_of(workspace, 1)


def test_segments_end_where_a_pack_is_torn(workspace: Workspace) -> None:
    """However a pack is cut, the whole segments before the cut are listed."""
    writer = workspace.store.pack_writer()
    first, second = write(writer, workspace, b"first"), write(writer, workspace, b"second")
    writer.close()
    path = pack_path(workspace.path, 1)
    size = path.stat().st_size
    middle = second[0].offset - 24
    for length in range(size - 1, HEADER_LENGTH, -1):
        os.truncate(path, length)
        assert read_segments(path) == ([first] if length >= middle else [])
    os.truncate(path, 5)
    with pytest.raises(DamageError):
        read_segments(path)


def test_writers_do_not_share_a_pack(workspace: Workspace) -> None:
    """A second one takes another pack; when one closes, its pack is taken up again."""
    one, two = workspace.store.pack_writer(), workspace.store.pack_writer()
    write(one, workspace, b"one")
    write(two, workspace, b"two")
    assert (one.number, two.number) == (1, 2)
    one.close()
    three = workspace.store.pack_writer()
    write(three, workspace, b"three")
    assert three.number == 1
    assert len(read_segments(pack_path(workspace.path, 1))) == 2
    two.close()
    three.close()


def test_a_full_pack_is_followed_by_another(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Past the limit a pack takes no more, from this writer or a later one."""
    monkeypatch.setattr(packs, "PACK_LIMIT", 1000)
    writer = workspace.store.pack_writer()
    for _ in range(3):
        write(writer, workspace, NOISE[:900])
    writer.close()
    again = workspace.store.pack_writer()
    write(again, workspace, b"x")
    again.close()
    assert [end_of(workspace, number) > 900 for number in (1, 2, 3)] == [True] * 3
    assert again.number == 4


def test_packs_that_cannot_be_taken_are_passed_over(workspace: Workspace) -> None:
    """One that is gone, and one shorter than was acknowledged, are left alone."""
    writer = workspace.store.pack_writer()
    write(writer, workspace, b"data")
    writer.close()
    os.truncate(pack_path(workspace.path, 1), HEADER_LENGTH)
    writer = workspace.store.pack_writer()
    write(writer, workspace, b"data")
    writer.close()
    assert writer.number == 2
    pack_path(workspace.path, 2).unlink()
    writer = workspace.store.pack_writer()
    write(writer, workspace, b"data")
    writer.close()
    assert writer.number == 3
    assert pack_path(workspace.path, 1).stat().st_size == HEADER_LENGTH


def test_a_full_disk_leaves_packs_usable(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a pack is made, or a segment written: it is said, and the next try in the same process goes on."""

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    for _ in range(2):
        with monkeypatch.context() as patch:
            patch.setattr(disk, "append", full)
            writer = workspace.store.pack_writer()
            with pytest.raises(OutOfSpaceError):
                writer.new_segment()
            writer.close()
    writer = workspace.store.pack_writer()
    entries = write(writer, workspace, b"data")
    with monkeypatch.context() as patch:
        patch.setattr(disk, "append", full)
        with pytest.raises(OutOfSpaceError):
            write(writer, workspace, b"more")
    with monkeypatch.context() as patch:
        patch.setattr(disk, "free_bytes", lambda _: 5000)
        with raises(OutOfSpaceError, names=["5000 bytes"]):
            write(writer, workspace, b"more")
    entries += write(writer, workspace, b"more")
    writer.close()
    reader = PackReader(workspace.path)
    assert [reader.read(extent_of(1, e), e.size, e.checksums) for e in entries] == [b"data", b"more"]


def test_a_reader_keeps_few_packs_open(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many packs and threads there are; eviction never closes one that is being read."""
    monkeypatch.setattr(packs, "_OPEN_PACKS", 2)
    monkeypatch.setattr(packs, "PACK_LIMIT", 100)
    writer = workspace.store.pack_writer()
    wanted = []
    for number in range(8):
        data = b"%d" % number * 50
        (entry,) = write(writer, workspace, data)
        wanted.append((extent_of(writer.number, entry), entry, data))
    writer.close()
    reader = PackReader(workspace.path)
    failures = []

    def read(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(200):
            extent, entry, data = chance.choice(wanted)
            if reader.read(extent, entry.size, entry.checksums) != data:
                failures.append(extent)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    before = open_packs(workspace.path)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert open_packs(workspace.path) - before <= 2
    reader.close()
    assert open_packs(workspace.path) == before


def open_packs(workspace: Path) -> int:
    found = 0
    for fd in os.listdir("/proc/self/fd"):
        try:
            found += os.readlink(f"/proc/self/fd/{fd}").startswith(str(workspace / "packs"))
        except FileNotFoundError:
            continue
    return found


def test_offsets_of_a_segment(workspace: Workspace) -> None:
    """A queued form's offset is where it will be written, one after another."""
    segment = Segment(1000)
    offsets = [segment.add(CLASS_CONTENT, bytes(32), encode(data), len(data), 0) for data in (b"abc", b"", b"de")]
    assert [offset - offsets[0] for offset in offsets] == [0, 3, 3]
    assert segment.length == 5


def test_segments_fit_into_the_reserve(workspace: Workspace) -> None:
    """A long batch becomes several segments, each with its own index: a copy on a full disk needs the space of one."""
    writer = workspace.store.pack_writer()
    forms = [bytes([number]) * (1 << 20) for number in range(40)]
    segment = writer.new_segment()
    offsets = [segment.add(CLASS_CONTENT, content_id(data), Encoded(RAW, data, (0,)), len(data), 1) for data in forms]
    writer.write_segment(segment)
    with manifest.write(workspace.path) as transaction:
        writer.record_end(transaction)
    writer.close()
    path = pack_path(workspace.path, writer.number)
    segments = read_segments(path)
    assert [len(entries) for entries in segments] == [16, 16, 8] and SEGMENT_BYTES + (8 << 20) < RESERVE
    assert [entry.offset for entries in segments for entry in entries] == offsets
    stored = path.read_bytes()
    assert [stored[offset : offset + len(data)] for offset, data in zip(offsets, forms, strict=True)] == forms
    assert writer.end == len(stored)
