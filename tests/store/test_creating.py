"""Making a workspace: whole or not at all, and never over something else."""

from __future__ import annotations

import errno
import grp
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from artstore import creating
from artstore.creating import create_workspace
from artstore.errors import (
    ExistsError,
    InvalidInputError,
    NotFolderError,
    NotFoundError,
    OutOfSpaceError,
    UnsupportedError,
)
from artstore.storage import disk
from artstore.storage.environment import Environment
from artstore.store import Store
from messages import raises


@pytest.fixture(autouse=True)
def small_reserve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(creating, "RESERVE", 4096)


@pytest.fixture
def place(quick_dir: Path) -> Iterator[Path]:
    path = quick_dir / "place"
    yield path
    if (path / "current").exists():
        Environment.of(path).drop()


def test_what_is_made(place: Path) -> None:
    """Its folders and files, for no one else's eyes."""
    store = create_workspace(place)
    assert sorted(os.listdir(place)) == sorted(
        ["artfs.json", "cache", "current", "journal", "manifest.1", "packs", "reserve", "run"]
    )
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert (place / "current").read_text() == "3 manifest.1\n"
    assert Store.open(place).uuid == store.uuid
    for folder, _, files in os.walk(place):
        for name in files:
            assert stat.S_IMODE(os.stat(os.path.join(folder, name)).st_mode) == 0o600, name
    assert os.listdir(place.parent) == ["place"]


def test_a_group(place: Path) -> None:
    """Folders pass their group on, and files are for it to write."""
    group = grp.getgrgid(os.getgid()).gr_name
    store = create_workspace(place, group=group)
    assert (store.group, store.file_mode) == (group, 0o660)
    assert stat.S_IMODE(place.stat().st_mode) == 0o2770
    assert stat.S_IMODE((place / "manifest.1" / "data.mdb").stat().st_mode) == 0o660
    with raises(NotFoundError, names=["'nobody has such a group'"]):
        create_workspace(place.with_name("other"), group="nobody has such a group")
    with pytest.raises((NotFoundError, InvalidInputError)):
        create_workspace(place.with_name("other"), group="a\0b")


def test_what_is_in_the_way(place: Path) -> None:
    """A workspace, a file, or a folder with something in it."""
    create_workspace(place)
    for path, reason in (
        (place, "already a workspace"),
        (place / "current", "not a folder"),
        (place / "cache", "folder not empty"),
    ):
        if path.name == "cache":
            (path / "something").touch()
        with raises((ExistsError, NotFolderError), names=[str(path)], reason=reason):
            create_workspace(path)


def test_an_empty_folder_is_used(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replaced where that is possible, filled where it is a mount point; missing parents are made."""
    place.mkdir()
    create_workspace(place)
    Environment.of(place).drop()
    filled = place.with_name("filled")
    filled.mkdir()
    inode = filled.stat().st_ino
    monkeypatch.setattr(creating, "_can_replace", lambda path: False)
    create_workspace(filled)
    Environment.of(filled).drop()
    assert filled.stat().st_ino == inode and stat.S_IMODE(filled.stat().st_mode) == 0o700
    monkeypatch.undo()
    monkeypatch.setattr(creating, "RESERVE", 4096)
    create_workspace(place.with_name("a") / "b" / "c")
    Environment.of(place.with_name("a") / "b" / "c").drop()


@pytest.mark.parametrize("call", ["write_file", "preallocate", "sync_folder"])
def test_a_failure_leaves_nothing(place: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """A full disk at any step: an error, and no trace."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(disk, call, full)
    with pytest.raises(OSError) as caught:
        create_workspace(place)
    assert call == "sync_folder" or isinstance(caught.value, OutOfSpaceError)
    assert not place.exists()
    assert os.listdir(place.parent) == []


def test_two_at_once(place: Path) -> None:
    """One makes it, and the others are told that it is there."""
    found: list[object] = []

    def work() -> None:
        try:
            found.append(create_workspace(place))
        except ExistsError:
            found.append(None)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3 and sum(isinstance(one, Store) for one in found) == 1
    assert os.listdir(place.parent) == ["place"]
    Store.open(place)


def test_a_path_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    """LMDB's binding takes no such path; nothing is left where it was tried."""
    with raises(UnsupportedError, names=["UTF-8"]):
        create_workspace(Path(os.fsdecode(os.fsencode(tmp_path) + b"/ws\xff")))
    assert list(tmp_path.iterdir()) == []
