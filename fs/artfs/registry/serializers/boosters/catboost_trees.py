"""What must hold of a cbm before CatBoost reads it: CatBoost checks offsets, but not the indices of splits and leaves.

Judged are symmetric trees on numeric features; a model with categories, texts or other trees is not.
"""

from __future__ import annotations

from typing import Any, Final

from artfs.registry.serializers.attributes import read_json
from artfs.registry.serializers.boosters.flatbuffer import Table
from artfs.registry.serializers.boosters.trees import Checks
from artfs.registry.serializers.libraries import require

__all__ = ["check_cbm", "info_of"]

_MAGIC: Final = b"CBM1"
_VERSION: Final = "FlabuffersModel_v1"
_DEEPEST: Final = 16
_MOST_CLASSES: Final = 1 << 16
_BUCKET: Final = 255
"""Borders of a feature that one byte tells apart."""
_INFO: Final = frozenset(
    {
        *("artfs", "catboost_version_info", "class_params", "model_guid", "output_options", "params"),
        *("train_finish_time", "training"),
    }
)
_TREES: Final = {
    "dimension": 0,
    "splits": 1,
    "sizes": 2,
    "starts": 3,
    "floats": 5,
    "values": 8,
    "weights": 9,
    "biases": 16,
    "bins": 17,
}
"""The numbers of fields in the schema."""
_NOT_JUDGED: Final = {
    **dict.fromkeys((4, 6, 7), "features of categories"),
    **dict.fromkeys((10, 11), "trees that are not symmetric"),
    **dict.fromkeys((12, 13, 18), "features of texts or embeddings"),
}


def info_of(data: bytes) -> dict[str, str]:
    """Return the texts that are stored with a model; raise ValueError for what is no cbm."""
    found = {}
    for pair in _core(data).tables(2):
        key = pair.text(0)
        if key in found:
            raise ValueError("a key twice")
        found[key] = pair.text(1)
    return found


def check_cbm(data: bytes, check: Checks, judge: Checks) -> None:
    """Check a model's values: call *check* with what does not hold, *judge* with what is of a kind that is not judged.

    Raises ValueError for bad offsets.
    """
    core = _core(data)
    judge(core.text(0) == _VERSION, "another version of the format")
    trees = core.table(1)
    for field, what in _NOT_JUDGED.items():
        judge(not trees.array(field, "<u4").size, what)
    judge(not core.array(3, "<u4").size and int.from_bytes(data[4:8], "little") == len(data) - 8, "further parts")
    dimension = trees.number(_TREES["dimension"], "<i")
    check(1 <= dimension <= _MOST_CLASSES, "a number of dimensions")
    biases = trees.array(_TREES["biases"], "<f8")
    check(len(biases) in (0, dimension), "biases that are not one for each dimension")
    _check_trees(trees, dimension, _borders(trees, check), check)
    _check_info(info_of(data), dimension, check)


def _core(data: bytes) -> Table:
    if data[:4] != _MAGIC or len(data) < 8 or int.from_bytes(data[4:8], "little") > len(data) - 8:
        raise ValueError("no cbm")
    return Table.root(data[8:])


def _borders(trees: Table, check: Checks) -> list[int]:
    """Return how many borders each feature has."""
    numpy = require("numpy", "a model of CatBoost")
    counts = []
    for place, feature in enumerate(trees.tables(_TREES["floats"])):
        check(feature.number(1, "<i", -1) == place, "features in another order")
        check(feature.number(2, "<i", -1) == place, "a column that is not that of its feature")
        check(feature.number(0, "<B") in (0, 1) and feature.number(5, "<b") in (0, 1, 2), "a feature of another kind")
        borders = feature.array(3, "<f4")
        check(bool((numpy.diff(borders) > 0).all()), "borders in another order")
        counts.append(len(borders))
    check(bool(counts), "no features")
    return counts


def _check_trees(trees: Table, dimension: int, borders: list[int], check: Checks) -> None:
    numpy = require("numpy", "a model of CatBoost")
    splits, sizes, starts = (trees.array(_TREES[name], "<i4") for name in ("splits", "sizes", "starts"))
    check(bool(((splits >= 0) & (splits < sum(borders))).all()), "a split that is not there")
    check(bool(((sizes >= 0) & (sizes <= _DEEPEST)).all()) and int(sizes.sum()) == len(splits), "sizes of trees")
    check(len(starts) == len(sizes), "starts of trees")
    check(bool((starts == numpy.cumsum(sizes) - sizes).all()), "starts of trees")
    leaves = int((1 << sizes.astype(numpy.int64)).sum())
    check(len(trees.array(_TREES["values"], "<f8")) == leaves * dimension, "another number of leaves")
    check(len(trees.array(_TREES["weights"], "<f8")) in (0, leaves), "another number of weights")
    bins = trees.array(_TREES["bins"], [("feature", "<u2"), ("mask", "u1"), ("split", "u1")])
    if len(bins):
        check(len(bins) == len(splits), "another number of splits")
        expected = _bins(numpy, borders)[splits]
        same = (bins["feature"] == expected[:, 0]) & (bins["split"] == expected[:, 1]) & (bins["mask"] == 0)
        check(bool(same.all()), "splits that differ from their repetition")


def _bins(numpy: Any, borders: list[int]) -> Any:
    """Return (bucket, number in it) of each border; each feature has a bucket for 255 borders."""
    rows = []
    bucket = 0
    for count in borders:
        rows += [(bucket + number // _BUCKET, number % _BUCKET + 1) for number in range(count)]
        bucket += -(-count // _BUCKET)
    return numpy.array(rows, dtype=numpy.int64).reshape(-1, 2)


def _check_info(info: dict[str, str], dimension: int, check: Checks) -> None:
    check(set(info) <= _INFO, "a text of another kind")
    for key in ("class_params", "output_options", "params", "training"):
        if key in info:
            check(isinstance(read_json(info[key]), dict), f"{key} that are no object")
    if "class_params" not in info:
        return
    params = read_json(info["class_params"])
    check(
        set(params) <= {"class_label_type", "class_names", "class_to_label", "classes_count"}, "classes of another kind"
    )
    labels, names = params.get("class_to_label", []), params.get("class_names", [])
    check(isinstance(labels, list) and isinstance(names, list), "classes that are no list")
    check(params.get("class_label_type") in ("Integer", "Float", "String", "Boolean"), "labels of another type")
    classes = 2 if dimension == 1 else dimension
    check(type(params.get("classes_count", 0)) is int and params.get("classes_count", 0) in (0, classes), "a count")
    check(len(labels) in (0, classes) and len(names) in (0, classes), "another number of classes")
    check(sorted(labels) == list(range(len(labels))), "classes without their labels")
    kinds = {"Integer": int, "Float": float | int, "String": str, "Boolean": bool}
    check(all(isinstance(name, kinds[params["class_label_type"]]) for name in names), "labels of another type")
