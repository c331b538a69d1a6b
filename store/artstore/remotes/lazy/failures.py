"""Errors of reading from a remote, which name the version and the file that is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from artstore.errors import DamageError, NotFoundError, OutsideError
from artstore.objects.failures import ObjectMissingError, UnreachableError
from artstore.rows.lazy_source import AbsentError

__all__ = ["ToldError", "damaged", "telling"]


class ToldError(DamageError):
    """Raised for damage in a remote; the message names the object, the version and of content the file."""


def damaged(title: str, name: str, what: str) -> ToldError:
    """Return the error for a version, or the file of a name in it."""
    return ToldError(
        f"{_shown(title, name)} cannot be read from the remote: {what}",
        hint="push the version again from a workspace that has it",
    )


def _shown(title: str, name: str) -> str:
    return f"the file {name!r} of {title}" if name else title


@contextmanager
def telling(title: str, name: str = "") -> Iterator[None]:
    """Have the errors of a store name what is read, also those of a fetch that is put off.

    A missing object is damage: the log says that it is there.  A missing bucket or folder cannot be reached.
    """
    try:
        yield
    except AbsentError as absent:
        raise AbsentError(_telling(absent.fetch, title, name)) from None
    except ObjectMissingError as error:
        raise damaged(title, name, error.message) from error
    except NotFoundError as error:
        raise UnreachableError(_message(title, name, error.message), hint=error.hint) from error
    except OutsideError as error:
        raise type(error)(_message(title, name, error.message), hint=error.hint) from error


def _message(title: str, name: str, what: str) -> str:
    return f"{_shown(title, name)} cannot be read from the remote: {what}"


def _telling(fetch: Callable[[], object], title: str, name: str) -> Callable[[], object]:
    def told() -> object:
        with telling(title, name):
            return fetch()

    return told
