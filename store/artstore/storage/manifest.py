"""The LMDB environment: one per process and workspace, its tables, and its transactions.

Guarantees:

- A read transaction lasts as long as its ``with`` block, which callers keep to one request or call.
- A write transaction begins and ends inside one ``with`` block on one thread; an exception aborts it whole.
- After a fork the child opens an environment of its own: LMDB's reader slots belong to a process, and a child that
  went on with its parent's would read pages that the parent's writer may already reuse.

This code assumes that the workspace lies on a local file system: LMDB's locks do not cross machines.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import lmdb
import lmdb._envid

from artstore.errors import (
    BusyError,
    DamageError,
    OutOfSpaceError,
    RefusedError,
)
from artstore.records.counters import Counters
from artstore.records.seal import seal, seal_numbered, unseal, unseal_numbered
from artstore.records.tables import Table, key32, key64
from artstore.storage import disk
from artstore.storage.environments import (
    CURRENT,
    FORMAT,
    identity_of,
    read_current,
    readers_of,
    replaced,
    workspace_identity,
)

__all__ = [
    "CURRENT",
    "FORMAT",
    "Counters",
    "Manifest",
    "ReadTransaction",
    "Table",
    "WriteTransaction",
    "frozen",
    "key32",
    "key64",
    "map_size",
    "oldest_reader",
    "read",
    "read_current",
    "write",
]

MAP_SIZE: Final = 1 << 40
MAX_READERS: Final = 1024
_MIN_FREE: Final = 1 << 20


_COUNTERS_KEY: Final = b"counters"


class ReadTransaction:
    """A snapshot of all tables; values come back unsealed, `DamageError` where a seal is broken."""

    __slots__ = ("handles", "raw")

    def __init__(self, raw: Any, handles: list[Any]) -> None:
        self.raw = raw  # an lmdb.Transaction; its declared types allow memoryviews, which we never ask for
        self.handles = handles

    @property
    def number(self) -> int:
        """The transaction that this snapshot shows, or that this one will be."""
        return int(self.raw.id())

    def get(self, table: Table, key: bytes) -> bytes | None:
        """Return the payload of a row, or None."""
        value = self.raw.get(key, db=self.handles[table])
        return None if value is None else unseal(table, key, value)

    def get_numbered(self, table: Table, number: int) -> bytes | None:
        """Return the payload of a row whose key is a 64-bit number, or None."""
        value = self.raw.get(number.to_bytes(8, "big"), db=self.handles[table])
        return None if value is None else unseal_numbered(table, number, value)

    def find(self, klass: int, ident: bytes) -> int | None:
        """Return the node number that the index has for an id, or None; the caller checks the node's own id."""
        value = self.raw.get(klass.to_bytes(1, "big") + ident, db=self.handles[Table.INDEX])
        return None if value is None else int.from_bytes(value, "big")

    def rows(self, table: Table, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, payload) of the rows whose key starts with ``prefix``, in key order."""
        with self.raw.cursor(self.handles[table]) as cursor:
            if not (cursor.set_range(prefix) if prefix else cursor.first()):
                return
            for key, value in cursor:
                if not key.startswith(prefix):
                    return
                yield key, unseal(table, key, value)

    def numbered_rows(self, table: Table) -> Iterator[tuple[int, bytes]]:
        """Yield (number, payload) of all rows of a table whose keys are 64-bit numbers."""
        with self.raw.cursor(self.handles[table]) as cursor:
            for key, value in cursor:
                number = int.from_bytes(key, "big")
                yield number, unseal_numbered(table, number, value)

    def counters(self) -> Counters:
        """Return the counters as of this snapshot."""
        payload = self.get(Table.META, _COUNTERS_KEY)
        if payload is None:
            raise DamageError("the manifest has lost its counters")
        return Counters.decode(payload)


class WriteTransaction(ReadTransaction):
    """All tables, to be changed together; ``state`` holds the counters and is saved at the commit."""

    __slots__ = ("state",)

    def __init__(self, raw: Any, handles: list[Any], *, new: bool = False) -> None:
        super().__init__(raw, handles)
        self.state = Counters() if new else self.counters()

    def put(self, table: Table, key: bytes, payload: bytes) -> None:
        """Write a sealed row."""
        self.raw.put(key, seal(table, key, payload), db=self.handles[table])

    def put_numbered(self, table: Table, number: int, payload: bytes) -> None:
        """Write a sealed row whose key is a 64-bit number."""
        self.raw.put(number.to_bytes(8, "big"), seal_numbered(table, number, payload), db=self.handles[table])

    def append_numbered(self, table: Table, number: int, payload: bytes) -> None:
        """Write a sealed row behind all others of its table, whose pages are full then.

        Raises `DamageError` where that is not its place.
        """
        value = seal_numbered(table, number, payload)
        if not self.raw.put(number.to_bytes(8, "big"), value, append=True, db=self.handles[table]):
            raise DamageError(f"the manifest has records behind number {number} of table {table}")

    def put_index(self, klass: int, ident: bytes, node: int) -> None:
        """Let an id lead to a node."""
        self.raw.put(klass.to_bytes(1, "big") + ident, node.to_bytes(8, "big"), db=self.handles[Table.INDEX])

    def delete(self, table: Table, key: bytes) -> bool:
        """Remove a row; return whether it was there."""
        return bool(self.raw.delete(key, db=self.handles[table]))

    def save_state(self) -> None:
        """Write the counters; called once, before the commit."""
        self.put(Table.META, _COUNTERS_KEY, self.state.encode())


class Manifest:
    """The environment of one workspace in this process; get it through `Manifest.of`."""

    def __init__(self, workspace: Path, *, new: bool = False) -> None:
        self.workspace = workspace
        self.new = new
        """Whether this is the environment of a workspace that is being made, before its first commit."""
        self._current = os.fspath(workspace / CURRENT)
        self._users = 0
        self._dropped = False
        self._current_stamp, folder = read_current(workspace)
        self.folder = workspace / folder
        try:
            self._lease = os.open(self.folder / "lease", os.O_RDWR | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise DamageError(f"the manifest of {workspace} is missing: there is no {folder}/lease") from error
        except OSError as error:
            if error.errno != errno.EROFS:
                raise
            raise RefusedError(
                f"the workspace {workspace} is on a read-only file system, and even reading takes locks in it",
                hint="mount that file system writable, or copy the workspace elsewhere",
            ) from error
        self.identity = identity_of(self._lease)
        try:
            if not disk.try_lock(self._lease, shared=True):
                raise BusyError(f"the manifest of {workspace} is being replaced", hint="try again in a few seconds")
            if not new:
                self._refuse_empty()
            self.env = self._open()
            self.handles = self._open_tables()
        except BaseException:
            os.close(self._lease)
            raise
        self.env.reader_check()

    def _refuse_empty(self) -> None:
        """Raise `DamageError` where LMDB would make a lost file anew: the next put would write over pack 1."""
        data = self.folder / "data.mdb"
        if not data.exists() or not data.stat().st_size:
            raise DamageError(f"the manifest of {self.workspace} is gone: {data} is missing or empty")

    def _open_tables(self) -> list[Any]:
        """Return the tables' handles, from one write transaction: py-lmdb never commits those of a read transaction."""
        handles: list[Any] = [None] * (max(Table) + 1)
        writable = os.access(self.folder / "data.mdb", os.W_OK)
        try:
            with self.env.begin(write=True) as raw:
                for table in Table:
                    handles[table] = self.env.open_db(table.name.lower().encode(), txn=raw, create=writable)
        except lmdb.Error as error:
            self.env.close()
            raise _failure(self.workspace, error) from error
        return handles

    def _open(self) -> lmdb.Environment:
        try:
            return lmdb.open(
                os.fspath(self.folder),
                map_size=map_size(),
                max_dbs=64,
                max_readers=MAX_READERS,
                mode=(self.folder / "lease").stat().st_mode & 0o666,
                lib_version=0,
            )
        except lmdb.InvalidError as error:
            raise DamageError(f"the manifest of {self.workspace} is not an LMDB file: {error}") from error
        except lmdb.Error as error:
            if "Resource temporarily unavailable" in str(error):
                raise BusyError(
                    f"the manifest of {self.workspace} is in use from another pid namespace",
                    hint="run the containers that share a workspace with a shared pid namespace",
                ) from error
            if _is_full(error):
                raise OutOfSpaceError(
                    f"the disk of {self.workspace} is full: its manifest does not open", hint="free some space"
                ) from error
            raise DamageError(f"the manifest of {self.workspace} does not open: {error}") from error

    @classmethod
    def of(cls, workspace: Path) -> Manifest:
        """Return this process's environment for a workspace, opening it at the first call and after a fork."""
        manifest = _open_manifests.get(workspace)
        if manifest is not None:
            return manifest
        with _registry:
            manifest = _open_manifests.get(workspace)
            if manifest is None:
                status = workspace_identity(workspace)
                _wait_until_closed(workspace)
                for other in _open_manifests.values():
                    if workspace_identity(other.workspace) == status:
                        manifest = other
                        break
                else:
                    manifest = cls._opened(workspace)
                _open_manifests[workspace] = manifest
        return manifest

    @classmethod
    def _opened(cls, workspace: Path) -> Manifest:
        """Open the environment; one that a compacted copy replaces at this moment may go while it is opened."""
        while True:
            stamp = read_current(workspace)[0]
            try:
                return cls(workspace)
            except (BusyError, DamageError):
                if read_current(workspace)[0] == stamp:
                    raise

    @classmethod
    def create(cls, workspace: Path) -> None:
        """Make a new workspace's environment with a first commit: without one it may not open after a crash."""
        with _registry:
            _open_manifests[workspace] = cls(workspace, new=True)
        with write(workspace):
            pass
        cls.of(workspace).drop()

    def drop(self) -> None:
        """Give the environment up; the next call opens it anew.  Used after a failed sync, and by tests.

        It is closed when its last transaction in this process has ended: under one that runs it must not vanish.
        """
        with _registry:
            for path in [path for path, manifest in _open_manifests.items() if manifest is self]:
                del _open_manifests[path]
            if not self._dropped:
                self._dropped = True
                _closing.append(self)
            self._close_if_unused()

    def oldest_reader(self) -> int:
        """Return the oldest transaction that a reader of any process looks at, now or later."""
        last = int(self.env.info()["last_txnid"])  # first: whoever begins from now on looks at this one or a later
        return min([last, *(reader.transaction for reader in readers_of(self.env))])

    def enter(self) -> bool:
        """Count a transaction that is about to begin; return False where the environment has been given up."""
        with _lock:
            self._users += not self._dropped
            return not self._dropped

    def leave(self) -> None:
        """Count a transaction that has ended."""
        with _lock:
            self._users -= 1
            self._close_if_unused()

    def _close_if_unused(self) -> None:
        if self._dropped and not self._users and self in _closing:
            self.env.close()
            os.close(self._lease)
            _closing.remove(self)
            _registry.notify_all()

    def is_current(self) -> bool:
        """Return whether this environment is still the workspace's; to be asked after each begin."""
        try:
            status = os.stat(self._current)
        except FileNotFoundError:
            return False
        return (status.st_ino, status.st_mtime_ns) == self._current_stamp

    def begin(self, *, write: bool) -> lmdb.Transaction:
        """Begin a transaction; a failure to do so is one sentence."""
        try:
            return self.env.begin(write=write)
        except lmdb.ReadersFullError as error:
            raise BusyError(
                f"{MAX_READERS} processes and threads read {self.workspace} already", hint="end some of them"
            ) from error
        except lmdb.Error as error:
            raise self.failed(error) from error

    def failed(self, error: lmdb.Error) -> Exception:
        """Class a failed write by the disk, not by errno (LMDB says EIO on a full one), and end this environment."""
        self.drop()
        return _failure(self.workspace, error)


