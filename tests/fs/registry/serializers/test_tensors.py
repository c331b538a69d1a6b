"""Arrays in containers come back as they were nested, without anything that could run."""

from __future__ import annotations

import copy
import io
import json
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

from artfs.registry.serializers import deserialize
from artfs.registry.serializers.errors import MalformedPayloadError, UnserializableError
from payloads import Store

A = np.arange(6, dtype=np.float32).reshape(2, 3)
TREES: list[Any] = [
    {"w": A, "b": np.zeros((), np.int64)},
    {"z": A, "a": A.T},
    OrderedDict(w=A),
    [A, (A + 1, {"x": np.array([True])})],
    {"a": {"b": A}, "a.b": A + 1, "__metadata__": A + 2},
    {"empty": np.empty((0, 3))},
    {"": A},
]


def same(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b)


@pytest.mark.parametrize("tree", TREES, ids=range(len(TREES)))
def test_trees_come_back(store: Store, tree: Any) -> None:
    """Nesting, order of keys and arrays are the same; a copy has the same payload."""
    stored = store(tree)
    assert stored.payload.format == "safetensors"
    assert same(stored.load(), tree)
    assert store(copy.deepcopy(tree)).digest == stored.digest


def test_one_array_in_two_places_is_one(store: Store) -> None:
    loaded = store({"a": A, "b": A}).load()
    assert loaded["a"] is loaded["b"]


@pytest.mark.parametrize(
    "tree",
    [
        {"a": np.array(["text"])},
        {"a": A.astype(">f4")},
        {"a": A.astype(complex)},
        {1: A},
        {"a": A, "b": 1.0},
        {"a": np.array([None])},
        {"\ud800": A},
    ],
    ids=range(7),
)
def test_what_the_format_lacks_is_not_taken(store: Store, tree: Any) -> None:
    with pytest.raises(UnserializableError):
        store(tree, "safetensors")


def test_files_of_others_are_dictionaries() -> None:
    from safetensors.numpy import save

    loaded = deserialize(io.BytesIO(save({"w": A})), "safetensors")
    assert same(loaded, {"w": A})


def hostile() -> list[bytes]:
    from safetensors.numpy import save

    def described(document: Any) -> bytes:
        return save({"w": A}, metadata={"artfs": json.dumps(document)})

    deep: Any = ["numpy", "w"]
    for _ in range(200):
        deep = {"list": [deep]}
    return [
        b"",
        b"\xff" * 16,
        save({"w": A})[:-1],
        described({"kind": "tree", "tree": ["numpy", "absent"]}),
        described({"kind": "tree", "tree": {"eval": [["numpy", "w"]]}}),
        described({"kind": "tree", "tree": ["os.system", "w"]}),
        described({"kind": "other", "tree": ["numpy", "w"]}),
        described({"kind": "tree"}),
        described({"kind": "tree", "tree": deep}),
        described([]),
        described({"kind": "tree", "tree": {"dict": [], "list": []}}),
    ]


@pytest.mark.parametrize("index", range(11))
def test_malformed(index: int) -> None:
    with pytest.raises(MalformedPayloadError):
        deserialize(io.BytesIO(hostile()[index]), "safetensors")


def test_into_what_is_no_module_is_refused(store: Store) -> None:
    pytest.importorskip("torch", reason="torch is gigabytes")
    with pytest.raises(MalformedPayloadError):
        store({"w": A}).load(into=object())


def test_modules_of_torch(store: Store) -> None:
    """A module is stored as its state, and loaded into another one."""
    torch = pytest.importorskip("torch", reason="torch is gigabytes")
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    stored = store(module)
    assert stored.payload.format == "safetensors"
    other = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    assert stored.load(into=other) is other
    state = stored.load()
    for key, tensor in module.state_dict().items():
        assert torch.equal(other.state_dict()[key], tensor) and torch.equal(state[key], tensor)
    with pytest.raises(MalformedPayloadError):
        stored.load(into=torch.nn.Linear(4, 4))


def test_trees_of_jax(store: Store) -> None:
    jax = pytest.importorskip("jax", reason="jax is hundreds of megabytes")
    tree = {"w": jax.numpy.arange(3.0), "n": [A]}
    loaded = store(tree).load()
    assert isinstance(loaded["w"], jax.Array) and isinstance(loaded["n"][0], np.ndarray)
    assert store(tree).payload.versions["jax"]


def test_short_floats_of_jax(store: Store) -> None:
    jax = pytest.importorskip("jax", reason="jax is hundreds of megabytes")
    tree = {"w": jax.numpy.arange(3, dtype=jax.numpy.bfloat16), "n": jax.numpy.bfloat16(1.5)}
    stored = store(tree)
    assert stored.payload.format == "safetensors"
    loaded = stored.load()
    assert loaded["w"].dtype == jax.numpy.bfloat16 and loaded["w"].tolist() == [0, 1, 2] and float(loaded["n"]) == 1.5


def test_tensors_of_torch_and_what_the_format_lacks(store: Store) -> None:
    """Dense tensors have the format, and their record names torch; sparse, complex and empty ones are pickled."""
    torch = pytest.importorskip("torch", reason="torch is gigabytes")
    stored = store({"a": torch.ones(2, dtype=torch.bfloat16), "n": A, "t": torch.ones(2, 3).T})
    assert stored.payload.format == "safetensors" and "torch" in stored.payload.versions
    loaded = stored.load()
    assert loaded["a"].dtype == torch.bfloat16 and loaded["t"].shape == (3, 2) and same(loaded["n"], A)
    for other in (
        torch.ones(2).to_sparse(),
        torch.ones(2, dtype=torch.complex64),
        torch.ones(2, device="meta"),
        {"a": torch.ones(2).to_sparse()},
    ):
        assert store(other).payload.format == "cloudpickle"
