"""The fast lane answers as the Python core does, or not at all: whole walks, random requests, forged records."""

from __future__ import annotations

import os
import random
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from artfs.mount import counters, inodes
from artfs.mount.counters import Field
from artfs.mount.lane import is_installed, program
from artfs.mount.transports.protocol import Opcode
from artstore.records.tables import Table, number64
from artstore.storage import manifest
from artstore.workspace import Workspace, init_workspace, open_workspace
from fs.mount import wire
from fs.mount.lane_rig import HANDED_OVER, Rig, lane_over, random_request, walk
from fs.mount.wire import read_body, request

pytestmark = pytest.mark.skipif(
    not program() and os.environ.get("CI") != "true", reason="the fast lane is not built: pip install ./lane"
)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Return a workspace with content of every shape: raw and compressed, small and large, flat and deep."""
    folder = tmp_path_factory.mktemp("lane")
    source, content = folder / "source", random.Random(1)
    deep = source.joinpath("deep", *"abcdefgh")
    deep.mkdir(parents=True)
    (deep / "bottom").write_text("bottom\n" * 3000)
    (source / "wide").mkdir()
    for number in range(1500):
        (source / "wide" / f"{number:0{1 + number % 100}}").write_bytes(content.randbytes(number % 40))
    (source / "none").mkdir()
    (source / "empty").touch()
    (source / "big").write_bytes(content.randbytes(3_000_000))
    (source / "table").write_text("\n".join(map(str, range(600_000))))
    (source / "mixed").write_bytes(b"".join(content.randbytes(90_000) + bytes(200_000) for _ in range(8)))
    for number in range(40):
        (source / f"f{number}").write_bytes(content.randbytes(1 << number % 18))
    (source / "run").write_text("#!/bin/sh\n")
    (source / "run").chmod(0o750)
    (source / "link").symlink_to("deep/a")
    (source / "old").touch()
    os.utime(source / "old", ns=(-1_500_000_001, -1_500_000_001))
    made = init_workspace(folder / "ws")
    made.put(source, "data")
    return made


def root_of(workspace: Workspace) -> int:
    with workspace.store.snapshot() as snapshot:
        (version,) = snapshot.versions_of(snapshot.name_number("data")[0])  # type: ignore[index]
    return inodes.entry(version.mount, 0)


@pytest.fixture
def rig(workspace: Workspace) -> Iterator[Rig]:
    with lane_over(workspace) as made:
        yield made


def test_the_lane_is_built() -> None:
    """Where the suite runs without an excuse, the compiled path is tested too."""
    assert is_installed() and os.access(program(), os.X_OK)


def warm(rig: Rig, root: int) -> None:
    """Ask until the lane knows the version: it hands the first requests over."""
    for _ in range(1000):
        if rig.compare(b"".join([struct.pack("=IIQQ", 56, 3, 2, root), bytes(32)])) != HANDED_OVER:
            return
    raise AssertionError("the lane never answered")


def test_a_version_in_every_way(rig: Rig, workspace: Workspace) -> None:
    """Each entry is looked up, listed and read by the lane itself, with the answers of the Python core."""
    root = root_of(workspace)
    warm(rig, root)
    before = rig.handed_over
    sizes = walk(rig, root)
    assert rig.differences == []
    assert len(sizes) == 1500 + 40 + 7 and rig.handed_over == before
    rig.epoch()  # nothing that is known may be used now
    warm(rig, root)
    walk(rig, root)
    assert rig.differences == []


def test_random_and_malformed_requests(rig: Rig, workspace: Workspace) -> None:
    """Whatever comes from the device, the lane answers as the core does, or hands over; it never dies."""
    root = root_of(workspace)
    warm(rig, root)
    known = [root, *walk(rig, root), inodes.ROOT, inodes.artifact(1), inodes.entry(9, 3), 0]
    source = random.Random(2)
    for _ in range(4000):
        rig.compare(random_request(source, known))
    assert rig.differences == []
    assert rig.answered > 2000 < rig.handed_over + 2000


def read_in_parts(rig: Rig, root: int) -> None:
    """Have the lane itself read three parts of one compressed chunk, the first of them twice."""
    warm(rig, root)
    found = rig.compare(request(Opcode.LOOKUP, b"table\0", nodeid=root))
    table = wire.EntryOut.from_buffer_copy(found, 16).nodeid
    for offset in (0, 4096, 8192, 0):
        assert rig.compare(request(Opcode.READ, read_body(offset, 4096), nodeid=table)) != HANDED_OVER
    assert rig.differences == []


def test_hits_and_misses_of_its_cache_are_counted(rig: Rig, workspace: Workspace) -> None:
    root = root_of(workspace)
    read_in_parts(rig, root)
    counts = rig.counters.lane
    assert (counts.get(Field.CACHE_HITS), counts.get(Field.CACHE_MISSES)) == (3, 1)
    read_in_parts(rig, root)
    assert (counts.get(Field.CACHE_HITS), counts.get(Field.CACHE_MISSES)) == (7, 1)
    assert counts.get(Field.VERIFICATION_FAILURES) == 0


def test_it_counts_only_what_the_core_has_room_for(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind the counts of an older core is the epoch, which a count must not advance."""
    monkeypatch.setattr(counters, "_WIDTH", int(Field.CACHE_HITS))
    with lane_over(workspace) as rig:
        read_in_parts(rig, root_of(workspace))
        assert rig.counters.epoch.value == 0
        assert rig.counters.lane.get(Field.READS) == 4


