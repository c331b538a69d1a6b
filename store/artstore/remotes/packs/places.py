"""Where something lies in a remote: the object, the offset, and the length that is stored there."""

from __future__ import annotations

import os
import re
from typing import Final, NamedTuple, Protocol

from artstore.errors import DamageError, InvalidInputError

__all__ = [
    "DATA",
    "NOWHERE",
    "PACK_ID_LENGTH",
    "PACK_LENGTH",
    "TREES",
    "Fetch",
    "Pack",
    "PackDamageError",
    "Place",
    "check_pack",
    "check_place",
    "new_pack",
    "parse_object_name",
]

PACK_ID_LENGTH: Final = 16
PACK_LENGTH: Final = 128 << 20
"""Bytes of an object, at most: writers end one at half of that."""
DATA: Final = ord("d")
"""The folder of data packs, whose objects may lie in a colder class."""
TREES: Final = ord("t")
"""The folder of tree packs, whose objects are always in the hot class."""
_NAME: Final = re.compile(r"([dt])/([0-9a-f]{2})/(\2[0-9a-f]{30})")


class Pack(NamedTuple):
    """An object with stored forms: its folder, `DATA` or `TREES`, and its random id, which is never used twice."""

    folder: int
    id: bytes

    @property
    def object_name(self) -> str:
        """The name of the object below the remote's prefix, such as ``d/5f/5f…``."""
        ident = self.id.hex()
        return f"{self.folder:c}/{ident[:2]}/{ident}"


class Place(NamedTuple):
    """Bytes ``[offset, offset + stored)`` of an object."""

    pack: Pack
    offset: int
    stored: int


NOWHERE: Final = Place(Pack(DATA, bytes(PACK_ID_LENGTH)), 0, 0)
"""The place of content without bytes."""


class PackDamageError(DamageError):
    """Raised for an object that is missing or has other bytes than it should; ``pack`` names it, ``what`` says why."""

    pack: Pack | None = None
    what: str = ""

    @classmethod
    def of(cls, pack: Pack, what: str, *, message: str = "", hint: str = "") -> PackDamageError:
        """Return the error; its message is by default that the object has what is wrong."""
        error = cls(message or f"the object {pack.object_name} is damaged: {what}", hint=hint)
        error.pack, error.what = pack, what
        return error


class Fetch(Protocol):
    """Return bytes ``[offset, offset + length)`` of an object; ``fresh``: not from a cache between here and the store.

    A short answer is allowed: the caller takes it for damage.
    """

    def __call__(self, pack: Pack, offset: int, length: int, *, fresh: bool = False) -> bytes:
        """Return the bytes; raise an error of the store for an object that cannot be read."""
        ...


def new_pack(folder: int) -> Pack:
    """Return the name of an object that never existed."""
    return Pack(folder, os.urandom(PACK_ID_LENGTH))


def parse_object_name(name: str) -> Pack:
    """Return the pack that an object's name stands for; raise `InvalidInputError` if it is no pack's name."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise InvalidInputError(f"{name!r} is not the name of a pack")
    return Pack(ord(match[1]), bytes.fromhex(match[3]))


def check_pack(pack: Pack) -> None:
    """Raise `DamageError` unless the folder and the length of the id are those of a pack."""
    if pack.folder not in (DATA, TREES) or len(pack.id) != PACK_ID_LENGTH:
        raise DamageError(f"a pack is in the unknown folder {pack.folder} or has an id of {len(pack.id)} bytes")


def check_place(place: Place) -> None:
    """Raise `DamageError` for a place outside of any object."""
    if place.offset + place.stored > PACK_LENGTH:
        raise DamageError("a record leads to bytes outside of the object that they are in")
