"""``artfs://NAME:v3/path`` in fsspec: listed, read and refused as a file system should."""

from __future__ import annotations

import errno
import pickle
from importlib.metadata import entry_points
from pathlib import Path

import fsspec
import pandas
import pytest

import artfs
from artfs.filesystem import ArtfsFileSystem


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ArtfsFileSystem:
    monkeypatch.setenv("ARTFS_WORKSPACE", str(tmp_path / "ws"))
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "table.csv").write_text("a,b\n1,2\n3,4\n")
    (source / "sub" / "more.csv").write_text("a,b\n5,6\n")
    (source / "link.csv").symlink_to("sub/more.csv")
    workspace = artfs.init_workspace(tmp_path / "ws")
    workspace.put(source, "team/data", aliases=["good"])
    workspace.put(source / "table.csv", "alone")
    fsspec.register_implementation("artfs", ArtfsFileSystem, clobber=True)
    ArtfsFileSystem.clear_instance_cache()
    return fsspec.filesystem("artfs")


def test_others_find_it_by_its_name() -> None:
    (found,) = entry_points(group="fsspec.specs", name="artfs")
    assert found.load() is ArtfsFileSystem


def test_pandas_reads_a_version_that_is_not_mounted(files: ArtfsFileSystem) -> None:
    frame = pandas.read_csv("artfs://team/data:v0/table.csv")
    assert frame["b"].tolist() == [2, 4]
    assert pandas.read_csv("artfs://team/data:good/link.csv")["a"].tolist() == [5]
    assert pandas.read_csv("artfs://alone:latest/table.csv").shape == (2, 2)


def test_directories(files: ArtfsFileSystem) -> None:
    assert files.ls("", detail=False) == ["alone", "team"]
    assert files.ls("artfs://team", detail=False) == ["team/data"]
    assert files.ls("team/data", detail=False) == ["team/data/v0"]
    assert {entry["name"]: (entry["type"], entry["size"]) for entry in files.ls("team/data:v0")} == {
        "team/data:v0/link.csv": ("other", 8),
        "team/data:v0/sub": ("directory", 8),
        "team/data:v0/table.csv": ("file", 12),
    }
    assert files.ls("team/data:v0/table.csv", detail=False) == ["team/data:v0/table.csv"]
    assert sorted(files.find("team/data:v0")) == [
        "team/data:v0/link.csv",
        "team/data:v0/sub/more.csv",
        "team/data:v0/table.csv",
    ]
    assert files.glob("artfs://team/data:v0/**/*.csv") == sorted(files.find("team/data:v0"))
    assert files.isdir("team/data:v0/sub") and files.isfile("team/data:v0/table.csv")
    assert files.exists("team") and not files.exists("nothing") and not files.exists("team/data:v0/nothing")


def test_files(files: ArtfsFileSystem) -> None:
    with files.open("team/data:v0/table.csv") as file:
        file.seek(4)
        assert file.read(3) == b"1,2"
    assert files.cat("team/data:v0/sub/more.csv") == b"a,b\n5,6\n"
    assert files.cat_file("team/data:v0/table.csv", 4, 7) == b"1,2"
    assert files.checksum("alone:v0/table.csv") == files.checksum("team/data:v0/table.csv")
    modified, created = files.modified("team/data:v0/table.csv"), files.created("team/data:v0/table.csv")
    assert modified.timestamp() == files.info("team/data:v0/table.csv")["mtime"]
    assert modified < created == files.created("team/data:v0")  # the source's time, and that of the version
    again = pickle.loads(pickle.dumps(files))
    assert again.cat("alone:v0/table.csv") == files.cat("alone:v0/table.csv")


def test_what_a_known_folder_is_may_change(files: ArtfsFileSystem, tmp_path: Path) -> None:
    """Each call follows names as of now: versions come, artifacts are renamed, and others take their names."""
    workspace = artfs.open_workspace(tmp_path / "ws")

    def contents(path: str) -> set[bytes]:
        with files.open(path) as file:
            return {file.read(), files.cat_file(path), files.cat(path), *files.cat([path]).values()}

    first = b"a,b\n1,2\n3,4\n"
    spellings = [
        f"{start}{at}/table.csv" for start in ("", "artfs://") for at in ("alone/v0", "alone:v0", "alone/latest")
    ]
    for _ in range(2):
        for path in spellings:
            assert contents(path) == {first}
    (tmp_path / "source" / "table.csv").write_bytes(b"new")
    workspace.put(tmp_path / "source" / "table.csv", "alone")
    assert contents("alone/latest/table.csv") == contents("artfs://alone:latest/table.csv") == {b"new"}
    assert contents("alone/v0/table.csv") == {first}
    workspace.rename("alone", "moved")
    for path in spellings:
        with pytest.raises(FileNotFoundError):
            files.open(path)
        with pytest.raises(FileNotFoundError):
            files.cat(path)
    assert contents("moved/v0/table.csv") == {first}
    (tmp_path / "source" / "table.csv").write_bytes(b"another")
    workspace.put(tmp_path / "source" / "table.csv", "alone")
    for path in spellings:
        assert contents(path) == {b"another"}
    workspace.delete("alone:v0")
    for path in spellings:
        with pytest.raises(FileNotFoundError):
            files.open(path)


def test_an_artifact_where_a_project_was(files: ArtfsFileSystem, tmp_path: Path) -> None:
    """``team/data/v0/x`` is a file of ``team/data``, then one of ``team`` below its alias ``data``."""
    workspace = artfs.open_workspace(tmp_path / "ws")
    path = "team/data/v0/more.csv"
    with pytest.raises(FileNotFoundError):
        files.open(path)
    assert files.cat("team/data/v0/sub/more.csv") == b"a,b\n5,6\n"
    workspace.rename("team/data", "elsewhere")
    nested = tmp_path / "nested"
    (nested / "v0" / "sub").mkdir(parents=True)
    (nested / "v0" / "sub" / "more.csv").write_bytes(b"nested")
    workspace.put(nested, "team", aliases=["data"])
    assert files.cat("team/data/v0/sub/more.csv") == b"nested"


def test_an_etag_tells_contents_apart(files: ArtfsFileSystem, tmp_path: Path) -> None:
    before = files.info("artfs://alone:latest/table.csv")
    assert before["ETag"] == files.info("artfs://team/data:v0/table.csv")["ETag"]
    (tmp_path / "source" / "table.csv").write_text("a,b\n7,8\n3,4\n")
    artfs.open_workspace(tmp_path / "ws").put(tmp_path / "source" / "table.csv", "alone")
    assert files.info("artfs://alone:latest/table.csv")["ETag"] != before["ETag"]
    assert files.info("artfs://alone:v0/table.csv")["ETag"] == before["ETag"]


def test_refusals(files: ArtfsFileSystem) -> None:
    for path in ("nothing:v0/x", "team/data:v7", "team/data:v0/nothing", "nothing"):
        with pytest.raises(FileNotFoundError):
            files.info(path)
    with pytest.raises(OSError) as refused:
        files.open("team/data:v0/new", "wb")
    assert refused.value.errno == errno.EROFS
    with pytest.raises(IsADirectoryError):
        files.open("team/data:v0/sub")
