"""Symlinks in the user's folder: kept as a relative link, or followed and stored as content.

A link is kept when it stays inside the folder at every step, links on its way included, whether or not anything is at
its end.  An absolute link counts as inside from the step on which it arrives in the folder, and is kept as the
equivalent relative link.  Every other link would resolve to something else, or be broken, in a mounted version; so it
is followed.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from dataclasses import dataclass

from artstore.ingest.source.entries import Identity

__all__ = ["LINK_TEXT_MAX", "LinkLoopError", "Territory"]

LINK_TEXT_MAX = 4095
"""The longest text of a symlink in bytes (PATH_MAX without its zero)."""

_EXPANSIONS_MAX = 40
"""The number of links in one path that the kernel follows before it returns ELOOP."""

_REMEMBERED_PREFIXES = 4096


class LinkLoopError(Exception):
    """Raised when following a link never ends."""


@dataclass(slots=True)
class _Position:
    """The position of a link's resolution: inside at *fd* + *steps*, *depth* folders below the top."""

    fd: int
    steps: list[bytes]
    depth: int

    def path(self, name: bytes) -> bytes:
        return b"/".join([*self.steps, name])

    def down(self, name: bytes) -> None:
        self.steps.append(name)
        self.depth += 1

    def up(self) -> None:
        self.depth -= 1
        if self.steps and self.steps[-1] != b"..":
            self.steps.pop()
        else:
            self.steps.append(b"..")


class Territory:
    """The folder that links may not leave: the source, or a folder outside that a followed link led to.

    Only inspects with lstat, relative to open directories, and never reads content.  A folder that changes meanwhile
    can at worst have a link followed that might have been kept, or the reverse.
    """

    __slots__ = ("_above", "_outside", "_real_path", "_root_fd", "_root_identity", "links_followed")

    def __init__(self, root_fd: int, root_identity: Identity, *, links_followed: int = 0) -> None:
        """Take the folder open at *root_fd*, which the caller keeps open while it uses this object.

        *links_followed* out of the source folder led there: 0 for the source folder itself.
        """
        self.links_followed = links_followed
        self._root_fd = root_fd
        self._root_identity = root_identity
        self._outside: set[bytes] = set()
        self._above: set[Identity] | None = None
        try:
            self._real_path = os.readlink(f"/proc/self/fd/{root_fd}".encode())
        except OSError:  # no /proc, or a path longer than PATH_MAX: absolute links are then walked step by step
            self._real_path = b""

    def keep(self, directory_fd: int, depth: int, text: bytes) -> bytes | None:
        """Return the relative text to keep for a link in the folder open at *directory_fd*, or None to follow it.

        *depth* is how many folders lie between that folder and the top.  Raises LinkLoopError for a link that leads
        back to itself, and OSError if the way cannot be inspected.
        """
        pending = deque(text.split(b"/"))
        if not text.startswith(b"/"):
            return text if self._stays_inside(_Position(directory_fd, [], depth), pending, 0) else None
        entry = self._arrival(text)
        if entry is None:
            return None
        remaining = b"/".join(step for step in entry if step not in (b"", b"."))
        kept = b"../" * depth + remaining if remaining else b"/".join([b".."] * depth) or b"."
        return kept if self._stays_inside(_Position(self._root_fd, [], 0), entry, 1) else None

    def lies_below(self, identity: Identity) -> bool:
        """Return whether the folder *identity* is one of those above the top."""
        if self._above is None:
            self._above = set()
            here, path = self._root_identity, b".."
            while True:
                try:
                    status = os.stat(path, dir_fd=self._root_fd)
                except OSError:
                    break
                above = (status.st_dev, status.st_ino)
                if above == here:
                    break  # the root folder is above itself
                self._above.add(above)
                here, path = above, path + b"/.."
        return identity in self._above

    def _stays_inside(self, position: _Position, pending: deque[bytes], expansions: int) -> bool:
        exists = True  # behind a missing entry, only ".." can matter
        while pending:
            step = pending.popleft()
            if step in (b"", b"."):
                continue
            if step == b"..":
                if position.depth == 0:
                    return False
                position.up()
                continue
            try:
                mode = os.lstat(position.path(step), dir_fd=position.fd).st_mode if exists else 0
            except (FileNotFoundError, NotADirectoryError):
                exists, mode = False, 0
            if not stat.S_ISLNK(mode):
                position.down(step)
                continue
            expansions += 1
            if expansions > _EXPANSIONS_MAX:
                raise LinkLoopError
            text = os.readlink(position.path(step), dir_fd=position.fd)
            if not text.startswith(b"/"):
                pending.extendleft(reversed(text.split(b"/")))
                continue
            entry = self._arrival(text)
            if entry is None:
                return False
            position = _Position(self._root_fd, [], 0)
            pending.extendleft(reversed(entry))
        return True

    def _arrival(self, text: bytes) -> deque[bytes] | None:
        """Return the steps that remain when the absolute path *text* reaches the top; None if it never does."""
        if self._real_path and (text == self._real_path or text.startswith(self._real_path.rstrip(b"/") + b"/")):
            return deque(text[len(self._real_path) :].split(b"/"))
        prefix = text[: text.rindex(b"/")]
        if prefix in self._outside and not _is_link(text) and not self._is_root(text):
            return None
        pending = deque(text.split(b"/"))
        if self._walk_outside(pending, prefix):
            return pending
        return None

    def _walk_outside(self, pending: deque[bytes], prefix: bytes) -> bool:
        """Walk from "/" until the top is reached (True; *pending* then holds the rest) or the way ends (False)."""
        here = b"/"
        expansions = 0
        while pending:
            if self._is_root(here):
                return True
            step = pending.popleft()
            if step in (b"", b"."):
                continue
            if step == b"..":
                here = os.path.dirname(here)
                continue
            path = os.path.join(here, step)
            try:
                is_link = stat.S_ISLNK(os.lstat(path).st_mode)
            except OSError:
                return False  # following the link reports its fault
            if not is_link:
                here = path
                continue
            expansions += 1
            if expansions > _EXPANSIONS_MAX:
                raise LinkLoopError
            text = os.readlink(path)
            here = b"/" if text.startswith(b"/") else here
            pending.extendleft(reversed(text.split(b"/")))
        if self._is_root(here):
            return True
        # A farm of links into one outside folder asks about that folder's path again and again.
        if len(self._outside) < _REMEMBERED_PREFIXES:
            self._outside.add(prefix)
        return False

    def _is_root(self, path: bytes) -> bool:
        try:
            status = os.lstat(path)
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self._root_identity


def _is_link(path: bytes) -> bool:
    try:
        return stat.S_ISLNK(os.lstat(path).st_mode)
    except OSError:
        return False
