"""Trees: every child and feature is inside, no path is longer than said, and all who predict see the same features."""

from __future__ import annotations

from typing import Any

from artfs.registry.serializers.estimators.view import View
from artfs.registry.serializers.libraries import require

__all__ = ["check_forest", "check_isolation_forest", "check_tree", "check_tree_estimator", "tree_features"]

_LEAF = -1


def check_tree(view: View) -> None:
    """Check a `sklearn.tree._tree.Tree`."""
    numpy = require("numpy", "a tree")
    features, outputs = _arguments(view)
    state = view.content
    nodes = state.attribute("nodes").array()
    values = state.attribute("values")
    fields = ("left_child", "right_child", "feature")
    view.require(nodes.ndim == 1 and nodes.dtype.names is not None, "nodes are no list of records")
    view.require(
        all(name in nodes.dtype.names and nodes.dtype[name] == numpy.int64 for name in fields), "nodes lack children"
    )
    count = len(nodes)
    view.require(
        count > 0 and state.attribute("node_count").integer() == count, "node_count is not the number of nodes"
    )
    view.require(values.dtype == numpy.float64, "values are no numbers")
    view.require(
        len(values.shape) == 3 and values.shape[:2] == (count, outputs),
        "values are not one row for each node and output",
    )
    left, right, feature = (numpy.ascontiguousarray(nodes[name]) for name in fields)
    inner = left != _LEAF
    for child in (left, right):
        view.require(((child[inner] >= 0) & (child[inner] < count)).all(), "a child is outside of the tree")
    view.require(((feature[inner] >= 0) & (feature[inner] < features)).all(), "a feature is outside of the input")
    _check_depth(view, numpy, left, right, state.attribute("max_depth").integer())


def _arguments(view: View) -> tuple[int, int]:
    """Return the number of features and outputs with which a tree is made."""
    arguments = View(view.node["__reduce__"]["args"], view.archive, "a tree").elements
    view.require(len(arguments) == 3, "it is made with other arguments")
    features, outputs = arguments[0].integer(), arguments[2].integer()
    classes = arguments[1].array()
    view.require(0 < features < 1 << 31 and 0 < outputs < 1 << 31, "it has no features or no outputs")
    view.require(classes.dtype.kind == "i" and classes.shape == (outputs,), "n_classes are not one for each output")
    view.require((classes > 0).all() and (classes < 1 << 31).all(), "n_classes are not positive")
    shape = view.content.attribute("values").shape
    view.require(len(shape) == 3 and shape[2] == classes.max(), "values are not one for each class")
    return features, outputs


def _check_depth(view: View, numpy: Any, left: Any, right: Any, max_depth: int) -> None:
    """Check that each node has one parent, and walk down from the root: there are at most max_depth levels."""
    inner = left != _LEAF
    parents = numpy.bincount(numpy.concatenate([left[inner], right[inner]]), minlength=len(left))
    view.require(parents.max(initial=0) <= 1 and parents[0] == 0, "a node is the child of two others")
    level, depth = numpy.zeros(1, dtype=numpy.int64), 0
    while True:
        inner = level[left[level] != _LEAF]
        if not len(inner):
            break
        level = numpy.concatenate([left[inner], right[inner]])
        depth += 1
        view.require(depth <= max_depth, "a path is longer than max_depth")


def tree_features(estimator: View) -> int:
    """Return the number of features of the tree in an estimator."""
    tree = estimator.attribute("tree_")
    estimator.require(tree.loader == "TreeNode", "tree_ is no tree")
    return View(tree.node["__reduce__"]["args"], tree.archive, "a tree").elements[0].integer()


def check_tree_estimator(view: View) -> None:
    """Check a decision tree: its input is as wide as its tree expects."""
    if view.get("tree_") is not None:
        view.require(
            tree_features(view) == view.attribute("n_features_in_").integer(), "the tree has another number of features"
        )


def check_forest(view: View) -> None:
    """Check a forest: all trees get its input unchecked, so each has the same number of features."""
    if view.get("estimators_") is None:
        return
    features = view.attribute("n_features_in_").integer()
    for estimator in view.attribute("estimators_").elements:
        view.require(estimator.loader == "ObjectNode", "an estimator is none")
        view.require(tree_features(estimator) == features, "a tree has another number of features")


def check_isolation_forest(view: View) -> None:
    """Check an isolation forest, whose trees get the features that were drawn for each."""
    if view.get("estimators_") is None:
        return
    features = view.attribute("n_features_in_").integer()
    drawn = view.attribute("_max_features").integer()
    trees = view.attribute("estimators_").elements
    columns = view.attribute("estimators_features_").elements
    view.require(len(trees) == len(columns) and 0 < drawn <= features, "features were not drawn for each tree")
    for estimator, chosen in zip(trees, columns, strict=True):
        view.require(
            estimator.loader == "ObjectNode" and tree_features(estimator) == drawn, "a tree has other features"
        )
        view.require(chosen.shape == (drawn,), "a tree has other features")
