"""Condemn lists: the packs that one collection gives up, as an object of the class ``t`` that the entry names.

    list   "ARTFSCND" · format u16 = 1 · count u32 · count x (class u8 · pack 16) in rising order

A list is never condemned itself: pushers read all lists that they have not read.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from artstore.errors import DamageError
from artstore.remotes.log.fields import ID, U32, Cursor

__all__ = ["Pack", "decode_condemn_list", "encode_condemn_list", "pack_name", "parse_pack_name"]

_HEAD: Final = b"ARTFSCND\1\0"
_CLASSES: Final = "dt"


class Pack(NamedTuple):
    """A pack: its class, ``d`` or ``t``, and its id."""

    kind: str
    id: bytes


def pack_name(pack: Pack) -> str:
    """Return the name of a pack's object."""
    digits = pack.id.hex()
    return f"{pack.kind}/{digits[:2]}/{digits}"


def parse_pack_name(name: str) -> Pack | None:
    """Return the pack that an object is, None for any other object."""
    try:
        pack = Pack(name[:1], bytes.fromhex(name[5:]))
    except ValueError:
        return None
    return pack if pack.kind in _CLASSES and len(pack.id) == 16 and pack_name(pack) == name else None


def encode_condemn_list(packs: Iterable[Pack]) -> bytes:
    """Return the bytes of a list of packs."""
    out = bytearray(_HEAD)
    rows = sorted(set(packs))
    U32.write(out, len(rows))
    for pack in rows:
        out += pack.kind.encode()
        ID.write(out, pack.id)
    return bytes(out)


def decode_condemn_list(data: bytes) -> list[Pack]:
    """Return the packs of a list; raise `DamageError` for bytes that are none."""
    cursor = Cursor(data)
    if cursor.take(len(_HEAD)) != _HEAD:
        raise DamageError("it is not a list of condemned packs")
    packs = [Pack(chr(cursor.take(1)[0]), cursor.take(16)) for _ in range(U32.read(cursor))]
    if cursor.left or packs != sorted(set(packs)) or any(pack.kind not in _CLASSES for pack in packs):
        raise DamageError("a list of condemned packs is out of order")
    return packs
