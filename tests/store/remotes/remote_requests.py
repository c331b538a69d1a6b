"""What common work with a remote costs in requests, counted by a proxy before a real server.

`measure` makes a tree of small files in folders, pushes it, and pushes it again with ten changed files.  It reads it
from a clone, then and after many small pushes.  `BOUNDS` holds for 100,000 files; the suite counts for a tree of the
same shape with fewer.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random

from artstore.remotes.connecting import choose, connect
from artstore.remotes.exchanging import clone
from artstore.remotes.packs.located import Below
from artstore.workspace import Workspace
from servers.faults import FaultProxy

__all__ = ["BOUNDS", "measure"]

BOUNDS = {
    "first push: PUT": 20,
    "push of ten changed files: PUT": 4,
    "push of ten changed files: GET": 8,
    "clone and first byte: trips": 7,
    "walk: requests": 60,
    "walk after small pushes: requests": 60,
}
"""The most requests of each kind: a LIST is a GET, a hint a PUT, a HEAD that asks for the time neither."""
_FILE = 4096


def _make(folder: Path, files: int, folders: int, chance: Random) -> None:
    for number in range(folders):
        (folder / f"folder-{number:04d}").mkdir(parents=True)
    for number in range(files):
        (folder / f"folder-{number % folders:04d}/{number:06d}").write_bytes(chance.randbytes(_FILE))


def _change(folder: Path, files: int, folders: int, chance: Random, changed: int) -> None:
    for number in chance.sample(range(files), changed):
        path = folder / f"folder-{number % folders:04d}/{number:06d}"
        path.write_bytes(chance.randbytes(_FILE))


def measure(
    workspace: Workspace,
    url: str,
    proxy: FaultProxy,
    folder: Path,
    *,
    files: int,
    folders: int,
    pushes: int,
    told: Callable[[str, int], None] | None = None,
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
    _read(url, proxy, folder / "first", count, "")
    for _ in range(pushes):
        _change(source, files, folders, chance, 3)
        workspace.put(source, "data")
        workspace.remotes.push("data")
    _read(url, proxy, folder / "later", count, " after small pushes")
    return counts


def _read(url: str, proxy: FaultProxy, place: Path, count: Callable[[str, int], None], when: str) -> None:
    """Clone the remote, read one file of the newest version, and walk its whole tree."""
    with closing(Workspace(clone(url, place / "ws", read_only=True))) as other:
        proxy.forget()  # the probe
        remote = connect(other.store, *choose(other.store, None))
        row = max(remote.state.versions.values(), key=lambda each: each.number)
        tree = remote.tree(row)
        path, entry = next((path, entry) for path, entry in tree.walk() if not isinstance(entry.content, Below))
        assert len(tree.read(entry, path)) == _FILE
        count(f"clone and first byte{when}: trips", proxy.trips())
        proxy.forget()
        assert sum(1 for _ in remote.tree(row).walk()) == row.entries
        count(f"walk{when}: requests", proxy.count())
