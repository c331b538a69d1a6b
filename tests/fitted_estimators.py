"""Every estimator of scikit-learn, fitted to a few samples."""

from __future__ import annotations

import functools
import warnings
from typing import Any
from unittest import SkipTest

import numpy as np
from sklearn.base import is_classifier, is_regressor
from sklearn.linear_model import LinearRegression
from sklearn.utils import all_estimators
from sklearn.utils._test_common.instance_generator import _construct_instances

X = np.random.default_rng(0).random((30, 4))
"""The samples."""
Y = X @ np.arange(1.0, 5.0)
C = (X[:, 0] + 2 * X[:, 1] > 1.4).astype(int) + (X[:, 2] > 0.7)
_TEXTS = ["alpha beta gamma", "delta eps alpha", "rho sigma"] * 10
_SPECIAL: dict[str, Any] = {
    "DictVectorizer": [{"a": 1.0, "b": "x"}, {"c": 2}] * 15,
    "FeatureHasher": [{"a": 1.0, "b": 2}] * 30,
    "CountVectorizer": _TEXTS,
    "HashingVectorizer": _TEXTS,
    "TfidfVectorizer": _TEXTS,
    "IsotonicRegression": X[:, :1],
    "KernelCenterer": X @ X.T,
    "LabelBinarizer": C,
    "LabelEncoder": C,
    "MultiLabelBinarizer": [(1, 2), (3,)],
    "PatchExtractor": np.ones((3, 6, 6)),
}
_SLOW = ("LocallyLinearEmbedding", "TSNE", "GraphicalLassoCV")


@functools.cache
def fitted() -> list[tuple[str, Any, Any]]:
    """Return (name, fitted estimator, input) of every estimator that can be fitted with defaults, once for each."""
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, cls in all_estimators():
            if name not in _SLOW:
                estimator = _instance(name, cls)
                data = _SPECIAL.get(name, X)
                found.append((name, _fit(name, estimator, data), data))
    return found


def _instance(name: str, cls: Any) -> Any:
    if name == "FrozenEstimator":
        return cls(LinearRegression().fit(X, Y))
    if name == "SparseCoder":
        return cls(X[:3])
    try:
        return next(iter(_construct_instances(cls)))
    except SkipTest as skipped:
        raise AssertionError(f"no example of {name}") from skipped


def _fit(name: str, estimator: Any, data: Any) -> Any:
    target = C if is_classifier(estimator) else np.abs(Y) + 1
    if name.startswith(("MultiOutput", "MultiTask")) or name in ("ClassifierChain", "RegressorChain"):
        target = np.c_[Y, Y] if is_regressor(estimator) else np.c_[C > 0, C > 1].astype(int)
    if name in ("CCA", "PLSCanonical", "PLSSVD"):
        target = np.c_[Y, Y[::-1]]
    if getattr(estimator.__sklearn_tags__().input_tags, "pairwise", False):
        data = X @ X.T
    if name in ("LabelBinarizer", "LabelEncoder", "MultiLabelBinarizer"):
        return estimator.fit(data)
    try:
        return estimator.fit(data, target)
    except ValueError:  # an estimator of two classes
        return estimator.fit(data, (C > 0).astype(int))
