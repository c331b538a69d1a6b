"""What must hold of a model's values before XGBoost reads them: it trusts the indices in trees, and the groups.

Judged are boosted trees with numeric splits and one value a leaf, their DART form, and linear models.
"""

from __future__ import annotations

import re
from typing import Any, Final

from artfs.registry.serializers.boosters.trees import Checks, check_children
from artfs.registry.serializers.libraries import require

__all__ = ["check_model"]

_WHAT: Final = "a model of XGBoost"
_COUNT: Final = re.compile(r"\d{1,9}")
_FLOAT: Final = re.compile(r"[-+]?\d{1,20}(?:\.\d{1,25})?(?:[eE][+-]?\d{1,3})?")
_LEARNER: Final = frozenset(
    {"attributes", "feature_names", "feature_types", "gradient_booster", "learner_model_param", "objective"}
)
_OBJECTIVES: Final = frozenset(
    {
        *("reg:squarederror", "reg:linear", "reg:squaredlogerror", "reg:logistic", "reg:pseudohubererror"),
        *("reg:absoluteerror", "reg:quantileerror", "reg:expectileerror", "reg:gamma", "reg:tweedie"),
        *("binary:logistic", "binary:logitraw", "binary:hinge", "count:poisson", "survival:cox", "survival:aft"),
        *("multi:softmax", "multi:softprob", "rank:pairwise", "rank:ndcg", "rank:map"),
    }
)
_TREE: Final = {
    **dict.fromkeys(("left_children", "right_children", "parents", "split_indices"), "iu"),
    **dict.fromkeys(("split_conditions", "base_weights", "loss_changes", "sum_hessian"), "f"),
    **dict.fromkeys(("default_left", "split_type"), "iu"),
}
_CATEGORIES: Final = ("categories", "categories_nodes", "categories_segments", "categories_sizes")
_NO_CHILD: Final = -1


def check_model(model: Any, check: Checks, judge: Checks) -> None:
    """Check a model's values: call *check* with what does not hold, *judge* with a kind that is not judged."""
    check(isinstance(model, dict) and set(model) == {"learner", "version"}, "other parts")
    version = model["version"]
    check(isinstance(version, list) and len(version) == 3, "a version of another form")
    judge(version[0] in (2, 3), f"version {version[0]} of the format")
    learner = _mapping(model["learner"], check)
    check(set(learner) == _LEARNER, "other parts of its learner")
    shape = _mapping(learner["learner_model_param"], check)
    check(set(shape) <= {"base_score", "boost_from_average", "num_class", "num_feature", "num_target"}, "a parameter")
    features, classes, targets = (_count(shape, key, check) for key in ("num_feature", "num_class", "num_target"))
    groups = max(classes, 1) * max(targets, 1)
    check(targets >= 1 and (targets == 1 or classes <= 1), "classes for several targets")
    _check_base(shape.get("base_score"), groups, check)
    for key in ("feature_names", "feature_types"):
        names = learner[key]
        check(isinstance(names, list) and len(names) in (0, features), f"another number of {key}")
        check(all(isinstance(name, str) for name in names), f"{key} that are no texts")
    judge("c" not in learner["feature_types"], "features of categories")
    check(all(isinstance(each, str) for each in _mapping(learner["attributes"], check).values()), "an attribute")
    _check_objective(_mapping(learner["objective"], check), classes, check, judge)
    _check_booster(_mapping(learner["gradient_booster"], check), features, groups, (check, judge))


def _check_base(text: Any, groups: int, check: Checks) -> None:
    check(isinstance(text, str), "no base score")
    scores = text[1:-1].split(",") if text.startswith("[") and text.endswith("]") else [text]
    check(all(_FLOAT.fullmatch(score) for score in scores) and len(scores) in (1, groups), "a base score")


def _check_objective(objective: dict[str, Any], classes: int, check: Checks, judge: Checks) -> None:
    name = objective.get("name")
    judge(isinstance(name, str) and name in _OBJECTIVES, f"the objective {str(name)[:40]!r}")
    check(str(name).startswith("multi:") == (classes > 1), "an objective of other classes")
    for key, values in objective.items():
        if key != "name":
            for option, value in _mapping(values, check).items():
                check(isinstance(value, str) and len(value) < 4096, f"an option {option[:40]!r}")
                check(option != "num_class" or value == str(classes), "an objective of other classes")