def _begin(workspace: Path, *, write: bool) -> tuple[Manifest, lmdb.Transaction]:
    """Begin on the environment that is in use now; one that was replaced by a compacted copy is left behind."""
    while True:
        manifest = Manifest.of(workspace)
        if not manifest.enter():
            continue
        try:
            raw = manifest.begin(write=write)
            if manifest.is_current():
                return manifest, raw
            raw.abort()
            manifest.drop()
        except BaseException:
            manifest.leave()
            raise
        manifest.leave()


def oldest_reader(workspace: Path) -> int:
    """Return the oldest transaction that anybody in any process looks at, now or later.

    What a transaction up to this one has condemned, nobody can read any more.  While there is an environment that a
    compacted copy has replaced, somebody may still read in it whatever was there: then it is 0.
    """
    while True:
        manifest = Manifest.of(workspace)
        if not manifest.enter():
            continue
        try:
            oldest = manifest.oldest_reader()
            if manifest.is_current():
                return 0 if replaced(workspace, manifest.folder.name) else oldest
            manifest.drop()
        finally:
            manifest.leave()


@contextmanager
def frozen(workspace: Path) -> Iterator[tuple[Manifest, ReadTransaction]]:
    """Run the block while nobody can write to the environment; at its end nothing is committed."""
    manifest, raw = _begin(workspace, write=True)
    try:
        yield manifest, ReadTransaction(raw, manifest.handles)
    finally:
        raw.abort()
        manifest.leave()


