"""Records of released data: deadlist entries, condemned extents, and free extents.

An entry of the deadlist holds one reference to each node that it lists.  A deleted version's entry lists its root; an
entry that is being reaped lists the nodes still to be freed; the rest of a draft is an entry without a version.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from artstore.errors import DamageError

__all__ = [
    "Condemned",
    "DeadEntry",
    "Free",
    "decode_condemned",
    "decode_entry",
    "decode_free",
    "encode_condemned",
    "encode_entry",
    "encode_free",
    "entry_key",
]

_ENTRY: Final = struct.Struct("<BBIQIQqI")
_VERSION: Final = 1
_STARTED: Final = 1
_PURGE: Final = 2
_FLAGS: Final = _STARTED | _PURGE
_KEY: Final = struct.Struct(">QQ")
_CONDEMNED_KEY: Final = struct.Struct(">QII")
_CONDEMNED: Final = struct.Struct("<IB")
_FREE_KEY: Final = struct.Struct(">II")
_FREE: Final = struct.Struct("<II")
_FREE_OLD: Final = struct.Struct("<I")


class DeadEntry(NamedTuple):
    """An entry of the deadlist.

    It may be reaped from ``due_ns`` on (nanoseconds since 1970).  ``number`` identifies the entry and is never reused.
    ``serial``, ``artifact`` and ``version`` name the deleted version, 0 for none.  ``transaction`` is the LMDB
    transaction that added it.  ``nodes`` hold one reference each; the last is taken next.  ``started``: some of its
    nodes have been freed, so the version cannot be undeleted.  ``purge``: freed bytes are overwritten first.
    """

    due_ns: int
    number: int
    serial: int
    artifact: int
    version: int
    transaction: int
    added_ns: int
    nodes: tuple[int, ...]
    started: bool = False
    purge: bool = False


class Condemned(NamedTuple):
    """Bytes of a pack without references since ``transaction``, which an older reader may still read.

    ``purge``: they are overwritten with zeros before they are freed.
    """

    transaction: int
    pack: int
    offset: int
    length: int
    purge: bool = False


class Free(NamedTuple):
    """A gap in a pack; ``punched`` of its bytes are a hole and take no room on the disk."""

    pack: int
    offset: int
    length: int
    punched: int

    @property
    def end(self) -> int:
        """The offset after the gap."""
        return self.offset + self.length


def entry_key(due_ns: int, number: int) -> bytes:
    """Return the key of a deadlist entry: keys sort by due time."""
    return _KEY.pack(due_ns, number)


def encode_entry(entry: DeadEntry) -> tuple[bytes, bytes]:
    """Return (key, payload) of an entry."""
    flags = _STARTED * entry.started | _PURGE * entry.purge
    head = _ENTRY.pack(
        _VERSION,
        flags,
        entry.serial,
        entry.artifact,
        entry.version,
        entry.transaction,
        entry.added_ns,
        len(entry.nodes),
    )
    return entry_key(entry.due_ns, entry.number), head + struct.pack(f"<{len(entry.nodes)}Q", *entry.nodes)


def decode_entry(key: bytes, payload: bytes) -> DeadEntry:
    """Return the entry of a row; raise `DamageError` on anything malformed."""
    try:
        due_ns, number = _KEY.unpack(key)
        form, flags, serial, artifact, version, transaction, added_ns, count = _ENTRY.unpack_from(payload)
    except struct.error as error:
        raise DamageError("an entry of the deadlist is cut short") from error
    if form != _VERSION or flags & ~_FLAGS or len(payload) != _ENTRY.size + 8 * count or not count:
        raise DamageError(f"entry {number} of the deadlist is malformed")
    nodes = struct.unpack_from(f"<{count}Q", payload, _ENTRY.size)
    started, purge = bool(flags & _STARTED), bool(flags & _PURGE)
    return DeadEntry(due_ns, number, serial, artifact, version, transaction, added_ns, nodes, started, purge)


def encode_condemned(row: Condemned) -> tuple[bytes, bytes]:
    """Return (key, payload) of a condemned extent."""
    return _CONDEMNED_KEY.pack(row.transaction, row.pack, row.offset), _CONDEMNED.pack(row.length, row.purge)


def decode_condemned(key: bytes, payload: bytes) -> Condemned:
    """Return the condemned extent of a row; raise `DamageError` on anything malformed."""
    try:
        transaction, pack, offset = _CONDEMNED_KEY.unpack(key)
        length, purge = _CONDEMNED.unpack(payload)
    except struct.error as error:
        raise DamageError("the record of a condemned extent is malformed") from error
    if purge not in (0, 1):
        raise DamageError(f"the condemned extent at {offset} of pack {pack} has the unknown flag {purge}")
    return Condemned(transaction, pack, offset, length, bool(purge))


def encode_free(row: Free) -> tuple[bytes, bytes]:
    """Return (key, payload) of a free extent."""
    return _FREE_KEY.pack(row.pack, row.offset), _FREE.pack(row.length, row.punched)


def decode_free(key: bytes, payload: bytes) -> Free:
    """Return the free extent of a row; raise `DamageError` on anything malformed.

    The first workspaces wrote payloads of four bytes: no part of such an extent is a hole.
    """
    try:
        pack, offset = _FREE_KEY.unpack(key)
        length, punched = (*_FREE_OLD.unpack(payload), 0) if len(payload) == 4 else _FREE.unpack(payload)
    except struct.error as error:
        raise DamageError("the record of a free extent is malformed") from error
    if punched > length:
        raise DamageError(f"the free extent at {offset} of pack {pack} has a hole larger than itself")
    return Free(pack, offset, length, punched)
