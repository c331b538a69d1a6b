"""Thrift's compact protocol, in which Parquet writes its footer and the headers of pages.

A structure is a dictionary of values by field id.  What is read takes no more memory than its bytes justify: a list
must have a byte for each element.  What is written has (type, value) by field id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

__all__ = ["BINARY", "I32", "I64", "LIST", "STRUCT", "Field", "ThriftError", "encoded", "read_struct"]

Field = tuple[int, Any]
"""The type and the value of a field; the value of a list is (type of the elements, elements)."""

_TRUE, _FALSE, _BYTE, _I16 = 1, 2, 3, 4
I32: Final = 5
I64: Final = 6
_DOUBLE: Final = 7
BINARY: Final = 8
LIST: Final = 9
STRUCT: Final = 12
_DEEPEST: Final = 8
_LONGEST_NUMBER: Final = 63


class ThriftError(ValueError):
    """Raised for bytes that are no structure."""


def read_struct(content: bytes, place: int = 0) -> tuple[dict[int, Any], int]:
    """Return the structure at a place of ``content``, and where it ends; raise `ThriftError` if there is none."""
    reader = _Reader(content, place)
    return reader.struct(0), reader.place


class _Reader:
    def __init__(self, content: bytes, place: int) -> None:
        self._content = content
        self.place = place

    def struct(self, depth: int) -> dict[int, Any]:
        if depth > _DEEPEST:
            raise ThriftError("structures are nested too deeply")
        fields: dict[int, Any] = {}
        ident = 0
        while head := self._byte():
            ident = ident + (head >> 4) if head >> 4 else self._integer()
            fields[ident] = self._value(head & 15, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if kind in (_TRUE, _FALSE):
            return kind == _TRUE
        if kind in (_I16, I32, I64):
            return self._integer()
        if kind == BINARY:
            return self._bytes(self._number())
        if kind == STRUCT:
            return self.struct(depth + 1)
        if kind == LIST:
            return self._list(depth)
        if kind == _BYTE:
            return self._byte()
        if kind == _DOUBLE:
            return self._bytes(8)
        raise ThriftError(f"the type {kind} is unknown")

    def _list(self, depth: int) -> list[Any]:
        head = self._byte()
        kind = head & 15
        count = head >> 4 if head >> 4 < 15 else self._number()
        if count > len(self._content) - self.place:
            raise ThriftError("a list is longer than what it is in")
        if kind in (_TRUE, _FALSE):
            return [self._byte() == _TRUE for _ in range(count)]
        return [self._value(kind, depth + 1) for _ in range(count)]

    def _byte(self) -> int:
        if self.place >= len(self._content):
            raise ThriftError("a structure has no end")
        self.place += 1
        return self._content[self.place - 1]

    def _bytes(self, length: int) -> bytes:
        if length > len(self._content) - self.place:
            raise ThriftError("a text is longer than what it is in")
        self.place += length
        return self._content[self.place - length : self.place]

    def _number(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift > _LONGEST_NUMBER:
                raise ThriftError("a number is too long")

    def _integer(self) -> int:
        value = self._number()
        return (value >> 1) ^ -(value & 1)


def encoded(fields: Mapping[int, Field]) -> bytes:
    """Return a structure as bytes."""
    out = bytearray()
    last = 0
    for ident in sorted(fields):
        kind, value = fields[ident]
        delta = ident - last
        out += bytes([delta << 4 | kind]) if delta < 16 else bytes([kind]) + _integer(ident)
        out += _value(kind, value)
        last = ident
    return bytes(out) + b"\0"


def _value(kind: int, value: Any) -> bytes:
    if kind == STRUCT:
        return encoded(value)
    if kind == BINARY:
        return _number(len(value)) + bytes(value)
    return _list(*value) if kind == LIST else _integer(value)


def _list(kind: int, values: Sequence[Any]) -> bytes:
    head = bytes([len(values) << 4 | kind]) if len(values) < 15 else bytes([0xF0 | kind]) + _number(len(values))
    return head + b"".join(_value(kind, value) for value in values)


def _number(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _integer(value: int) -> bytes:
    return _number(value << 1 if value >= 0 else (-value << 1) - 1)
