"""A damaged LMDB file is a finding, whatever it does to the process that reads it; a sound one in use never is."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from artstore.checking import check
from artstore.checking import lmdb_check as pages_module
from artstore.checking.lmdb_audit import UNHEARD
from artstore.checking.lmdb_check import check_pages
from artstore.checking.report import Progress, Report
from artstore.errors import BusyError, LimitError
from artstore.records.tables import Table
from artstore.storage.environment import Environment
from artstore.workspace import Workspace
from messages import raises
from store.checking.conftest import found


@pytest.fixture
def folder(copy: Path) -> Path:
    """Return the folder of an LMDB environment that no one has open."""
    return copy / "manifest.1"


def test_a_sound_file_may_be_read(folder: Path) -> None:
    report, steps = Report(), list[Progress]()
    assert check_pages(folder, report, steps.append)
    assert report.clean
    assert report.counted["pages"] * 4096 >= (folder / "data.mdb").stat().st_size
    assert steps[0].phase == "pages"


@pytest.mark.parametrize("left", [0, 1, 4096, 8191, 8192, 12288, 0.5, 0.9])
def test_a_file_that_is_cut_short_is_found(folder: Path, left: float) -> None:
    data = folder / "data.mdb"
    length = data.stat().st_size
    os.truncate(data, int(left if left >= 1 else length * left))
    report = Report()
    assert not check_pages(folder, report)
    assert {problem.kind for problem in report.problems} == {"pages"}


@pytest.mark.parametrize("name", ["lease", "data.mdb"])
def test_a_file_that_is_gone_is_found(folder: Path, name: str) -> None:
    (folder / name).unlink()
    report = Report()
    assert not check_pages(folder, report)
    assert name in report.problems[0].message


def test_a_process_that_is_killed_is_a_finding(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _replace_python(tmp_path, monkeypatch, "kill -BUS $$")
    report = Report()
    assert not check_pages(folder, report)
    assert found(report, "pages", names=["SIGBUS"])


def test_a_process_that_fails_is_a_finding(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _replace_python(tmp_path, monkeypatch, "echo '{\"progress\": [1, 2]}'; exit 3")
    report = Report()
    assert not check_pages(folder, report)
    assert found(report, "pages", names=["exit code 3"])


@pytest.mark.parametrize("end", ["kill -KILL $$", "exit 1"], ids=["killed", "not started"])
def test_a_process_that_ran_out_of_memory_is_no_finding(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    """Its parent names the limit, and says nothing of the pages."""
    _replace_python(tmp_path, monkeypatch, end)
    report = Report()
    with pytest.raises(LimitError):
        check_pages(folder, report)
    assert report.problems == []


def test_an_audit_that_cannot_be_written_down_is_an_error_and_no_finding(
    folder: Path,
) -> None:
    """The disk of a pipe does not fill up, but a write may fail: that says nothing of the pages."""
    with open("/dev/full", "wb") as full:
        code = subprocess.run([sys.executable, "-m", "artstore.checking.lmdb_audit", folder], stdout=full, check=False)
    assert code.returncode == UNHEARD + errno.ENOSPC
    report = Report()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pages_module.subprocess, "Popen", _to_full(subprocess.Popen))
        with pytest.raises(OSError) as caught:
            check_pages(folder, report)
    assert caught.value.errno == errno.ENOSPC and not report.problems


def _to_full(make: Callable[..., Any]) -> Callable[..., Any]:
    """Make processes whose writes to stdout all fail, though it is a pipe that somebody reads."""

    def popen(command: list[str], **options: Any) -> Any:
        return make(["/bin/sh", "-c", 'exec "$0" "$@" 3>&1 >/dev/full', *command], **options)

    return popen


def test_a_process_that_hangs_is_a_finding_and_is_ended(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _replace_python(tmp_path, monkeypatch, f"echo $$ > {tmp_path}/pid; exec sleep 600")
    monkeypatch.setattr(pages_module, "SILENCE_SECONDS", 0.5)
    report = Report()
    assert not check_pages(folder, report)
    assert found(report, "pages", reason="hangs")
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def _replace_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(pages_module.sys, "executable", str(program))


def test_records_are_not_read_where_pages_are_damaged(copy: Path) -> None:
    os.truncate(copy / "manifest.1" / "data.mdb", 3 * 4096)
    report = check(copy)
    assert {problem.kind for problem in report.problems} == {"pages", "unchecked"}
    assert "nodes" not in report.counted


def test_no_damage_is_found_while_a_writer_commits(lived: Workspace) -> None:
    """Pages that a snapshot can reach stay, however many transactions pass."""
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            with lived.store.write() as transaction:
                for key in range(number, number + 50):
                    transaction.put(Table.META, b"test-%d" % (key % 400), bytes(key % 3000))
            number += 50

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(5):
            report = Report()
            check_pages(Environment.of(lived.path).folder, report)
            assert report.problems == []
    finally:
        stop.set()
        writer.join()


def test_use_from_another_pid_namespace_is_no_damage(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _replace_python(tmp_path, monkeypatch, 'echo \'{"busy": "x"}\'')
    report = Report()
    with raises(BusyError, names=[str(folder), "pid namespace"]):
        check_pages(folder, report)
    assert report.clean
