"""Parquet files in pieces, so that tests can make any claim in them: Thrift's compact protocol, read and written.

A structure is a list of (field id, type, value); a list is (type of its elements, values).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, Final

MAGIC: Final = b"PAR1"
TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, STRUCT = 1, 2, 3, 4, 5, 6, 7, 8, 9, 12
Struct = list[tuple[int, int, Any]]

COLUMNS_OF_GROUP, META_OF_COLUMN, ROW_GROUPS = 1, 3, 4
NUM_VALUES, UNCOMPRESSED, COMPRESSED, DATA_OFFSET = 5, 6, 7, 9


class Reader:
    """Reads structures from bytes, and knows where it is."""

    def __init__(self, content: bytes, place: int = 0) -> None:
        self.content = content
        self.place = place

    def byte(self) -> int:
        self.place += 1
        return self.content[self.place - 1]

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def integer(self) -> int:
        value = self.varint()
        return (value >> 1) ^ -(value & 1)

    def value(self, kind: int) -> Any:
        if kind in (TRUE, FALSE):
            return kind == TRUE
        if kind in (I16, I32, I64):
            return self.integer()
        if kind == BYTE:
            return self.byte()
        if kind in (BINARY, DOUBLE):
            size = 8 if kind == DOUBLE else self.varint()
            self.place += size
            return self.content[self.place - size : self.place]
        if kind == LIST:
            head = self.byte()
            count = head >> 4 if head >> 4 < 15 else self.varint()
            return head & 15, [self.value(head & 15) for _ in range(count)]
        assert kind == STRUCT, kind
        return self.struct()

    def struct(self) -> Struct:
        fields: Struct = []
        ident = 0
        while head := self.byte():
            ident = ident + (head >> 4) if head >> 4 else self.integer()
            fields.append((ident, head & 15, self.value(head & 15)))
        return fields


def varint(value: int) -> bytes:
    """Return an unsigned number of at most 64 bits."""
    out = bytearray()
    value &= (1 << 64) - 1
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def integer(value: int) -> bytes:
    """Return a signed number."""
    return varint(value << 1 if value >= 0 else (-value << 1) - 1)


def written(kind: int, value: Any) -> bytes:
    """Return a value as bytes."""
    if kind in (TRUE, FALSE):
        return b""
    if kind in (I16, I32, I64):
        return integer(value)
    if kind == BYTE:
        return bytes([value])
    if kind in (BINARY, DOUBLE):
        return value if kind == DOUBLE else varint(len(value)) + value
    if kind == LIST:
        element, values = value
        head = (
            bytes([len(values) << 4 | element]) if len(values) < 15 else bytes([0xF0 | element]) + varint(len(values))
        )
        return head + b"".join(written(element, each) for each in values)
    return struct(value)


def struct(fields: Struct) -> bytes:
    """Return a structure as bytes."""
    out, last = b"", 0
    for ident, kind, value in fields:
        kind = (TRUE if value else FALSE) if kind in (TRUE, FALSE) else kind
        delta = ident - last
        out += (bytes([delta << 4 | kind]) if 0 < delta < 16 else bytes([kind]) + integer(ident)) + written(kind, value)
        last = ident
    return out + b"\0"


def integers(fields: Any, kind: int = STRUCT) -> Iterator[tuple[int, ...]]:
    """Yield the paths of all integers in a structure: indexes of fields and of elements."""
    if kind == STRUCT:
        for place, (_, inner, value) in enumerate(fields):
            yield from ((place, *path) for path in integers(value, inner))
    elif kind == LIST:
        for place, value in enumerate(fields[1]):
            yield from ((place, *path) for path in integers(value, fields[0]))
    elif kind in (I16, I32, I64):
        yield ()


def changed(fields: Any, path: tuple[int, ...], value: int, kind: int = STRUCT) -> Any:
    """Return a structure with another integer at a path."""
    if not path:
        return value
    fields = copy.copy(fields)
    if kind == STRUCT:
        ident, inner, old = fields[path[0]]
        fields[path[0]] = ident, inner, changed(old, path[1:], value, inner)
        return fields
    values = list(fields[1])
    values[path[0]] = changed(values[path[0]], path[1:], value, fields[0])
    return fields[0], values


def field(fields: Struct, ident: int) -> Any:
    """Return the value of a field."""
    return next(value for each, _, value in fields if each == ident)


def with_field(fields: Struct, ident: int, value: Any) -> Struct:
    """Return a structure with another value of a field."""
    return [(each, kind, value if each == ident else old) for each, kind, old in fields]


def taken_apart(content: bytes) -> tuple[bytes, Struct]:
    """Return (what is before the footer, the footer) of a file."""
    size = int.from_bytes(content[-8:-4], "little")
    return content[: -8 - size], Reader(content, len(content) - 8 - size).struct()


def put_together(body: bytes, footer: Struct) -> bytes:
    """Return a file."""
    encoded = struct(footer)
    return body + encoded + len(encoded).to_bytes(4, "little") + MAGIC


def with_page(content: bytes, place: int, path: tuple[int, ...], value: int, *, agrees: bool) -> bytes:
    """Return a file of one row group whose column at a place has another integer in its first page's header.

    The footer's offsets and sizes follow; if it ``agrees``, its number of values does too.
    """
    body, footer = taken_apart(content)
    kind, groups = field(footer, ROW_GROUPS)
    columns = field(groups[0], COLUMNS_OF_GROUP)[1]
    start = field(field(columns[place], META_OF_COLUMN), DATA_OFFSET)
    reader = Reader(body, start)
    header = reader.struct()
    new = changed(header, path, value)
    encoded = struct(new)
    delta = len(encoded) - (reader.place - start)
    made = []
    for number, column in enumerate(columns):
        meta = field(column, META_OF_COLUMN)
        if number == place:
            for size in (UNCOMPRESSED, COMPRESSED):
                meta = with_field(meta, size, field(meta, size) + delta)
            if agrees:
                values = next((value[0][2] for ident, _, value in new if ident == 5), 0)
                meta = with_field(meta, NUM_VALUES, values)
        elif field(meta, DATA_OFFSET) > start:
            meta = with_field(meta, DATA_OFFSET, field(meta, DATA_OFFSET) + delta)
        made.append(with_field(column, META_OF_COLUMN, meta))
    group = with_field(groups[0], COLUMNS_OF_GROUP, (STRUCT, made))
    footer = with_field(footer, ROW_GROUPS, (kind, [group]))
    return put_together(body[:start] + encoded + body[reader.place :], footer)


def headers(content: bytes) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Yield (place of the column, path of an integer in the header of its first page) of the first row group."""
    body, footer = taken_apart(content)
    columns = field(field(footer, ROW_GROUPS)[1][0], COLUMNS_OF_GROUP)[1]
    for place, column in enumerate(columns):
        header = Reader(body, field(field(column, META_OF_COLUMN), DATA_OFFSET)).struct()
        yield from ((place, path) for path in integers(header))
