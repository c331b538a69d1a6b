"""Models of CatBoost come back equal, and values that CatBoost would trust are refused before it reads them."""

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
from artfs.registry.serializers.boosters.catboost_trees import info_of
from artstore.errors import ArtfsError
from hostile_models import flips, of_any_format, refused
from payloads import Store

catboost = pytest.importorskip("catboost", reason="catboost and what it needs are 120 MB")

X = np.random.default_rng(0).normal(size=(200, 4))
Y = (X[:, 0] > 0).astype(int)
THREE = Y + (X[:, 1] > 1)
SMALL = {"iterations": 4, "depth": 3, "thread_count": 1, "verbose": 0, "allow_writing_files": False}
FRAME = pd.DataFrame({"a": list("abcd") * 50, "b": X[:, 1]})

MODELS: dict[str, Callable[[], Any]] = {
    "two classes": lambda: catboost.CatBoostClassifier(**SMALL).fit(X, Y),
    "texts": lambda: catboost.CatBoostClassifier(**SMALL).fit(X, np.array(["no", "yes"])[Y]),
    "three classes": lambda: catboost.CatBoostClassifier(**SMALL).fit(X, THREE),
    "boolean": lambda: catboost.CatBoostClassifier(**SMALL).fit(X, Y.astype(bool)),
    "regressor": lambda: catboost.CatBoostRegressor(**SMALL).fit(X, X[:, 0]),
    "many borders": lambda: catboost.CatBoostRegressor(**{**SMALL, "depth": 7}, border_count=600).fit(
        np.repeat(X, 5, axis=0) + np.random.default_rng(1).normal(size=(1000, 4)), np.repeat(X[:, 0], 5)
    ),
    "two targets": lambda: catboost.CatBoostRegressor(loss_function="MultiRMSE", **SMALL).fit(X, X[:, :2]),
    "ranker": lambda: catboost.CatBoostRanker(**SMALL).fit(X, Y, group_id=np.repeat([0, 1], 100)),
    "base": lambda: catboost.CatBoost({**SMALL, "loss_function": "MAE"}).fit(X, X[:, 0]),
    "missing values": lambda: catboost.CatBoostRegressor(**SMALL).fit(np.where(X > 1.5, np.nan, X), X[:, 0]),
}


@pytest.mark.parametrize("name", MODELS)
def test_models_come_back_equal(store: Store, name: str) -> None:
    """Class, parameters, attributes and predictions are the same; stored again, so are the bytes."""
    model = MODELS[name]()
    stored = store(model)
    assert (stored.payload.format, stored.payload.safe) == ("catboost", True)
    assert "catboost" in stored.payload.versions
    loaded = stored.load()
    assert type(loaded) is type(model) and loaded.get_params() == model.get_params()
    assert np.array_equal(loaded.predict(X), model.predict(X))
    if hasattr(model, "predict_proba"):
        assert np.array_equal(loaded.predict_proba(X), model.predict_proba(X))
        assert np.array_equal(loaded.classes_, model.classes_) and loaded.classes_.dtype == model.classes_.dtype
    assert set(vars(loaded)) == set(vars(model)) and "artfs" not in loaded.get_metadata()
    assert "artfs" not in model.get_metadata()
    assert store(loaded).digest == stored.digest
    plain = catboost.CatBoost().load_model(str(stored.file))
    assert np.array_equal(plain.predict(X, prediction_type="RawFormulaVal"), _raw(model))


def _raw(model: Any) -> Any:
    is_ranker = isinstance(model, catboost.CatBoostRanker)
    return model.predict(X) if is_ranker else model.predict(X, prediction_type="RawFormulaVal")


def test_unfitted_ones(store: Store) -> None:
    blank = catboost.CatBoostClassifier(iterations=7, depth=2)
    loaded = store(blank).load()
    assert type(loaded) is type(blank) and loaded.get_params() == blank.get_params() and not loaded.is_fitted()


def test_what_is_not_judged_is_signed(store: Store) -> None:
    """Categories and other trees are loaded by their owner, and by no other user without a word."""
    for model, rows in (
        (catboost.CatBoostClassifier(cat_features=["a"], **SMALL).fit(FRAME, Y), FRAME),
        (catboost.CatBoostRegressor(grow_policy="Lossguide", **SMALL).fit(X, X[:, 0]), X),
    ):
        stored = store(model)
        assert not stored.payload.safe
        assert np.array_equal(stored.load().predict(rows), model.predict(rows))
        assert refused(stored.file.read_bytes(), "catboost") == "untrusted"


