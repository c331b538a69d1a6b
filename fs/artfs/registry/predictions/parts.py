"""Parts: the Parquet files of a catalogue's version.

    predictions_meta.parquet/part-ROWS-DIGEST.parquet   a row for each prediction, without arrays
    predictions_data.parquet/part-ROWS-DIGEST.parquet   their arrays, in row groups of about 512 KiB

A row of the first names the file and the row that have its arrays.  Each file of arrays belongs to one file of the
other kind.  A name has the number of rows and the beginning of the BLAKE3 of the content, so equal content is one file.
"""

from __future__ import annotations

import functools
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple

from artfs.registry.payloads import digest_of
from artfs.registry.predictions.arrays import ARRAYS, INDICES
from artfs.registry.predictions.columns import arrow, data_schema, meta_schema
from artfs.registry.predictions.pages import MOST_ROWS, Form, check_group, footer_of, form_of, read_groups
from artfs.registry.serializers.errors import MalformedPayloadError
from artstore.errors import ArtfsError, NotFoundError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from artstore.queries.versions import Version

__all__ = ["DATA", "META", "DataWriter", "Part", "data_row", "data_tables", "meta_table", "parts_of", "write_meta"]

META: Final = "predictions_meta.parquet"
DATA: Final = "predictions_data.parquet"
_NAME: Final = re.compile(r"part-([0-9]{1,9})-[0-9a-f]{16}\.parquet", re.ASCII)
_GROUP_BYTES: Final = 1 << 19
_FILE_BYTES: Final = 1 << 24
_META_BYTES: Final = 1 << 23
_MOST_META_BYTES: Final = 1 << 25
_SPLIT: Final = {f"{name}.list.element": "BYTE_STREAM_SPLIT" for name in ARRAYS if name != INDICES}
"""Numbers are stored byte by byte, which compresses better."""
_OPTIONS: Final[dict[str, Any]] = {
    "compression": "none",  # the store compresses
    "use_dictionary": False,
    "write_statistics": False,
    "store_schema": False,
    "data_page_version": "1.0",
    "use_content_defined_chunking": True,
}


class Part(NamedTuple):
    """A file of a version: its name, the rows that the name claims, its size, and the digest of its content."""

    name: str
    rows: int
    size: int
    digest: str = ""


def parts_of(version: Version, folder: str) -> list[Part]:
    """Return the files of a folder of parts, by name; raise `MalformedPayloadError` for anything else in it."""
    try:
        listed = version.listdir(folder)
    except NotFoundError:
        return []
    found = []
    for info in listed:
        matched = _NAME.fullmatch(info.name)
        if matched is None or info.kind != "file" or info.is_reference:
            raise MalformedPayloadError(f"{version.name}/{folder}/{info.name} is not a part of a catalogue")
        found.append(Part(info.name, int(matched[1]), info.size, info.digest))
    return found


# -- reading -----------------------------------------------------------------------------------------------------------


@contextmanager
def _decoding(what: str) -> Iterator[None]:
    try:
        yield
    except ArtfsError:
        raise
    except Exception as error:  # whatever a decoder raises for bytes that are no such file
        written = str(error).partition("\n")[0][:80] or type(error).__name__
        raise MalformedPayloadError(f"{what} is not a file of predictions: {written}") from error


@functools.cache
def _form(folder: str) -> Form:
    """Return the form of the files of a folder: that of an empty one."""
    parquet = arrow("pyarrow.parquet")
    sink = io.BytesIO()
    with parquet.ParquetWriter(sink, meta_schema() if folder == META else data_schema(), **_OPTIONS):
        pass
    schema = parquet.ParquetFile(arrow().BufferReader(sink.getvalue())).schema
    columns = [schema.column(place) for place in range(len(schema))]
    return form_of(sink.getvalue(), [(column.path, column.physical_type) for column in columns])