def test_a_request_that_killed_it_twice_is_handed_over(tmp_path: Path, workspace: Workspace) -> None:
    """What each thread works on is known after the death of the program; other requests are answered as before."""
    deadly = tmp_path / "artfs-lane"
    sources = sorted(map(str, (Path(__file__).resolve().parents[3] / "lane" / "src").glob("*.c")))
    build = ["gcc", "-O1", '-DARTFS_LANE_DEADLY="f3"', "-o", str(deadly), *sources, "-llmdb", "-lzstd", "-lpthread"]
    subprocess.run(build, check=True)
    root = root_of(workspace)
    message = request(Opcode.LOOKUP, b"f3\0", nodeid=root)
    with lane_over(workspace, str(deadly)) as rig:
        for _ in range(2):
            warm(rig, root)
            rig.device.send(message)
            rig.restart()
        warm(rig, root)
        assert rig.ask(message) == HANDED_OVER
        assert rig.compare(request(Opcode.LOOKUP, b"f4\0", nodeid=root)) != HANDED_OVER
        assert rig.differences == []


def test_the_rig_finds_a_wrong_answer(rig: Rig, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A core that says another mode is a difference."""
    root = root_of(workspace)
    warm(rig, root)
    monkeypatch.setattr(rig.tree._modes, "shown", [mode ^ 1 for mode in rig.tree._modes.shown])
    walk(rig, root)
    assert rig.differences


def test_forged_records(tmp_path: Path, workspace: Workspace) -> None:
    """Records with valid seals and any content: what the lane answers, the core answers too, and neither dies."""
    source = random.Random(3)
    copy = tmp_path / "ws"
    shutil.copytree(workspace.path, copy)
    forged = open_workspace(copy)
    root = root_of(forged)
    with manifest.read(copy) as transaction:
        rows = [(number64(key), value) for key, value in transaction.raw.cursor(transaction.handles[Table.NODES])]
    for round_ in range(12):
        changed = {}
        for number, value in source.sample(rows, 60):
            payload = bytearray(value[:-4])
            for _ in range(source.randrange(1, 4)):
                at = source.choice((source.randrange(min(len(payload), 120)), source.randrange(len(payload))))
                payload[at] = source.choice((0, 1, 255, source.randrange(256)))
            if source.random() < 0.1:
                payload = payload[: source.randrange(1, len(payload))]
            changed[number] = bytes(payload)
        with manifest.write(copy) as transaction:
            for number, payload in changed.items():
                transaction.put_numbered(Table.NODES, number, payload)
        with lane_over(forged) as rig:
            for _ in range(300):
                inode = root + source.choice((0, source.randrange(3000)))
                rig.compare(random_request(source, [root, inode]))
            assert os.waitpid(rig.lane.pid, os.WNOHANG) == (0, 0), f"it died in round {round_}"
            assert rig.differences == []
        with manifest.write(copy) as transaction:
            for number, value in rows:
                if number in changed:
                    transaction.put_numbered(Table.NODES, number, value[:-4])
