"""What may be decoded of a Parquet file: pages as artfs writes them, whose sizes are real.

A footer and the header of a page may claim any number of values and any size, and decoders allocate what is claimed, or
end the process.  artfs writes pages without compression (the store compresses) and without dictionaries, and list
elements that are never null, so each value takes its bytes in the file.  The footer is read here; pyarrow gets one that
is written from what was checked, and the headers of a row group's pages are checked before it is decoded.
"""

from __future__ import annotations

import io
from typing import Any, BinaryIO, Final, NamedTuple

from artfs.registry.predictions.thrift import BINARY, I32, I64, LIST, STRUCT, ThriftError, encoded, read_struct
from artfs.registry.serializers.errors import MalformedPayloadError

__all__ = ["MOST_ROWS", "Column", "Form", "Group", "check_group", "footer_of", "form_of", "read_groups"]

MOST_ROWS: Final = 4096
"""The most rows of a row group."""
_MAGIC: Final = b"PAR1"
_LONGEST_FOOTER: Final = 1 << 24
_LONGEST_HEADER: Final = 256
_TYPES: Final = {"INT64": (2, 8), "DOUBLE": (5, 8), "BYTE_ARRAY": (6, 4)}
"""The number of a physical type, and the fewest bytes of a value."""
_DATA_PAGE, _UNCOMPRESSED = 0, 0
_PLAIN, _RLE, _BYTE_STREAM_SPLIT = 0, 3, 9
_SCHEMA_FIELDS: Final = (1, 3, 4, 5, 6)
"""Type, repetition, name, number of children and converted type."""


class Leaf(NamedTuple):
    """A column of values: its path, the number of its physical type, and the fewest bytes of a value."""

    path: tuple[bytes, ...]
    type: int
    width: int


class Form(NamedTuple):
    """The columns that files of a kind have: the elements of their schema, and the leaves."""

    elements: list[dict[int, Any]]
    leaves: list[Leaf]


class Column(NamedTuple):
    """A column of a row group: where its pages are, and how many values they have."""

    leaf: Leaf
    values: int
    offset: int
    size: int


class Group(NamedTuple):
    """A row group."""

    rows: int
    columns: list[Column]


def form_of(empty: bytes, types: list[tuple[str, str]]) -> Form:
    """Return the form of files, by one without rows and the (path, physical type) of its columns."""
    footer, _ = read_struct(empty, len(empty) - 8 - int.from_bytes(empty[-8:-4], "little"))
    return Form(footer[2], [Leaf(tuple(path.encode().split(b".")), *_TYPES[kind]) for path, kind in types])


