"""Copying the LMDB environment without what its file keeps of the past, and switching to the copy.

The rows are copied in the order of their keys, so that pages are full: LMDB's own compacting copy takes over pages as
they are, and after 29,600 of 30,000 versions had been deleted these were a quarter full (2.9 MB where the rows need
0.8; measured).  Transaction numbers go on where the old environment's end: what was condemned compares itself with
them, and equal numbers say equal content.

**Switching.**  The copy is made while nobody can write, in a folder of its own with the next number, synced, and put in
place by replacing the file ``current``.  Every process looks at that file after each begin and leaves what is not in
use any more.  So, from then on, no transaction in the old environment writes, and those that read began before.

**Who reads on in the old one** may read there, in packs, what is freed in the new one.  As long as the old folder is
there, nothing that was condemned counts as unread (`artstore.storage.manifest.oldest_reader`).  It is removed when its
reader table shows that nobody reads there; that is what `retire_replaced` looks at, and every step of the reaper calls
it, so that one who is killed leaves no more than a moment's work.  A process that is idle does not count: it has the
old file mapped and open, which its next begin ends, and holds the blocks of the old file until then, but nothing else.

**Refused** is only what would take long: where somebody has been reading since before, for ten seconds, nothing is
copied, and the sentence names who it is.
"""

from __future__ import annotations

import os
import stat
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import lmdb

from artstore.errors import BusyError, DamageError, OutOfSpaceError
from artstore.records.tables import Table
from artstore.storage import disk, manifest
from artstore.storage.environment import Environment, map_size
from artstore.storage.manifest import ReadTransaction
from artstore.storage.manifest_folders import (
    CURRENT,
    FORMAT,
    folder_number,
    numbered_folders,
    read_current,
    readers_of,
    replaced,
)
from artstore.storage.reserve import RESERVE
from artstore.store import Store

__all__ = ["compact_environment", "retire_replaced"]

READER_SECONDS: Final = 10.0
"""How long to wait for readers: before the copy is made, and again before what it replaces is removed."""
_LEAST_BYTES: Final = 64 * 1024
"""Less than this is not worth it: a small commit takes 3 to 25 pages (measured), and leaves as many to the next."""
_PIECE_BYTES: Final = 4 * 1024 * 1024
_META_MAGIC: Final = 0xBEEFC0DE
_META_HEAD: Final = struct.Struct("<II")
_META_AT: Final = 16
_TRANSACTION: Final = struct.Struct("<Q")
_TRANSACTION_AT: Final = 144
"""Where a meta page of LMDB's data version 1 has the number of its transaction: the last field of ``MDB_meta``."""


