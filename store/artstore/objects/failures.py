"""The failures of object stores, each an error of its own that a caller can tell apart.

NotFoundError
└── ObjectMissingError      the store says that there is no such object
OutsideError
├── NoRightError            the store refuses these credentials
├── UnreachableError        no answer within the time-out, or no connection
├── UnknownOutcomeError     it is not known whether an object was stored
└── WrongAnswerError        an answer that the protocol of object stores does not allow
OutOfSpaceError
└── StoreFullError          a quota, or a full disk
UnsupportedError
└── BrokenPromiseError      the store lacks a guarantee that remotes need
"""

from __future__ import annotations

import errno

from artstore.errors import NotFoundError, OutOfSpaceError, OutsideError, UnsupportedError

__all__ = [
    "BrokenPromiseError",
    "NoBucketError",
    "NoRightError",
    "ObjectMissingError",
    "StoreFullError",
    "UnknownOutcomeError",
    "UnreachableError",
    "WrongAnswerError",
    "WrongRegionError",
]


class ObjectMissingError(NotFoundError):
    """Raised when a store says that there is no object of a name; a time-out or a missing right never raises it."""

    kind = "object_missing"


class NoBucketError(NotFoundError):
    """Raised when a store says that there is no such bucket or container, or the folder of a ``file://`` is missing."""

    kind = "no_bucket"


class NoRightError(OutsideError):
    """Raised when a store refuses these credentials; the message has the store's words."""

    kind = "no_right"
    exit_code = 4
    code = errno.EACCES


class WrongRegionError(OutsideError):
    """Raised when a bucket is in another region than the one that requests were made for."""

    kind = "wrong_region"


class UnreachableError(OutsideError):
    """Raised when a store does not answer within the time-out, cannot be connected to, or fails by its own words."""

    kind = "unreachable"
    code = errno.ENETUNREACH


class UnknownOutcomeError(OutsideError):
    """Raised when it is not known whether an object was stored; the same call, run again, finds out."""

    kind = "unknown_outcome"


class WrongAnswerError(OutsideError):
    """Raised for an answer that does not fit the request: another length, or names that were not asked for."""

    kind = "wrong_answer"


class StoreFullError(OutOfSpaceError):
    """Raised when a store takes no more: its quota is used up, or its disk is full."""

    kind = "store_full"


class BrokenPromiseError(UnsupportedError):
    """Raised for a store that lacks a guarantee that remotes need; the message says which."""

    kind = "broken_promise"
