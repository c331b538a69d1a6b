"""Writing: the same bytes for the same versions, and a file that is whole or not there."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from artstore.archives import writing
from artstore.archives.writing import SelectedVersion, plan_archive, write_archive
from artstore.errors import (
    DamageError,
    ExistsError,
    InvalidInputError,
    IsFolderError,
    NotFolderError,
    NotFoundError,
    RefusedError,
)
from artstore.progress import Progress
from artstore.queries.versions import Version
from store.archives.conftest import Archived


def test_equal_versions_are_equal_archives(archived: Archived, tmp_path: Path) -> None:
    """Also later, and under another name; the plan says how long it is."""
    plan, reports = archived.plan(), []
    write_archive(tmp_path / "other.tar", plan, progress=reports.append)
    assert (tmp_path / "other.tar").read_bytes() == archived.path.read_bytes()
    assert plan.size == archived.path.stat().st_size and plan.files == 7
    assert reports[-1] == Progress("export", 5, plan.content_bytes, 5, plan.content_bytes, reports[-1].current)


def test_it_is_synced_before_it_has_its_name(
    archived: Archived, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And its folder after that: a power failure leaves a whole archive or none."""
    calls: list[str] = []

    def noted(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *arguments, **options: calls.append(name) or call(*arguments, **options)

    for name in ("fsync", "link", "rename"):
        monkeypatch.setattr(os, name, noted(name, getattr(os, name)))
    write_archive(tmp_path / "x.tar", archived.plan())
    write_archive(tmp_path / "x.tar", archived.plan(), overwrite=True)
    assert calls == ["fsync", "link", "fsync", "fsync", "rename", "fsync"]


def test_a_file_is_not_replaced_unless_asked(archived: Archived, tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_text("mine")
    with pytest.raises(ExistsError, match=r"x\.tar"):
        write_archive(path, archived.plan())
    assert path.read_text() == "mine"
    write_archive(path, archived.plan(), overwrite=True)
    assert path.read_bytes() == archived.path.read_bytes() and os.listdir(tmp_path) == ["x.tar"]


def test_what_appears_meanwhile_is_not_replaced(
    archived: Archived, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name is given by a call that refuses one that is there."""
    path, write = tmp_path / "x.tar", writing._write

    def write_and_make(*args: Any) -> None:
        write(*args)
        path.write_text("theirs")

    monkeypatch.setattr(writing, "_write", write_and_make)
    with pytest.raises(ExistsError):
        write_archive(path, archived.plan())
    assert path.read_text() == "theirs" and os.listdir(tmp_path) == ["x.tar"]


def test_a_place_that_is_none(archived: Archived, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("file")
    for path, error in [
        (tmp_path, IsFolderError),
        (tmp_path / "none" / "x.tar", NotFoundError),
        (tmp_path / "file" / "x.tar", NotFolderError),
        (tmp_path / "link", RefusedError),
        (Path("/dev/null"), RefusedError),
    ]:
        with pytest.raises(error):
            write_archive(path, archived.plan(), overwrite=True)
    assert sorted(os.listdir(tmp_path)) == ["file", "link"]


def test_an_interrupted_one_leaves_nothing(archived: Archived, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends it at the next piece; what was there stays."""
    path = tmp_path / "x.tar"
    path.write_text("mine")

    def interrupt(progress: Progress) -> None:
        signal.raise_signal(signal.SIGINT)

    assert threading.current_thread() is threading.main_thread()
    with pytest.raises(KeyboardInterrupt):
        write_archive(path, archived.plan(), overwrite=True, progress=interrupt)
    assert path.read_text() == "mine" and os.listdir(tmp_path) == ["x.tar"]


def test_what_a_killed_one_left_is_removed(archived: Archived, tmp_path: Path) -> None:
    """By the next into the same folder."""
    if (pid := os.fork()) == 0:
        write_archive(tmp_path / "x.tar", archived.plan(), progress=lambda _: os._exit(0))
        os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0 and len(os.listdir(tmp_path)) == 1 and not (tmp_path / "x.tar").exists()
    write_archive(tmp_path / "x.tar", archived.plan())
    assert os.listdir(tmp_path) == ["x.tar"]


def test_damaged_content_is_not_exported(archived: Archived, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that gives other bytes than it names."""
    monkeypatch.setattr(Version, "open", lambda self, path, mode: open("/proc/self/cmdline", "rb"))  # noqa: SIM115
    with pytest.raises(DamageError, match="v0/a"):
        write_archive(tmp_path / "x.tar", archived.plan())
    assert os.listdir(tmp_path) == []


def test_a_deleted_version_ends_it(archived: Archived, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"gone")
    version = archived.workspace.put(tmp_path / "data", "gone")
    plan = plan_archive([SelectedVersion(version, {})])
    archived.workspace.delete("gone:v0")
    with pytest.raises(NotFoundError):
        write_archive(tmp_path / "x.tar", plan)
    assert os.listdir(tmp_path) == ["data"]


def test_files_outside_are_refused(archived: Archived, tmp_path: Path) -> None:
    """An archive would lack their content."""
    (tmp_path / "outside").write_bytes(b"1")
    version = archived.workspace.refer(str(tmp_path / "outside"), "refers")
    with pytest.raises(RefusedError, match="refers:v0/outside"):
        plan_archive([SelectedVersion(version, {})])


def test_too_much_metadata_is_refused(archived: Archived) -> None:
    """What the reader would refuse is not written."""
    with pytest.raises(InvalidInputError, match="than an archive can hold"):
        plan_archive([SelectedVersion(archived.versions[0], {"k": "x" * (1 << 24)})])
