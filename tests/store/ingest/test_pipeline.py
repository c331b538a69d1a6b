"""The whole ingest: memory, order, problems, and files that change under it."""

from __future__ import annotations

import errno
import os
import random
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from artstore.errors import SourceChangedError, SourceError
from artstore.ingest import feeding, pipeline, reading, staging
from artstore.ingest.source import FileStamp
from artstore.workspace import Workspace
from messages import raises
from reasons import has_reason
from store.oracle import Model, assert_sound, canonical_digest, model_of, whole, write_folder

NOISE = random.Random(8).randbytes(6_000_000)
NAMES = st.sampled_from([b"a", b"b", b"c c", b"\xff", b"n\nl"])
VALUES = st.one_of(
    st.tuples(st.sampled_from(["file", "exec"]), st.sampled_from([b"", b"x", NOISE[:70_000], NOISE[:1_500_000]])),
    st.just(("dir", b"")),
    st.just(("link", b"nowhere")),
)


@st.composite
def models(draw: st.DrawFn) -> Model:
    model: Model = {}
    for parts, value in draw(st.lists(st.tuples(st.lists(NAMES, min_size=1, max_size=3), VALUES), max_size=8)):
        path = b"/".join(parts)
        above = {b"/".join(parts[:depth]) for depth in range(1, len(parts))}
        below = any(other.startswith(path + b"/") for other in model)
        if any(model.get(up, ("dir", b""))[0] != "dir" for up in above) or (below and value[0] != "dir"):
            continue
        if value[0] == "link" and len(parts) > 1:
            continue
        model[path] = value
    return whole(model)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(model=models(), workers=st.integers(1, 8), batch=st.sampled_from([1, 3, 1500]), backwards=st.booleans())
def test_the_digest_depends_on_content_alone(
    new_workspace: Any,
    tmp_path_factory: pytest.TempPathFactory,
    model: Model,
    workers: int,
    batch: int,
    backwards: bool,
) -> None:
    """Whatever the order of listing, the number of workers, the batches, and what the stat cache knows."""
    folder = write_folder(tmp_path_factory.mktemp("data"), model)
    for path, _, files in os.walk(folder):  # old enough for the stat cache
        for name in files:
            os.utime(os.path.join(path, name), ns=(10**18, 10**18), follow_symlinks=False)
    listdir = os.listdir
    with new_workspace() as workspace, pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "cpu_count", lambda: workers)
        patch.setattr(staging, "BATCH_NODES", batch)
        patch.setattr(os, "listdir", lambda path: sorted(listdir(path), reverse=backwards))
        patch.setattr("artstore.ingest.statcache.MARGIN_NS", -(10**18))
        digests = [workspace.put(folder, name).record.digest for name in ("one", "one", "two")]
        assert digests == [canonical_digest(model)] * 3
        assert len(workspace.versions("one")) == 1
        assert model_of(workspace.store, workspace.version("two").record.root) == model
        assert_sound(workspace)