def compact_environment(store: Store) -> tuple[int, int]:
    """Copy the environment without its free pages and switch to the copy; return what both take (before, after).

    A copy that would not save 3 %, and 64 KiB, is dropped.  Nothing that was acknowledged is lost, whoever reads and
    writes meanwhile: writers wait for the copy, readers do not.  Raises `BusyError` where somebody has been reading for
    ten seconds, naming the process, and `OutOfSpaceError` where there is no room for a copy; nothing is changed then.
    """
    _wait_for_readers(store)
    before = _taken(store)
    with manifest.frozen(store.path) as (old, transaction):
        _remove_unfinished(store, old)
        new = store.path / f"manifest.{folder_number(old.folder.name) + 1}"
        try:
            _build(store, old, transaction, new)
            size, was = ((folder / "data.mdb").stat().st_size for folder in (new, old.folder))
            is_smaller = was - size >= max(_LEAST_BYTES, was * 3 // 100)
            if is_smaller:
                _switch(store, new)
        except lmdb.Error as error:
            _discard(store, new)
            raise old.failed(error) from error
        except BaseException:
            _discard(store, new)
            raise
        if not is_smaller:
            _discard(store, new)
    until = time.monotonic() + READER_SECONDS
    while retire_replaced(store) and time.monotonic() < until:
        time.sleep(0.01)
    return before, _taken(store)


def _taken(store: Store) -> int:
    """Return the bytes that all environments of a workspace take on the disk."""
    total = 0
    for folder in numbered_folders(store.path).values():
        with suppress(FileNotFoundError):
            total += (folder / "data.mdb").stat().st_blocks * 512
    return total


def _wait_for_readers(store: Store) -> None:
    """Wait until nobody reads what was there before this call; raise `BusyError` after a while."""
    with store.write() as transaction:
        number = transaction.number  # a commit, so that who began before it can be told from who began after it
    until = time.monotonic() + READER_SECONDS
    while True:
        pids = retire_replaced(store)
        if manifest.oldest_reader(store.path) >= number:
            return
        if time.monotonic() >= until:
            break
        time.sleep(0.01)
    with manifest.frozen(store.path) as (current, _):
        pids += [reader.pid for reader in readers_of(current.env) if reader.transaction < number]
    named = ", ".join(str(pid) for pid in sorted(set(pids)))
    raise BusyError(
        f"the manifest of {store.path} is not compacted: processes ({named}) have been reading it for "
        f"{READER_SECONDS:.0f} seconds",
        hint="run the command again when they have ended",
    )


# -- the copy ----------------------------------------------------------------------------------------------------------


def _build(store: Store, old: Environment, transaction: ReadTransaction, new: Path) -> None:
    """Make a durable copy of an environment, which nobody can write to meanwhile, in a folder of its own."""
    pages = int(old.env.info()["last_pgno"]) + 1
    needed = pages * int(old.env.stat()["psize"])
    free = disk.free_bytes(store.path)
    if free < needed + RESERVE:
        raise OutOfSpaceError(
            f"only {free} bytes are left on the disk of {store.path}: its manifest needs {needed} to be compacted",
            hint="free some space and run the command again",
        )
    mode = stat.S_IMODE((old.folder / "lease").stat().st_mode)
    with disk.out_of_space(store.path, "the compacted manifest"):
        new.mkdir()
        _own(new, old.folder)
        for name in ("lease", "lock.mdb"):  # LMDB would make its file under the umask, which may keep a group out
            disk.write_file(new / name, b"", mode)
            _own(new / name, old.folder / name)
        last = _load(old, transaction, new)
        _check(old, transaction, new, last)
        _own(new / "data.mdb", old.folder / "data.mdb")
        disk.sync_folder(new)
        disk.sync_folder(store.path)


def _own(path: Path, like: Path) -> None:
    """Give a file the mode, owner and group of another."""
    _give(path, like)
    path.chmod(stat.S_IMODE(like.stat().st_mode))


def _give(path: Path, like: Path) -> None:
    status, present = like.stat(), path.stat()
    if (status.st_uid, status.st_gid) != (present.st_uid, present.st_gid):
        with suppress(PermissionError):  # a member of the group makes files of their own, which the group may write
            os.chown(path, status.st_uid, status.st_gid)


def _load(old: Environment, transaction: ReadTransaction, new: Path) -> int:
    """Copy all rows, in the order of their keys; return the number of the last transaction that the copy shows."""
    if int(old.env.stat()["entries"]) != len(Table):
        raise DamageError(f"the manifest of {old.workspace} has tables that this artfs does not know")
    size = int(old.env.info()["map_size"])
    env = lmdb.open(os.fspath(new), map_size=size, max_dbs=64, lock=False, sync=False, mode=0o600)
    try:
        for table in Table:
            handle = env.open_db(table.name.lower().encode())
            for rows in _pieces(transaction, table):
                with env.begin(write=True) as raw, raw.cursor(handle) as cursor:
                    cursor.putmulti(rows, append=True)
        page = int(env.stat()["psize"])
    finally:
        env.close()
    _continue_numbers(new / "data.mdb", page, int(old.env.info()["last_txnid"]))
    return _commit_twice(new, size)


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


def _continue_numbers(path: Path, page: int, last: int) -> None:
    """Let an environment's transactions go on from ``last``, durably.

    LMDB writes transaction N to meta page N mod 2, and takes the page with the higher number for the newest.
    """
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        numbers = []
        for index in (0, 1):
            magic, version = _META_HEAD.unpack(disk.read_exactly(fd, _META_HEAD.size, index * page + _META_AT))
            if magic != _META_MAGIC or version != 1:
                raise DamageError(f"{path} has another form than LMDB gives it")
            data = disk.read_exactly(fd, _TRANSACTION.size, index * page + _TRANSACTION_AT)
            numbers.append(int(_TRANSACTION.unpack(data)[0]))
        newest = numbers.index(max(numbers))
        last = max(last, numbers[newest])  # making the copy may have taken more transactions than there ever were
        number = last + (last + newest) % 2
        disk.append(fd, [_TRANSACTION.pack(number)], newest * page + _TRANSACTION_AT)
        disk.sync_data(fd)
    finally:
        os.close(fd)


def _commit_twice(new: Path, size: int) -> int:
    """Commit twice, changing nothing; return the number of the second transaction.

    So both meta pages are of LMDB's own transactions, one after the other, as in any environment: fsck asks for that.
    """
    env = lmdb.open(os.fspath(new), map_size=size, max_dbs=64, lock=False, mode=0o600)
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
    """Raise `DamageError` unless a copy opens, with the rows and the transaction number that it must have."""
    size = int(old.env.info()["map_size"])
    env = lmdb.open(os.fspath(new), map_size=size, max_dbs=64, readonly=True, create=False)
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
            f"the copy of the manifest of {old.workspace} has {sum(counts)} rows where it should have {sum(wanted)}",
            hint="artfs fsck shows what is wrong with it",
        )


