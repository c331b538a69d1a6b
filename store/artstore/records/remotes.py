"""What a workspace knows of remotes: records of the manifest's tables REMOTES to PUSHES.

A remote is known by its uuid, which stands in its ``artfs-remote.json``.  An artifact that was pushed to a remote or
came from there *tracks* an artifact of it, also a uuid; each of its versions that is there has a *counterpart*.
"""

from __future__ import annotations

import struct
from dataclasses import field
from typing import Any, ClassVar, Final, NamedTuple

from artstore.errors import DamageError
from artstore.records.catalogue import CatalogueRecord, Name
from artstore.records.tables import key32, key64
from artstore.values import value_class

__all__ = [
    "ENTRY",
    "PENDING",
    "PULLED",
    "PUSHED",
    "UUID_LENGTH",
    "WAYS",
    "ContentPlace",
    "Counterpart",
    "Noted",
    "RemoteRecord",
    "counterpart_key",
    "decode_counterpart",
    "decode_noted",
    "decode_place",
    "encode_counterpart",
    "encode_noted",
    "encode_place",
    "parse_counterpart_key",
    "parse_noted_key",
    "parse_place_key",
    "parse_tracked_key",
    "tracked_key",
]

UUID_LENGTH: Final = 16
PENDING: Final = 0
PUSHED: Final = 1
PULLED: Final = 2
WAYS: Final = {PUSHED: "pushed", PULLED: "pulled"}
"""How a version came to have a counterpart, in events; one that is only about to be pushed is in no event."""
ENTRY: Final = ord("e")
_KINDS: Final = frozenset({ENTRY, ord("d"), ord("t")})
_CLASSES: Final = frozenset(b"crlt")
_ID: Final = 32
_COUNTERPART: Final = struct.Struct("<16sIB")
_NOTED: Final = struct.Struct("<QQ")
_PLACE: Final = struct.Struct("<B16sII")
_PACK_BYTES: Final = 128 << 20


@value_class
class RemoteRecord(CatalogueRecord):
    """A remote: its local ``name`` and ``url``, which has no secrets.

    Nothing is written to a ``read_only`` one; an ``anonymous`` one is also read without credentials.  ``broken`` says
    what the last probe found against using it, "" if nothing.  The store was last probed at ``probed_ns`` (0: never),
    with ``probe`` as the result.  The log was read up to entry ``folded``, whose hash is ``head`` in hex.  Names and
    aliases were last aligned with entry ``aligned``, at ``aligned_ns``.  All but the first five is a cache.
    """

    kind: ClassVar[str] = "remote"
    name: Name
    url: Name
    read_only: bool
    added_ns: int
    anonymous: bool = False
    broken: str = ""
    probed_ns: int = 0
    probe: dict[str, Any] = field(default_factory=dict)
    folded: int = 0
    head: str = ""
    aligned: int = 0
    aligned_ns: int = 0


class Counterpart(NamedTuple):
    """The version of a remote that a local version is: its uuid and number, and the ``way`` that it went."""

    uuid: bytes
    number: int
    way: int


class Noted(NamedTuple):
    """An object that a push was about to make at ``at_ns``; of an entry of the log also its ``number``."""

    at_ns: int
    number: int


class ContentPlace(NamedTuple):
    """Bytes ``[offset, offset + stored)`` of the pack ``pack`` in ``folder`` (``d`` or ``t``)."""

    folder: int
    pack: bytes
    offset: int
    stored: int


def tracked_key(artifact: int, remote: bytes) -> bytes:
    """Return the key of TRACKED for an artifact number and a remote."""
    return key64(artifact) + remote


def parse_tracked_key(key: bytes) -> tuple[int, bytes]:
    """Return (artifact number, remote); raise `DamageError` for another key."""
    return int.from_bytes(_sized(key, 8 + UUID_LENGTH)[:8], "big"), key[8:]


def counterpart_key(serial: int, remote: bytes) -> bytes:
    """Return the key of COUNTERPARTS for the serial of a version and a remote."""
    return key32(serial) + remote


def parse_counterpart_key(key: bytes) -> tuple[int, bytes]:
    """Return (serial, remote); raise `DamageError` for another key."""
    return int.from_bytes(_sized(key, 4 + UUID_LENGTH)[:4], "big"), key[4:]


def parse_noted_key(key: bytes) -> tuple[bytes, int, bytes]:
    """Return (remote, kind, id) of a key of PUSHES; raise `DamageError` for another key."""
    remote, kind, ident = _sized(key, 2 * UUID_LENGTH + 1)[:16], key[16], key[17:]
    if kind not in _KINDS:
        raise DamageError(f"a push has noted an object of the unknown kind {kind}")
    return remote, kind, ident


def parse_place_key(key: bytes) -> tuple[bytes, int, bytes]:
    """Return (remote, class, id) of a key of PLACES; raise `DamageError` for another key."""
    remote, klass, ident = _sized(key, UUID_LENGTH + 1 + _ID)[:16], key[16], key[17:]
    if klass not in _CLASSES:
        raise DamageError(f"content of the unknown class {klass} has a place in a remote")
    return remote, klass, ident


def encode_counterpart(counterpart: Counterpart) -> bytes:
    """Return the row's bytes: uuid (16), number u32, way u8."""
    return _COUNTERPART.pack(*counterpart)


def decode_counterpart(payload: bytes) -> Counterpart:
    """Return what `encode_counterpart` was given; raise `DamageError` on anything else."""
    counterpart = Counterpart(*_COUNTERPART.unpack(_sized(payload, _COUNTERPART.size)))
    if counterpart.way not in (PENDING, PUSHED, PULLED):
        raise DamageError(f"a version went the unknown way {counterpart.way} to a remote")
    return counterpart


def encode_noted(noted: Noted) -> bytes:
    """Return the row's bytes: time u64, number u64."""
    return _NOTED.pack(*noted)


def decode_noted(payload: bytes) -> Noted:
    """Return what `encode_noted` was given; raise `DamageError` on anything else."""
    return Noted(*_NOTED.unpack(_sized(payload, _NOTED.size)))


def encode_place(place: ContentPlace) -> bytes:
    """Return the row's bytes: folder u8, pack (16), offset u32, stored u32."""
    return _PLACE.pack(*place)


def decode_place(payload: bytes) -> ContentPlace:
    """Return what `encode_place` was given; raise `DamageError` on anything else."""
    place = ContentPlace(*_PLACE.unpack(_sized(payload, _PLACE.size)))
    if place.folder not in b"dt" or place.offset + place.stored > _PACK_BYTES:
        raise DamageError("content has a place outside of any object of a remote")
    return place


def _sized(data: bytes, length: int) -> bytes:
    if len(data) != length:
        raise DamageError(f"a row of a remote has {len(data)} bytes, not {length}")
    return data