def _check_booster(booster: dict[str, Any], features: int, groups: int, checks: tuple[Checks, Checks]) -> None:
    check, judge = checks
    numpy = require("numpy", _WHAT)
    name = booster.get("name")
    if name == "gblinear":
        model = _mapping(booster.get("model"), check)
        check(set(booster) == {"name", "model"} and set(model) == {"weights", "boosted_rounds"}, "other parts")
        weights = _array(model["weights"], "f", check)
        check(len(weights) == (features + 1) * groups, "weights that are not one for each feature")
        return
    if name == "dart":
        check(set(booster) == {"name", "gbtree", "weight_drop"}, "other parts of its booster")
        weights = _array(numpy.asarray(booster["weight_drop"], dtype=float), "f", check)
        booster = _mapping(booster["gbtree"], check)
        trees = _mapping(booster.get("model"), check).get("trees")
        check(isinstance(trees, list) and len(weights) == len(trees), "weights that are not one for each tree")
        name = booster.get("name")
    judge(name == "gbtree", f"a booster {str(name)[:40]!r}")
    check(set(booster) == {"name", "model"}, "other parts of its booster")
    _check_trees(_mapping(booster["model"], check), features, groups, (check, judge))


def _check_trees(model: dict[str, Any], features: int, groups: int, checks: tuple[Checks, Checks]) -> None:
    check, judge = checks
    known = {"cats", "gbtree_model_param", "iteration_indptr", "tree_info", "trees"}
    check(known - {"cats"} <= set(model) <= known, "other parts of its trees")
    if "cats" in model:
        judge(not any(len(part) for part in _mapping(model["cats"], check).values()), "features of categories")
    param = _mapping(model["gbtree_model_param"], check)
    check(set(param) <= {"num_trees", "num_parallel_tree"}, "a parameter of its trees")
    count = _count(param, "num_trees", check)
    _count(param, "num_parallel_tree", check)
    trees = model["trees"]
    check(isinstance(trees, list) and len(trees) == count, "another number of trees")
    groups_of = _integers(model["tree_info"], check)
    check(len(groups_of) == count and bool(((groups_of >= 0) & (groups_of < groups)).all()), "a tree of no group")
    starts = _integers(model["iteration_indptr"], check)
    numpy = require("numpy", _WHAT)
    ordered = len(starts) >= 1 and starts[0] == 0 and starts[-1] == count and (numpy.diff(starts) >= 0).all()
    check(bool(ordered), "iterations that do not have the trees")
    for number, tree in enumerate(trees):
        _check_tree(_mapping(tree, check), number, features, (check, judge))


def _check_tree(tree: dict[str, Any], number: int, features: int, checks: tuple[Checks, Checks]) -> None:
    check, judge = checks
    numpy = require("numpy", _WHAT)
    judge("leaf_weights" not in tree, "leaves with several values")
    check(set(tree) == {*_TREE, *_CATEGORIES, "id", "tree_param"} and tree["id"] == number, "other parts of a tree")
    param = _mapping(tree["tree_param"], check)
    check(set(param) == {"num_deleted", "num_feature", "num_nodes", "size_leaf_vector"}, "a parameter of a tree")
    nodes = _count(param, "num_nodes", check)
    judge(param["num_deleted"] == "0", "deleted nodes")
    judge(param["size_leaf_vector"] in ("0", "1"), "leaves with several values")
    check(nodes >= 1 and _count(param, "num_feature", check) == features, "nodes or features of another number")
    arrays = {name: _array(tree[name], kinds, check) for name, kinds in _TREE.items()}
    check(all(len(array) == nodes for array in arrays.values()), "nodes of different numbers")
    judge(not any(len(tree[name]) for name in _CATEGORIES) and not arrays["split_type"].any(), "splits by categories")
    left, right = arrays["left_children"].astype(numpy.int64), arrays["right_children"].astype(numpy.int64)
    leaf = left == _NO_CHILD
    check(bool(((right == _NO_CHILD) == leaf).all()), "a node with one child")
    check_children(left, right, leaf, check)
    parents = arrays["parents"].astype(numpy.int64)
    inner = numpy.flatnonzero(~leaf)
    known = bool((parents[left[inner]] == inner).all() and (parents[right[inner]] == inner).all())
    check(known and int(parents[0]) in (-1, (1 << 31) - 1), "a parent of another node")
    used = arrays["split_indices"].astype(numpy.int64)[inner]
    check(bool(((used >= 0) & (used < features)).all()), "a feature that is not there")
    check(set(numpy.unique(arrays["default_left"]).tolist()) <= {0, 1}, "a side that is none")


def _mapping(value: Any, check: Checks) -> dict[str, Any]:
    check(isinstance(value, dict), "a part of another kind")
    return value  # type: ignore[no-any-return]


def _count(values: dict[str, Any], key: str, check: Checks) -> int:
    text = values.get(key)
    check(isinstance(text, str) and bool(_COUNT.fullmatch(text)), f"the number {key}")
    return int(str(text))


def _array(value: Any, kinds: str, check: Checks) -> Any:
    check(hasattr(value, "dtype") and value.dtype.kind in kinds and value.ndim == 1, "an array of another kind")
    return value


def _integers(value: Any, check: Checks) -> Any:
    numpy = require("numpy", _WHAT)
    whole = isinstance(value, list) and all(type(each) is int for each in value)
    check(whole or (hasattr(value, "dtype") and value.dtype.kind in "iu"), "whole numbers of another kind")
    return numpy.asarray(value, dtype=numpy.int64)
