"""Cutting the end off a pack: only what no node and no reader needs, whatever fails, and its place is used again."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from artstore.errors import ArtfsError
from artstore.reclaim.compaction import compact_pack
from artstore.reclaim.compaction import packs as compacting
from artstore.reclaim.compaction.pack_sources import held
from artstore.reclaim.compaction.pack_tails import cut_tail
from artstore.rows import space
from artstore.storage import disk, manifest
from artstore.storage.packs import pack_path, read_segments
from artstore.storage.reserve import RESERVE
from artstore.workspace import Workspace
from corpora.folders import Content, content_of
from crash.recount import contradictions, stray_packs
from crash.states import content_of_version
from store.oracle import problems
from store.reclaim.compaction.conftest import Faults
from store.reclaim.compaction.test_packs import places, settle

pytestmark = pytest.mark.usefixtures("untidy")

PACK = 1


@pytest.fixture
def five(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Content]:
    """Five versions in segments of their own, of which the first, third and fourth are deleted, and no holes."""
    monkeypatch.setattr(disk, "punch_hole", lambda *_: False)
    folder = tmp_path / "folder"
    folder.mkdir()
    contents = {}
    for number in range(5):
        for name in ("large", "small", "empty"):
            (folder / name).write_bytes({"large": os.urandom(90_000), "small": b"%d" % number}.get(name, b""))
        contents[f"data:v{number}"] = content_of(folder)
        workspace.put(folder, "data")
    for number in (0, 2, 3):
        workspace.delete(f"data:v{number}", now=True)
        del contents[f"data:v{number}"]
    workspace.gc(now=True)
    return contents


def cut(workspace: Workspace) -> None:
    with space.exclusive(workspace.path), held(workspace.store, PACK) as source:
        assert source is not None
        cut_tail(workspace.store, source)


def reads(workspace: Workspace, contents: dict[str, Content]) -> bool:
    return all(content_of_version(workspace.version(name)) == content for name, content in contents.items())


def test_only_the_dead_end(workspace: Workspace, five: dict[str, Content]) -> None:
    """Nothing is cut as long as the last segment lives; then all dead segments before it go too, and not one more."""
    path = pack_path(workspace.path, PACK)
    before = path.stat().st_size
    cut(workspace)
    assert path.stat().st_size == before
    workspace.delete("data:v4", now=True, force=True)
    del five["data:v4"]
    workspace.gc(now=True)
    cut(workspace)
    assert len(read_segments(path)) == 2 and path.stat().st_size < before // 2
    assert contradictions(workspace.path) == [] and problems(workspace.store) == [] and reads(workspace, five)


def test_the_place_is_used_again(workspace: Workspace, tmp_path: Path, five: dict[str, Content]) -> None:
    """The next put appends where the pack was cut, also if the file itself was not shortened."""
    workspace.delete("data:v4", now=True, force=True)
    del five["data:v4"]
    workspace.gc(now=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(disk, "shorten", lambda *_: None)  # killed between the transaction and the cut
        cut(workspace)
    path = pack_path(workspace.path, PACK)
    length = path.stat().st_size
    assert contradictions(workspace.path) == []
    (tmp_path / "folder" / "large").write_bytes(os.urandom(1000))
    workspace.put(tmp_path / "folder", "data")
    five["data:v5"] = content_of(tmp_path / "folder")
    assert path.stat().st_size < length and places(workspace) == {PACK}
    assert contradictions(workspace.path) == [] and reads(workspace, five)


def test_what_a_killed_process_left_is_cut_later(workspace: Workspace, five: dict[str, Content]) -> None:
    """The bytes past the end go with the next call, without a writer."""
    workspace.delete("data:v4", now=True, force=True)
    workspace.gc(now=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(disk, "shorten", lambda *_: None)
        cut(workspace)
    path = pack_path(workspace.path, PACK)
    length = path.stat().st_size
    cut(workspace)
    with manifest.read(workspace.path) as transaction:
        assert path.stat().st_size == compacting.pack_ends(transaction)[PACK] < length


def test_condemned_bytes_are_not_cut(workspace: Workspace, five: dict[str, Content]) -> None:
    """What an older reader may still read stays until the reader has ended."""
    with workspace.store.snapshot() as snapshot:
        version = snapshot.version(workspace.version("data:v4").record.serial)
        assert version is not None
        workspace.delete("data:v4", now=True, force=True)
        workspace.gc(now=True)
        cut(workspace)
        for _, entry in snapshot.walk(version.root):
            assert len(snapshot.read(entry.node, 0, entry.size)) == entry.size
    workspace.gc(now=True)
    cut(workspace)
    assert len(read_segments(pack_path(workspace.path, PACK))) == 2


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_faults_at_every_call(
    workspace: Workspace,
    five: dict[str, Content],
    faults: Faults,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    after: bool,
) -> None:
    """A copy in parts that fails before or after any call of the disk: nothing is lost, and the next one ends it."""
    monkeypatch.setattr(compacting, "BATCH_NODES", 2)
    original = disk.free_bytes
    nth, failed = 0, 0
    while True:
        nth += 1
        source = max(places(workspace))
        monkeypatch.setattr(disk, "free_bytes", lambda folder: min(RESERVE, original(folder)))  # so that it is in parts
        faults.arm(nth, OSError(number, os.strerror(number)), after=after)
        try:
            with space.exclusive(workspace.path):
                compact_pack(workspace.store, source)
        except (OSError, ArtfsError):
            failed += 1
        reached = faults.disarm() >= nth
        monkeypatch.setattr(disk, "free_bytes", original)
        assert contradictions(workspace.path) == [] and reads(workspace, five)
        with space.exclusive(workspace.path):
            compact_pack(workspace.store, source)
        settle(workspace)
        assert not pack_path(workspace.path, source).exists()
        assert contradictions(workspace.path) == [] and stray_packs(workspace.path) == []
        if not reached:
            break
    assert failed > 10 and reads(workspace, five)
