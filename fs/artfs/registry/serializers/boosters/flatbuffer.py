"""Tables of FlatBuffers, read with every offset compared with the bytes that are there."""

from __future__ import annotations

import struct
from typing import Any, Final, Self

from artfs.registry.serializers.libraries import require

__all__ = ["Table"]

_MOST_FIELDS: Final = 64


class Table:
    """A table in a buffer, whose fields have the numbers of the schema.  Raises ValueError for bad offsets."""

    def __init__(self, data: bytes, place: int) -> None:
        self._data, self._place = data, place
        table = place - self._number("<i", place)
        size = self._number("<H", table)
        if size < 4 or size % 2 or (size - 4) // 2 > _MOST_FIELDS:
            raise ValueError("a table of another form")
        self._fields = [self._number("<H", table + 4 + 2 * field) for field in range((size - 4) // 2)]

    @classmethod
    def root(cls, data: bytes) -> Self:
        """Return the table of a whole buffer."""
        if len(data) < 4:
            raise ValueError("an early end")
        return cls(data, int.from_bytes(data[:4], "little"))

    def number(self, field: int, form: str, default: float = 0) -> Any:
        """Return a number of a form of `struct`."""
        place = self._at(field)
        return default if place is None else self._number(form, place)

    def array(self, field: int, dtype: Any) -> Any:
        """Return a vector of numbers as an array of NumPy; one that is not there is empty."""
        numpy = require("numpy", "a model of CatBoost")
        kind = numpy.dtype(dtype)
        start, count = self._vector(field, kind.itemsize)
        return numpy.frombuffer(self._data, dtype=kind, count=count, offset=start) if count else numpy.empty(0, kind)

    def tables(self, field: int) -> list[Table]:
        """Return a vector of tables."""
        start, count = self._vector(field, 4)
        return [Table(self._data, self._target(start + 4 * index)) for index in range(count)]

    def table(self, field: int) -> Table:
        """Return a table that must be there."""
        place = self._at(field)
        if place is None:
            raise ValueError("a part that is missing")
        return Table(self._data, self._target(place))

    def text(self, field: int) -> str:
        """Return a text; one that is not there is empty."""
        start, count = self._vector(field, 1)
        return self._data[start : start + count].decode()

    def _at(self, field: int) -> int | None:
        offset = self._fields[field] if field < len(self._fields) else 0
        return self._place + offset if offset else None

    def _vector(self, field: int, size: int) -> tuple[int, int]:
        place = self._at(field)
        if place is None:
            return 0, 0
        start = self._target(place)
        count = self._number("<I", start)
        if start + 4 + count * size > len(self._data):
            raise ValueError("a vector that ends after the file")
        return start + 4, count

    def _target(self, place: int) -> int:
        return place + int(self._number("<I", place))

    def _number(self, form: str, place: int) -> Any:
        if not 0 <= place <= len(self._data) - struct.calcsize(form):
            raise ValueError("an offset outside of the file")
        return struct.unpack_from(form, self._data, place)[0]
