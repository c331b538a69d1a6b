"""The seal on an LMDB value: four bytes of XXH3 over the payload, seeded by the table and the key.

LMDB has no checksums of its own.  The seed makes a record that turns up under another key, or in another table, as
wrong as one with a flipped bit.
"""

from __future__ import annotations

from typing import Final

from xxhash import xxh3_64_intdigest

from artstore.errors import DamageError

__all__ = ["SEAL_LENGTH", "seal", "seal_numbered", "unseal", "unseal_numbered"]

SEAL_LENGTH: Final = 4
_MASK: Final = 0xFFFFFFFF


def seal(table: int, key: bytes, payload: bytes) -> bytes:
    """Return ``payload`` followed by its checksum for ``key`` of ``table`` (a small integer)."""
    return payload + (xxh3_64_intdigest(payload, xxh3_64_intdigest(key, table)) & _MASK).to_bytes(4, "little")


def unseal(table: int, key: bytes, value: bytes) -> bytes:
    """Return the payload of a sealed value; raise `DamageError` if the checksum does not fit."""
    payload = value[:-SEAL_LENGTH]
    if xxh3_64_intdigest(payload, xxh3_64_intdigest(key, table)) & _MASK != int.from_bytes(value[-4:], "little"):
        raise DamageError(f"the record {key!r} of table {table} is damaged")
    return payload


def seal_numbered(table: int, number: int, payload: bytes) -> bytes:
    """Seal the record of an integer key; quicker than `seal`, for the tables that hold one row per node."""
    return payload + (xxh3_64_intdigest(payload, (table << 56) ^ number) & _MASK).to_bytes(4, "little")


def unseal_numbered(table: int, number: int, value: bytes) -> bytes:
    """Return the payload of a value sealed by `seal_numbered`; raise `DamageError` if the checksum does not fit."""
    payload = value[:-SEAL_LENGTH]
    if xxh3_64_intdigest(payload, (table << 56) ^ number) & _MASK != int.from_bytes(value[-4:], "little"):
        raise DamageError(f"the record number {number} of table {table} is damaged")
    return payload
