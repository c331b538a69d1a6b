"""`VersionFiles`: every file of a version once, with its bytes, in this process and in others."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import random
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

import artfs
from artfs.training.files import VersionFiles
from artstore.errors import InvalidInputError, NotFolderError, NotFoundError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    chance = random.Random(1)
    folder = tmp_path / "data"
    for number in range(120):
        place = folder / ("train" if number % 4 else "test") / f"c{number % 5}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number}.bin").write_bytes(chance.randbytes(chance.randrange(0, 3000)))
    (folder / "train" / "large").write_bytes(chance.randbytes(3_000_000))
    (folder / "train" / "link").symlink_to("large")
    (folder / "train" / "to-folder").symlink_to("c1")
    os.symlink("large", folder / "train" / os.fsdecode(b"\xff"))
    return folder


@pytest.fixture
def version(tmp_path: Path, folder: Path) -> Iterator[artfs.Version]:
    with artfs.init_workspace(tmp_path / "ws") as workspace:
        workspace.put(folder / "test", "d")  # so that some of the next version lie before the others
        yield workspace.put(folder, "d")


def expected(folder: Path) -> dict[str, bytes]:
    """Return the files below a folder, as the plain file system has them."""
    return {
        os.path.relpath(os.path.join(where, name), folder): Path(where, name).read_bytes()
        for where, _, names in os.walk(folder)
        for name in names
    }


def test_it_is_the_folder(version: artfs.Version, folder: Path) -> None:
    """Index by index and in batches, the samples are the files; a link to a file is one, one to a folder is not."""
    for inside in ("", "train", "train/c1/", "test"):
        files = VersionFiles(version, inside)
        wanted = expected(folder / inside)
        assert set(files.paths()) == wanted.keys() and len(files) == len(wanted)
        assert [files[index] for index in range(len(files))] == [(path, wanted[path]) for path in files.paths()]
        some = random.Random(2).choices(range(-len(files), len(files)), k=50)
        assert files.__getitems__(some) == [files[index] for index in some]
        assert all(files.size(index) == len(wanted[files.path(index)]) for index in range(len(files)))
    for index in (len(files), -len(files) - 1):
        with pytest.raises(IndexError):
            files[index]


def test_the_order_is_that_of_the_names(version: artfs.Version, folder: Path, tmp_path: Path) -> None:
    """The same content in another workspace has the same indices, however it was put there; packs have their own."""
    with artfs.init_workspace(tmp_path / "other") as other:
        other.put(folder / "train", "d")
        same = VersionFiles(other.put(folder, "d"))
    files = VersionFiles(version)
    assert list(files.paths()) == list(same.paths())
    order = files.pack_order()
    assert sorted(order) == list(range(len(files)))
    places = {file.path: (file.pack, file.offset) for file in version.stored_files()}
    assert [places[files.path(index)] for index in order] == sorted(places.values())
    assert order != same.pack_order()


def test_globs_and_samples(version: artfs.Version) -> None:
    files = VersionFiles(version, "train", match="c1/*.bin", transform=lambda path, content: (len(path), content[:2]))
    paths = list(files.paths())
    assert paths and all(fnmatchcase(path, "c1/*.bin") for path in paths)
    assert files[3] == (len(paths[3]), version.read_bytes(f"train/{paths[3]}")[:2]) == files.__getitems__([3])[0]
    both = VersionFiles(version, "train", match=["c1/*", "lar*"])
    assert len(both) == len(paths) + 1 and "large" in both.paths()
    assert repr(both) == f"<VersionFiles d:v1/train of {len(both)} files>"


def test_what_is_refused(version: artfs.Version) -> None:
    for wrong in ({"version": "d:v1"}, {"folder": 3}, {"match": 3}, {"transform": 3}, {"match": "nothing*"}):
        options: dict[str, Any] = {"version": version, **wrong}
        with pytest.raises(InvalidInputError):
            VersionFiles(**options)
    with pytest.raises(NotFoundError):
        VersionFiles(version, "nothing")
    with pytest.raises(NotFolderError):
        VersionFiles(version, "train/large")


def _check(files: VersionFiles, wanted: list[Any], again: bytes) -> None:
    assert files.__getitems__(list(range(len(files)))) == wanted
    assert [pickle.loads(again)[index] for index in range(5)] == wanted[:5]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes(version: artfs.Version, method: str) -> None:
    """After it was used here, it works in processes that are forked or spawned."""
    files = VersionFiles(version, "train", match="c*")
    wanted = files.__getitems__(list(range(len(files))))
    process = multiprocessing.get_context(method).Process(target=_check, args=(files, wanted, pickle.dumps(files)))
    process.start()
    process.join()
    assert process.exitcode == 0


def test_a_version_that_is_deleted_meanwhile(version: artfs.Version, tmp_path: Path) -> None:
    files = VersionFiles(version)
    artfs.open_workspace(tmp_path / "ws").delete("d:v1")
    for use in (lambda: files[0], lambda: files.__getitems__([1, 2])):
        with pytest.raises(NotFoundError):
            use()
