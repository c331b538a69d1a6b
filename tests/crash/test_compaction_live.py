"""Compaction, reaping, checking, putting and reading at once: nothing acknowledged is lost, no byte read is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from blake3 import blake3

from artfs.mount.control import mount
from artstore.errors import DamageError
from artstore.workspace import init_workspace
from corpora import folders
from corpora.folders import Content, content_of
from crash.kill import counters
from crash.scenes import command, environment, run
from crash.states import converge, faults

ROUNDS = 5


def start(words: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(words, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def said_by(child: subprocess.Popen[str]) -> str:
    """Wait for a process that must succeed; return its output."""
    out, complained = child.communicate(timeout=120)
    assert child.returncode == 0, complained
    return out


@contextmanager
def beside(workspace: Path, stop: Path, *jobs: Sequence[str]) -> Iterator[None]:
    """Run the block while other processes do something over and over; each must do it at least once."""
    children = [start(command(workspace, [job[0], str(stop), *job[1:]], pack_limit=400_000)) for job in jobs]
    try:
        yield
    finally:
        stop.touch()
        counts = [said_by(child) for child in children]
    assert all(int(count) > 0 for count in counts)


class Writer:
    """A process that puts the states of a folder one after another, and deletes every version but the newest two."""

    def __init__(self, workspace: Path, folder: Path, name: str, seed: int) -> None:
        source = folder / name
        source.mkdir()
        folders.small(source, seed=seed, files=20)
        words: list[str] = []
        self.content: dict[str, Content] = {}
        for number in range(ROUNDS):
            state = folder / f"{name}-{number}"
            folders.change_some(source, seed=seed * 100 + number)
            subprocess.run(["cp", "-r", source, state], check=True)
            words += ["+", "put", str(state), name]
            if number > 1:
                words += ["+", "delete", f"{name}:v{number - 2}", "--now"]
            self.content[f"{name}:v{number}"] = content_of(state)
        self.kept = {f"{name}:v{number}": self.content[f"{name}:v{number}"] for number in (ROUNDS - 2, ROUNDS - 1)}
        self.process = start(command(workspace, ["play", *words[1:]], pack_limit=400_000))

    def end(self) -> None:
        assert len(said_by(self.process).splitlines()) == ROUNDS + ROUNDS - 2


@pytest.fixture
def place(quick_dir: Path) -> Iterator[tuple[Path, dict[str, Content]]]:
    """A workspace with a version that stays, and deleted ones that left gaps in packs."""
    workspace, source = init_workspace(quick_dir / "workspace"), quick_dir / "stable"
    source.mkdir()
    folders.small(source, seed=1, files=40)
    workspace.put(source, "stable")
    content = content_of(source)
    for number in range(3):
        folders.change_some(source, seed=number + 2)
        workspace.put(source, "passing")
    workspace.delete("passing:*", now=True)
    return workspace.path, {"stable:v0": content}


def test_compaction_beside_writers_and_readers(quick_dir: Path, place: tuple[Path, dict[str, Content]]) -> None:
    """Two processes put and delete, one reads everything, one compacts without a pause."""
    workspace, versions = place
    with beside(workspace, quick_dir / "stop", ["watch"], ["repeat", "gc", "--compact"]):
        writers = [Writer(workspace, quick_dir, name, seed) for seed, name in enumerate(("one", "two"), 5)]
        for writer in writers:
            writer.end()
            versions |= writer.kept
    assert faults(workspace, versions) == []
    assert converge(workspace) == []
    assert faults(workspace, versions) == []


@pytest.mark.fuse
def test_compaction_beside_a_mount(
    quick_dir: Path, tmp_path: Path, place: tuple[Path, dict[str, Content]], transport: str
) -> None:
    """Reads of a mount, past the kernel's cache, return the bytes put while compaction moves packs and manifest."""
    workspace, versions = place
    wrong: list[str] = []
    stop = threading.Event()
    (tmp_path / "mnt").mkdir()
    with mount(workspace, tmp_path / "mnt", workers=2, transport=transport) as mounted:
        reading = threading.Thread(
            target=lambda: wrong.extend(_read(mounted.directory / "stable/v0", versions["stable:v0"], stop.is_set))
        )
        reading.start()
        try:
            with beside(workspace, quick_dir / "stop", ["repeat", "gc", "--compact"]):
                writer = Writer(workspace, quick_dir, "one", 5)
                writer.end()
                versions |= writer.kept
        finally:
            stop.set()
            reading.join()
        for name, content in versions.items():
            wrong += _read(mounted.directory / name.replace(":", "/"), content, None)
    assert wrong == []
    assert faults(workspace, versions) == []


