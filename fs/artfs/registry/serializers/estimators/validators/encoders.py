"""Encoders that make sparse matrices: each category has a column that exists."""

from __future__ import annotations

from artfs.registry.serializers.estimators.view import View
from artfs.registry.serializers.libraries import require

__all__ = ["check_labels", "check_one_hot"]


def check_labels(view: View) -> None:
    """Check a binariser of several labels: a class that occurs twice would leave the last column outside."""
    classes = view.get("classes_")
    if classes is None:
        return
    if classes.is_array:
        numpy = require("numpy", "labels")
        values = classes.array()
        view.require(values.ndim == 1 and len(numpy.unique(values)) == len(values), "a class occurs twice")
    else:
        texts = [each.plain() for each in classes.elements]
        view.require(len(set(texts)) == len(texts), "a class occurs twice")


def check_one_hot(view: View) -> None:
    """Check an encoder: it has as many columns for each feature as the feature has categories that are kept."""
    if view.get("categories_") is None:
        return
    categories = view.attribute("categories_").elements
    columns = [each.integer() for each in view.attribute("_n_features_outs").elements]
    view.require(len(columns) == len(categories), "columns are not for each feature")
    dropped = _dropped(view, len(categories))
    mappings = _mappings(view, len(categories))
    for index, (feature, width) in enumerate(zip(categories, columns, strict=True)):
        count = feature.shape[0] if feature.is_array else len(feature.elements)
        mapping = mappings[index]
        if mapping is not None:
            numbers = mapping.array()
            view.require(numbers.shape == (count,) and numbers.dtype.kind == "i", "categories are grouped otherwise")
            view.require(count == 0 or numbers.min() >= 0, "a category has no column")
            count = int(numbers.max()) + 1 if count else 0
        view.require(width >= count - dropped[index] and width >= 0, "a category has no column")


def _dropped(view: View, features: int) -> list[int]:
    """Return for each feature how many categories are dropped, 0 or 1."""
    drop = view.get("_drop_idx_after_grouping")
    if drop is None:
        view.require(view.get("drop_idx_") is None, "a category is dropped after grouping alone")
        return [0] * features
    if drop.is_array:
        view.require(drop.shape == (features,), "categories are dropped of other features")
        return [1] * features
    elements = drop.elements
    view.require(len(elements) == features, "categories are dropped of other features")
    return [0 if each.is_none else 1 for each in elements]


def _mappings(view: View, features: int) -> list[View | None]:
    enabled = view.get("_infrequent_enabled")
    if enabled is None or enabled.plain() is not True:
        return [None] * features
    found = view.attribute("_default_to_infrequent_mappings").elements
    view.require(len(found) == features, "categories are grouped for other features")
    return [None if each.is_none else each for each in found]
