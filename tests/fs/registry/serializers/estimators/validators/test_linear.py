"""Fitted objects pass: a validator that refuses one would make it unreadable."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import (
    ElasticNet,
    Lasso,
    MultiTaskLasso,
    Perceptron,
    SGDClassifier,
    SGDOneClassSVM,
    SGDRegressor,
)

from skops_files import loads

X = np.random.default_rng(0).random((40, 4))
Y = X @ np.arange(4.0)
C = (X[:, 0] * 3).astype(int)


@pytest.mark.parametrize(
    "fitted",
    [
        SGDClassifier().fit(X, C),
        SGDClassifier(average=5).fit(X, C > 0).partial_fit(X, C > 0),
        SGDRegressor(average=True).fit(X, Y),
        SGDOneClassSVM(average=2).fit(X),
        Perceptron().fit(X, C),
        ElasticNet().fit(X, Y),
        Lasso(warm_start=True).fit(X, np.c_[Y, Y]),
        MultiTaskLasso().fit(X, np.c_[Y, Y]),
        Lasso(),
    ],
    ids=repr,
)
@pytest.mark.filterwarnings("ignore")
def test_fitted(fitted: Any) -> None:
    loaded = loads(fitted)
    if hasattr(fitted, "coef_"):
        assert np.array_equal(loaded.coef_, fitted.coef_)
