"""Gathering: content is taken at the call, merged and refused as said, and becomes a version with nothing left over."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from pathlib import Path

import pytest

from artstore.changes.committing import Commit
from artstore.drafting.gathering import Gathering
from artstore.errors import BusyError, ExistsError, NotFoundError, OutOfSpaceError, RefusedError, SourceError
from artstore.queries.versions import Version
from artstore.workspace import Workspace
from messages import raises


def write(folder: Path, content: Mapping[str, bytes]) -> Path:
    for path, data in content.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    return folder


def held(gathering: Gathering) -> list[str]:
    return [os.fsdecode(path) for path, entry in gathering.walk() if not entry.directories]


def committed(workspace: Workspace, gathering: Gathering, name: str = "data") -> Version:
    return workspace.version(gathering.commit(Commit(name)).name)


def content(version: Version) -> dict[str, bytes]:
    return {
        os.path.join(folder, name): version.read_bytes(os.path.join(folder, name))
        for folder, _, names in version.walk()
        for name in names
    }


def nothing_left_over(workspace: Workspace) -> None:
    workspace.gc(now=True)
    assert workspace.fsck().clean
    assert workspace.usage().deadlist_bytes == 0


def test_files_and_folders_become_a_version(workspace: Workspace, tmp_path: Path) -> None:
    big = random.Random(1).randbytes(3_000_000)
    source = write(tmp_path / "s", {"a": b"a", "folder/b": b"b", "folder/deep/c": b"c", "big": big})
    gathering = Gathering(workspace.store, "data")
    gathering.add(source / "a")
    gathering.add(source / "a", "other/name")
    gathering.add(source / "folder")
    gathering.add(source / "folder", "below/it")
    gathering.add(source / "big")
    assert gathering.entry(b"a").size == 1
    assert gathering.totals().files == 7
    version = committed(workspace, gathering)
    assert content(version) == {
        "a": b"a",
        "other/name": b"a",
        "b": b"b",
        "deep/c": b"c",
        "below/it/b": b"b",
        "below/it/deep/c": b"c",
        "big": big,
    }
    nothing_left_over(workspace)


def test_content_is_taken_at_the_call(workspace: Workspace, tmp_path: Path) -> None:
    source = write(tmp_path / "s", {"a": b"before", "folder/b": b"before"})
    gathering = Gathering(workspace.store, "data")
    gathering.add(source / "a")
    gathering.add(source / "folder")
    write(source, {"a": b"after", "folder/b": b"after"})
    (source / "folder" / "b").unlink()
    assert content(committed(workspace, gathering)) == {"a": b"before", "b": b"before"}


def test_the_same_path_twice(workspace: Workspace, tmp_path: Path) -> None:
    source = write(tmp_path / "s", {"one/a": b"1", "two/a": b"2", "one/b": b"b", "three/c": b"c"})
    gathering = Gathering(workspace.store, "data")
    gathering.add(source / "one" / "a")
    gathering.add(source / "one" / "a")  # the same content is no conflict
    with raises(ExistsError, names=["'a'"], reason="added before"):
        gathering.add(source / "two" / "a")
    with raises(ExistsError, names=["'a'"], reason="added before"):
        gathering.add(source / "two")
    gathering.add(source / "one")
    gathering.add(source / "three")
    with raises(ExistsError, names=["'a'"], reason="added before"):
        gathering.add(source / "two" / "a")
    gathering.add(source / "two" / "a", overwrite=True)
    assert content(committed(workspace, gathering)) == {"a": b"2", "b": b"b", "c": b"c"}
    nothing_left_over(workspace)


def test_files_and_folders_in_each_others_way(workspace: Workspace, tmp_path: Path) -> None:
    source = write(tmp_path / "s", {"a": b"1"})
    gathering = Gathering(workspace.store, "data")
    gathering.add(source / "a", "x/y")
    for path in ("x", "x/y/z"):
        with pytest.raises(ExistsError):
            gathering.add(source / "a", path)
    for _ in range(2):
        for path in ("x", "x/y/z", "x/y/z/deep"):
            with pytest.raises(ExistsError):
                gathering.add(source / "a", path)
        gathering.add(source / "a", "kept")
        gathering.root()  # the same once the files are in the tree
    assert content(committed(workspace, gathering)) == {"x/y": b"1", "kept": b"1"}
    nothing_left_over(workspace)


def test_a_base_may_be_replaced(workspace: Workspace, tmp_path: Path) -> None:
    base = workspace.put(write(tmp_path / "base", {"keep": b"k", "a": b"old", "d/x": b"x"}), "data")
    source = write(tmp_path / "s", {"a": b"new", "e/y": b"y"})
    gathering = Gathering(workspace.store, "data", base.record)
    gathering.add(source / "a")
    assert gathering.remove("d/") == [b"d"]
    gathering.add(source / "e", "d")
    version = committed(workspace, gathering)
    assert content(version) == {"keep": b"k", "a": b"new", "d/y": b"y"}
    with pytest.raises(NotFoundError):
        gathering2 = Gathering(workspace.store, "data")
        try:
            gathering2.remove("nothing")
        finally:
            gathering2.close()


def test_another_version_stands_in_it(workspace: Workspace, tmp_path: Path) -> None:
    other = workspace.put(write(tmp_path / "o", {"part/x": b"x", "y": b"y"}), "other")
    gathering = Gathering(workspace.store, "data")
    gathering.include("dataset", other.record)
    gathering.include("just/x", other.record, b"part/x")
    gathering.include("dataset", other.record)  # the same is no conflict
    with pytest.raises(ExistsError):
        gathering.include("dataset", other.record, b"part")
    with pytest.raises(NotFoundError):
        gathering.include("z", other.record, b"nothing")
    version = committed(workspace, gathering)
    assert content(version) == {"dataset/part/x": b"x", "dataset/y": b"y", "just/x": b"x"}
    assert version.new_bytes < 1000
    workspace.delete("other:v0", now=True)
    assert version.read_bytes("dataset/y") == b"y"
    nothing_left_over(workspace)


def test_what_is_given_up_leaves_nothing(workspace: Workspace, tmp_path: Path) -> None:
    before = workspace.usage().stored_bytes
    gathering = Gathering(workspace.store, "data")
    gathering.add(write(tmp_path / "s", {"a": os.urandom(100_000), "b": b"b"}))
    gathering.close()
    assert workspace.usage().stored_bytes > before
    workspace.gc(now=True)
    assert workspace.usage().stored_bytes == before
    nothing_left_over(workspace)


def test_it_belongs_to_its_process(workspace: Workspace, tmp_path: Path) -> None:
    gathering = Gathering(workspace.store, "data")
    gathering.add(write(tmp_path / "s", {"a": b"1"}))
    child = os.fork()
    if not child:
        try:
            gathering.add(tmp_path / "s")
        except RefusedError:
            os._exit(7)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert content(committed(workspace, gathering)) == {"a": b"1"}


def test_many_files_one_by_one(workspace: Workspace, tmp_path: Path) -> None:
    """More than a batch holds; each is there, and nothing is staged twice."""
    source = write(tmp_path / "s", {f"{n % 7}/{n}": b"%d" % n for n in range(2000)})
    gathering = Gathering(workspace.store, "data")
    for n in range(2000):
        gathering.add(source / f"{n % 7}" / f"{n}", f"{n % 7}/{n}")
    version = committed(workspace, gathering)
    assert version.digest == workspace.put(source, "whole").digest
    nothing_left_over(workspace)


def test_what_is_known_of_a_folder_may_be_gone(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that was gathered and given up is remembered; its content has been reaped since."""
    monkeypatch.setattr("artstore.ingest.statcache.MARGIN_NS", -(10**18))
    source = write(tmp_path / "s", {"a": b"a" * 5000, "d/b": b"b" * 5000})
    first = Gathering(workspace.store, "data")
    first.add(source)
    first.close()
    workspace.gc(now=True)
    gathering = Gathering(workspace.store, "data")
    gathering.add(source / "a", "before")
    gathering.add(source)
    assert content(committed(workspace, gathering)) == {"before": b"a" * 5000, "a": b"a" * 5000, "d/b": b"b" * 5000}
    nothing_left_over(workspace)


