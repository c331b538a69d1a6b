"""Support vector machines: libsvm walks through its arrays by the counts that it is given."""

from __future__ import annotations

from artfs.registry.serializers.estimators.view import View
from artfs.registry.serializers.libraries import require

__all__ = ["check_machine"]

_CLASSIFIERS = ("SVC", "NuSVC")


def check_machine(view: View) -> None:
    """Check a machine of libsvm: vectors, coefficients and intercepts are as many as the classes need."""
    numpy = require("numpy", "a support vector machine")
    vectors = view.get("support_vectors_")
    if vectors is None:
        return
    support, counts = view.attribute("support_").array(), view.attribute("_n_support").array()
    view.require(support.dtype == numpy.int32 and support.ndim == 1, "support_ are no indices")
    view.require(counts.dtype == numpy.int32 and counts.ndim == 1 and (counts >= 0).all(), "_n_support are no counts")
    classifier = view.name.rpartition(".")[2] in _CLASSIFIERS
    implementation = view.get("_impl")
    view.require(implementation is None, "it has another implementation")
    classes = view.attribute("classes_").shape[0] if classifier else 2
    view.require(classes >= 2 and len(counts) == classes, "_n_support are not one for each class")
    total, features = len(support), view.attribute("n_features_in_").integer()
    view.require(not classifier or counts.sum() == total, "_n_support are not as many as support_")
    view.require(classifier or counts[0] == total, "_n_support are not as many as support_")
    fitted = [each.integer() for each in view.attribute("shape_fit_").elements]
    view.require(len(fitted) == 2, "shape_fit_ is no shape")
    view.require(((support >= 0) & (support < fitted[0])).all(), "a support vector is outside of the samples")
    sparse = view.attribute("_sparse").plain()
    kernel = view.attribute("kernel")
    precomputed = kernel.loader == "JsonNode" and kernel.plain() == "precomputed"
    pairs = classes * (classes - 1) // 2
    if precomputed:
        view.require(features == fitted[0], "a precomputed kernel has another size")
        view.require(sparse is not True, "a precomputed kernel is sparse")
        view.require(vectors.shape[0] in (0, total), "support_vectors_ are not as many as support_")
    else:
        view.require(vectors.shape == (total, features), "support_vectors_ have another shape")
    view.require((vectors.loader == "SparseMatrixNode") == (sparse is True), "support_vectors_ are of another kind")
    coefficients = view.attribute("_dual_coef_")
    view.require(coefficients.shape == (classes - 1, total), "_dual_coef_ has another shape")
    view.require((coefficients.loader == "SparseMatrixNode") == (sparse is True), "_dual_coef_ is of another kind")
    if sparse is True:
        data = coefficients.archive.inner(coefficients.node["file"]).header("data.npy")
        view.require(data.shape == ((classes - 1) * total,), "_dual_coef_ is not full")
    view.require(view.attribute("_intercept_").shape == (pairs,), "_intercept_ is not one for each pair of classes")
    for name in ("_probA", "_probB"):
        view.require(view.attribute(name).shape in ((0,), (pairs,)), f"{name} is not one for each pair of classes")
    view.require(view.attribute("_probA").shape == view.attribute("_probB").shape, "_probA and _probB differ")
