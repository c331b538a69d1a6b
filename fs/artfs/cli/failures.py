"""Failures of commands: one sentence, a stable kind and an exit code each."""

from __future__ import annotations

import errno
import os
import select
import sys
import traceback
from dataclasses import dataclass

import click

from artfs.cli.output import quoted, say, warn, write_document
from artstore.errors import ArtfsError

__all__ = ["CLOSED_PIPE", "INTERRUPTED", "Failure", "explain", "report", "stdout_is_broken"]

INTERRUPTED = 130
CLOSED_PIPE = 141
"""The exit code that a shell reports for a program ended by SIGPIPE."""

_LISTED_PATHS = 1000


@dataclass(frozen=True)
class Failure:
    """A failure ready to be printed.

    ``paths`` are the files concerned; those that the sentence does not name are listed after it.
    """

    kind: str
    message: str
    hint: str
    exit_code: int
    paths: tuple[bytes, ...] = ()


def explain(error: BaseException, *, on_interrupt: str = "") -> Failure:
    """Return the failure for an exception; an unexpected exception is an internal error."""
    if isinstance(error, KeyboardInterrupt):
        return Failure("interrupted", "interrupted", on_interrupt, INTERRUPTED)
    if isinstance(error, ArtfsError):
        paths = tuple(os.fsencode(path) for path in getattr(error, "paths", ()))
        return Failure(error.kind, error.message, error.hint, error.exit_code, paths)
    if isinstance(error, click.UsageError):
        command = error.ctx.command_path if error.ctx is not None else "artfs"
        return Failure("usage", _sentence(error.format_message()), f"see '{command} --help'", 2)
    if isinstance(error, click.ClickException):
        return Failure("failed", _sentence(error.format_message()), "", 1)
    if isinstance(error, OSError) and error.errno is not None:
        return _system_failure(error)
    what = " ".join(f"{type(error).__name__}: {error}".split())
    return Failure("internal", f"internal error: {what}", _PLEASE_REPORT, 1)


_PLEASE_REPORT = "this is a bug in artfs, please report it (ARTFS_DEBUG=1 shows where)"


def _sentence(text: str) -> str:
    text = " ".join(text.split()).rstrip(".")
    return text[:1].lower() + text[1:]


def _system_failure(error: OSError) -> Failure:
    message = error.strerror or os.strerror(error.errno or 0)
    if error.filename is not None:
        where = error.filename if isinstance(error.filename, (str, bytes)) else str(error.filename)
        message = f"{quoted(where)}: {message}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Failure("out_of_space", message, "free space there and run it again", 6)
    return Failure("failed", message, "", 1)


def report(error: BaseException, *, as_json: bool, on_interrupt: str = "") -> int:
    """Print the failure on stderr, with ``as_json`` also as a document on stdout, and return the exit code."""
    failure = explain(error, on_interrupt=on_interrupt)
    if failure.kind == "internal" and os.environ.get("ARTFS_DEBUG"):
        traceback.print_exception(error)
    warn(f"{failure.message}; {failure.hint}" if failure.hint else failure.message)
    unnamed = [shown for shown in map(quoted, failure.paths) if shown not in failure.message]
    for shown in unnamed[:_LISTED_PATHS]:
        say(f"  {shown}")
    if len(unnamed) > _LISTED_PATHS:
        say(f"  and {len(unnamed) - _LISTED_PATHS:,} more")
    if as_json:
        from artfs.documents.errors import ErrorDocument

        write_document(ErrorDocument.of(failure.kind, failure.message, failure.hint))
    return failure.exit_code


def stdout_is_broken() -> bool:
    """Return whether the reader of stdout has closed it, to tell it from a BrokenPipeError of another file."""
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), select.POLLOUT)
        return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
    except (OSError, ValueError, AttributeError):
        return False
