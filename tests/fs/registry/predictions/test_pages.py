"""Files that others made: each is rows or one error, whatever it claims, and memory is taken for what is there."""

from __future__ import annotations

import io
import pickle
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import parquet_files
from artfs.registry import MalformedPayloadError, PredictionCatalog
from artfs.registry.predictions import parts
from artfs.registry.predictions.arrays import array_of
from artfs.registry.predictions.columns import arrays_of, data_schema, data_table, meta_row, meta_schema
from artfs.registry.predictions.queries import public_rows
from artstore.workspace import Workspace, init_workspace
from fs.registry.predictions.test_records import made

ABSURD = (-1, 0, 1, 1 << 20, (1 << 31) - 1, 1 << 40, (1 << 63) - 1, -(1 << 63))
MOST_BYTES = 1 << 26


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return a file of metadata and one of arrays that belong together, of three predictions."""
    folder = tmp_path_factory.mktemp("files")
    predictions = [
        made(fold_id=each, y_true=np.arange(5.0), y_pred=["a"] * 5, sample_indices=np.arange(5)) for each in range(3)
    ]
    writer = parts.DataWriter(folder)
    places = writer.add(data_table(predictions))
    (data,) = writer.finish()
    rows = [
        meta_row(each, 0) | {"data_part": DATA_NAME, "data_row": row}
        for each, (_, row) in zip(predictions, places, strict=True)
    ]
    (meta,) = parts.write_meta(rows, folder)
    return {parts.META: meta.read_bytes(), parts.DATA: data.read_bytes()}


META_NAME, DATA_NAME = "part-3-0000000000000000.parquet", "part-3-1111111111111111.parquet"


class Folder:
    """A folder of files in memory that is read as a version is."""

    name = "catalog/wheat:v0"

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = {f"{parts.META}/{META_NAME}": files[parts.META], f"{parts.DATA}/{DATA_NAME}": files[parts.DATA]}

    def read_bytes(self, path: str) -> bytes:
        return self.files[path]

    def open(self, path: str) -> io.BytesIO:
        return io.BytesIO(self.files[path])


def is_read(files: dict[str, bytes], name: str, content: bytes) -> bool:
    """Return whether a file is read in place of that with its name; anything but rows and one error is raised."""
    folder: Any = Folder({**files, name: content})
    try:
        table = parts.meta_table(folder, parts.Part(META_NAME, 3, len(folder.files[f"{parts.META}/{META_NAME}"])))
        for number, row in enumerate(public_rows(table)):
            part, place = table["data_part"][number].as_py(), table["data_row"][number].as_py()
            if part is not None and place is not None:
                stored = arrays_of(parts.data_row(folder, part, place, row["prediction_id"]))
                assert all(array_of(each, each_name) is not None for each_name, each in stored.items())
    except (MalformedPayloadError, KeyError) as error:
        assert isinstance(error, MalformedPayloadError) or "part-" in str(error)  # the name of another file
        return False
    return True


@pytest.fixture
def memory() -> Iterator[None]:
    """Fail if much memory was taken at any moment."""
    before = pa.default_memory_pool().max_memory()
    yield
    assert pa.default_memory_pool().max_memory() <= max(before, MOST_BYTES)


def written(table: pa.Table, **options: Any) -> bytes:
    """Return a table in a file that is written with other options than artfs's."""
    sink = io.BytesIO()
    ours: dict[str, Any] = {
        "compression": "none",
        "use_dictionary": False,
        "write_statistics": False,
        "store_schema": False,
    }
    pq.write_table(table, sink, **{**ours, **options})
    return sink.getvalue()


@pytest.mark.parametrize("name", [parts.META, parts.DATA])
def test_files_cut_and_flipped(files: dict[str, bytes], memory: None, name: str) -> None:
    """A file that ends anywhere is refused; one with another byte is refused or read."""
    content = files[name]
    draw = random.Random(name)
    for length in [0, 1, 4, 8, 12, *draw.sample(range(12, len(content)), 40)]:
        assert not is_read(files, name, content[:length])
    for place in draw.sample(range(len(content)), 150):
        is_read(files, name, content[:place] + bytes([content[place] ^ 1 << draw.randrange(8)]) + content[place + 1 :])
    assert is_read(files, name, content)


