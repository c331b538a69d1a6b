"""Shared by all transports: conversion of the core's errors to error numbers and log lines."""

from __future__ import annotations

import errno
import logging

from artfs.mount.counters import Field, WorkerCounts
from artfs.mount.errnos import errno_of
from artstore.errors import ArtfsError, DamageError

__all__ = ["number_of"]

_log = logging.getLogger(__name__)


def number_of(error: Exception, question: str, counts: WorkerCounts) -> int:
    """Return the errno with which the request ``question`` fails; count and log damage and unexpected errors."""
    if isinstance(error, DamageError):
        counts.add(Field.VERIFICATION_FAILURES)
    if isinstance(error, ArtfsError):
        number = errno_of(error)
        if number == errno.EIO:
            counts.add(Field.ERRORS)
            _log.error("%s", error)
        return number
    counts.add(Field.ERRORS)
    if isinstance(error, OSError):
        _log.error("%s: %s", question, error)
        return error.errno or errno.EIO
    _log.error("%s failed", question, exc_info=error)
    return errno.EIO
