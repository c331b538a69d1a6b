"""`PredictionCatalog`: the predictions of models, by data set, in Parquet files that any program reads."""

from __future__ import annotations

import math
import os
import random
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Unpack

from artfs.registry.chains import optional_number
from artfs.registry.errors import (
    AmbiguousIdError,
    MissingDependencyError,
    PredictionError,
    UnknownPredictionError,
)
from artfs.registry.lookup import Lookup
from artfs.registry.metrics import deviation_of, mean_of
from artfs.registry.naming import CATALOG, catalog_name, check_dataset
from artfs.registry.predictions.arrays import array_of
from artfs.registry.predictions.columns import arrays_of, arrow, meta_schema
from artfs.registry.predictions.parts import data_row
from artfs.registry.predictions.queries import (
    PipelineSelectors,
    Selectors,
    direction,
    public_rows,
    ranked,
    score_column,
    selected,
    utf8,
)
from artfs.registry.predictions.records import Given, Model, Prediction, prediction_of
from artfs.registry.predictions.staging import NextVersion
from artfs.registry.predictions.tables import MetaTables
from artfs.registry.records import ArtifactRecord
from artfs.registry.sources import record_digest
from artfs.registry.workspaces import FolderWorkspace
from artstore.arguments import shown_text, shown_value, text, texts
from artstore.errors import BusyError, NotFoundError
from artstore.queries.versions import Version

if TYPE_CHECKING:
    import pyarrow as pa

    from artstore.workspace import Workspace

__all__ = ["PredictionCatalog"]

_ATTEMPTS: Final = 200
_LONGEST_PAUSE_SECONDS: Final = 0.05
_SHORTEST_ID: Final = 4


