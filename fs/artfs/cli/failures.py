"""Failures of commands: one sentence, a stable kind and an exit code each."""

from __future__ import annotations

import errno
import os
import re
import select
import sys
from typing import NamedTuple

import click

from artfs.cli.exit_codes import ExitCode
from artfs.cli.output import quoted, say, warn, write_document
from artstore.errors import ArtfsError
from artstore.limits import machine_error

__all__ = ["Failure", "explain", "report", "stdout_is_broken"]

_LISTED_PATHS = 1000

_SYSTEM_CODES = {
    errno.ENOENT: ("not_found", ExitCode.NOT_FOUND),
    errno.ENOTDIR: ("invalid_input", ExitCode.USAGE),
    errno.EISDIR: ("invalid_input", ExitCode.USAGE),
    errno.ENAMETOOLONG: ("invalid_input", ExitCode.USAGE),
    errno.EROFS: ("refused", ExitCode.REFUSED),
    errno.ENOSPC: ("out_of_space", ExitCode.OUT_OF_SPACE),
    errno.EDQUOT: ("out_of_space", ExitCode.OUT_OF_SPACE),
}
"""The kind and exit code of an error of the operating system; any other is a failure."""


class Failure(NamedTuple):
    """A failure ready to be printed.

    ``paths`` are the files concerned; those that the sentence does not name are listed after it.
    """

    kind: str
    message: str
    hint: str
    exit_code: int
    paths: tuple[bytes, ...] = ()


def explain(error: BaseException, *, on_interrupt: str = "", command: str = "") -> Failure:
    """Return the failure for an exception; an unexpected exception is an internal error.

    Wrong usage without a hint of its own leads to the help of ``command``.
    """
    if isinstance(error, KeyboardInterrupt):
        return Failure("interrupted", "interrupted", on_interrupt, ExitCode.INTERRUPTED)
    if isinstance(error, ArtfsError):
        paths = tuple(os.fsencode(path) for path in getattr(error, "paths", ()))
        hint = error.hint
        if not hint and error.exit_code == ExitCode.USAGE and command:
            hint = f"see '{command} --help'"
        return Failure(error.kind, error.message, hint, error.exit_code, paths)
    if isinstance(error, click.UsageError):
        command = error.ctx.command_path if error.ctx is not None else command or "artfs"
        return Failure("usage", _usage_sentence(error), f"see '{command} --help'", ExitCode.USAGE)
    if isinstance(error, click.ClickException):
        return Failure("failed", _sentence(error.format_message()), "", ExitCode.FAILED)
    found = machine_error(error, quoted(_place(error)) if _place(error) else "")
    if found is not None:
        return Failure(found.kind, found.message, found.hint, found.exit_code)
    if isinstance(error, OSError) and error.errno is not None:
        return _system_failure(error)
    what = " ".join(f"{type(error).__name__}: {error}".split())
    return Failure("internal", f"internal error: {what}", _PLEASE_REPORT, ExitCode.FAILED)


_PLEASE_REPORT = "this is a bug in artfs, please report it (ARTFS_DEBUG=1 shows where)"


def _sentence(text: str) -> str:
    # click puts a question behind the sentence, in brackets if there are several candidates.
    text = re.sub(r"\. \(?(Did you mean .*\?)\)?$", r"; \1", " ".join(text.split()).rstrip("."))
    text = re.sub(r"; Did you", "; did you", text)
    return text[:1].lower() + text[1:]


def _usage_sentence(error: click.UsageError) -> str:
    """Return what is wrong with the command line; click's words for numbers are those of its types."""
    if isinstance(error, click.BadParameter) and error.param is not None:
        kind, name = error.param.type, error.param.opts[0] if error.param.param_type_name == "option" else ""
        value = re.match(r"'?(.*?)'? is not", error.message)
        if isinstance(kind, click.IntRange) and value:
            bounds = f"at least {kind.min}" if kind.max is None else f"from {kind.min} to {kind.max}"
            return f"{name} takes a whole number of {bounds}, not {value[1]!r}".strip()
        if isinstance(kind, click.Choice) and value:
            return f"{name} {value[1]!r} is not one of {', '.join(map(str, kind.choices))}".strip()
        if name and value:
            return f"{name}: {error.message}"
    return _sentence(error.format_message())


def _system_failure(error: OSError) -> Failure:
    from artstore.locate import has_current_folder

    if error.errno == errno.ENOENT and error.filename is None and not has_current_folder():
        what = "the current folder no longer exists: it was removed, or its version was deleted"
        return Failure("not_found", what, "change to another folder: cd", ExitCode.NOT_FOUND)
    message = error.strerror or os.strerror(error.errno or 0)
    if error.filename is not None:
        message = f"{quoted(_place(error))}: {message}"
    kind, code = _SYSTEM_CODES.get(error.errno or 0, ("failed", ExitCode.FAILED))
    return Failure(kind, message, "free space there and run it again" if code is ExitCode.OUT_OF_SPACE else "", code)


def _place(error: BaseException) -> str | bytes:
    """Return the path that an error of the operating system names, or ""."""
    place = getattr(error, "filename", None)
    return "" if place is None else place if isinstance(place, (str, bytes)) else str(place)


def report(error: BaseException, *, as_json: bool, on_interrupt: str = "", command: str = "") -> int:
    """Print the failure on stderr, with ``as_json`` also as a document on stdout, and return the exit code."""
    failure = explain(error, on_interrupt=on_interrupt, command=command)
    if failure.kind == "internal" and os.environ.get("ARTFS_DEBUG"):
        import traceback

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
