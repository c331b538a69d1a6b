"""The parts of a check in their order: each where the ones before it allow, on one state of the workspace."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from artstore import checking
from artstore.checking import check
from artstore.checking.report import Progress, Report
from artstore.errors import BusyError, LimitError, UnsupportedError
from artstore.reclaim import compaction
from artstore.repairing import check_and_repair
from artstore.storage import manifest
from artstore.store import Store
from artstore.workspace import Workspace
from store.conftest import forget


def test_a_sound_workspace_is_clean_whatever_is_asked(lived: Workspace, tmp_path: Path) -> None:
    steps: list[Progress] = []
    report = check(lived.path, data=True, progress=steps.append)
    assert report.problems == []
    assert list(dict.fromkeys(step.phase for step in steps)) == ["pages", "records", "data"]
    assert {"pages", "nodes", "versions", "packs", "journal_events", "data_bytes"} <= report.counted.keys()
    assert check_and_repair(lived.path, data=True).repaired == []
    link = tmp_path / "link"
    link.symlink_to(lived.path)
    assert check(link).clean


def test_nothing_is_changed(copy: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in copy.rglob("*") if path.is_file()}
    assert check(copy, data=True).clean
    forget(Store.open(copy))
    after = {path: path.stat().st_mtime_ns for path in copy.rglob("*") if path.is_file()}
    lock = copy / "manifest.1" / "lock.mdb"  # LMDB notes its readers there
    assert {**after, lock: 0} == {**before, lock: 0}


def test_a_manifest_that_is_replaced_meanwhile_is_looked_at_anew(
    lived: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    check_pages = checking.check_pages

    def replaced(folder: Path, report: Report, progress: object) -> bool:
        looked.append(folder.name)
        if len(looked) == 1:
            compaction.compact_environment(lived.store)
            report.add("pages", f"{folder} has gone")
            return False
        return check_pages(folder, report)

    monkeypatch.setattr(checking, "check_pages", replaced)
    assert check(lived.path).clean
    assert looked == ["manifest.1", "manifest.2"]


def test_who_is_in_the_way_is_no_damage(lived: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in (BusyError, UnsupportedError):

        def fail(workspace: Path, kind: type[Exception] = kind) -> None:
            raise kind("not now")

        with monkeypatch.context() as patch:
            patch.setattr(manifest, "read", fail)
            with pytest.raises(kind):
                check(lived.path)


def test_a_limit_is_no_damage(lived: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ran out is named, and nothing is said of the workspace."""
    for error, way_out in ((MemoryError(), "ulimit -v"), (OSError(errno.EMFILE, "x"), "ulimit -n")):

        def fail(workspace: Path, error: Exception = error) -> None:
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(manifest, "read", fail)
            with pytest.raises(LimitError) as caught:
                check(lived.path)
        assert way_out in caught.value.hint


def test_what_cannot_be_read_is_said(lived: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(workspace: Path) -> None:
        raise ValueError("a record")

    with monkeypatch.context() as patch:
        patch.setattr(manifest, "read", fail)
        [problem] = check(lived.path).problems
    assert problem.kind == "unchecked"


def test_repair_leaves_alone_what_does_not_open(copy: Path) -> None:
    os.truncate(copy / "manifest.1" / "data.mdb", 4096)
    report = check_and_repair(copy)
    assert (report.clean, report.repaired) == (False, [])
