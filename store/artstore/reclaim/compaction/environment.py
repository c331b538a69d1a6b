"""Copy the LMDB environment without its free pages, and switch to the copy.

Rows are copied in key order, so that pages are full.  LMDB's own compacting copy keeps pages as they are: after 29,600
of 30,000 versions had been deleted, pages were a quarter full (2.9 MB for rows that need 0.8 MB; measured).
Transaction numbers continue from the last number of the old environment: condemned extents are compared with them, and
equal numbers mean equal content.

**Switching.**  The copy is made under the write lock, in a separate folder with the next number, and synced.  Replacing
the file ``current`` puts it in place.  Every process reads that file after each begin, and leaves an environment that
has been replaced.  From then on no transaction writes to the old environment, and all its readers began earlier.

**Readers of the old environment** may still read extents in packs that the new environment frees.  While the old folder
exists, no condemned extent counts as unread (`artstore.storage.manifest.oldest_reader`).  `retire_replaced` removes the
folder when its reader table is empty; each step of the reaper calls it, so that a killed compaction leaves little to
clean up.  An idle process does not count: it keeps the old file open and mapped until its next begin, and thus the
blocks of that file, but nothing else.

**Refusal.**  If a reader that began earlier is still active after ten seconds, nothing is copied, and the error names
its process.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import lmdb

from artstore import beneath
from artstore.errors import BusyError, DamageError, OutOfSpaceError
from artstore.interrupts import checkpoint
from artstore.records.tables import Table
from artstore.storage import disk, manifest
from artstore.storage.environment import Environment, map_size
from artstore.storage.lmdb_files import DATA, LOCK, open_environment
from artstore.storage.manifest import ReadTransaction
from artstore.storage.manifest_folders import (
    folder_number,
    numbered_folders,
    read_current,
    readers_of,
    replaced,
    write_current,
)
from artstore.storage.reserve import release_if_short
from artstore.store import Store

__all__ = ["compact_environment", "retire_replaced"]

READER_SECONDS: Final = 10.0
"""The time to wait for readers: before the copy is made, and again before the replaced environment is removed."""
_LEAST_BYTES: Final = 64 * 1024
"""A smaller saving is not worth a copy: a small commit uses 3 to 25 pages (measured), and leaves as many free."""
_PIECE_BYTES: Final = 4 * 1024 * 1024
_KEEP_FREE: Final = 1024 * 1024
"""Bytes that a copy leaves free on the disk, for what other processes write to the journal and to packs meanwhile."""
_OTHER_PAGES: Final = 64
"""The meta pages, the table of tables, and the free list of a new environment, at most."""
_META_MAGIC: Final = 0xBEEFC0DE
_META_HEAD: Final = struct.Struct("<II")
_META_AT: Final = 16
_TRANSACTION: Final = struct.Struct("<Q")
_TRANSACTION_AT: Final = 144
"""Offset of the transaction number in a meta page of LMDB's data version 1: the last field of ``MDB_meta``."""


