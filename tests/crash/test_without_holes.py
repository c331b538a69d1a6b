"""A full disk on which holes cannot be punched: deleting and `gc` give the space back, however little of it is free."""

from __future__ import annotations

import errno
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from artfs.mount.control import mount
from artstore.errors import OutOfSpaceError, UnsupportedError
from artstore.storage import disk as calls
from artstore.storage.disk import free_bytes
from artstore.storage.reserve import RESERVE
from artstore.workspace import Workspace, init_workspace
from corpora.folders import Content, content_of
from crash.places import MIB, filled, missing_for, small_disk, small_ext4, take_all
from crash.recount import contradictions, stray_packs
from crash.scenes import environment
from crash.states import content_of_version, converge, faults, forget, opened

pytestmark = pytest.mark.usefixtures("may_mount")

DISK = 140 * MIB
PIECE = 5 * MIB
KINDS = ["ext4", "ext2", "xfs", "tmpfs", "overlay"]
BOUND = 4 * MIB
"""What may stay besides what lives: blocks that are not full, the manifest, the journal, folders."""
SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/types.h>
#include <sys/vfs.h>
int fallocate(int fd, int mode, off_t offset, off_t length) {
    int (*real)(int, int, off_t, off_t) = dlsym(RTLD_NEXT, "fallocate");
    if (mode & 2) { errno = EOPNOTSUPP; return -1; }
    return real(fd, mode, offset, length);
}
int statfs(const char *path, struct statfs *answer) {
    int (*real)(const char *, struct statfs *) = dlsym(RTLD_NEXT, "statfs");
    int result = real(path, answer);
    if (getenv("SHIM_TYPE")) answer->f_type = strtol(getenv("SHIM_TYPE"), NULL, 16);
    return result;
}
"""


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that, loaded before others, lets no process punch holes."""
    folder = tmp_path_factory.mktemp("shim")
    (folder / "shim.c").write_text(SHIM)
    built = folder / "shim.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", built, folder / "shim.c", "-ldl"], check=True, capture_output=True)
    return built


@pytest.fixture
def no_holes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process punch no holes."""
    monkeypatch.setattr(calls, "punch_hole", lambda *_: False)


@pytest.fixture(params=KINDS)
def bare(request: pytest.FixtureRequest, tmp_path: Path, no_holes: None) -> Iterator[Path]:
    """A small disk on which this process cannot punch holes."""
    reason = missing_for(request.param)
    if reason and os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    if reason:
        pytest.skip(reason)
    with small_disk(request.param, tmp_path, DISK) as disk:
        yield disk


@pytest.fixture
def bare_ext4(tmp_path: Path, no_holes: None) -> Iterator[Path]:
    with small_ext4(tmp_path / "disk", DISK, tmp_path / "image") as disk:
        yield disk


def fill(workspace: Workspace, folder: Path, *, piece: int = PIECE, name: str = "data") -> dict[str, Content]:
    """Put files of ``piece`` random bytes until the disk is full; return the content of each version."""
    folder.mkdir(exist_ok=True)
    contents: dict[str, Content] = {}
    while True:
        (folder / "file").write_bytes(os.urandom(piece))
        try:
            workspace.put(folder, name)
        except OutOfSpaceError:
            return contents
        contents[f"{name}:v{len(contents)}"] = content_of(folder)


def taken(workspace: Path) -> int:
    """Return the bytes on disk of a workspace's packs, journal and manifest."""
    return sum(path.stat().st_blocks * 512 for path in workspace.rglob("*") if path.name != "reserve")


def keep_last(workspace: Workspace, contents: dict[str, Content], *, now: bool = False) -> dict[str, Content]:
    """Delete all versions but the last."""
    *dead, last = contents
    workspace.delete(*dead, now=now)
    return {last: contents[last]}


