"""Models of LightGBM come back equal, and texts that LightGBM would trust are refused before it reads them."""

from __future__ import annotations

import contextlib
import io
import warnings
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest

from artfs.registry.serializers import deserialize
from artfs.registry.serializers.errors import UnserializableError
from artstore.errors import ArtfsError
from hostile_models import Change, flips, of_any_format, refused, replaced
from payloads import Store

X = np.random.default_rng(0).normal(size=(120, 4))
Y = (X[:, 0] > 0).astype(int)
THREE = Y + (X[:, 1] > 1)
WORDS = np.array(["no", "yes"])[Y]
FRAME = pd.DataFrame({"a": pd.Categorical(list("abc") * 40), "b": X[:, 1], "c": pd.Categorical([1, 2, 3] * 40)})
QUIET = {"verbose": -1, "n_jobs": 1, "min_child_samples": 3, "n_estimators": 4}
CATEGORIES = {"min_data_per_group": 1, "cat_smooth": 0, "max_cat_to_onehot": 1}


def classifier(labels: Any = WORDS, **params: Any) -> Any:
    return lightgbm.LGBMClassifier(**QUIET, **params).fit(X, labels)


def regressor(**params: Any) -> Any:
    return lightgbm.LGBMRegressor(**{**QUIET, **params}).fit(X, X[:, 0])


