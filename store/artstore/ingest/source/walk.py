"""Walking the user's folder by directory descriptor, in the order of the stored tree.

Guarantees: names are bytes, sorted by their bytes in each folder; the kernel is only ever given single names, so depth
and PATH_MAX do not matter; the number of open directories is bounded; a file costs one system call, its lstat.

This code assumes: a folder that was reached without symlinks has its parent as "..".  That is checked where needed.
"""

from __future__ import annotations

import errno
import os
import stat
from bisect import bisect_left
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass

from artstore.errors import InvalidInputError, RefusedError, SourceChangedError
from artstore.ingest.source.entries import (
    DirectoryHandle,
    EnterDirectory,
    Event,
    FileEntry,
    FileStamp,
    Identity,
    LeaveDirectory,
    LinkEntry,
    Links,
    Passed,
    display,
)
from artstore.ingest.source.ignore import IGNORE_FILE, IgnoreRules
from artstore.ingest.source.links import LINK_TEXT_MAX, LinkLoopError, Territory
from artstore.ingest.source.problems import Problems, special_kind
from artstore.temporaries import is_temporary

__all__ = ["OPEN_DIRECTORIES", "Walk", "may_read"]

OPEN_DIRECTORIES = 64
"""Of a deep way down, only so many of the last folders stay open; those above are reopened on the way back."""

_LINKS_FOLLOWED_MAX = 40
"""Followed links below followed links: each keeps two folders open."""

_IGNORE_FILE_MAX = 1 << 20
_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_LOOP = "a symlink loop"


@dataclass(slots=True)
class _Frame:
    """One folder on the path from the top to the walk's current position."""

    path: bytes
    identity: Identity
    handle: DirectoryHandle
    names: Iterator[bytes]
    rules: IgnoreRules | None
    territory: Territory
    depth: int  # folders between this one and the top of its territory
    mtime_ns: int
    mode: int
    closed: bool = False  # for now, see OPEN_DIRECTORIES


