"""Columns of numbers by byte planes: the first byte of every number, then the second, and so on.

The upper bytes of sizes, times and places hardly change from row to row, so that zstd stores their planes in a few
bytes; rows of fixed width would hide that from it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Final

from artstore.errors import DamageError
from artstore.ids import ID_LENGTH
from artstore.remotes.packs.places import Pack, check_pack

__all__ = ["ColumnReader", "PackTable", "in_order", "pack_columns", "unpack_column"]

_WIDTHS: Final = {"B": 1, "H": 2, "I": 4, "Q": 8, "q": 8}
_PACK: Final = struct.Struct("<B16s")


def pack_columns(codes: str, rows: Sequence[tuple[int, ...]]) -> bytes:
    """Return rows as columns of the given `struct` codes; raise `DamageError` for a number that does not fit."""
    if not rows:
        return b""
    columns = zip(*rows, strict=True)
    try:
        return b"".join([_packed(code, column) for code, column in zip(codes, columns, strict=True)])
    except struct.error as error:
        raise DamageError(f"a number is too large for a column: {error}") from error


def _packed(code: str, values: tuple[int, ...]) -> bytes:
    data = struct.pack(f"<{len(values)}{code}", *values)
    width = _WIDTHS[code]
    return data if width == 1 else b"".join([data[plane::width] for plane in range(width)])


def unpack_column(code: str, data: bytes) -> tuple[int, ...]:
    """Return the numbers of a column; its length says how many."""
    width = _WIDTHS[code]
    count = len(data) // width
    if width > 1:
        rows = bytearray(len(data))
        for plane in range(width):
            rows[plane::width] = data[plane * count : (plane + 1) * count]
        data = bytes(rows)
    return struct.unpack(f"<{count}{code}", data)


def in_order(used: Iterable[int], count: int) -> bool:
    """Return whether numbers below ``count`` are used, each, in the order of their first use."""
    return list(dict.fromkeys(used)) == list(range(count))


class PackTable:
    """The packs that a record leads to, in the order of their first use."""

    def __init__(self, packs: Sequence[Pack] = ()) -> None:
        self._numbers = {pack: number for number, pack in enumerate(packs)}
        self.packs = list(packs)

    def __len__(self) -> int:
        return len(self._numbers)

    def number(self, pack: Pack) -> int:
        """Return the number of a pack, which is added if it is new; raise `DamageError` if it is none."""
        number = self._numbers.get(pack)
        if number is None:
            check_pack(pack)
            number = self._numbers[pack] = len(self._numbers)
        return number

    def encode(self) -> bytes:
        """Return the bytes of the table."""
        return b"".join([_PACK.pack(*pack) for pack in self._numbers])

    def check(self, used: Iterable[int]) -> None:
        """Raise `DamageError` unless numbers use each pack, in this order, and none comes twice."""
        if len(self._numbers) != len(self.packs) or not in_order(used, len(self.packs)):
            raise DamageError("a record has a table of packs that are not used in order")


class ColumnReader:
    """Take the parts of a record one after another; a part that is not all there raises `DamageError`."""

    def __init__(self, data: bytes, position: int, what: str) -> None:
        self._data = data
        self._position = position
        self._what = what

    def take(self, length: int) -> bytes:
        """Return the next bytes."""
        end = self._position + length
        if end > len(self._data):
            raise DamageError(f"{self._what} is cut short")
        part = self._data[self._position : end]
        self._position = end
        return part

    def packs(self, count: int) -> PackTable:
        """Return the next packs as a table."""
        packs = [Pack(*fields) for fields in _PACK.iter_unpack(self.take(count * _PACK.size))]
        for pack in packs:
            check_pack(pack)
        return PackTable(packs)

    def columns(self, codes: str, count: int) -> list[tuple[int, ...]]:
        """Return the next columns, of ``count`` numbers each."""
        return [unpack_column(code, self.take(count * _WIDTHS[code])) for code in codes]

    def ids(self, count: int) -> list[bytes]:
        """Return the next ids."""
        data = self.take(count * ID_LENGTH)
        return [data[at : at + ID_LENGTH] for at in range(0, len(data), ID_LENGTH)]

    def finish(self) -> None:
        """Raise `DamageError` if bytes are left over."""
        if self._position != len(self._data):
            raise DamageError(f"{self._what} has bytes left over")
