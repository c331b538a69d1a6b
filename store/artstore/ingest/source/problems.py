"""The entries of a source folder that cannot be put: collected over the whole walk, and named in one error."""

from __future__ import annotations

import errno
import os
import stat

from artstore.errors import SourceChangedError, SourceError
from artstore.ingest.source.entries import display
from artstore.limits import raise_machine_error

__all__ = ["PROBLEMS_MAX", "Problems", "special_kind"]

PROBLEMS_MAX = 100
"""Problems after which the walk ends: a longer list does not help."""

_NAMED = 3
_VANISHED = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ESTALE})
_HINT = "exclude such entries with --exclude or an .artfsignore file, or fix them, and run the command again"
_CHANGED_HINT = "run the command again when nothing writes to the folder"


class Problems:
    """Collect problems, and raise one error for all of them."""

    __slots__ = ("_changed_only", "_found")

    def __init__(self) -> None:
        """Start with none."""
        self._found: list[tuple[bytes, str]] = []
        self._changed_only = True

    def add(self, path: bytes, what: str, *, changed: bool = False) -> None:
        """Note that *path* "is *what*" (``a socket``, ``unreadable: ...``); *changed* if only a change is at fault.

        Raises like `raise_any` once there are `PROBLEMS_MAX`.
        """
        self._found.append((path, what))
        self._changed_only = self._changed_only and changed
        if len(self._found) >= PROBLEMS_MAX:
            self.raise_any()

    def add_error(self, path: bytes, error: OSError) -> None:
        """Record the system's error for *path*."""
        if error.errno in _VANISHED:
            self.add(path, "gone: it vanished while the folder was being read", changed=True)
        else:
            raise_machine_error(error, f"{display(path)} cannot be read", but=errno.EIO)
            self.add(path, f"unreadable: {os.strerror(error.errno or errno.EIO)}")

    def raise_any(self) -> None:
        """Raise SourceError, or SourceChangedError if all problems are changes, with all paths; return if none."""
        if not self._found:
            return
        if len(self._found) == 1:
            path, what = self._found[0]
            message = f"{display(path)} cannot be put: it is {what}"
        else:
            named = ", ".join(f"{display(path)} ({what})" for path, what in self._found[:_NAMED])
            more = len(self._found) - _NAMED
            rest = f" and {more} more" if more > 0 else ""
            at_least = "at least " if len(self._found) >= PROBLEMS_MAX else ""
            message = f"{at_least}{len(self._found)} entries cannot be put: {named}{rest}"
        paths = [path for path, _ in self._found]
        if self._changed_only:
            raise SourceChangedError(message, hint=_CHANGED_HINT, paths=paths)
        raise SourceError(message, hint=_HINT, paths=paths)


def special_kind(mode: int) -> str:
    """Name what an entry is, by its st_mode, when it is neither a file nor a folder nor a symlink."""
    if stat.S_ISSOCK(mode):
        return "a socket"
    if stat.S_ISFIFO(mode):
        return "a named pipe"
    if stat.S_ISBLK(mode) or stat.S_ISCHR(mode):
        return "a device"
    return "neither a file nor a folder"
