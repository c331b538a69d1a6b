"""A state is read as it will be built, and what has another shape is one error."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from artfs.registry.serializers.errors import MalformedPayloadError
from artfs.registry.serializers.estimators.archive import Archive
from artfs.registry.serializers.estimators.view import View
from skops_files import SkopsFile


def view(obj: Any) -> View:
    file = SkopsFile(obj)
    return View(file.schema, Archive(io.BytesIO(file.data()), "x"), "x")


def test_values() -> None:
    found = view({"a": 1, "b": None, "c": np.arange(6.0).reshape(2, 3), "d": (1, "x"), "e": np.int32(7)})
    assert found.attribute("a").integer() == 1
    assert found.get("b") is None and found.get("absent") is None
    array = found.attribute("c")
    assert array.shape == (2, 3) and array.dtype == np.float64 and array.array().sum() == 15
    assert [each.plain() for each in found.attribute("d").elements] == [1, "x"]
    assert found.attribute("e").integer() == 7
    assert view(sparse.csr_matrix(np.eye(3))).shape == (3, 3)
    grid = np.array([[None, "a"], ["b", None]])
    assert [each.plain() for each in view(grid).elements] == [None, "a", "b", None]


@pytest.mark.parametrize("name", ["shape", "dtype", "array", "elements", "attributes", "plain", "integer", "content"])
def test_other_shapes(name: str) -> None:
    """Each accessor refuses a value that it is not for."""
    obj: Any = {"plain": [1], "integer": 1.5}.get(name, "text")
    with pytest.raises(MalformedPayloadError):
        found = getattr(view(obj), name)
        found()


def test_what_is_missing() -> None:
    with pytest.raises(MalformedPayloadError):
        view({"a": 1}).attribute("b")
    with pytest.raises(MalformedPayloadError):
        view(True).integer()