def test_after_a_batch_that_was_not_committed_nothing_is(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers were given out that no node has: going on would refer to them."""
    source = write(tmp_path / "s", {"a": b"a", "b": b"b"})
    gathering = Gathering(workspace.store, "data")
    gathering.add(source / "a")
    with monkeypatch.context() as patch:
        patch.setattr("artstore.storage.manifest._commit", lambda *_: (_ for _ in ()).throw(OutOfSpaceError("full")))
        with pytest.raises(OutOfSpaceError):
            gathering.root()
    for action in (gathering.root, lambda: gathering.add(source), lambda: gathering.commit(Commit("data"))):
        with raises(BusyError, reason="write failed"):
            action()
    gathering.close()
    again = Gathering(workspace.store, "data")
    again.add(source)
    assert content(committed(workspace, again)) == {"a": b"a", "b": b"b"}
    nothing_left_over(workspace)


def test_what_is_refused_can_be_committed_otherwise(workspace: Workspace, tmp_path: Path) -> None:
    workspace.put(write(tmp_path / "other", {"x": b"x"}), "data", type="dataset")
    gathering = Gathering(workspace.store, "data")
    gathering.add(write(tmp_path / "s", {"a": b"a"}))
    with pytest.raises(RefusedError):
        gathering.commit(Commit("data", type="model"))
    assert content(committed(workspace, gathering)) == {"a": b"a"}
    nothing_left_over(workspace)


def test_a_missing_file(workspace: Workspace, tmp_path: Path) -> None:
    gathering = Gathering(workspace.store, "data")
    with pytest.raises((SourceError, NotFoundError)):
        gathering.add(tmp_path / "nothing")
    gathering.close()
