"""Finding: what fits every selector, the best by what a metric means, and one error for what means nothing."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as drawn
from hypothesis import strategies as st

from artfs.registry import (
    AmbiguousIdError,
    ArtifactRegistry,
    PredictionCatalog,
    PredictionError,
    UnknownMetricError,
)
from artfs.registry.metrics import deviation_of, mean_of
from artstore.errors import ArtfsError, InvalidInputError, InvalidNameError
from artstore.storage.environment import Environment
from fs.registry.predictions.catalogs import given
from fs.registry.registries import add, make_registry


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PredictionCatalog]:
    """Return a catalogue of two data sets; wheat has two pipelines with two chains of three folds."""
    folder = tmp_path_factory.mktemp("filled")
    catalog = PredictionCatalog(folder / "workspace")
    for dataset in ("wheat", "barley"):
        rows = []
        for pipeline in ("0001_pls", "0002_a") if dataset == "wheat" else ("0001_other",):
            registry = make_registry(folder, dataset, pipeline)
            for place, chain in enumerate(("s1.A>s2.PLS", "s1.A>s2.Ridge")):
                for fold in range(3):
                    model = add(registry, [pipeline, place, fold], chain, fold_id=fold)
                    value = place + fold / 10 + (0.05 if pipeline == "0002_a" else 0)
                    metadata = {"pre": "SNV" if place else "MSC", "n": fold}
                    for partition in ("val", "test"):
                        scores = {"rmse": value, "r2": 1 - value, "test_score": value, "metric": "rmse"}
                        rows.append(
                            given(model, pipeline_id=pipeline, partition=partition, scores=scores, metadata=metadata)
                        )
        catalog.add_many(dataset, rows)  # type: ignore[arg-type]
    yield catalog
    catalog.workspace.close()
    Environment.of(catalog.workspace.path).drop()


SELECTORS: list[tuple[dict[str, Any], int]] = [
    ({}, 24),
    ({"pipeline_id": "0001"}, 12),
    ({"pipeline_id": "0001_pls"}, 12),
    ({"pipeline_id": "0001_p"}, 0),
    ({"pipeline_id": "9"}, 0),
    ({"partition": "val"}, 12),
    ({"partition": "train"}, 0),
    ({"fold_id": 0}, 8),
    ({"fold_id": "all"}, 0),
    ({"chain": "s1.A > s2.PLS"}, 12),
    ({"class_name": "list"}, 24),
    ({"step_index": 2}, 24),
    ({"step_index": 1}, 0),
    ({"scores": {"rmse": 0.1}}, 2),
    ({"scores": "rmse<0.1"}, 4),
    ({"scores": ["rmse>=1", "r2>-0.1"]}, 4),
    ({"scores": ["rmse!=0.1"]}, 22),
    ({"scores": ["mae"]}, 0),
    ({"scores": ["mae<1"]}, 0),
    ({"scores": "r2"}, 24),
    ({"metadata": {"pre": "SNV"}}, 12),
    ({"metadata": {"pre": "SNV", "n": 1}}, 4),
    ({"metadata": {"other": None}}, 0),
    ({"fold_id": 1, "pipeline_id": "0002", "partition": "test", "chain": "s1.A>s2.Ridge"}, 1),
]


@pytest.mark.parametrize(("selectors", "count"), SELECTORS, ids=str)
def test_selectors(filled: PredictionCatalog, selectors: dict[str, Any], count: int) -> None:
    """Every selector must hold; what nothing fits is an empty list."""
    rows = filled.filter("wheat", **selectors)
    assert len(rows) == len({row["prediction_id"] for row in rows}) == count
    assert filled.summary("wheat", metric="rmse", **selectors)["predictions"] == count


def test_models_are_selected_by_their_ids(filled: PredictionCatalog) -> None:
    """An id, a beginning of it, all folds of a hash: never another pipeline's or another hash."""
    ident = filled.filter("wheat", limit=1)[0]["model"]
    pipeline, _, rest = ident.partition("$")
    digits, _, fold = rest.partition(":")
    assert {row["model"] for row in filled.filter("wheat", model=ident)} == {ident}
    assert {row["model"] for row in filled.filter("wheat", model=f"0001${digits[:5]}:{fold}")} == {ident}
    assert len(filled.filter("wheat", model=f"{pipeline}${digits}")) == 6
    for wrong in ("0001", f"0001_${digits}:0", f"000${digits}:0", f"0001_pls$:{fold}x", f"0001$({digits}|.*):0", "$"):
        assert filled.filter("wheat", model=wrong) == []


