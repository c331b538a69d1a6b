"""The LMDB environment of a workspace: one in each process, opened once and shared by its threads.

After a fork the child opens an environment of its own: LMDB's reader slots belong to a process, and a child that went
on with its parent's would read pages that the parent's writer may already reuse.

This code assumes that the workspace lies on a local file system: LMDB's locks do not cross machines.

On a file system that is read-only as a whole, LMDB is opened without locks: it cannot write its lock file, and there is
no writer whose pages a reader could see change.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import lmdb
import lmdb._envid

from artstore import beneath, locate
from artstore.errors import BusyError, DamageError, LimitError, OutOfSpaceError, RefusedError
from artstore.limits import machine_error, raise_machine_error
from artstore.records.tables import OLDEST_TABLES, Table
from artstore.storage import disk
from artstore.storage.lmdb_files import open_environment
from artstore.storage.manifest_folders import (
    CURRENT,
    FORMAT,
    identity_of,
    read_current,
    read_format,
    readers_of,
    workspace_identity,
    write_current,
)
from artstore.storage.write_turn import WriteTurn

__all__ = ["Environment", "map_size"]

MAP_SIZE: Final = 1 << 40
MAX_READERS: Final = 1024
_MIN_FREE: Final = 1 << 20


class _AddressError(LimitError):
    """Raised when a process cannot map another environment."""


class Environment:
    """The environment of one workspace in this process; get it through `Environment.of`."""

    def __init__(self, workspace: Path, *, new: bool = False) -> None:
        self.workspace = workspace
        self.new = new
        """Whether this is the environment of a workspace that is being made, before its first commit."""
        self._current = os.fspath(workspace / CURRENT)
        self._users: list[None] = []  # one for each transaction: appending and popping need no lock
        self._used_ns = time.monotonic_ns()
        self._dropped = False
        self._current_stamp, folder = read_current(workspace)
        self.folder = workspace / folder
        self.is_read_only = locate.is_on_read_only_disk(workspace)
        """Whether it was opened without locks, because the workspace's file system is read-only."""
        flags = os.O_RDONLY if self.is_read_only else os.O_RDWR
        try:
            self._lease = beneath.open_file(workspace, self.folder / "lease", flags)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise DamageError(f"the manifest of {workspace} is missing: there is no {folder}/lease") from error
        except OSError as error:
            if error.errno != errno.EROFS:
                raise
            raise _refusal(workspace) from error
        status = os.fstat(self._lease)
        self.identity = (status.st_dev, status.st_ino)
        try:
            if not disk.try_lock(self._lease, shared=True):
                raise BusyError(f"the manifest of {workspace} is being replaced", hint="try again in a few seconds")
            if not new:
                self._refuse_empty()
            self._turn = WriteTurn(workspace, self._lease)
            self._turns: dict[int, weakref.finalize[..., Any]] = {}
            self.env = self._open()
            self._opened_at = int(self.env.info()["last_txnid"])
            self.handles = self._open_tables_to_read() if self.is_read_only else self._open_tables()
        except BaseException:
            os.close(self._lease)
            raise
        self.env.reader_check()

    def _refuse_empty(self) -> None:
        """Raise `DamageError` if LMDB would recreate a lost file: the next put would overwrite pack 1."""
        data = self.folder / "data.mdb"
        if not beneath.exists(self.workspace, data) or not beneath.status(self.workspace, data).st_size:
            raise DamageError(f"the manifest of {self.workspace} is gone: {data} is missing or empty")

    def _open_tables(self) -> list[Any]:
        """Return the tables' handles, from one write transaction: py-lmdb never commits those of a read transaction."""
        handles: list[Any] = [None] * (max(Table) + 1)
        try:
            self._turn.take()
            try:
                with self.env.begin(write=True) as raw:
                    if not self.new:
                        self._raise_format()
                    for table in Table:
                        handles[table] = self.env.open_db(table.name.lower().encode(), txn=raw)
            finally:
                self._turn.end()
        except BusyError:
            self.env.close()
            raise
        except lmdb.Error as error:
            self.env.close()
            raise _failure(self.workspace, error) from error
        return handles

    def _raise_format(self) -> None:
        """Raise the number of an older format, whose new tables are made next; call in a write transaction.

        Processes that have the environment open open it again: the file that names it has changed.
        """
        _, folder, number = read_format(self.workspace)
        if folder == self.folder.name and number < FORMAT:
            write_current(self.workspace, self.folder)
            self._current_stamp = read_current(self.workspace)[0]

    def _open_tables_to_read(self) -> list[Any]:
        """Return the tables' handles; None for those that an older format lacks, which nothing can add here."""
        handles: list[Any] = [None] * (max(Table) + 1)
        names = Table if read_format(self.workspace)[2] == FORMAT else [each for each in Table if each <= OLDEST_TABLES]
        try:
            for table in names:
                handles[table] = self.env.open_db(table.name.lower().encode(), create=False)
        except lmdb.Error as error:
            self.env.close()
            raise_machine_error(error, f"the manifest of {self.workspace} cannot be read")
            raise DamageError(f"the manifest of {self.workspace} cannot be read: {error}") from error
        return handles

    def _open(self) -> lmdb.Environment:
        try:
            return open_environment(
                self.workspace,
                self.folder,
                os.fstat(self._lease).st_mode & 0o666,
                new=self.new,
                map_size=map_size(),
                max_dbs=64,
                max_readers=MAX_READERS,
                lib_version=0,
                readonly=self.is_read_only,
                lock=not self.is_read_only,
            )
        except FileNotFoundError as error:
            raise DamageError(f"the manifest of {self.workspace} is gone: {error.filename} is missing") from error
        except lmdb.InvalidError as error:
            raise DamageError(f"the manifest of {self.workspace} is not an LMDB file: {error}") from error
        except lmdb.Error as error:
            if "Resource temporarily unavailable" in str(error):
                raise BusyError(
                    f"the manifest of {self.workspace} is in use from another pid namespace",
                    hint="run the containers that share a workspace with a shared pid namespace",
                ) from error
            if _lacks_memory(error):
                raise _AddressError(
                    f"this process has no addresses left to open the workspace {self.workspace}",
                    hint="raise its limit (ulimit -v), or close workspaces that it no longer needs: Workspace.close()",
                ) from error
            if _is_full(error):
                raise OutOfSpaceError(
                    f"the disk of {self.workspace} is full: its manifest cannot be opened", hint="free some space"
                ) from error
            raise_machine_error(error, f"the manifest of {self.workspace} cannot be opened")
            raise DamageError(f"the manifest of {self.workspace} cannot be opened: {error}") from error

    @classmethod
    def of(cls, workspace: Path) -> Environment:
        """Return this process's environment for a workspace, opening it at the first call and after a fork.

        Of many workspaces, those least recently used are closed: each takes a tebibyte of addresses.
        """
        environment = _open_environments.get(workspace)
        if environment is not None:
            return environment
        with _registry:
            environment = _open_environments.get(workspace)
            if environment is None:
                status = workspace_identity(workspace)
                _wait_until_closed(workspace)
                for other in _open_environments.values():
                    if workspace_identity(other.workspace) == status:
                        environment = other
                        break
                else:
                    _close_unused(_MOST_OPEN - 1)
                    environment = cls._opened(workspace)
                _open_environments[workspace] = environment
        return environment

    @classmethod
    def _opened(cls, workspace: Path) -> Environment:
        """Open the environment; one that a compacted copy replaces at this moment may go while it is opened."""
        while True:
            stamp = read_current(workspace)[0]
            try:
                return cls(workspace)
            except _AddressError:
                if not _close_unused(0):
                    raise
            except (BusyError, DamageError):
                if read_current(workspace)[0] == stamp:
                    raise

    @classmethod
    def open_new(cls, workspace: Path) -> Environment:
        """Make and open the environment of a new workspace."""
        with _registry:
            _close_unused(_MOST_OPEN - 1)
            environment = _open_environments[workspace] = cls(workspace, new=True)
        return environment

    @classmethod
    def close_of(cls, workspace: Path) -> None:
        """Close this process's environment for a workspace, if it is open: at once, or when its transactions end."""
        with _registry:
            environment = _open_environments.get(workspace)
            if environment is not None:
                environment.drop()

    def drop(self) -> None:
        """Discard the environment; the next call opens it again.  Used after a failed sync, and by tests.

        It is closed when its last transaction in this process ends: closing it would unmap pages that are in use.
        """
        with _registry:
            for path in [path for path, environment in _open_environments.items() if environment is self]:
                del _open_environments[path]
            if not self._dropped:
                self._dropped = True
                _closing.append(self)
                for close in on_close:
                    close(self.workspace)
            self._close_if_unused()

    def oldest_reader(self) -> int:
        """Return the oldest transaction that a reader of any process looks at, now or later."""
        last = int(self.env.info()["last_txnid"])  # first: later readers see at least this transaction
        return min([last, *(reader.transaction for reader in readers_of(self.env))])

    def enter(self) -> bool:
        """Count a transaction that is about to begin; return False if the environment has been discarded."""
        self._users.append(None)
        if self._dropped:
            self.leave()
            return False
        self._used_ns = time.monotonic_ns()
        return True

    def leave(self) -> None:
        """Count a transaction that has ended."""
        self._users.pop()
        if self._dropped:
            with _lock:
                self._close_if_unused()

    def _close_if_unused(self) -> None:
        if self._dropped and not self._users and self in _closing:
            self.env.close()
            self._turn.close()
            os.close(self._lease)
            _closing.remove(self)
            _registry.notify_all()

    def is_current(self) -> bool:
        """Return whether this environment is still the workspace's; to be asked after each begin."""
        try:
            return beneath.stamp(self._current) == self._current_stamp
        except FileNotFoundError:
            return False

    def is_unchanged(self, transaction: lmdb.Transaction) -> bool:
        """Return whether a transaction is safe from writers; to be asked after each begin.

        Without locks it is safe while no process has written: the file system may be remounted writable.  Pages that
        it shows are reused after two more commits at the earliest.
        """
        return not self.is_read_only or int(transaction.id()) == self._opened_at

    def require_writable(self) -> None:
        """Raise `RefusedError` on a read-only file system; drop an environment without locks if it is writable now."""
        if self.is_read_only:
            disk.require_writable(self.workspace)
            self.drop()

    def begin_to_read(self) -> lmdb.Transaction | None:
        """Count and begin a transaction that reads; return None if this environment is discarded or replaced."""
        if not self.enter():
            return None
        try:
            raw = self.begin(write=False)
            if self.is_current() and self.is_unchanged(raw):
                return raw
            raw.abort()
            self.drop()
        except BaseException:
            self.leave()
            raise
        self.leave()
        return None

    def begin(self, *, write: bool) -> lmdb.Transaction:
        """Begin a transaction; a failure to do so is one sentence.  After one that writes, call `end_turn`."""
        try:
            return self._begin_to_write() if write else self.env.begin(write=False)
        except lmdb.ReadersFullError as error:
            raise BusyError(
                f"{self.workspace} already has the maximum of {MAX_READERS} readers",
                hint="end some of them",
            ) from error
        except lmdb.Error as error:
            raise self.failed(error) from error

    def _begin_to_write(self) -> lmdb.Transaction:
        self._turn.take()
        try:
            raw = self.env.begin(write=True)
        except BaseException:
            self._turn.end()
            raise
        # An interrupt may keep `end_turn` from being called: then the turn ends with the transaction itself.
        self._turns[id(raw)] = weakref.finalize(raw, self._turn.end)
        return raw

    def end_turn(self, raw: lmdb.Transaction) -> None:
        """Let other processes write, after the end of a transaction that this one began."""
        turn = self._turns.pop(id(raw), None)
        if turn is not None:
            turn()

    def failed(self, error: lmdb.Error) -> Exception:
        """Classify a failed write by the disk, not by errno (LMDB reports EIO on a full disk); drop the environment."""
        self.drop()
        return _failure(self.workspace, error)


