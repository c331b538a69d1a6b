"""A bookmark is relied on only where it is ours, whole and fresh; else reading starts again."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from artstore.checking.bookmark import Bookmark, PackMark

DAY_NS = 24 * 3600 * 10**9


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "cache").mkdir()
    bookmark = Bookmark.load(tmp_path, "u")
    bookmark.packs[3] = PackMark(77, 1000, [64, 500])
    bookmark.save(tmp_path)
    return tmp_path


def test_it_comes_back_as_it_was(folder: Path) -> None:
    assert Bookmark.load(folder, "u").packs == {3: PackMark(77, 1000, [64, 500])}


def test_that_of_another_workspace_is_passed_over(folder: Path) -> None:
    assert Bookmark.load(folder, "v").packs == {}


@pytest.mark.parametrize("passed", [DAY_NS, -DAY_NS])
def test_what_is_a_day_old_is_passed_over(folder: Path, monkeypatch: pytest.MonkeyPatch, passed: int) -> None:
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now + passed)
    assert Bookmark.load(folder, "u").packs == {}


def test_a_damaged_one_is_passed_over(folder: Path) -> None:
    path = folder / "cache" / "fsck"
    whole = path.read_bytes()
    for offset in range(len(whole)):
        path.write_bytes(whole[:offset] + bytes([whole[offset] ^ 1]) + whole[offset + 1 :])
        assert Bookmark.load(folder, "u").packs == {}
        path.write_bytes(whole[:offset])
        assert Bookmark.load(folder, "u").packs == {}


def test_a_malformed_one_is_passed_over(folder: Path) -> None:
    for value in (None, 5, [], {}, {"packs": []}, {"uuid": "u", "started_ns": "x", "packs": {"x": {}}}):
        (folder / "cache" / "fsck").write_bytes(b"x\n" + json.dumps(value).encode())
        assert Bookmark.load(folder, "u").packs == {}


def test_it_is_gone_once_it_is_removed(folder: Path) -> None:
    bookmark = Bookmark.load(folder, "u")
    bookmark.remove(folder)
    bookmark.remove(folder)
    assert Bookmark.load(folder, "u").packs == {}


def test_no_place_to_write_is_no_failure(tmp_path: Path) -> None:
    Bookmark.load(tmp_path, "u").save(tmp_path)
    assert list(tmp_path.iterdir()) == []
