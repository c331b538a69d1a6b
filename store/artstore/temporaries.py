"""Temporary folders of artfs in folders of users: marked, left out by puts, removed by the next call.

A file that a call writes into a user's folder is written into a temporary folder there first, and renamed out of it
when it is whole.  A killed process leaves that folder behind.  Its name begins with `PREFIX`, but a user's own folder
may have such a name: what shows that it is ours is the marker in it, a small file with a fixed text.  The process that
uses the folder holds the marker's flock.

Guarantees: only what this user owns, what is marked, and what no living process holds is removed, by descriptors, so
that nothing else is removed even if names are exchanged meanwhile.

A process may die between making the folder and writing the marker.  So the folder is made with a mode that others do
not have, and an empty folder with such a name and mode is ours as well; nothing is lost with it.
"""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

__all__ = ["MARKER", "PREFIX", "TemporaryFolder", "is_temporary", "remove_abandoned"]

PREFIX: Final = b".artfs-tmp-"
MARKER: Final = b"artfs-temporary"
_TEXT: Final = (
    b"A temporary folder of artfs: the next call that writes here removes it, unless a process still uses it.\n"
)
_MODE: Final = stat.S_ISVTX | 0o700
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MAKE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class TemporaryFolder:
    """A temporary folder of this process in the folder open at ``parent``; removed with all that is in it by `close`.

    ``fd`` is its descriptor.  Raises OSError if it cannot be made.
    """

    def __init__(self, parent: int) -> None:
        self.fd = self._marker = -1
        self._parent = os.dup(parent)
        try:
            while not self._make():
                pass
        except BaseException:
            self.close()
            raise

    def _make(self) -> bool:
        """Make the folder and lock its marker; return False if another process took it for an abandoned one."""
        self.name = PREFIX + os.urandom(8).hex().encode()
        os.mkdir(self.name, _MODE, dir_fd=self._parent)
        try:
            self.fd = os.open(self.name, _FOLDER, dir_fd=self._parent)
            self._marker = os.open(MARKER, _MAKE, 0o600, dir_fd=self.fd)
        except FileNotFoundError:
            self._release()
            return False
        if not _lock(self._marker):
            self._release()
            return False
        os.write(self._marker, _TEXT)
        return True

    def _release(self) -> None:
        for fd in (self._marker, self.fd):
            if fd >= 0:
                os.close(fd)
        self.fd = self._marker = -1

    def close(self) -> None:
        """Remove the folder."""
        if self._parent < 0:
            return
        if self.fd >= 0:
            with suppress(OSError):
                _remove(self._parent, self.name, self.fd)
        self._release()
        os.close(self._parent)
        self._parent = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def is_temporary(name: bytes, parent: int) -> bool:
    """Return whether ``name`` in the folder open at ``parent`` is a temporary folder of artfs, in use or not."""
    if not name.startswith(PREFIX):
        return False
    try:
        fd = os.open(name, _FOLDER, dir_fd=parent)
    except OSError:
        return False
    try:
        marker = _marker_of(fd)
        if marker is None:
            return _was_just_made(fd)
        try:
            return _is_marked(fd, marker)
        finally:
            os.close(marker)
    finally:
        os.close(fd)


def remove_abandoned(parent: int) -> None:
    """Remove this user's temporary folders, in the folder open at ``parent``, that no process uses."""
    with suppress(OSError):
        for name in [os.fsencode(name) for name in os.listdir(parent)]:
            if name.startswith(PREFIX):
                with suppress(OSError):
                    _remove_if_abandoned(name, parent)


def _remove_if_abandoned(name: bytes, parent: int) -> None:
    fd = os.open(name, _FOLDER, dir_fd=parent)
    try:
        if os.fstat(fd).st_uid != os.geteuid():
            return
        marker = _marker_of(fd)
        if marker is None:
            if _was_just_made(fd):
                os.rmdir(name, dir_fd=parent)  # refused if its process has made the marker meanwhile
            return
        try:
            if os.fstat(marker).st_uid == os.geteuid() and _lock(marker) and _is_marked(fd, marker):
                _remove(parent, name, fd)
        finally:
            os.close(marker)
    finally:
        os.close(fd)


def _marker_of(folder: int) -> int | None:
    """Open the marker of a folder, a regular file with one link; return None if there is none."""
    try:
        marker = os.open(MARKER, _READ, dir_fd=folder)
    except OSError:
        return None
    status = os.fstat(marker)
    if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
        return marker
    os.close(marker)
    return None


def _is_marked(folder: int, marker: int) -> bool:
    """Return whether a marker has its text, or its process died, or is, between making and writing it."""
    text = os.pread(marker, len(_TEXT) + 1, 0)
    return text == _TEXT or (not text and _has_mode(folder) and os.listdir(folder) == [os.fsdecode(MARKER)])


def _was_just_made(folder: int) -> bool:
    return _has_mode(folder) and not os.listdir(folder)


def _has_mode(folder: int) -> bool:
    return stat.S_IMODE(os.fstat(folder).st_mode) == _MODE


def _lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove(parent: int, name: bytes, folder: int) -> None:
    """Remove a folder, the marker last: until then it shows that the rest may go."""
    import shutil  # a put, which only looks for such folders, does without it

    for entry in sorted(os.listdir(folder), key=lambda entry: entry == os.fsdecode(MARKER)):
        if stat.S_ISDIR(os.stat(entry, dir_fd=folder, follow_symlinks=False).st_mode):
            shutil.rmtree(entry, dir_fd=folder)
        else:
            os.unlink(entry, dir_fd=folder)
    os.rmdir(name, dir_fd=parent)