def _refusal(workspace: Path) -> RefusedError:
    """Return the error for a workspace in which no lock can be taken, although its file system is not read-only."""
    if "emergency_ro" in locate.covering_mount(workspace).filesystem_options:
        return RefusedError(
            f"the disk of {workspace} has failed, and the kernel allows no more writes, which its readers' locks need",
            hint="unmount it, and mount it with 'ro' to read the workspace",
        )
    return RefusedError(
        f"the workspace {workspace} is on a read-only mount of a writable file system: "
        "others may write to it, and its readers need locks",
        hint="mount it writable, or make the whole file system read-only",
    )


def _failure(workspace: Path, error: lmdb.Error) -> Exception:
    """Return the error for a failed write: a full disk sometimes reports EIO."""
    disk.require_writable(workspace)  # the kernel makes it read-only after an error of the disk
    if _lacks_memory(error):
        return _AddressError(
            f"this process has no memory left to use the workspace {workspace}: nothing was committed",
            hint="raise its limit (ulimit -v), and run it again",
        )
    free = disk.free_bytes(workspace)
    if free < _MIN_FREE or _is_full(error):
        return OutOfSpaceError(
            f"the disk of {workspace} is full ({free} bytes left): nothing was committed",
            hint="free some space and run the command again: stored content is kept",
        )
    found = machine_error(error, f"writing the manifest of {workspace} failed, and nothing was committed")
    return found or DamageError(f"writing the manifest of {workspace} failed: {error}")


