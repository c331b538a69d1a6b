"""What common work with a remote costs in requests, counted by a proxy before a real server.

`measure` makes a tree of small files in folders, pushes it, and pushes it again with ten changed files.  It reads it
from a clone, then and after many small pushes.  `BOUNDS` holds for 100,000 files; the suite counts for a tree of the
same shape with fewer.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random
from unittest.mock import patch

from artstore.remotes.exchanging import clone
from artstore.workspace import Workspace
from servers.faults import FaultProxy

__all__ = ["BOUNDS", "measure"]

_READS = {
    "clone and first byte{}: trips": 7,
    "first byte under a mount{}: trips": 4,
    "walk{}: requests": 60,
    "metadata{}: bytes a file": 60,
    "batch{}: requests for 100 files": 130,
    "batch{}: bytes for 100 of content": 120,
}
BOUNDS = {
    "first push: PUT": 20,
    "push of ten changed files: PUT": 4,
    "push of ten changed files: GET": 8,
    **{what.format(when): most for when in ("", " after small pushes") for what, most in _READS.items()},
}
"""The most requests of each kind: a LIST is a GET, a hint a PUT, a HEAD that asks for the time neither."""
_FILE = 4096
Count = Callable[[str, int], None]


def _name(number: int, folders: int) -> str:
    return f"folder-{number % folders:04d}/{number:06d}"


def _make(folder: Path, files: int, folders: int, chance: Random) -> None:
    for number in range(folders):
        (folder / f"folder-{number:04d}").mkdir(parents=True)
    for number in range(files):
        (folder / _name(number, folders)).write_bytes(chance.randbytes(_FILE))


def _change(folder: Path, files: int, folders: int, chance: Random, changed: int) -> None:
    for number in chance.sample(range(files), changed):
        (folder / _name(number, folders)).write_bytes(chance.randbytes(_FILE))


def measure(
    workspace: Workspace,
    url: str,
    proxy: FaultProxy,
    folder: Path,
    *,
    files: int,
    folders: int,
    pushes: int,
    told: Count | None = None,
) -> dict[str, int]:
    """Return the counts of `BOUNDS`; the environment leads through ``proxy``, and the remote is added already."""
    chance, counts = Random(7), {}

    def count(what: str, number: int) -> None:
        counts[what] = number
        if told is not None:
            told(what, number)

    source = folder / "source"
    _make(source, files, folders, chance)
    workspace.put(source, "data")
    proxy.forget()
    workspace.remotes.push("data")
    count("first push: PUT", proxy.count("PUT", "POST"))
    _change(source, files, folders, chance, 10)
    proxy.forget()
    workspace.put(source, "data")
    if not proxy.count():  # else the put has pushed it
        workspace.remotes.push("data")
    count("push of ten changed files: PUT", proxy.count("PUT", "POST"))
    count("push of ten changed files: GET", proxy.count("GET"))
    count("push of ten changed files: bytes", sum(each.received for each in proxy.requests))
    _read(url, proxy, folder / "first", count, "", folders)
    for _ in range(pushes):
        _change(source, files, folders, chance, 3)
        workspace.put(source, "data")
        workspace.remotes.push("data")
    _read(url, proxy, folder / "later", count, " after small pushes", folders)
    return counts


def _read(url: str, proxy: FaultProxy, place: Path, count: Count, when: str, folders: int) -> None:
    """Clone the remote, read two files of the newest version, walk its tree, and read a batch of files."""
    proxy.forget()
    with patch.dict(os.environ, XDG_CACHE_HOME=str(place)), closing(Workspace(clone(url, place / "ws"))) as other:
        version = other.version("data")
        assert len(version.read_bytes(_name(folders // 2, folders))) == _FILE
        count(f"clone and first byte{when}: trips", proxy.trips())
        proxy.forget()
        assert len(version.read_bytes(_name(folders // 3, folders))) == _FILE
        count(f"first byte under a mount{when}: trips", proxy.trips())
        names = [os.path.join(path, name) for path, _, files in version.walk() for name in files]
        count(f"walk{when}: requests", proxy.count())
        spans = sum(request.received for request in proxy.requests)
        count(f"metadata{when}: bytes a file", spans // len(names))
        proxy.forget()
        batch = Random(5).sample(names, min(256, len(names) // 100))
        assert sum(len(data) for _, data in version.read_many(batch)) == _FILE * len(batch)
        count(f"batch{when}: requests for 100 files", proxy.count() * 100 // len(batch))
        received = sum(request.received for request in proxy.requests)
        count(f"batch{when}: bytes for 100 of content", received * 100 // (_FILE * len(batch)))
