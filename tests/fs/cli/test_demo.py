"""The demo shows every step and leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from artfs.cli.demo_data import collect, correct
from artstore.locate import mount_points

COMMAND = [sys.executable, "-P", "-m", "artfs", "demo"]


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(folder), "HOME": str(folder)}


@pytest.mark.fuse
def test_the_demo_runs_and_leaves_nothing(tmp_path: Path) -> None:
    """Every step succeeds: v1 equals the folder, little is stored for it, and its space is told before deletion."""
    demo = subprocess.run(COMMAND, env=environment(tmp_path), capture_output=True, text=True)
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "v1 equals the folder" in demo.stdout
    announced, freed = re.findall(r"^1 version, (.*) (?:would be freed|to be freed)", demo.stdout, re.MULTILINE)
    assert announced == freed
    assert re.search(r"^clean \(", demo.stdout, re.MULTILINE)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.fuse
def test_a_machine_without_fuse_gets_the_rest(tmp_path: Path) -> None:
    """If the mount is impossible, the demo says so and continues."""
    hidden = ["unshare", "-m", "sh", "-c", 'mount --bind /dev/null /dev/fuse && exec "$@"', "sh", *COMMAND]
    demo = subprocess.run(hidden, env=environment(tmp_path), capture_output=True, text=True)
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "Without a mount, the demo continues" in demo.stdout and "artfs undelete" in demo.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.fuse
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_ended_demo_unmounts_and_removes_its_folder(tmp_path: Path, number: signal.Signals, code: int) -> None:
    """Ctrl-C and SIGTERM leave neither a mount nor files."""
    with subprocess.Popen(COMMAND, env=environment(tmp_path), stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if line.startswith("$ ls mnt"):
                demo.send_signal(number)
        assert demo.wait() == code
    assert list(tmp_path.iterdir()) == []
    assert not [point for point in mount_points() if str(tmp_path) in str(point.path)]


def test_the_data_are_the_same_every_time(tmp_path: Path) -> None:
    """Two runs draw equal files, so that what the demo prints does not vary."""
    trees = []
    for name in ("a", "b"):
        collect(tmp_path / name)
        correct(tmp_path / name)
        files = (path for path in (tmp_path / name).rglob("*") if path.is_file())
        trees.append({str(path.relative_to(tmp_path / name)): path.read_bytes() for path in files})
    assert trees[0] == trees[1] and len(trees[0]) == 1101