def early() -> Any:
    stop = lightgbm.early_stopping(2, verbose=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return lightgbm.LGBMClassifier(**{**QUIET, "n_estimators": 40}).fit(
            X, WORDS, eval_set=[(X[:30], WORDS[:30])], callbacks=[stop]
        )


MODELS: dict[str, Any] = {
    "texts": classifier,
    "objects": lambda: classifier(WORDS.astype(object)),
    "three classes": lambda: classifier(THREE, class_weight={0: 1.0, 1: 2.0, 2: 3.0}),
    "one against all": lambda: classifier(THREE, objective="multiclassova"),
    "boolean": lambda: classifier(Y.astype(bool)),
    "stopped early": early,
    "forest": lambda: regressor(boosting_type="rf", bagging_freq=1, bagging_fraction=0.5),
    "constraints": lambda: regressor(monotone_constraints=[1, 0, 0, -1]),
    "dart": lambda: regressor(boosting_type="dart"),
    "linear": lambda: regressor(linear_tree=True),
    "stump": lambda: lightgbm.LGBMRegressor(**{**QUIET, "min_child_samples": 99}).fit(X, X[:, 0]),
    "ranker": lambda: lightgbm.LGBMRanker(**QUIET).fit(X, Y, group=[60, 60]),
    **{
        name: lambda name=name: lightgbm.LGBMRegressor(objective=name, **QUIET).fit(X, (Y + 1) / 3)
        for name in ("huber", "fair", "poisson", "quantile", "mape", "tweedie", "cross_entropy", "cross_entropy_lambda")
    },
}


@pytest.mark.parametrize("name", MODELS)
def test_models_come_back_equal(store: Store, name: str) -> None:
    """Class, parameters, attributes and predictions are the same; stored again, so are the bytes."""
    model = MODELS[name]()
    stored = store(model)
    assert (stored.payload.format, stored.payload.safe) == ("lightgbm", True)
    assert "lightgbm" in stored.payload.versions
    loaded = stored.load()
    assert type(loaded) is type(model) and loaded.get_params() == model.get_params()
    assert np.array_equal(loaded.predict(X), model.predict(X))
    assert loaded.predict(X).dtype == model.predict(X).dtype
    if hasattr(model, "predict_proba"):
        assert np.array_equal(loaded.predict_proba(X), model.predict_proba(X))
        assert np.array_equal(loaded.classes_, model.classes_) and loaded.classes_.dtype == model.classes_.dtype
    assert set(vars(loaded)) == set(vars(model)) and loaded.best_iteration_ == model.best_iteration_
    assert np.array_equal(loaded.feature_importances_, model.feature_importances_)
    assert store(loaded).digest == stored.digest


def test_categories_of_a_frame(store: Store) -> None:
    model = lightgbm.LGBMRegressor(**QUIET, **CATEGORIES).fit(
        FRAME, X[:, 0] + 3 * (FRAME.a == "a") + 2 * (FRAME.c == 2)
    )
    stored = store(model)
    assert stored.payload.safe and b"cat_threshold=" in stored.file.read_bytes()
    assert np.array_equal(stored.load().predict(FRAME), model.predict(FRAME))
    assert list(stored.load().feature_name_) == ["a", "b", "c"]


def test_models_alone_and_unfitted_ones(store: Store) -> None:
    """A booster is the text of LightGBM itself, which reads the payload; what is not fitted has no text."""
    model = classifier()
    stored = store(model.booster_)
    loaded = stored.load()
    assert type(loaded) is lightgbm.Booster and np.array_equal(loaded.predict(X), model.booster_.predict(X))
    for kept in (stored, store(model)):
        assert np.array_equal(lightgbm.Booster(model_file=kept.file).predict(X), model.booster_.predict(X))
    blank = lightgbm.LGBMRegressor(n_estimators=7, min_data_per_group=3)
    again = store(blank).load()
    assert again.get_params() == blank.get_params() and not again.__sklearn_is_fitted__()


def test_what_has_functions_is_a_pickle(store: Store) -> None:
    """A function as a parameter is no plain value, and classes of others are not those of the library."""

    class Own(lightgbm.LGBMRegressor):
        pass

    model = regressor(objective=lambda true, found: (found - true, np.ones_like(true)))
    assert store(model).payload.format == "cloudpickle"
    for other in (model, Own(), {"a": 1}):
        with pytest.raises(UnserializableError):
            store(other, "lightgbm")


def test_a_model_of_a_kind_that_is_not_judged_is_signed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is loaded by its owner and by the caller's word only."""
    model = classifier()
    monkeypatch.setattr("artfs.registry.serializers.boosters.lightgbm_text._OBJECTIVES", frozenset())
    stored = store(model)
    assert not stored.payload.safe
    assert np.array_equal(stored.load().predict(X), model.predict(X))
    assert refused(stored.file.read_bytes(), "lightgbm") == "untrusted"
    assert stored.load(mac=None, trust=True) is not None


HOSTILE: dict[str, Change] = {
    "a child outside": replaced(r"left_child=\S+", "left_child=99999"),
    "a leaf outside": replaced(r"left_child=\S+", "left_child=-99999"),
    "a node that is its own child": replaced(r"left_child=\S+", "left_child=0"),
    "a feature outside": replaced(r"split_feature=\S+", "split_feature=4"),
    "a negative feature": replaced(r"split_feature=\S+", "split_feature=-1"),
    "a category without categories": replaced(r"decision_type=\S+", "decision_type=1"),
    "a huge count of leaves": replaced(r"num_leaves=\d+", "num_leaves=999999999"),
    "no leaves": replaced(r"num_leaves=\d+", "num_leaves=0"),
    "a huge count of categories": replaced(r"num_cat=0", "num_cat=999999999"),
    "a huge count of classes": replaced(r"num_class=1", "num_class=999999999"),
    "more classes than trees": replaced(
        r"num_class=1\nnum_tree_per_iteration=1", "num_class=3\nnum_tree_per_iteration=3"
    ),
    "an objective of more classes": replaced(r"objective=binary", "objective=multiclass num_class:9"),
    "an unknown objective": replaced(r"objective=binary", "objective=__import__"),
    "more features than names": replaced(r"max_feature_idx=3", "max_feature_idx=999999998"),
    "a size of a tree outside": replaced(r"tree_sizes=\d+", "tree_sizes=999999999"),
    "a negative size of a tree": replaced(r"tree_sizes=\d+", "tree_sizes=-9"),
    "a number that ends the process": replaced(r"leaf_value=\S+", "leaf_value=1e-320"),
    "a number that overflows": replaced(r"leaf_value=\S+", "leaf_value=1e999"),
    "a value that is no number": replaced(r"leaf_value=\S+", "leaf_value=nan"),
    "fewer values": replaced(r"leaf_value=\S+ ", "leaf_value="),
    "a line twice": replaced(r"num_cat=0", "num_cat=0\nnum_cat=0"),
    "an unknown line": replaced(r"num_cat=0", "num_cat=0\nfoo=1"),
    "another version": replaced(r"version=v4", "version=v3"),
    "another class": replaced(r'"LGBMClassifier"', '"os.system"'),
    "a class of the library that is no model": replaced(r'"LGBMClassifier"', '"Dataset"'),
    "a replaced method": replaced(r'\["fitted_",true\]', '["predict",true]'),
    "a dunder": replaced(r'\["fitted_",true\]', '["__class__",true]'),
    "an unknown private attribute": replaced(r'\["fitted_",true\]', '["_Booster",true]'),
    "a parameter that is a method": replaced(r'\["verbose",-1\]', '["fit",-1]'),
    "threads without end": replaced(r'\["n_jobs",1\]', '["n_jobs",1000000]'),
    "texts without end": replaced(r'"<U3"', '"<U9999999"'),
    "an array of another shape": replaced(r'"<U3",\[2\]', '"<U3",[1000000000000]'),
    "an array of objects of a class": replaced(r'"<U3"', '"V8"'),
    "a state that is no JSON": replaced(r"artfs:\{", "artfs:["),
    "no state": replaced(r"\nartfs:[^\n]*", ""),
    "categories that are no lists": replaced(r"pandas_categorical:null", 'pandas_categorical:{"a":1}'),
    "a line of parameters that calls": replaced(r"\[boosting: gbdt\]", "[boosting]"),
}


@pytest.fixture(scope="module")
def payload(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    from artfs.registry.serializers import serialize

    folder = tmp_path_factory.mktemp("payload")
    return (folder / serialize(classifier(), folder).filename).read_bytes()


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts_are_refused(payload: bytes, name: str) -> None:
    assert refused(HOSTILE[name](payload), "lightgbm") in ("malformed_payload", "untrusted")


def test_what_no_format_has_is_refused(payload: bytes, canary: Path) -> None:
    for _, data in of_any_format(payload, canary):
        refused(data, "lightgbm")
    assert not canary.exists()


def test_categories_that_lead_outside(store: Store) -> None:
    model = lightgbm.LGBMRegressor(**QUIET, **CATEGORIES).fit(FRAME, X[:, 0] + 3 * (FRAME.a == "a"))
    data = store(model).file.read_bytes()
    for old, new in {
        r"cat_boundaries=0 \d+": "cat_boundaries=0 999",
        r"cat_boundaries=0": "cat_boundaries=1",
        r"cat_threshold=\d+": "cat_threshold=99999999999",
        r"threshold=0 ": "threshold=7 ",
    }.items():
        assert refused(replaced(old, new)(data), "lightgbm") == "malformed_payload"


def test_flipped_bits_are_refused_or_harmless(payload: bytes) -> None:
    """What is still loaded predicts, or fails with an error of Python."""
    refusals = 0
    for data in flips(payload, 60):
        try:
            model = deserialize(io.BytesIO(data), "lightgbm")
        except ArtfsError:
            refusals += 1
            continue
        with contextlib.suppress(ValueError, TypeError, LookupError, AttributeError, lightgbm.basic.LightGBMError):
            model.predict(X)
            model.predict(X, pred_contrib=True)
    assert refusals > 20
