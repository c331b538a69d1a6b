"""The manifest's counters: one record."""

from __future__ import annotations

import struct
from dataclasses import astuple, dataclass, fields
from typing import Final, Self

from artstore.errors import DamageError

__all__ = ["Counters"]


@dataclass(slots=True)
class Counters:
    """The numbers given out next, the journal's end, and the running totals; one record of META."""

    next_node: int = 16
    next_serial: int = 1
    next_name: int = 1
    next_pack: int = 1
    next_draft: int = 1
    next_alias: int = 1
    journal_end: int = 0
    stored_bytes: int = 0
    logical_bytes: int = 0
    versions: int = 0
    free_bytes: int = 0
    framing_bytes: int = 0
    next_entry: int = 1
    deadlist_entries: int = 0
    condemned_bytes: int = 0
    journal_generation: int = 0
    next_run: int = 1

    def encode(self) -> bytes:
        """Return the record: each counter as u64, in the order of the fields.

        Raises `DamageError` if one is not what `decode` accepts: what it was counted from was wrong.
        """
        values = astuple(self)
        if not all(0 <= value <= _LARGEST for value in values):
            raise DamageError("the manifest's counters would be out of range")
        return _COUNTERS.pack(*values)

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Return the counters of a record; raise `DamageError` if it is malformed.

        A record that was written before a counter was added lacks it: the counter then has its first value.
        """
        if len(payload) % 8 or not _FIRST <= len(payload) <= _COUNTERS.size:
            raise DamageError("the manifest's counters are malformed")
        values = struct.unpack(f"<{len(payload) // 8}Q", payload)
        if max(values) > _LARGEST:
            raise DamageError("the manifest's counters are out of range")
        return cls(*values)


_LARGEST: Final = (1 << 63) - 1
_FIRST: Final = 12 * 8
"""Bytes of the record in the first workspaces."""
_COUNTERS: Final = struct.Struct(f"<{len(fields(Counters))}Q")
