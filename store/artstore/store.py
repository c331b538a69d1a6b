"""A workspace's files on disk, and the handles through which one process reaches them.

    artfs.json        format, uuid, when it was made, and the group it is shared with; never changes
    current           format and folder of the LMDB environment in use
    manifest.1/       the environment, and the file `lease` that every process using it holds a shared flock on
    packs/            the stored chunks
    journal/          the catalogue's changes, for a rebuild
    cache/            what may be deleted at any time: stat caches
    run/              locks of drafts, run files and sockets of daemons
    reserve           blocks kept back, so that a full disk can still be freed
"""

from __future__ import annotations

import grp
import json
import os
import shutil
import tempfile
import threading
import time
import uuid as uuids
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

from artstore import disk, locate, manifest
from artstore.errors import DamageError, ExistsError, InvalidInputError, NotFoundError, UnsupportedError
from artstore.manifest import CURRENT, FORMAT, Manifest
from artstore.packs import PackReader, PackWriter
from artstore.snapshot import Snapshot

__all__ = ["RESERVE", "Store", "create_workspace"]

RESERVE: Final = 32 * 1024 * 1024
"""Bytes kept back on the workspace's disk; `put` stops while less than this is free."""
_IDENTITY: Final = "artfs.json"
_MANIFEST: Final = "manifest.1"
_FOLDERS: Final = ("packs", "journal", "cache", "run", "run/drafts", "run/daemons", _MANIFEST)


class Store:
    """One workspace as seen by one process: cheap to make, safe to pickle, to fork with and to share among threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        identity = _read_identity(path)
        self.uuid: str = identity["uuid"]
        self.group: str | None = identity.get("group")
        self._reader = _reader_of(path)
        self._generation = _generation
        Manifest.of(path)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the workspace at ``path``.

        Raises `WorkspaceNotFoundError`, `UnsupportedError` (a newer format, a network file system) or `DamageError`.
        """
        path = Path(os.path.realpath(path))
        manifest.read_current(path)
        locate.refuse_unsafe_filesystem(path)
        return cls(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.path,))

    @property
    def reader(self) -> PackReader:
        """The reader of this process's packs."""
        if self._generation != _generation:
            self._reader, self._generation = _reader_of(self.path), _generation
        return self._reader

    @property
    def run_dir(self) -> Path:
        """The folder of locks and run files."""
        return self.path / "run"

    @property
    def file_mode(self) -> int:
        """The mode of files that this store makes: the owner's, and the group's where the workspace is shared."""
        return 0o660 if self.group else 0o600

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """Run the block on a consistent view of everything; keep it to one call or request."""
        with manifest.read(self.path) as transaction:
            yield Snapshot(transaction, self.reader)

    @contextmanager
    def write(self) -> Iterator[manifest.WriteTransaction]:
        """Run the block as the one writer of the manifest."""
        with manifest.write(self.path) as transaction:
            yield transaction

    def pack_writer(self) -> PackWriter:
        """Return a writer of new segments, for one put."""
        return PackWriter(self.path, uuids.UUID(self.uuid).bytes, self.file_mode, RESERVE)


_generation = 0
_readers: dict[Path, PackReader] = {}
_readers_lock = threading.Lock()


def _reader_of(path: Path) -> PackReader:
    with _readers_lock:
        return _readers.setdefault(path, PackReader(path))


def _forget_after_fork() -> None:
    global _generation, _readers_lock
    _readers_lock = threading.Lock()
    _generation += 1
    _readers.clear()


os.register_at_fork(after_in_child=_forget_after_fork)


