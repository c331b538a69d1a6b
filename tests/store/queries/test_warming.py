"""Reading a version into the page cache: all of it, in few large reads, and what is in the way of that."""

from __future__ import annotations

import ctypes
import mmap
import os
import random
from pathlib import Path

import pytest

from artstore.errors import DamageError, NotFoundError
from artstore.progress import Progress
from artstore.queries.warming import Warmed
from artstore.storage.packs import pack_path
from artstore.workspace import Workspace, init_workspace
from messages import raises


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "small" / "empty").mkdir(parents=True)
    for number in range(300):
        (folder / "small" / f"{number}").write_bytes(random.Random(number).randbytes(5000))
    (folder / "small" / "again").write_bytes(random.Random(7).randbytes(5000))
    (folder / "small" / "nothing").touch()
    (folder / "large").write_bytes(random.Random(1000).randbytes(9_000_000))
    (folder / "link").symlink_to("large")
    return folder


def cached(path: Path) -> int:
    """Return how many pages of a file are in memory, asking the kernel (mincore), which brings none there."""
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        pages = -(-len(mapped) // mmap.PAGESIZE)
        found = (ctypes.c_ubyte * pages)()
        start = ctypes.c_char.from_buffer(mapped)
        failed = ctypes.CDLL(None, use_errno=True).mincore(ctypes.byref(start), ctypes.c_size_t(len(mapped)), found)
        del start
        assert not failed, os.strerror(ctypes.get_errno())
        return sum(page & 1 for page in found)


def forget(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def test_all_stored_bytes_are_in_memory(disk_dir: Path, source: Path) -> None:
    """Files with equal content count once; each stored byte is read once; progress ends at the total."""
    workspace = init_workspace(disk_dir / "workspace")
    workspace.put(source, "a")
    pack = pack_path(workspace.path, 1)
    forget(pack)
    assert cached(pack) < 100, "pages that are not written yet stay, and nothing else"
    steps: list[Progress] = []
    warmed = workspace.warm("a", progress=steps.append)
    assert warmed.files == 303
    stored = workspace.usage().stored_bytes
    assert stored * 0.95 <= warmed.bytes <= pack.stat().st_size
    assert cached(pack) * 4096 >= 0.95 * warmed.bytes, "the system may take some back at once"
    assert (steps[-1].bytes_done, steps[-1].bytes_total) == (warmed.bytes, warmed.bytes)
    assert [each.bytes_done for each in steps] == sorted(each.bytes_done for each in steps)


def test_a_part_of_it(workspace: Workspace, source: Path) -> None:
    """By the reference's path, by the other, and by both."""
    workspace.put(source, "a")
    whole, small = workspace.warm("a"), workspace.warm("a:v0/small")
    assert small.files == 301 and small.bytes < whole.bytes / 4
    assert workspace.warm("a", path="small/") == small
    one = workspace.warm("a:v0/small", path="7")
    assert one == workspace.warm("a", path=b"small/again") == Warmed(1, 5000)
    assert workspace.warm("a", path="small/nothing") == Warmed(1, 0)
    assert workspace.warm("a", path="small/empty") == Warmed(0, 0)
    with pytest.raises(NotFoundError):
        workspace.warm("a", path="absent")
    with pytest.raises(NotFoundError):
        workspace.warm("absent")


def test_packs_that_are_gone_or_short(workspace: Workspace, source: Path) -> None:
    workspace.put(source, "a")
    pack = pack_path(workspace.path, 1)
    os.truncate(pack, 100_000)
    with raises(DamageError, names=[str(pack)], reason="ends early"):
        workspace.warm("a")
    pack.unlink()
    with raises(DamageError, names=[str(pack)], reason="missing"):
        workspace.warm("a")