@pytest.fixture(scope="module")
def payload(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("payload")
    model = catboost.CatBoostClassifier(**SMALL).fit(X, THREE)
    return (folder / serialize(model, folder).filename).read_bytes()


class Layout:
    """Places in a cbm: of the trees' fields, and of the texts."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.trees = self.field(8 + self.number(8), 1)

    def number(self, place: int, form: str = "<I") -> int:
        return int(struct.unpack_from(form, self.data, place)[0])

    def field(self, table: int, field: int) -> int:
        """Return where the value of a field that is an offset leads."""
        place = self.slot(table, field)
        return place + self.number(place)

    def slot(self, table: int, field: int) -> int:
        vtable = table - self.number(table, "<i")
        offset = self.number(vtable + 4 + 2 * field, "<H")
        assert offset
        return table + offset


def vector(field: int, value: bytes, place: int = 0, size: int = 4) -> Callable[[bytes], bytes]:
    """Return a change of one element of a vector of the trees, or with place -1 of its length."""

    def change(data: bytes) -> bytes:
        layout = Layout(data)
        at = layout.field(layout.trees, field) + (4 + place * size if place >= 0 else 0)
        return data[:at] + value + data[at + len(value) :]

    return change


def number(field: int, value: bytes) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        layout = Layout(data)
        at = layout.slot(layout.trees, field)
        return data[:at] + value + data[at + len(value) :]

    return change


def text(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    """Return a change of a text to one of the same length."""
    assert len(old) == len(new)
    return lambda data: data.replace(old, new, 1)


HUGE = struct.pack("<i", 1 << 30)
HOSTILE: dict[str, Callable[[bytes], bytes]] = {
    "a split outside": vector(1, HUGE),
    "a negative split": vector(1, struct.pack("<i", -1)),
    "a huge tree": vector(2, HUGE),
    "a negative tree": vector(2, struct.pack("<i", -3)),
    "another depth": vector(2, struct.pack("<i", 2)),
    "a start outside": vector(3, HUGE, 1),
    "a vector that ends after the file": vector(1, struct.pack("<I", 0xFFFFFFF0), -1),
    "fewer leaves": vector(8, struct.pack("<I", 3), -1),
    "fewer weights": vector(9, struct.pack("<I", 3), -1),
    "a huge dimension": number(0, HUGE),
    "no dimension": number(0, struct.pack("<i", 0)),
    "another dimension": number(0, struct.pack("<i", 1)),
    "a repeated split outside": vector(17, b"\xff\xff"),
    "a repeated split of another border": vector(17, b"\xf0", 0, 4),
    "an offset outside": lambda data: data[:8] + b"\xff\xff\xff\x7f" + data[12:],
    "an offset to itself": lambda data: data[:8] + bytes(4) + data[12:],
    "a length outside": lambda data: data[:4] + b"\xff\xff\xff\x7f" + data[8:],
    "a shorter length": lambda data: data[:4] + struct.pack("<I", len(data) - 12) + data[8:],
    "further parts": lambda data: data + b"more",
    "another version": text(b"FlabuffersModel_v1", b"FlabuffersModel_v9"),
    "labels outside": text(b'"class_to_label":[0,1,2]', b'"class_to_label":[0,1,9]'),
    "fewer labels": text(b'"class_to_label":[0,1,2]', b'"class_to_label":[0,1  ]'),
    "a class of another library": text(b'"CatBoostClassifier"', b'"__import__(os.sys)"'),
    "a class that is no model": text(b'"CatBoostClassifier"', b'"Pool"              '),
    "a parameter that is a method": text(b'["verbose",0]', b'["predict",0]'),
    "a dunder": text(b'["verbose",0]', b'["__len_",0]'.ljust(13)),
    "threads of another kind": text(b'["thread_count",1]', b'["thread_count",{]'),
    "no estimator": text(b"artfs", b"artfz"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_values_are_refused(payload: bytes, name: str) -> None:
    data = HOSTILE[name](payload)
    assert data != payload
    assert refused(data, "catboost") in ("malformed_payload", "untrusted")


def test_what_no_format_has_is_refused(payload: bytes, canary: Path) -> None:
    for _, data in of_any_format(payload, canary):
        refused(data, "catboost")
    assert not canary.exists()


def test_flipped_bits_are_refused_or_harmless(payload: bytes) -> None:
    refusals = 0
    for data in flips(payload, 150):
        try:
            model = deserialize(io.BytesIO(data), "catboost")
        except ArtfsError:
            refusals += 1
            continue
        with contextlib.suppress(ValueError, TypeError, LookupError, AttributeError, catboost.CatBoostError):
            model.predict(X)
    assert refusals > 20


def test_the_payload_has_its_estimator(payload: bytes) -> None:
    document = dict(json.loads(info_of(payload)["artfs"])["dict"])
    assert document["class"] == "CatBoostClassifier"
