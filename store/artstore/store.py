"""A workspace's files on disk, and the handles through which one process reaches them.

artfs.json        format, uuid, when it was made, and the group it is shared with
current           format and folder of the LMDB environment in use
manifest.1/       the environment, and the file `lease` that every process using it holds a shared flock on
packs/            the stored chunks
journal/          the catalogue's changes, for a rebuild
cache/            files that may be deleted at any time: stat caches, fetched content of references
run/              locks of drafts, run files and sockets of daemons
reserve           blocks kept back, so that a full disk can still be freed
"""

from __future__ import annotations

import os
import threading
import uuid as uuids
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self, TypeVar

from artstore import beneath, locate
from artstore.errors import DamageError
from artstore.records.identity import IDENTITY, WorkspaceIdentity
from artstore.rows.directories import DirectoryCache
from artstore.rows.lazy_source import LazySource, open_lazy
from artstore.rows.settings import read_settings
from artstore.rows.snapshot import Snapshot
from artstore.storage import manifest
from artstore.storage.chunkcaches import CACHE_BYTES, ChunkCache, ChunkSource
from artstore.storage.environment import Environment, on_close
from artstore.storage.manifest_folders import read_current
from artstore.storage.packs import PackReader, PackWriter
from artstore.storage.reserve import RESERVE

if TYPE_CHECKING:
    from artstore.references.reading import Outside
    from artstore.references.recent import RecentSpans

__all__ = ["Handles", "Store", "read_identity"]

T = TypeVar("T")


class Store:
    """One workspace as seen by one process: cheap to make, safe to pickle, to fork with and to share among threads."""

    def __init__(self, path: Path) -> None:
        self.path = path = _paths.setdefault(path, path)  # a look-up by the same object compares no texts
        self.folder_identity = _identity_of(path)
        """(st_dev, st_ino) of the workspace's folder; unlike the uuid, which a copy has too, it cannot be forged."""
        identity = read_identity(path)
        if os.geteuid() == 0 and os.stat(path).st_uid != 0:
            from artstore.privileges import refuse_root  # rarely needed, and each command would load it

            refuse_root(path)
        self.uuid = identity.uuid
        self.created_ns = identity.created_ns
        self._key: _Key = (path, self.uuid, *self.folder_identity)
        self._handles = _handles_of(self._key)
        self._generation = _generation
        self.chunks: ChunkSource = process_chunks.of(repr(self._key[1:]).encode())
        """The cache of decompressed chunks."""
        self.recent: RecentSpans | None = None
        """The spans last fetched from outside, if processes share them; set before the first outside read."""
        self.has_threads = True
        """Whether this process may fetch outside content in threads; set before the first outside read."""
        self.waits = True
        """Whether a read of what is in a remote may wait for it, or raises `AbsentError`; set before the first one."""
        Environment.of(path)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the workspace at ``path``.

        Raises `WorkspaceNotFoundError`, `UnsupportedError` (a newer format, a network file system), `DamageError`, or
        `RefusedError` if this process is root's and the workspace is not.
        """
        path = Path(os.path.realpath(path))
        read_current(path)
        locate.refuse_unencodable(path)
        locate.refuse_unsafe_filesystem(path)
        return cls(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.path,))

    @property
    def reader(self) -> PackReader:
        """The reader of this process's packs."""
        return self.handles.reader

    @property
    def handles(self) -> Handles:
        """What this process shares among all objects of the workspace."""
        if self._generation != _generation:
            self._handles, self._generation = _handles_of(self._key), _generation
        return self._handles

    @property
    def outside(self) -> Outside:
        """The outside content that references of this workspace lead to; do not access it inside a snapshot."""
        mode = self.file_mode
        with _readers_lock:
            outside = _outside.get((self._key, mode))
        if outside is None:
            from artstore.references.reading import Outside

            with self.snapshot() as snapshot:
                limit = read_settings(snapshot.transaction).reference_cache_bytes
            outside = Outside(*self._outside_folders, limit, mode, self.recent, threads=self.has_threads)
            with _readers_lock:
                outside = _outside.setdefault((self._key, mode), outside)
        return outside

    def lazy(self) -> LazySource:
        """Return the source of nodes that are in remotes only."""
        with _readers_lock:
            lazy = _lazy.get((self._key, self.waits))
        if lazy is None:
            lazy = open_lazy(self)
            with _readers_lock:
                lazy = _lazy.setdefault((self._key, self.waits), lazy)
        return lazy

    @property
    def _outside_folders(self) -> tuple[Path, Path]:
        return self.path / "cache" / "references", self.path / "cache" / "changed"

    @property
    def has_been_outside(self) -> bool:
        """Whether any content was ever fetched from outside, or found to be missing or changed there."""
        return any(beneath.exists(self.path, folder) for folder in self._outside_folders)

    def settle(self) -> None:
        """Wait until the content that this process has fetched from outside is in the cache."""
        with _readers_lock:
            all_outside = [outside for (key, _), outside in _outside.items() if key == self._key]
        for outside in all_outside:
            outside.blocks.settle()

    def close(self) -> None:
        """Close the files that this process holds open for the workspace; the next use opens them again.

        What runs in other threads at this moment ends first.
        """
        self.settle()
        Environment.close_of(self.path)

    @property
    def group(self) -> str | None:
        """The name of the group that the workspace is shared with, or None."""
        return read_identity(self.path).group

    @property
    def run_dir(self) -> Path:
        """The folder of locks and run files."""
        return self.path / "run"

    @property
    def is_read_only(self) -> bool:
        """Whether the workspace's file system is read-only as a whole, now."""
        return locate.is_on_read_only_disk(self.path)

    @property
    def file_mode(self) -> int:
        """The mode of files that this store makes: for the owner, and for the group if the workspace is shared.

        It is that of this moment, because ``artfs config shared`` changes it while processes run.
        """
        return 0o600 if beneath.shared_group(self.path) is None else 0o660

    def snapshot(self) -> SnapshotContext:
        """Return a context that runs its block on a consistent view of everything; keep it to one call or request."""
        return SnapshotContext(self)

    @contextmanager
    def write(self) -> Iterator[manifest.WriteTransaction]:
        """Run the block as the one writer of the manifest."""
        with manifest.write(self.path) as transaction:
            yield transaction

    def confirmed(self, operation: Callable[[Store], T]) -> T:
        """Run an operation that only reads; raise `DamageError` only if one snapshot of the present shows the damage.

        An operation that looks in a later snapshot for what an earlier one led it to finds that reaped if it was
        deleted meanwhile.  So if it meets damage, it is run again, from its beginning, on a single snapshot.

        It gets the store to use, and must not return an object that keeps this store.
        """
        try:
            return operation(self)
        except DamageError:
            with self.snapshot() as snapshot:
                return operation(_StoreAt(self, snapshot))

    def pack_writer(self, avoid: Collection[int] = (), *, keep_free: int = RESERVE) -> PackWriter:
        """Return a writer of new segments, for one put; it does not append to the packs in ``avoid``.

        It refuses a segment that would leave less than ``keep_free`` bytes free on the disk.
        """
        return PackWriter(self.path, uuids.UUID(self.uuid).bytes, self.file_mode, keep_free, avoid)


