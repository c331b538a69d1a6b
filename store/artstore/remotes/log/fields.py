"""The forms of fields in entries and checkpoints: a table of small codecs.

    u8 u16 u32 u64 i64   little-endian
    time                 u64, nanoseconds since 1970, below 2^63
    id                   16 bytes
    hash                 32 bytes
    text                 length u8 or u16 · UTF-8
    optional x           0, or 1 · x
    list of x            count u16 · x ...

Every value has one form, so what is read encodes back to the same bytes.  Readers raise `DamageError`; writers raise
`InvalidInputError` for whatever a reader refuses.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from artstore.errors import DamageError, InvalidInputError
from artstore.names import NAME_MAX_BYTES, VERSION_MAX

__all__ = [
    "HASH",
    "I64",
    "ID",
    "MODE",
    "NAME",
    "NUMBER",
    "OPTIONAL_NUMBER",
    "OPTIONAL_SPAN",
    "SPAN",
    "TEXT",
    "TIME",
    "U8",
    "U16",
    "U32",
    "U64",
    "Cursor",
    "Field",
    "Span",
    "flags",
    "list_of",
    "long_bytes",
    "optional",
    "read_fields",
    "row",
    "write_fields",
]

LATEST_TIME: Final = 2**63 - 1
LONGEST_SPAN: Final = 1 << 30
"""Bytes of an object, or a part of one, that an entry can name."""


class Cursor:
    """Bytes and the position up to which they have been read."""

    __slots__ = ("_data", "_end", "at")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._end = len(data)
        self.at = 0

    @property
    def left(self) -> int:
        """How many bytes have not been read."""
        return self._end - self.at

    def take(self, length: int) -> bytes:
        """Return the next bytes; raise `DamageError` if there are fewer."""
        end = self.at + length
        if end > self._end:
            raise DamageError(f"an entry or checkpoint ends {end - self._end} bytes too early")
        data = self._data[self.at : end]
        self.at = end
        return data


class Field(NamedTuple):
    """How one field is written (appending to a buffer) and read."""

    write: Callable[[bytearray, Any], None]
    read: Callable[[Cursor], Any]


class Span(NamedTuple):
    """A part of an object of the class ``t``, or all of it (``offset`` 0), with the BLAKE3 of these bytes."""

    pack: bytes
    offset: int
    length: int
    hash: bytes


def write_fields(out: bytearray, fields: Sequence[Field], values: Sequence[Any]) -> None:
    """Append values in the forms of their fields."""
    for field, value in zip(fields, values, strict=True):
        field.write(out, value)


def read_fields(cursor: Cursor, fields: Sequence[Field]) -> list[Any]:
    """Return the values of fields."""
    return [field.read(cursor) for field in fields]


def _refuse(value: object, what: str) -> InvalidInputError:
    return InvalidInputError(f"{value!r:.100} is not {what}, which an entry of a remote's log needs")


def _integer(code: str, most: int | None = None) -> Field:
    form = struct.Struct("<" + code)
    is_signed = code.islower()
    lowest = -(1 << (8 * form.size - 1)) if is_signed else 0
    highest = most if most is not None else (1 << (8 * form.size - is_signed)) - 1

    def write(out: bytearray, value: Any) -> None:
        if type(value) is not int or not lowest <= value <= highest:
            raise _refuse(value, f"a number from {lowest} to {highest}")
        out += form.pack(value)

    def read(cursor: Cursor) -> int:
        (value,) = form.unpack(cursor.take(form.size))
        if not lowest <= value <= highest:
            raise DamageError(f"an entry or checkpoint has the number {value}, which is not from {lowest} to {highest}")
        return int(value)

    return Field(write, read)


def _fixed(length: int) -> Field:
    def write(out: bytearray, value: Any) -> None:
        if not isinstance(value, bytes) or len(value) != length:
            raise _refuse(value, f"{length} bytes")
        out += value

    return Field(write, lambda cursor: cursor.take(length))


def long_bytes(most: int) -> Field:
    """Return the field of up to ``most`` bytes (below 2^16)."""
    length = _integer("H", most)

    def write(out: bytearray, value: Any) -> None:
        if not isinstance(value, bytes):
            raise _refuse(value, "bytes")
        length.write(out, len(value))
        out += value

    return Field(write, lambda cursor: cursor.take(length.read(cursor)))


def _text(code: str, most: int) -> Field:
    length = _integer(code, most)

    def write(out: bytearray, value: Any) -> None:
        try:
            data = value.encode()
        except (AttributeError, UnicodeEncodeError):
            raise _refuse(value, "text in Unicode") from None
        length.write(out, len(data))
        out += data

    def read(cursor: Cursor) -> str:
        try:
            return cursor.take(length.read(cursor)).decode()
        except UnicodeDecodeError:
            raise DamageError("an entry or checkpoint has text that is not UTF-8") from None

    return Field(write, read)


def optional(field: Field) -> Field:
    """Return the field of a value or None."""

    def write(out: bytearray, value: Any) -> None:
        out.append(value is not None)
        if value is not None:
            field.write(out, value)

    def read(cursor: Cursor) -> Any:
        mark = cursor.take(1)[0]
        if mark > 1:
            raise DamageError(f"an entry or checkpoint has the byte {mark} where 0 or 1 belongs")
        return field.read(cursor) if mark else None

    return Field(write, read)


def list_of(field: Field) -> Field:
    """Return the field of a tuple of values."""

    def write(out: bytearray, value: Any) -> None:
        U16.write(out, len(value))
        for each in value:
            field.write(out, each)

    return Field(write, lambda cursor: tuple(field.read(cursor) for _ in range(U16.read(cursor))))


def row(kind: Callable[..., Any], *fields: Field) -> Field:
    """Return the field of a tuple of one class, whose parts have ``fields``."""
    return Field(
        lambda out, value: write_fields(out, fields, value),
        lambda cursor: kind(*read_fields(cursor, fields)),
    )


def flags(known: int) -> Field:
    """Return the field of a u8 that has only ``known`` bits."""

    def write(out: bytearray, value: Any) -> None:
        if type(value) is not int or value & ~known:
            raise _refuse(value, f"flags of {known:#x}")
        out.append(value)

    def read(cursor: Cursor) -> int:
        value = cursor.take(1)[0]
        if value & ~known:
            raise DamageError(f"an entry or checkpoint has the flags {value:#x}, of which only {known:#x} are known")
        return value

    return Field(write, read)


U8: Final = _integer("B")
U16: Final = _integer("H")
U32: Final = _integer("I")
U64: Final = _integer("Q")
I64: Final = _integer("q")
TIME: Final = _integer("Q", LATEST_TIME)
MODE: Final = _integer("H", 0o777)
NUMBER: Final = _integer("I", VERSION_MAX)
OPTIONAL_NUMBER: Final = optional(NUMBER)
ID: Final = _fixed(16)
HASH: Final = _fixed(32)
TEXT: Final = _text("B", 255)
NAME: Final = _text("H", NAME_MAX_BYTES)
SPAN: Final = row(Span, ID, TIME, _integer("I", LONGEST_SPAN), HASH)
OPTIONAL_SPAN: Final = optional(SPAN)