def _read(folder: Path, content: Content, stopped: Callable[[], bool] | None) -> list[str]:
    """Read all files of a mounted version, once or until stopped; return those that differ from the put ones."""
    wrong = []
    while True:
        for path, entry in content.items():
            if entry.kind != "file":
                continue
            with (folder / os.fsdecode(path)).open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                if blake3(file.read()).hexdigest() != entry.id:
                    wrong.append(f"{folder}/{os.fsdecode(path)} is not what was put")
        if stopped is None or stopped():
            return wrong


def test_gc_put_and_fsck_at_once(quick_dir: Path, place: tuple[Path, dict[str, Content]]) -> None:
    """Two reapers, a check and two writers: fsck finds nothing at any moment, and all succeed."""
    workspace, versions = place
    jobs = [["repeat", "gc", "--now"], ["repeat", "gc", "--now"], ["repeat", "check"]]
    with beside(workspace, quick_dir / "stop", *jobs):
        writers = [Writer(workspace, quick_dir, name, seed) for seed, name in enumerate(("one", "two"), 5)]
        for writer in writers:
            writer.end()
            versions |= writer.kept
    assert faults(workspace, versions) == []
    assert converge(workspace) == []


def test_many_reapers(quick_dir: Path, place: tuple[Path, dict[str, Content]]) -> None:
    """Processes that reap the same deadlist at once free each byte once, in steps of a few nodes."""
    workspace, versions = place
    source = quick_dir / "source"
    source.mkdir()
    folders.small(source, seed=9, files=300)
    run(command(workspace, ["put", str(source), "large"], nodes=1000))
    run(command(workspace, ["delete", "large:v0"]))
    before = counters(workspace).stored_bytes
    children = [start(command(workspace, ["gc", "--now"], nodes=5)) for _ in range(4)]
    freed = [int(said_by(child)) for child in children]
    assert sum(freed) == before - counters(workspace).stored_bytes > 0
    assert faults(workspace, versions) == []
    assert converge(workspace) == []


READER = """
import sys
from artstore.workspace import open_workspace
from artstore.rows import trees
workspace = open_workspace(sys.argv[1])
version = workspace.version(sys.argv[2])
with workspace.store.snapshot() as snapshot:
    print("reading", flush=True)
    sys.stdin.readline()
    for path, entry in trees.walk(snapshot.tree, version.record.root):
        if entry.size and not entry.is_directory:
            snapshot.read(entry.node, 0, entry.size)
"""
"""Look at a version in a snapshot from before its deletion, and read it when told to."""


@pytest.mark.parametrize("bug", [None, "readers-not-asked"])
def test_a_reader_of_the_past(quick_dir: Path, place: tuple[Path, dict[str, Content]], bug: str | None) -> None:
    """A reader that began before a deletion can finish, whatever is reaped; not with a reaper that ignores readers."""
    workspace, _ = place
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, workspace, "stable:v0"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        text=True,
    )
    assert reader.stdout is not None and reader.stdout.readline() == "reading\n"
    run(command(workspace, ["delete", "stable:v0", "--now"], bug=bug))
    run(command(workspace, ["gc"], bug=bug))
    complained = reader.communicate("go on\n", timeout=30)[1]
    assert (reader.returncode == 0) == (bug is None), complained
    assert (DamageError.__name__ in complained) == (bug is not None)
    assert converge(workspace) == []
