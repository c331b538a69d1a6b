"""`put` as a whole: progress, forbidden folders, attempts, and who is told."""

from __future__ import annotations

import errno
import os
import random
from pathlib import Path

import pytest

from artstore import daemon_requests, daemons
from artstore.changes import putting
from artstore.daemon_requests import Change
from artstore.daemons import DaemonInfo
from artstore.errors import InvalidInputError, NotFoundError, OutOfSpaceError, RefusedError
from artstore.ingest import reporting
from artstore.ingest.batch import StaleHintError
from artstore.ingest.source.forbidden import forbidden_folders
from artstore.progress import Progress
from artstore.storage import disk
from artstore.workspace import Workspace
from messages import missing, raises
from store.oracle import Model, assert_sound, write_folder

NOISE = random.Random(6).randbytes(400_000)
MODEL: Model = {b"a/%02d" % n: ("file", NOISE[n * 1000 : n * 1000 + 5000]) for n in range(40)}


def test_progress_counts_up_to_its_totals(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First a scan without totals, then the put; the last report is complete."""
    monkeypatch.setattr(reporting, "_PROGRESS_SECONDS", 0)
    seen: list[Progress] = []
    folder = write_folder(tmp_path / "data", {**MODEL, b"link": ("link", b"a/00")})
    workspace.put(folder, "x", progress=seen.append)
    scan, done = [p for p in seen if p.phase == "scan"], [p for p in seen if p.phase == "put"]
    assert scan and all(p.files_total is None for p in scan)
    assert [p.files_done for p in done] == sorted(p.files_done for p in done)
    assert done[-1][1:5] == (41, 200_000, 41, 200_000)


def test_a_single_file(workspace: Workspace, tmp_path: Path) -> None:
    """A file is a version of one entry, under its own name."""
    (tmp_path / "model.bin").write_bytes(NOISE)
    (tmp_path / "model.bin").chmod(0o755)
    version = workspace.put(tmp_path / "model.bin", "x")
    (info,) = version.listdir()
    assert (info.name, info.executable, version.read_bytes("model.bin")) == ("model.bin", True, NOISE)
    assert_sound(workspace)


@pytest.mark.parametrize("path", ["", "missing", "missing/below"])
def test_what_is_not_there(workspace: Workspace, tmp_path: Path, path: str) -> None:
    """One sentence, and nothing is made; an empty path is not the current folder."""
    with pytest.raises((NotFoundError, InvalidInputError)):
        workspace.put(str(tmp_path / path) if path else "", "x")
    assert workspace.artifacts() == []


def test_a_folder_that_holds_the_workspace(workspace: Workspace) -> None:
    """It is refused, from wherever it is put."""
    for path in (workspace.path, workspace.path.parent):
        with raises(RefusedError, names=[str(workspace.path)], reason="source holds the workspace"):
            workspace.put(path, "x")
    (workspace.path.parent / "data").mkdir()
    (workspace.path.parent / "data" / "link").symlink_to(workspace.path)
    with pytest.raises(RefusedError):
        workspace.put(workspace.path.parent / "data", "x")
    assert_sound(workspace)


def test_excluded_files_stay_out(workspace: Workspace, tmp_path: Path) -> None:
    """By glob and by ignore file, which itself is stored."""
    folder = write_folder(
        tmp_path / "data",
        {
            b"keep": ("file", b"1"),
            b"x.tmp": ("file", b"2"),
            b"cache/y": ("file", b"3"),
            b".artfsignore": ("file", b"cache/\n"),
        },
    )
    version = workspace.put(folder, "x", exclude=["*.tmp"])
    assert [name for _, _, names in version.walk() for name in names] == [".artfsignore", "keep"]


def test_a_stale_hint_is_tried_again(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two times; the third try takes nothing for granted, and its failure is the caller's to see."""
    folder = write_folder(tmp_path / "data", MODEL)
    real = putting.Ingest.run
    for failures in (1, 2, 3):
        calls: list[bool] = []

        def run(ingest: putting.Ingest, failures: int = failures, calls: list[bool] = calls) -> object:
            calls.append(ingest._hints)
            if len(calls) <= failures:
                raise StaleHintError("gone")
            return real(ingest)

        with monkeypatch.context() as patch:
            patch.setattr(putting.Ingest, "run", run)
            if failures == 3:
                with pytest.raises(StaleHintError):
                    workspace.put(folder, "x")
                assert calls == [True, True, False]
            else:
                workspace.put(folder, "x", new=True)
    assert len(workspace.versions("x")) == 2
    assert_sound(workspace)


def test_a_full_disk(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused at once where it is full already; in the middle, what was there stays and the next put goes on."""
    folder = write_folder(tmp_path / "data", MODEL)
    with monkeypatch.context() as patch:
        patch.setattr(disk, "free_bytes", lambda _: 1000)
        with raises(OutOfSpaceError, names=["1000 bytes"]):
            workspace.put(folder, "x")
    real = disk.append
    for allowed in range(4):
        calls = 0

        def append(fd: int, buffers: list[bytes], offset: int, allowed: int = allowed) -> int:
            nonlocal calls
            calls += 1
            if calls > allowed:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(fd, buffers, offset)

        with monkeypatch.context() as patch:
            patch.setattr(disk, "append", append)
            try:
                workspace.put(folder, f"x{allowed}", new=True)
            except OutOfSpaceError:
                assert workspace.artifacts() == []
            else:
                break
        assert_sound(workspace)
    assert allowed == 2  # the segment and the journal; the pack was made by a try before
    assert workspace.put(folder, "y").read_bytes("a/00") == MODEL[b"a/00"][1]
    assert_sound(workspace)


def test_an_interrupted_put_stores_nothing_twice(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What its draft holds is found by the next put of the same folder."""
    from artstore.ingest import staging

    monkeypatch.setattr(staging, "BATCH_NODES", 5)
    folder = write_folder(tmp_path / "data", MODEL)

    def interrupt(files: int, size: int, name: bytes) -> None:
        if files == 30:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(reporting, "_Reporter", lambda *_: interrupt)
        with pytest.raises(KeyboardInterrupt):
            workspace.put(folder, "x", progress=lambda _: None)
    with workspace.store.snapshot() as snapshot:
        before = snapshot.usage_totals().stored_bytes
    (draft,) = workspace.drafts.states()
    assert not draft.alive and draft.staged_nodes > 20 and before > 100_000
    assert_sound(workspace)
    version = workspace.put(folder, "x")
    assert version.new_bytes < 100_000
    assert_sound(workspace)


def test_mounts_are_told_of_what_lists_differently(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The version, `latest`, aliases that moved, and new names above; the silent are named in the receipt."""
    notified: list[list[Change]] = []
    silent = DaemonInfo(**dict.fromkeys(DaemonInfo.__dataclass_fields__) | {"mountpoint": "/mnt"})

    def notify(_: Path, changes: list[Change]) -> list[DaemonInfo]:
        notified.append(changes)
        return [silent]

    monkeypatch.setattr(daemon_requests, "notify", notify)
    folder = write_folder(tmp_path / "data", {b"f": ("file", b"1")})
    version = workspace.put(folder, "team/x", aliases=["best"])
    assert version.receipt is not None and version.receipt.silent_daemons == ["/mnt"]
    workspace.put(folder, "team/x")
    workspace.put(folder, "team/x", aliases=["best", "other"])
    assert notified == [
        [
            Change("", ["team"]),
            Change("team", ["x"]),
            Change("team/x", ["v0", "latest", "best"]),
        ],
        [Change("team/x", ["other"])],
    ]


def test_a_mount_inside_the_folder(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The workspace's own mounts below a folder are refused by device."""
    (tmp_path / "data" / "mnt").mkdir(parents=True)
    status = (tmp_path / "data" / "mnt").stat()
    device = f"{os.major(status.st_dev)}:{os.minor(status.st_dev)}"
    values = dict.fromkeys(DaemonInfo.__dataclass_fields__) | {"mountpoint": "/mnt", "device": device}
    monkeypatch.setattr(daemons, "live_daemons", lambda _: [DaemonInfo(**values)])
    assert not missing(forbidden_folders(workspace.store)[status.st_dev, 1], ["/mnt"])
