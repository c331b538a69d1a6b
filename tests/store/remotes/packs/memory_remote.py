"""A remote in a dictionary, for tests: objects by name, the table of what was pushed, and the requests that came."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from artstore.changes.committing import Commit, commit
from artstore.ingest.staging import Stager
from artstore.records.catalogue import VersionRecord
from artstore.remotes.packs.containers import CHUNK, PackObject
from artstore.remotes.packs.importing import import_tree
from artstore.remotes.packs.located import Chunk
from artstore.remotes.packs.output import PackOutput
from artstore.remotes.packs.places import Pack, Place
from artstore.remotes.packs.reading import RemoteTree
from artstore.remotes.packs.writing import BaseVersion, WrittenVersion, write_version
from artstore.store import Store

__all__ = ["NAME", "MemoryRemote"]

NAME = "a:v1"


class MemoryRemote:
    """Take the objects of pushes, and answer for ranges of them."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.table: dict[bytes, Chunk] = {}
        self.noted: list[Pack] = []
        self.requests: list[tuple[str, int, int]] = []

    def note(self, pack: Pack) -> None:
        self.noted.append(pack)

    def put(self, item: PackObject) -> None:
        """Store an object under a name that was noted just before and is new, and where its chunks are."""
        assert self.noted[-1] == item.pack
        name = item.pack.object_name
        assert name not in self.objects
        self.objects[name] = item.body
        for klass, codec, ident, offset, stored, size in item.entries:
            if klass == CHUNK:
                self.table[ident] = Chunk(ident, size, codec, Place(item.pack, offset, stored))

    def find(self, ident: bytes, size: int) -> Chunk | None:
        return self.table.get(ident)

    def fetch(self, pack: Pack, offset: int, length: int, *, fresh: bool = False) -> bytes:
        self.requests.append((pack.object_name, offset, length))
        return self.objects[pack.object_name][offset : offset + length]

    def push(
        self,
        store: Store,
        version: VersionRecord,
        *,
        base: WrittenVersion | None = None,
        find: Callable[[bytes, int], Chunk | None] | None = None,
        **targets: int,
    ) -> WrittenVersion:
        """Write a version, on a base if there is one; ``targets`` are those of `PackOutput`."""
        below = None if base is None else BaseVersion(self.tree(base, "base:v1"), base.packs)
        output = PackOutput(self, **targets)
        return write_version(store, version.root, NAME, output, find=find or self.find, base=below)

    def tree(self, written: WrittenVersion, name: str = NAME) -> RemoteTree:
        return RemoteTree(self.fetch, written.root, name)

    def pull(
        self,
        store: Store,
        written: WrittenVersion,
        original: VersionRecord,
        name: str = "a",
        *,
        hints: bool = True,
        tree: RemoteTree | None = None,
    ) -> VersionRecord:
        """Make a version local under a name, with the time and mode of the original's root."""
        asked = Commit(name, force=True, mtime_ns=original.mtime_ns, mode=original.mode)
        with closing(Stager(store, name, "remote")) as stager:
            root = import_tree(store, tree or self.tree(written), stager, hints=hints)
            return stager.commit(root, lambda tx, ref, added: commit(store, tx, ref, asked, added)).version
