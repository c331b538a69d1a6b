"""Rows of tables as record batches of Arrow, from Parquet, Arrow IPC, CSV, JSON lines and npy; only in the child."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.ipc
import pyarrow.json
import pyarrow.parquet

from artfs.contents.child_program import Files
from artstore.errors import InvalidInputError

__all__ = ["MOST_COLUMNS", "RowTable", "open_table"]

MOST_COLUMNS: Final = 2_000
_BATCH: Final = 64 << 10
_CELLS: Final = 1 << 20
_BLOCK: Final = 4 << 20
_HEADER: Final = 1 << 20


class RowTable:
    """A table: its format, its schema, how many rows it has if the format says so, and its rows."""

    format = ""
    schema: pa.Schema
    rows: int | None = None

    def batches(self, columns: list[str], skipped: Collection[int] = ()) -> Iterator[pa.RecordBatch]:
        """Yield the rows of some columns, without those of the row groups to skip."""
        raise NotImplementedError

    def groups(self) -> list[tuple[int, int, int]]:
        """Return (offset, bytes, rows) of each row group of Parquet; empty for other formats."""
        return []


def open_table(files: Files, index: int, *, as_text: bool = False) -> RowTable:
    """Open a file as a table by its first bytes and its name; ``as_text`` reads all columns of CSV as text."""
    file = files.open(index)
    beginning = file.read(8)
    name = file.name.lower()
    if beginning[:4] == b"PAR1":
        table: RowTable = _Parquet(files, index)
    elif beginning[:6] == b"ARROW1":
        table = _Arrow(files, index)
    elif beginning[:6] == b"\x93NUMPY":
        table = _Npy(files, index)
    elif name.endswith((".jsonl", ".ndjson")):
        table = _JsonLines(files, index)
    elif name.endswith((".csv", ".tsv")):
        table = _Csv(files, index, as_text)
    else:
        raise InvalidInputError(f"{file.name!r} is not a table")
    _check(table.schema)
    return table


def _check(schema: pa.Schema) -> None:
    if len(schema) > MOST_COLUMNS:
        raise InvalidInputError(f"the table has {len(schema):,} columns, more than {MOST_COLUMNS:,}")
    twice = [name for name in schema.names if schema.names.count(name) > 1]
    if twice:
        raise InvalidInputError(f"the table has several columns with the name {twice[0][:100]!r}")


def _per_batch(columns: int) -> int:
    return max(64, min(_BATCH, _CELLS // max(columns, 1)))


class _Parquet(RowTable):
    format = "parquet"

    def __init__(self, files: Files, index: int) -> None:
        source = pa.PythonFile(files.open(index), mode="r")
        # Columns are read as streams: a row group need not fit into memory.
        self._file = pa.parquet.ParquetFile(source, buffer_size=1 << 20, pre_buffer=False)
        self._metadata = self._file.metadata
        self._size = files.open(index).bytes
        self.schema = self._file.schema_arrow
        self.rows = self._metadata.num_rows

    def batches(self, columns: list[str], skipped: Collection[int] = ()) -> Iterator[pa.RecordBatch]:
        wanted = [number for number in range(self._metadata.num_row_groups) if number not in skipped]
        if wanted:
            yield from self._file.iter_batches(_per_batch(len(columns)), row_groups=wanted, columns=columns)

    def groups(self) -> list[tuple[int, int, int]]:
        found = []
        for number in range(self._metadata.num_row_groups):
            group = self._metadata.row_group(number)
            starts, ends = [], []
            for place in range(group.num_columns):
                column = group.column(place)
                first = column.data_page_offset
                if column.has_dictionary_page and column.dictionary_page_offset:
                    first = min(first, column.dictionary_page_offset)
                starts.append(first)
                ends.append(first + column.total_compressed_size)
            if not starts or not 0 <= min(starts) <= max(ends) <= self._size:
                raise InvalidInputError("a row group of the table lies outside of the file")
            found.append((min(starts), max(ends) - min(starts), group.num_rows))
        return found


class _Arrow(RowTable):
    format = "arrow"

    def __init__(self, files: Files, index: int) -> None:
        self._file = pa.ipc.open_file(pa.PythonFile(files.open(index), mode="r"))
        self.schema = self._file.schema

    def batches(self, columns: list[str], skipped: Collection[int] = ()) -> Iterator[pa.RecordBatch]:
        for number in range(self._file.num_record_batches):
            batch = self._file.get_batch(number)
            batch.validate(full=True)  # offsets that lead out of a buffer
            whole = batch.select(columns)
            for start in range(0, whole.num_rows, _BATCH):
                yield whole.slice(start, _BATCH)


class _Csv(RowTable):
    format = "csv"

    def __init__(self, files: Files, index: int, as_text: bool) -> None:
        self._files, self._index = files, index
        file = files.open(index)
        self._delimiter = "\t" if file.name.lower().endswith(".tsv") else ","
        header = file.read(_HEADER).split(b"\n", 1)
        if len(header) == 1 and file.bytes > _HEADER:
            raise InvalidInputError(f"the first line of the table is longer than {_HEADER >> 20} MiB")
        count = header[0].count(self._delimiter.encode()) + 1
        if count > MOST_COLUMNS:
            raise InvalidInputError(f"the table has {count:,} columns, more than {MOST_COLUMNS:,}")
        self._types: dict[str, pa.DataType] = {}
        if not header[0].strip():
            raise InvalidInputError("the table has no line with the names of its columns")
        self.schema = self._reader([]).schema
        if as_text:
            self._types = dict.fromkeys(self.schema.names, pa.string())
            self.schema = self._reader([]).schema

    def _reader(self, columns: list[str]) -> Any:
        source = pa.PythonFile(self._files.open(self._index), mode="r")
        return pa.csv.open_csv(
            source,
            pa.csv.ReadOptions(block_size=_BLOCK, use_threads=False),
            pa.csv.ParseOptions(delimiter=self._delimiter, newlines_in_values=True),
            pa.csv.ConvertOptions(column_types=self._types, include_columns=columns or None),
        )

    def batches(self, columns: list[str], skipped: Collection[int] = ()) -> Iterator[pa.RecordBatch]:
        yield from self._reader(columns)


class _JsonLines(RowTable):
    format = "json lines"

    def __init__(self, files: Files, index: int) -> None:
        self._files, self._index = files, index
        self.schema = self._reader(None).schema

    def _reader(self, schema: pa.Schema | None) -> Any:
        source = pa.PythonFile(self._files.open(self._index), mode="r")
        options = pa.json.ParseOptions(
            explicit_schema=schema, unexpected_field_behavior="infer" if schema is None else "error"
        )
        return pa.json.open_json(source, pa.json.ReadOptions(block_size=_BLOCK, use_threads=False), options)

    def batches(self, columns: list[str], skipped: Collection[int] = ()) -> Iterator[pa.RecordBatch]:
        for batch in self._reader(self.schema):
            yield batch.select(columns)


class _Npy(RowTable):
    format = "npy"

    def __init__(self, files: Files, index: int) -> None:
        self._file = files.open(index)
        opened = io.BufferedReader(self._file)
        major = np.lib.format.read_magic(opened)[0]
        read = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
        shape, is_fortran, self._dtype = read(opened)
        self._start = opened.tell()
        if self._dtype.hasobject:
            raise InvalidInputError("the array has objects of Python, which are not read")
        if len(shape) not in (1, 2) or (is_fortran and len(shape) == 2) or (self._dtype.names and len(shape) != 1):
            raise InvalidInputError("the array is not a table: it does not have rows of columns")
        self._columns = shape[1] if len(shape) == 2 else 1
        if self._columns > MOST_COLUMNS:
            raise InvalidInputError(f"the table has {self._columns:,} columns, more than {MOST_COLUMNS:,}")
        self.rows = shape[0]
        if self._dtype.itemsize * self._columns * shape[0] > self._file.bytes - self._start:
            raise InvalidInputError("the array is longer than its file")
        self.schema = self._batch(np.zeros(self._columns, self._dtype)).schema

    def _batch(self, values: Any) -> pa.RecordBatch:
        if self._dtype.names:
            return pa.RecordBatch.from_arrays([pa.array(values[name]) for name in self._dtype.names], self._dtype.names)
        rows = np.ascontiguousarray(values.reshape(-1, self._columns).T)
        return pa.RecordBatch.from_arrays([pa.array(each) for each in rows], [str(n) for n in range(self._columns)])

    def batches(self, columns: list[str], skipped: Collection[int] = ()) -> Iterator[pa.RecordBatch]:
        rows, size = _per_batch(self._columns), self._dtype.itemsize * self._columns
        self._file.seek(self._start)
        for start in range(0, self.rows or 0, rows):
            data = self._file.read(size * min(rows, (self.rows or 0) - start))
            yield self._batch(np.frombuffer(data, self._dtype)).select(columns)
