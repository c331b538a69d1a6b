"""Finding predictions in the tables of their metadata; no file of arrays is opened."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypedDict

from artfs.registry.chains import chain_of, whole_number
from artfs.registry.errors import AmbiguousIdError, UnknownMetricError
from artfs.registry.metrics import ascending as smallest_is_best
from artfs.registry.predictions.columns import arrow
from artfs.registry.predictions.records import SCORES, fold_of
from artfs.registry.records import ArtifactRecord
from artfs.registry.serializers.errors import MalformedPayloadError
from artfs.registry.values import json_object
from artstore.arguments import shown_text, shown_value, text, texts
from artstore.errors import InvalidInputError
from artstore.queries.conditions import parse_condition

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["PipelineSelectors", "Selectors", "direction", "public_rows", "ranked", "score_column", "selected", "utf8"]

_HIDDEN: Final = ("data_part", "data_row", "model_digest")
_LARGEST: Final = (1 << 63) - 1
_OPERATORS: Final = {
    "<": "less",
    "<=": "less_equal",
    ">": "greater",
    ">=": "greater_equal",
    "=": "equal",
    "!=": "not_equal",
}


class PipelineSelectors(TypedDict, total=False):
    """What selects predictions of a pipeline; each that is given must hold.

    ``model`` is an id, or the beginning of its hash.  ``fold_id`` is a number, or ``"all"`` for models of all folds.
    ``scores`` are values by name, or comparisons such as ``"rmse<0.5"``; ``metadata`` are values by name.
    """

    model: str | ArtifactRecord | None
    chain: Any
    class_name: str | None
    step_index: int | None
    fold_id: int | str | None
    partition: str | None
    scores: Mapping[str, Any] | Sequence[str] | str | None
    metadata: Mapping[str, Any] | None


class Selectors(PipelineSelectors, total=False):
    """What selects predictions: ``pipeline_id``, which may be the beginning of one before ``_``, and the others."""

    pipeline_id: str | None


def selected(table: pa.Table, selectors: Selectors) -> pa.Table:
    """Return the rows that fit; raise `InvalidInputError` for selectors that mean nothing."""
    unknown = sorted(set(selectors) - set(Selectors.__annotations__))
    if unknown:
        raise InvalidInputError(
            f"predictions are not selected by {', '.join(unknown)}",
            hint=f"the selectors are {', '.join(Selectors.__annotations__)}",
        )
    given: dict[str, Any] = {name: value for name, value in selectors.items() if value is not None}
    for name in ("class_name", "partition"):
        if name in given:
            table = _equal(table, name, utf8(given[name], f"the {name.replace('_', ' ')}"))
    if "step_index" in given:
        step = whole_number(given["step_index"], "a step")
        table = _equal(table, "step_index", step) if step <= _LARGEST else table.slice(0, 0)
    if "chain" in given:
        table = _equal(table, "chain", chain_of(given["chain"]).to_path())
    if "fold_id" in given:
        fold = fold_of(given["fold_id"])
        table = table.filter(table["fold_id"].is_null()) if fold is None else _equal(table, "fold_id", fold)
    if "pipeline_id" in given:
        table = _of_pipeline(table, utf8(given["pipeline_id"], "the pipeline's id"))
    if "model" in given:
        table = _of_model(table, given["model"])
    if "scores" in given:
        table = _with_scores(table, given["scores"])
    return _with_metadata(table, given["metadata"]) if "metadata" in given else table


def utf8(value: object, what: str) -> str:
    """Return a text that can be in a file; raise `InvalidInputError` for anything else."""
    written = text(value, what)
    try:
        written.encode()
    except UnicodeEncodeError as error:
        raise InvalidInputError(f"{what} is a text that UTF-8 cannot hold: {written[:80]!r}") from error
    return written


def _equal(table: pa.Table, column: str, value: object) -> pa.Table:
    pc = arrow("pyarrow.compute")
    return table.filter(pc.equal(table[column], arrow().scalar(value, table.schema.field(column).type)))


def _of_pipeline(table: pa.Table, pipeline: str) -> pa.Table:
    """Return the rows of the pipeline with an id, in each data set else of the one that begins with it."""
    exact = _equal(table, "pipeline_id", pipeline)
    if exact.num_rows:
        return exact
    pc = arrow("pyarrow.compute")
    found = table.filter(pc.starts_with(table["pipeline_id"], f"{pipeline}_"))
    names = found.group_by(["dataset", "pipeline_id"], use_threads=False).aggregate([]).to_pylist()
    if len({row["dataset"] for row in names}) < len(names):
        ids = sorted({row["pipeline_id"] for row in names})
        raise AmbiguousIdError(
            f"{shown_text(pipeline)} fits {len(ids)} pipelines: {', '.join(ids[:10])}",
            hint="name one of them",
            candidates=ids,
        )
    return found


def _of_model(table: pa.Table, model: object) -> pa.Table:
    ident = model.artifact_id if isinstance(model, ArtifactRecord) else utf8(model, "the model's id")
    exact = _equal(table, "model", ident)
    pipeline, dollar, rest = ident.rpartition("$")
    if exact.num_rows or not dollar:
        return exact
    digits, _, fold = rest.partition(":")

    def fits(name: str) -> bool:
        own, _, end = name.rpartition("$")
        middle, _, number = end.partition(":")
        is_own = own == pipeline or own.startswith(f"{pipeline}_")
        return is_own and middle.startswith(digits) and fold in ("", number)

    pa, pc = arrow(), arrow("pyarrow.compute")
    names = [name for name in pc.unique(table["model"]).to_pylist() if fits(name)]
    return table.filter(pc.is_in(table["model"], value_set=pa.array(names, pa.string())))


def score_column(table: pa.Table, name: str) -> pa.ChunkedArray:
    """Return the score with a name of each row, null where there is none."""
    pa, pc = arrow(), arrow("pyarrow.compute")
    chunks = [pc.map_lookup(chunk, pa.scalar(name), "first") for chunk in table["scores"].chunks]
    return pa.chunked_array(chunks, pa.float64())


def _with_scores(table: pa.Table, given: object) -> pa.Table:
    if isinstance(given, Mapping):
        conditions = [(name, "=", value) for name, value in given.items()]
    else:
        parsed = [parse_condition(each) for each in texts(given, "scores")]  # type: ignore[arg-type]
        conditions = [(each.path, each.operator, each.operand) for each in parsed]
    pa, pc = arrow(), arrow("pyarrow.compute")
    for name, operator, operand in conditions:
        column = score_column(table, utf8(name, "the name of a score"))
        if operator == "exists":
            table = table.filter(column.is_valid())
            continue
        try:
            number = float(operand)
        except (TypeError, ValueError, OverflowError):
            raise InvalidInputError(
                f"the score {shown_text(name)} cannot be compared with {shown_value(operand)}"
            ) from None
        if operator not in _OPERATORS:
            raise InvalidInputError(f"scores are compared by {' '.join(_OPERATORS)}, not by {operator}")
        table = table.filter(getattr(pc, _OPERATORS[operator])(column, pa.scalar(number, pa.float64())))
    return table


def _with_metadata(table: pa.Table, given: Mapping[str, Any]) -> pa.Table:
    wanted = json_object(given, "metadata")
    missing = object()
    kept = [
        all(values.get(name, missing) == value for name, value in wanted.items())
        for values in map(_parsed, table["metadata"].to_pylist())
    ]
    return table.filter(arrow().array(kept, arrow().bool_()))


def _parsed(written: str) -> dict[str, Any]:
    try:
        values = json.loads(written)
    except (ValueError, RecursionError) as error:
        raise MalformedPayloadError("a prediction has metadata that are not JSON") from error
    if not isinstance(values, dict):
        raise MalformedPayloadError("a prediction has metadata that are not a JSON object")
    return values


def direction(table: pa.Table, metric: str, ascending: bool | None) -> bool:
    """Return whether the smallest value of a score is the best one.

    A score of a partition, such as ``test_score``, is one of the metric that the predictions name; if they name none,
    it is a score in scikit-learn's sense, and the largest is the best.  Raises `UnknownMetricError` if the metrics of
    the predictions differ in direction, or are unknown.
    """
    if utf8(metric, "the metric") and ascending is not None:
        if not isinstance(ascending, bool):
            raise InvalidInputError(f"ascending must be True, False or None, not {shown_value(ascending)}")
        return ascending
    if metric not in SCORES:
        return smallest_is_best(metric)
    pc = arrow("pyarrow.compute")
    scored = table.filter(score_column(table, metric).is_valid()) if table.num_rows else table
    named = pc.unique(scored["metric"]).to_pylist()
    ways = {smallest_is_best(metric if each is None else each) for each in named}
    if len(ways) > 1:
        shown = ", ".join(sorted("none" if each is None else each for each in named)[:10])
        raise UnknownMetricError(
            f"the best {shown_text(metric)} is unknown, because the metrics of these predictions differ: {shown}",
            hint="pass ascending=, or select predictions of one metric",
        )
    return ways.pop() if ways else smallest_is_best(metric)


def ranked(table: pa.Table, metric: str, is_ascending: bool, n: int | None) -> pa.Table:
    """Return the ``n`` best rows that have a score, the best first; NaN comes last, equal scores in order of ids."""
    pa, pc = arrow(), arrow("pyarrow.compute")
    if n is not None:
        whole_number(n, "n")
    values = score_column(table, metric)
    table, values = table.filter(values.is_valid()), values.filter(values.is_valid())
    keys = pa.table(
        {
            "nan": pc.cast(pc.is_nan(values), pa.int8()),
            "value": values,
            "id": table["prediction_id"],
        }
    )
    order = pc.sort_indices(
        keys,
        [("nan", "ascending"), ("value", "ascending" if is_ascending else "descending"), ("id", "ascending")],
    )
    return table.take(order[:n])


def public_rows(table: pa.Table) -> list[dict[str, Any]]:
    """Return rows as callers see them: scores and metadata are dictionaries."""
    rows: list[dict[str, Any]] = table.drop_columns(
        [name for name in _HIDDEN if name in table.column_names]
    ).to_pylist()
    for row in rows:
        row["scores"] = dict(row["scores"])
        row["metadata"] = _parsed(row["metadata"])
    return rows
