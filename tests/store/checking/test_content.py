"""Everything stored is read once and verified; what is damaged is named with its files and versions."""

from __future__ import annotations

import os
from array import array
from pathlib import Path

import pytest

from artstore.checking import check
from artstore.checking.content import check_content
from artstore.checking.files import check_files
from artstore.checking.recounting import recount
from artstore.checking.report import Progress, Report
from artstore.records.nodes import KIND_CHUNK, KIND_LIST, KIND_TREE, Extent, decode_chunk, encode_chunk
from artstore.records.packing import HEAD_LENGTH, HEADER_LENGTH, parse_segment_head
from artstore.records.tables import Table
from artstore.repairing import check_and_repair
from artstore.rows.nodes import children_of, node_extent
from artstore.storage import manifest
from artstore.storage.packs import pack_path, read_segments
from artstore.workspace import Workspace
from store.checking.conftest import found


def content_of(ws: Workspace, steps: list[Progress] | None = None) -> tuple[Report, dict[str, array[int]]]:
    """Verify what is stored, in this process."""
    report = Report()
    place = check_files(ws.path, report)
    with manifest.read(ws.path) as transaction:
        counted = recount(transaction, report)
    damaged = check_content(ws.path, place.uuid, counted, report, None if steps is None else steps.append)
    return report, damaged


def flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ 0x10]))


def extents(ws: Workspace, kind: int) -> dict[int, Extent]:
    with ws.store.snapshot() as snapshot:
        rows = snapshot.transaction.numbered_rows(Table.NODES)
        return {node: node_extent(payload) for node, payload in rows if payload[0] == kind}