class Handles(NamedTuple):
    """What a process has of a workspace: the reader of its packs, and the directories that it knows."""

    reader: PackReader
    directories: DirectoryCache


class SnapshotContext:
    """Hold a snapshot of a store for a block."""

    __slots__ = ("_reading", "_store")

    def __init__(self, store: Store) -> None:
        self._store = store
        self._reading = manifest.read(store.path)

    def __enter__(self) -> Snapshot:
        store = self._store
        reader, directories = store.handles
        return Snapshot(self._reading.__enter__(), reader, store.chunks, directories, store.lazy)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reading.__exit__(kind, error, trace)


class _StoreAt(Store):
    """A store whose snapshots are all the same one, which its maker ends."""

    def __init__(self, store: Store, snapshot: Snapshot) -> None:
        vars(self).update(vars(store))
        self._snapshot = snapshot

    def snapshot(self) -> SnapshotContext:
        """Return a context that runs its block on the one snapshot."""
        return _OpenSnapshot(self, self._snapshot)


class _OpenSnapshot(SnapshotContext):
    """Give a snapshot to a block and leave it open."""

    __slots__ = ("_snapshot",)

    def __init__(self, store: Store, snapshot: Snapshot) -> None:
        super().__init__(store)
        self._snapshot = snapshot

    def __enter__(self) -> Snapshot:
        return self._snapshot

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


process_chunks: Final = ChunkCache(CACHE_BYTES)
"""The decompressed chunks of this process."""
_generation = 0
_Key = tuple[Path, str, int, int]
"""A workspace's path, uuid, and folder: another workspace at the same path, or a copy, never has the same."""
_paths: dict[Path, Path] = {}
_readers: dict[_Key, PackReader] = {}
_directories: dict[_Key, DirectoryCache] = {}
_outside: dict[tuple[_Key, int], Outside] = {}
_lazy: dict[tuple[_Key, bool], LazySource] = {}
_readers_lock = threading.Lock()


def _identity_of(path: Path) -> tuple[int, int]:
    with beneath.closing(beneath.open_folder(path)) as fd:
        status = os.fstat(fd)
    return status.st_dev, status.st_ino


def _handles_of(key: _Key) -> Handles:
    with _readers_lock:
        reader = _readers.get(key) or _readers.setdefault(key, PackReader(key[0]))
        return Handles(reader, _directories.setdefault(key, DirectoryCache()))


def _close_packs(path: Path) -> None:
    """Close the packs of a workspace whose environment was given up; the next read opens them again."""
    with _readers_lock:
        readers = [reader for key, reader in _readers.items() if key[0] == path]
        known = [directories for key, directories in _directories.items() if key[0] == path]
    for reader in readers:
        reader.close()
    for directories in known:
        directories.clear()


on_close.append(_close_packs)


def _forget_after_fork() -> None:
    global _generation, _readers_lock
    _readers_lock = threading.Lock()
    _generation += 1
    _readers.clear()
    _directories.clear()
    _outside.clear()
    _lazy.clear()
    process_chunks.after_fork()


os.register_at_fork(after_in_child=_forget_after_fork)


def read_identity(path: Path) -> WorkspaceIdentity:
    """Return the content of a workspace's `IDENTITY` file; raise `DamageError` if it is unreadable."""
    try:
        return WorkspaceIdentity.decode(beneath.read_bytes(path, IDENTITY))
    except FileNotFoundError as error:
        raise DamageError(f"the workspace {path} has lost its {IDENTITY}") from error
    except DamageError as error:
        raise DamageError(f"the {IDENTITY} of the workspace {path} is damaged") from error
