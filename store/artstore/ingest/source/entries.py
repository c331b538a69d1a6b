"""The events of a walk of the user's folder, and opening its files later, from any thread."""

from __future__ import annotations

import errno
import os
import stat
import threading
from enum import StrEnum
from typing import Final, NamedTuple

from artstore.errors import InvalidInputError, SourceChangedError, SourceError
from artstore.limits import raise_machine_error

__all__ = [
    "DirectoryHandle",
    "EnterDirectory",
    "Event",
    "FileEntry",
    "FileStamp",
    "Identity",
    "LeaveDirectory",
    "LinkEntry",
    "Links",
    "Passed",
    "display",
]

NAMED: Final = 10
"""Paths that a `Passed` names."""

Identity = tuple[int, int]
"""(st_dev, st_ino) of a directory."""

_OPEN_FILE = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # O_NONBLOCK: a FIFO put there meanwhile must not hang us
_SHOWN_BYTES = 200


def display(path: bytes) -> str:
    """Write a relative path for a message: one line, the source folder as ``.``, long paths cut in the middle."""
    if len(path) > _SHOWN_BYTES:
        path = path[: _SHOWN_BYTES // 2] + b"[...]" + path[-_SHOWN_BYTES // 2 :]
    # Bytes that are not UTF-8 are shown as \xNN, and so are newlines and the like, so that the message stays a line.
    text = path.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text) or "."


class Links(StrEnum):
    """What a walk does with symlinks that lead out of the folder."""

    FOLLOW = "follow"
    """Store what they lead to."""
    KEEP = "keep"
    """Store them as links, with the text that they have, whether or not anything is there."""
    REFUSE = "refuse"
    """Refuse them by name."""

    @classmethod
    def of(cls, value: str) -> Links:
        """Return the member of a value; raise InvalidInputError for one that has none."""
        if value not in list(cls):
            raise InvalidInputError(f"links must be one of {', '.join(cls)}, not {value!r}")
        return cls(value)


class Passed:
    """The number of entries that a walk treated in some way, and the paths of the first of them."""

    __slots__ = ("count", "paths")

    def __init__(self) -> None:
        self.count = 0
        self.paths: list[bytes] = []

    def add(self, path: bytes) -> None:
        """Count an entry."""
        self.count += 1
        if len(self.paths) < NAMED:
            self.paths.append(path)


class FileStamp(NamedTuple):
    """Hold what changes when a file does, as far as stat can tell; compare two with ``==``."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    device: int

    @classmethod
    def of(cls, status: os.stat_result) -> FileStamp:
        """Take the stamp out of the result of a stat."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev)

    @classmethod
    def of_fd(cls, fd: int) -> FileStamp:
        """Take the stamp of an open file: equal before and after a read, and to the entry's, if nothing changed."""
        return cls.of(os.fstat(fd))


class DirectoryHandle:
    """Share one open directory between the walk and the threads that open its files.

    The walk holds one reference until it has left the directory (in a deep tree: until it is far below it).  To open
    a file later, call `acquire` before requesting the walk's next event, and `release` afterwards.
    The descriptor is closed with the last reference; so a consumer that bounds its tasks in flight bounds the open
    directories as well.
    """

    __slots__ = ("_lock", "_references", "fd", "path")

    def __init__(self, fd: int, path: bytes) -> None:
        """Take over the directory descriptor *fd*, holding one reference; *path* is relative to the source folder."""
        self.fd = fd
        self.path = path
        self._references = 1
        self._lock = threading.Lock()

    def acquire(self) -> DirectoryHandle:
        """Add a reference, and return this handle."""
        with self._lock:
            if not self._references:
                raise RuntimeError("this directory handle was released already")
            self._references += 1
        return self

    def release(self) -> None:
        """Drop a reference; the last one closes the directory."""
        with self._lock:
            self._references -= 1
            last = self._references == 0
        if last:
            os.close(self.fd)
            self.fd = -1

    def __del__(self) -> None:
        # References that a put ended by an exception never gave back.
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> DirectoryHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def join(self, name: bytes) -> bytes:
        """Return the path, relative to the source folder, of *name* in this directory."""
        return self.path + b"/" + name if self.path else name

    def open_file(self, name: bytes, *, follow: bool = False) -> int:
        """Open the regular file *name* in this directory for reading and return its descriptor.

        A symlink is refused unless *follow*.  Raises SourceChangedError when the file is gone or is no longer a
        regular file, SourceError when it cannot be opened; both carry its path.
        """
        try:
            fd = os.open(name, _OPEN_FILE if follow else _OPEN_FILE | os.O_NOFOLLOW, dir_fd=self.fd)
        except OSError as error:
            raise self._failure(name, error) from error
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            path = self.join(name)
            raise SourceChangedError(
                f"{display(path)} changed while it was being put: it is no longer a file", paths=[path]
            )
        return fd

    def _failure(self, name: bytes, error: OSError) -> SourceError:
        path = self.join(name)
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return SourceChangedError(f"{display(path)} vanished while it was being put", paths=[path])
        if error.errno in (errno.ELOOP, errno.ENXIO):
            message = f"{display(path)} changed while it was being put: it is no longer a file"
            return SourceChangedError(message, paths=[path])
        raise_machine_error(error, f"{display(path)} cannot be read", but=errno.EIO)
        return SourceError(f"{display(path)} cannot be read: {os.strerror(error.errno or 0)}", paths=[path])


class EnterDirectory(NamedTuple):
    """Marks the start of the entries of the directory *path* (``b""``: the source folder).

    *mtime_ns* and *mode* (with the bits above the permissions) are the directory's own.
    """

    path: bytes
    identity: Identity
    mtime_ns: int
    mode: int


class LeaveDirectory(NamedTuple):
    """Marks the end of the entries of the directory *path*."""

    path: bytes


class LinkEntry(NamedTuple):
    """Describe a symlink that is kept.

    *text* is relative and stays inside the source folder at every step, unless links that lead out of it are kept.
    """

    name: bytes
    directory: DirectoryHandle
    text: bytes
    mtime_ns: int

    @property
    def path(self) -> bytes:
        """The path relative to the source folder."""
        return self.directory.join(self.name)


class FileEntry(NamedTuple):
    """Describe a regular file, or a symlink to one outside the folder (*followed*), which is stored as that file.

    *mode* has the permission bits and those above them.
    """

    name: bytes
    directory: DirectoryHandle
    stamp: FileStamp
    mode: int
    followed: bool = False

    @property
    def path(self) -> bytes:
        """The path relative to the source folder."""
        return self.directory.join(self.name)

    @property
    def executable(self) -> bool:
        """Whether its owner may execute it."""
        return self.mode & stat.S_IXUSR != 0

    @property
    def size(self) -> int:
        """The size in bytes when the walk passed."""
        return self.stamp.size

    def open(self) -> int:
        """Open the file for reading and return its descriptor; raises as `DirectoryHandle.open_file` does.

        The caller holds a reference on `directory`.  Whether the file is still the one that was seen is told by
        ``FileStamp.of_fd(fd) == entry.stamp``, before the first byte is read and after the last.
        """
        return self.directory.open_file(self.name, follow=self.followed)


Event = EnterDirectory | FileEntry | LinkEntry | LeaveDirectory
