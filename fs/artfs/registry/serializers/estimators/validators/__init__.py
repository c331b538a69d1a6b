"""What must hold of an object's state before it is built, because compiled code relies on it without looking.

A validator takes the `View` of an object and raises `MalformedPayloadError` for state that no fitted object has: an
index that leads outside of an array, sizes that differ.  Nothing has been built when it runs.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Final

from artfs.registry.serializers.estimators.view import View

__all__ = ["VALIDATED", "validator_of"]

_LOADERS: Final = {
    "TreeNode": "trees.check_tree",
    "LossNode": "numbers.check_loss",
    "RandomStateNode": "numbers.check_random_state",
    "RandomGeneratorNode": "numbers.check_generator",
    "SparseMatrixNode": "matrices.check_matrix",
}
_NAMES: Final = {
    "boosting.check_gradient_boosting": (
        "sklearn.ensemble._gb.GradientBoostingClassifier",
        "sklearn.ensemble._gb.GradientBoostingRegressor",
    ),
    "boosting.check_hist_gradient_boosting": (
        "sklearn.ensemble._hist_gradient_boosting.gradient_boosting.HistGradientBoostingClassifier",
        "sklearn.ensemble._hist_gradient_boosting.gradient_boosting.HistGradientBoostingRegressor",
    ),
    "boosting.check_predictor": ("sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",),
    "machines.check_machine": tuple(
        f"sklearn.svm._classes.{name}" for name in ("NuSVC", "NuSVR", "OneClassSVM", "SVC", "SVR")
    ),
    "matrices.check_vocabulary": (
        "sklearn.feature_extraction._dict_vectorizer.DictVectorizer",
        "sklearn.feature_extraction.text.CountVectorizer",
        "sklearn.feature_extraction.text.TfidfVectorizer",
    ),
    "neighbors.check_ball_tree": ("sklearn.neighbors._ball_tree.BallTree", "sklearn.neighbors._ball_tree.BallTree32"),
    "neighbors.check_centers": (
        "sklearn.cluster._kmeans.KMeans",
        "sklearn.cluster._kmeans.MiniBatchKMeans",
    ),
    "neighbors.check_kd_tree": ("sklearn.neighbors._kd_tree.KDTree", "sklearn.neighbors._kd_tree.KDTree32"),
    "neighbors.check_metric": tuple(
        f"sklearn.metrics._dist_metrics.{kind}Distance{width}"
        for kind in (
            *("Euclidean", "SEuclidean", "Manhattan", "Chebyshev", "Minkowski", "Mahalanobis", "Hamming", "Canberra"),
            *(
                "BrayCurtis",
                "Jaccard",
                "Dice",
                "RogersTanimoto",
                "RussellRao",
                "SokalMichener",
                "SokalSneath",
                "Haversine",
            ),
        )
        for width in ("", "32", "64")
    ),
    "neighbors.check_neighbors": (
        "sklearn.impute._knn.KNNImputer",
        "sklearn.neighbors._classification.KNeighborsClassifier",
        "sklearn.neighbors._classification.RadiusNeighborsClassifier",
        "sklearn.neighbors._graph.KNeighborsTransformer",
        "sklearn.neighbors._graph.RadiusNeighborsTransformer",
        "sklearn.neighbors._lof.LocalOutlierFactor",
        "sklearn.neighbors._regression.KNeighborsRegressor",
        "sklearn.neighbors._regression.RadiusNeighborsRegressor",
        "sklearn.neighbors._unsupervised.NearestNeighbors",
    ),
    "linear.check_linear": (
        *(
            f"sklearn.linear_model._coordinate_descent.{name}"
            for name in ("ElasticNet", "Lasso", "MultiTaskElasticNet", "MultiTaskLasso")
        ),
        "sklearn.linear_model._passive_aggressive.PassiveAggressiveClassifier",
        "sklearn.linear_model._passive_aggressive.PassiveAggressiveRegressor",
        "sklearn.linear_model._perceptron.Perceptron",
        "sklearn.linear_model._stochastic_gradient.SGDClassifier",
        "sklearn.linear_model._stochastic_gradient.SGDOneClassSVM",
        "sklearn.linear_model._stochastic_gradient.SGDRegressor",
    ),
    "encoders.check_labels": ("sklearn.preprocessing._label.MultiLabelBinarizer",),
    "encoders.check_one_hot": ("sklearn.preprocessing._encoders.OneHotEncoder",),
    "neighbors.check_tree_owner": ("sklearn.neighbors._kde.KernelDensity",),
    "numbers.check_hasher": (
        "sklearn.feature_extraction._hash.FeatureHasher",
        "sklearn.feature_extraction.text.HashingVectorizer",
    ),
    "trees.check_forest": tuple(
        f"sklearn.ensemble._forest.{name}"
        for name in (
            *("ExtraTreesClassifier", "ExtraTreesRegressor", "RandomForestClassifier", "RandomForestRegressor"),
            "RandomTreesEmbedding",
        )
    ),
    "trees.check_isolation_forest": ("sklearn.ensemble._iforest.IsolationForest",),
    "trees.check_tree_estimator": tuple(
        f"sklearn.tree._classes.{name}"
        for name in ("DecisionTreeClassifier", "DecisionTreeRegressor", "ExtraTreeClassifier", "ExtraTreeRegressor")
    ),
}
VALIDATED: Final = {name: place for place, names in _NAMES.items() for name in names}
"""The function that checks the state of each class, by the full name of the class."""


def validator_of(loader: str, name: str) -> Callable[[View], None] | None:
    """Return the function that checks the state of an object before it is built; None if nothing compiled reads it."""
    place = _LOADERS.get(loader) or (VALIDATED.get(name) if loader == "ObjectNode" else None)
    if place is None:
        return None
    module, _, function = place.partition(".")
    found: Callable[[View], None] = getattr(importlib.import_module(f"{__name__}.{module}"), function)
    return found
