"""Boosted trees: predictions are added up in an array whose columns compiled code does not count."""

from __future__ import annotations

from artfs.registry.serializers.estimators.validators.trees import tree_features
from artfs.registry.serializers.estimators.view import View
from artfs.registry.serializers.libraries import require

__all__ = ["check_gradient_boosting", "check_hist_gradient_boosting", "check_predictor"]

_FIELDS = (
    *(("left", "uint32"), ("right", "uint32"), ("feature_idx", "int64"), ("is_leaf", "uint8")),
    *(("is_categorical", "uint8"), ("bitset_idx", "uint32")),
)


def check_gradient_boosting(view: View) -> None:
    """Check gradient boosting: one tree for each column of what its first estimator predicts."""
    if view.get("estimators_") is None:
        return
    trees = view.attribute("estimators_")
    columns = view.attribute("n_trees_per_iteration_").integer()
    shape = [View(each, view.archive, "a shape").integer() for each in trees.node["shape"]["content"]]
    view.require(len(shape) == 2 and shape[1] == columns > 0, "estimators_ have another number of columns")
    features = view.attribute("n_features_in_").integer()
    elements = trees.elements
    view.require(len(elements) == shape[0] * shape[1], "estimators_ have another shape")
    for estimator in elements:
        view.require(
            estimator.loader == "ObjectNode" and tree_features(estimator) == features, "a tree has other features"
        )
    _check_loss(view, columns)
    _check_initial(view, columns)


def _check_loss(view: View, columns: int) -> None:
    loss = view.attribute("_loss")
    view.require("is_multiclass" not in loss.attributes, "the loss has another kind")
    view.require(
        columns == 1 or loss.name == "sklearn._loss.loss.HalfMultinomialLoss",
        "the loss has one column, the trees have more",
    )
    if loss.name == "sklearn._loss.loss.HalfMultinomialLoss":
        view.require(columns >= 3, "the loss has several columns, the trees have one")


def _check_initial(view: View, columns: int) -> None:
    """Check that the first prediction has a column for each tree; only our own kinds of estimators are known to."""
    initial = view.attribute("init_")
    if initial.loader == "JsonNode":
        view.require(initial.plain() == "zero", "init_ is no estimator")
        return
    view.require(
        initial.name in ("sklearn.dummy.DummyClassifier", "sklearn.dummy.DummyRegressor"),
        f"init_ is a {initial.name}, so trusted= must name {view.name}",
    )
    view.require(initial.attribute("n_outputs_").integer() == 1, "init_ has several outputs")
    if initial.name == "sklearn.dummy.DummyRegressor":
        view.require(columns == 1 and initial.attribute("constant_").shape == (1, 1), "init_ predicts no number")
        return
    view.require(initial.attribute("_strategy").plain() == "prior", "init_ predicts no probabilities")
    classes = columns if columns > 1 else 2
    view.require(initial.attribute("class_prior_").shape == (classes,), "init_ has other classes")
    view.require(initial.attribute("n_classes_").integer() == classes, "init_ has other classes")


def check_predictor(view: View) -> None:
    """Check a tree of histogram boosting: children come after their parent, and every index is inside."""
    numpy = require("numpy", "a tree")
    nodes = view.attribute("nodes").array()
    view.require(nodes.ndim == 1 and len(nodes) > 0 and nodes.dtype.names is not None, "nodes are no list of records")
    view.require(
        all(name in nodes.dtype.names and nodes.dtype[name] == numpy.dtype(kind) for name, kind in _FIELDS),
        "nodes lack children",
    )
    bitsets = [view.attribute(name) for name in ("binned_left_cat_bitsets", "raw_left_cat_bitsets")]
    view.require(all(each.dtype == numpy.uint32 and each.shape[1:] == (8,) for each in bitsets), "bitsets are none")
    inner = nodes[nodes["is_leaf"] == 0]
    places = numpy.flatnonzero(nodes["is_leaf"] == 0)
    for name in ("left", "right"):
        view.require(((inner[name] > places) & (inner[name] < len(nodes))).all(), "a child is not after its parent")
    view.require((inner["feature_idx"] >= 0).all(), "a feature is outside of the input")
    categorical = inner[inner["is_categorical"] != 0]
    for each in bitsets:
        view.require((categorical["bitset_idx"] < each.shape[0]).all(), "a bitset is outside")


def check_hist_gradient_boosting(view: View) -> None:
    """Check histogram boosting: the input reaches the trees as wide as they expect."""
    numpy = require("numpy", "a tree")
    if view.get("_predictors") is None:
        return
    features = view.attribute("n_features_in_").integer()
    view.require(view.get("_preprocessor") is None, f"it encodes categories, so trusted= must name {view.name}")
    for row in view.attribute("_predictors").elements:
        for predictor in row.elements:
            view.require(predictor.name.endswith(".predictor.TreePredictor"), "a predictor is none")
            nodes = predictor.attribute("nodes").array()
            view.require((nodes["feature_idx"] < features).all(), "a feature is outside of the input")
            view.require((nodes["is_categorical"] == 0).all(), "a split is of categories")
    mapper = view.get("_bin_mapper")
    if mapper is not None:
        flags = mapper.attribute("is_categorical_")
        view.require(flags.shape == (features,) and flags.dtype == numpy.uint8, "categories have other features")
        view.require(not flags.array().any(), "a feature has categories")
