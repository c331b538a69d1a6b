"""A workspace that is damaged, foreign, too new or in a wrong place is refused in one sentence, and not changed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from artstore import locate
from artstore.errors import (
    RefusedError,
    UnsupportedError,
)
from artstore.workspace import init_workspace, open_workspace
from corpora.folders import content_of, content_of_file
from crash.scenes import environment
from crash.sound import Sound, check_sentence
from crash.states import content_of_version
from messages import raises


def command_on(workspace: Path, *words: str | Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "artfs", "-w", workspace, *words], env=environment(), capture_output=True, timeout=60
    )


def test_newer_format(quick_dir: Path, source: Path) -> None:
    """A workspace of a later artfs is neither read nor written."""
    workspace = init_workspace(quick_dir / "workspace").path
    (workspace / "current").write_text("4 manifest.1\n")
    with raises(UnsupportedError, names=["format 4"]):
        open_workspace(workspace)
    for words in (("put", source, "data"), ("ls",), ("init", workspace)):
        check_sentence(command_on(workspace, *words), 4, names=["format 4"])


def test_format_1(quick_dir: Path, source: Path) -> None:
    """A workspace of the format that was never released is refused, and not changed."""
    workspace = init_workspace(quick_dir / "workspace").path
    (workspace / "current").write_text("1 manifest.1\n")
    with raises(UnsupportedError, names=["format 1"]):
        open_workspace(workspace)
    for words in (("put", source, "data"), ("ls",), ("init", workspace), ("fsck", "--rebuild")):
        check_sentence(command_on(workspace, *words), 4, names=["format 1"])
    assert (workspace / "current").read_text() == "1 manifest.1\n"


def test_newer_format_under_an_open_process(quick_dir: Path, source: Path) -> None:
    """A process that has the workspace open notices at its next transaction."""
    workspace = init_workspace(quick_dir / "workspace")
    version = workspace.put(source, "data")
    temporary = workspace.path / "current.new"
    temporary.write_text("4 manifest.2\n")
    temporary.rename(workspace.path / "current")
    with raises(UnsupportedError, names=["format 4"]):
        version.read_bytes("weights")
    with raises(UnsupportedError, names=["format 4"]):
        workspace.put(source, "other")


def test_not_a_workspace(tmp_path: Path, source: Path) -> None:
    """A folder with other files in it is not changed, and neither are a file and damaged workspaces."""
    before = content_of(source)
    check_sentence(command_on(source, "ls"), 3, names=[str(source)], reason="no workspace")
    check_sentence(command_on(source, "put", source, "data"), 4, names=[str(source)], reason="folder not empty")
    check_sentence(
        command_on(source / "weights", "put", source, "data"), 2, names=[str(source / "weights")], reason="not a folder"
    )
    assert content_of(source) == before
    check_sentence(command_on(tmp_path / "nowhere", "ls"), 3, names=["nowhere"])
    assert not (tmp_path / "nowhere").exists()
    check_sentence(command_on(tmp_path / "nowhere", "put", tmp_path / "missing", "data"), 3, names=["missing"])
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("current", b""),
        ("current", b"what is this"),
        ("current", b"2 ../../etc"),
        ("artfs.json", b"{}"),
        ("artfs.json", b"\xff"),
        ("manifest.1/data.mdb", b""),
        ("manifest.1/data.mdb", b"garbage" * 10_000),
        ("manifest.1/data.mdb", None),
        ("manifest.1/lease", None),
        ("artfs.json", None),
    ],
)
def test_damaged_workspace(quick_dir: Path, source: Path, path: str, content: bytes | None) -> None:
    """The message names the damage, with exit code 5; nothing is recreated over it, and no pack is changed."""
    made = init_workspace(quick_dir / "workspace")
    made.put(source, "data")
    workspace = made.path
    packs = content_of(workspace / "packs")
    if content is None:
        (workspace / path).unlink()
    else:
        (workspace / path).write_bytes(content)
    for words in (("ls",), ("put", source, "data"), ("put", source / "weights", "other")):
        check_sentence(command_on(workspace, *words), 5, names=["workspace"])
    assert not (workspace / path).exists() if content is None else (workspace / path).read_bytes() == content
    assert content_of(workspace / "packs") == packs


def test_lost_pack(sound: Sound, source: Path) -> None:
    """Reading a version whose pack is gone reports that, and puts of other content continue in another pack."""
    workspace = sound.workspace
    packs = sorted((workspace.path / "packs").iterdir())
    for pack in packs:
        pack.rename(pack.with_suffix(".away"))
    workspace.store.reader.close()
    check_sentence(command_on(workspace.path, "cat", "sound:v0/weights"), 5, names=["pack"])
    version = workspace.put(source / "weights", "data")
    sound.versions["data:v0"] = content_of_file(source / "weights")
    assert content_of_version(version) == sound.versions["data:v0"]
    for pack in packs:
        pack.with_suffix(".away").rename(pack)


def test_path_that_holds_the_workspace(sound: Sound) -> None:
    """A put of the workspace itself is refused by name, if the path is the workspace, a parent, or a link to either."""
    folder = sound.workspace.path.parent
    sound.refuses(RefusedError, folder, names=[str(sound.workspace.path)], reason="source holds the workspace")
    sound.refuses(
        RefusedError, sound.workspace.path, names=[str(sound.workspace.path)], reason="source holds the workspace"
    )
    (folder / "way").mkdir()
    (folder / "way" / "in").symlink_to(sound.workspace.path)
    sound.refuses(RefusedError, folder / "way", names=[str(sound.workspace.path)], reason="source holds the workspace")


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs", "fuseblk", "9p"])
def test_unsafe_file_systems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """No workspace is created or opened on a file system where LMDB is unsafe; the sentence names the remedy."""
    workspace = init_workspace(tmp_path / "workspace").path
    monkeypatch.setattr(locate, "filesystem_type", lambda path: kind)
    for action in (lambda: init_workspace(tmp_path / "new"), lambda: open_workspace(workspace)):
        with raises(UnsupportedError, names=[kind]) as caught:
            action()
        assert "artfs init DIR --default" in caught.value.hint
    assert not (tmp_path / "new").exists()
