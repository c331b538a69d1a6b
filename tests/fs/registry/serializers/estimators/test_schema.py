"""Every node that skops writes has its shape, and its children are found and put back."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LinearRegression

from artfs.registry.serializers.errors import MalformedPayloadError
from artfs.registry.serializers.estimators.schema import (
    ROOT_KEYS,
    check_node,
    children,
    is_key_type,
    parse_schema,
    place_children,
)
from skops_files import SkopsFile


def everything() -> SkopsFile:
    model = GradientBoostingClassifier(n_estimators=1, max_depth=1).fit(np.eye(4), [0, 1, 2, 0])
    values: list[Any] = [
        *(model, {1, 2}, {"a": (1, b"x")}, bytearray(b"y"), slice(1, None), sparse.csr_matrix(np.eye(2))),
        *(np.ma.masked_array([1, 2], [0, 1]), np.dtype("f4"), np.random.default_rng(0), np.random.RandomState(0)),
        *(frozenset({1}), functools.partial(max, 1), LinearRegression().fit, np.array([None, "x"]), np.log1p),
    ]
    return SkopsFile(values)


def test_every_node_has_its_shape() -> None:
    """A walk over the children meets every node, and putting them back changes nothing."""
    file = everything()
    met = 0
    stack = [file.schema]
    while stack:
        node = check_node(stack.pop(), "x", ROOT_KEYS)
        met += 1
        copy = dict(node)
        place_children(copy, list(children(node)))
        assert copy == node
        stack.extend(children(node))
    assert met == sum(1 for _ in file.nodes())
    assert len({node["__loader__"] for node in file.nodes()}) >= 20


@pytest.mark.parametrize(
    "change",
    [
        {"__loader__": None},
        {"__class__": 1},
        {"__module__": ["a"]},
        {"__id__": "1"},
        {"__id__": True},
        {"__id__": 0},
        {"__id__": -1},
        {"further": 1},
        {"content": "text"},
        {"content": None},
        {"__loader__": "Unknown"},
    ],
    ids=str,
)
def test_malformed_nodes(change: dict[str, Any]) -> None:
    node = {key: value for key, value in SkopsFile([1]).schema.items() if key not in ROOT_KEYS}
    assert check_node(node, "x")
    with pytest.raises(MalformedPayloadError):
        check_node({**node, **change}, "x")
    with pytest.raises(MalformedPayloadError):
        check_node([node], "x")


@pytest.mark.parametrize("data", [b"", b"[]", b"1", b'{"a":1,"a":2}', b'{"b":{"a":1,"a":2}}', b"\xff", b"[" * 10**5])
def test_malformed_schemas(data: bytes) -> None:
    with pytest.raises(MalformedPayloadError):
        parse_schema(data, "x")


def test_types_of_keys() -> None:
    """skops calls the type with the key's text: that gives back texts and numbers, but False as True."""
    assert all(map(is_key_type, ["builtins.str", "builtins.int", "builtins.float", "numpy.int64", "numpy.float32"]))
    for name in ("builtins.bool", "builtins.NoneType", "numpy.bool_", "posix.mkdir", "numpy.int64.x", "a.numpy.int64"):
        assert not is_key_type(name)
