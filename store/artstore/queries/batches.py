"""Many files of a version: where they are stored, and reading them in that order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from artstore.errors import ArtfsError, DamageError, IsFolderError, NotFoundError
from artstore.records.lazy_nodes import LAZY
from artstore.records.nodes import ChunkRecord, ListView
from artstore.records.trees import Kind, TreeEntry
from artstore.rows.directories import Directories
from artstore.rows.snapshot import Snapshot
from artstore.store import Store

__all__ = ["FileBatches", "FilePath", "StoredFile", "stored_files"]

FilePath = str | bytes

_MOST_FILES: Final = 256
_MOST_BYTES: Final = 16 << 20


class StoredFile(NamedTuple):
    """A file of a version: its path, its size in bytes, and the pack and offset where its first bytes are stored.

    Pack and offset are 0 for a file that is empty, or whose bytes stay outside.
    """

    path: str
    size: int
    pack: int
    offset: int


class _Batch(NamedTuple):
    """Paths that are read together, with their chunks; None for what is read by itself when its turn comes.

    ``moment`` is what was known of the directories when they were found, and ``lazy`` are nodes of files in a remote.
    """

    moment: Directories
    paths: list[FilePath]
    chunks: list[ChunkRecord | None]
    lazy: list[int]


class FileBatches:
    """Read files of a version in batches; while one is used, the disk is asked for the next.

    ``find`` returns first the chunk that a file consists of, None for a file that is not one stored chunk, and ``node``
    the node of its content.

    Guarantees: each file is what ``read`` returns for its path, or raises what that raises, at its turn.  No snapshot
    outlives the reading of a batch, and one batch is in memory at a time.
    """

    def __init__(
        self,
        store: Store,
        find: Callable[[Snapshot, FilePath], tuple[ChunkRecord | None, str]],
        node: Callable[[Snapshot, FilePath], int],
        read: Callable[[FilePath], bytes],
    ) -> None:
        self._store = store
        self._find = find
        self._node = node
        self._read = read

    def contents(self, paths: Iterable[FilePath]) -> Iterator[tuple[FilePath, bytes]]:
        """Yield (path, content) of each path, in order."""
        waiting = iter(paths)
        batch = self._next(None, waiting)[1]
        while batch.paths:
            contents, following = self._next(batch, waiting)
            for path, content in zip(batch.paths, contents, strict=True):
                yield path, self._read(path) if content is None else content
            batch = following

    def _next(self, batch: _Batch | None, waiting: Iterator[FilePath]) -> tuple[list[bytes | None], _Batch]:
        """Return the contents of a batch, and the batch after it, for which the disk has been asked."""
        with self._store.snapshot() as snapshot:
            contents = [] if batch is None else _contents(snapshot, batch)
            following = self._found(snapshot, waiting)
            snapshot.want(following.lazy)
            extents = [chunk.extent for chunk in following.chunks if chunk is not None]
            snapshot.ask_for((extent.pack, extent.offset, extent.stored) for extent in extents)
        return contents, following

    def _found(self, snapshot: Snapshot, waiting: Iterator[FilePath]) -> _Batch:
        batch = _Batch(snapshot.directories, [], [], [])
        held = 0
        for path in waiting:
            try:
                chunk = self._find(snapshot, path)[0]
                if chunk is None and snapshot.views is not None and (node := self._node(snapshot, path)) >= LAZY:
                    batch.lazy.append(node)
            except ArtfsError:
                chunk = None  # raised at its turn
            batch.paths.append(path)
            batch.chunks.append(chunk)
            held += 0 if chunk is None else chunk.size
            if len(batch.paths) == _MOST_FILES or held >= _MOST_BYTES:
                break
        return batch


def stored_files(
    snapshot: Snapshot, where: str, names: Iterable[str], find: Callable[[Snapshot, FilePath], tuple[bytes, TreeEntry]]
) -> list[StoredFile]:
    """Return the files in a folder with these names, in order; links count as what they lead to, if that is a file."""
    files = []
    for name in names:
        path = f"{where}/{name}" if where else name
        try:
            entry = find(snapshot, path)[1]
        except (IsFolderError, NotFoundError):  # a link to a folder, or purged since it was listed
            continue
        pack, offset = (0, 0) if entry.kind is Kind.REFERENCE else _first_place(snapshot, entry.node)
        files.append(StoredFile(path, entry.size, pack, offset))
    return files


def _first_place(snapshot: Snapshot, node: int) -> tuple[int, int]:
    """Return where the first chunk of a content node is stored."""
    if node >= LAZY:
        return 0, 0
    record = snapshot.content_record(node)
    while isinstance(record, ListView):
        below = snapshot.content_record(record.nodes[0])
        if isinstance(below, ListView) and below.level >= record.level:
            raise DamageError(f"content node {record.nodes[0]} does not match its parent list")
        record = below
    return record.extent.pack, record.extent.offset


def _contents(snapshot: Snapshot, batch: _Batch) -> list[bytes | None]:
    """Return the contents of a batch; all None if anything was committed since, because its chunks may have moved."""
    contents: list[bytes | None] = [None] * len(batch.paths)
    if snapshot.directories is not batch.moment:
        return contents
    found = [(chunk.extent, index, chunk) for index, chunk in enumerate(batch.chunks) if chunk is not None]
    for _, index, chunk in sorted(found):
        try:
            contents[index] = snapshot.read_chunk(chunk)
        except DamageError:
            continue  # raised at its turn
    return contents