def compact_environment(store: Store, *, always: bool = False) -> tuple[int, int]:
    """Copy the environment without its free pages and switch to the copy; return the sizes on disk (before, after).

    A copy that would not save at least 3 % and 64 KiB is discarded, unless ``always``: free pages still contain
    removed rows.  Concurrent reads and writes are safe, and no
    acknowledged change is lost: writers wait for the copy, readers do not.  Raises `BusyError`, naming the processes,
    if a read transaction lasts longer than ten seconds, and `OutOfSpaceError` if there is no room for a copy; nothing
    is changed then.
    """
    _wait_for_readers(store)
    before = _taken(store)
    with manifest.frozen(store.path) as (old, transaction):
        _remove_unfinished(store, old)
        new = store.path / f"manifest.{folder_number(old.folder.name) + 1}"
        try:
            _build(store, old, transaction, new)
            size, was = (beneath.status(store.path, folder / "data.mdb").st_size for folder in (new, old.folder))
            is_taken = always or was - size >= max(_LEAST_BYTES, was * 3 // 100)
            if is_taken:
                _switch(store, new)
        except lmdb.Error as error:
            _discard(store, new)
            raise old.failed(error) from error
        except BaseException:
            _discard(store, new)
            raise
        if not is_taken:
            _discard(store, new)
    until = time.monotonic() + READER_SECONDS
    while retire_replaced(store) and time.monotonic() < until:
        checkpoint()
        time.sleep(0.01)
    return before, _taken(store)


def _taken(store: Store) -> int:
    """Return the bytes on disk of all environments of a workspace."""
    total = 0
    for folder in numbered_folders(store.path).values():
        with suppress(FileNotFoundError):
            total += beneath.status(store.path, folder / "data.mdb").st_blocks * 512
    return total


def _wait_for_readers(store: Store) -> None:
    """Wait for the readers that began before this call; raise `BusyError` after `READER_SECONDS`."""
    with store.write() as transaction:
        number = transaction.number  # this commit separates readers that began before it from later ones
    until = time.monotonic() + READER_SECONDS
    while True:
        pids = retire_replaced(store)
        if manifest.oldest_reader(store.path) >= number:
            return
        if time.monotonic() >= until:
            break
        checkpoint()
        time.sleep(0.01)
    pids += manifest.readers_before(store.path, number)
    named = ", ".join(str(pid) for pid in sorted(set(pids)))
    raise BusyError(
        f"the manifest of {store.path} was not compacted: processes ({named}) have been reading it for "
        f"{READER_SECONDS:.0f} seconds",
        hint="run the command again when they have ended",
    )


# -- the copy ----------------------------------------------------------------------------------------------------------


def _build(store: Store, old: Environment, transaction: ReadTransaction, new: Path) -> None:
    """Make a durable copy of an environment in a new folder; the caller holds the write lock."""
    needed = _used_bytes(old, transaction)
    release_if_short(store.path, needed + _KEEP_FREE)
    free = disk.free_bytes(store.path)
    if free < needed + _KEEP_FREE:
        raise OutOfSpaceError(
            f"only {free} bytes are left on the disk of {store.path}: compacting its manifest needs {needed}",
            hint="free some space and run the command again",
        )
    with disk.out_of_space(store.path, "the compacted manifest"):
        beneath.make_folder(store.path, new, 0o700)
        for name in ("lease", LOCK, DATA):
            _make_file(store.path, new / name, old.folder / name)
        last = _load(old, transaction, new)
        _check(old, transaction, new, last)
        like = beneath.status(store.path, old.folder)
        with beneath.closing(beneath.open_folder(store.path, new)) as fd:  # last: until now others have no access to it
            disk.own(fd, like.st_mode & 0o2777, like)
            os.fsync(fd)
        disk.sync_folder(store.path)


def _used_bytes(old: Environment, transaction: ReadTransaction) -> int:
    """Return the bytes of all pages with rows: a copy, whose pages are fuller, takes no more."""
    tables = [transaction.raw.stat(transaction.handles[table]) for table in Table]
    pages = sum(int(table[kind]) for table in tables for kind in ("branch_pages", "leaf_pages", "overflow_pages"))
    return (pages + _OTHER_PAGES) * int(old.env.stat()["psize"])


def _make_file(workspace: Path, path: Path, old: Path) -> None:
    """Make an empty file with the owner and permissions of another, which must be the workspace's own."""
    with beneath.closing(beneath.open_path(workspace, old)) as fd:
        like = os.fstat(fd)
    mode = like.st_mode & 0o666
    with beneath.closing(beneath.open_file(workspace, path, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)) as fd:
        disk.own(fd, mode, like)


def _load(old: Environment, transaction: ReadTransaction, new: Path) -> int:
    """Copy all rows in key order; return the number of the last transaction of the copy."""
    if int(old.env.stat()["entries"]) != len(Table):
        raise DamageError(f"the manifest of {old.workspace} has tables that this artfs does not know")
    size = int(old.env.info()["map_size"])
    env = open_environment(old.workspace, new, 0o600, map_size=size, max_dbs=64, lock=False, sync=False)
    try:
        for table in Table:
            handle = env.open_db(table.name.lower().encode())
            for rows in _pieces(transaction, table):
                with env.begin(write=True) as raw, raw.cursor(handle) as cursor:
                    cursor.putmulti(rows, append=True)
        page = int(env.stat()["psize"])
    finally:
        env.close()
    _continue_numbers(old.workspace, new / DATA, page, int(old.env.info()["last_txnid"]))
    return _commit_twice(old.workspace, new, size)


def _pieces(transaction: ReadTransaction, table: Table) -> Iterator[list[tuple[bytes, bytes]]]:
    rows: list[tuple[bytes, bytes]] = []
    size = 0
    with transaction.raw.cursor(transaction.handles[table]) as cursor:
        for key, value in cursor:
            rows.append((key, value))
            size += len(key) + len(value)
            if size >= _PIECE_BYTES:
                yield rows
                rows, size = [], 0
    if rows:
        yield rows


def _continue_numbers(workspace: Path, path: Path, page: int, last: int) -> None:
    """Set the last transaction number of an environment to ``last`` or a little more, durably.

    LMDB writes transaction N to meta page N mod 2, and treats the page with the higher number as the newest.
    """
    fd = beneath.open_file(workspace, path, os.O_RDWR)
    try:
        numbers = []
        for index in (0, 1):
            magic, version = _META_HEAD.unpack(disk.read_exactly(fd, _META_HEAD.size, index * page + _META_AT))
            if magic != _META_MAGIC or version != 1:
                raise DamageError(f"{path} does not have the layout that LMDB writes")
            data = disk.read_exactly(fd, _TRANSACTION.size, index * page + _TRANSACTION_AT)
            numbers.append(int(_TRANSACTION.unpack(data)[0]))
        newest = numbers.index(max(numbers))
        last = max(last, numbers[newest])  # the copy may have used more transactions than the old environment
        number = last + (last + newest) % 2
        disk.append(fd, [_TRANSACTION.pack(number)], newest * page + _TRANSACTION_AT)
        disk.sync_data(fd)
    finally:
        os.close(fd)


def _commit_twice(workspace: Path, new: Path, size: int) -> int:
    """Commit twice without a change; return the number of the second transaction.

    LMDB then has written both meta pages in consecutive transactions, as in any environment; fsck checks this.
    """
    env = open_environment(workspace, new, 0o600, map_size=size, max_dbs=64, lock=False)
    try:
        handle = env.open_db(Table.META.name.lower().encode(), create=False)
        for _ in range(2):
            with env.begin(write=True) as raw, raw.cursor(handle) as cursor:
                cursor.first()
                raw.put(cursor.key(), cursor.value(), db=handle)
        return int(env.info()["last_txnid"])
    finally:
        env.close()


def _check(old: Environment, transaction: ReadTransaction, new: Path, last: int) -> None:
    """Raise `DamageError` unless a copy opens and has the expected row counts and transaction number."""
    size = int(old.env.info()["map_size"])
    env = open_environment(old.workspace, new, 0o600, map_size=size, max_dbs=64, readonly=True)
    try:
        shown = int(env.info()["last_txnid"])
        with env.begin() as raw:
            handles = {table: env.open_db(table.name.lower().encode(), txn=raw, create=False) for table in Table}
            counts = [int(raw.stat(handles[table])["entries"]) for table in Table]
    finally:
        env.close()
    wanted = [int(transaction.raw.stat(transaction.handles[table])["entries"]) for table in Table]
    if shown != last or counts != wanted:
        raise DamageError(
            f"the copy of the manifest of {old.workspace} has {sum(counts)} rows instead of {sum(wanted)}",
            hint="artfs fsck shows what is wrong with it",
        )


# -- switching and cleaning up -----------------------------------------------------------------------------------------


def _switch(store: Store, new: Path) -> None:
    write_current(store.path, new)


def _discard(store: Store, new: Path) -> None:
    """Remove a copy, unless it is in use: a switch that reported an error may have taken effect."""
    if read_current(store.path)[1] != new.name:
        beneath.remove_tree(store.path, new)


def _remove_unfinished(store: Store, current: Environment) -> None:
    """Remove unfinished copies of killed processes; called inside `manifest.frozen`, so that no copy is in progress."""
    for number, folder in numbered_folders(store.path).items():
        if number > folder_number(current.folder.name):
            beneath.remove_tree(store.path, folder)


def retire_replaced(store: Store) -> list[int]:
    """Remove replaced environments that have no readers, and unfinished copies; return the readers of the others.

    Readers are process ids.  The call is cheap if there is nothing to remove.
    """
    folders = numbered_folders(store.path)
    if len(folders) == 1:
        return []
    with manifest.frozen(store.path) as (current, _):
        _remove_unfinished(store, current)
        old = replaced(store.path, current.folder.name)
    pids: list[int] = []
    for folder in old:
        reading = _readers(store.path, folder)
        pids += reading
        if not reading:
            _remove_folder(store.path, folder)
    return pids


def _readers(workspace: Path, folder: Path) -> list[int]:
    """Return the processes with a transaction in an environment that has been replaced."""
    data = folder / DATA
    if not beneath.exists(workspace, data):
        return []
    try:
        env = open_environment(workspace, folder, 0o600, map_size=map_size(), readonly=True)
    except FileNotFoundError:
        return []  # another process has just removed it
    except lmdb.Error as error:
        if "already open in this process" in str(error):
            return [os.getpid()]
        if not beneath.exists(workspace, data) or not _is_leased(workspace, folder):
            return []  # another process has just removed it, or it is damaged and no process has it open
        raise DamageError(f"the replaced manifest {folder} cannot be opened: {error}") from error
    try:
        return [reader.pid for reader in readers_of(env)]
    finally:
        env.close()


def _is_leased(workspace: Path, folder: Path) -> bool:
    """Return whether any process has an environment open."""
    try:
        lease = beneath.open_file(workspace, folder / "lease", os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        return not disk.try_lock(lease)
    finally:
        os.close(lease)


def _remove_folder(workspace: Path, folder: Path) -> None:
    """Remove an environment without readers; its data first, so that a partly removed folder is not an environment.

    The data is not truncated: an idle process has it mapped, and reads its first pages at its next begin.
    """
    disk.sync_folder(workspace)  # the switch must be durable before the replaced environment is removed
    for name in (DATA, LOCK, "lease"):
        beneath.remove(workspace, folder / name, missing_ok=True)
    with suppress(OSError):  # a process that is opening it may create files again; a later call removes them
        beneath.remove_folder(workspace, folder)
    disk.sync_folder(workspace)
