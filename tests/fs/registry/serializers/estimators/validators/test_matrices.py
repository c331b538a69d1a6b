"""Fitted objects pass: a validator that refuses one would make it unreadable."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

from skops_files import loads

X = np.random.default_rng(0).random((40, 4))
Y = X @ np.arange(4.0)
C = (X[:, 0] * 3).astype(int)


@pytest.mark.parametrize("kind", ["csr", "csc", "coo", "bsr", "dia"])
@pytest.mark.parametrize("form", ["matrix", "array"])
@pytest.mark.parametrize("shape", [(3, 5), (0, 4), (4, 0)], ids=str)
def test_matrices(kind: str, form: str, shape: tuple[int, int]) -> None:
    matrix = getattr(sparse, f"{kind}_{form}")(np.arange(shape[0] * shape[1]).reshape(shape) % 3)
    loaded = loads(matrix)
    assert type(loaded) is type(matrix) and np.array_equal(loaded.toarray(), matrix.toarray())


@pytest.mark.filterwarnings("ignore")
def test_vocabularies() -> None:
    texts = ["alpha beta", "beta gamma"]
    for fitted in (CountVectorizer().fit(texts), TfidfVectorizer(max_features=2).fit(texts), CountVectorizer()):
        loaded = loads(fitted)
        if hasattr(fitted, "vocabulary_"):
            assert np.array_equal(loaded.transform(texts).toarray(), fitted.transform(texts).toarray())
    assert loads(DictVectorizer().fit([{"a": 1, "b": "x"}])).vocabulary_ == {"a": 0, "b=x": 1}