def run(words: list[str], shim: Path, *, code: int = 0) -> str:
    """Run a command in a process that cannot punch holes; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "artfs", *words],
        env={**environment(), "LD_PRELOAD": str(shim)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == code, done.stderr
    return done.stdout


@pytest.mark.parametrize("command", [["gc", "--now"], ["gc", "--now", "--compact"]], ids=" ".join)
def test_gc_gives_the_space_back(bare: Path, tmp_path: Path, shim: Path, command: list[str]) -> None:
    """Filled by puts, all but one deleted: gc ends with 0, and what lives is about all that is still stored."""
    workspace = init_workspace(bare / "workspace")
    contents = fill(workspace, tmp_path / "source", piece=PIECE if free_bytes(bare) < DISK else 4 * PIECE)
    assert len(contents) >= 7
    kept = keep_last(workspace, contents)
    forget(workspace.path)
    run(["-w", str(workspace.path), *command], shim)
    size = max(entry.size for entry in next(iter(kept.values())).values())
    assert taken(workspace.path) <= size + BOUND
    assert (workspace.path / "reserve").stat().st_blocks * 512 >= RESERVE
    assert faults(workspace.path, kept) == []
    run(["-w", str(workspace.path), "fsck", "--data"], shim)


@pytest.mark.parametrize("command", [["rm", "--now", "data:v0..v3"], ["gc", "--now"], ["gc", "--now", "--compact"]])
def test_the_last_byte_is_taken(bare_ext4: Path, tmp_path: Path, shim: Path, command: list[str]) -> None:
    """Another program has filled the disk: the reserve serves the first copy, and the rest follows."""
    workspace = init_workspace(bare_ext4 / "workspace").path
    with opened(workspace) as made:
        contents = fill(made, tmp_path / "source")
        gone = [f"data:v{number}" for number in range(4)]
        if command[0] == "gc":
            made.delete(*gone)
    before = taken(workspace)
    with filled(bare_ext4, 0):
        run(["-w", str(workspace), *command], shim)
        assert before - taken(workspace) >= 4 * PIECE - BOUND
    kept = {name: content for name, content in contents.items() if name not in gone}
    assert faults(workspace, kept) == [] and stray_packs(workspace) == []


@pytest.mark.parametrize("alive", [range(12), range(6, 12), range(0, 12, 2), range(0, 12, 5)], ids=str)
def test_more_lives_than_is_free(bare_ext4: Path, tmp_path: Path, alive: range) -> None:
    """A pack whose live content does not fit into the free space is copied from its end, and cut there."""
    workspace = init_workspace(bare_ext4 / "workspace")
    contents = fill(workspace, tmp_path / "source", piece=5 * MIB)
    gone = [name for name in contents if int(name.rpartition("v")[2]) not in alive]
    ballast = bare_ext4 / "ballast"
    take_all(ballast)
    if gone:
        workspace.delete(*gone, now=True)
    report = workspace.gc(now=True, compact=True)
    assert report.not_compacted == []
    assert taken(workspace.path) <= PIECE * (len(contents) - len(gone)) * 1.03 + BOUND
    assert faults(workspace.path, {name: contents[name] for name in contents if name not in gone}) == []
    ballast.unlink()


def test_a_reader_of_the_past_keeps_what_it_reads(bare_ext4: Path, tmp_path: Path) -> None:
    """While a snapshot is open nothing that it shows is cut off; afterwards gc gives it back."""
    workspace = init_workspace(bare_ext4 / "workspace")
    contents = fill(workspace, tmp_path / "source")
    with workspace.store.snapshot() as snapshot:
        shown = {name: snapshot.version(workspace.version(name).record.serial) for name in contents}
        kept = keep_last(workspace, contents, now=True)
        workspace.gc(now=True)
        for name, version in shown.items():
            assert version is not None
            for path, entry in snapshot.walk(version.root):
                assert len(snapshot.read(entry.node, 0, entry.size)) == entry.size, (name, path)
    workspace.gc(now=True, compact=True)
    assert taken(workspace.path) <= PIECE + BOUND
    assert faults(workspace.path, kept) == []


def test_a_put_finds_the_gaps(bare_ext4: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A put that needs space has loose packs copied, also if nothing is left to reap."""
    workspace = init_workspace(bare_ext4 / "workspace")
    with monkeypatch.context() as patch:
        patch.setattr("artstore.reclaim.reaper.tidy", lambda *_: False)
        kept = keep_last(workspace, fill(workspace, tmp_path / "source"), now=True)
    assert workspace.usage().deadlist_entries == 0 and taken(workspace.path) > 40 * MIB
    (tmp_path / "source" / "file").write_bytes(os.urandom(20 * MIB))
    workspace.put(tmp_path / "source", "more")
    kept["more:v0"] = content_of(tmp_path / "source")
    assert faults(workspace.path, kept) == []


