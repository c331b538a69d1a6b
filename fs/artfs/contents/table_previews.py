"""The first rows of a table and what is in its columns; only in the child."""

from __future__ import annotations

from typing import Any, Final

import pyarrow as pa
import pyarrow.compute

from artfs.contents.child_program import Files
from artfs.contents.table_formats import open_table

__all__ = ["cell", "preview", "texts"]

_COUNTED: Final = 200_000
_CELL: Final = 200


def cell(value: Any) -> str | None:
    """Return a value of a table as text, cut if it is long; None for null."""
    if value is None:
        return None
    text = value.hex() if isinstance(value, bytes) else str(value)
    return text if len(text) <= _CELL else f"{text[:_CELL]} [{len(text) - _CELL} more]"


def texts(column: Any) -> list[str | None]:
    """Return the values of a column of Arrow as text."""
    kind = column.type
    if pa.types.is_timestamp(kind):
        zone = "Z" if kind.tz else ""
        column = column.cast(pa.timestamp(kind.unit)).cast(pa.string())
        return [None if each is None else each + zone for each in column.to_pylist()]
    if pa.types.is_duration(kind) or pa.types.is_time(kind):
        column = column.cast(pa.int64() if pa.types.is_duration(kind) else pa.string())
    return [cell(each) for each in column.to_pylist()]


def preview(files: Files, options: dict[str, Any]) -> dict[str, Any]:
    """Return the first rows of a table, and of its columns the type, nulls, least, most and mean."""
    table = open_table(files, 0)
    names = table.schema.names
    first: list[list[str | None]] = []
    nulls, ends, sums = [0] * len(names), [_Ends() for _ in names], [0.0] * len(names)
    counted = 0
    for batch in table.batches(names):
        wanted = min(int(options.get("rows", 20)) - len(first), batch.num_rows)
        if wanted > 0:
            beginning = batch.slice(0, wanted)
            first += [list(row) for row in zip(*map(texts, beginning.columns), strict=True)]
        for place in range(len(names)):
            column = batch.column(place)
            nulls[place] += column.null_count
            ends[place].add(column)
            if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
                sums[place] += pa.compute.sum(column.cast(pa.float64(), safe=False)).as_py() or 0.0
        counted += batch.num_rows
        if counted >= _COUNTED:
            break
    columns = [
        {
            "name": name,
            "type": str(kind),
            "nulls": nulls[place],
            "least": cell(ends[place].least),
            "most": cell(ends[place].most),
            "mean": f"{sums[place] / (counted - nulls[place]):.6g}"
            if counted > nulls[place] and (pa.types.is_integer(kind) or pa.types.is_floating(kind))
            else None,
        }
        for place, (name, kind) in enumerate(zip(names, table.schema.types, strict=True))
    ]
    rows = table.rows if table.rows is not None else counted if counted < _COUNTED else None
    return {"format": table.format, "rows": rows, "counted_rows": counted, "columns": columns, "first": first}


class _Ends:
    """The least and the most value of a column, of types that have an order."""

    def __init__(self) -> None:
        self.least: Any = None
        self.most: Any = None

    def add(self, column: pa.Array) -> None:
        try:
            if pa.types.is_timestamp(column.type):
                column = column.cast(pa.timestamp(column.type.unit)).cast(pa.string())
            ends = pa.compute.min_max(column).as_py()
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError):
            return
        if ends["min"] is not None:
            self.least = ends["min"] if self.least is None else min(self.least, ends["min"])
            self.most = ends["max"] if self.most is None else max(self.most, ends["max"])
