"""Reading the user's folder for a put: what is in it, in the order and form in which it will be stored.

    with open_source("data/", exclude=["*.tmp"]) as source:
        for event in source.walk():
            match event:
                case EnterDirectory(): ...
                case FileEntry(): ...        # event.open() while its directory handle is held
                case LinkEntry(): ...
                case LeaveDirectory(): ...

Nothing is read but folders, links and ignore files; contents are the caller's to read, in whatever threads it likes.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType

from artstore.arguments import texts
from artstore.errors import NotFoundError, SourceChangedError, SourceError, SourceKindError
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
from artstore.ingest.source.ignore import IgnoreRules
from artstore.ingest.source.problems import special_kind
from artstore.ingest.source.walk import Walk, may_read
from artstore.limits import raise_machine_error
from artstore.locate import has_current_folder, without_current_folder

__all__ = [
    "DirectoryHandle",
    "EnterDirectory",
    "Event",
    "FileEntry",
    "FileStamp",
    "Identity",
    "IgnoreRules",
    "LeaveDirectory",
    "LinkEntry",
    "Links",
    "Passed",
    "Source",
    "display",
    "open_source",
]

_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class Source:
    """Hold the user's folder open, or the folder of the user's one file; made by `open_source`."""

    def __init__(
        self,
        fd: int,
        path: bytes,
        file_name: bytes | None,
        rules: IgnoreRules | None,
        forbidden: Mapping[Identity, str],
        links: Links = Links.FOLLOW,
    ) -> None:
        """Take over the directory *fd*, of which only *file_name* is meant if that is given."""
        self._fd = fd
        self._file_name = file_name
        self._rules = rules
        self._forbidden = forbidden
        self._links = links
        self.followed = Passed()
        """The links out of the folder that the last walk followed."""
        self.ignored = Passed()
        """The entries that ignore files kept out of the last walk."""
        self.temporary = Passed()
        """The temporary folders of artfs that the last walk left out."""
        self.real_path = path
        """The absolute path without symlinks, in bytes: of the folder, or of the file (itself not resolved)."""
        status = os.fstat(fd)
        self.identity: Identity = (status.st_dev, status.st_ino)
        """The (st_dev, st_ino) of the folder."""

    @property
    def is_file(self) -> bool:
        """Whether the source is one file, which is then all that the walk finds in an otherwise empty folder."""
        return self._file_name is not None

    def walk(self) -> Iterator[Event]:
        """Yield the events of a complete walk; each call starts a new one, which begins with the first event.

        Entries come in the order of their name's bytes, each subfolder in place between its enter and leave.  A
        handle that an entry carries is good until the next event is asked for, unless the consumer acquires it.

        What cannot be stored (sockets, devices, unreadable files and folders, links that dangle outside, loops) is
        collected and raised after the last event, as one SourceError; as SourceChangedError if entries that vanished
        are all there is.  So a caller that commits after the iteration has ended commits nothing incomplete.  A
        forbidden folder raises RefusedError at once.
        """
        if self._file_name is not None:
            return self._walk_file(self._file_name)
        walk = Walk(self._rules, self._forbidden, self._links)
        self.followed, self.ignored, self.temporary = walk.followed, walk.ignored, walk.temporary
        return walk.events(self._fd)

    def _walk_file(self, name: bytes) -> Iterator[Event]:
        with DirectoryHandle(os.dup(self._fd), b"") as handle:
            try:
                followed = stat.S_ISLNK(os.stat(name, dir_fd=self._fd, follow_symlinks=False).st_mode)
                status = _file_status(name, self._fd, name)
            except FileNotFoundError as error:
                raise SourceChangedError(f"{display(name)} vanished while it was being put", paths=[name]) from error
            yield EnterDirectory(b"", self.identity, time.time_ns(), 0o755)  # the folder is of our making
            yield FileEntry(name, handle, FileStamp.of(status), stat.S_IMODE(status.st_mode), followed)
            yield LeaveDirectory(b"")

    def close(self) -> None:
        """Close the folder; walks and handles that are in use keep theirs."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Source:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_source(
    path: str | bytes | os.PathLike[str],
    *,
    exclude: Sequence[str] = (),
    forbidden: Mapping[Identity, str] | None = None,
    links: Links = Links.FOLLOW,
) -> Source:
    """Open the folder or regular file *path*, itself followed if it is a symlink, for being put.

    *exclude* are globs in gitignore syntax, relative to the folder; they come before what ``.artfsignore`` files say.
    *forbidden* maps folders that must not lie inside, such as the workspace, to the sentence of the refusal.  *links*
    decides what happens to symlinks out of the folder; *path* itself is followed in any case.
    Raises NotFoundError if nothing is there, SourceKindError if it is something else, SourceError if it cannot be read,
    InvalidInputError for a malformed glob.
    """
    try:
        raw = os.fsencode(path)
    except UnicodeEncodeError:
        raise SourceError(f"the path to put, {path!r:.60}, cannot be written as bytes") from None
    if not raw or b"\0" in raw:
        raise SourceError("the path to put is empty" if not raw else "the path to put contains a zero byte")
    rules = IgnoreRules.from_globs(texts(exclude, "exclude"))
    try:
        fd = os.open(raw, _OPEN_DIRECTORY)
    except FileNotFoundError as error:
        raise NotFoundError(f"{display(raw)} does not exist", hint="name a folder or a file") from error
    except NotADirectoryError:
        return _open_file_source(raw, rules)
    except OSError as error:
        if error.errno == errno.ESTALE and not os.path.isabs(raw) and not has_current_folder():
            raise without_current_folder(os.fsdecode(raw)) from error
        raise _cannot_read(raw, error) from error
    return Source(fd, os.path.realpath(raw), None, rules, forbidden or {}, links)


def _open_file_source(raw: bytes, rules: IgnoreRules | None) -> Source:
    folder, name = os.path.split(raw)
    fd = -1
    try:
        fd = os.open(folder or b".", _OPEN_DIRECTORY | os.O_PATH)
        _file_status(name, fd, raw)
    except OSError as error:
        if fd >= 0:
            os.close(fd)
        if isinstance(error, SourceError):
            raise
        raise _cannot_read(raw, error) from error
    return Source(fd, os.path.join(os.path.realpath(folder or b"."), name), name, rules, {})


def _file_status(name: bytes, fd: int, path: bytes) -> os.stat_result:
    status = os.stat(name, dir_fd=fd)
    if not stat.S_ISREG(status.st_mode):
        kind = special_kind(status.st_mode)
        raise SourceKindError(
            f"{display(path)} cannot be put: it is {kind}", hint="put a folder or a regular file", paths=[name]
        )
    if os.geteuid() and not may_read(status, name, fd):
        raise SourceError(f"{display(path)} cannot be read: Permission denied", paths=[name])
    return status


def _cannot_read(path: bytes, error: OSError) -> SourceError:
    raise_machine_error(error, f"{display(path)} cannot be read", but=errno.EIO)
    return SourceError(f"{display(path)} cannot be read: {os.strerror(error.errno or 0)}", paths=[path])
