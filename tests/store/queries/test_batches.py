"""`Version.read_many` against `read_bytes` of each path, whatever happens between two of them."""

from __future__ import annotations

import os
import random
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from artstore.errors import DamageError, InvalidInputError, IsFolderError, NotFoundError
from artstore.queries import batches
from artstore.queries.versions import Version
from artstore.records.nodes import ChunkRecord
from artstore.storage.packs import PackReader, pack_path
from artstore.workspace import Workspace
from messages import raises

BIG = random.Random(1).randbytes(3_000_000)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    chance = random.Random(2)
    folder = tmp_path / "data"
    for number in range(600):
        place = folder / f"class{number % 7}"
        place.mkdir(parents=True, exist_ok=True)
        content = chance.randbytes(chance.randrange(0, 9000))
        (place / f"{number:04d}").write_bytes(content if number % 3 else content[:50] * 300)
    (folder / "big").write_bytes(BIG)
    (folder / "medium").write_bytes(BIG[:200_000])
    (folder / "empty").write_bytes(b"")
    (folder / "link").symlink_to("class0/0000")
    (folder / "to-class").symlink_to("class1")
    os.symlink("big", folder / os.fsdecode(b"\xff"))
    return folder


@pytest.fixture
def version(workspace: Workspace, folder: Path) -> Version:
    return workspace.put(folder, "d")


def shuffled(version: Version) -> list[str]:
    """Return all files of a version, some of them twice, in no order."""
    paths = [os.path.join(where, name) for where, _, names in version.walk() for name in names]
    paths.remove("to-class")
    paths += [*paths[:100], "to-class/0001", "./class2//0002", os.fsdecode(b"\xff")]
    random.Random(3).shuffle(paths)
    return paths


def test_the_order_is_that_of_the_paths(version: Version, folder: Path) -> None:
    """Files of every size, through links, and the same one twice: as the folder has them."""
    paths = shuffled(version)
    got = list(version.read_many(paths))
    assert [path for path, _ in got] == paths
    assert all(content == (folder / path).read_bytes() for path, content in got)
    raw = [os.fsencode(path) for path in paths[:20]]
    assert list(version.read_many(iter(raw))) == [(path, version.read_bytes(path)) for path in raw]


def test_packs_are_read_in_their_order(version: Version, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a batch, the offsets of what is read only increase, and the disk was asked for them before."""
    read, asked = [], []
    pread, ask_for = PackReader._pread, PackReader.ask_for

    def noted(self: PackReader, pack: int, size: int, offset: int) -> bytes:
        read.append((pack, offset))
        return pread(self, pack, size, offset)

    def noted_asking(self: PackReader, places: Iterator[tuple[int, int, int]]) -> None:
        asked.append(sorted(places))
        ask_for(self, iter(asked[-1]))

    monkeypatch.setattr(PackReader, "_pread", noted)
    monkeypatch.setattr(PackReader, "ask_for", noted_asking)
    paths = [path for path in shuffled(version) if path.startswith("class")][:200]
    assert len(list(version.read_many(paths))) == 200
    assert read == sorted(read) and len(read) > 100
    assert {(pack, offset) for pack, offset, _ in asked[0]} >= set(read)


def test_a_wrong_path_is_reached_in_its_turn(version: Version) -> None:
    """What comes before it is returned; then it raises what reading it alone raises."""
    for wrong, kind in (("nothing", NotFoundError), ("class0", IsFolderError), ("", IsFolderError)):
        got = version.read_many(["big", "class0/0000", wrong, "empty"])
        assert next(got)[1] == BIG
        assert next(got)[0] == "class0/0000"
        with pytest.raises(kind) as caught:
            next(got)
        with pytest.raises(kind) as alone:
            version.read_bytes(wrong)
        assert str(caught.value) == str(alone.value)
    with raises(InvalidInputError, names=["paths"]):
        list(version.read_many(3))  # type: ignore[arg-type]
    with raises(InvalidInputError, names=["paths"]):
        list(version.read_many(["big", None]))  # type: ignore[list-item]
    assert list(version.read_many([])) == []
    assert list(version.read_many("empty")) == [("empty", b"")]


def test_damage_is_reached_in_its_turn(version: Version, workspace: Workspace) -> None:
    with workspace.store.snapshot() as snapshot:
        record = snapshot.content_record(version._file(snapshot, "class3/0003")[1].node)
    assert isinstance(record, ChunkRecord)
    with open(pack_path(workspace.path, record.extent.pack), "r+b") as pack:
        pack.seek(record.extent.offset)
        byte = pack.read(1)
        pack.seek(record.extent.offset)
        pack.write(bytes([byte[0] ^ 1]))
    got = version.read_many(["class1/0001", "class3/0003", "class2/0002"])
    assert next(got)[0] == "class1/0001"
    with pytest.raises(DamageError):
        next(got)


def test_a_version_that_goes_meanwhile(
    workspace: Workspace, version: Version, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deletion and a purge between two batches are seen by the next one; the first stays what it was."""
    monkeypatch.setattr(batches, "_MOST_FILES", 5)
    paths = sorted(path for path in shuffled(version) if path.startswith("class"))[:30]
    for act, error in (
        (lambda: workspace.purge(f"d:v0/{paths[7]}", reason="a test"), NotFoundError),
        (lambda: (workspace.delete("d:v0", now=True), workspace.gc(now=True)), NotFoundError),
    ):
        got = version.read_many(paths)
        first = [next(got)]
        act()
        with pytest.raises(error):
            for each in got:
                first.append(each)
        assert 5 <= len(first) < len(paths)
        assert all(content == (folder / os.fsdecode(path)).read_bytes() for path, content in first)


def test_memory_is_bounded(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many files are asked for, about one batch is held."""
    monkeypatch.setattr(batches, "_MOST_BYTES", 1 << 20)
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(60):
        (folder / str(number)).write_bytes(random.Random(number).randbytes(200_000))
    version = workspace.put(folder, "m")
    tracemalloc.start()
    try:
        assert sum(len(content) for _, content in version.read_many(str(number) for number in range(60))) == 12_000_000
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()
