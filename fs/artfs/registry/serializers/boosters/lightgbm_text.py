"""What must hold of a model's text before LightGBM reads it: LightGBM trusts the counts, the indices and the sizes.

The grammar is that of version 4 of the text, line by line, and nothing that LightGBM would skip or read otherwise.
"""

from __future__ import annotations

import re
from typing import Any, Final

from artfs.registry.serializers.boosters.trees import Checks, check_children
from artfs.registry.serializers.libraries import require

__all__ = ["check_text"]

_WHAT: Final = "a model of LightGBM"
_HEAD: Final = (
    *("version", "num_class", "num_tree_per_iteration", "label_index", "max_feature_idx", "objective"),
    *("average_output", "feature_names", "monotone_constraints", "feature_infos", "tree_sizes"),
)
_OPTIONAL: Final = frozenset({"objective", "average_output", "monotone_constraints"})
_TREE: Final = (
    *("num_leaves", "num_cat", "split_feature", "split_gain", "threshold", "decision_type", "left_child"),
    *("right_child", "leaf_value", "leaf_weight", "leaf_count", "internal_value", "internal_weight", "internal_count"),
    *("cat_boundaries", "cat_threshold", "is_linear", "leaf_const", "num_features", "leaf_features", "leaf_coeff"),
    "shrinkage",
)
_CATEGORIES: Final = ("cat_boundaries", "cat_threshold")
_LINEAR: Final = ("leaf_const", "num_features", "leaf_features", "leaf_coeff")
_NUMBER: Final = r"-?\d{1,20}(?:\.\d{1,25})?(?:e[+-]\d{2,3})?"
_NUMBERS: Final = re.compile(rf"(?:{_NUMBER}(?: {_NUMBER})*)?")
_INTEGERS: Final = re.compile(r"(?:-?\d{1,10}(?: -?\d{1,10})*)?")
_LEAST: Final = 1e-300
_MOST: Final = 1e300
"""LightGBM ends the process at numbers that a double does not hold in full precision."""
_COUNT: Final = re.compile(r"\d{1,9}")
_OBJECTIVES: Final = frozenset(
    {
        *("regression", "regression_l1", "huber", "fair", "poisson", "quantile", "mape", "gamma", "tweedie", "binary"),
        *("multiclass", "multiclassova", "cross_entropy", "cross_entropy_lambda", "lambdarank", "rank_xendcg"),
    }
)
_OPTION: Final = re.compile(rf"sqrt|(?:sigmoid|tweedie_variance_power|alpha|fair_c):{_NUMBER}")
_LINE: Final = re.compile(r"\[[a-z_0-9]{1,60}: [^\n\r\[\]]*\]")
_IMPORTANCE: Final = re.compile(r"[^\n\r=]+=\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")


def check_text(text: str, check: Checks, judge: Checks) -> None:
    """Check a model's text up to ``end of parameters``: call *check* with what does not hold.

    *judge* is called with what is of a kind that is not judged.
    """
    check("\0" not in text and "\r" not in text, "characters that a text does not have")
    head, found, rest = text.partition("\n\nTree=0\n")
    check(bool(found), "a text without trees")
    values = _head(head, check)
    sizes = _integers(values["tree_sizes"], check)
    features = _count(values["max_feature_idx"], check) + 1
    _check_head(values, features, len(sizes), (check, judge))
    body = "Tree=0\n" + rest
    data = body.encode()
    place = 0
    for number, size in enumerate(sizes.tolist()):
        block = data[place : place + size]
        check(size > 0 and len(block) == size and block.endswith(b"\n\n"), "a tree that does not have its size")
        lines = block.decode().split("\n")
        check(lines[0] == f"Tree={number}", "a tree with another number")
        _check_tree(lines[1:], features, check)
        place += size
    _check_tail(data[place:].decode(), check)


def _head(head: str, check: Checks) -> dict[str, str]:
    lines = head.split("\n")
    check(lines[0] == "tree", "a text of another kind")
    return _values(lines[1:], _HEAD, _OPTIONAL, check)