def test_a_known_folder_is_not_read_again(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the stat cache a second put opens no file, and a change is still seen."""
    monkeypatch.setattr("artstore.ingest.statcache.MARGIN_NS", -(10**18))
    folder = write_folder(tmp_path / "data", {b"a/%d" % n: ("file", b"%d" % n) for n in range(50)})
    first = workspace.put(folder, "x")
    read: list[int] = []
    real = reading.read_small
    monkeypatch.setattr(pipeline, "read_small", lambda *args: read.append(len(args[0])) or real(*args))
    assert workspace.put(folder, "x") == first and read == []
    (folder / "a" / "7").write_bytes(b"changed")
    second = workspace.put(folder, "x")
    assert read == [1] and second.read_bytes("a/7") == b"changed"
    assert_sound(workspace)


def test_a_lost_store_behind_a_stat_cache(
    workspace: Workspace, tmp_path: Path, new_workspace: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cache that promises content which the store does not have costs a second attempt, and nothing else."""
    monkeypatch.setattr("artstore.ingest.statcache.MARGIN_NS", -(10**18))
    folder = write_folder(tmp_path / "data", {b"a/%d" % n: ("file", b"%d" % n) for n in range(20)})
    digest = workspace.put(folder, "x").digest
    with new_workspace() as other:
        os.rmdir(other.path / "cache")
        os.rename(workspace.path / "cache", other.path / "cache")
        assert other.put(folder, "x").digest == digest
        assert_sound(other)


def fds() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_what_cannot_be_taken_is_named(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it, before anything is committed; no descriptor is left open, and what was stored is found again."""
    folder = write_folder(
        tmp_path / "data",
        {b"%d/%d" % (n, m): ("file", NOISE[n * 1000 : n * 1000 + 900 + m]) for n in range(9) for m in range(9)},
    )
    workspace.put(folder / "0", "warm")
    before = fds()
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(folder)  # a socket's path is short
        server.bind("sock")
        os.mkfifo(folder / "8" / "fifo")
        with pytest.raises(SourceError) as caught:
            workspace.put(folder, "x")
        os.unlink(folder / "sock")
    assert caught.value.paths == [b"8/fifo", b"sock"]
    assert has_reason(str(caught.value), "named pipe") and has_reason(str(caught.value), "socket")
    del caught
    assert fds() <= before
    assert [artifact.name for artifact in workspace.artifacts()] == ["warm"]
    assert_sound(workspace)
    os.unlink(folder / "8" / "fifo")
    workspace.put(folder, "x")
    assert_sound(workspace)


def test_many_problems_end_the_put_early(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred files that cannot be read are enough."""
    folder = write_folder(tmp_path / "data", {b"%04d" % n: ("file", b"%d" % n) for n in range(300)})

    def fail(fd: int, _: object) -> bytes:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "read", fail)
        patch.setattr(os, "readv", fail)
        patch.setattr(reading, "_PAUSE", 0)
        with raises(SourceError, names=["99 more files"]) as caught:
            workspace.put(folder, "x")
    assert len(caught.value.paths) == 100
    assert_sound(workspace)


class Meddler:
    """Do something to a file whenever a large file's stamp is taken, so many times."""

    def __init__(self, patch: pytest.MonkeyPatch, meddle: Callable[[int], None]) -> None:
        self.calls = 0
        real = FileStamp.of_fd

        def of_fd(fd: int) -> FileStamp:
            stamp = real(fd)
            self.calls += 1
            meddle(self.calls)
            return stamp

        patch.setattr(FileStamp, "of_fd", of_fd)


def test_a_large_file_that_changes_is_read_again(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Changed while it is read the first time: the version has the content that stood still."""
    path = tmp_path / "data" / "large"
    write_folder(path.parent, {b"large": ("file", NOISE), b"other": ("file", b"x")})

    def meddle(call: int) -> None:
        if call == 1:
            with path.open("ab") as file:
                file.write(b"more")

    with monkeypatch.context() as patch:
        Meddler(patch, meddle)
        version = workspace.put(path.parent, "x")
    assert version.read_bytes("large") == NOISE + b"more"
    assert_sound(workspace)


def test_a_large_file_that_never_holds_still_is_named(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After three tries; nothing is committed, and the next put goes on from what was stored."""
    path = tmp_path / "data" / "large"
    write_folder(path.parent, {b"large": ("file", NOISE)})

    def meddle(call: int) -> None:
        with path.open("ab") as file:
            file.write(b"!")

    with monkeypatch.context() as patch:
        Meddler(patch, meddle)
        with raises(SourceChangedError, names=["large"], reason="kept changing"):
            workspace.put(path.parent, "x")
    assert workspace.artifacts() == []
    assert_sound(workspace)
    assert workspace.put(path.parent, "x").read_bytes("large") == path.read_bytes()
    assert_sound(workspace)


@pytest.mark.parametrize("size", [0, 10, 2_000_000])
def test_a_large_file_that_was_cut_before_it_is_read(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """Large when the walk passed, small or empty when it is opened: it is stored as it is then."""
    path = tmp_path / "data" / "large"
    write_folder(path.parent, {b"large": ("file", NOISE)})
    real = pipeline.FileEntry.open

    def cut_and_open(entry: Any) -> int:
        os.truncate(path, size)
        return real(entry)

    monkeypatch.setattr(pipeline.FileEntry, "open", cut_and_open)
    version = workspace.put(path.parent, "x")
    assert version.read_bytes("large") == NOISE[:size]
    assert version.record.digest == canonical_digest({b"large": ("file", NOISE[:size])})
    assert_sound(workspace)


def test_a_small_file_that_grew(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small when the walk passed, of several chunks when it is read."""
    path = tmp_path / "data" / "small"
    write_folder(path.parent, {b"small": ("file", b"x")})
    real = pipeline.FileEntry.open

    def grow_and_open(entry: Any) -> int:
        path.write_bytes(NOISE[:3_000_000])
        return real(entry)

    monkeypatch.setattr(pipeline.FileEntry, "open", grow_and_open)
    assert workspace.put(path.parent, "x").read_bytes("small") == NOISE[:3_000_000]
    assert_sound(workspace)


def test_a_large_file_that_cannot_be_read(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failing disk, and a file that vanished, are named; other files do not hide them."""
    write_folder(tmp_path / "data", {b"large": ("file", NOISE), b"z": ("file", b"")})

    def fail(fd: int, buffers: Any) -> int:
        raise OSError(5, "Input/output error")

    before = fds()
    with monkeypatch.context() as patch:
        patch.setattr(os, "readv", fail)
        with raises(SourceError, names=["large", os.strerror(errno.EIO)]):
            workspace.put(tmp_path / "data", "x")
    with monkeypatch.context() as patch:
        patch.setattr(pipeline.FileEntry, "open", lambda entry: entry.directory.open_file(b"gone"))
        with raises(SourceChangedError, names=["gone"], reason="vanished"):
            workspace.put(tmp_path / "data", "x")
    assert fds() <= before + 3  # the stat cache's and the environment's own
    assert_sound(workspace)


def test_memory_in_flight_is_bounded(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow staging is, the walk does not run ahead by more than the bytes that are allowed."""
    monkeypatch.setattr(pipeline, "_IN_FLIGHT", 200_000)
    monkeypatch.setattr(pipeline, "_BATCH_BYTES", 50_000)
    write_folder(tmp_path / "data", {b"%03d" % n: ("file", NOISE[n : n + 20_000]) for n in range(60)})
    highest = 0
    real = feeding.Feed._take

    def take(feed: feeding.Feed) -> feeding.Parcel | None:
        nonlocal highest
        highest = max(highest, feed._in_flight)
        return real(feed)

    monkeypatch.setattr(feeding.Feed, "_take", take)
    workspace.put(tmp_path / "data", "x")
    assert highest <= 200_000 + 60_000 + 4 * 2048  # and the parcel that was being filled
    assert_sound(workspace)