def read_groups(file: BinaryIO, form: Form, what: str) -> list[Group]:
    """Return the row groups of a file; raise `MalformedPayloadError` if it is not one of the form."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(size - 8, 0))
    tail = file.read(8)
    length = int.from_bytes(tail[:4], "little")
    if size < 12 or tail[4:] != _MAGIC or not length <= min(size - 12, _LONGEST_FOOTER):
        raise MalformedPayloadError(f"{what} is not a file of predictions: it has no footer")
    file.seek(size - 8 - length)
    try:
        footer, end = read_struct(file.read(length))
        if end != length or any(footer.get(ident) is not None for ident in (5, 8)) or not _has_form(footer[2], form):
            raise MalformedPayloadError(f"{what} has other columns than a catalogue's, or metadata of its own")
        groups = [_group(group, form, size - 8 - length) for group in footer[4]]
        if footer[3] != sum(group.rows for group in groups):
            raise ThriftError(f"it claims {footer[3]} rows")
    except (KeyError, TypeError, AttributeError, ThriftError) as error:
        raise MalformedPayloadError(f"{what} is not a file of predictions: {error}") from error
    return groups


def _has_form(elements: list[dict[int, Any]], form: Form) -> bool:
    if len(elements) != len(form.elements):
        return False
    pairs = zip(elements[1:], form.elements[1:], strict=True)  # the first is the root, whose name says nothing
    return all(each.get(ident) == other.get(ident) for each, other in pairs for ident in _SCHEMA_FIELDS)


def _group(fields: dict[int, Any], form: Form, size: int) -> Group:
    rows, columns = fields[3], fields[1]
    if not 0 <= rows <= MOST_ROWS or len(columns) != len(form.leaves):
        raise ThriftError(f"a row group claims {rows} rows in {len(columns)} columns")
    return Group(rows, [_column(each, leaf, rows, size) for each, leaf in zip(columns, form.leaves, strict=True)])


def _column(chunk: dict[int, Any], leaf: Leaf, rows: int, size: int) -> Column:
    fields = chunk[3]
    column = Column(leaf, fields[5], fields[9], fields[7])
    name = b".".join(leaf.path).decode()
    is_ours = (fields[1], fields[3], fields[4], fields[6]) == (leaf.type, [*leaf.path], _UNCOMPRESSED, column.size)
    if not is_ours or 1 in chunk or 8 in chunk or 9 in chunk or 8 in fields or 10 in fields or 11 in fields:
        raise ThriftError(f"the column {name} is not one that artfs writes")
    if not (len(_MAGIC) <= column.offset <= size and 0 <= column.size <= size - column.offset):
        raise ThriftError(f"the column {name} is outside of the file")
    if not 0 <= column.values <= rows + column.size // leaf.width:
        raise ThriftError(f"the column {name} claims {column.values} values in {column.size} bytes")
    return column


def footer_of(groups: list[Group], form: Form) -> bytes:
    """Return a file that has only a footer, for row groups that were checked."""
    elements = [
        {ident: _element(ident, each[ident]) for ident in _SCHEMA_FIELDS if ident in each} for each in form.elements
    ]
    footer = encoded(
        {
            1: (I32, 2),
            2: (LIST, (STRUCT, elements)),
            3: (I64, sum(group.rows for group in groups)),
            4: (LIST, (STRUCT, [_group_fields(group) for group in groups])),
        }
    )
    return _MAGIC + footer + len(footer).to_bytes(4, "little") + _MAGIC


def _element(ident: int, value: Any) -> tuple[int, Any]:
    return (BINARY, value) if isinstance(value, bytes) else (I32, value)


def _group_fields(group: Group) -> dict[int, Any]:
    columns = [
        {
            2: (I64, 0),
            3: (
                STRUCT,
                {
                    1: (I32, column.leaf.type),
                    2: (LIST, (I32, [_PLAIN, _RLE])),
                    3: (LIST, (BINARY, column.leaf.path)),
                    4: (I32, _UNCOMPRESSED),
                    5: (I64, column.values),
                    6: (I64, column.size),
                    7: (I64, column.size),
                    9: (I64, column.offset),
                },
            ),
        }
        for column in group.columns
    ]
    return {1: (LIST, (STRUCT, columns)), 2: (I64, sum(each.size for each in group.columns)), 3: (I64, group.rows)}


def check_group(file: BinaryIO, group: Group, what: str) -> None:
    """Raise `MalformedPayloadError` if the pages of a row group differ from what its footer says."""
    for column in group.columns:
        position, values = column.offset, 0
        end = position + column.size
        while position < end:
            file.seek(position)
            length, size, count = _header(file.read(min(_LONGEST_HEADER, end - position)), what)
            position += length + size
            values += count
        if position != end or values != column.values:
            name = b".".join(column.leaf.path).decode()
            raise MalformedPayloadError(f"{what} has pages of {name} that differ from its footer")


def _header(content: bytes, what: str) -> tuple[int, int, int]:
    """Return the length of a page's header, the bytes and the number of values of the page."""
    try:
        fields, length = read_struct(content)
        data = fields[5]
        size, values = fields[3], data[1]
        is_ours = (
            fields[1] == _DATA_PAGE
            and fields[2] == size >= 0
            and values >= 0
            and data[2] in (_PLAIN, _BYTE_STREAM_SPLIT)
            and data[3] == data[4] == _RLE
            and fields.keys() <= {1, 2, 3, 4, 5}
            and data.keys() <= {1, 2, 3, 4, 5}
            and data.get(5, {}).keys() <= {3, 4}  # statistics: counts only
        )
    except (KeyError, TypeError, AttributeError, ThriftError) as error:
        raise MalformedPayloadError(f"{what} has a page without a header: {error}") from error
    if not is_ours:
        raise MalformedPayloadError(f"{what} has a page that artfs does not write")
    return length, size, values
