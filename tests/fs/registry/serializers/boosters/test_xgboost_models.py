"""Models of XGBoost come back equal, and values that XGBoost would trust are refused before it reads them."""

from __future__ import annotations

import contextlib
import io
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from artfs.registry.serializers import deserialize, serialize
from artstore.errors import ArtfsError
from hostile_models import flips, of_any_format, refused, replaced
from payloads import Store

xgboost = pytest.importorskip("xgboost", reason="xgboost is not installed")

X = np.random.default_rng(0).normal(size=(120, 4))
Y = (X[:, 0] > 0).astype(int)
THREE = Y + (X[:, 1] > 1)
SMALL = {"n_estimators": 3, "max_depth": 3, "n_jobs": 1}
NAMED = pd.DataFrame(X, columns=list("abcd"))


def regressor(**params: Any) -> Any:
    return xgboost.XGBRegressor(**{**SMALL, **params}).fit(X, X[:, 0])


def early() -> Any:
    model = xgboost.XGBClassifier(n_estimators=30, early_stopping_rounds=2, n_jobs=1)
    return model.fit(X, Y, eval_set=[(X[:30], Y[:30])], verbose=False)


MODELS: dict[str, Callable[[], Any]] = {
    "two classes": lambda: xgboost.XGBClassifier(**SMALL).fit(X, Y),
    "three classes": lambda: xgboost.XGBClassifier(**SMALL).fit(X, THREE),
    "stopped early": early,
    "regressor": regressor,
    "dart": lambda: regressor(booster="dart", rate_drop=0.5),
    "linear": lambda: xgboost.XGBRegressor(booster="gblinear", n_estimators=3, n_jobs=1).fit(X, X[:, 0]),
    "other parameters": lambda: regressor(grow_policy="lossguide", max_leaves=5),
    "forest": lambda: xgboost.XGBRFClassifier(**SMALL).fit(X, Y),
    "ranker": lambda: xgboost.XGBRanker(**SMALL).fit(X, Y, qid=np.repeat([0, 1], 60)),
    "two targets": lambda: xgboost.XGBRegressor(**SMALL).fit(X, X[:, :2]),
    "quantiles": lambda: regressor(objective="reg:quantileerror", quantile_alpha=[0.2, 0.8]),
    "poisson": lambda: xgboost.XGBRegressor(objective="count:poisson", **SMALL).fit(X, Y),
}


@pytest.mark.parametrize("name", MODELS)
def test_models_come_back_equal(store: Store, name: str) -> None:
    """Class, parameters, attributes and predictions are the same; stored again, so are the bytes."""
    model = MODELS[name]()
    stored = store(model)
    assert (stored.payload.format, stored.payload.safe) == ("xgboost", True)
    assert stored.payload.versions["xgboost"] == xgboost.__version__
    loaded = stored.load()
    assert type(loaded) is type(model) and str(loaded.get_params()) == str(model.get_params())  # NaN is in them
    assert np.array_equal(loaded.predict(X), model.predict(X))
    if hasattr(model, "predict_proba"):
        assert np.array_equal(loaded.predict_proba(X), model.predict_proba(X))
        assert np.array_equal(loaded.classes_, model.classes_)
    assert set(vars(loaded)) == set(vars(model))
    assert loaded.get_booster().attributes() == model.get_booster().attributes()
    assert store(loaded).digest == stored.digest


def test_models_alone_named_and_unfitted_ones(store: Store) -> None:
    """XGBoost itself reads the payload; names of features stay."""
    model = xgboost.XGBRegressor(**SMALL).fit(NAMED, X[:, 0])
    stored = store(model.get_booster())
    loaded = stored.load()
    assert type(loaded) is xgboost.Booster and loaded.feature_names == ["a", "b", "c", "d"]
    plain = xgboost.Booster(model_file=str(stored.file))
    assert np.array_equal(plain.predict(xgboost.DMatrix(NAMED)), model.predict(NAMED))
    assert list(store(model).load().feature_names_in_) == ["a", "b", "c", "d"]
    blank = xgboost.XGBClassifier(n_estimators=7, max_depth=2, foo=3)
    assert str(store(blank).load().get_params()) == str(blank.get_params())


def test_what_is_not_judged_is_signed(store: Store) -> None:
    """Categories and leaves with several values are loaded by their owner, and by no other user without a word."""
    frame = pd.DataFrame({"a": pd.Categorical(list("abc") * 40), "b": X[:, 1]})
    for model, rows in (
        (xgboost.XGBRegressor(enable_categorical=True, **SMALL).fit(frame, X[:, 0] + (frame.a == "a")), frame),
        (xgboost.XGBRegressor(multi_strategy="multi_output_tree", **SMALL).fit(X, X[:, :2]), X),
    ):
        stored = store(model)
        assert not stored.payload.safe
        assert np.array_equal(stored.load().predict(rows), model.predict(rows))
        assert refused(stored.file.read_bytes(), "xgboost") == "untrusted"


