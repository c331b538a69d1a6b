"""Steps of pipelines and parts of unions and stacks are stored by their own serialisers, and checked by them."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest
import skops.io
from sklearn.base import BaseEstimator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.feature_selection import SelectFromModel
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from artfs.registry.serializers import catalogue, deserialize, register_serializer
from artfs.registry.serializers.embedding import EMBEDDED, EmbeddedPayload, Replacement
from artfs.registry.serializers.errors import UntrustedError
from artstore.errors import ArtfsError
from hostile_models import Runs
from payloads import Store
from skops_files import SkopsFile, json_node

X = np.random.default_rng(0).normal(size=(120, 4))
Y = np.array(["no", "yes"])[(X[:, 0] > 0).astype(int)]


def model(**params: Any) -> Any:
    return lightgbm.LGBMClassifier(n_estimators=2, verbose=-1, n_jobs=1, min_child_samples=3, **params)


def chosen() -> Any:
    return SelectFromModel(model(), threshold=-np.inf)


COMPOSITES: dict[str, Callable[[], Any]] = {
    "pipeline": lambda: Pipeline([("scaler", StandardScaler()), ("model", model())]),
    "union": lambda: Pipeline([("union", FeatureUnion([("a", MinMaxScaler()), ("b", chosen())])), ("model", model())]),
    "columns": lambda: Pipeline(
        [("columns", ColumnTransformer([("a", chosen(), [0, 1])], remainder="passthrough")), ("model", model())]
    ),
    "stack": lambda: StackingClassifier(
        [("a", model()), ("b", Pipeline([("s", MinMaxScaler()), ("m", LogisticRegression())]))], model(), cv=2
    ),
    "vote": lambda: VotingClassifier([("a", model()), ("b", LogisticRegression())], voting="soft"),
    "calibrated": lambda: CalibratedClassifierCV(model(), cv=2),
    "search": lambda: GridSearchCV(model(), {"num_leaves": [3, 5]}, cv=2),
    "bag": lambda: BaggingClassifier(model(), 2),
}


@pytest.mark.parametrize("name", COMPOSITES)
def test_composites_come_back_equal(store: Store, name: str) -> None:
    """Predictions, parameters and bytes are the same; the object that was stored is not changed."""
    fitted = COMPOSITES[name]().fit(X, Y)
    before = dict(vars(fitted))
    stored = store(fitted)
    assert all(vars(fitted)[key] is value for key, value in before.items())
    assert (stored.payload.format, stored.payload.safe) == ("skops", True)
    assert {"lightgbm", "scikit-learn"} <= set(stored.payload.versions)
    loaded = stored.load()
    assert np.array_equal(loaded.predict_proba(X), fitted.predict_proba(X))
    assert np.array_equal(loaded.predict(X), fitted.predict(X))
    assert str(loaded.get_params()) == str(fitted.get_params())
    assert store(loaded).digest == stored.digest


def test_a_container_with_models(store: Store) -> None:
    fitted = model().fit(X, Y)
    loaded = store({"model": fitted, "scaler": MinMaxScaler().fit(X), "same": [fitted, 1.5]}).load()
    assert np.array_equal(loaded["model"].predict(X), fitted.predict(X)) and loaded["same"][0] is loaded["model"]


def test_skops_names_the_one_function_that_it_calls(store: Store) -> None:
    """A file with parts is read by skops where artfs is installed, if the caller trusts the name."""
    fitted = COMPOSITES["pipeline"]().fit(X, Y)
    data = store(fitted).file.read_bytes()
    assert skops.io.get_untrusted_types(data=data) == [EMBEDDED]
    with pytest.raises(Exception, match="EmbeddedPayload"):
        skops.io.loads(data)
    assert np.array_equal(skops.io.loads(data, trusted=[EMBEDDED]).predict(X), fitted.predict(X))


def test_a_part_that_cannot_be_stored_makes_a_pickle(store: Store) -> None:
    part = lightgbm.LGBMRegressor(n_estimators=2, verbose=-1, n_jobs=1, objective=_squared)
    fitted = Pipeline([("s", MinMaxScaler()), ("m", part)]).fit(X, X[:, 0])
    stored = store(fitted)
    assert stored.payload.format == "cloudpickle"
    assert np.array_equal(stored.load().predict(X), fitted.predict(X))


def _squared(true: Any, found: Any) -> Any:
    return found - true, np.ones_like(true)


def test_a_part_that_is_not_judged_makes_the_whole_signed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("artfs.registry.serializers.boosters.lightgbm_text._OBJECTIVES", frozenset())
    fitted = COMPOSITES["pipeline"]().fit(X, Y)
    stored = store(fitted)
    assert stored.payload.format == "skops" and not stored.payload.safe
    assert np.array_equal(stored.load().predict(X), fitted.predict(X))
    with pytest.raises(UntrustedError):
        stored.load(mac=None)


class Pair(BaseEstimator):  # type: ignore[misc]
    """A model of the user, with a format of its own."""

    def __init__(self, a: int = 0) -> None:
        self.a = a

    def fit(self, rows: Any, labels: Any = None) -> Pair:
        return self

    def predict(self, rows: Any) -> Any:
        return np.full(len(rows), self.a)


class PairSerializer:
    name = "pair"
    extension = "txt"
    safe = True

    def accepts(self, obj: Any) -> bool:
        return type(obj) is Pair

    def dump(self, obj: Any, folder: Path) -> None:
        (folder / "payload.txt").write_text(str(obj.a))

    def load(self, folder: Path, trusted: Sequence[str]) -> Pair:
        return Pair(int((folder / "payload.txt").read_text()))

    def versions(self) -> dict[str, str]:
        return {}


@pytest.mark.parametrize("safe", [True, False])
def test_a_serialiser_of_the_user_stores_a_step(store: Store, monkeypatch: pytest.MonkeyPatch, safe: bool) -> None:
    monkeypatch.setattr(catalogue, "_registered", {})
    serializer = PairSerializer()
    serializer.safe = safe
    register_serializer(serializer)
    stored = store(Pipeline([("s", MinMaxScaler().fit(X)), ("m", Pair(7))]))
    assert stored.payload.format == "skops" and stored.payload.safe is safe
    assert stored.load().named_steps["m"].predict(X).tolist() == [7] * len(X)
    if not safe:
        with pytest.raises(UntrustedError):
            stored.load(mac=None)


def hostile(canary: Path) -> dict[str, Callable[[SkopsFile], Any]]:
    pickled = pickle.dumps(Runs(canary))

    def part(file: SkopsFile) -> list[Any]:
        arguments = file.find("EmbeddedPayload")["content"]["content"]
        return arguments  # type: ignore[no-any-return]

    def named(name: Any) -> Callable[[SkopsFile], Any]:
        return lambda file: part(file).__setitem__(0, json_node(name))

    def data(change: Callable[[bytes], bytes]) -> Callable[[SkopsFile], Any]:
        def changed(file: SkopsFile) -> None:
            name = part(file)[2]["file"]
            file.files[name] = change(file.files[name])

        return changed

    return {
        "a pickle": named("cloudpickle"),
        "a pickle by another name": named("joblib"),
        "skops in skops": named("skops"),
        "an array": named("npy"),
        "an unknown format": named("../../evil"),
        "a format that is no text": named(["cloudpickle"]),
        "another library": named("onnx"),
        "a pickle as its payload": data(lambda _: pickled),
        "a payload cut short": data(lambda whole: whole[:200]),
        "a child outside": data(lambda whole: whole.replace(b"left_child=", b"left_child=9", 1)),
        "a class of another library": data(lambda whole: whole.replace(b'"LGBMClassifier"', b'"os.system"')),
        "no payload": lambda file: part(file).pop(),
        "a fourth argument": lambda file: part(file).append(json_node(1)),
        "a text as its payload": lambda file: part(file).__setitem__(2, json_node("x")),
        "arguments that are no tuple": lambda file: file.find("EmbeddedPayload").update(content=json_node("x")),
        "a class of the module": lambda file: file.find("EmbeddedPayload").update({"__class__": "Replacement"}),
        "another function": lambda file: file.find("EmbeddedPayload").update({"__class__": "load_payload"}),
    }


def test_hostile_parts_are_refused(canary: Path) -> None:
    """Each is refused as if it were stored alone, and nothing runs."""
    fitted = COMPOSITES["pipeline"]().fit(X, Y)
    refusals = []
    changes = hostile(canary)
    for name, change in changes.items():
        file = SkopsFile(Replacement().of(fitted))
        change(file)
        with pytest.raises(ArtfsError) as caught:
            deserialize(io.BytesIO(file.data()), "skops")
        assert isinstance(caught.value, ValueError | PermissionError), name
        refusals.append(name)
    assert refusals == list(changes) and not canary.exists()


def test_a_call_from_elsewhere_reads_no_pickle(canary: Path) -> None:
    with pytest.raises(UntrustedError):
        EmbeddedPayload("cloudpickle", "5", pickle.dumps(Runs(canary)))
    assert not canary.exists()
