"""One prediction: what a caller gives, checked, and its id, which follows from its content.

The id is a digest of the data set, the pipeline, the model with everything that it was made from, the fold, the
partition, the scores, the metadata, and the bytes, dtypes and shapes of the arrays.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypedDict

from artfs.registry.chains import whole_number
from artfs.registry.errors import PredictionError
from artfs.registry.ids import ALL
from artfs.registry.naming import check_pipeline
from artfs.registry.predictions.arrays import ARRAYS, StoredArray, stored_array
from artfs.registry.records import ArtifactRecord
from artfs.registry.values import json_object
from artstore.arguments import shown_text, shown_value
from artstore.errors import InvalidInputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SCORES", "Given", "Model", "Prediction", "fold_of", "prediction_of"]

SCORES: Final = ("train_score", "val_score", "test_score")
"""The scores that have columns of their own."""
_DIGITS: Final = 32
_LARGEST_FOLD: Final = 999_999_999
_MOST_TEXT: Final = 1 << 20
"""The most bytes of one prediction's metadata, and of the names of its scores."""


class Given(TypedDict, total=False):
    """What `PredictionCatalog.add` takes for one prediction; arrays are optional."""

    pipeline_id: str
    model: str | ArtifactRecord
    fold_id: int | str | None
    partition: str
    scores: Mapping[str, Any]
    y_true: Any
    y_pred: Any
    y_proba: Any
    sample_indices: Any
    weights: Any
    metadata: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Model:
    """The version of a registered model that made a prediction: its record, the record's digest, and its serial."""

    record: ArtifactRecord
    digest: str
    serial: int


@dataclass(frozen=True, slots=True)
class Prediction:
    """A prediction that was checked; ``fold_id`` is None for a model of all folds."""

    prediction_id: str
    dataset: str
    pipeline_id: str
    model: Model
    fold_id: int | None
    partition: str
    metric: str | None
    scores: dict[str, float]
    metadata: str
    arrays: dict[str, StoredArray] = field(default_factory=dict)

    @property
    def n_samples(self) -> int | None:
        """How many samples the arrays have; None without arrays."""
        return next((stored.shape[0] for stored in self.arrays.values()), None)


def prediction_of(dataset: str, pipeline_id: str, model: Model, given: Given) -> Prediction:
    """Check what was given for a prediction; raise `PredictionError` for what cannot be kept."""
    try:
        metadata = json_object(given.get("metadata"), "metadata")
    except InvalidInputError as error:
        raise PredictionError(str(error)) from error
    metric, scores = _scores(given.get("scores"))
    if metric is None and isinstance(metadata.get("metric"), str):
        metric = metadata["metric"]
    arrays = {name: stored_array(given[name], name) for name in ARRAYS if given.get(name) is not None}
    _require_lengths(arrays)
    made = Prediction(
        prediction_id="",
        dataset=dataset,
        pipeline_id=check_pipeline(pipeline_id),
        model=model,
        fold_id=fold_of(given.get("fold_id")),
        partition=_label(given.get("partition"), "the partition"),
        metric=metric,
        scores=scores,
        metadata=_json(metadata, "metadata"),
        arrays=arrays,
    )
    object.__setattr__(made, "prediction_id", _identity(made))
    return made


def fold_of(value: object) -> int | None:
    """Return a fold's number, None for ``None`` and ``"all"``; raise `PredictionError` for anything else."""
    if value is None or (isinstance(value, str) and value == ALL):
        return None
    try:
        number = whole_number(value, "a fold")
    except InvalidInputError as error:
        raise PredictionError(str(error), hint="a fold is a number, or None for all") from error
    if number > _LARGEST_FOLD:
        raise PredictionError(f"a fold is at most {_LARGEST_FOLD}, not {shown_value(value)}")
    return number


def _label(value: object, what: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise PredictionError(f"{what} must be a text such as 'test', not {shown_value(value)}")
    return _encodable(str(value), what)


def _encodable(value: str, what: str) -> str:
    try:
        size = len(value.encode())
    except UnicodeEncodeError as error:
        raise PredictionError(f"{what} has a text that UTF-8 cannot hold: {value[:80]!r}") from error
    if size > _MOST_TEXT:
        raise PredictionError(f"{what} has {size} bytes, more than {_MOST_TEXT}", hint="keep large values as artifacts")
    return value


def _json(values: Mapping[str, Any], what: str) -> str:
    try:
        written = json.dumps(values, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    except ValueError as error:  # an integer with more digits than Python writes
        raise PredictionError(f"{what} cannot be written as JSON: {error}") from error
    return _encodable(written, what)


def _scores(given: object) -> tuple[str | None, dict[str, float]]:
    """Return the metric that the scores of partitions have, and the scores by name."""
    if not isinstance(given, Mapping):
        raise PredictionError(f"scores must be a dictionary of names to numbers, not {shown_value(given)}")
    values: dict[Any, Any] = {}
    for name, value in given.items():
        if isinstance(value, Mapping):  # {"test": {"rmse": 0.4}}
            values |= {f"{name}_{metric}": each for metric, each in value.items()}
        else:
            values[name] = value
    metric = values.pop("metric", None)
    if metric is not None:
        metric = _label(metric, "the metric")
    scores = {_label(name, "the name of a score"): _number(value, name) for name, value in values.items()}
    known = {name: value for name, value in sorted(scores.items()) if value is not None}
    _encodable("".join(known), "the names of scores")
    return metric, known


def _number(value: object, name: str) -> float | None:
    """Return a score as a double that equals it; None stays None."""
    get = getattr(value, "item", None)
    if callable(get) and not isinstance(value, int | float):
        try:
            value = get()
        except (ValueError, RuntimeError) as error:
            raise PredictionError(f"the score {shown_text(str(name))} is not one number") from error
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PredictionError(f"the score {shown_text(str(name))} is not a number: {shown_value(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if number != value and not math.isnan(number):
        raise PredictionError(f"the score {shown_text(str(name))} is not a 64-bit float: {shown_value(value)}")
    return math.nan if math.isnan(number) else number


def _require_lengths(arrays: Mapping[str, StoredArray]) -> None:
    lengths = {name: stored.shape[0] for name, stored in arrays.items()}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise PredictionError(f"the arrays of a prediction differ in length: {shown}")


def _identity(prediction: Prediction) -> str:
    from blake3 import blake3

    hasher = blake3(b"artfs prediction 1\0")

    def add(content: bytes | memoryview) -> None:
        hasher.update(struct.pack("<Q", len(content)))
        hasher.update(content)

    fold = ALL if prediction.fold_id is None else str(prediction.fold_id)
    head = (prediction.dataset, prediction.pipeline_id, prediction.model.record.artifact_id, prediction.model.digest)
    for part in (*head, fold, prediction.partition, prediction.metric or "", prediction.metadata):
        add(part.encode())
    add(b"".join(struct.pack("<d", value) for value in prediction.scores.values()))
    for score in prediction.scores:
        add(score.encode())
    for name, stored in prediction.arrays.items():
        add(f"{name} {stored.dtype} {stored.shape}".encode())
        add(b"" if stored.numbers is None else _bytes(stored.numbers))
        for each in stored.texts or ():
            add(each.encode())
    return hasher.hexdigest()[:_DIGITS]


def _bytes(numbers: NDArray[Any]) -> memoryview:
    return numbers.data.cast("B") if numbers.size else memoryview(b"")
