"""Sparse matrices and vocabularies: indices are inside of the shape, which products do not look at."""

from __future__ import annotations

from typing import Any

from artfs.registry.serializers.estimators.archive import Archive
from artfs.registry.serializers.estimators.view import View
from artfs.registry.serializers.libraries import require

__all__ = ["check_matrix", "check_vocabulary"]

_MEMBERS = {
    "csr": ("data", "indices", "indptr"),
    "csc": ("data", "indices", "indptr"),
    "bsr": ("data", "indices", "indptr"),
    "coo": ("data", "row", "col"),
    "dia": ("data", "offsets"),
}


def check_matrix(view: View) -> None:
    """Check the file of a sparse matrix."""
    numpy = require("numpy", "a sparse matrix")
    archive = view.archive.inner(view.node["file"])
    kind = archive.array("format.npy")
    view.require(kind.shape == () and kind.dtype.kind in "SU", "it has no format")
    name = kind.item().decode("ascii", "replace") if kind.dtype.kind == "S" else str(kind.item())
    view.require(name in _MEMBERS and f"_{name}." in view.name, "it has another format")
    allowed = {f"{each}.npy" for each in (*_MEMBERS[name], "format", "shape", "_is_array")}
    view.require(set(archive) <= allowed, "it has further members")
    shape = archive.array("shape.npy")
    view.require(shape.dtype.kind in "iu" and shape.shape == (2,) and (shape >= 0).all(), "it has no shape")
    rows, columns = (int(each) for each in shape)
    if name == "coo":
        _check_inside(view, archive, "row", rows)
        _check_inside(view, archive, "col", columns)
    elif name == "dia":
        offsets = archive.array("offsets.npy")
        data = archive.header("data.npy")
        view.require(offsets.ndim == 1 and offsets.dtype.kind == "i", "its offsets are none")
        view.require(
            len(data.shape) == 2 and data.shape[0] == len(offsets), "its diagonals are not one for each offset"
        )
    else:
        _check_compressed(view, archive, numpy, name, rows, columns)


def _check_inside(view: View, archive: Archive, member: str, bound: int) -> Any:
    indices = archive.array(f"{member}.npy")
    view.require(indices.ndim == 1 and indices.dtype.kind in "iu", "its indices are none")
    view.require(((indices >= 0) & (indices < bound)).all(), "an index is outside of the matrix")
    return indices


def _check_compressed(view: View, archive: Archive, numpy: Any, name: str, rows: int, columns: int) -> None:
    data = archive.header("data.npy")
    if name == "bsr":
        view.require(len(data.shape) == 3 and min(data.shape[1:]) > 0, "its blocks are none")
        height, width = data.shape[1:]
        view.require(rows % height == 0 and columns % width == 0, "its blocks do not fill it")
        rows, columns = rows // height, columns // width
    else:
        view.require(len(data.shape) == 1, "its data are no list")
    outer, inner = (columns, rows) if name == "csc" else (rows, columns)
    indices = _check_inside(view, archive, "indices", inner)
    starts = archive.array("indptr.npy")
    view.require(starts.shape == (outer + 1,) and starts.dtype.kind in "iu", "its rows are not as many as it says")
    view.require(starts[0] == 0 and (numpy.diff(starts.astype(numpy.int64)) >= 0).all(), "its rows overlap")
    view.require(starts[-1] == len(indices) == data.shape[0], "its rows have more entries than there are")


def check_vocabulary(view: View) -> None:
    """Check a vectoriser: each word has a column of its own, and no column is outside."""
    vocabulary = view.get("vocabulary_")
    if vocabulary is None:
        return
    columns = [each.integer() for each in vocabulary.attributes.values()]
    view.require(sorted(columns) == list(range(len(columns))), "the words do not have the columns in some order")