# -- switching and cleaning up -----------------------------------------------------------------------------------------


def _switch(store: Store, new: Path) -> None:
    current = store.path / CURRENT
    with disk.out_of_space(store.path, "the name of the compacted manifest"):
        disk.write_file(current, f"{FORMAT} {new.name}\n".encode(), stat.S_IMODE(current.stat().st_mode))
        _give(current, new)


def _discard(store: Store, new: Path) -> None:
    """Remove a copy, unless it is in use: a switch that failed in its last step may have happened."""
    if read_current(store.path)[1] != new.name:
        import shutil

        shutil.rmtree(new, ignore_errors=True)


def _remove_unfinished(store: Store, current: Environment) -> None:
    """Remove copies that killed processes have begun; inside `manifest.frozen`, so that none is being made."""
    import shutil

    for number, folder in numbered_folders(store.path).items():
        if number > folder_number(current.folder.name):
            shutil.rmtree(folder, ignore_errors=True)


def retire_replaced(store: Store) -> list[int]:
    """Remove the environments that were replaced and that nobody reads any more; return who still reads the others.

    Copies that were never finished go as well.  Cheap where there is neither.
    """
    folders = numbered_folders(store.path)
    if len(folders) == 1:
        return []
    with manifest.frozen(store.path) as (current, _):
        _remove_unfinished(store, current)
        old = replaced(store.path, current.folder.name)
    pids: list[int] = []
    for folder in old:
        reading = _readers(folder)
        pids += reading
        if not reading:
            _remove_folder(folder)
    return pids


def _readers(folder: Path) -> list[int]:
    """Return the processes with a transaction in an environment that has been replaced."""
    data = folder / "data.mdb"
    if not data.exists():
        return []
    try:
        env = lmdb.open(os.fspath(folder), map_size=map_size(), readonly=True, create=False)
    except lmdb.Error as error:
        if "already open in this process" in str(error):
            return [os.getpid()]
        if not data.exists() or not _is_leased(folder):
            return []  # another has removed it at this moment; or it is damaged, and nobody has it open
        raise DamageError(f"the replaced manifest {folder} does not open: {error}") from error
    try:
        return [reader.pid for reader in readers_of(env)]
    finally:
        env.close()


def _is_leased(folder: Path) -> bool:
    """Return whether any process has an environment open."""
    try:
        lease = os.open(folder / "lease", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not disk.try_lock(lease)
    finally:
        os.close(lease)


def _remove_folder(folder: Path) -> None:
    """Remove an environment that nobody reads; its data first, without which nobody takes it for one.

    The data is not truncated: an idle process has it mapped, and looks at its first pages once more.
    """
    disk.sync_folder(folder.parent)  # the switch is durable before what it replaced goes
    for name in ("data.mdb", "lock.mdb", "lease"):
        (folder / name).unlink(missing_ok=True)
    with suppress(OSError):  # somebody who is just opening it makes files there once more: another time
        folder.rmdir()
    disk.sync_folder(folder.parent)
