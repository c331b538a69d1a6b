"""Pending versions under a mount: folders of their own, whose open files go on when they get their numbers."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pytest

from artstore.objects import probing
from artstore.remotes import adding
from artstore.workspace import Workspace
from mount.conftest import Mounts, eventually


@pytest.fixture
def source(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder whose content is ``data:v0``, which was pushed; later puts of it can be pending."""
    monkeypatch.setattr(adding, "probe", partial(probing.probe, threads=2, rounds=1))
    for name in ("source/sub", "bucket"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "source/sub/f").write_text("zero")
    workspace.put(tmp_path / "source", "data")
    workspace.remotes.add("origin", (tmp_path / "bucket").as_uri())
    workspace.remotes.push("data")
    return tmp_path / "source"


def test_open_files_go_on_when_a_pending_version_lands(workspace: Workspace, mounts: Mounts, source: Path) -> None:
    """The file, the folder and the inode stay; p1 becomes a link that is found and not listed."""
    handle = mounts()
    folder = handle.directory / "data"
    content = b"pending" * 100_000
    (source / "sub/f").write_bytes(content)
    workspace.put(source, "data", push=False)
    assert sorted(os.listdir(folder)) == ["latest", "p1", "v0"]
    assert os.readlink(folder / "latest") == "v0"
    before = [os.stat(folder / "p1" / name).st_ino for name in ("", "sub", "sub/f")]
    inside = os.open(folder / "p1/sub", os.O_RDONLY)
    try:
        with (folder / "p1/sub/f").open("rb") as file:
            assert file.read(1000) == content[:1000]
            workspace.remotes.push("data")
            assert sorted(os.listdir(folder)) == ["latest", "v0", "v1"]
            assert file.read() == content[1000:]
            assert os.stat(file.fileno()).st_ino == before[2]
            assert os.listdir(inside) == ["f"] and os.fstat(inside).st_ino == before[1]
            assert os.readlink(folder / "p1") == "v1" and os.readlink(folder / "latest") == "v1"
            assert [os.stat(folder / "v1" / name).st_ino for name in ("", "sub", "sub/f")] == before
            assert (folder / "p1/sub/f").read_bytes() == content
            assert workspace.put(folder / "p1", "copy").digest == workspace.version("data:v1").digest
            workspace.delete("copy:v0", now=True)
            workspace.delete("data:v1", now=True)
            file.seek(0)
            assert file.read() == content  # the lease that was taken as p1 keeps the version that is v1
            assert not (folder / "v1").exists() and not os.path.lexists(folder / "p1")
            assert workspace.gc(now=True).freed_bytes == 0
    finally:
        os.close(inside)
    eventually(lambda: workspace.gc(now=True).deadlist_entries == 0)


def test_a_put_that_is_pushed_at_once(workspace: Workspace, mounts: Mounts, source: Path) -> None:
    """The mount shows the number, and the put itself can have been one of a pending version under the mount."""
    handle = mounts()
    folder = handle.directory / "data"
    assert sorted(os.listdir(folder)) == ["latest", "v0"]
    (source / "sub/f").write_text("one")
    workspace.put(source, "data", aliases=["best"])
    assert sorted(os.listdir(folder)) == ["best", "latest", "v0", "v1"]
    assert (folder / "best/sub/f").read_text() == (folder / "latest/sub/f").read_text() == "one"
