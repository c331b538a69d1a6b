"""The protocol of object stores: small operations on named, immutable objects below one prefix.

Guarantees that every implementation gives, and that `artstore.objects.probing` tries on the real store:

1. `ObjectStore.create` stores an object only if there is none of that name; of callers that race, one wins.
2. What was created is read, and listed, by every later call of any machine.
3. A list has the names in order, each once, and none from outside the prefix.
4. A missing object is distinguished from a store that did not answer, and from a right that is missing.

Names are relative to the store's prefix: parts of ``A-Z a-z 0-9 . _ -`` separated by slashes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from artstore.errors import InvalidInputError

__all__ = [
    "LARGEST_OBJECT",
    "LONGEST_NAME",
    "PROBES",
    "ObjectInfo",
    "ObjectStore",
    "checked_name",
    "checked_prefix",
    "checked_range",
]

LARGEST_OBJECT: Final = 256 << 20
"""Bytes of an object that is created, and of what one call reads."""
LONGEST_NAME: Final = 200
"""Characters of a name, relative to the prefix; stores take 1,024 bytes with it."""
PROBES: Final = "probe/"
"""Where probes create objects, which they remove; nothing there has to survive anything."""
_PART: Final = r"[A-Za-z0-9_-][A-Za-z0-9._-]*"
_NAME: Final = re.compile(rf"{_PART}(?:/{_PART})*")
_PREFIX: Final = re.compile(rf"(?:{_PART}/)*")


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object as a store describes it.

    ``modified`` is the store's Last-Modified in seconds since 1970, 0.0 if it is unknown.
    """

    name: str
    size: int
    modified: float


class ObjectStore(Protocol):
    """A place of objects; any number of threads may use one.

    Every method raises `NoRightError` if the store refuses these credentials, `UnreachableError` if it does not answer
    within the time-out, and `OutsideError` for any other failure.  Methods that write raise `StoreFullError` for a
    quota or a full disk, and `RefusedError` if the store is open for reading only.
    """

    @property
    def url(self) -> str:
        """The address, without secrets."""

    def create(self, name: str, body: bytes) -> bool:
        """Store an object unless there is one of that name; return whether the object has this body.

        A body that may race others holds an id, so that its bytes tell whose it is: True means that this call stored
        it, or an earlier call with equal bytes; False that another body has the name.  An answer that does not say
        which (a conflict, a time-out, a server's error) is followed by reading the object, a limited number of times.

        Raises `UnknownOutcomeError` if it stays unknown whether the object was stored: run it again later.
        """

    def read(self, name: str, start: int = 0, length: int | None = None, *, fresh: bool = False) -> bytes:
        """Return exactly ``length`` bytes of an object from ``start`` on, or all that follow.

        ``fresh`` asks caches on the way to ask the store.  Raises `ObjectMissingError` if there is no such object,
        `WrongAnswerError` for an answer of another length, also if the object ends before.
        """

    def head(self, name: str) -> ObjectInfo:
        """Describe an object; raise `ObjectMissingError` if there is none."""

    def replace(self, name: str, body: bytes) -> None:
        """Store an object in place of any of that name: only for hints, whose loss is harmless."""

    def list(self, prefix: str, *, after: str = "") -> Iterator[ObjectInfo]:
        """Yield the objects below a prefix in the order of their names, those after the name ``after`` only.

        ``prefix`` ends with a slash or is empty.  Raises `WrongAnswerError` for a store whose list has an object that
        is not below it, or no order.
        """

    def delete(self, names: Iterable[str]) -> None:
        """Remove objects; names without an object are no error."""

    def remarks(self, name: str) -> Sequence[str]:
        """Return sentences about what bodes ill for an object: versions are kept of it, or a rule will remove it."""

    def date(self) -> float | None:
        """Return the store's clock in seconds since 1970, from its last answer; None if it has told none."""


def checked_name(name: str) -> str:
    """Return the name of an object; raise `InvalidInputError` for one that this project does not give."""
    if len(name) > LONGEST_NAME or not _NAME.fullmatch(name):
        raise InvalidInputError(f"{name!r:.250} is not a name of an object")
    return name


def checked_prefix(prefix: str) -> str:
    """Return a prefix of names: empty, or with a slash at its end; raise `InvalidInputError` for any other."""
    if len(prefix) > LONGEST_NAME or not _PREFIX.fullmatch(prefix):
        raise InvalidInputError(f"{prefix!r:.250} is not a prefix of names of objects")
    return prefix


def checked_range(start: int, length: int | None) -> None:
    """Raise `InvalidInputError` for a range that no object has, or that is too long to be held in memory."""
    if start < 0 or (length is not None and not 0 <= length <= LARGEST_OBJECT):
        raise InvalidInputError(f"an object cannot be read from byte {start} on for {length} bytes")
