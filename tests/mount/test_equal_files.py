"""Programs that identify a file by device and inode see each path of each version as a file of its own."""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from artstore.workspace import init_workspace
from mount.conftest import Mounts

LIBRARY = "int next(void) { static int number; return ++number; }"


def h5_folder(folder: Path, value: int) -> None:
    """Write part.h5 with other data for each value, and index.h5, always with the same bytes, that refers to it."""
    folder.mkdir(parents=True)
    with h5py.File(folder / "part.h5", "w", track_order=False) as file:
        file["data"] = np.full(1000, value, dtype="i8")
    with h5py.File(folder / "index.h5", "w", libver="latest") as file:
        file["ext"] = h5py.ExternalLink("part.h5", "/data")
        layout = h5py.VirtualLayout(shape=(1000,), dtype="i8")
        layout[:] = h5py.VirtualSource("part.h5", "data", shape=(1000,))
        file.create_virtual_dataset("virtual", layout)


def build(source: Path, value: int) -> None:
    h5_folder(source / "first", value)
    h5_folder(source / "second", value + 1)
    shutil.copy(source / "first" / "index.h5", source / "second" / "index.h5")
    for number, folder in enumerate(("one", "other")):
        (source / folder).mkdir()
        (source / folder / "lock").touch()
        (source / folder / "data").write_bytes(b"equal" * 20_000)
        if not number:
            (source / "x.c").write_text(LIBRARY)
            subprocess.run(["gcc", "-shared", "-fPIC", "-o", source / folder / "lib.so", source / "x.c"], check=True)
        else:
            shutil.copy(source / "one" / "lib.so", source / "other" / "lib.so")
    (source / "value").write_text(str(value))


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory, transport: str) -> Iterator[Path]:
    """Return the folder of an artifact with two versions of equal index files, libraries and locks."""
    folder = tmp_path_factory.mktemp("identity")
    workspace = init_workspace(folder / "ws")
    for number in range(2):
        build(folder / f"source{number}", 10 * number)
        if number:
            shutil.copy(folder / "source0/first/index.h5", folder / "source1/first/index.h5")
            shutil.copy(folder / "source0/first/index.h5", folder / "source1/second/index.h5")
        workspace.put(folder / f"source{number}", "s")
    mounts = Mounts(workspace.path, folder, transport)
    yield mounts().directory / "s"
    mounts.end()


@pytest.mark.parametrize("name", ["ext", "virtual"])
def test_hdf5_follows_links_to_the_file_beside_the_index(artifact: Path, name: str) -> None:
    """Equal index files, in two folders and in two versions, lead to the data in their own folder."""
    folders = [artifact / version / folder for version in ("v0", "v1") for folder in ("first", "second")]
    assert len({(folder / "index.h5").read_bytes() for folder in folders}) == 1
    opened = [h5py.File(folder / "index.h5", "r") for folder in folders]
    try:
        assert [int(file[name][500]) for file in opened] == [0, 1, 10, 11]
    finally:
        for file in opened:
            file.close()


def test_two_copies_of_a_library_are_loaded_twice(artifact: Path) -> None:
    """Each has its own variables, as under any other file system."""
    paths = [artifact / version / folder / "lib.so" for version in ("v0", "v1") for folder in ("one", "other")]
    libraries = [ctypes.CDLL(str(path)) for path in paths]
    assert len({library._handle for library in libraries}) == len(paths)
    assert [library.next() for library in libraries] == [1] * len(paths)


def test_a_lock_is_on_one_path(artifact: Path) -> None:
    """An exclusive lock on one of four empty files leaves the others free, and is seen at its own path."""
    paths = [artifact / version / folder / "lock" for version in ("v0", "v1") for folder in ("one", "other")]
    opened = [os.open(path, os.O_RDONLY) for path in (*paths, paths[0])]
    try:
        for descriptor in opened[:-1]:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with pytest.raises(BlockingIOError):
            fcntl.flock(opened[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        for descriptor in opened:
            os.close(descriptor)


def test_du_counts_every_version(artifact: Path) -> None:
    """The second argument of one `du` shows as much as it does alone."""
    for options in (["-s"], ["-s", "--apparent-size"], ["-s", "--inodes"]):

        def shown(*names: str, options: list[str] = options) -> list[int]:
            done = subprocess.run(["du", *options, *names], cwd=artifact, capture_output=True, text=True, check=True)
            return [int(line.split()[0]) for line in done.stdout.splitlines()]

        assert shown("v0", "v1") == [*shown("v0"), *shown("v1")]
        assert min(shown("v0", "v1")) > 8


def test_copies_have_no_hard_links(artifact: Path, tmp_path: Path) -> None:
    """rsync -H, cp -a and tar copy equal files as files of their own."""
    subprocess.run(["rsync", "-aH", f"{artifact}/v0/", tmp_path / "rsync"], check=True)
    subprocess.run(["cp", "-a", artifact / "v0", tmp_path / "cp"], check=True)
    (tmp_path / "tar").mkdir()
    subprocess.run(["tar", "-cf", tmp_path / "a.tar", "-C", artifact / "v0", "."], check=True)
    subprocess.run(["tar", "-xf", tmp_path / "a.tar", "-C", tmp_path / "tar"], check=True)
    for copy in ("rsync", "cp", "tar"):
        assert {path.stat().st_nlink for path in (tmp_path / copy).rglob("*") if path.is_file()} == {1}, copy
        (tmp_path / copy / "one" / "data").write_bytes(b"changed")
        assert (tmp_path / copy / "other" / "data").read_bytes() == b"equal" * 20_000