class PredictionCatalog(FolderWorkspace):
    """The predictions that registered models made, found by data set, pipeline, model, fold, partition and scores.

        catalog = PredictionCatalog("workspace")
        catalog.add("wheat", pipeline_id="0001_pls", model=record.artifact_id, fold_id=0, partition="test",
                    scores={"rmse": 0.42}, y_true=y, y_pred=model.predict(x))
        catalog.query("wheat", metric="rmse", n=3)

    ``workspace`` is a `Workspace`, the folder of one, or any folder, whose workspace is then in ``.artfs``.  Adding
    makes a version of ``catalog/DATASET``, which has all predictions before it and keeps the versions of their models.
    Rows are dictionaries.  One object may be used by many threads.

    Needs pyarrow, which the extra ``artfs[catalog]`` installs: raises `MissingLibraryError` without it, and
    `MalformedPayloadError` for a version with files that are not a catalogue's.
    """

    def __init__(self, workspace: Workspace | str | os.PathLike[str]) -> None:
        super().__init__(workspace)
        self._table = MetaTables()

    # -- adding ----------------------------------------------------------------------------------------------------

    def add(
        self,
        dataset: str,
        *,
        pipeline_id: str,
        model: str | ArtifactRecord,
        fold_id: int | str | None,
        partition: str,
        scores: Mapping[str, Any],
        y_true: Any = None,
        y_pred: Any = None,
        y_proba: Any = None,
        sample_indices: Any = None,
        weights: Any = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> str:
        """Add one prediction; return its id, which follows from its content: adding an equal one changes nothing.

        ``model`` is the id of a registered model, whose present version is meant, or a record of one.  ``scores`` are
        numbers by name; ``metric`` in them, a text, is what ``train_score``, ``val_score`` and ``test_score`` are.
        Arrays have one length, any further dimensions, and numbers, booleans or text; values and dtypes are kept.

        Raises `PredictionError` for what cannot be kept, and `MissingDependencyError` for a model that is not
        registered.
        """
        given = Given(
            pipeline_id=pipeline_id,
            model=model,
            fold_id=fold_id,
            partition=partition,
            scores=scores,
            y_true=y_true,
            y_pred=y_pred,
            y_proba=y_proba,
            sample_indices=sample_indices,
            weights=weights,
            metadata=metadata,
        )
        return self.add_many(dataset, [given])[0]

    def add_many(self, dataset: str, predictions: Iterable[Given]) -> list[str]:
        """Add predictions, all or none, in one version; return their ids in the order given.

        Each is a dictionary with the arguments of `add`.
        """
        arrow()
        given = _listed(predictions)
        registry = Lookup(self._opened or self._folder, check_dataset(dataset))
        models: dict[tuple[str, str], Model] = {}
        checked = []
        for place, each in enumerate(given):
            try:
                checked.append(self._checked(registry, each, models))
            except PredictionError as error:
                if len(given) == 1:
                    raise
                raise PredictionError(f"prediction {place} cannot be added: {error}", hint=error.hint) from error
        if checked:
            self._add(dataset, {each.prediction_id: each for each in checked})
        return [each.prediction_id for each in checked]

    def _checked(self, registry: Lookup, given: Given, models: dict[tuple[str, str], Model]) -> Prediction:
        pipeline = given.get("pipeline_id")
        if not isinstance(pipeline, str) or not pipeline:
            raise PredictionError(f"a prediction needs the id of a pipeline, not {shown_value(pipeline)}")
        model = given.get("model")
        key = (model.artifact_id, model.ref) if isinstance(model, ArtifactRecord) else (str(model), "")
        if key not in models:
            models[key] = _model(registry, model)
        return prediction_of(registry.dataset, registry.find_pipeline(pipeline) or pipeline, models[key], given)

    def _add(self, dataset: str, predictions: dict[str, Prediction]) -> None:
        def step(latest: Version | None, ids: set[str], pins: set[int]) -> None:
            fresh = [each for ident, each in predictions.items() if ident not in ids]
            if fresh:
                version = NextVersion(self.workspace, catalog_name(dataset), latest)
                pins |= {each.model.serial for each in fresh}
                version.add(fresh, len(ids) + len(fresh), pins)

        self._step(dataset, step)

    def _step(self, dataset: str, step: Callable[[Version | None, set[str], set[int]], None]) -> None:
        """Make the next version of a catalogue; do it again if another process was faster."""
        name = catalog_name(dataset)
        for attempt in range(_ATTEMPTS):
            latest = self.workspace.relations.current(name)
            try:
                ids: set[str] = set()
                pins: set[int] = set()
                if latest is not None:
                    ids.update(self._table(latest)["prediction_id"].to_pylist())
                    pins.update(each.record.serial for each in self.workspace.relations.included_by(latest))
                step(latest, ids, pins)
                return
            except (BusyError, NotFoundError):
                is_same = self.workspace.relations.current(name) == latest
                if attempt == _ATTEMPTS - 1 or is_same:
                    raise
            time.sleep(random.uniform(0, _LONGEST_PAUSE_SECONDS))

    def remove(self, dataset: str, prediction_ids: Iterable[str] | str) -> int:
        """Make a version without predictions; return how many there were.  Earlier versions still have them.

        Their models are no longer kept by the new version.  Ids must be whole; raises `UnknownPredictionError`.
        """
        doomed = set(texts(prediction_ids, "prediction_ids"))
        self._remove(dataset, doomed)
        return len(doomed)

    def remove_models(self, dataset: str, versions: Iterable[str]) -> int:
        """Make a version without the predictions of versions of models, ``NAME:v3``; return how many there were."""
        latest = self._latest(dataset)
        if latest is None:
            return 0
        names = set(texts(versions, "versions"))
        gone = {record_digest(self.workspace.version(name)) for name in names}
        others = {each.name for each in self.workspace.relations.included_by(latest)} - names
        rows = self._table(latest).select(["prediction_id", "model_digest", "model_ref"]).to_pylist()
        doomed = {
            row["prediction_id"]
            for row in rows
            if row["model_digest"] in gone and row["model_ref"] not in others  # an equal model in another version
        }
        self._remove(dataset, doomed)
        return len(doomed)

    def _remove(self, dataset: str, doomed: set[str]) -> None:
        def step(latest: Version | None, ids: set[str], pins: set[int]) -> None:
            unknown = sorted(doomed - ids)
            if unknown:
                raise UnknownPredictionError(f"no prediction of {dataset!r} has the id {shown_text(unknown[0])}")
            if latest is not None and doomed:
                left = self._pins(latest, doomed)
                NextVersion(self.workspace, catalog_name(dataset), latest).without(doomed, len(ids - doomed), left)

        self._step(dataset, step)

    def _pins(self, version: Version, doomed: set[str]) -> set[int]:
        """Return the serials of the living versions of models whose predictions stay."""
        columns = self._table(version).select(["prediction_id", "model_digest"]).to_pylist()
        kept = {row["model_digest"] for row in columns if row["prediction_id"] not in doomed}
        included = self.workspace.relations.included_by(version)
        return {each.record.serial for each in included if record_digest(each) in kept}

    # -- finding ---------------------------------------------------------------------------------------------------

    def datasets(self) -> list[str]:
        """Return the data sets that have predictions."""
        workspace = self._existing()
        names = [] if workspace is None else workspace.relations.names_below(CATALOG)
        return [name for name in names if self._latest(name) is not None]

    def _latest(self, dataset: str) -> Version | None:
        workspace = self._existing()
        return None if workspace is None else workspace.relations.current(catalog_name(dataset))

    def _predictions(self, dataset: str | None, selectors: Selectors) -> pa.Table:
        """Return the metadata of the predictions of a data set, or of all, that fit."""
        names = self.datasets() if dataset is None else [check_dataset(dataset)]
        versions = [version for version in map(self._latest, names) if version is not None]
        return selected(self._joined(versions), selectors)

    def _joined(self, versions: Iterable[Version]) -> pa.Table:
        return arrow().concat_tables([meta_schema().empty_table(), *map(self._named, versions)])

    def _named(self, version: Version) -> pa.Table:
        """Return the metadata of a version, whose name has the data set: it may have been renamed."""
        table, field = self._table(version), meta_schema().field("dataset")
        names = arrow().repeat(version.artifact.rpartition("/")[2], table.num_rows)
        return table.set_column(table.schema.get_field_index("dataset"), field, names)

    def filter(
        self, dataset: str | None = None, *, limit: int | None = None, **selectors: Unpack[Selectors]
    ) -> list[dict[str, Any]]:
        """Return the predictions that fit every selector, of one data set or of all; `Selectors` lists them.

        They are in the order of data set, pipeline, model, partition and id; no file of arrays is opened.
        """
        table = self._predictions(dataset, selectors)
        limit = optional_number(limit, "a limit")
        keys = [(name, "ascending") for name in ("dataset", "pipeline_id", "model", "partition", "prediction_id")]
        return public_rows(table.sort_by(keys)[:limit])

    def query(
        self,
        dataset: str | None = None,
        *,
        metric: str = "test_score",
        n: int | None = 10,
        ascending: bool | None = None,
        **selectors: Unpack[Selectors],
    ) -> list[dict[str, Any]]:
        """Return the ``n`` best predictions by a score, the best first; None for all.

        Whether the smallest or the largest is the best follows from the metric (``rmse``, ``r2``), and for
        ``test_score`` from the metric that the predictions name; ``ascending`` overrides it.  Predictions without the
        score are left out, those with NaN come last.  Raises `UnknownMetricError` if the direction is unknown.
        """
        table = self._predictions(dataset, selectors)
        return public_rows(ranked(table, metric, direction(table, metric, ascending), n))

    def get(self, prediction_id: str, arrays: bool = True, *, dataset: str | None = None) -> dict[str, Any]:
        """Return a prediction by its id or a unique beginning of it, with its arrays under their names.

        Only the row group that has the arrays is read.  Raises `UnknownPredictionError` (a KeyError).
        """
        wanted = utf8(prediction_id, "the id of a prediction")
        names = self.datasets() if dataset is None else [check_dataset(dataset)]
        versions = {name: version for name in names if (version := self._latest(name)) is not None}
        table = self._joined(versions.values())
        found = _with_id(table, wanted)
        if found is None:
            raise UnknownPredictionError(
                f"no prediction has the id {shown_text(wanted)}", hint="find one: filter(), or query()"
            )
        (row,) = public_rows(found)
        return {**row, **_arrays(versions[row["dataset"]], found)} if arrays else row

    # -- comparing -------------------------------------------------------------------------------------------------

    def compare_folds(
        self,
        dataset: str,
        pipeline_id: str | None = None,
        *,
        metric: str | None = None,
        **selectors: Unpack[PipelineSelectors],
    ) -> dict[str, Any]:
        """Compare the folds of one model: what fits must be one prediction for each fold.

        ``folds`` has their rows in order, ``mean`` and ``std`` those of the scores that every fold has, or of the one
        that is named; ``std`` is 0 for a single fold.  Of predictions of one model, fold and partition the last added
        one counts.  Raises `AmbiguousIdError` if several chains or partitions fit.
        """
        table = self._predictions(dataset, {"pipeline_id": pipeline_id, **selectors})
        rows = [row for row in public_rows(table) if row["fold_id"] is not None]
        latest: dict[tuple[Any, ...], dict[str, Any]] = {}
        for row in sorted(rows, key=lambda row: (row["version"], row["prediction_id"])):
            latest[row["fold_id"], row["pipeline_id"], row["model"], row["partition"]] = row
        folds = [latest[key] for key in sorted(latest)]
        if len({row["fold_id"] for row in folds}) < len(folds):
            models = sorted({row["model"].rpartition(":")[0] for row in folds})
            partitions = sorted({row["partition"] for row in folds})
            raise AmbiguousIdError(
                f"a fold has several predictions, of {', '.join(models[:5])} for {', '.join(partitions[:5])}",
                hint="select one partition=, and one model= or chain=",
                candidates=[row["prediction_id"] for row in folds],
            )
        common = set.intersection(*(set(row["scores"]) for row in folds)) if folds else set()
        named = common if metric is None else common & {text(metric, "the metric")}
        columns = {name: [row["scores"][name] for row in folds] for name in sorted(named)}
        return {
            "folds": folds,
            "mean": {name: mean_of(values) for name, values in columns.items()},
            "std": {name: deviation_of(values) for name, values in columns.items()},
        }

    def compare_across_datasets(
        self,
        pipeline_id: str | None = None,
        metric: str = "test_score",
        *,
        ascending: bool | None = None,
        **selectors: Unpack[PipelineSelectors],
    ) -> list[dict[str, Any]]:
        """Return a row for each data set, by name: how a pipeline, model or chain scores there.

        A row has ``dataset``, ``count``, ``best`` and the ``prediction_id`` that has it, ``mean``, ``std``, ``min`` and
        ``max`` of the score.  Raises what `query` does.
        """
        table = self._predictions(None, {"pipeline_id": pipeline_id, **selectors})
        is_ascending = direction(table, metric, ascending)
        pc = arrow("pyarrow.compute")
        rows = []
        for name in sorted(pc.unique(table["dataset"]).to_pylist()):
            best = ranked(table.filter(pc.equal(table["dataset"], name)), metric, is_ascending, None)
            if best.num_rows:
                values = score_column(best, metric).to_pylist()
                first = {"prediction_id": best["prediction_id"][0].as_py(), "best": values[0]}
                rows.append({"dataset": name, **first, **_statistics(values)})
        return rows

    def summary(
        self, dataset: str | None = None, *, metric: str = "test_score", **selectors: Unpack[Selectors]
    ) -> dict[str, Any]:
        """Count the predictions that fit, and describe one of their scores.

        ``predictions`` is their number; ``datasets``, ``pipelines``, ``models``, ``folds``, ``partitions`` and
        ``scores`` are the distinct values.  ``count``, ``min``, ``max``, ``mean``, ``median`` and ``std`` are those of
        the score, None where nothing has it; NaN counts, and makes all but ``count`` NaN.
        """
        table = self._predictions(dataset, selectors)
        pc = arrow("pyarrow.compute")
        values = score_column(table, utf8(metric, "the metric")).drop_null().to_pylist()
        names = {name for chunk in table["scores"].chunks for name in pc.unique(chunk.keys).to_pylist()}
        lists = {"datasets": "dataset", "pipelines": "pipeline_id", "models": "model", "partitions": "partition"}
        return {
            "predictions": table.num_rows,
            **{key: sorted(pc.unique(table[column]).to_pylist()) for key, column in lists.items()},
            "folds": sorted(pc.unique(table["fold_id"]).drop_null().to_pylist()),
            "scores": sorted(names),
            "metric": metric,
            **_statistics(values),
            "median": statistics.median(values) if values and not _has_nan(values) else _nothing(values),
        }


def _listed(predictions: Iterable[Given]) -> list[Given]:
    if isinstance(predictions, Mapping | str) or not isinstance(predictions, Iterable):
        raise PredictionError(f"predictions must be a list of dictionaries, not {shown_value(predictions)}")
    given = list(predictions)
    for place, each in enumerate(given):
        if not isinstance(each, Mapping):
            raise PredictionError(f"prediction {place} is not a dictionary: {shown_value(each)}")
        unknown = [name for name in each if name not in Given.__annotations__]
        if unknown:
            raise PredictionError(
                f"prediction {place} has {shown_value(unknown[0])}, which predictions do not have",
                hint=f"they have {', '.join(Given.__annotations__)}",
            )
    return given


def _model(registry: Lookup, model: object) -> Model:
    """Return the version of a registered model; raise `MissingDependencyError` if there is none."""
    if not isinstance(model, str | ArtifactRecord):
        raise PredictionError(f"the model must be the id of a registered artifact, not {shown_value(model)}")
    record = model if isinstance(model, ArtifactRecord) else registry.resolve(model)
    ident = model.artifact_id if isinstance(model, ArtifactRecord) else model
    if record is not None and record.dataset == registry.dataset:
        try:
            version = registry.version_of(record)
            return Model(record, record_digest(version), version.record.serial)
        except NotFoundError:
            pass
    raise MissingDependencyError(
        f"the model {shown_text(ident)} is not registered in the data set {registry.dataset!r}",
        hint="register models before their predictions",
    )


def _with_id(table: pa.Table, wanted: str) -> pa.Table | None:
    """Return the row with an id, else the one whose id begins so; raise `AmbiguousIdError` if several do."""
    pc = arrow("pyarrow.compute")
    found = table.filter(pc.equal(table["prediction_id"], wanted))
    if not found.num_rows and len(wanted) >= _SHORTEST_ID:
        found = table.filter(pc.starts_with(table["prediction_id"], wanted))
    if found.num_rows > 1:
        ids = sorted(found["prediction_id"].to_pylist())
        raise AmbiguousIdError(
            f"{shown_text(wanted)} fits {len(ids)} predictions: {', '.join(ids[:10])}",
            hint="write more of the id",
            candidates=ids,
        )
    return found if found.num_rows else None


def _arrays(version: Version, found: pa.Table) -> dict[str, Any]:
    ident, part, row = (found[name][0].as_py() for name in ("prediction_id", "data_part", "data_row"))
    if part is None:
        return {}
    stored = arrays_of(data_row(version, part, -1 if row is None else row, ident))
    return {name: array_of(each, name) for name, each in stored.items()}


def _has_nan(values: list[float]) -> bool:
    return any(value != value for value in values)


def _nothing(values: list[float]) -> float | None:
    return math.nan if values else None


def _statistics(values: list[float]) -> dict[str, Any]:
    if not values or _has_nan(values):
        return {"count": len(values), **dict.fromkeys(("mean", "std", "min", "max"), _nothing(values))}
    return {
        "count": len(values),
        "mean": mean_of(values),
        "std": deviation_of(values),
        "min": min(values),
        "max": max(values),
    }
