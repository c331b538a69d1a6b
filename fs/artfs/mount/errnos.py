"""The table from artfs errors to the error numbers of system calls."""

from __future__ import annotations

import errno

from artstore.errors import (
    ArtfsError,
    BusyError,
    DamageError,
    DiskError,
    ExistsError,
    InvalidInputError,
    LimitError,
    MountError,
    NotAllowedError,
    NotFoundError,
    OutOfSpaceError,
    OutsideError,
    RefusedError,
    SourceError,
    UnsupportedError,
)

__all__ = [
    "NameTooLongError",
    "NoAttributeError",
    "NotDirectoryError",
    "NotLinkError",
    "ReadOnlyError",
    "StaleError",
    "errno_of",
]


class NotDirectoryError(InvalidInputError):
    """Raised when a name is looked up in an inode that is not a directory."""


class NotLinkError(InvalidInputError):
    """Raised when the target of a non-link, or the bytes of a non-file, are read."""


class NameTooLongError(InvalidInputError):
    """Raised for a name of more than 255 bytes."""


class ReadOnlyError(RefusedError):
    """Raised for any change under a mount."""


class StaleError(NotFoundError):
    """Raised when the object of an inode is no longer in the store."""


class NoAttributeError(NotFoundError):
    """Raised when the inode has no extended attribute of that name."""


_ERRNOS: dict[type[ArtfsError], int] = {
    NotDirectoryError: errno.ENOTDIR,
    NotLinkError: errno.EINVAL,
    NameTooLongError: errno.ENAMETOOLONG,
    ReadOnlyError: errno.EROFS,
    StaleError: errno.ESTALE,
    NoAttributeError: errno.ENODATA,
    NotFoundError: errno.ENOENT,
    RefusedError: errno.EPERM,
    ExistsError: errno.EEXIST,
    BusyError: errno.EBUSY,
    LimitError: errno.EIO,
    DiskError: errno.EIO,
    OutOfSpaceError: errno.ENOSPC,
    UnsupportedError: errno.EOPNOTSUPP,
    DamageError: errno.EIO,
    NotAllowedError: errno.EACCES,
    OutsideError: errno.EIO,
    MountError: errno.EIO,
    SourceError: errno.EIO,
    ArtfsError: errno.EIO,
}


def errno_of(error: ArtfsError) -> int:
    """Return the errno of ``error``: that of its nearest class in the table; never 0."""
    for ancestor in type(error).__mro__:
        number = _ERRNOS.get(ancestor)
        if number is not None:
            return number
    return errno.EIO
