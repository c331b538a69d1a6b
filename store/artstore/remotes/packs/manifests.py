"""Push manifests: the objects that one push has added, and the set of all packs that its version uses.

    manifest   format u8 = 1 · 3 zeros · packs in the set u32 · objects u32 · set · objects
    set        hash 32 · folder u8 · id 16 · offset u32 · stored u32 · size u32
    object     folder u8 · id 16 · length u64 · BLAKE3 32

Objects are in the order of their ids.  The object that holds the manifest is not among them: its hash covers the
manifest.
"""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import Final, NamedTuple

from artstore.errors import DamageError
from artstore.ids import ID_LENGTH
from artstore.remotes.packs.containers import LARGEST_FORM
from artstore.remotes.packs.located import FormPlace
from artstore.remotes.packs.places import PACK_LENGTH, Pack, Place, check_pack, check_place

__all__ = ["AddedPack", "PushManifest", "decode_manifest", "encode_manifest"]

_FORMAT: Final = 1
_HEAD: Final = struct.Struct("<B3sII")
_SET: Final = struct.Struct("<32sB16sIII")
_OBJECT: Final = struct.Struct("<B16sQ32s")


class AddedPack(NamedTuple):
    """An object that a push has added: its length in bytes, and the BLAKE3 of all of them."""

    pack: Pack
    length: int
    hash: bytes


class PushManifest(NamedTuple):
    """What one push has added, and where the set of the ``total`` packs that its version uses lies."""

    objects: tuple[AddedPack, ...]
    packs: FormPlace
    total: int


def encode_manifest(manifest: PushManifest) -> bytes:
    """Return the record's bytes; raise `DamageError` if a reader would refuse it."""
    _check(manifest)
    digest, size, place = manifest.packs
    head = _HEAD.pack(_FORMAT, bytes(3), manifest.total, len(manifest.objects))
    where = _SET.pack(digest, *place.pack, place.offset, place.stored, size)
    return b"".join([head, where, *[_OBJECT.pack(*pack, length, check) for pack, length, check in manifest.objects]])


def decode_manifest(raw: bytes) -> PushManifest:
    """Return the manifest that `encode_manifest` wrote; raise `DamageError` on anything else."""
    try:
        format_number, zeros, count, objects = _HEAD.unpack_from(raw)
        digest, folder, ident, offset, stored, size = _SET.unpack_from(raw, _HEAD.size)
    except struct.error as error:
        raise DamageError("a push manifest is cut short") from error
    body = memoryview(raw)[_HEAD.size + _SET.size :]
    if format_number != _FORMAT or zeros != bytes(3) or len(body) != objects * _OBJECT.size:
        raise DamageError(f"a push manifest is malformed (format {format_number}, {objects} objects)")
    added = tuple([AddedPack(Pack(*fields[:2]), *fields[2:]) for fields in _OBJECT.iter_unpack(body)])
    manifest = PushManifest(added, FormPlace(digest, size, Place(Pack(folder, ident), offset, stored)), count)
    _check(manifest)
    return manifest


def _check(manifest: PushManifest) -> None:
    digest, size, place = manifest.packs
    check_pack(place.pack)
    check_place(place)
    if not 0 < size <= LARGEST_FORM or not 0 < place.stored <= LARGEST_FORM or len(digest) != ID_LENGTH:
        raise DamageError("a push manifest has a set of packs of invalid sizes")
    for pack, length, check in manifest.objects:
        check_pack(pack)
        if not 0 < length <= PACK_LENGTH or len(check) != ID_LENGTH:
            raise DamageError("a push manifest has an object of an invalid length")
    if any(one.pack.id >= following.pack.id for one, following in pairwise(manifest.objects)):
        raise DamageError("a push manifest has its objects out of order")