class Reading:
    """Hold a snapshot of the manifest for a block; raise `DamageError` where LMDB's own pages are damaged."""

    __slots__ = ("_manifest", "_raw", "_workspace")

    def __init__(self, workspace: Path) -> None:
        self._workspace = workspace

    def __enter__(self) -> ReadTransaction:
        self._manifest, self._raw = _begin(self._workspace, write=False)
        return ReadTransaction(self._raw, self._manifest.handles)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._raw.abort()
        finally:
            self._manifest.leave()
        if isinstance(error, lmdb.Error):
            raise DamageError(f"the manifest of {self._workspace} cannot be read: {error}") from error


def read(workspace: Path) -> Reading:
    """Return a context that runs its block on a snapshot of the manifest."""
    return Reading(workspace)


@contextmanager
def write(workspace: Path) -> Iterator[WriteTransaction]:
    """Run the block as the workspace's one writer: committed durably at its end, aborted on any exception.

    Raises `OutOfSpaceError` where the disk is full: nothing of the block is kept then.
    """
    manifest, raw = _begin(workspace, write=True)
    try:
        transaction = WriteTransaction(raw, manifest.handles, new=manifest.new)
        yield transaction
        transaction.save_state()
    except lmdb.Error as error:
        raw.abort()
        raise manifest.failed(error) from error
    except BaseException:
        raw.abort()
        raise
    else:
        _commit(manifest, raw)
    finally:
        manifest.leave()


