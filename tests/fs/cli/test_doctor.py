"""``doctor`` looks at everything, says how to mend what is missing, and changes nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from artfs.cli import machine
from messages import missing

Run = Callable[..., Any]


def test_every_check_has_a_status_and_every_failure_a_fix(artfs: Run, home: Path) -> None:
    result = artfs("doctor", "--json")
    checks = result.json["checks"]
    assert all(set(check) == {"name", "status", "detail", "fix"} for check in checks)
    assert {check["status"] for check in checks} <= {"ok", "warn", "fail"}
    names = [check["name"] for check in checks]
    assert len(set(names)) == len(names)
    assert {"fuse_device", "mount_permission", "kernel", "file_system", "hole_punching", "space"} <= set(names)
    assert result.code == int(any(check["status"] == "fail" for check in checks))
    assert not (home / "workspace").exists()


def test_text_shows_each_check_on_a_line(artfs: Run, home: Path) -> None:
    lines = artfs("doctor").text.splitlines()
    assert any(line.startswith("ok ") and "python" in line for line in lines)


def test_a_missing_device_fails_with_a_fix(artfs: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine, "_FUSE_DEVICE", tmp_path / "fuse")
    result = artfs("doctor")
    assert result.code == 1
    assert not missing(result.text, [str(tmp_path / "fuse"), "modprobe fuse"])


def test_an_ordinary_user_needs_a_setuid_helper(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    helper = tmp_path / "fusermount3"
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine._permission().status == "fail"
    helper.touch(mode=0o755)
    check = machine._permission()
    assert check.status == "fail" and "setuid" in check.detail and "u+s" in check.fix


def test_user_allow_other_is_read_as_fusermount_reads_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    conf = tmp_path / "fuse.conf"
    monkeypatch.setattr(machine, "_FUSE_CONF", conf)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for text, status in (("", "warn"), ("#user_allow_other\n", "warn"), ("user_allow_other  # yes\n", "ok")):
        conf.write_text(text)
        assert machine._allow_other().status == status


def test_an_unsafe_file_system_fails(artfs: Run) -> None:
    result = artfs("-w", "/proc/self", "doctor", "--json")
    check = next(check for check in result.json["checks"] if check["name"] == "file_system")
    assert check["status"] in ("fail", "ok")


def test_holes_are_tried_without_leaving_a_file(tmp_path: Path) -> None:
    assert machine._hole_punching(tmp_path).status in ("ok", "warn")
    assert list(tmp_path.iterdir()) == []


def test_a_check_that_cannot_look_is_a_warning() -> None:
    def fail() -> machine._Finding:
        raise PermissionError("no")

    assert machine._tried(fail).status == "warn"
