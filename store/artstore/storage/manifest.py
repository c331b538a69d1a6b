"""The transactions of a workspace's manifest.

Guarantees:

- A read transaction lasts as long as its ``with`` block, which callers keep to one request or call.
- A write transaction begins and ends inside one ``with`` block on one thread; an exception aborts it whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import lmdb

from artstore.errors import DamageError
from artstore.interrupts import checkpoint
from artstore.limits import raise_machine_error
from artstore.records.counters import Counters
from artstore.records.seal import seal, seal_numbered, unseal, unseal_numbered
from artstore.records.tables import Table, number64
from artstore.storage.environment import Environment
from artstore.storage.manifest_folders import Reader, readers_of, replaced

__all__ = [
    "ReadTransaction",
    "WriteTransaction",
    "create",
    "frozen",
    "oldest_reader",
    "read",
    "readers_before",
    "write",
]

_COUNTERS_KEY: Final = b"counters"


class ReadTransaction:
    """A snapshot of all tables; values come back unsealed, `DamageError` if a seal is broken."""

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
        return None if value is None else number64(value)

    def rows(self, table: Table, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, payload) of the rows whose key starts with ``prefix``, in key order."""
        if self.handles[table] is None:
            return  # a table of a later format, in a workspace that is read-only
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
                number = number64(key)
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

    def append(self, table: Table, key: bytes, payload: bytes) -> None:
        """Append a sealed row to its table; LMDB then fills pages completely.

        Raises `DamageError` if the key is not greater than all others: LMDB refuses to append it.
        """
        if not self.raw.put(key, seal(table, key, payload), append=True, db=self.handles[table]):
            raise DamageError(f"the manifest has records after {key.hex()}, the last of table {table}")

    def put_many(self, table: Table, keys: Iterable[bytes]) -> None:
        """Write rows that have nothing but a seal, in the order given."""
        with self.raw.cursor(self.handles[table]) as cursor:
            cursor.putmulti([(key, seal(table, key, b"")) for key in keys])

    def append_numbered(self, table: Table, number: int, payload: bytes) -> None:
        """Append a sealed row to its table; LMDB then fills pages completely.

        Raises `DamageError` if the key is not greater than all others: LMDB refuses to append it.
        """
        value = seal_numbered(table, number, payload)
        if not self.raw.put(number.to_bytes(8, "big"), value, append=True, db=self.handles[table]):
            raise DamageError(f"the manifest has records after number {number}, the last of table {table}")

    def put_index(self, klass: int, ident: bytes, node: int) -> None:
        """Map an id to a node."""
        self.raw.put(klass.to_bytes(1, "big") + ident, node.to_bytes(8, "big"), db=self.handles[Table.INDEX])

    def delete(self, table: Table, key: bytes) -> bool:
        """Remove a row; return whether it was there."""
        return bool(self.raw.delete(key, db=self.handles[table]))

    def save_state(self) -> None:
        """Write the counters; called once, before the commit."""
        self.put(Table.META, _COUNTERS_KEY, self.state.encode())


def create(workspace: Path) -> None:
    """Make a new workspace's manifest with a first commit: without one it may not open after a crash."""
    environment = Environment.open_new(workspace)
    with write(workspace):
        pass
    environment.drop()


def _begin_to_write(workspace: Path) -> tuple[Environment, lmdb.Transaction]:
    """Begin on the environment that is in use now; one that was replaced by a compacted copy is left behind."""
    while True:
        environment = Environment.of(workspace)
        environment.require_writable()
        if not environment.enter():
            continue
        try:
            raw = environment.begin(write=True)
            if environment.is_current() and environment.is_unchanged(raw):
                return environment, raw
            raw.abort()
            environment.end_turn(raw)
            environment.drop()
        except BaseException:
            environment.leave()
            raise
        environment.leave()


def readers_before(workspace: Path, transaction: int) -> list[int]:
    """Return the pids of the processes that read an earlier transaction of the environment in use."""
    reading = Reading(workspace)
    with reading:
        readers = reading.readers()
    return sorted({reader.pid for reader in readers if reader.transaction < transaction})


def oldest_reader(workspace: Path) -> int:
    """Return the oldest transaction that any process reads now or may read later.

    Bytes condemned up to this transaction have no readers left.  While an environment exists that a compacted copy
    has replaced, processes may still read any of its old contents: the result is then 0.
    """
    while True:
        environment = Environment.of(workspace)
        environment.require_writable()  # without locks it knows no readers
        if not environment.enter():
            continue
        try:
            oldest = environment.oldest_reader()
            if environment.is_current():
                return 0 if replaced(workspace, environment.folder.name) else oldest
            environment.drop()
        finally:
            environment.leave()


@contextmanager
def frozen(workspace: Path) -> Iterator[tuple[Environment, ReadTransaction]]:
    """Run the block under LMDB's write lock, so that no process can write; commit nothing."""
    environment, raw = _begin_to_write(workspace)
    try:
        yield environment, ReadTransaction(raw, environment.handles)
    finally:
        raw.abort()
        environment.end_turn(raw)
        environment.leave()


class Reading:
    """Hold a snapshot of the manifest for a block; raise `DamageError` if LMDB's own pages are damaged."""

    __slots__ = ("_manifest", "_raw", "_workspace")

    def __init__(self, workspace: Path) -> None:
        self._workspace = workspace

    def __enter__(self) -> ReadTransaction:
        checkpoint()
        raw = None
        while raw is None:
            environment = Environment.of(self._workspace)
            raw = environment.begin_to_read()
        self._manifest, self._raw = environment, raw
        return ReadTransaction(raw, environment.handles)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._raw.abort()
        finally:
            self._manifest.leave()
        if isinstance(error, lmdb.Error):
            raise_machine_error(error, f"the manifest of {self._workspace} cannot be read")
            raise DamageError(f"the manifest of {self._workspace} cannot be read: {error}") from error

    def readers(self) -> list[Reader]:
        """Return the readers of all processes, this one included; called in the block."""
        return readers_of(self._manifest.env)


def read(workspace: Path) -> Reading:
    """Return a context that runs its block on a snapshot of the manifest."""
    return Reading(workspace)


@contextmanager
def write(workspace: Path) -> Iterator[WriteTransaction]:
    """Run the block as the workspace's one writer: committed durably at its end, aborted on any exception.

    Raises `OutOfSpaceError` if the disk is full; the block then has no effect.
    """
    checkpoint()
    environment, raw = _begin_to_write(workspace)
    try:
        transaction = WriteTransaction(raw, environment.handles, new=environment.new)
        yield transaction
        transaction.save_state()
    except lmdb.Error as error:
        raw.abort()
        raise environment.failed(error) from error
    except BaseException:
        raw.abort()
        raise
    else:
        _commit(environment, raw)
    finally:
        environment.end_turn(raw)
        environment.leave()


def _commit(environment: Environment, raw: lmdb.Transaction) -> None:
    try:
        raw.commit()
    except lmdb.Error as error:
        raise environment.failed(error) from error
