"""Neighbours and clusters: search trees are whole, and what is compared with the input is as wide as it."""

from __future__ import annotations

from artfs.registry.serializers.estimators.view import View
from artfs.registry.serializers.libraries import require

__all__ = ["check_ball_tree", "check_centers", "check_kd_tree", "check_metric", "check_neighbors", "check_tree_owner"]

_MOST = 1 << 48


def check_kd_tree(view: View) -> None:
    """Check a `KDTree`: bounds are a lower and an upper corner for each node."""
    _check_binary_tree(view, corners=2)


def check_ball_tree(view: View) -> None:
    """Check a `BallTree`: bounds are a centre for each node."""
    _check_binary_tree(view, corners=1)


def _check_binary_tree(view: View, corners: int) -> None:
    numpy = require("numpy", "a search tree")
    state = view.state
    view.require(len(state) == 13, "it has another state")
    data, indices, nodes, bounds = state[:4]
    samples, features = data.shape if len(data.shape) == 2 else (0, 0)
    view.require(0 < samples < _MOST and 0 < features < _MOST, "it has no data")
    view.require(data.dtype in (numpy.float64, numpy.float32), "data are no numbers")
    order = indices.array()
    view.require(order.dtype == numpy.int64 and order.shape == (samples,), "indices are not one for each sample")
    view.require(((order >= 0) & (order < samples)).all(), "an index is outside of the data")
    leaf_size, levels, count = (each.integer() for each in state[4:7])
    view.require(leaf_size >= 1 and 1 <= levels <= 60 and count == 2**levels - 1, "the number of nodes is another")
    view.require(
        bounds.shape == (corners, count, features) and bounds.dtype == data.dtype, "bounds are not one for each node"
    )
    records = nodes.array()
    view.require(records.shape == (count,) and records.dtype.names is not None, "nodes are no records")
    view.require({"idx_start", "idx_end", "is_leaf"} <= set(records.dtype.names), "nodes are no records")
    start, end, leaf = records["idx_start"], records["idx_end"], records["is_leaf"] != 0
    view.require(((start >= 0) & (start <= end) & (end <= samples)).all(), "a node is outside of the data")
    view.require(leaf[count // 2 :].all(), "a node has children outside of the tree")
    for each in state[7:11]:
        view.require(0 <= each.integer() < _MOST, "a count is none")
    metric = state[11]
    view.require(metric.loader == "ObjectNode" and ".metrics._dist_metrics." in f".{metric.name}", "its metric is none")
    _check_metric_size(metric, features)
    if not state[12].is_none:
        view.require(state[12].shape == (samples,) and state[12].dtype == numpy.float64, "weights are not one a sample")


def check_metric(view: View) -> None:
    """Check a distance metric of scikit-learn on its own: its vectors are numbers."""
    numpy = require("numpy", "a metric")
    state = view.state
    view.require(len(state) == 3 and isinstance(state[0].plain(), float | int), "it has another state")
    view.require(state[1].dtype == numpy.float64 and len(state[1].shape) == 1, "its vector is none")
    matrix = state[2].shape
    view.require(state[2].dtype == numpy.float64 and len(matrix) == 2, "its matrix is none")
    view.require(".Mahalanobis" not in view.name or matrix[0] == matrix[1] > 0, "its matrix is not square")


def _check_metric_size(metric: View, features: int) -> None:
    """Check that the vector or matrix of a metric has an entry for each feature, where the metric reads it."""
    kind = metric.name.rpartition(".")[2].rstrip("0123456789")
    vector, matrix = metric.state[1].shape, metric.state[2].shape
    if kind == "SEuclideanDistance":
        metric.require(vector == (features,), "its vector has another length")
    elif kind == "MahalanobisDistance":
        metric.require(matrix == (features, features), "its matrix has another size")
    elif kind == "MinkowskiDistance":
        metric.require(vector in ((features,), (0,)), "its weights are not one for each feature")
    elif kind == "HaversineDistance":
        metric.require(features == 2, "its data are no positions on a sphere")


def check_neighbors(view: View) -> None:
    """Check an estimator of neighbours: its samples are as wide as its input, and its labels are classes."""
    samples = view.get("_fit_X")
    if samples is None:
        return
    shape = samples.shape
    features = view.attribute("n_features_in_").integer()
    metric = view.get("metric")
    precomputed = metric is not None and metric.loader == "JsonNode" and metric.plain() == "precomputed"
    view.require(len(shape) == 2, "its samples are no table")
    view.require(shape[1] == features, "its samples have other features")
    count = view.get("n_samples_fit_")
    view.require(count is None or count.integer() == shape[0], "it has another number of samples")
    tree = view.get("_tree")
    if tree is not None:
        view.require(tree.loader == "ObjectNode" and not precomputed, "its tree is none")
        view.require(tree.state[0].shape == shape, "its tree has other samples")
    _check_labels(view, shape[0])


def _check_labels(view: View, samples: int) -> None:
    """Check that the labels of a classifier are numbers of its classes, which compiled code counts by."""
    labels, classes = view.get("_y"), view.get("classes_")
    if labels is None or classes is None:
        return
    numbers = labels.array()
    view.require(numbers.shape[0] == samples, "labels are not one for each sample")
    columns = [classes.shape[0]] if classes.is_array else [each.shape[0] for each in classes.elements]
    table = numbers.reshape(samples, -1)
    view.require(numbers.dtype.kind in "iu" and table.shape[1] == len(columns), "labels are no classes")
    for column, count in zip(table.T, columns, strict=True):
        view.require(((column >= 0) & (column < count)).all(), "a label is no class")


def check_tree_owner(view: View) -> None:
    """Check an estimator of densities: its tree has the features of its input."""
    tree = view.get("tree_")
    if tree is not None:
        features = view.attribute("n_features_in_").integer()
        view.require(
            tree.loader == "ObjectNode" and tree.state[0].shape[1:] == (features,), "its tree has other features"
        )


def check_centers(view: View) -> None:
    """Check k-means: its centres are as wide as its input."""
    centers = view.get("cluster_centers_")
    if centers is not None:
        features = view.attribute("n_features_in_").integer()
        view.require(len(centers.shape) == 2 and centers.shape[1] == features > 0, "its centres have other features")
        view.require(centers.dtype.kind == "f" and centers.shape[0] > 0, "its centres are no numbers")
        counts = view.get("_counts")
        view.require(counts is None or counts.shape == centers.shape[:1], "its counts are not one for each centre")
