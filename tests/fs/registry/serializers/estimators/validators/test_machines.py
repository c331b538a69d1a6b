"""Fitted objects pass: a validator that refuses one would make it unreadable."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import sparse
from sklearn.svm import SVC, SVR, NuSVC, NuSVR, OneClassSVM

from skops_files import loads

X = np.random.default_rng(0).random((40, 4))
Y = X @ np.arange(4.0)
C = (X[:, 0] * 3).astype(int)


@pytest.mark.parametrize(
    "fitted",
    [
        SVC().fit(X, C),
        SVC(kernel="linear").fit(X, C > 0),
        SVC(kernel="precomputed").fit(X @ X.T, C),
        SVC().fit(sparse.csr_matrix(X), C),
        SVC(),
        NuSVC(nu=0.1).fit(X, C),
        SVR().fit(X, Y),
        SVR(kernel="poly").fit(sparse.csr_matrix(X), Y),
        NuSVR().fit(X, Y),
        OneClassSVM().fit(X),
    ],
    ids=repr,
)
@pytest.mark.filterwarnings("ignore")
def test_fitted(fitted: Any) -> None:
    loaded = loads(fitted)
    if hasattr(fitted, "shape_fit_"):
        data = X @ X.T if fitted.kernel == "precomputed" else X
        assert np.array_equal(loaded.predict(data), fitted.predict(data))
