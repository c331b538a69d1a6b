"""Estimators that were registered part by part are whole again after a load, and predict the same to the bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.ensemble import StackingClassifier, StackingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.tree import DecisionTreeRegressor

from artfs.registry import ArtifactLoader, ArtifactRegistry
from artfs.registry.errors import DependencyError, RecordError
from artfs.registry.structures import is_linear, with_parts, without_parts

X = np.random.default_rng(0).random((40, 4))
Y = X @ np.arange(4.0)
CLASSES = (np.median(Y) < Y).astype(int)


def columns() -> ColumnTransformer:
    """Return a column transformer of which one part is a pipeline, one is dropped, and the rest passes."""
    scaled = make_pipeline(MinMaxScaler(), PCA(1))
    return ColumnTransformer(
        [("a", scaled, [0, 1]), ("b", StandardScaler(), [2]), ("c", "drop", [3])], remainder="passthrough"
    )


def trees() -> Pipeline:
    return make_pipeline(MinMaxScaler(), DecisionTreeRegressor(max_depth=3, random_state=0))


SHAPES: dict[str, Callable[[], Any]] = {
    "one estimator": Ridge,
    "pipeline": lambda: make_pipeline(MinMaxScaler(), PCA(2), Ridge()),
    "pipeline with steps that pass": lambda: Pipeline([("a", "passthrough"), ("b", StandardScaler()), ("c", Ridge())]),
    "columns": columns,
    "one column": lambda: make_pipeline(ColumnTransformer([("a", MinMaxScaler(), [1])]), Ridge()),
    "columns in a pipeline": lambda: make_pipeline(columns(), Ridge()),
    "union": lambda: FeatureUnion([("p", PCA(2)), ("s", StandardScaler())], transformer_weights={"p": 3.0}),
    "union in a pipeline": lambda: make_pipeline(FeatureUnion([("p", PCA(2)), ("s", StandardScaler())]), Ridge()),
    "stack": lambda: StackingRegressor([("t", trees()), ("r", Ridge())], Ridge(alpha=2.0), cv=2),
    "stack of one": lambda: StackingRegressor([("t", trees())], Ridge(), cv=2, passthrough=True),
    "stack of two alike": lambda: StackingRegressor([("a", Ridge()), ("b", Ridge(alpha=9.0))], cv=2),
    "stack of classifiers": lambda: StackingClassifier(
        [("a", LogisticRegression()), ("b", make_pipeline(columns(), LogisticRegression(C=0.1)))], cv=2
    ),
    "stack in a pipeline": lambda: make_pipeline(
        columns(), StackingRegressor([("t", trees()), ("r", Ridge())], trees(), cv=2)
    ),
}


def answers(estimator: Any) -> list[np.ndarray]:
    """Return everything that a fitted estimator makes of the input."""
    methods = ("transform", "predict", "predict_proba")
    return [getattr(estimator, method)(X) for method in methods if hasattr(estimator, method)]


@pytest.mark.filterwarnings("ignore::artfs.registry.PickleWarning")
@pytest.mark.parametrize("shape", SHAPES)
def test_what_was_taken_apart_is_whole_again(shape: str, registry: ArtifactRegistry) -> None:
    """Two folds of one estimator do not mix; nor does a fit that replaced the first, whose structure is equal."""
    target = CLASSES if "classifiers" in shape else Y
    fits = {fold: SHAPES[shape]().fit(X[fold:], target[fold:]) for fold in (0, 3)}
    for fold, fitted in fits.items():
        registry.register_estimator(fitted, fold_id=fold)
    loader = ArtifactLoader(registry.workspace, registry.dataset)
    for fold, fitted in fits.items():
        loaded = loader.load_estimator("0001", fold)
        assert is_linear(fitted) or type(loaded) is type(fitted)
        assert [a.tobytes() for a in answers(loaded)] == [a.tobytes() for a in answers(fitted)] != []
    again = SHAPES[shape]().fit(X[8:], target[8:])
    registry.register_estimator(again, fold_id=0)
    assert [a.tobytes() for a in answers(loader.load_estimator("0001", 0))] == [a.tobytes() for a in answers(again)]


def test_the_composite_holds_no_part(registry: ArtifactRegistry) -> None:
    """It is one artifact after all others, depends on each, and is small; what it was made of is loaded from there."""
    fitted = make_pipeline(columns(), Ridge()).fit(X, Y)
    records = registry.register_estimator(fitted, fold_id=0)
    ids = {record.artifact_id for record in registry.get_all_records()}
    (whole,) = ids - {record.artifact_id for record in records}
    assert registry.get_dependencies(whole) == [record.artifact_id for record in records]
    record = registry.resolve(whole)
    assert record is not None and record.chain_path.endswith(">s3.Ridge>s4.Pipeline")
    assert str(record.artifact_type) == "model" and record.fold_id == 0
    loader = ArtifactLoader(registry.workspace, registry.dataset)
    assert loader.load_by_id(whole).named_steps["ridge"] is loader.load_by_id(records[-1].artifact_id)
    own = loader.load_by_id(whole, copy=True)
    own.named_steps["ridge"].coef_[:] = 0
    assert answers(loader.load_by_id(whole))[0].tobytes() == answers(fitted)[0].tobytes()


def test_an_estimator_in_a_bundle(registry: ArtifactRegistry, tmp_path: Any) -> None:
    """A bundle of the composite has its parts, and so does its folder after they have been deleted."""
    fitted = make_pipeline(columns(), Ridge()).fit(X, Y)
    registry.register_estimator(fitted, fold_id=0)
    registry.export_bundle(tmp_path / "bundle.tar", pipeline_id="0001")
    ArtifactRegistry.import_bundle(tmp_path / "bundle.tar", tmp_path / "other")
    loaded = ArtifactLoader(tmp_path / "other", registry.dataset).load_estimator("0001", 0)
    assert answers(loaded)[0].tobytes() == answers(fitted)[0].tobytes()


def test_an_estimator_registered_whole_with_sources(registry: ArtifactRegistry) -> None:
    """Nothing is put into one that has its parts, whatever it depends on."""
    source = registry.register_with_chain({"a": 1}, "s1.A", "transformer", 1).artifact_id
    fitted = make_pipeline(columns(), Ridge()).fit(X, Y)
    whole = registry.register_with_chain(fitted, "s1.A>s2.Pipeline", "model", 2, depends_on=[source]).artifact_id
    loaded = ArtifactLoader(registry.workspace, registry.dataset).load_by_id(whole)
    assert answers(loaded)[0].tobytes() == answers(fitted)[0].tobytes()


def test_marks_of_parts_that_are_not_sources(registry: ArtifactRegistry) -> None:
    source = registry.register_with_chain({"a": 1}, "s1.A", "transformer", 1).artifact_id
    forged = make_pipeline(MinMaxScaler(), Ridge()).fit(X, Y)
    forged.steps[0] = ("a", "artfs-part:0002$0123456789ab:all")
    whole = registry.register_with_chain(forged, "s1.A>s2.Pipeline", "model", 2, depends_on=[source]).artifact_id
    with pytest.raises(DependencyError):
        ArtifactLoader(registry.workspace, registry.dataset).load_by_id(whole)


def test_structures_of_many_levels() -> None:
    """A hostile structure is refused; one that holds itself is walked once."""
    nested: list[Any] = []
    for _ in range(200):
        nested = [nested]
    with pytest.raises(RecordError):
        with_parts(nested, lambda ident: ident)
    nested = ["artfs-part:x"]
    nested.append(nested)
    assert with_parts(nested, lambda ident: 7)[0] == 7


def test_a_copy_without_parts() -> None:
    """The estimator itself is not changed."""
    fitted = make_pipeline(MinMaxScaler(), Ridge()).fit(X, Y)
    bare = without_parts(fitted, [(fitted.steps[0][1], "id")])
    assert bare.steps[0] == ("minmaxscaler", "artfs-part:id") and isinstance(fitted.steps[0][1], MinMaxScaler)