def test_what_has_functions_is_a_pickle(store: Store) -> None:
    model = regressor(objective=lambda true, found: (found - true, np.ones_like(true)))
    assert store(model).payload.format == "cloudpickle"


@pytest.fixture(scope="module")
def payload(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("payload")
    return (folder / serialize(xgboost.XGBClassifier(**SMALL).fit(X, THREE), folder).filename).read_bytes()


def typed(name: str, place: int, value: bytes) -> Callable[[bytes], bytes]:
    """Return a change of one number in the first array of a name: an array of 4-byte numbers."""

    def change(data: bytes) -> bytes:
        start = data.index(name.encode()) + len(name)
        assert data[start : start + 4] in (b"[$l#", b"[$d#"), data[start : start + 4]
        at = start + 4 + 9 + 4 * place
        return data[:at] + value + data[at + 4 :]

    return change


def text(name: str, value: str) -> Callable[[bytes], bytes]:
    """Return a change of the first text of a name."""

    def change(data: bytes) -> bytes:
        start = data.index(name.encode() + b"SL") + len(name)
        length = int.from_bytes(data[start + 2 : start + 10], "big")
        new = b"SL" + struct.pack(">q", len(value)) + value.encode()
        return data[:start] + new + data[start + 10 + length :]

    return change


def state(**changes: Any) -> Callable[[bytes], bytes]:
    """Return a change of the estimator's JSON."""

    def change(data: bytes) -> bytes:
        start = data.index(b"artfsSL") + len(b"artfs")
        length = int.from_bytes(data[start + 2 : start + 10], "big")
        pairs = dict(json.loads(data[start + 10 : start + 10 + length])["dict"])
        pairs.update(changes)
        return text("artfs", json.dumps({"dict": [list(pair) for pair in pairs.items()]}))(data)

    return change


HOSTILE: dict[str, Callable[[bytes], bytes]] = {
    "a child outside": typed("left_children", 0, struct.pack(">i", 99999)),
    "a negative child": typed("left_children", 0, struct.pack(">i", -7)),
    "a node that is its own child": typed("left_children", 0, struct.pack(">i", 0)),
    "a node with one child": typed("right_children", 0, struct.pack(">i", -1)),
    "two parents of a node": typed("right_children", 0, struct.pack(">i", 1)),
    "a wrong parent": typed("parents", 1, struct.pack(">i", 5)),
    "a feature outside": typed("split_indices", 0, struct.pack(">i", 4)),
    "more classes than trees": text("num_class", "99999999"),
    "classes that are no number": text("num_class", "-3"),
    "fewer features": text("num_feature", "1"),
    "a huge count of trees": text("num_trees", "999999999"),
    "more nodes": text("num_nodes", "999999999"),
    "deleted nodes": text("num_deleted", "3"),
    "vectors in leaves": text("size_leaf_vector", "9"),
    "a base score that is no number": text("base_score", "[__import__]"),
    "fewer base scores": text("base_score", "[1,2]"),
    "a key twice": replaced(r"split_conditions", "split_conditionz"),
    "an array longer than the file": lambda data: data.replace(b"left_children[$l#L\0", b"left_children[$l#L\x7f"),
    "a negative length": lambda data: data.replace(b"trees[#L\0", b"trees[#L\xff"),
    "another objective": lambda data: data.replace(b"multi:softprob", b"multi:softprog"),
    "a booster of another kind": lambda data: data.replace(b"SL\0\0\0\0\0\0\0\6gbtree", b"SL\0\0\0\0\0\0\0\6gbtrex"),
    "a class of another library": state(**{"class": "os.system"}),
    "a class that is no model": state(**{"class": "DMatrix"}),
    "a parameter that is a method": state(params={"dict": [["fit", 1]]}),
    "a dunder": state(attributes={"dict": [["__class__", 1]]}),
    "a private attribute": state(attributes={"dict": [["_Booster", 1]]}),
    "threads without end": state(params={"dict": [["n_jobs", 10**7]]}),
    "no parameters": state(params=[]),
    "no estimator": text("artfs", ""),
    "an estimator nested without end": text("artfs", "[" * 10**5),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_values_are_refused(payload: bytes, name: str) -> None:
    change = HOSTILE[name]
    data = change(payload)
    assert data != payload
    assert refused(data, "xgboost") in ("malformed_payload", "untrusted")


def test_what_no_format_has_is_refused(payload: bytes, canary: Path) -> None:
    for _, data in of_any_format(payload, canary):
        refused(data, "xgboost")
    refused(b"{" + b"L" + struct.pack(">q", 1) + b"a" + (b"[#L" + struct.pack(">q", 1)) * 10**4, "xgboost")
    assert not canary.exists()


def test_flipped_bits_are_refused_or_harmless(payload: bytes) -> None:
    refusals = 0
    for data in flips(payload, 100):
        try:
            model = deserialize(io.BytesIO(data), "xgboost")
        except ArtfsError:
            refusals += 1
            continue
        with contextlib.suppress(ValueError, TypeError, LookupError, AttributeError):
            model.predict(X)
    assert refusals > 30
