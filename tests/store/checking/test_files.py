"""Every file of a workspace that is lost is named, one run for each; what may go at any time is not missed."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from artstore import creating
from artstore.checking import check
from artstore.checking.files import check_files
from artstore.checking.report import Report
from artstore.creating import create_workspace
from artstore.errors import UnsupportedError, WorkspaceNotFoundError
from artstore.reclaim.leases import Lease
from artstore.storage import journal, packs
from artstore.workspace import Workspace
from messages import missing
from reasons import has_reason
from store.checking.conftest import structure_of
from store.conftest import forget
from store.oracle import write_folder

NAMED = [
    "artfs.json",
    "current",
    "manifest.1/data.mdb",
    "manifest.1/lock.mdb",
    "manifest.1/lease",
    "packs/00000001.pack",
    "packs/00000002.pack",
    "journal/catalogue.journal",
    "reserve",
]
FOLDERS = ["packs", "journal", "cache", "run", "run/drafts", "run/daemons", "manifest.1"]
CACHE = "cache/stat/of-a-folder"
MAY_GO = [CACHE, "run/leases", "run/reaper", "run/drafts/9"]
"""What is recreated when it is next needed; a draft's lock is that of a put which is running or has died."""


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a workspace that no one has open, with two packs and a file of each kind."""
    folder = tmp_path_factory.mktemp("original")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(creating, "RESERVE", 4096)
        ws = Workspace(create_workspace(folder / "ws"))
        ws.put(write_folder(folder / "first", {b"a": ("file", b"first")}), "a")
        patch.setattr(packs, "PACK_LIMIT", 1)
        ws.put(write_folder(folder / "second", {b"a": ("file", b"second")}), "b")
    ws.put(write_folder(folder / "third", {b"a": ("file", b"first"), b"b": ("dir", b"")}), "c")
    ws.delete("c:v0", now=True)
    Lease(ws.store, 1).close()
    (ws.path / "run" / "drafts" / "9").touch()
    forget(ws.store)
    for path in list((ws.path / CACHE).parent.iterdir()):
        path.rename(ws.path / CACHE)
    return ws.path


@pytest.fixture
def copy(original: Path, quick_dir: Path) -> Path:
    return shutil.copytree(original, quick_dir / "ws")


def test_every_file_of_a_workspace_is_in_one_of_the_lists(original: Path) -> None:
    files = {os.path.relpath(path, original) for path in original.rglob("*") if not path.is_dir()}
    assert files == {*NAMED, *MAY_GO}
    assert check(original).clean


@pytest.mark.parametrize("name", NAMED)
def test_a_lost_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    assert any(str(copy / name) in problem.message for problem in check(copy).problems if problem.kind == "file")


@pytest.mark.parametrize("name", FOLDERS)
def test_a_lost_folder_is_named(copy: Path, name: str) -> None:
    shutil.rmtree(copy / name)
    assert any(str(copy / name) in problem.message for problem in check(copy).problems if problem.kind == "file")


@pytest.mark.parametrize("name", MAY_GO)
def test_what_may_go_is_not_missed(copy: Path, name: str) -> None:
    (copy / name).unlink()
    assert check(copy).clean


def test_an_empty_data_file_is_not_taken_for_a_new_one(copy: Path) -> None:
    (copy / "manifest.1" / "data.mdb").write_bytes(b"")
    report = check(copy)
    assert [problem.kind for problem in report.problems] == ["file", "unchecked"]
    assert (copy / "manifest.1" / "data.mdb").stat().st_size == 0


@pytest.mark.parametrize("text", ["", "{", "[]", '{"uuid": "x", "created_ns": 1}'])
def test_a_damaged_identity_is_named_and_the_rest_is_checked(copy: Path, text: str) -> None:
    (copy / "artfs.json").write_text(text)
    report = check(copy)
    assert [problem.kind for problem in report.problems] == ["file"]
    assert report.counted["versions"] == 2


def test_a_pack_of_another_workspace_is_named(copy: Path) -> None:
    identity = json.loads((copy / "artfs.json").read_text())
    identity["uuid"] = "00000000-0000-0000-0000-000000000000"
    (copy / "artfs.json").write_text(json.dumps(identity))
    assert all(has_reason(problem.message, "other workspace") for problem in check(copy).problems)


def test_files_that_do_not_belong_are_noted_and_no_damage(copy: Path) -> None:
    strays = ["x", "packs/notes.txt", "journal/x", "run/x", "run/drafts/x", "manifest.1/x", "cache/anything"]
    for name in strays:
        (copy / name).touch()
    shutil.copytree(copy / "manifest.1", copy / "manifest.7")
    shutil.copy(copy / "packs" / "00000002.pack", copy / "packs" / "00000003.pack")
    report = check(copy)
    assert report.clean
    named = [name for name in strays if any(note.startswith(f"{copy / name} ") for note in report.notes)]
    assert named == strays[:-1]
    assert any("manifest.7" in note for note in report.notes)
    assert not any("00000003.pack" in note for note in report.notes)  # a process may just be making it


def test_leftovers_are_noted(copy: Path) -> None:
    (copy / "run" / "drafts" / "0").touch()
    (copy / "packs" / "00000000.pack").touch()
    journal.journal_path(copy, 3).touch()
    report = structure_of(copy)
    assert report.clean
    for name in ("run/drafts/0", "packs/00000000.pack", "journal/catalogue.3.journal"):
        assert any(str(copy / name) in note for note in report.notes)


def test_a_reserve_that_was_given_to_a_full_disk_is_noted(copy: Path) -> None:
    os.truncate(copy / "reserve", 0)
    report = Report()
    check_files(copy, report)
    assert report.clean
    assert not missing(report.notes[0], [str(copy / "reserve"), "0 bytes"])


def test_what_is_no_workspace_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceNotFoundError):
        check(tmp_path)


@pytest.mark.parametrize("number", [1, 4])
def test_another_format_is_refused(copy: Path, number: int) -> None:
    (copy / "current").write_text(f"{number} manifest.1\n")
    with pytest.raises(UnsupportedError, match=f"format {number}"):
        check(copy)


@pytest.mark.parametrize("text", ["", "manifest.1", "1", "\0\0\0", "2 manifest.9\n"])
def test_a_damaged_pointer_to_the_manifest_is_named(copy: Path, text: str) -> None:
    (copy / "current").write_text(text)
    assert {problem.kind for problem in check(copy).problems} == {"file", "unchecked"}
