"""Fitted objects pass: a validator that refuses one would make it unreadable."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import sparse
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.impute import KNNImputer
from sklearn.neighbors import (
    BallTree,
    KDTree,
    KernelDensity,
    KNeighborsClassifier,
    KNeighborsRegressor,
    LocalOutlierFactor,
    NearestNeighbors,
    RadiusNeighborsClassifier,
)

from skops_files import loads

X = np.random.default_rng(0).random((40, 4))
Y = X @ np.arange(4.0)
C = (X[:, 0] * 3).astype(int)


@pytest.mark.parametrize(
    "fitted",
    [
        KDTree(X, leaf_size=3),
        KDTree(X[:1]),
        BallTree(X, leaf_size=2, metric="manhattan"),
        BallTree(X[:, :2], metric="haversine"),
        BallTree(X, metric="minkowski", p=3),
        BallTree(X, metric="minkowski", p=3, w=np.ones(4)),
        BallTree(X, metric="seuclidean", V=np.ones(4)),
        BallTree(X, metric="mahalanobis", VI=np.eye(4)),
        KNeighborsClassifier(3).fit(X, C),
        KNeighborsClassifier(3).fit(X, np.c_[C, C > 0]),
        KNeighborsClassifier(3, algorithm="brute").fit(sparse.csr_matrix(X), np.where(C > 0, "a", "b")),
        KNeighborsClassifier(3, metric="precomputed").fit(X @ X.T, C),
        KNeighborsRegressor(3, algorithm="ball_tree", metric="chebyshev").fit(X, Y),
        RadiusNeighborsClassifier(5.0).fit(X, C),
        NearestNeighbors().fit(X),
        NearestNeighbors(metric="mahalanobis", metric_params={"VI": np.eye(4)}).fit(X),
        NearestNeighbors(),
        LocalOutlierFactor(5, novelty=True).fit(X),
        KNNImputer().fit(X),
        KernelDensity().fit(X, sample_weight=np.ones(40)),
        KMeans(2, n_init=1).fit(X),
        KMeans(2, n_init=1).fit(X.astype(np.float32)),
        MiniBatchKMeans(2, n_init=1).fit(X).partial_fit(X),
    ],
    ids=lambda fitted: type(fitted).__name__,
)
def test_fitted(fitted: Any) -> None:
    loaded = loads(fitted)
    assert type(loaded) is type(fitted)
    if hasattr(fitted, "query"):
        data = np.asarray(fitted.data)[:3]
        assert np.array_equal(loaded.query(data)[0], fitted.query(data)[0])