def test_a_put_frees_no_more_than_it_needs(bare_ext4: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Versions in their undelete window go the oldest first, and those that need not go can still be undeleted."""
    monkeypatch.setattr("artstore.reclaim.space._ROOM", RESERVE + 4 * MIB)
    monkeypatch.setattr("artstore.reclaim.reaper._ASK_AT_ONCE", 4)
    workspace = init_workspace(bare_ext4 / "workspace")
    contents = fill(workspace, tmp_path / "source", piece=2 * MIB)
    for name in list(contents)[:-1]:
        workspace.delete(name)
    waiting = workspace.usage().deadlist_entries
    (tmp_path / "source" / "file").write_bytes(os.urandom(3 * MIB))  # what is left takes less than one more piece
    workspace.put(tmp_path / "source", "more")
    assert 0 < workspace.usage().deadlist_entries < waiting
    workspace.undelete(list(contents)[-2])
    assert content_of_version(workspace.version(list(contents)[-2])) == contents[list(contents)[-2]]


@pytest.mark.fuse
def test_a_daemon_reaps(bare_ext4: Path, tmp_path: Path, shim: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reaper of a mount gives the space back too, on a disk that is full to the last byte."""
    workspace = init_workspace(bare_ext4 / "workspace")
    contents = fill(workspace, tmp_path / "source")
    workspace.configure(undelete_seconds=0)
    (tmp_path / "mnt").mkdir()
    ballast = bare_ext4 / "ballast"
    monkeypatch.setenv("LD_PRELOAD", str(shim))
    with mount(workspace.path, tmp_path / "mnt", workers=2) as mounted:
        take_all(ballast)
        kept = keep_last(workspace, contents)
        until(lambda: taken(workspace.path) <= PIECE + BOUND)
        last = next(iter(kept))
        assert content_of(mounted.directory / "data" / last.partition(":")[2]) == kept[last]
        ballast.unlink()
    assert faults(workspace.path, kept) == []


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_only_records_grew(bare_ext4: Path, tmp_path: Path, shim: Path) -> None:
    """Thousands of versions, tags and aliases without content: deleting them on a full disk shrinks the manifest."""
    workspace = init_workspace(bare_ext4 / "workspace")
    folder = tmp_path / "source"
    folder.mkdir()
    for number in range(1000):
        (folder / f"{number:04}").write_bytes(b"%d" % number)
    workspace.put(folder, "kept")
    for number in range(20):
        for other in range(0, 1000, 20):
            (folder / f"{other + number:04}").write_bytes(os.urandom(10))
        workspace.put(folder, "many", metadata={"text": "x" * 100_000 + str(number)})
    before = taken(workspace.path)
    forget(workspace.path)
    with filled(bare_ext4, 0):
        run(["-w", str(workspace.path), "rm", "--now", "--force", "many:v0..v19"], shim)
        document = json.loads(run(["-w", str(workspace.path), "gc", "--compact", "--json"], shim))
        assert document["not_compacted"] == []
        assert document["manifest_bytes_after"] < document["manifest_bytes_before"] // 2
    assert taken(workspace.path) < before // 2
    assert converge(workspace.path) == []


def test_what_lacks_space_is_named(bare_ext4: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be copied is left, and named; everything else is done."""
    workspace = init_workspace(bare_ext4 / "workspace")
    kept = keep_last(workspace, fill(workspace, tmp_path / "source"), now=True)

    def full(*_: object) -> None:
        raise OutOfSpaceError("no space")

    with monkeypatch.context() as patch:
        patch.setattr("artstore.reclaim.compaction.environment._build", full)
        report = workspace.gc(compact=True)
    assert report.not_compacted == ["the manifest"] and report.manifest_bytes_after is None
    assert faults(workspace.path, kept) == []


@pytest.mark.parametrize("holes", [True, False])
def test_no_inodes_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, holes: bool) -> None:
    """Deleting and gc need no new file, or have the reserve's."""
    if not holes:
        monkeypatch.setattr(calls, "punch_hole", lambda *_: False)
    with small_ext4(tmp_path / "disk", DISK, tmp_path / "image", inodes=96) as disk:
        workspace = init_workspace(disk / "workspace")
        contents = fill(workspace, tmp_path / "source", piece=8 * MIB)
        others = []
        with pytest.raises(OSError, match="No space left"):
            while True:
                others.append(disk / f"other-{len(others)}")
                others[-1].touch()
        kept = keep_last(workspace, contents, now=True)
        workspace.gc(now=True)
        assert taken(workspace.path) <= 8 * MIB + BOUND
        report = workspace.gc(now=True, compact=True)
        assert set(report.not_compacted) <= {"the journal", "the manifest"}
        assert faults(workspace.path, kept) == []
        for path in others[:-1]:
            path.unlink()
        assert workspace.gc(now=True, compact=True).not_compacted == []
        assert (workspace.path / "reserve").stat().st_blocks * 512 >= RESERVE


def test_a_quota_is_a_full_disk(bare_ext4: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The free bytes of the disk do not show a quota: the reserve is released after the first refusal."""
    workspace = init_workspace(bare_ext4 / "workspace")
    contents = fill(workspace, tmp_path / "source")
    reserve = workspace.path / "reserve"
    append = calls.append
    refused = []
    allowed = taken(workspace.path) + reserve.stat().st_blocks * 512

    def limited(fd: int, buffers: list[bytes], offset: int) -> int:
        if taken(workspace.path) + reserve.stat().st_blocks * 512 + sum(map(len, buffers)) > allowed:
            refused.append(fd)
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
        return append(fd, buffers, offset)

    monkeypatch.setattr(calls, "append", limited)
    monkeypatch.setattr(calls, "free_bytes", lambda _: 1 << 40)
    kept = keep_last(workspace, contents, now=True)
    workspace.gc(now=True)
    assert refused
    monkeypatch.undo()
    assert taken(workspace.path) <= PIECE + BOUND
    assert faults(workspace.path, kept) == []


@pytest.mark.parametrize(("number", "name"), [("4d44", "vfat"), ("2011bab0", "exfat"), ("7366746e", "ntfs3")])
def test_init_where_there_are_no_permissions(
    tmp_path: Path, shim: Path, monkeypatch: pytest.MonkeyPatch, number: str, name: str
) -> None:
    """A file system that says it is FAT, exFAT or NTFS: init ends with 4 and one sentence, and leaves nothing."""
    monkeypatch.setenv("SHIM_TYPE", number)
    printed = run(["init", "--json", str(tmp_path / "workspace")], shim, code=4)
    error = json.loads(printed)["error"]
    assert name in error["message"] and "artfs init DIR --default" in error["hint"]
    assert os.listdir(tmp_path) == []


def test_init_on_fat(tmp_path: Path) -> None:
    """The same on a real one, where the kernel has it."""
    if reason := missing_for("vfat"):
        pytest.skip(reason)
    with small_disk("vfat", tmp_path, 64 * MIB) as disk:
        with pytest.raises(UnsupportedError):
            init_workspace(disk / "workspace")
        assert os.listdir(disk) == []


@pytest.mark.parametrize("seed", range(2))
def test_any_order(bare_ext4: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Puts, deletions, other programs and gc in random order: gc ends with 0, and all but what lives is free."""
    monkeypatch.setattr("artstore.storage.packs.PACK_LIMIT", 24 * MIB if seed % 2 else 256 * MIB)
    chance = random.Random(seed)
    workspace = init_workspace(bare_ext4 / "workspace")
    total = free_bytes(bare_ext4) + taken(workspace.path) + (workspace.path / "reserve").stat().st_blocks * 512
    folder = tmp_path / "source"
    folder.mkdir()
    living: dict[str, Content] = {}
    made = 0
    for _ in range(50):
        choice = chance.random()
        if choice < 0.6:
            for path in folder.iterdir():
                path.unlink()
            for number in range(chance.choice([1, 3, 300])):
                (folder / str(number)).write_bytes(chance.randbytes(chance.choice([100, 3000, 40_000])))
            (folder / "large").write_bytes(chance.randbytes(chance.choice([0, MIB, 6 * MIB, 19 * MIB])))
            try:
                version = workspace.put(folder, "data")
            except OutOfSpaceError:
                continue
            living[version.name] = content_of(folder)
            made += 1
        elif choice < 0.8 and living:
            for name in chance.sample(sorted(living), min(len(living), chance.choice([1, 2, 8]))):
                del living[name]
                workspace.delete(name, now=chance.random() < 0.5)
        else:
            compact = chance.random() < 0.5
            ballast = bare_ext4 / "ballast"
            if (workspace.path / "reserve").stat().st_blocks * 512 >= RESERVE and chance.random() < 0.5:
                take_all(ballast)
            report = workspace.gc(now=True, compact=compact)
            ballast.unlink(missing_ok=True)
            assert report.not_compacted == []
            usage = workspace.usage()
            alive = usage.stored_bytes * (1.04 if compact else 4 / 3)
            assert free_bytes(bare_ext4) >= total - RESERVE - alive - usage.manifest_bytes - BOUND
            assert contradictions(workspace.path) == []
    assert made > 10 and faults(workspace.path, living) == []