@pytest.mark.parametrize("name", [parts.META, parts.DATA])
def test_absurd_numbers_in_footers(files: dict[str, bytes], memory: None, name: str) -> None:
    """Counts, sizes and offsets of a footer may be anything: none is believed."""
    body, footer = parquet_files.taken_apart(files[name])
    assert parquet_files.put_together(body, footer) == files[name]
    draw = random.Random(name)
    for path in draw.sample(list(parquet_files.integers(footer)), 120):
        changed = parquet_files.changed(footer, path, draw.choice(ABSURD))
        is_read(files, name, parquet_files.put_together(body, changed))


@pytest.mark.parametrize("name", [parts.META, parts.DATA])
def test_absurd_numbers_in_pages(files: dict[str, bytes], memory: None, name: str) -> None:
    """So may those of page headers, also where the footer agrees with them."""
    content = files[name]
    draw = random.Random(name)
    for place, path in draw.sample(list(parquet_files.headers(content)), 90):
        value = draw.choice(ABSURD)
        is_read(files, name, parquet_files.with_page(content, place, path, value, agrees=draw.random() < 0.7))


HOSTILE: dict[str, tuple[str, Callable[[dict[str, bytes]], bytes]]] = {}


def hostile(name: str) -> Callable[[Callable[[pa.Table], bytes]], None]:
    """Add a file made from the table of a good one."""

    def add(make: Callable[[pa.Table], bytes]) -> None:
        HOSTILE[make.__name__] = name, lambda files: make(pq.read_table(io.BytesIO(files[name]), use_threads=False))

    return add


@hostile(parts.META)
def compressed(table: pa.Table) -> bytes:
    return written(table, compression="zstd")


@hostile(parts.META)
def dictionary_bomb(table: pa.Table) -> bytes:
    """One text of 64 KiB, a thousand times in a few bytes."""
    big = pa.array(["{" + " " * (1 << 16) + "}"] * 1000)
    many = pa.concat_tables([table] * 334).slice(0, 1000)
    return written(
        many.set_column(table.schema.get_field_index("metadata"), meta_schema().field("metadata"), big),
        use_dictionary=True,
    )


@hostile(parts.META)
def arrow_schema(table: pa.Table) -> bytes:
    return written(table, store_schema=True)


@hostile(parts.META)
def with_pandas_metadata(table: pa.Table) -> bytes:
    body, footer = parquet_files.taken_apart(written(table))
    value = [(1, parquet_files.BINARY, b"pandas"), (2, parquet_files.BINARY, pickle.dumps(print))]
    metadata = (5, parquet_files.LIST, (parquet_files.STRUCT, [value]))
    return parquet_files.put_together(body, sorted([*footer, metadata], key=lambda each: each[0]))


@hostile(parts.META)
def too_many_rows(table: pa.Table) -> bytes:
    return written(pa.concat_tables([table] * 2000), row_group_size=6000)


@hostile(parts.META)
def more_rows_than_named(table: pa.Table) -> bytes:
    return written(pa.concat_tables([table] * 2))


@hostile(parts.META)
def fewer_columns(table: pa.Table) -> bytes:
    return written(table.drop_columns(["scores"]))


@hostile(parts.META)
def more_columns(table: pa.Table) -> bytes:
    return written(table.append_column("more", pa.array([1, 2, 3])))


@hostile(parts.META)
def other_types(table: pa.Table) -> bytes:
    return written(table.set_column(8, "step_index", pa.array([1, 2, 3], pa.int32())))


@hostile(parts.META)
def text_that_is_not_utf8(table: pa.Table) -> bytes:
    return written(table).replace(b"wheat", b"whe\xff\xff")


@hostile(parts.META)
def metadata_that_are_not_json(table: pa.Table) -> bytes:
    return written(
        table.set_column(
            table.schema.get_field_index("metadata"), meta_schema().field("metadata"), pa.array(["[" * 100_000] * 3)
        )
    )


