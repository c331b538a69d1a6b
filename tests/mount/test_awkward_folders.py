"""Whatever a folder holds, its version under a mount is the same folder, for Python and for the usual tools."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from artstore.workspace import Workspace
from corpora import folders
from corpora.folders import GENERATORS, KEPT, content_of


@pytest.mark.parametrize("name", GENERATORS)
def test_a_version_under_a_mount_is_its_folder(name: str, workspace: Workspace, mounts: Any, tmp_path: Path) -> None:
    """Every path, kind, executable bit, size, byte and link text is that of the source."""
    source = tmp_path / "source"
    source.mkdir()
    GENERATORS[name](source)
    version = workspace.put(source, "awkward")
    shown = Path(mounts().path(version))
    assert content_of(shown) == content_of(source, KEPT.get(name))


@pytest.mark.one_transport
def test_a_crowd_in_one_folder(workspace: Workspace, mounts: Any, tmp_path: Path) -> None:
    """Tens of thousands of files in one folder are all listed, once, and are what was put."""
    source = tmp_path / "source"
    source.mkdir()
    folders.crowd(source)
    shown = Path(mounts().path(workspace.put(source, "crowd")))
    assert content_of(shown) == content_of(source)


@pytest.mark.parametrize("name", ["deep", "names", "sizes", "sparse"])
def test_the_usual_tools_find_no_difference(name: str, workspace: Workspace, mounts: Any, tmp_path: Path) -> None:
    """`diff -r`, `rsync -n -c` and `tar` see on the mount what they see in the source."""
    source = tmp_path / "source"
    source.mkdir()
    GENERATORS[name](source)
    shown = mounts().path(workspace.put(source, "awkward"))
    assert _run("diff", "-r", "--no-dereference", source, shown) == b""
    assert _run("rsync", "-a", "-n", "-c", "-i", "--delete", f"{source}/", f"{shown}/") == b""
    assert _tar(source) == _tar(shown)


def _run(*command: object) -> bytes:
    done = subprocess.run([str(word) for word in command], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout


def _tar(folder: object) -> bytes:
    """Return what tar makes of a folder, with times and modes to the last bit."""
    return _run(
        "tar", "--sort=name", "--format=posix", "--pax-option=delete=atime,delete=ctime", "-c", "-C", folder, "."
    )