class Walk:
    """Walk one folder, once."""

    __slots__ = ("_forbidden", "_frames", "_links", "_problems", "_rules", "_uid", "followed", "ignored", "temporary")

    def __init__(
        self, rules: IgnoreRules | None, forbidden: Mapping[Identity, str], links: Links = Links.FOLLOW
    ) -> None:
        """Leave out what *rules* exclude; *forbidden* maps folders to the sentence with which entering is refused."""
        self._links = links
        self.followed = Passed()
        """The links out of the folder that were followed."""
        self.ignored = Passed()
        """The entries that ignore files kept out; what is in a folder that they keep out is not counted."""
        self.temporary = Passed()
        """The temporary folders of artfs, which are left out."""
        self._rules = rules
        self._forbidden = forbidden
        self._problems = Problems()
        self._uid = os.geteuid()
        self._frames: list[_Frame] = []

    def events(self, root_fd: int) -> Iterator[Event]:
        """Yield what is in the folder open at *root_fd*: entries in name order, subfolders in place.

        After the last event, raises SourceError (SourceChangedError if all problems are changes) that names every
        entry that cannot be stored; RefusedError at once for a forbidden folder.
        """
        # A description of its own, so that walks do not share a position in the folder.
        root = DirectoryHandle(os.open(b".", _OPEN_DIRECTORY, dir_fd=root_fd), b"")
        try:
            status = os.fstat(root.fd)
            identity = _identity(status)
            self._refuse_forbidden(b"", identity)
            self._push(self._frame(root.acquire(), status, Territory(root.fd, identity), 0, self._rules))
            yield _entered(self._frames[-1])
            while self._frames:
                child = yield from self._entries(self._frames[-1])
                if child is None:
                    yield LeaveDirectory(self._frames[-1].path)
                    self._pop()
                else:
                    self._push(child)
                    yield _entered(child)
            self._problems.raise_any()
        finally:
            while self._frames:
                frame = self._frames.pop()
                if not frame.closed:
                    frame.handle.release()
            root.release()

    def _entries(self, frame: _Frame) -> Generator[Event, None, _Frame | None]:
        """Continue with the entries of *frame* until it ends (None) or a subfolder must be entered first."""
        # The hot loop, run once per file: the work for a file is inlined instead of called.
        handle, rules = frame.handle, frame.rules
        fd, uid = handle.fd, self._uid
        for name in frame.names:
            try:
                status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            except OSError as error:
                if rules is None or not rules.excludes(handle.join(name), False):
                    self._problems.add_error(handle.join(name), error)
                continue
            mode = status.st_mode
            if rules is not None and rules.excludes(handle.join(name), stat.S_ISDIR(mode)):
                if rules.is_by_file(handle.join(name), stat.S_ISDIR(mode)):
                    self.ignored.add(handle.join(name))
                continue
            if stat.S_ISREG(mode):
                if uid and not may_read(status, name, fd):
                    self._problems.add(handle.join(name), "unreadable: Permission denied")
                    continue
                yield FileEntry(name, handle, FileStamp.of(status), stat.S_IMODE(mode))
            elif stat.S_ISDIR(mode):
                if is_temporary(name, fd):
                    self.temporary.add(handle.join(name))
                    continue
                child = self._enter(frame, name, status, followed=False)
                if child is not None:
                    return child
            elif stat.S_ISLNK(mode):
                target = self._link(frame, name, status.st_mtime_ns)
                if isinstance(target, _Frame):
                    return target
                if target is not None:
                    yield target
            else:
                self._problems.add(handle.join(name), special_kind(mode))
        return None

    def _link(self, frame: _Frame, name: bytes, mtime_ns: int) -> LinkEntry | FileEntry | _Frame | None:
        handle = frame.handle
        path = handle.join(name)
        try:
            text = os.readlink(name, dir_fd=handle.fd)
            kept = frame.territory.keep(handle.fd, frame.depth, text)
        except LinkLoopError:
            if self._links is Links.KEEP:
                return LinkEntry(name, handle, text, mtime_ns)
            self._problems.add(path, _LOOP)
            return None
        except OSError as error:
            self._problems.add_error(path, error)
            return None
        if kept is None and self._links is Links.KEEP:
            kept = text
        elif kept is None and self._links is Links.REFUSE:
            self._problems.add(path, f"a symlink out of the folder to {display(text)}")
            return None
        elif kept is None:
            taken = self._follow(frame, name, text)
            if taken is not None:
                self.followed.add(path)
            return taken
        if len(kept) > LINK_TEXT_MAX:
            self._problems.add(path, "an absolute symlink that is too long as a relative one")
            return None
        return LinkEntry(name, handle, kept, mtime_ns)

    def _follow(self, frame: _Frame, name: bytes, text: bytes) -> FileEntry | _Frame | None:
        """Take the file or folder at the end of a link that leaves the folder."""
        handle = frame.handle
        path = handle.join(name)
        try:
            status = os.stat(name, dir_fd=handle.fd)
        except FileNotFoundError:
            self._problems.add(path, f"a symlink out of the folder to {display(text)}, which does not exist")
            return None
        except OSError as error:
            if error.errno == errno.ELOOP:
                self._problems.add(path, _LOOP)
            else:
                self._problems.add_error(path, error)
            return None
        if stat.S_ISDIR(status.st_mode):
            return self._enter(frame, name, status, followed=True)
        if not stat.S_ISREG(status.st_mode):
            self._problems.add(path, f"a symlink to {special_kind(status.st_mode)}")
            return None
        if self._uid and not may_read(status, name, handle.fd):
            self._problems.add(path, "a symlink to an unreadable file: Permission denied")
            return None
        return FileEntry(name, handle, FileStamp.of(status), stat.S_IMODE(status.st_mode), followed=True)

    def _enter(self, parent: _Frame, name: bytes, status: os.stat_result, *, followed: bool) -> _Frame | None:
        """Open a subfolder, or the folder that a link leads to; None if that is a problem."""
        path = parent.handle.join(name)
        # Asked before opening too: opening a folder of a mount whose daemon hangs would hang as well.
        self._refuse_forbidden(path, _identity(status))
        try:
            fd = os.open(name, _OPEN_DIRECTORY | (0 if followed else os.O_NOFOLLOW), dir_fd=parent.handle.fd)
        except OSError as error:
            self._problems.add_error(path, error)
            return None
        handle = DirectoryHandle(fd, path)
        try:
            status = os.fstat(fd)
            identity = _identity(status)
            self._refuse_forbidden(path, identity)
            if (followed or parent.territory.links_followed) and self._is_above(identity):
                self._problems.add(path, f"{_LOOP}: it points to a folder that contains it")
            elif followed and parent.territory.links_followed == _LINKS_FOLLOWED_MAX:
                self._problems.add(path, "reached through too many nested symlinks")
            elif followed:
                territory = Territory(fd, identity, links_followed=parent.territory.links_followed + 1)
                return self._frame(handle.acquire(), status, territory, 0, parent.rules)
            else:
                return self._frame(handle.acquire(), status, parent.territory, parent.depth + 1, parent.rules)
        finally:
            handle.release()
        return None

    def _is_above(self, identity: Identity) -> bool:
        """Return whether a folder is an ancestor of the walk's current folder, however that was reached."""
        return any(
            frame.identity == identity or (frame.depth == 0 and frame.territory.lies_below(identity))
            for frame in self._frames
        )

    def _frame(
        self,
        handle: DirectoryHandle,
        status: os.stat_result,
        territory: Territory,
        depth: int,
        rules: IgnoreRules | None,
    ) -> _Frame:
        """List a folder; takes over a reference on *handle*.  One that cannot be listed is a problem, and empty."""
        try:
            names = sorted(map(os.fsencode, os.listdir(handle.fd)))
        except OSError as error:
            self._problems.add_error(handle.path, error)
            names = []
        index = bisect_left(names, IGNORE_FILE)
        if index < len(names) and names[index] == IGNORE_FILE:
            rules = self._with_ignore_file(handle, rules)
        mode = stat.S_IMODE(status.st_mode)
        return _Frame(
            handle.path, _identity(status), handle, iter(names), rules, territory, depth, status.st_mtime_ns, mode
        )

    def _with_ignore_file(self, handle: DirectoryHandle, rules: IgnoreRules | None) -> IgnoreRules | None:
        path = handle.join(IGNORE_FILE)
        try:
            status = os.stat(IGNORE_FILE, dir_fd=handle.fd, follow_symlinks=False)
            if not stat.S_ISREG(status.st_mode):
                return rules  # a folder or symlink of that name is content, as it is for git
            with open(handle.open_file(IGNORE_FILE), "rb") as file:
                content = file.read(_IGNORE_FILE_MAX + 1)
        except OSError as error:
            # Its own entry is later refused as unreadable, but the entries that it would exclude must not be stored.
            self._problems.add_error(path, error)
            return rules
        if len(content) > _IGNORE_FILE_MAX:
            self._problems.add(path, f"larger than the {_IGNORE_FILE_MAX >> 20} MiB limit of an ignore file")
            return rules
        try:
            return (rules or IgnoreRules([])).below(handle.path, content)
        except InvalidInputError as error:
            self._problems.add(path, f"not a list of patterns: {error}")
            return rules

    def _push(self, frame: _Frame) -> None:
        self._frames.append(frame)
        index = len(self._frames) - OPEN_DIRECTORIES
        # The top of a territory stays open for its links, and the folder above one is not its "..".
        if index > 0 and self._frames[index].depth and self._frames[index + 1].depth:
            self._frames[index].handle.release()
            self._frames[index].closed = True

    def _pop(self) -> None:
        child = self._frames.pop()
        try:
            if self._frames and self._frames[-1].closed:
                self._reopen(self._frames[-1], child.handle.fd)
        finally:
            child.handle.release()

    def _reopen(self, frame: _Frame, child_fd: int) -> None:
        # A new handle, because tasks may still hold the old one.
        moved = SourceChangedError(
            f"{display(frame.path)} was moved while the folder was being read", paths=[frame.path]
        )
        try:
            fd = os.open(b"..", _OPEN_DIRECTORY, dir_fd=child_fd)
        except OSError as error:
            raise moved from error
        if _identity(os.fstat(fd)) != frame.identity:
            os.close(fd)
            raise moved
        frame.handle = DirectoryHandle(fd, frame.path)
        frame.closed = False

    def _refuse_forbidden(self, path: bytes, identity: Identity) -> None:
        sentence = self._forbidden.get(identity)
        if sentence is not None:
            raise RefusedError(sentence, hint=f"exclude {display(path)} with --exclude" if path else "")


def may_read(status: os.stat_result, name: bytes, directory_fd: int) -> bool:
    """Return whether the effective user may read a file; asks the system only when its mode leaves it open."""
    readable = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH
    if status.st_mode & readable == readable:
        return True
    if status.st_mode & stat.S_IRUSR and status.st_uid == os.geteuid():
        return True
    return os.access(name, os.R_OK, dir_fd=directory_fd, effective_ids=True)


def _entered(frame: _Frame) -> EnterDirectory:
    return EnterDirectory(frame.path, frame.identity, frame.mtime_ns, frame.mode)


def _identity(status: os.stat_result) -> Identity:
    return (status.st_dev, status.st_ino)
