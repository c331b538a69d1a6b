"""Downloads without a mount: what is returned is what the version holds, whatever was done to an earlier copy."""

from __future__ import annotations

import logging
import mmap
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import artfs
from artfs.tracking import downloading

FILES = {"a": b"alpha" * 1000, "s/b": b"beta" * 1000, "s/f1": b"1", "s/f10": b"10", "empty": b""}


@pytest.fixture
def artifact(workspace: artfs.Workspace, tmp_path: Path) -> artfs.Artifact:
    source = tmp_path / "source"
    for name, data in FILES.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(data)
    (source / "link").symlink_to("a")
    workspace.put(source, "data")
    workspace.put(source, "other")
    return artfs.Api().artifact("data:v0")


def _holds(folder: str, but: tuple[str, ...] = ()) -> None:
    found = {
        os.path.relpath(os.path.join(parent, name), folder): Path(parent, name).read_bytes()
        for parent, _, names in os.walk(folder)
        for name in names
        if name != "link" and name not in but
    }
    assert found == FILES
    assert os.readlink(os.path.join(folder, "link")) == "a"


def _edit(folder: Path) -> None:
    (folder / "a").write_bytes(b"gamma" * 1000)


def _edit_and_set_the_time_back(folder: Path) -> None:
    status = (folder / "a").stat()
    (folder / "a").write_bytes(b"gamma" * 1000)
    os.utime(folder / "a", ns=(status.st_atime_ns, status.st_mtime_ns))


def _edit_by_a_map(folder: Path) -> None:
    with (folder / "a").open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        mapped[:5] = b"gamma"


def _append(folder: Path) -> None:
    with (folder / "s" / "b").open("ab") as file:
        file.write(b"!")


def _truncate(folder: Path) -> None:
    os.truncate(folder / "a", 3)


def _remove(folder: Path) -> None:
    (folder / "s" / "b").unlink()


def _remove_a_folder(folder: Path) -> None:
    shutil.rmtree(folder / "s")


def _exchange(folder: Path) -> None:
    (folder / "s" / "f1").rename(folder / "t")
    (folder / "s" / "f10").rename(folder / "s" / "f1")
    (folder / "t").rename(folder / "s" / "f10")


def _lead_elsewhere(folder: Path) -> None:
    (folder / "link").unlink()
    (folder / "link").symlink_to("s/b")


def _put_a_folder_in_the_place_of_a_file(folder: Path) -> None:
    (folder / "a").unlink()
    (folder / "a").mkdir()


def _put_a_link_in_the_place_of_a_file(folder: Path) -> None:
    (folder / "a").unlink()
    (folder / "a").symlink_to("s/b")


CHANGES = [
    *[_edit, _edit_and_set_the_time_back, _edit_by_a_map, _append, _truncate, _remove, _remove_a_folder, _exchange],
    *[_lead_elsewhere, _put_a_folder_in_the_place_of_a_file, _put_a_link_in_the_place_of_a_file],
]


def _entry(artifact: artfs.Artifact) -> str:
    return artifact.get_entry("a").download().removesuffix("/a")


def _file_of_one(artifact: artfs.Artifact) -> str:
    return artifact.download()


@pytest.mark.parametrize("later", [False, True], ids=["at once", "later"])
@pytest.mark.parametrize("change", CHANGES)
def test_what_was_changed_in_a_copy_is_restored(
    artifact: artfs.Artifact, change: Callable[[Path], None], later: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the next call, of this version and of every other of equal content, for the folder and for one file."""
    if later:  # as if the first copy had been verified long after it was written
        monkeypatch.setattr(downloading, "_RACY_NS", -(10**10))
    for again in (
        lambda: artifact.download(),
        lambda: artfs.Api().artifact("other:v0").download(),
        lambda: _entry(artifact),
        lambda: artifact.download(path_prefix="s"),
    ):
        folder = artifact.download()
        _holds(folder)
        change(Path(folder))
        _holds(again())


def test_one_file_is_restored_without_a_copy_of_the_whole(artifact: artfs.Artifact) -> None:
    path = Path(artifact.get_entry("s/f1").download())
    assert path.read_bytes() == b"1"
    assert [name for _, _, names in os.walk(path.parent.parent) for name in names] == ["f1"]
    path.write_bytes(b"2")
    assert Path(artifact.get_entry("s/f1").download()).read_bytes() == b"1"
    path.unlink()
    assert Path(artifact.get_entry("s/f1").download()).read_bytes() == b"1"


def test_file_is_restored(workspace: artfs.Workspace, tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"one")
    workspace.put(tmp_path / "one", "single")
    artifact = artfs.Api().artifact("single:v0")
    Path(artifact.file()).write_bytes(b"two")
    assert Path(artifact.file()).read_bytes() == b"one"


def test_an_intact_copy_is_not_read_again(artifact: artfs.Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once its files are old enough for a change to show; what others added beside them stays."""
    folder = artifact.download()
    Path(folder, "mine").write_bytes(b"mine")
    time.sleep(2.1)
    artifact.download()
    monkeypatch.setattr(artfs.Workspace, "get", lambda *_, **__: pytest.fail("nothing has changed"))
    assert artifact.download() == folder
    assert Path(folder, "mine").read_bytes() == b"mine"


def test_a_folder_of_ones_own_is_verified_each_time(
    artifact: artfs.Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for arguments in ((str(tmp_path / "mine"),), ()):
        monkeypatch.setenv("ARTFS_ARTIFACT_DIR", str(tmp_path / "all"))
        folder = artifact.download(*arguments)
        _edit(Path(folder))
        assert artifact.download(*arguments) == folder
        _holds(folder)


def test_gigabytes_are_not_copied_without_a_word(
    artifact: artfs.Artifact, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Once for each version, as a warning; what is small is information."""
    monkeypatch.setattr(downloading, "_copied", set())
    with caplog.at_level(logging.INFO, logger="artfs"):
        artifact.download()
    assert [record.levelname for record in caplog.records] == ["INFO"]
    caplog.clear()
    monkeypatch.setattr(downloading, "_copied", set())
    monkeypatch.setattr(downloading, "_LARGE", 1000)
    monkeypatch.setenv("ARTFS_CACHE_DIR", str(tmp_path / "another"))
    for _ in range(3):
        artifact.download()
    (record,) = caplog.records
    assert record.levelname == "WARNING" and "data:v0" in record.message and "artfs mount" in record.message


def test_a_killed_download_leaves_nothing_for_long(artifact: artfs.Artifact, tmp_path: Path) -> None:
    child = os.fork()
    if not child:
        downloading.Workspace.get = lambda *_, **__: os._exit(9)  # type: ignore[method-assign]
        artifact.download()
    os.waitpid(child, 0)
    assert len(list((tmp_path / "cache").glob(".artfs-tmp-*"))) == 1
    _holds(artifact.download())
    assert not list((tmp_path / "cache").glob(".artfs-tmp-*"))