def flip_in(ws: Workspace, extent: Extent) -> None:
    flip(pack_path(ws.path, extent.pack), extent.offset + extent.stored // 2)


def test_what_is_whole_is_read_once(lived: Workspace) -> None:
    steps: list[Progress] = []
    report, damaged = content_of(lived, steps)
    assert report.problems == []
    assert damaged == {}
    with lived.store.snapshot() as snapshot:
        counters = snapshot.transaction.counters()
    assert report.counted["data_bytes"] == counters.stored_bytes
    assert [step.done for step in steps] == sorted(step.done for step in steps)
    assert all(step.phase == "data" and step.done <= step.total for step in steps)


def test_a_damaged_chunk_is_named_with_its_files_and_versions(lived: Workspace) -> None:
    with lived.store.snapshot() as snapshot:
        entry = snapshot.resolve(lived.version("alone:v1").record.root, b"deep/run")
        assert entry is not None
        ident = snapshot.identity(entry.node)
    flip_in(lived, extents(lived, KIND_CHUNK)[entry.node])
    report, damaged = content_of(lived)
    [problem] = report.problems
    assert (problem.kind, problem.chunk, problem.node) == ("chunk", ident.hex(), entry.node)
    assert problem.files == ["team/vision/data:v1/deep/run", "alone:v1/deep/run"]
    assert problem.versions == ["team/vision/data:v1", "alone:v1"]
    assert list(damaged["chunk"]) == [entry.node]
    assert lived.version("alone:v1").read_bytes("many/001") == b"1 of many"


def test_a_chunk_of_a_large_file_leads_to_the_file(lived: Workspace) -> None:
    """Through the list of its chunks, and only in the versions that have this one."""
    chunks = extents(lived, KIND_CHUNK)
    with lived.store.snapshot() as snapshot:
        large = snapshot.resolve(lived.version("team/vision/data:v0").record.root, b"large")
        assert large is not None
        last = snapshot.transaction.get_numbered(Table.NODES, large.node)
        assert last is not None
    flip_in(lived, chunks[children_of(last)[-1]])
    [problem] = content_of(lived)[0].problems
    assert problem.files == ["team/vision/data:v0/large", "gone/away:v0/large"]


@pytest.mark.parametrize("kind", [KIND_LIST, KIND_TREE])
def test_damage_that_only_a_rebuild_would_meet_is_named_as_such(lived: Workspace, kind: int) -> None:
    node, extent = list(extents(lived, kind).items())[-1]
    flip_in(lived, extent)
    report, damaged = content_of(lived)
    assert [problem.kind for problem in report.problems] == ["packed"]
    assert list(damaged["packed"]) == [node]
    assert report.problems[0].files == []


def test_a_damaged_index_is_named_and_content_is_read_all_the_same(lived: Workspace) -> None:
    path = pack_path(lived.path, 1)
    data, index = parse_segment_head(path.read_bytes()[HEADER_LENGTH : HEADER_LENGTH + HEAD_LENGTH])
    flip(path, HEADER_LENGTH + HEAD_LENGTH + data + index // 2)
    report, _ = content_of(lived)
    assert found(report, "packed", reason="index of a segment")
    assert len(report.problems) == 1
    with lived.store.snapshot() as snapshot:
        assert report.counted["data_bytes"] == snapshot.transaction.counters().stored_bytes


def test_a_damaged_head_is_named_and_content_is_read_all_the_same(lived: Workspace) -> None:
    flip(pack_path(lived.path, 1), HEADER_LENGTH + 3)
    report, _ = content_of(lived)
    assert found(report, "packed", names=["pack 1"], reason="no segment")
    assert len(report.problems) == 1
    with lived.store.snapshot() as snapshot:
        assert report.counted["data_bytes"] == snapshot.transaction.counters().stored_bytes


def test_every_byte_of_a_pack_that_is_in_use_counts(lived: Workspace) -> None:
    """Nothing but gaps may change unseen; sampled over all that is there."""
    path = pack_path(lived.path, 1)
    with lived.store.snapshot() as snapshot:
        gaps = [(int.from_bytes(key[4:], "big"), value) for key, value in snapshot.transaction.rows(Table.FREE)]
    free = {byte for offset, value in gaps for byte in range(offset, offset + int.from_bytes(value[:4], "little"))}
    dead = free | _unnamed(lived, path)
    for offset in range(HEADER_LENGTH, path.stat().st_size, path.stat().st_size // 150):
        flip(path, offset)
        clean = content_of(lived)[0].clean
        assert clean == (offset in dead), offset
        flip(path, offset)


def _unnamed(ws: Workspace, path: Path) -> set[int]:
    """Return the bytes of stored forms that no node has."""
    used = {extent.offset for kind in (KIND_CHUNK, KIND_LIST, KIND_TREE) for extent in extents(ws, kind).values()}
    entries = [entry for segment in read_segments(path) for entry in segment if entry.offset not in used]
    return {byte for entry in entries for byte in range(entry.offset, entry.offset + entry.stored)}


def test_a_record_that_says_something_else_than_its_content_is_named(lived: Workspace) -> None:
    """Sealed again, as a bug might: the id no longer fits."""
    with lived.store.write() as transaction:
        rows = list(transaction.numbered_rows(Table.NODES))
        first, second = [(node, decode_chunk(payload)) for node, payload in rows if payload[0] == KIND_CHUNK][:2]
        swapped = first[1]._replace(extent=second[1].extent, checksums=second[1].checksums, size=second[1].size)
        transaction.put_numbered(Table.NODES, first[0], encode_chunk(swapped))
    report, damaged = content_of(lived)
    assert first[0] in damaged["chunk"]
    assert found(report, "chunk", reason="other bytes")


def test_an_interrupted_check_goes_on_where_it_was(lived: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """And names again what it had found, without reading all of it."""
    several_packs(lived, monkeypatch)
    whole = content_of(lived)[0].counted["data_bytes"]
    first = min(extent for extent in extents(lived, KIND_CHUNK).values() if extent.stored)
    flip_in(lived, first)

    class Enough(BaseException):
        pass

    def stop(step: Progress) -> None:
        if step.done > step.total // 2:
            raise Enough

    report = Report()
    place = check_files(lived.path, report)
    with manifest.read(lived.path) as transaction:
        counted = recount(transaction, report)
    with pytest.raises(Enough):
        check_content(lived.path, place.uuid, counted, report, stop)
    assert (lived.path / "cache" / "fsck").exists()
    report, _ = content_of(lived)
    assert found(report, "chunk", reason="damaged")
    assert 0 < report.counted["data_bytes"] < whole
    assert not (lived.path / "cache" / "fsck").exists()
    assert content_of(lived)[0].counted["data_bytes"] > report.counted["data_bytes"]


def several_packs(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("artstore.storage.packs.PACK_LIMIT", 1)
    folder = ws.path.parent / "more"
    for number in range(5):
        folder.mkdir(exist_ok=True)
        (folder / "file").write_bytes(os.urandom(300_000))
        ws.put(folder, f"more{number}")


def test_a_check_that_was_not_interrupted_starts_anew(lived: Workspace) -> None:
    first, _ = content_of(lived)
    flip_in(lived, max(extents(lived, KIND_CHUNK).values()))
    second, _ = content_of(lived)
    assert first.clean and not second.clean


def test_what_goes_or_moves_meanwhile_is_no_damage(lived: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    several_packs(lived, monkeypatch)
    with manifest.read(lived.path) as transaction:
        counted = recount(transaction, Report())
    lived.delete("more0:*", "more1:*", "alone:*", force=True, now=True)
    lived.gc(now=True, compact=True)
    report = Report()
    check_content(lived.path, lived.uuid, counted, report)
    assert report.problems == []


def test_a_missing_pack_is_left_to_the_check_of_files(lived: Workspace) -> None:
    pack_path(lived.path, 1).unlink()
    lived.store.reader.close()
    report = check(lived.path, data=True)
    assert [problem.kind for problem in report.problems] == ["file"]


def test_what_is_repaired_is_found_whole(lived: Workspace) -> None:
    _, extent = list(extents(lived, KIND_TREE).items())[-1]
    flip_in(lived, extent)
    report = check_and_repair(lived.path, data=True)
    assert report.problems == []
    assert report.repaired
    assert check(lived.path, data=True).clean
