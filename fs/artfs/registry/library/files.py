"""Small files of users, read whole: regular files within a bound."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any, Final

from artfs.registry.errors import RecordError
from artstore.errors import NotFoundError

__all__ = ["bounded_bytes", "json_in"]

_LONGEST: Final = 64 << 20


def bounded_bytes(file: Path, most: int) -> bytes:
    """Return the bytes of a regular file; raise `NotFoundError`, or `RecordError` for another or a longer one."""
    try:
        fd = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFoundError(f"the file {file} does not exist", hint="name a file that exists") from error
    except OSError as error:
        raise RecordError(f"the file {file} cannot be read: {error.strerror}") from error
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise RecordError(f"{file} is not a regular file")
        if found.st_size <= most:
            with open(fd, "rb", closefd=False) as stream:
                content = stream.read(most + 1)
            if len(content) <= most:
                return content
        raise RecordError(f"the file {file} is too large to be read: it has more than {most >> 20} MiB")
    finally:
        os.close(fd)


def json_in(file: Path) -> Any:
    """Return the JSON in a file; raise `NotFoundError` or `RecordError`."""
    try:
        return json.loads(bounded_bytes(file, _LONGEST))
    except (ValueError, RecursionError) as error:
        if isinstance(error, RecordError):
            raise
        raise RecordError(f"the file {file} is not JSON") from error
