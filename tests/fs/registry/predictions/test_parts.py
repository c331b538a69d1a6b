"""Parts: what is written is read back, by pyarrow, polars, duckdb and pandas too; other files are one error."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import polars
import pyarrow.dataset
import pyarrow.parquet
import pytest

from artfs.registry import ArtifactRecord, MalformedPayloadError, PredictionCatalog
from artfs.registry.predictions.columns import data_table
from artfs.registry.predictions.parts import DATA, META, DataWriter, data_row, data_tables, meta_table, parts_of
from fs.registry.predictions.catalogs import given
from fs.registry.predictions.test_records import made


def filled(catalog: PredictionCatalog, model: ArtifactRecord) -> Path:
    """Add predictions in three versions; return a copy of the latest as a folder of the disk."""
    for first in range(3):
        arrays = {"y_true": np.arange(4.0), "y_pred": np.arange(4.0) + first, "sample_indices": np.arange(4)}
        rows = [given(model, scores={"rmse": first + fold / 10}, fold_id=fold, **arrays) for fold in range(2)]
        catalog.add_many("wheat", [*rows, given(model, scores={"rmse": first}, y_true=["a", "b"])])  # type: ignore[list-item]
    folder = catalog.folder / "copy"
    catalog.workspace.get("catalog/wheat:latest", folder)
    return folder


def test_other_programs_read_the_folders(catalog: PredictionCatalog, model: ArtifactRecord) -> None:
    """pyarrow, polars and duckdb read the folders as data sets, with all rows and equal values."""
    folder = filled(catalog, model)
    ours = catalog.filter("wheat")
    scores = sorted(row["scores"]["rmse"] for row in ours)
    table = pyarrow.dataset.dataset(folder / META).to_table(use_threads=False)
    assert sorted(dict(each)["rmse"] for each in table["scores"].to_pylist()) == scores
    frame = polars.read_parquet(folder / META / "*.parquet")
    assert sorted(frame["prediction_id"]) == sorted(row["prediction_id"] for row in ours)
    found = duckdb.sql(
        f"select m.scores['rmse'], d.y_pred[1], d.sample_indices from '{folder}/{META}/*.parquet' m "
        f"join '{folder}/{DATA}/*.parquet' d using (prediction_id) where fold_id = 1 order by 1"
    ).fetchall()
    assert found == [(first + 0.1, first, [0, 1, 2, 3]) for first in range(3)]
    arrays = polars.read_parquet(folder / DATA / "*.parquet")
    assert sorted(arrays["y_pred"].drop_nulls().list.sum()) == [6, 6, 10, 10, 14, 14]
    assert arrays["y_true_text"].drop_nulls().to_list() == [["a", "b"]] * 3
    assert pyarrow.dataset.dataset(folder / DATA).count_rows() == 9


def test_a_script_may_end_right_after_a_read(catalog: PredictionCatalog, model: ArtifactRecord) -> None:
    """Reading starts no thread of pyarrow's that outlives it, so no script aborts at its end."""
    (ident,) = catalog.add_many("wheat", [given(model, y_true=np.arange(9.0))])  # type: ignore[list-item]
    program = (
        "import sys; from artfs.registry import PredictionCatalog as C\n"
        f"print(C({str(catalog.folder)!r}).get({ident!r})['y_true'].sum())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "36.0\n", "")


def test_large_files_have_row_groups(tmp_path: Path) -> None:
    """Small arrays share row groups of about 512 KiB, a large one ends its own, and files end at 16 MiB."""
    writer = DataWriter(tmp_path)
    small = [writer.add(data_table([made(y_true=np.arange(1000.0) + each)]))[0] for each in range(70)]
    large = writer.add(data_table([made(y_true=np.zeros(1 << 20))]))[0]
    after = [writer.add(data_table([made(y_true=np.zeros(1 << 20))]))[0] for _ in range(2)]
    files = writer.finish()
    assert small[0] == (0, 0) and small[69] == (0, 69) and large == (0, 70) and after == [(0, 71), (1, 0)]
    groups = pyarrow.parquet.ParquetFile(files[0]).metadata
    assert [groups.row_group(each).num_rows for each in range(groups.num_row_groups)] == [65, 6, 1]
    assert files[0].name.startswith("part-72-") and files[1].name.startswith("part-1-")


def test_what_is_no_part_is_an_error(catalog: PredictionCatalog, model: ArtifactRecord) -> None:
    """Names, row numbers and files that a catalogue does not have are refused, and never opened."""
    filled(catalog, model)
    version = catalog.workspace.version("catalog/wheat")
    meta, data = parts_of(version, META), parts_of(version, DATA)
    assert [part.rows for part in meta] == [3, 3, 3] and meta_table(version, meta[0]).num_rows == 3
    (table,) = data_tables(version, data[0].name)
    ident = table["prediction_id"][1].as_py()
    assert data_row(version, data[0].name, 1, ident).num_rows == 1
    for name, row, wanted in [
        (data[0].name, 0, ident),
        (data[0].name, 3, ident),
        (data[0].name, -1, ident),
        ("../predictions_meta.parquet/x", 0, ident),
    ]:
        with pytest.raises(MalformedPayloadError):
            data_row(version, name, row, wanted)
    with pytest.raises(MalformedPayloadError):
        meta_table(version, meta[0]._replace(rows=2))
    with pytest.raises(MalformedPayloadError):
        meta_table(version, meta[0]._replace(size=1 << 40))
