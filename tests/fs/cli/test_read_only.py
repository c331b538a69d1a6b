"""Commands on a read-only file system: those that read work, those that write end with one sentence."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from artfs.filesystem import ArtfsFileSystem
from artstore.storage.environment import Environment
from crash.places import MIB, cannot_mount, read_only, read_only_bind, small_tmpfs
from messages import refused

Run = Callable[..., Any]

READING = [
    ("ls",),
    ("ls", "x"),
    ("show", "x"),
    ("log", "x"),
    ("diff", "x:v0", "x:v1"),
    ("du", "x"),
    ("usage",),
    ("find",),
    ("lineage", "x"),
    ("alias", "ls", "x"),
    ("tag", "ls", "x"),
    ("run", "ls"),
    ("draft", "ls"),
    ("retention", "show"),
    ("retention", "plan"),
    ("remote", "ls"),
    ("config",),
    ("why", "x"),
    ("warm", "x"),
    ("gc", "--dry-run"),
    ("rm", "--dry-run", "x:v0"),
    ("fsck", "--data"),
]

WRITING = [
    ("put", "DATA", "x"),
    ("put", "DATA", "new"),
    ("restore", "x:v0"),
    ("rm", "x:v0"),
    ("undelete", "x:v0"),
    ("gc",),
    ("link", "x:v0", "y"),
    ("alias", "set", "x:v0", "a"),
    ("alias", "rm", "x", "clean"),
    ("tag", "add", "x", "a"),
    ("tag", "rm", "x", "a"),
    ("artifact", "rename", "x", "y"),
    ("artifact", "describe", "x", "text"),
    ("ref", "add", "y", "DATA"),
    ("draft", "new", "y"),
    ("purge", "x/run.sh", "--reason", "text", "--yes"),
    ("config", "undelete-window", "5h"),
    ("retention", "set", "rule", "--keep-last", "3"),
    ("retention", "apply"),
    ("remote", "add", "origin", "file:///nowhere"),
    ("push", "x"),
    ("fetch",),
    ("pull", "x"),
    ("fsck", "--rebuild"),
]


@pytest.fixture
def disk(artfs: Run, home: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A small disk with a workspace, the one that commands use, that no process has open."""
    reason = cannot_mount()
    if reason and os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    if reason:
        pytest.skip(reason)
    with small_tmpfs(home / "disk", 80 * MIB) as place:
        monkeypatch.setenv("ARTFS_WORKSPACE", str(place / "ws"))
        assert artfs("put", data, "x").code == 0
        (data / "new").write_text("new")
        assert artfs("put", data, "x", "-a", "clean").code == 0
        Environment.of(place / "ws").drop()
        yield place
        Environment.of(place / "ws").drop()


def test_commands_that_read(artfs: Run, disk: Path, tmp_path: Path) -> None:
    """Their documents are those of a writable file system."""
    before = [artfs(*command, "--json") for command in READING]
    Environment.of(disk / "ws").drop()
    with read_only(disk):
        for command, wanted in zip(READING, before, strict=True):
            result = artfs(*command, "--json")
            assert (result.code, result.message) == (wanted.code, wanted.message) and not result.code, command
            if command not in (("rm", "--dry-run", "x:v0"), ("retention", "plan")):  # these hold the time
                assert result.json == wanted.json, command
        assert artfs("cat", "x:v1/new").text == "new" and "artfs_versions" in artfs("metrics").text
        assert artfs("get", "x", tmp_path / "copy").code == 0 and (tmp_path / "copy/new").read_text() == "new"
        assert ArtfsFileSystem(disk / "ws", skip_instance_cache=True).cat_file("artfs://x:v1/new") == b"new"
        Environment.of(disk / "ws").drop()


@pytest.mark.parametrize("command", WRITING, ids=" ".join)
def test_commands_that_write(artfs: Run, disk: Path, data: Path, command: tuple[str, ...]) -> None:
    with read_only(disk):
        result = artfs(*[data if word == "DATA" else word for word in command])
        refused(result, code=4, names=[str(disk / "ws")], reason="read-only")
        assert "writable" in result.message
        Environment.of(disk / "ws").drop()


def test_a_repair_of_a_sound_workspace(artfs: Run, disk: Path) -> None:
    """It has nothing to write; a new workspace there does."""
    with read_only(disk):
        assert artfs("fsck", "--repair").code == 0
        refused(artfs("init", disk / "new"), code=4, names=[str(disk / "new")], reason="read-only")
        Environment.of(disk / "ws").drop()


def test_the_status_reports_it(artfs: Run, disk: Path) -> None:
    assert artfs("status", "--json").json["read_only"] is False
    assert "read-only" not in artfs("status").text
    Environment.of(disk / "ws").drop()
    with read_only(disk):
        assert artfs("status", "--json").json["read_only"] is True
        assert "on a read-only file system" in artfs("status").text
        Environment.of(disk / "ws").drop()


@pytest.mark.parametrize("command", [("ls",), ("status",), ("put", "DATA", "x")], ids=" ".join)
def test_a_read_only_mount_of_a_writable_file_system(
    artfs: Run, disk: Path, data: Path, tmp_path: Path, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every command is refused: others may write to it."""
    with read_only_bind(disk / "ws", tmp_path / "bind") as bound:
        monkeypatch.setenv("ARTFS_WORKSPACE", str(bound))
        result = artfs(*[data if word == "DATA" else word for word in command])
        refused(result, code=4, names=[str(bound)], reason="read-only bind")
        assert "make the whole file system read-only" in result.message
