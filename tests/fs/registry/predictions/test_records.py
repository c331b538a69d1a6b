"""What is given for a prediction: kept exactly, or refused by one error; the id follows from the content."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from artfs.registry import PredictionError
from artfs.registry.predictions.records import Model, Prediction, prediction_of
from artfs.registry.records import ArtifactRecord, ArtifactType

MODEL = Model(ArtifactRecord("0001_pls$abc:0", ArtifactType.MODEL), "blake3:00", 7)


def made(**changes: Any) -> Prediction:
    """Return a checked prediction with changes to what is given."""
    given = {"fold_id": 0, "partition": "test", "scores": {"rmse": 0.5}, **changes}
    model = given.pop("of", MODEL)
    return prediction_of(given.pop("dataset", "wheat"), given.pop("pipeline_id", "0001_pls"), model, given)  # type: ignore[arg-type]


REFUSED: dict[str, dict[str, Any]] = {
    "no partition": {"partition": None},
    "empty partition": {"partition": " "},
    "partition is a number": {"partition": 3},
    "partition that UTF-8 lacks": {"partition": "\udc80"},
    "partition too long": {"partition": "x" * (1 << 21)},
    "no scores": {"scores": None},
    "scores are a list": {"scores": [("rmse", 1)]},
    "score is text": {"scores": {"rmse": "0.5"}},
    "score is a boolean": {"scores": {"rmse": True}},
    "score is an array": {"scores": {"rmse": np.zeros(3)}},
    "score is complex": {"scores": {"rmse": 1j}},
    "score is a decimal": {"scores": {"rmse": Decimal("0.1")}},
    "score is no double": {"scores": {"rmse": 2**53 + 1}},
    "score is beyond doubles": {"scores": {"rmse": 10**400}},
    "score with endless digits": {"scores": {"rmse": 10**9000}},
    "score without a name": {"scores": {"": 1.0}},
    "score with a number for a name": {"scores": {3: 1.0}},
    "metric is a number": {"scores": {"metric": 3}},
    "fold below 0": {"fold_id": -1},
    "fold is text": {"fold_id": "first"},
    "fold is a fraction": {"fold_id": 0.0},
    "fold is a boolean": {"fold_id": True},
    "fold is huge": {"fold_id": 10**30},
    "fold is an array": {"fold_id": np.zeros(2)},
    "metadata is a list": {"metadata": ["a"]},
    "metadata has numbers for names": {"metadata": {1: 2}},
    "metadata too deep": {"metadata": {"a": [[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]}},
    "metadata too long": {"metadata": {"a": "x" * (1 << 21)}},
    "metadata that UTF-8 lacks": {"metadata": {"a": "\ud800"}},
    "metadata with endless digits": {"metadata": {"a": 10**9000}},
    "lengths differ": {"y_true": [1, 2], "y_pred": [1]},
    "probabilities of other samples": {"y_pred": [1, 2], "y_proba": [[0.1, 0.9]]},
    "weights of other samples": {"y_pred": [1, 2], "weights": []},
    "objects": {"y_pred": np.array([object()])},
}


@pytest.mark.parametrize("changes", REFUSED.values(), ids=REFUSED)
def test_what_is_refused(changes: dict[str, Any]) -> None:
    """Each is one error, and a ValueError, whose sentence is short."""
    with pytest.raises(PredictionError) as caught:
        made(**changes)
    assert isinstance(caught.value, ValueError) and len(str(caught.value)) < 300


def test_what_is_kept() -> None:
    """Scores of NumPy and nested by partition are numbers by name; None is no score; the metric is a name."""
    prediction = made(
        fold_id="all",
        scores={"test": {"rmse": np.float32(0.5), "n": np.int64(3)}, "r2": math.nan, "inf": -math.inf, "val": None},
        metadata={"metric": "rmse", "steps": ("SNV", np.int8(2)), "nan": math.nan, "huge": 10**40},
    )
    assert list(prediction.scores) == ["inf", "r2", "test_n", "test_rmse"] and prediction.scores["test_n"] == 3.0
    assert math.isnan(prediction.scores["r2"]) and prediction.scores["inf"] == -math.inf
    assert (prediction.metric, prediction.fold_id, prediction.n_samples) == ("rmse", None, None)
    assert prediction.metadata == f'{{"huge":{10**40},"metric":"rmse","nan":"nan","steps":["SNV",2]}}'
    assert made(scores={"metric": "r2", "test_score": 1}, metadata={"metric": "rmse"}).metric == "r2"
    assert made(scores={}).scores == {} and made(y_pred=[]).n_samples == 0


def test_the_id_is_that_of_the_content() -> None:
    """Equal content has one id, also from other containers; each part of it changes the id."""
    base: dict[str, Any] = {"y_true": np.arange(3.0), "y_pred": [[1], [2], [3]], "metadata": {"b": 1, "a": 2}}
    same = made(
        **{**base, "y_true": [0.0, 1.0, 2.0], "metadata": {"a": 2, "b": 1}, "scores": {"rmse": np.float64(0.5)}}
    )
    assert same.prediction_id == made(**base).prediction_id
    others = [
        {"dataset": "barley"},
        {"pipeline_id": "0002"},
        {"of": Model(ArtifactRecord("0001_pls$abc:1", ArtifactType.MODEL), "blake3:00", 7)},
        {"of": Model(MODEL.record, "blake3:01", 8)},
        {"fold_id": 1},
        {"fold_id": None},
        {"partition": "val"},
        {"scores": {"rmse": 0.25}},
        {"scores": {"mae": 0.5}},
        {"scores": {"rmse": 0.5, "metric": "rmse"}},
        {"scores": {"rmse": math.nan}},
        {"metadata": {"a": 2}},
        {"y_true": np.arange(3)},
        {"y_true": np.arange(3.0)[:, None]},
        {"y_true": None},
        {"y_true": None, "weights": np.arange(3.0)},
        {"y_true": [0.0, 1.0, math.nan]},
        {"y_true": [-0.0, 1.0, 2.0]},
        {"y_true": ["0", "1", "2"]},
        {"y_true": np.array(["0", "1", "2"], object)},
    ]
    ids = [made(**{**base, **changes}).prediction_id for changes in others]
    assert len({*ids, same.prediction_id}) == len(others) + 1
    assert all(len(each) == 32 for each in ids)


def test_the_id_is_the_same_for_ever() -> None:
    """The ids of later versions are those of today."""
    assert made().prediction_id == "d3d4d671a8e6d1009ebc5969faa6e34e"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
ANYTHING = JSON | st.binary(max_size=3) | st.complex_numbers()


@settings(max_examples=200, deadline=None)
@drawn(scores=st.dictionaries(st.text(max_size=4), ANYTHING, max_size=3) | ANYTHING, metadata=ANYTHING, fold=ANYTHING)
def test_anything_is_kept_or_refused(scores: Any, metadata: Any, fold: Any) -> None:
    """Whatever is given, it is a prediction or one error."""
    try:
        prediction = made(scores=scores, metadata=metadata, fold_id=fold)
    except PredictionError:
        return
    for name, value in scores.items():
        if isinstance(value, float) and not math.isnan(value):
            assert prediction.scores[name] == value