def test_the_best_are_those_of_the_metric(filled: PredictionCatalog) -> None:
    """Errors ascend and scores descend; `test_score` means the metric that the predictions name."""
    where: dict[str, Any] = {"pipeline_id": "0001", "partition": "test"}
    assert [row["scores"]["rmse"] for row in filled.query("wheat", metric="rmse", n=2, **where)] == [0.0, 0.1]
    assert [row["scores"]["rmse"] for row in filled.query("wheat", metric="r2", n=2, **where)] == [0.0, 0.1]
    assert [row["scores"]["rmse"] for row in filled.query("wheat", n=2, **where)] == [0.0, 0.1]
    worst = filled.query("wheat", metric="rmse", ascending=False, n=1, **where)
    assert worst[0]["scores"]["rmse"] == 1.2 and worst[0]["metadata"] == {"pre": "SNV", "n": 2}
    assert len(filled.query()) == 10 and len(filled.query(n=None)) == 36 and filled.query(n=0) == []
    assert filled.query("oats") == [] and filled.query("wheat", metric="mae") == []


ANYTHING = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**30, -(10**30), 10**5000])
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from(
        ["a b$c:0", "$", "$:", "a$b:c", "\ud800$x:0", "\ud800", "rmse<1", "rmse<nan", "rmse=1e999", ":", "_"]
    )
    | st.binary(max_size=3)
    | st.lists(st.text(max_size=4) | st.integers(), max_size=2)
    | st.dictionaries(
        st.text(max_size=4) | st.integers(), st.integers() | st.floats() | st.text(max_size=3), max_size=2
    )
)
ARGUMENTS = ("dataset", "pipeline_id", "model", "chain", "class_name", "step_index", "fold_id", "partition", "scores")


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@drawn(
    arguments=st.dictionaries(
        st.sampled_from((*ARGUMENTS, "metadata", "n", "metric", "ascending", "limit")), ANYTHING, max_size=3
    )
)
def test_any_question_has_an_answer_or_one_error(filled: PredictionCatalog, arguments: dict[str, Any]) -> None:
    """Whatever is asked, the answer is rows or an error of artfs's."""
    own = {name: value for name, value in arguments.items() if name not in ("n", "metric", "ascending")}
    asked = {name: value for name, value in arguments.items() if name != "limit"}
    for call, given_arguments in ((filled.filter, own), (filled.query, asked)):
        try:
            found = call(**given_arguments)
        except ArtfsError as error:
            assert len(str(error)) < 1000
        else:
            assert isinstance(found, list)
    for wanted in arguments.values():
        with contextlib.suppress(ArtfsError):
            filled.get(wanted)


def test_questions_that_mean_nothing(filled: PredictionCatalog) -> None:
    """Each is one error with a way out."""
    wrong: list[tuple[type[Exception], dict[str, Any]]] = [
        (UnknownMetricError, {"metric": "size"}),
        (InvalidInputError, {"metric": None}),
        (InvalidInputError, {"ascending": "yes"}),
        (InvalidInputError, {"n": -1}),
        (InvalidInputError, {"n": "3"}),
        (InvalidInputError, {"colour": "red"}),
        (InvalidInputError, {"scores": "rmse<low"}),
        (InvalidInputError, {"scores": "rmse^=0"}),
        (InvalidInputError, {"scores": {"rmse": None}}),
        (InvalidInputError, {"scores": 3}),
        (InvalidInputError, {"partition": 3}),
        (InvalidInputError, {"model": 3}),
        (InvalidInputError, {"pipeline_id": ["0001"]}),
        (InvalidInputError, {"step_index": -1}),
        (InvalidInputError, {"chain": "nonsense"}),
        (PredictionError, {"fold_id": "first"}),
        (InvalidInputError, {"metadata": ["pre"]}),
        (InvalidNameError, {"dataset": "a/b"}),
    ]
    for kind, arguments in wrong:
        with pytest.raises(kind):
            filled.query(**{"dataset": "wheat", **arguments})


def test_folds_are_compared(filled: PredictionCatalog) -> None:
    """One row a fold, in order, with mean and deviation; several models or partitions are not averaged."""
    found = filled.compare_folds("wheat", pipeline_id="0001", chain="s1.A>s2.Ridge", partition="test")
    assert [row["fold_id"] for row in found["folds"]] == [0, 1, 2]
    assert found["mean"]["rmse"] == pytest.approx(1.1) and found["std"]["rmse"] == pytest.approx(0.1)
    assert filled.compare_folds("wheat", "0001", metric="r2", chain="s1.A>s2.Ridge", partition="val")["mean"] == {
        "r2": pytest.approx(-0.1)
    }
    for selectors in ({"partition": "test"}, {"pipeline_id": "0001", "chain": "s1.A>s2.PLS"}):
        with pytest.raises(AmbiguousIdError) as caught:
            filled.compare_folds("wheat", **selectors)  # type: ignore[arg-type]
        assert caught.value.candidates
    assert filled.compare_folds("oats") == {"folds": [], "mean": {}, "std": {}}