def _is_full(error: lmdb.Error) -> bool:
    """Return whether LMDB's error means that there is no room; it has no class for a quota."""
    return isinstance(error, lmdb.MapFullError | lmdb.DiskError) or os.strerror(errno.EDQUOT) in str(error)


def _lacks_memory(error: lmdb.Error) -> bool:
    return isinstance(error, lmdb.MemoryError) or os.strerror(errno.ENOMEM) in str(error)


def map_size() -> int:
    """Return the addresses that an environment may take in this process."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return MAP_SIZE if limit == resource.RLIM_INFINITY else min(MAP_SIZE, limit // 4 // 4096 * 4096)


_open_environments: dict[Path, Environment] = {}
_closing: list[Environment] = []
"""Environments that were given up while transactions ran in them."""
_lock = threading.RLock()
_registry = threading.Condition(_lock)
_CLOSING_SECONDS: Final = 10.0
_MOST_OPEN: Final = 32
"""Environments that a process has open at a time, if there are no transactions in more."""
on_close: Final[list[Callable[[Path], None]]] = []
"""What is called with a workspace when its environment is given up."""


def _close_unused(kept: int) -> bool:
    """Close environments without transactions, the least recently used first, until ``kept`` are open.

    Returns whether any was closed.
    """
    present = set(_open_environments.values())
    unused = [environment for environment in present if not environment._users and not environment.new]
    chosen = sorted(unused, key=lambda environment: environment._used_ns)[: max(0, len(present) - kept)]
    for environment in chosen:
        environment.drop()
    return bool(chosen)


def _wait_until_closed(workspace: Path) -> None:
    """Wait for transactions in an environment that was given up: one process must not open it twice."""
    lease = identity_of(workspace, f"{read_current(workspace)[1]}/lease")
    if not _registry.wait_for(lambda: all(environment.identity != lease for environment in _closing), _CLOSING_SECONDS):
        raise BusyError("a transaction of this process still uses a manifest that has been replaced")


def _forget_after_fork() -> None:
    """Leave the parent's environments alone in a child: neither used nor closed.

    Closing one would give back reader slots that are the parent's, so each gets a reference that is never released.
    """
    global _lock, _registry
    _lock = threading.RLock()
    _registry = threading.Condition(_lock)
    for environment in (*_open_environments.values(), *_closing):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(environment.env))
    _open_environments.clear()
    _closing.clear()


def _identify_by_process() -> None:
    """Let a forked child open its parent's environment: py-lmdb's guard takes the inherited one for its own."""
    inherited: Callable[[Any, bool], tuple[Any, ...]] = lmdb._envid.env_keys

    def env_keys(path: Any, subdir: bool) -> tuple[Any, ...]:
        return tuple((os.getpid(), *key) for key in inherited(path, subdir))

    lmdb._envid.env_keys = env_keys


_identify_by_process()
os.register_at_fork(after_in_child=_forget_after_fork)