def _commit(manifest: Manifest, raw: lmdb.Transaction) -> None:
    try:
        raw.commit()
    except lmdb.Error as error:
        raise manifest.failed(error) from error


def _failure(workspace: Path, error: lmdb.Error) -> Exception:
    """Return what a failed write means: a full disk says EIO at times."""
    free = disk.free_bytes(workspace)
    if free < _MIN_FREE or _is_full(error):
        return OutOfSpaceError(
            f"the disk of {workspace} is full ({free} bytes left): nothing was committed",
            hint="free some space and run the command again: what was stored is kept",
        )
    return DamageError(f"writing the manifest of {workspace} failed: {error}")


def _is_full(error: lmdb.Error) -> bool:
    """Return whether LMDB's error means that there is no room; it has no class for a quota."""
    return isinstance(error, lmdb.MapFullError | lmdb.DiskError) or os.strerror(errno.EDQUOT) in str(error)


def map_size() -> int:
    """Return the addresses that an environment may take in this process."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return MAP_SIZE if limit == resource.RLIM_INFINITY else min(MAP_SIZE, limit // 4 // 4096 * 4096)


_open_manifests: dict[Path, Manifest] = {}
_closing: list[Manifest] = []
"""Environments that were given up while transactions ran in them."""
_lock = threading.RLock()
_registry = threading.Condition(_lock)
_CLOSING_SECONDS: Final = 10.0


def _wait_until_closed(workspace: Path) -> None:
    """Wait for transactions in an environment that was given up: one process must not open it twice."""
    lease = identity_of(workspace / read_current(workspace)[1] / "lease")
    if not _registry.wait_for(lambda: all(manifest.identity != lease for manifest in _closing), _CLOSING_SECONDS):
        raise BusyError("a transaction of this process still runs in a manifest that was given up")


def _forget_after_fork() -> None:
    """Leave the parent's environments alone in a child: neither used nor closed.

    Closing one would give back reader slots that are the parent's, so each gets a reference that is never released.
    """
    global _lock, _registry
    _lock = threading.RLock()
    _registry = threading.Condition(_lock)
    for manifest in (*_open_manifests.values(), *_closing):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(manifest.env))
    _open_manifests.clear()
    _closing.clear()


def _identify_by_process() -> None:
    """Let a forked child open what its parent has open: py-lmdb's guard would take the inherited one for its own."""
    inherited: Callable[[Any, bool], tuple[Any, ...]] = lmdb._envid.env_keys

    def env_keys(path: Any, subdir: bool) -> tuple[Any, ...]:
        return tuple((os.getpid(), *key) for key in inherited(path, subdir))

    lmdb._envid.env_keys = env_keys


_identify_by_process()
os.register_at_fork(after_in_child=_forget_after_fork)
