"""A library is found by any path that leads to its workspace, and all of them are one library."""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import artfs
from artfs.registry import ArtifactRegistry, LibraryManager
from artstore.errors import ArtfsError, InvalidInputError, NotFoundError


def test_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder ``library``, the folder above it, the workspace's own folder, and the open workspace."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    LibraryManager("folder/library").save_template([1], "t")
    assert os.listdir(tmp_path) == ["folder"] and os.listdir("folder") == [".artfs"]
    opened = artfs.open_workspace("folder/.artfs")
    for path in (tmp_path / "folder/library", "folder", "~/folder/library/", "folder/.artfs", opened):
        assert LibraryManager(path).load_template("t") == [1], path
    assert ArtifactRegistry("folder", "wheat").workspace.has_artifact("library/templates/t")


def test_a_workspace_that_is_called_library(tmp_path: Path) -> None:
    """It is the one that is meant, and so is one in a folder of that name."""
    artfs.init_workspace(tmp_path / "library")
    LibraryManager(tmp_path / "library").save_template([1], "t")
    (tmp_path / "other" / "library").mkdir(parents=True)
    artfs.init_workspace(tmp_path / "other" / "library" / ".artfs")
    LibraryManager(tmp_path / "other" / "library").save_template([2], "t")
    assert sorted(os.listdir(tmp_path)) == ["library", "other"] and os.listdir(tmp_path / "other") == ["library"]
    artfs.init_workspace(tmp_path / "whole")
    LibraryManager(tmp_path / "whole" / "library").save_template([3], "t")
    assert artfs.open_workspace(tmp_path / "whole").has_artifact("library/templates/t")


READING: list[Callable[[LibraryManager], object]] = [
    LibraryManager.list_templates,
    LibraryManager.list_filtered,
    LibraryManager.list_pipelines,
    LibraryManager.list_fullruns,
    lambda library: library.search_templates("x"),
    lambda library: library.load_template("x"),
    lambda library: library.load("x"),
    lambda library: library.get_template_metadata("x"),
    lambda library: library.delete_template("x"),
    lambda library: library.export_template("x", library.folder / "x.json"),
    lambda library: library.save_fullrun(name="x", dataset="wheat"),
]


@pytest.mark.parametrize("read", READING)
def test_reading_makes_nothing(tmp_path: Path, read: Callable[[LibraryManager], object]) -> None:
    """Lists are empty, and what is asked for by name is not found."""
    try:
        assert read(LibraryManager(tmp_path / "library")) == []
    except ArtfsError as error:
        assert isinstance(error, NotFoundError)
    assert os.listdir(tmp_path) == []


def test_entries_of_several_kinds(tmp_path: Path) -> None:
    """A name is of one entry of each kind; without the kind it must be the only one."""
    library = LibraryManager(tmp_path)
    library.save_template([1], "a/b", "one")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "x").write_text("x")
    library.save_fullrun(tmp_path / "run", "a/b")
    assert library.load("a/b", "template").config == [1] and library.load("a/b", "fullrun").config is None
    assert library.load("a/b", "template").info["description"] == "one"
    with pytest.raises(InvalidInputError, match="template and fullrun"):
        library.load("a/b")
    library.delete("template", "a/b")
    assert library.load("a/b").version.read_bytes("x") == b"x"
    library.save_template([1], "c/d")
    with pytest.raises(ArtfsError, match="c"):
        library.save_template([1], "c")


def test_two_processes(tmp_path: Path) -> None:
    """Saves of one name get numbers of their own, and none is lost."""
    LibraryManager(tmp_path).save_template([0], "t")
    children = []
    for process in range(2):
        children.append(os.fork())
        if not children[-1]:
            try:
                library = LibraryManager(tmp_path)
                for number in range(5):
                    library.save_template([process, number], "t")
            finally:
                os._exit(0)
    for child in children:
        os.waitpid(child, 0)
    library = LibraryManager(tmp_path)
    saved = [library.load_template("t", number) for number in range(1, 11)]
    assert sorted(saved) == [[process, number] for process in range(2) for number in range(5)]
    assert [each for each in saved if each[0] == 1] == [[1, number] for number in range(5)]
    assert library.workspace.fsck(data=True).clean


class Odd:
    """An object that cannot be shown."""

    def __repr__(self) -> str:
        raise RuntimeError


WRONG: tuple[Any, ...] = (
    *(None, -1, 10**30, 10**5000, math.nan, True, b"x", "", " ", "a\0b", "\ud800", "x" * 10_000),
    *([None], {"a": Odd()}, {1}, Odd(), Odd, len, ["a", 3], {1: {"y": [Odd()]}}),
)
GOOD: dict[str, Any] = {
    "pipeline_config": [1],
    "name": "t",
    "description": "x",
    "category": "c",
    "tags": ["a"],
    "metrics": {"a": 1},
    "notes": "n",
    "version": 0,
    "path": "o.json",
    "overwrite": True,
    "kind": "template",
    "text": "x",
    "dry_run": True,
    "pipeline_dir": "run/p",
    "run_dir": "run",
}
CALLS = (
    *("save_template", "load_template", "get_template_metadata", "list_templates", "search_templates"),
    *("delete_template", "export_template", "import_template", "save_filtered", "save_pipeline_full", "save_fullrun"),
    *("load", "delete"),
)


@pytest.mark.parametrize("call", CALLS)
def test_wrong_types(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """One sentence in an error of artfs, or a TypeError, or it works."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run" / "p").mkdir(parents=True)
    (tmp_path / "run" / "p" / "pipeline.json").write_text('{"artifacts": []}')
    library = LibraryManager(tmp_path)
    library.save_template([1], "t")
    library.export_template("t", "o.json")
    ArtifactRegistry(tmp_path, "w", "p").register_with_chain([1], "s1.A", "model", 1)
    names = [name for name in inspect.signature(getattr(LibraryManager, call)).parameters if name != "self"]
    registered = ["dataset", "pipeline_id", "ids", "pipeline_config"] if "registry" in names else []
    calls = [({key: GOOD[key] for key in names if key in GOOD}, key) for key in names if key != "registry"]
    calls += [({"name": "z", "dataset": "w", "pipeline_id": "p"}, key) for key in registered]
    for arguments, key in calls:
        for wrong in WRONG:
            try:
                getattr(library, call)(**{**arguments, key: wrong})
            except (ArtfsError, TypeError) as error:
                assert "\n" not in str(error) and len(str(error)) < 400 + (len(wrong) if isinstance(wrong, str) else 0)