def test_data_sets_are_compared(filled: PredictionCatalog) -> None:
    """A row for each data set that has the score, with its best prediction."""
    rows = filled.compare_across_datasets(pipeline_id="0001", metric="rmse", partition="test")
    assert [(row["dataset"], row["count"], row["best"], row["min"], row["max"]) for row in rows] == [
        ("barley", 6, 0.0, 0.0, 1.2),
        ("wheat", 6, 0.0, 0.0, 1.2),
    ]
    best = filled.get(rows[1]["prediction_id"])
    assert (best["dataset"], best["scores"]["rmse"], best["model"][:8]) == ("wheat", 0.0, "0001_pls")
    assert filled.compare_across_datasets(metric="mae") == []
    assert [row["dataset"] for row in filled.compare_across_datasets("0002", "rmse")] == ["wheat"]


def test_the_summary_counts(filled: PredictionCatalog) -> None:
    """It counts, lists what there is, and describes a score."""
    found = filled.summary("wheat", metric="rmse", partition="test")
    assert (found["predictions"], found["count"], found["folds"], found["datasets"]) == (12, 12, [0, 1, 2], ["wheat"])
    assert found["pipelines"] == ["0001_pls", "0002_a"] and len(found["models"]) == 12
    assert found["scores"] == ["r2", "rmse", "test_score"] and found["partitions"] == ["test"]
    assert found["mean"] == pytest.approx(0.625) == found["median"] and found["min"] == 0 and found["max"] == 1.25
    nothing = filled.summary("wheat", metric="mae")
    assert (nothing["count"], nothing["mean"], nothing["std"], nothing["median"]) == (0, None, None, None)


def test_scores_that_are_not_finite(catalog: PredictionCatalog, model: Any) -> None:
    """NaN is never the best, infinities are ordered, and missing scores are left out."""
    values = [math.nan, -math.inf, 2.0, math.inf, None]
    rows = [
        given(model, scores={"rmse": value, "r2": value}, partition=f"p{place}") for place, value in enumerate(values)
    ]
    catalog.add_many("wheat", rows)  # type: ignore[arg-type]
    for metric, order in (("rmse", [-math.inf, 2.0, math.inf]), ("r2", [math.inf, 2.0, -math.inf])):
        found = [row["scores"][metric] for row in catalog.query(metric=metric)]
        assert found[:3] == order and math.isnan(found[3]) and len(found) == 4
    found = catalog.summary(metric="rmse")
    assert found["count"] == 4 and math.isnan(found["mean"]) and math.isnan(found["median"])
    finite = catalog.summary(metric="rmse", scores=["rmse>1"])
    assert finite["mean"] == math.inf and math.isnan(finite["std"]) and finite["min"] == 2.0
    assert len(catalog.filter(scores=["rmse=inf"])) == 1 and len(catalog.filter(scores={"rmse": -math.inf})) == 1


@pytest.mark.parametrize(
    "values",
    [[math.inf, -math.inf], [math.nan, 1.0], [1e308, 1e308], [1e308, -1e308], [-math.inf, 1.0], [5e-324, 0.0], [1.0]],
    ids=str,
)
def test_statistics_of_any_numbers(catalog: PredictionCatalog, registry: ArtifactRegistry, values: list[float]) -> None:
    """No score makes a comparison fail."""
    models = [add(registry, [fold], fold_id=fold) for fold in range(len(values))]
    rows = [given(model, scores={"rmse": value}) for model, value in zip(models, values, strict=True)]
    catalog.add_many("wheat", rows)  # type: ignore[arg-type]
    found = catalog.compare_folds("wheat")
    mean, deviation = found["mean"]["rmse"], found["std"]["rmse"]
    assert repr((mean, deviation)) == repr((mean_of(values), deviation_of(values)))
    (row,) = catalog.compare_across_datasets(metric="rmse")
    assert row["count"] == len(values) and repr(catalog.summary(metric="rmse")["mean"]) == repr(row["mean"])


def test_metrics_of_both_directions_are_not_ranked(catalog: PredictionCatalog, model: Any) -> None:
    """`test_score` of r2 beside rmse has no best; without a metric it is a score, and the largest is the best."""
    catalog.add("wheat", **given(model, scores={"test_score": 1, "metric": "r2"}))
    catalog.add("wheat", **given(model, scores={"test_score": 2, "metric": "r2"}))
    assert [row["test_score"] for row in catalog.query()] == [2, 1]
    catalog.add("wheat", **given(model, scores={"test_score": 3}))
    assert [row["test_score"] for row in catalog.query()] == [3, 2, 1]
    catalog.add("wheat", **given(model, scores={"test_score": 4, "metric": "rmse"}))
    with pytest.raises(UnknownMetricError, match="r2, rmse"):
        catalog.query()
    assert [row["test_score"] for row in catalog.query(ascending=True, n=1)] == [1]
    catalog.add(
        "barley",
        **given(
            add(make_registry(Path(catalog.folder).parent, "barley"), [1]), scores={"test_score": 1, "metric": "ours"}
        ),
    )
    with pytest.raises(UnknownMetricError, match="ours"):
        catalog.query("barley")
