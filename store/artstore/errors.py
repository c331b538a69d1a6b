"""The errors that artfs raises, as one tree.

    ArtfsError
    ├── InvalidNameError (ValueError)            a name, alias or reference that the grammar refuses
    ├── InvalidInputError (ValueError)           any other invalid argument
    │   ├── ArchiveError                         ... a file that is not an archive of versions
    │   ├── IsFolderError (IsADirectoryError)    ... a folder in place of a file
    │   └── NotFolderError (NotADirectoryError)  ... a file in place of a folder
    ├── NotFoundError (FileNotFoundError)        no such artifact, version, alias or path
    │   └── WorkspaceNotFoundError               no workspace at the searched path
    ├── RefusedError (PermissionError)           possible only with another option or confirmation
    ├── ExistsError (FileExistsError)            the target exists already, and differs
    ├── SourceError (OSError)                    a file of the user that cannot be stored as it is
    │   ├── SourceChangedError                   ... because it kept changing while it was read
    │   └── SourceKindError                      ... because it is neither a file nor a folder
    ├── UnsupportedError (OSError)               a newer format, or a file system that is unsafe here
    ├── MountError (OSError)                     the mount could not be made, reached or ended
    ├── BusyError (OSError)                      another process holds the resource; try again
    │   └── LimitError                           ... or a limit of this process or of the machine is reached
    ├── OutsideError (OSError)                   content outside the store is unreachable or refused
    │   ├── ChangedError                         ... or is missing, or differs from the reference
    │   └── NotAllowedError                      ... or is where this user has not allowed references to lead
    ├── DiskError (OSError)                      the disk failed to read or write
    ├── DamageError (OSError)                    stored bytes or records that fail their checksum
    └── OutOfSpaceError (OSError)                the disk is full, or nearly

Each is also the builtin that a caller would catch.  The message is one sentence that names the object; ``hint`` gives a
remedy.  ``kind`` is the stable name used in JSON, ``exit_code`` that of the command line.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import ClassVar

__all__ = [
    "ArchiveError",
    "ArtfsError",
    "BusyError",
    "ChangedError",
    "DamageError",
    "DiskError",
    "ExistsError",
    "InvalidInputError",
    "InvalidNameError",
    "IsFolderError",
    "LimitError",
    "MountError",
    "NotAllowedError",
    "NotFolderError",
    "NotFoundError",
    "OutOfSpaceError",
    "OutsideError",
    "RefusedError",
    "SourceChangedError",
    "SourceError",
    "SourceKindError",
    "UnsupportedError",
    "WorkspaceNotFoundError",
]


class ArtfsError(Exception):
    """A failure, described in one sentence, with a hint at a remedy."""

    kind: ClassVar[str] = "failed"
    exit_code: ClassVar[int] = 1
    code: ClassVar[int | None] = None
    """The errno that the OSError subclasses carry."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if hint:
            self.add_note(f"hint: {hint}")  # a traceback shows it
        if isinstance(self, OSError):
            object.__setattr__(self, "errno", self.code)
            object.__setattr__(self, "strerror", message)

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.message, self.hint, dict(self.__dict__)))


def _rebuild(cls: type[ArtfsError], message: str, hint: str, state: dict[str, object]) -> ArtfsError:
    error = cls(message, hint=hint)
    error.__dict__.update(state)
    return error


class InvalidNameError(ArtfsError, ValueError):
    """Raised for a name, alias or reference that the grammar does not allow."""

    kind = "invalid_name"
    exit_code = 2


class InvalidInputError(ArtfsError, ValueError):
    """Raised for any other invalid argument."""

    kind = "invalid_input"
    exit_code = 2


class ArchiveError(InvalidInputError):
    """Raised for a file that is not an archive of versions, or whose index is invalid."""

    kind = "archive"


class IsFolderError(InvalidInputError, IsADirectoryError):
    """Raised for a folder in a place where only a file is possible."""

    kind = "is_folder"
    code = errno.EISDIR


class NotFolderError(InvalidInputError, NotADirectoryError):
    """Raised for a file in a place where only a folder is possible."""

    kind = "not_folder"
    code = errno.ENOTDIR


class NotFoundError(ArtfsError, FileNotFoundError):
    """Raised when an artifact, version, alias or path does not exist."""

    kind = "not_found"
    exit_code = 3
    code = errno.ENOENT


class WorkspaceNotFoundError(NotFoundError):
    """Raised when the searched path has no workspace."""

    kind = "no_workspace"


class RefusedError(ArtfsError, PermissionError):
    """Raised when an operation is possible only with another option or confirmation."""

    kind = "refused"
    exit_code = 4
    code = errno.EPERM


class ExistsError(ArtfsError, FileExistsError):
    """Raised when the target exists and differs; ``paths`` lists all targets if there may be many."""

    kind = "exists"
    exit_code = 4
    code = errno.EEXIST

    def __init__(self, message: str, *, hint: str = "", paths: Sequence[bytes] = ()) -> None:
        super().__init__(message, hint=hint)
        self.paths = list(paths)


class SourceError(ArtfsError, OSError):
    """Raised when files of the user cannot be stored as they are; ``paths`` lists them all."""

    kind = "bad_source"
    code = errno.EINVAL

    def __init__(self, message: str, *, hint: str = "", paths: Sequence[bytes] = ()) -> None:
        super().__init__(message, hint=hint)
        self.paths = list(paths)


class SourceChangedError(SourceError):
    """Raised when files kept changing, or vanished, while they were read."""

    kind = "source_changed"


class SourceKindError(SourceError):
    """Raised for a path that is named to be stored but is a pipe, a socket or a device."""

    kind = "source_kind"
    exit_code = 2


class UnsupportedError(ArtfsError, OSError):
    """Raised for a newer format, or a file system on which the store would be unsafe."""

    kind = "unsupported"
    exit_code = 4
    code = errno.EOPNOTSUPP


class MountError(ArtfsError, OSError):
    """Raised when a mount could not be made, reached or ended."""

    kind = "mount"
    code = errno.EIO


class BusyError(ArtfsError, OSError):
    """Raised when another process holds a needed resource; the message names it."""

    kind = "busy"
    code = errno.EBUSY


class OutsideError(ArtfsError, OSError):
    """Raised when an object, file or web page outside the store cannot be read at present."""

    kind = "outside"
    code = errno.EIO


class ChangedError(OutsideError):
    """Raised when content outside the store is gone, or differs from the reference."""

    kind = "changed"
    exit_code = 5


class NotAllowedError(OutsideError):
    """Raised when a reference leads to where the reading user has not allowed references to lead."""

    kind = "not_allowed"
    exit_code = 4
    code = errno.EACCES


class LimitError(BusyError):
    """Raised when a limit of this process or of the machine is reached: memory, files, processes, a file's size."""

    kind = "limit"
    code = errno.EAGAIN


class DiskError(ArtfsError, OSError):
    """Raised when the disk fails to read or write; what is stored may be intact."""

    kind = "disk"
    code = errno.EIO


class DamageError(ArtfsError, OSError):
    """Raised when stored bytes or records fail their checksum; other content is unaffected."""

    kind = "damage"
    exit_code = 5
    code = errno.EIO


class OutOfSpaceError(ArtfsError, OSError):
    """Raised when the disk is full or nearly so; no committed data is lost."""

    kind = "out_of_space"
    exit_code = 6
    code = errno.ENOSPC