def _values(lines: list[str], keys: tuple[str, ...], optional: frozenset[str], check: Checks) -> dict[str, str]:
    """Return the values of lines ``key=value`` in the order of *keys*; a key without a value is one alone."""
    values: dict[str, str] = {}
    place = 0
    for line in lines:
        key, _, value = line.partition("=")
        while place < len(keys) and keys[place] != key and keys[place] in optional:
            place += 1
        check(place < len(keys) and keys[place] == key, f"a line {line[:40]!r}")
        values[key] = value
        place += 1
    check(all(key in optional for key in keys[place:]), "a line that is missing")
    return values


def _check_head(values: dict[str, str], features: int, trees: int, checks: tuple[Checks, Checks]) -> None:
    check, judge = checks
    judge(values["version"] == "v4", f"version {values['version'][:20]!r} of the text")
    classes = _count(values["num_class"], check)
    check(values["num_tree_per_iteration"] == values["num_class"] and classes >= 1, "classes without their trees")
    check(trees >= 1 and trees % classes == 0, "trees that are not as many for each class")
    _count(values["label_index"], check)
    for key in ("feature_names", "feature_infos"):
        check(len(values[key].split(" ")) == features and "" not in values[key].split(" "), f"another number of {key}")
    if "monotone_constraints" in values:
        constraints = _integers(values["monotone_constraints"], check)
        check(len(constraints) == features and set(constraints.tolist()) <= {-1, 0, 1}, "malformed constraints")
    if "objective" in values:
        name, *options = values["objective"].split(" ")
        judge(name in _OBJECTIVES, f"the objective {name[:40]!r}")
        counts = [option for option in options if option.startswith("num_class:")]
        check(all(option == f"num_class:{classes}" for option in counts), "an objective of other classes")
        check(bool(counts) == name.startswith("multiclass"), "an objective without its classes")
        check(all(option in counts or _OPTION.fullmatch(option) for option in options), "an option of the objective")
        check(bool(counts) or classes == 1, "an objective of one class")


def _check_tree(lines: list[str], features: int, check: Checks) -> None:
    while lines and lines[-1] == "":
        lines = lines[:-1]
    values = _values(lines, _TREE, frozenset((*_CATEGORIES, *_LINEAR)), check)
    leaves, categorical = _count(values["num_leaves"], check), _count(values["num_cat"], check)
    check(leaves >= 1, "a tree without leaves")
    check(_length(values["shrinkage"], check) == 1, "a shrinkage")
    check(values["is_linear"] in ("0", "1"), "a kind of leaves")
    check((values["is_linear"] == "1") == all(key in values for key in _LINEAR), "a linear tree without its lines")
    check((categorical > 0) == all(key in values for key in _CATEGORIES), "categories without their lines")
    splits = leaves - 1
    for key in ("split_gain", "threshold", "internal_value", "internal_weight"):
        check(_length(values[key], check) == splits, f"{key} of another length")
    check(_length(values["leaf_value"], check) == leaves, "leaf_value of another length")
    check(len(_integers(values["internal_count"], check)) == splits, "internal_count of another length")
    for key in ("leaf_weight", "leaf_count"):
        check(_length(values[key], check) == leaves or (leaves == 1 and not values[key]), f"{key} of another length")
    if splits:
        _check_splits(values, splits, features, categorical, check)
    if values["is_linear"] == "1":
        _check_linear(values, leaves, features, check)


