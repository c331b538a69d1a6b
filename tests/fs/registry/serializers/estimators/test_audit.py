"""A class is allowed for the way in which it is built, and a caller's list allows what it names."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from sklearn.feature_selection import SelectKBest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler
from sklearn.tree import DecisionTreeRegressor

from artfs.registry.serializers import deserialize
from artfs.registry.serializers.errors import MalformedPayloadError, UntrustedError
from skops_files import SkopsFile, node


def load(file: SkopsFile, **options: Any) -> Any:
    return deserialize(io.BytesIO(file.data()), "skops", **options)


def test_functions_of_estimators() -> None:
    """Functions of each element and score functions are values; others are named in the error."""
    assert load(SkopsFile(FunctionTransformer(np.exp))).func is np.exp
    assert load(SkopsFile(SelectKBest(k=1)))
    with pytest.raises(UntrustedError) as raised:
        load(SkopsFile(FunctionTransformer(np.load)))
    assert "numpy.load" in str(raised.value)
    assert load(SkopsFile(FunctionTransformer(np.load)), trusted=["numpy.load"]).func is np.load


def test_a_method_is_named_with_its_class() -> None:
    file = SkopsFile([MinMaxScaler().fit])
    with pytest.raises(UntrustedError) as raised:
        load(file)
    name = "sklearn.preprocessing._data.MinMaxScaler.fit"
    assert name in str(raised.value)
    assert callable(load(file, trusted=[name])[0])


def test_every_refused_name_is_in_the_error() -> None:
    file = SkopsFile([np.load, np.save])
    with pytest.raises(UntrustedError) as raised:
        load(file, trusted=["numpy.load"])
    assert "numpy.save" in str(raised.value) and "numpy.load" not in str(raised.value)


def test_a_trusted_class_has_the_state_that_its_author_gave_it() -> None:
    """Its validator is not asked: the caller has vouched for it."""
    file = SkopsFile(DecisionTreeRegressor().fit(np.eye(3), [1, 2, 3])).set(
        "DecisionTreeRegressor", "n_features_in_", 2
    )
    with pytest.raises(MalformedPayloadError):
        load(file)
    assert load(file, trusted=["sklearn.tree._classes.DecisionTreeRegressor"]).n_features_in_ == 2


def test_a_name_of_ours_is_not_a_function_to_call() -> None:
    file = SkopsFile([1])
    call = node("ConstructorFromReduceNode", "sklearn.preprocessing._data.MinMaxScaler", content=SkopsFile().graft(()))
    file.schema["content"].append(call)
    with pytest.raises(UntrustedError):
        load(file)


def test_a_cache_of_pickles_is_refused() -> None:
    """An estimator with memory= reads pickles below that folder when it is fitted."""
    pipeline = make_pipeline(MinMaxScaler(), memory="/tmp/x")
    with pytest.raises(UntrustedError):
        load(SkopsFile(pipeline))
    assert load(SkopsFile(pipeline), trusted=["sklearn.pipeline.Pipeline"]).memory == "/tmp/x"
    assert load(SkopsFile(make_pipeline(MinMaxScaler()))).memory is None
