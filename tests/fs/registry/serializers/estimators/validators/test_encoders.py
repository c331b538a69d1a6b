"""Fitted objects pass: a validator that refuses one would make it unreadable."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.preprocessing import KBinsDiscretizer, MultiLabelBinarizer, OneHotEncoder

from skops_files import loads

X = np.random.default_rng(0).random((40, 4))
Y = X @ np.arange(4.0)
C = (X[:, 0] * 3).astype(int)


K = np.array([["a", 1], ["b", 2], ["a", 3], ["c", 1]] * 5, dtype=object)


@pytest.mark.parametrize(
    "fitted",
    [
        OneHotEncoder().fit(K),
        OneHotEncoder(drop="first").fit(K),
        OneHotEncoder(drop="if_binary").fit(K),
        OneHotEncoder(drop=["a", 2]).fit(K),
        OneHotEncoder(min_frequency=6, handle_unknown="infrequent_if_exist").fit(K),
        OneHotEncoder(max_categories=2, drop="first").fit(K),
        OneHotEncoder(categories=[["a", "b", "c"], [1, 2, 3]]).fit(K),
    ],
    ids=repr,
)
def test_encoders(fitted: Any) -> None:
    assert np.array_equal(loads(fitted).transform(K).toarray(), fitted.transform(K).toarray())


@pytest.mark.filterwarnings("ignore")
def test_others() -> None:
    for classes in ([("a", "b"), ("c",)], [(1, 2), (3,)]):
        fitted = MultiLabelBinarizer(sparse_output=True).fit(classes)
        assert np.array_equal(loads(fitted).transform(classes).toarray(), fitted.transform(classes).toarray())
    assert loads(KBinsDiscretizer(3).fit(X)).transform(X).shape[0] == 40
