"""Fitted objects whose state would lead compiled code outside of its arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestRegressor,
)
from sklearn.feature_extraction import FeatureHasher
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LinearRegression, SGDClassifier
from sklearn.neighbors import BallTree, KDTree, KernelDensity, KNeighborsClassifier, KNeighborsRegressor
from sklearn.preprocessing import MultiLabelBinarizer, OneHotEncoder
from sklearn.svm import SVC, SVR
from sklearn.tree import DecisionTreeRegressor

from skops_files import SkopsFile, json_node

X = np.random.default_rng(0).random((40, 4))
Y = X @ np.arange(4.0)
C = (X[:, 0] * 3).astype(int)


def states() -> Iterator[tuple[str, SkopsFile]]:
    """Yield (name, file) of each."""
    for group in (_tree_states, _boosting_states, _neighbor_states, _machine_states, _other_states):
        yield from group()


def _put(field: str, place: Any, value: Any) -> Callable[[np.ndarray], None]:
    def change(array: np.ndarray) -> None:
        array[field][place] = value

    return change


def _tree_states() -> Iterator[tuple[str, SkopsFile]]:
    fitted = DecisionTreeRegressor(max_depth=3, random_state=0).fit(X, Y)

    def nodes(change: Callable[[np.ndarray], np.ndarray | None]) -> SkopsFile:
        file = SkopsFile(fitted)
        return file.change_array(file.attribute("Tree", "nodes"), change)

    for name, change in {
        "a child outside": _put("left_child", 0, 10**6),
        "a negative child": _put("right_child", 0, -7),
        "a child that is the root": _put("right_child", 0, 0),
        "one child twice": _put("right_child", 0, 1),
        "a feature outside": _put("feature", 0, 10**6),
        "a negative feature": _put("feature", 0, -2),
    }.items():
        yield f"a tree with {name}", nodes(change)
    yield "a tree with more nodes than said", nodes(lambda array: np.concatenate([array, array]))
    yield "a tree without nodes", nodes(lambda array: array[:0])
    yield "a tree of other records", nodes(lambda array: np.zeros(len(array)))
    file = SkopsFile(fitted)
    values = file.attribute("Tree", "values")
    yield "a tree with fewer values", file.change_array(values, lambda array: array[:-1].copy())
    yield "a tree with a node_count", SkopsFile(fitted).set("Tree", "node_count", json_node(10**6))
    yield "a tree deeper than said", SkopsFile(fitted).set("Tree", "max_depth", json_node(1))
    yield "a tree of another input", SkopsFile(fitted).set("DecisionTreeRegressor", "n_features_in_", json_node(2))
    file = SkopsFile(fitted)
    file.find("Tree")["__reduce__"]["args"]["content"][0]["content"] = "99"
    yield "a tree with features", file
    file = SkopsFile(fitted)
    file.find("Tree")["__reduce__"]["args"]["content"][2]["content"] = "5"
    yield "a tree with outputs", file
    forest = RandomForestRegressor(3, max_depth=2, random_state=0).fit(X, Y)
    yield "a forest of another input", SkopsFile(forest).set("RandomForestRegressor", "n_features_in_", json_node(2))
    forest.estimators_[2] = DecisionTreeRegressor(max_depth=2).fit(np.hstack([X, X]), Y)
    yield "a forest with a wider tree", SkopsFile(forest)
    isolation = IsolationForest(n_estimators=3, max_features=2, random_state=0).fit(X)
    isolation._max_features = 4
    yield "an isolation forest of other features", SkopsFile(isolation)


def _boosting_states() -> Iterator[tuple[str, SkopsFile]]:
    for cls, target in ((GradientBoostingRegressor, Y), (GradientBoostingClassifier, C)):
        fitted = cls(n_estimators=2, max_depth=2, random_state=0).fit(X, target)
        name = cls.__name__
        yield f"{name} of another input", SkopsFile(fitted).set(name, "n_features_in_", json_node(2))
        yield f"{name} with columns", SkopsFile(fitted).set(name, "n_trees_per_iteration_", json_node(7))
        yield f"{name} with another first estimator", SkopsFile(fitted).set(name, "init_", LinearRegression().fit(X, Y))
        yield f"{name} with a multiclass loss", SkopsFile(fitted).set(name, "init_", json_node("other"))
    wide = GradientBoostingClassifier(n_estimators=2, max_depth=2).fit(X, C)
    wide.init_.class_prior_ = wide.init_.class_prior_[:1]
    yield "boosting with fewer first columns", SkopsFile(wide)
    wide = GradientBoostingClassifier(n_estimators=2, max_depth=2).fit(X, C)
    wide._loss = GradientBoostingRegressor(n_estimators=1).fit(X, Y)._loss
    yield "boosting with a loss of one column", SkopsFile(wide)
    fitted = HistGradientBoostingRegressor(max_iter=2, min_samples_leaf=5).fit(X, Y)
    for name, field_name, value in (
        ("a child outside", "left", 10**6),
        ("a child before its parent", "right", 0),
        ("a feature outside", "feature_idx", 4),
        ("a negative feature", "feature_idx", -1),
        ("a bitset outside", "is_categorical", 1),
    ):
        file = SkopsFile(fitted)
        predictor = file.attribute("TreePredictor", "nodes")
        yield f"a histogram tree with {name}", file.change_array(predictor, _put(field_name, 0, value))
    yield (
        "histogram boosting of another input",
        SkopsFile(fitted).set("HistGradientBoostingRegressor", "n_features_in_", json_node(1)),
    )


def _neighbor_states() -> Iterator[tuple[str, SkopsFile]]:
    for cls in (KDTree, BallTree):
        name = cls.__name__
        for place, title, value in (
            (0, "other data", X[:, :2].copy()),
            (1, "an index outside", np.full(len(X), 10**6)),
            (3, "bounds of other features", np.zeros((1, 1, 1))),
            (4, "an empty leaf", 0),
            (5, "more levels", 12),
            (6, "more nodes", 10**6),
            (12, "other weights", np.ones(3)),
        ):
            file = SkopsFile(cls(X, leaf_size=5))
            state = file.find(name)["content"]["content"]
            state[place] = file.graft(value)
            yield f"a {name} with {title}", file
        file = SkopsFile(cls(X, leaf_size=5))
        state = file.find(name)["content"]["content"]
        yield f"a {name} with a node outside", file.change_array(state[2], _put("idx_end", 0, 10**6))
        file = SkopsFile(cls(X, leaf_size=5))
        state = file.find(name)["content"]["content"]
        yield f"a {name} with children of leaves", file.change_array(state[2], _put("is_leaf", -1, 0))
    file = SkopsFile(BallTree(X, metric="seuclidean", V=np.ones(4)))
    metric = file.find("SEuclideanDistance64")["content"]["content"]
    metric[1] = file.graft(np.ones(1))
    yield "a metric with a short vector", file
    file = SkopsFile(BallTree(X, metric="mahalanobis", V=np.eye(4)))
    metric = file.find("MahalanobisDistance64")["content"]["content"]
    metric[2] = file.graft(np.ones((4, 1)))
    yield "a metric with a narrow matrix", file
    classifier = KNeighborsClassifier(3).fit(X, C)
    yield (
        "neighbours with a label outside",
        SkopsFile(classifier).set("KNeighborsClassifier", "_y", np.full(len(X), 99)),
    )
    yield (
        "neighbours with a negative label",
        SkopsFile(classifier).set("KNeighborsClassifier", "_y", np.full(len(X), -1)),
    )
    yield (
        "neighbours with fewer samples",
        SkopsFile(classifier).set("KNeighborsClassifier", "n_samples_fit_", json_node(3)),
    )
    brute = KNeighborsRegressor(3, algorithm="brute").fit(X, Y)
    yield "neighbours of another input", SkopsFile(brute).set("KNeighborsRegressor", "_fit_X", X[:, :1].copy())
    density = KernelDensity().fit(X)
    yield "a density of another input", SkopsFile(density).set("KernelDensity", "n_features_in_", json_node(9))


def _machine_states() -> Iterator[tuple[str, SkopsFile]]:
    fitted = SVC().fit(X, C)
    for key, value in {
        "_n_support": np.full(3, 10**6, np.int32),
        "_dual_coef_": np.zeros((2, 1)),
        "_intercept_": np.zeros(1),
        "_probA": np.zeros(1),
        "support_vectors_": np.zeros((2, 4)),
        "support_": np.full(len(fitted.support_), 10**6, np.int32),
        "n_features_in_": 9,
    }.items():
        yield f"a machine with {key}", SkopsFile(fitted).set("SVC", key, value)
    regression = SVR().fit(X, Y)
    yield (
        "a regression machine with _n_support",
        SkopsFile(regression).set("SVR", "_n_support", np.array([9999, 0], np.int32)),
    )


def _other_states() -> Iterator[tuple[str, SkopsFile]]:
    for cls in (KMeans, MiniBatchKMeans):
        fitted = cls(2, n_init=1, random_state=0).fit(X)
        yield (
            f"{cls.__name__} of another input",
            SkopsFile(fitted).set(cls.__name__, "cluster_centers_", np.zeros((2, 1))),
        )
    yield "mini-batches with fewer counts", SkopsFile(fitted).set("MiniBatchKMeans", "_counts", np.zeros(1))
    matrix = sparse.csr_matrix(np.eye(4))
    for name, attribute, value in (("an index outside", "indices", 10**6), ("rows without end", "indptr", 10**6)):
        broken = matrix.copy()
        getattr(broken, attribute)[-1] = value
        yield f"a sparse matrix with {name}", SkopsFile(broken)
    broken = sparse.coo_matrix(np.eye(4))
    broken.row[0] = -5
    yield "a sparse matrix with a negative row", SkopsFile(broken)
    words = CountVectorizer().fit(["alpha beta"])
    yield (
        "a vocabulary that leads outside",
        SkopsFile(words).set("CountVectorizer", "vocabulary_", {"alpha": 0, "beta": 10**6}),
    )
    yield "a hasher without features", SkopsFile(FeatureHasher()).set("FeatureHasher", "n_features", json_node(0))
    labels = MultiLabelBinarizer().fit([("a", "b")])
    labels.classes_ = np.array(["a", "a", "b"], dtype=object)
    yield "labels with a class twice", SkopsFile(labels)
    encoder = OneHotEncoder().fit(np.array([["a"], ["b"]]))
    yield "categories without columns", SkopsFile(encoder).set("OneHotEncoder", "_n_features_outs", [1])
    linear = SGDClassifier(average=True).fit(X, C)
    yield "averages of another shape", SkopsFile(linear).set("SGDClassifier", "_average_coef", np.zeros((1, 1)))
    yield "a loss made with text", _with_loss(SkopsFile(linear))
    state = np.random.RandomState(0)
    file = SkopsFile(state)
    inner = file.find("RandomState")["content"]["content"]["state"]["content"]
    inner["pos"]["content"] = "100000"
    yield "a twister beyond its key", file
    file = SkopsFile(np.random.RandomState(0))
    inner = file.find("RandomState")["content"]["content"]["state"]["content"]
    inner["key"] = file.graft(np.zeros(3, np.uint32))
    yield "a twister with a short key", file


def _with_loss(file: SkopsFile) -> SkopsFile:
    file.find("Hinge")["__reduce__"]["args"]["content"][0]["content"] = '"text"'
    return file
