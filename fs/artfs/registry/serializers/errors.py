"""What goes wrong with payloads.

Each error is an `ArtfsError` and the builtin that a caller would catch: PermissionError for what is not trusted,
ValueError else.  Bytes that differ from their digest are a `DamageError`.
"""

from __future__ import annotations

from artstore.errors import InvalidInputError, RefusedError

__all__ = [
    "MalformedPayloadError",
    "MissingLibraryError",
    "PickleWarning",
    "UnknownFormatError",
    "UnserializableError",
    "UntrustedError",
    "VersionMismatchError",
    "VersionMismatchWarning",
]


class UntrustedError(RefusedError):
    """Raised for a payload that could run code, or has a type that is not trusted; nothing of it was built."""

    kind = "untrusted"


class UnserializableError(InvalidInputError):
    """Raised for an object that no serialiser, or not the requested one, can store."""

    kind = "unserializable"


class UnknownFormatError(InvalidInputError):
    """Raised for the name of a format that no serialiser of this process has."""

    kind = "unknown_format"


class MalformedPayloadError(InvalidInputError):
    """Raised for a payload that is not of its format, or whose values contradict each other."""

    kind = "malformed_payload"
    exit_code = 5


class MissingLibraryError(InvalidInputError, ImportError):
    """Raised when the library of a format is not installed; the message names the extra or the package."""

    kind = "missing_library"
    exit_code = 4


class VersionMismatchError(InvalidInputError):
    """Raised when a payload was written with other versions of libraries, if that was asked for or loading failed."""

    kind = "version_mismatch"
    exit_code = 4


class VersionMismatchWarning(UserWarning):
    """Says that a payload was written with another version of a library."""


class PickleWarning(UserWarning):
    """Says that an object is stored as a pickle, which only this user can load without `trust=True`."""
