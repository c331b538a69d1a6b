"""Models of ONNX come back equal; tensors in other files and bytes that are no model are refused."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from artfs.registry.serializers import deserialize, serialize
from artstore.errors import ArtfsError, InvalidInputError
from hostile_models import flips, of_any_format, refused
from payloads import Store

onnx = pytest.importorskip("onnx", reason="onnx is not installed")


def model(change: Callable[[Any], Any] | None = None) -> Any:
    """Return a model with a weight, a constant in an attribute of a node, and a branch with a constant of its own."""
    helper, tensor = onnx.helper, onnx.numpy_helper.from_array
    info = helper.make_tensor_value_info
    rows, out = info("x", onnx.TensorProto.FLOAT, [None, 4]), info("y", onnx.TensorProto.FLOAT, [None, 2])
    constant = helper.make_node("Constant", [], ["c"], value=tensor(np.ones(2, np.float32), "c"))
    branch = helper.make_graph(
        [helper.make_node("Constant", [], ["z"], value=tensor(np.ones(2, np.float32), "inner"))],
        "branch",
        [],
        [info("z", onnx.TensorProto.FLOAT, [2])],
    )
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"]),
        constant,
        helper.make_node("Constant", [], ["t"], value=tensor(np.array(True), "t")),
        helper.make_node("If", ["t"], ["i"], then_branch=branch, else_branch=branch),
        helper.make_node("Sum", ["m", "c", "i"], ["y"]),
    ]
    graph = helper.make_graph(nodes, "g", [rows], [out], [tensor(np.ones((4, 2), np.float32), "w")])
    made = helper.make_model(graph)
    if change is not None:
        change(made)
    return made


def elsewhere(tensor: Any) -> None:
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../etc/passwd"


def test_models_come_back_equal(store: Store) -> None:
    stored = store(model())
    assert (stored.payload.format, stored.payload.safe) == ("onnx", True) and "onnx" in stored.payload.versions
    loaded = stored.load()
    assert loaded == model() and store(loaded).digest == stored.digest
    assert onnx.load(str(stored.file)) == loaded
    from onnx.reference import ReferenceEvaluator

    assert np.array_equal(
        ReferenceEvaluator(loaded).run(None, {"x": np.ones((3, 4), np.float32)})[0], np.full((3, 2), 6)
    )


@pytest.mark.parametrize(
    "tensor",
    [
        lambda made: made.graph.initializer[0],
        lambda made: made.graph.node[1].attribute[0].t,
        lambda made: made.graph.node[3].attribute[0].g.node[0].attribute[0].t,
        lambda made: made.graph.sparse_initializer.add().values,
        lambda made: made.training_info.add().algorithm.initializer.add(),
        lambda made: made.functions.add().node.add().attribute.add().tensors.add(),
    ],
    ids=["weight", "constant", "branch", "sparse", "training", "function"],
)
def test_tensors_in_other_files_are_refused(store: Store, tensor: Callable[[Any], Any]) -> None:
    """Wherever a tensor is: neither stored nor loaded."""
    hostile = model(lambda made: elsewhere(tensor(made)))
    with pytest.raises(InvalidInputError, match="another file"):
        store(hostile)
    assert refused(hostile.SerializeToString(deterministic=True), "onnx") == "untrusted"


@pytest.fixture(scope="module")
def payload(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("payload")
    return (folder / serialize(model(), folder).filename).read_bytes()


HOSTILE: dict[str, Callable[[bytes], bytes]] = {
    "no graph": lambda _: model(lambda made: made.ClearField("graph")).SerializeToString(deterministic=True),
    "no operators": lambda _: model(lambda made: made.ClearField("opset_import")).SerializeToString(deterministic=True),
    "a tensor larger than memory": lambda _: model(
        lambda made: made.graph.initializer[0].dims.extend([1 << 40])
    ).SerializeToString(deterministic=True),
    "a tensor of a negative size": lambda _: model(
        lambda made: made.graph.initializer[0].dims.extend([-1])
    ).SerializeToString(deterministic=True),
    "a field twice": lambda data: data + data[:2],
    "another message": lambda _: onnx.numpy_helper.from_array(np.ones(3)).SerializeToString(),
    "messages nested without end": lambda _: nested(300),
}


def nested(depth: int) -> bytes:
    made = model()
    graph = made.graph
    for _ in range(depth):
        graph = graph.node.add().attribute.add().g
    return made.SerializeToString(deterministic=True)  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_models_are_refused(payload: bytes, name: str) -> None:
    assert refused(HOSTILE[name](payload), "onnx") == "malformed_payload"


def test_what_no_format_has_is_refused(payload: bytes, canary: Path) -> None:
    for _, data in of_any_format(payload, canary):
        refused(data, "onnx")
    assert not canary.exists()


def test_flipped_bits_are_refused_or_harmless(payload: bytes) -> None:
    for data in flips(payload, 300):
        try:
            deserialize(io.BytesIO(data), "onnx")
        except ArtfsError:
            continue