def _read_identity(path: Path) -> dict[str, Any]:
    try:
        identity = json.loads((path / _IDENTITY).read_bytes())
        uuids.UUID(identity["uuid"])
    except FileNotFoundError as error:
        raise DamageError(f"the workspace {path} has lost its {_IDENTITY}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DamageError(f"the {_IDENTITY} of the workspace {path} is damaged") from error
    if not isinstance(identity, dict):
        raise DamageError(f"the {_IDENTITY} of the workspace {path} is damaged")
    return identity


def create_workspace(path: Path, *, group: str | None = None) -> Store:
    """Make a workspace at ``path`` and open it.

    It is built in a folder beside, synced, and renamed, so that it is there whole or not at all.  ``group`` shares it
    with a Unix group.  Raises `ExistsError` where something else is there, `UnsupportedError` on a file system where
    LMDB is unsafe, `OutOfSpaceError` where there is no room for the reserve.
    """
    path = Path(os.path.abspath(path))
    if (path / CURRENT).exists():
        raise ExistsError(f"{path} is a workspace already")
    if path.exists() and not path.is_dir():
        raise ExistsError(f"{path} is there and is not a folder")
    if path.is_dir() and any(path.iterdir()):
        raise ExistsError(f"{path} is not empty", hint="name a new or an empty folder")
    locate.refuse_unsafe_filesystem(path)
    gid = _group_id(group)
    path.parent.mkdir(parents=True, exist_ok=True)
    in_place = path.is_dir() and not _can_replace(path)
    temporary = Path(tempfile.mkdtemp(prefix=".artfs-init-", dir=path if in_place else path.parent))
    try:
        _build(temporary, group, gid)
        if in_place:
            _move_in(temporary, path)
        else:
            temporary.rename(path)
        disk.sync_folder(path.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return Store.open(path)


def _group_id(group: str | None) -> int | None:
    if group is None:
        return None
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError as error:
        raise NotFoundError(f"there is no group {group!r}") from error
    except ValueError as error:
        raise InvalidInputError(f"{group!r} is not the name of a group") from error


def _can_replace(path: Path) -> bool:
    """Return whether an empty folder can be renamed over: not a mount point, and its parent is ours to write."""
    return not path.is_mount() and not path.is_symlink() and os.access(path.parent, os.W_OK)


def _build(folder: Path, group: str | None, gid: int | None) -> None:
    folder_mode, file_mode = (0o2770, 0o660) if group else (0o700, 0o600)
    for name in _FOLDERS:
        (folder / name).mkdir(exist_ok=True)
    for directory in (folder, *(folder / name for name in _FOLDERS)):
        if gid is not None:
            os.chown(directory, -1, gid)
        directory.chmod(folder_mode)
    with disk.out_of_space(folder, "the new workspace"):
        disk.write_file(folder / _MANIFEST / "lease", b"", file_mode)
        disk.write_file(folder / "journal" / "catalogue.journal", b"", file_mode)
        disk.preallocate(folder / "reserve", RESERVE, file_mode)
        identity = {"format": FORMAT, "uuid": str(uuids.uuid4()), "created_ns": time.time_ns()}
        if group:
            identity["group"] = group
        disk.write_file(folder / _IDENTITY, (json.dumps(identity) + "\n").encode(), file_mode)
        disk.write_file(folder / CURRENT, f"{FORMAT} {_MANIFEST}\n".encode(), file_mode)
        with manifest.write(folder):
            pass  # the first commit: an environment without one may not open after a crash
    Manifest.of(folder).drop()
    if gid is not None:
        for name in ("data.mdb", "lock.mdb"):
            os.chown(folder / _MANIFEST / name, -1, gid)
    for directory in (*(folder / name for name in _FOLDERS), folder):
        disk.sync_folder(directory)


def _move_in(temporary: Path, path: Path) -> None:
    """Move a built workspace into a folder that cannot be replaced; what makes it a workspace comes last."""
    for entry in sorted(temporary.iterdir(), key=lambda entry: entry.name == CURRENT):
        entry.rename(path / entry.name)
    temporary.rmdir()
    mode = 0o2770 if _read_identity(path).get("group") else 0o700
    try:
        path.chmod(mode)
    except PermissionError as error:
        raise UnsupportedError(f"the mode of {path} cannot be set: {error}") from error
    disk.sync_folder(path)
