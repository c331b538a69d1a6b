"""A folder of a local disk as an object store (``file://``): each object is a file.

An object is written to a file without a name (O_TMPFILE), synced, and given its name by link(2), which fails if the
name is taken; then its folder is synced.  A reader sees all of it or nothing, also after a power failure, and a killed
writer leaves nothing.  File systems without such files (FAT, exFAT) get a file in ``.tmp``, which its writer holds
locked and renames with RENAME_NOREPLACE; the next writer removes what no process holds.

Network file systems and FUSE are refused for writing: what they promise of link and rename differs, and a retry below
them can turn a success into "exists".  Nothing is reached through links: see `artstore.beneath`.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from artstore import beneath
from artstore.beneath import closing
from artstore.errors import ArtfsError, InvalidInputError, OutsideError, RefusedError, UnsupportedError
from artstore.limits import raise_machine_error
from artstore.locate import shared_filesystem
from artstore.objects.failures import (
    NoBucketError,
    NoRightError,
    ObjectMissingError,
    StoreFullError,
    UnknownOutcomeError,
    WrongAnswerError,
)
from artstore.objects.locations import file_uri
from artstore.objects.protocol import LARGEST_OBJECT, PROBES, ObjectInfo, checked_name, checked_prefix, checked_range

__all__ = ["Folder"]

_TEMPORARY: Final = ".tmp"
_NOREPLACE: Final = 1
_LACKING: Final = (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL)
"""What is answered to O_TMPFILE where there are no such files, or to linking one where /proc is missing."""
_SKIPPED: Final = "lost+found"
_TURNS: Final = 10
_libc: Final = ctypes.CDLL(None, use_errno=True)


class Folder:
    """A folder as an object store; see `artstore.objects.protocol.ObjectStore`.

    The folder must exist: one that is missing may be a disk that is not mounted.
    """

    def __init__(self, path: Path) -> None:
        self.url = file_uri(os.fsencode(path))
        self._path = path
        self._mode = 0
        """The permissions of the folder, which objects and folders get too, whatever this process's umask is."""
        self._has_unnamed = True
        self._synced: set[str] = set()
        """Folders that this process has made or found, and whose names are on the disk."""

    # -- reading -------------------------------------------------------------------------------------------------------

    def read(self, name: str, start: int = 0, length: int | None = None, *, fresh: bool = False) -> bytes:
        """Return a range of an object."""
        checked_range(start, length)
        with self._failures("read", name), closing(beneath.open_file(self._path, checked_name(name))) as fd:
            size = os.fstat(fd).st_size
            wanted = size - start if length is None else length
            if not 0 <= wanted <= min(LARGEST_OBJECT, size - start):
                raise WrongAnswerError(f"{self._shown(name)} has {size:,} bytes and not those from {start:,} on")
            data = _read(fd, start, wanted)
            if len(data) != wanted:
                raise WrongAnswerError(f"{self._shown(name)} became shorter while it was read")
            return data

    def head(self, name: str) -> ObjectInfo:
        """Describe an object."""
        with self._failures("read", name), closing(beneath.open_path(self._path, checked_name(name))) as fd:
            return _described(name, os.fstat(fd))

    def list(self, prefix: str, *, after: str = "") -> Iterator[ObjectInfo]:
        """Yield the objects below a prefix."""
        yield from self._below(checked_prefix(prefix), after)

    def _below(self, prefix: str, after: str) -> Iterator[ObjectInfo]:
        """Yield the objects in a folder, whose name ends with a slash or is empty, and in those in it."""
        entries: dict[str, os.stat_result] = {}
        with (
            suppress(FileNotFoundError),
            self._failures("list", prefix),
            closing(beneath.open_folder(self._path, prefix.rstrip("/"))) as fd,
        ):
            for part in os.listdir(fd):
                if part.startswith(".") or (not prefix and part == _SKIPPED):
                    continue
                with suppress(FileNotFoundError):
                    found = os.stat(part, dir_fd=fd, follow_symlinks=False)
                    entries[f"{prefix}{part}{'/' * stat.S_ISDIR(found.st_mode)}"] = found
        if not entries:
            self._require_folder()
        for name in sorted(entries):
            if name.endswith("/"):
                if name > after or after.startswith(name):
                    yield from self._below(name, after)
            elif not stat.S_ISREG(entries[name].st_mode):
                raise WrongAnswerError(f"{self._shown(name)!r:.250} is neither a file nor a folder", hint=_HINT)
            elif name > after:
                yield _described(name, entries[name])

    def remarks(self, name: str) -> Sequence[str]:
        """Return nothing: a folder has no settings."""
        return ()

    def date(self) -> float | None:
        """Return this machine's clock, by which the disk's files are dated."""
        return time.time()

    # -- writing -------------------------------------------------------------------------------------------------------

    def create(self, name: str, body: bytes) -> bool:
        """Store an object unless there is one of that name."""
        _check_size(checked_name(name), body)
        with self._failures("create", name), self._parent(name) as (folder, last):
            if not self._create_in(folder, last, body) and (
                self.head(name).size != len(body) or self.read(name) != body
            ):
                return False
            try:
                os.fsync(folder)  # also for an earlier call that was killed before it
            except OSError as error:
                raise UnknownOutcomeError(
                    f"it is not known whether {self._shown(name)} is on the disk: {error.strerror}",
                    hint="run it again: that finds out",
                ) from error
            return True

    def _create_in(self, folder: int, name: str, body: bytes) -> bool:
        """Make a file in an open folder; return whether there was none."""
        if self._has_unnamed:
            try:
                with closing(os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600, dir_fd=folder)) as fd:
                    self._permit(fd, self._mode & 0o666)
                    _write(fd, body)
                    os.link(f"/proc/self/fd/{fd}", name, dst_dir_fd=folder, follow_symlinks=True)
                return True
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno not in _LACKING:
                    raise
                self._has_unnamed = False
        with self._temporary(body) as (source, made):
            if _libc.renameat2(source, os.fsencode(made), folder, os.fsencode(name), _NOREPLACE) == 0:
                return True
            number = ctypes.get_errno()
            if number == errno.EEXIST:
                return False
            if number in (errno.EINVAL, errno.ENOSYS):
                raise UnsupportedError(
                    f"the file system of {self._path} cannot make a file without replacing another",
                    hint="use a folder on ext4, xfs or btrfs, or an object store",
                )
            raise OSError(number, os.strerror(number), name)

    def replace(self, name: str, body: bytes) -> None:
        """Store an object in place of any of that name."""
        _check_size(checked_name(name), body)
        with (
            self._failures("replace", name),
            self._parent(name) as (folder, last),
            self._temporary(body) as (source, made),
        ):
            os.rename(made, last, src_dir_fd=source, dst_dir_fd=folder)
            os.fsync(folder)

    def delete(self, names: Iterable[str]) -> None:
        """Remove objects, and below `PROBES` also the folders that are empty then.

        Other folders stay: a process that knows one as synced would not sync the name of another in its place.
        """
        self._require_writable()
        changed: set[str] = set()
        for name in names:
            with self._failures("delete", name):
                try:
                    beneath.remove(self._path, checked_name(name))
                    changed.add(name.rpartition("/")[0])
                except (FileNotFoundError, NotADirectoryError):
                    self._require_folder()
                    if name.startswith(PROBES):  # its folder was made, and the object was not
                        changed.add(name.rpartition("/")[0])
        for folder in changed:
            if f"{folder}/".startswith(PROBES):
                self._remove_empty(folder)
                continue
            with self._failures("delete", folder), closing(beneath.open_folder(self._path, folder)) as fd:
                os.fsync(fd)

    def _remove_empty(self, folder: str) -> None:
        """Remove a folder and those above it up to the first that is not empty, or may not be removed."""
        with suppress(OSError, ArtfsError):
            while folder:
                self._synced.discard(folder)
                with suppress(FileNotFoundError):
                    beneath.remove_folder(self._path, folder)
                folder = folder.rpartition("/")[0]

    # -- the folder ----------------------------------------------------------------------------------------------------

    def _require_folder(self) -> None:
        if not self._path.is_dir():
            raise NoBucketError(f"there is no folder {self._path}", hint="make it, or mount its disk")

    def _require_writable(self) -> None:
        """Raise an error unless objects can be created safely; the first time, remove what killed writers left."""
        if self._mode:
            return
        self._require_folder()
        kind = shared_filesystem(self._path)
        if kind is not None:
            raise UnsupportedError(
                f"{self._path} is on a {kind} file system, which does not promise that one of two writers wins",
                hint="use a folder on a local disk, an object store, or read only",
            )
        with suppress(OSError, ArtfsError):
            self._remove_abandoned()
        self._mode = stat.S_IMODE(os.stat(self._path).st_mode) & 0o2777

    def _remove_abandoned(self) -> None:
        for part in beneath.names(self._path, _TEMPORARY):
            path = f"{_TEMPORARY}/{part}"
            with suppress(OSError, ArtfsError), closing(beneath.open_file(self._path, path)) as fd:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                beneath.remove(self._path, path)

    @contextmanager
    def _parent(self, name: str) -> Iterator[tuple[int, str]]:
        """Yield (descriptor of the folder of an object, which is made if it is missing; last part of its name)."""
        self._require_writable()
        folder, _, last = name.rpartition("/")
        with closing(self._open_made(folder)) as fd:
            yield fd, last

    def _open_made(self, folder: str) -> int:
        """Return a descriptor of a folder, which is made if it is missing."""
        for _ in range(_TURNS):
            with suppress(FileNotFoundError):
                if folder:
                    self._make(folder)
                return beneath.open_folder(self._path, folder)
            self._require_folder()  # it is there: the end of another probe has removed a folder on the way
            self._synced.discard(folder)
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), folder)

    def _make(self, folder: str) -> None:
        """Make a folder and those above it, and have their names on the disk."""
        if folder in self._synced:
            return
        parts = folder.split("/")
        for count in range(len(parts)):
            self._make_one("/".join(parts[: count + 1]))
            with closing(beneath.open_folder(self._path, "/".join(parts[:count]))) as fd:
                os.fsync(fd)
        self._synced.add(folder)

    def _make_one(self, folder: str) -> None:
        try:
            beneath.make_folder(self._path, folder, self._mode)
        except FileExistsError:
            return  # if it is no folder, opening it fails
        with closing(beneath.open_folder(self._path, folder)) as fd:
            self._permit(fd, self._mode)

    def _permit(self, fd: int, mode: int) -> None:
        with suppress(PermissionError):  # FAT has none
            os.fchmod(fd, mode)

    @contextmanager
    def _temporary(self, body: bytes) -> Iterator[tuple[int, str]]:
        """Write a file in the folder of temporary files; yield (descriptor of that folder, name).

        It is removed afterwards, unless it was renamed.
        """
        self._make(_TEMPORARY)
        with closing(beneath.open_folder(self._path, _TEMPORARY)) as folder:
            while True:
                name = os.urandom(16).hex()
                fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder)
                with closing(fd):
                    try:
                        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        if not os.fstat(fd).st_nlink:  # taken for an abandoned one before it was locked
                            continue
                    except BlockingIOError:
                        continue
                    try:
                        self._permit(fd, self._mode & 0o666)
                        _write(fd, body)
                        yield folder, name
                    finally:
                        with suppress(FileNotFoundError):
                            os.unlink(name, dir_fd=folder)
                    return

    def _shown(self, name: str) -> str:
        return f"{self.url}/{name}".rstrip("/")

    @contextmanager
    def _failures(self, verb: str, name: str) -> Iterator[None]:
        """Translate the errors of the system."""
        shown = self._shown(name)
        try:
            yield
        except RefusedError as error:
            raise WrongAnswerError(error.message, hint=_HINT) from error
        except ArtfsError:
            raise
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR) and verb == "read":
                self._require_folder()
                raise ObjectMissingError(f"there is no object {shown}") from error
            if error.errno == errno.ENOENT:
                self._require_folder()
                if verb == "list":
                    raise
            if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
                hint = "check the permissions of the folder, and how its disk is mounted"
                raise NoRightError(f"this user may not {verb} {shown}: {error.strerror}", hint=hint) from error
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StoreFullError(
                    f"the disk has no space for {shown}: {error.strerror}", hint="free space"
                ) from error
            raise_machine_error(error, f"{shown} failed")
            raise OutsideError(f"{shown} failed: {error.strerror}") from error


_HINT: Final = "the folder of a remote has only files and folders of its owner, and no links"


def _read(fd: int, start: int, length: int) -> bytes:
    parts = []
    while length and (part := os.pread(fd, length, start)):
        parts.append(part)
        start, length = start + len(part), length - len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _write(fd: int, body: bytes) -> None:
    view = memoryview(body)
    while view:
        view = view[os.write(fd, view) :]
    os.fsync(fd)


def _described(name: str, found: os.stat_result) -> ObjectInfo:
    return ObjectInfo(name, found.st_size, found.st_mtime)


def _check_size(name: str, body: bytes) -> None:
    if len(body) > LARGEST_OBJECT:
        raise InvalidInputError(f"{name} would have {len(body):,} bytes; an object has at most {LARGEST_OBJECT:,}")
