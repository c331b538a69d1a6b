"""Rows of the table VIEWS: where the root of a version lies that is in a remote and not in this workspace."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from artstore.errors import DamageError

__all__ = ["SpanPlace", "ViewedPlace", "decode_viewed", "encode_viewed"]

_PLACE: Final = struct.Struct("<16s16s16sII32sQQQ")
_RECORD: Final = struct.Struct("<16sII32s")


class SpanPlace(NamedTuple):
    """A part of a tree pack: the id of the pack, the offset, the length, and the BLAKE3 of the bytes."""

    pack: bytes
    offset: int
    length: int
    hash: bytes


class ViewedPlace(NamedTuple):
    """A version of a remote: its uuid there, the span of its root, its totals, and the span of its description."""

    remote: bytes
    uuid: bytes
    root: SpanPlace
    entries: int
    files: int
    bytes: int
    record: SpanPlace | None


def encode_viewed(place: ViewedPlace) -> bytes:
    """Return the row of a version."""
    head = _PLACE.pack(place.remote, place.uuid, *place.root, place.entries, place.files, place.bytes)
    return head if place.record is None else head + _RECORD.pack(*place.record)


def decode_viewed(payload: bytes) -> ViewedPlace:
    """Return what `encode_viewed` was given; raise `DamageError` for anything else."""
    if len(payload) not in (_PLACE.size, _PLACE.size + _RECORD.size):
        raise DamageError(f"the row of a version in a remote has {len(payload)} bytes")
    remote, uuid, pack, offset, length, digest, entries, files, size = _PLACE.unpack_from(payload)
    record = SpanPlace(*_RECORD.unpack_from(payload, _PLACE.size)) if len(payload) > _PLACE.size else None
    return ViewedPlace(remote, uuid, SpanPlace(pack, offset, length, digest), entries, files, size, record)
