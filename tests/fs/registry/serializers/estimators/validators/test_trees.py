"""Fitted objects pass: a validator that refuses one would make it unreadable."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier, IsolationForest, RandomForestClassifier, RandomTreesEmbedding
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeRegressor

from skops_files import loads

X = np.random.default_rng(0).random((40, 4))
Y = X @ np.arange(4.0)
C = (X[:, 0] * 3).astype(int)


@pytest.mark.parametrize(
    "fitted",
    [
        DecisionTreeRegressor().fit(X, Y),
        DecisionTreeRegressor(max_depth=1).fit(X, np.zeros(40)),
        DecisionTreeRegressor(max_leaf_nodes=7).fit(X, np.c_[Y, Y]),
        DecisionTreeRegressor().fit(np.where(X > 0.9, np.nan, X), Y),
        DecisionTreeRegressor(ccp_alpha=0.01).fit(X, Y),
        DecisionTreeClassifier().fit(X, np.c_[C, C > 0]),
        DecisionTreeClassifier(),
        ExtraTreeRegressor().fit(X, Y),
        RandomForestClassifier(3, class_weight="balanced").fit(X, C),
        RandomForestClassifier(3, warm_start=True).fit(X, C),
        ExtraTreesClassifier(3).fit(X, C),
        RandomTreesEmbedding(3).fit(X),
        IsolationForest(n_estimators=3).fit(X),
        IsolationForest(n_estimators=3, max_features=0.5, max_samples=8).fit(X),
    ],
    ids=repr,
)
@pytest.mark.filterwarnings("ignore")
def test_fitted(fitted: Any) -> None:
    loaded = loads(fitted)
    if hasattr(fitted, "predict") and hasattr(fitted, "n_features_in_"):
        assert np.array_equal(loaded.predict(X), fitted.predict(X))
