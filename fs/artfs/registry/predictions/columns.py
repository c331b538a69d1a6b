"""The columns of a catalogue's files, and predictions in them.

``predictions_meta.parquet`` has what predictions are found by, ``predictions_data.parquet`` their arrays: for each the
flat values as numbers, as texts where a column of numbers cannot hold them, the dtype and the shape.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from artfs.registry.predictions.arrays import ARRAYS, INDICES, StoredArray
from artfs.registry.predictions.records import SCORES, Prediction
from artfs.registry.serializers.errors import MalformedPayloadError
from artfs.registry.serializers.libraries import require

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["arrays_of", "arrow", "data_schema", "data_table", "meta_row", "meta_schema"]

_TEXTS: Final = ("prediction_id", "dataset", "pipeline_id", "model", "model_ref", "model_digest", "class_name", "chain")
_WHAT: Final = "a catalogue of predictions"


def arrow(module: str = "pyarrow") -> Any:
    """Return a module of pyarrow; raise `MissingLibraryError` naming the extra if it is not installed."""
    return require(module, _WHAT, "artfs[catalog]")


@functools.cache
def meta_schema() -> pa.Schema:
    """Return the columns of ``predictions_meta.parquet``."""
    pa = arrow()
    return pa.schema(
        [
            *(pa.field(name, pa.string(), nullable=False) for name in _TEXTS),
            pa.field("step_index", pa.int64(), nullable=False),
            pa.field("fold_id", pa.int64()),
            pa.field("partition", pa.string(), nullable=False),
            pa.field("metric", pa.string()),
            *(pa.field(name, pa.float64()) for name in SCORES),
            pa.field("scores", pa.map_(pa.string(), pa.field("value", pa.float64(), nullable=False)), nullable=False),
            pa.field("metadata", pa.string(), nullable=False),
            pa.field("n_samples", pa.int64()),
            pa.field("data_part", pa.string()),
            pa.field("data_row", pa.int64()),
            pa.field("version", pa.int64(), nullable=False),
        ]
    )


@functools.cache
def data_schema() -> pa.Schema:
    """Return the columns of ``predictions_data.parquet``."""
    pa = arrow()

    def listed(kind: Any) -> Any:
        return pa.list_(pa.field("element", kind, nullable=False))

    fields = [pa.field("prediction_id", pa.string(), nullable=False)]
    for name in ARRAYS:
        fields += [
            pa.field(name, listed(pa.int64() if name == INDICES else pa.float64())),
            pa.field(f"{name}_text", listed(pa.string())),
            pa.field(f"{name}_dtype", pa.string()),
            pa.field(f"{name}_shape", listed(pa.int64())),
        ]
    return pa.schema(fields)


def meta_row(prediction: Prediction, version: int) -> dict[str, Any]:
    """Return the row of a prediction that a version adds; where its arrays are is not known yet."""
    record = prediction.model.record
    return {
        "prediction_id": prediction.prediction_id,
        "dataset": prediction.dataset,
        "pipeline_id": prediction.pipeline_id,
        "model": record.artifact_id,
        "model_ref": record.ref,
        "model_digest": prediction.model.digest,
        "class_name": record.class_name,
        "chain": record.chain_path,
        "step_index": record.step_index,
        "fold_id": prediction.fold_id,
        "partition": prediction.partition,
        "metric": prediction.metric,
        **{name: prediction.scores.get(name) for name in SCORES},
        "scores": list(prediction.scores.items()),
        "metadata": prediction.metadata,
        "n_samples": prediction.n_samples,
        "data_part": None,
        "data_row": None,
        "version": version,
    }


def data_table(predictions: Sequence[Prediction]) -> pa.Table:
    """Return a row of arrays for each prediction."""
    pa = arrow()
    schema = data_schema()
    columns = [pa.array([each.prediction_id for each in predictions], pa.string())]
    for name in ARRAYS:
        stored = [each.arrays.get(name) for each in predictions]
        columns += [
            _lists([None if each is None else each.numbers for each in stored], schema.field(name).type),
            pa.array([None if each is None else each.texts for each in stored], schema.field(f"{name}_text").type),
            pa.array([None if each is None else each.dtype for each in stored], pa.string()),
            pa.array([None if each is None else each.shape for each in stored], schema.field(f"{name}_shape").type),
        ]
    return pa.Table.from_arrays(columns, schema=schema)


def _lists(arrays: Sequence[Any], kind: Any) -> Any:
    """Return a column of lists of numbers; None is null."""
    import numpy as np

    pa = arrow()
    present = [each for each in arrays if each is not None]
    if not present:
        return pa.nulls(len(arrays), kind)
    offsets = np.cumsum([0, *(0 if each is None else len(each) for each in arrays)], dtype=np.int64)
    values = pa.array(present[0] if len(present) == 1 else np.concatenate(present))
    absent = pa.array([each is None for each in arrays])
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values, type=kind, mask=absent)


def arrays_of(table: pa.Table) -> dict[str, StoredArray]:
    """Return the arrays in the only row of a table; raise `MalformedPayloadError` for one that is incomplete."""
    found: dict[str, StoredArray] = {}
    for name in ARRAYS:
        numbers, texts, dtype, shape = (
            table.column(f"{name}{suffix}")[0] for suffix in ("", "_text", "_dtype", "_shape")
        )
        if not dtype.is_valid and not shape.is_valid and not numbers.is_valid and not texts.is_valid:
            continue
        if not dtype.is_valid or not shape.is_valid:
            raise MalformedPayloadError(f"the {name} of a prediction has no dtype or no shape")
        found[name] = StoredArray(
            dtype.as_py(),
            tuple(shape.as_py()),
            numbers.values.to_numpy(zero_copy_only=False).copy() if numbers.is_valid else None,
            texts.as_py() if texts.is_valid else None,
        )
    return found