@hostile(parts.META)
def arrays_elsewhere(table: pa.Table) -> bytes:
    return written(table.set_column(table.schema.get_field_index("data_part"), "data_part", pa.array(["../../x"] * 3)))


@hostile(parts.META)
def arrays_of_another(table: pa.Table) -> bytes:
    return written(table.set_column(table.schema.get_field_index("data_row"), "data_row", pa.array([1, 2, 0])))


@hostile(parts.DATA)
def millions_of_nulls(table: pa.Table) -> bytes:
    """Elements that are null take no bytes in a file, and eight in memory."""
    nulls = pa.array([[None] * (1 << 20)] * 3, pa.list_(pa.float64()))
    place = table.schema.get_field_index("y_true")
    return written(table.set_column(place, "y_true", nulls), data_page_size=1 << 30)


@hostile(parts.DATA)
def an_array_that_runs_through(table: pa.Table) -> bytes:
    """A dictionary of one double, repeated."""
    ones = pa.array([[1.0] * (1 << 20)] * 3, data_schema().field("y_true").type)
    place = table.schema.get_field_index("y_true")
    return written(table.set_column(place, data_schema().field("y_true"), ones), use_dictionary=True)


@hostile(parts.DATA)
def objects_as_dtype(table: pa.Table) -> bytes:
    place = table.schema.get_field_index("y_true_dtype")
    return written(table.set_column(place, "y_true_dtype", pa.array(["O"] * 3)))


@hostile(parts.DATA)
def a_shape_that_is_absurd(table: pa.Table) -> bytes:
    place = table.schema.get_field_index("y_true_shape")
    return written(
        table.set_column(
            place,
            data_schema().field("y_true_shape"),
            pa.array([[1 << 40, 1 << 40]] * 3, data_schema().field("y_true_shape").type),
        )
    )


@hostile(parts.DATA)
def an_array_without_a_shape(table: pa.Table) -> bytes:
    place = table.schema.get_field_index("y_true_shape")
    return written(
        table.set_column(
            place, data_schema().field("y_true_shape"), pa.nulls(3, data_schema().field("y_true_shape").type)
        )
    )


@hostile(parts.DATA)
def metadata_in_place_of_arrays(table: pa.Table) -> bytes:
    return written(table.select(["prediction_id"]))


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """Return a workspace for files of others."""
    with init_workspace(tmp_path_factory.mktemp("hostile") / "w") as opened:
        yield opened


@pytest.mark.parametrize("case", HOSTILE)
def test_files_that_artfs_does_not_write(
    workspace: Workspace, files: dict[str, bytes], memory: None, tmp_path: Path, case: str
) -> None:
    """Each is refused before it takes memory; nothing is unpickled."""
    name, make = HOSTILE[case]
    default = pa.default_memory_pool()
    pa.set_memory_pool(pa.system_memory_pool())  # what the file's making takes is not counted
    try:
        content = make(files)
    finally:
        pa.set_memory_pool(default)
    for place, file in ((parts.META, META_NAME), (parts.DATA, DATA_NAME)):
        (tmp_path / place).mkdir()
        (tmp_path / place / file).write_bytes(content if name == place else files[place])
    workspace.put(tmp_path, "catalog/wheat")
    catalog = PredictionCatalog(workspace)
    with pytest.raises(MalformedPayloadError) as caught:
        [catalog.get(row["prediction_id"]) for row in catalog.filter("wheat")]
    assert caught.value.exit_code == 5 and "prediction" in str(caught.value) and len(str(caught.value)) < 300
    assert not is_read(files, name, content)


@pytest.mark.parametrize(
    "content", [pickle.dumps(print), b"\x93NUMPY\x01\x00", b"PAR1" * 3, b"PK\x03\x04", b"PARE" * 20]
)
def test_other_files_by_the_name_of_parts(files: dict[str, bytes], content: bytes) -> None:
    """Pickles and other formats in place of Parquet are refused."""
    for name in (parts.META, parts.DATA):
        assert not is_read(files, name, content)
