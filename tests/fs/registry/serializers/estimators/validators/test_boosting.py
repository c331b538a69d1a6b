"""Fitted objects pass: a validator that refuses one would make it unreadable."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from sklearn.linear_model import LinearRegression

from artfs.registry.serializers import deserialize
from skops_files import SkopsFile, loads

X = np.random.default_rng(0).random((40, 4))
Y = X @ np.arange(4.0)
C = (X[:, 0] * 3).astype(int)


@pytest.mark.parametrize(
    "fitted",
    [
        GradientBoostingRegressor(n_estimators=2).fit(X, Y),
        GradientBoostingRegressor(n_estimators=2, loss="quantile").fit(X, Y),
        GradientBoostingRegressor(n_estimators=2, loss="huber", init="zero").fit(X, Y),
        GradientBoostingClassifier(n_estimators=2).fit(X, C),
        GradientBoostingClassifier(n_estimators=2).fit(X, C > 0),
        GradientBoostingClassifier(n_estimators=2, loss="exponential").fit(X, C > 0),
        GradientBoostingClassifier(n_estimators=2, init="zero").fit(X, C),
        GradientBoostingClassifier(n_estimators=5, n_iter_no_change=2).fit(X, C),
        HistGradientBoostingRegressor(max_iter=2, min_samples_leaf=3).fit(X, Y),
        HistGradientBoostingRegressor(max_iter=2, loss="poisson", min_samples_leaf=3).fit(X, Y + 1),
        HistGradientBoostingClassifier(max_iter=2, min_samples_leaf=3).fit(X, C),
        HistGradientBoostingClassifier(max_iter=2, min_samples_leaf=3).fit(np.where(X > 0.8, np.nan, X), C > 0),
        HistGradientBoostingClassifier(),
    ],
    ids=repr,
)
def test_fitted(fitted: Any) -> None:
    loaded = loads(fitted)
    if hasattr(fitted, "n_features_in_"):
        assert np.array_equal(loaded.predict(X), fitted.predict(X))


@pytest.mark.parametrize(
    "fitted",
    [
        GradientBoostingClassifier(n_estimators=2, init=LinearDiscriminantAnalysis()).fit(X, C),
        GradientBoostingRegressor(n_estimators=2, init=LinearRegression()).fit(X, Y),
    ],
    ids=repr,
)
def test_what_is_not_known_names_the_type(fitted: Any) -> None:
    """Where a validator cannot tell, the message says which name loads it, and the name does."""
    with pytest.raises(ValueError, match="payload") as raised:
        loads(fitted)
    name = f"{type(fitted).__module__}.{type(fitted).__name__}"
    assert name in str(raised.value)
    assert deserialize(io.BytesIO(SkopsFile(fitted).data()), "skops", trusted=[name]) is not None