def _check_splits(values: dict[str, str], splits: int, features: int, categorical: int, check: Checks) -> None:
    numpy = require("numpy", _WHAT)
    arrays = [_integers(values[key], check) for key in ("split_feature", "decision_type", "left_child", "right_child")]
    check(all(len(array) == splits for array in arrays), "nodes of different numbers")
    used, decisions, left, right = arrays
    check(bool(((used >= 0) & (used < features)).all()), "a feature that is not there")
    check(bool(((decisions >= 0) & (decisions < 12)).all()), "a decision of no known kind")
    nodes = 2 * splits + 1  # leaf -1 is the node after the last split
    left, right = (numpy.where(array < 0, splits - 1 - array, array) for array in (left, right))
    is_leaf = numpy.arange(nodes) >= splits
    pad = numpy.zeros(splits + 1, dtype=numpy.int64)
    check_children(numpy.concatenate([left, pad]), numpy.concatenate([right, pad]), is_leaf, check)
    by_category = (decisions & 1) == 1
    check(bool(by_category.any()) <= (categorical > 0), "a category that is not there")
    if categorical:
        bounds = _integers(values["cat_boundaries"], check)
        words = _integers(values["cat_threshold"], check)
        check(len(bounds) == categorical + 1 and bounds[0] == 0, "bounds of categories")
        check(bool((numpy.diff(bounds) >= 0).all() and bounds[-1] == len(words)), "bounds of categories")
        check(bool(((words >= 0) & (words < 1 << 32)).all()), "a set of categories")
        chosen = numpy.array(values["threshold"].split(" "), dtype=numpy.float64)[by_category]
        whole = (chosen >= 0) & (chosen < categorical) & (chosen == numpy.floor(chosen))
        check(bool(whole.all()), "a category that is not there")


def _check_linear(values: dict[str, str], leaves: int, features: int, check: Checks) -> None:
    """Check the models of leaves: their features and coefficients stand one leaf after another, with wide gaps."""
    counts = _integers(values["num_features"], check)
    check(len(counts) == leaves and bool((counts >= 0).all()), "num_features of another length")
    check(_length(values["leaf_const"], check) == leaves, "leaf_const of another length")
    total = int(counts.sum())
    used = _integers(" ".join(values["leaf_features"].split()), check)
    check(len(used) == total and bool(((used >= 0) & (used < features)).all()), "a feature that is not there")
    check(_length(" ".join(values["leaf_coeff"].split()), check) == total, "leaf_coeff of another length")
    for key in ("leaf_features", "leaf_coeff"):
        words = values[key].split(" ")
        expected = sum(int(count) + 1 for count in counts) + 1  # one space after each number, and one after each leaf
        check(len(words) == expected, f"{key} that are not spaced")


def _check_tail(tail: str, check: Checks) -> None:
    lines = tail.split("\n")
    check(lines[:3] == ["end of trees", "", "feature_importances:"], "no end of trees")
    lines = lines[3:]
    while lines and lines[0]:
        check(bool(_IMPORTANCE.fullmatch(lines[0])), f"a line {lines[0][:40]!r}")
        lines = lines[1:]
    if lines == [""]:  # a model whose parameters were not kept
        return
    check(lines[:2] == ["", "parameters:"], "no parameters")
    lines = lines[2:]
    check("end of parameters" in lines, "no end of parameters")
    end = lines.index("end of parameters")
    check(all(not line or _LINE.fullmatch(line) for line in lines[:end]), "a line of the parameters")
    check(not any(lines[end + 1 :]), "lines after the parameters")


def _count(text: str, check: Checks) -> int:
    check(bool(_COUNT.fullmatch(text)), f"a number {text[:20]!r}")
    return int(text)


def _integers(text: str, check: Checks) -> Any:
    numpy = require("numpy", _WHAT)
    check(bool(_INTEGERS.fullmatch(text)), "whole numbers of another form")
    return numpy.array(text.split(" ") if text else [], dtype=numpy.int64)


def _length(text: str, check: Checks) -> int:
    """Return how many numbers a text has."""
    numpy = require("numpy", _WHAT)
    check(bool(_NUMBERS.fullmatch(text)), "numbers of another form")
    sizes = numpy.abs(numpy.array(text.split(" ") if text else [], dtype=numpy.float64))
    check(bool(((sizes == 0) | ((sizes >= _LEAST) & (sizes <= _MOST))).all()), "a number that is too large or small")
    return len(sizes)