class _File:
    """A file of a folder of parts, open; its footer was checked."""

    def __init__(self, file: BinaryIO, folder: str, what: str) -> None:
        self._file = file
        self._what = what
        self.groups = read_groups(file, _form(folder), what)
        parquet = arrow("pyarrow.parquet")
        metadata = parquet.read_metadata(arrow().BufferReader(footer_of(self.groups, _form(folder))))
        self._opened = parquet.ParquetFile(file, metadata=metadata, pre_buffer=False, arrow_extensions_enabled=False)

    def group(self, number: int, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the rows of a row group, whose pages are checked before."""
        check_group(self._file, self.groups[number], self._what)
        names = None if columns is None else list(columns)
        table = self._opened.read_row_group(number, columns=names, use_threads=False)
        table.validate(full=True)
        return table


def meta_table(version: Version, part: Part, columns: Sequence[str] | None = None) -> pa.Table:
    """Return the rows of a part of ``predictions_meta.parquet``, or some columns of them.

    Raises `MalformedPayloadError` if it is no such file.
    """
    what = f"{version.name}/{META}/{part.name}"
    if part.size > _MOST_META_BYTES:
        raise MalformedPayloadError(f"{what} has {part.size} bytes, more than {_MOST_META_BYTES}")
    content = version.read_bytes(f"{META}/{part.name}")
    schema = meta_schema() if columns is None else arrow().schema([meta_schema().field(name) for name in columns])
    with _decoding(what):
        file = _File(io.BytesIO(content), META, what)
        rows = sum(group.rows for group in file.groups)
        if rows != part.rows:
            raise MalformedPayloadError(f"{what} has {rows} rows")
        tables = [file.group(number, columns) for number in range(len(file.groups))]
        return arrow().concat_tables([schema.empty_table(), *tables])


def data_tables(version: Version, name: str) -> Iterator[pa.Table]:
    """Yield the row groups of a part of ``predictions_data.parquet``; raises what `data_row` does."""
    what = f"{version.name}/{DATA}/{name}"
    path = f"{DATA}/{name}"
    with version.open(path) as file, _decoding(what):
        opened = _File(file, DATA, what)
        for number in range(len(opened.groups)):
            yield opened.group(number)


def data_row(version: Version, name: str, row: int, prediction_id: str) -> pa.Table:
    """Return one row of a part of ``predictions_data.parquet``; only its row group is read.

    Raises `MalformedPayloadError` if the file is none, or has another prediction there, and `NotFoundError`.
    """
    what = f"{version.name}/{DATA}/{name}"
    if not _NAME.fullmatch(name):
        raise MalformedPayloadError(f"a prediction in {version.name} names a file that cannot be one: {name[:80]!r}")
    path = f"{DATA}/{name}"
    with version.open(path) as file, _decoding(what):
        opened = _File(file, DATA, what)
        before = 0
        for number, group in enumerate(opened.groups):
            if 0 <= row - before < group.rows:
                found = opened.group(number).slice(row - before, 1)
                if found.column("prediction_id")[0].as_py() == prediction_id:
                    return found
                break
            before += group.rows
    raise MalformedPayloadError(f"{what} has no arrays of the prediction {prediction_id} in row {row}")


# -- writing -----------------------------------------------------------------------------------------------------------


def write_meta(rows: Sequence[dict[str, Any]], folder: Path) -> list[Path]:
    """Write rows as parts into a folder; return the files, more than one if the rows are large."""
    if not rows:
        return []
    table = arrow().Table.from_pylist(list(rows), schema=meta_schema())
    files = []
    start = 0
    while start < table.num_rows:
        stop = _stop(table, start)
        part = table.slice(start, stop - start)
        file = folder / f"meta-{start}"
        with arrow("pyarrow.parquet").ParquetWriter(file, meta_schema(), **_OPTIONS) as writer:
            writer.write_table(part, row_group_size=MOST_ROWS)
        files.append(_named(file, part.num_rows))
        start = stop
    return files


def _stop(table: pa.Table, start: int) -> int:
    """Return where the part that begins with a row ends."""
    stop: int = table.num_rows
    while stop - start > 1 and table.slice(start, stop - start).nbytes > _META_BYTES:
        stop = start + (stop - start) // 2
    return stop


def _named(file: Path, rows: int) -> Path:
    """Rename a file as parts are named."""
    return file.rename(file.with_name(f"part-{rows}-{digest_of(file).partition(':')[2][:16]}.parquet"))


class DataWriter:
    """Writes rows of arrays into files of at most about 16 MiB, in row groups of about 512 KiB.

    ``add`` returns the numbers of the file and of the row in it; ``finish`` the files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: list[Path] = []
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pa.Table] = []
        self._waiting_bytes = 0
        self._rows = 0
        self._bytes = 0

    def add(self, table: pa.Table) -> list[tuple[int, int]]:
        """Add the rows of a table, at most `MOST_ROWS`; return (number of the file, number of the row) of each."""
        waiting = sum(each.num_rows for each in self._waiting)
        if self._waiting and (self._waiting_bytes >= _GROUP_BYTES or waiting + table.num_rows > MOST_ROWS):
            self._flush()
        if self._bytes >= _FILE_BYTES:
            self._end_file()
        self._waiting.append(table)
        self._waiting_bytes += table.nbytes
        first = self._rows
        self._rows += table.num_rows
        return [(len(self._files), first + place) for place in range(table.num_rows)]

    def _flush(self) -> None:
        if not self._waiting:
            return
        table = arrow().concat_tables(self._waiting)
        if self._writer is None:
            file = self._folder / f"data-{len(self._files)}"
            self._writer = arrow("pyarrow.parquet").ParquetWriter(
                file, data_schema(), column_encoding=_SPLIT, **_OPTIONS
            )
        self._writer.write_table(table, row_group_size=MOST_ROWS)
        self._bytes += self._waiting_bytes
        self._waiting, self._waiting_bytes = [], 0

    def _end_file(self) -> None:
        self._flush()
        if self._writer is not None:
            self._writer.close()
            self._files.append(_named(self._folder / f"data-{len(self._files)}", self._rows))
        self._writer, self._rows, self._bytes = None, 0, 0

    def finish(self) -> list[Path]:
        """End the last file; return all of them."""
        self._end_file()
        return self._files
