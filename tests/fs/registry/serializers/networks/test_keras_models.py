"""Networks of Keras come back equal, and what would run code, read files or take memory is refused."""

from __future__ import annotations

import io
import json
import os
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from artfs.registry.serializers import deserialize, serialize
from artfs.registry.serializers.errors import PickleWarning
from artstore.errors import ArtfsError
from hostile_models import flips, of_any_format, refused
from payloads import Store

os.environ.setdefault("KERAS_BACKEND", "jax")
keras = pytest.importorskip("keras", reason="keras needs torch or jax, which are hundreds of megabytes")
layers: Any = keras.layers
X = np.random.default_rng(0).normal(size=(16, 4)).astype("float32")


def trained() -> Any:
    inner = [layers.Dense(3, activation="relu", kernel_regularizer="l2"), layers.BatchNormalization()]
    network = keras.Sequential([layers.Input((4,)), *inner, layers.Dropout(0.2), layers.Dense(1)])
    network.compile("adam", "mse", metrics=["mae"])
    network.fit(X, X[:, 0], verbose=0)
    return network


def graph() -> Any:
    inputs = keras.Input((4,))
    hidden = layers.Dense(3)(inputs)
    return keras.Model(inputs, layers.Concatenate()([hidden, keras.ops.add(hidden, 1.0)]))


def sequences() -> Any:
    parts = [layers.Conv1D(2, 3), layers.LSTM(3, return_sequences=True), layers.Bidirectional(layers.GRU(2))]
    return keras.Sequential([layers.Input((4, 1)), *parts, layers.LayerNormalization(), layers.Dense(2, "softmax")])


NETWORKS: dict[str, Callable[[], Any]] = {
    "trained": trained,
    "graph": graph,
    "sequences": sequences,
    "nested": lambda: keras.Sequential([layers.Input((4,)), graph(), layers.Dense(2)]),
}


def predicted(network: Any) -> Any:
    return np.asarray(network.predict(X, verbose=0))


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_come_back_equal(store: Store, name: str) -> None:
    network = NETWORKS[name]()
    stored = store(network)
    assert (stored.payload.format, stored.payload.safe) == ("keras", True)
    assert {"keras", keras.backend.backend()} <= set(stored.payload.versions)
    loaded = stored.load()
    assert type(loaded) is type(network) and np.array_equal(predicted(loaded), predicted(network))
    assert store(network).digest == stored.digest, "no dates, no addresses"
    assert np.array_equal(predicted(keras.saving.load_model(stored.file)), predicted(network))


def test_training_goes_on(store: Store) -> None:
    """The optimizer, its state and the metrics are there."""
    network = trained()
    loaded = store(network).load()
    assert int(loaded.optimizer.iterations) == int(network.optimizer.iterations) > 0
    for one, other in zip(loaded.optimizer.variables, network.optimizer.variables, strict=True):
        assert np.array_equal(np.asarray(one), np.asarray(other))


def test_what_is_not_judged_is_signed(store: Store) -> None:
    """A Lambda layer and a class of the program are loaded by their owner, and by no other user without a word."""
    run = layers.Lambda(lambda rows: rows * 2, output_shape=(4,))
    network = keras.Sequential([layers.Input((4,)), run, layers.Dense(1)])
    stored = store(network)
    assert stored.payload.format == "keras" and not stored.payload.safe
    assert np.array_equal(predicted(stored.load()), predicted(network))
    assert refused(stored.file.read_bytes(), "keras") == "untrusted"


@pytest.fixture(scope="module")
def payload(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("payload")
    with warnings.catch_warnings():
        warnings.simplefilter("error", PickleWarning)
        return (folder / serialize(trained(), folder).filename).read_bytes()


def members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(content: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", compression) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return target.getvalue()


def config(change: Callable[[Any], Any]) -> Callable[[bytes], bytes]:
    def changed(data: bytes) -> bytes:
        content = members(data)
        document = json.loads(content["config.json"])
        change(document)
        return zipped({**content, "config.json": json.dumps(document).encode()})

    return changed


def index(change: Callable[[Any], Any]) -> Callable[[bytes], bytes]:
    def changed(data: bytes) -> bytes:
        content = members(data)
        document = json.loads(content["metadata.json"])
        change(document["artfs"])
        return zipped({**content, "metadata.json": json.dumps(document).encode()})

    return changed


def layer(**changes: Any) -> Callable[[bytes], bytes]:
    """Return a change of the first dense layer."""
    return config(lambda document: document["config"]["layers"][1].update(changes))


def dense(**changes: Any) -> Callable[[bytes], bytes]:
    return config(lambda document: document["config"]["layers"][1]["config"].update(changes))


def of_class(place: str | None, name: str, **config_: Any) -> dict[str, Any]:
    return {"module": place, "class_name": name, "config": config_, "registered_name": None}


LAMBDA = {"class_name": "__lambda__", "config": {"value": "4wEAAAAAAAAA"}}
HOSTILE: dict[str, Callable[[bytes], bytes]] = {
    "a lambda layer": layer(**of_class("keras.layers", "Lambda", function=LAMBDA)),
    "a lambda as an activation": dense(activation=LAMBDA),
    "a lambda in a list": dense(extra=[{"a": [LAMBDA]}]),
    "a saved model of another library": layer(**of_class("keras.layers", "TFSMLayer", filepath="/tmp/x")),
    "a pickled module": layer(**of_class("keras.layers", "TorchModuleWrapper", module="x")),
    "a file of words": layer(**of_class("keras.layers", "StringLookup", vocabulary="/etc/passwd")),
    "a function of the system": dense(activation={**of_class("builtins", "function"), "config": "exec"}),
    "a function of a module": dense(activation={**of_class("os", "function"), "config": "system"}),
    "a function of Keras that loads": dense(
        activation={**of_class("keras.saving", "function"), "config": "load_model"}
    ),
    "a function that fetches": dense(activation={**of_class("keras.utils", "function"), "config": "get_file"}),
    "a class of the system": layer(**of_class("subprocess", "Popen", args=["ls"])),
    "a class of a library's inside": layer(**of_class("keras.src.saving.saving_lib", "DiskIOStore")),
    "a class without a module": layer(**of_class(None, "Dense")),
    "a class of the old form": config(lambda document: document["config"]["layers"][1].pop("module")),
    "a registered class": layer(registered_name="evil>Dense"),
    "another class as a model": config(lambda document: document.update(of_class("keras.utils", "FeatureSpace"))),
    "a type of another library": dense(dtype={"class_name": "__typespec__", "spec_name": "x", "config": []}),
    "a loss of a program": config(
        lambda document: document["compile_config"].update(loss=of_class("__main__", "Evil"))
    ),
    "layers larger than memory": dense(units=1 << 24),
    "layers of their own initializer": dense(units=1 << 23, kernel_initializer="zeros"),
    "layers without an initializer": config(
        lambda document: [
            document["config"]["layers"][1]["config"].update(units=1 << 23),
            document["config"]["layers"][1]["config"].pop("kernel_initializer"),
        ]
    ),
    "layers of other sizes": dense(units=4000),
    "numbers without end": dense(units=1 << 62),
    "a configuration that does not fit": dense(units="many"),
    "no configuration": lambda data: zipped({**members(data), "config.json": b"[]"}),
    "a configuration nested without end": lambda data: zipped({**members(data), "config.json": b"[" * 10**6}),
    "a key twice": lambda data: zipped(
        {**members(data), "config.json": members(data)["config.json"].replace(b'"trainable"', b'"name"', 1)}
    ),
    "an array outside of the file": index(lambda found: found["arrays"][0].__setitem__(3, 1 << 40)),
    "an array of a negative place": index(lambda found: found["arrays"][0].__setitem__(3, -8)),
    "an array larger than the file": index(lambda found: found["arrays"][0].__setitem__(2, [1 << 50])),
    "arrays that repeat the file": index(lambda found: found["arrays"].extend(found["arrays"] * 1000)),
    "an array of objects": index(lambda found: found["arrays"][0].__setitem__(1, "|O8")),
    "a path that leads out": index(lambda found: found["arrays"][0].__setitem__(0, "../../evil")),
    "an absolute path": index(lambda found: found["groups"][0].__setitem__(0, "/layers")),
    "attributes that are no texts": index(lambda found: found["groups"][0].__setitem__(1, {"a": [1]})),
    "no index": lambda data: zipped({**members(data), "metadata.json": b"{}"}),
    "a member that leads out": lambda data: zipped({**members(data), "../evil": b"x"}),
    "files of layers": lambda data: zipped({**members(data), "assets/layers/x": b"x"}),
    "an array file of objects": lambda data: zipped({**members(data), "model.weights.npz": b"x"}),
    "compressed members": lambda data: zipped(members(data), zipfile.ZIP_DEFLATED),
    "no weights": lambda data: zipped({name: each for name, each in members(data).items() if "weights" not in name}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_networks_are_refused(payload: bytes, name: str) -> None:
    assert refused(HOSTILE[name](payload), "keras") in ("malformed_payload", "untrusted")


def test_the_stored_weights_are_not_read_by_their_library(payload: bytes) -> None:
    """All that HDF5's library would parse is overwritten: the bytes at the places of the index are enough."""
    content = members(payload)
    weights = bytearray(len(content["model.weights.h5"]))
    for _, dtype, shape, offset, _ in json.loads(content["metadata.json"])["artfs"]["arrays"]:
        size = int(np.prod(shape, dtype=int)) * int(dtype[2:])
        weights[offset : offset + size] = content["model.weights.h5"][offset : offset + size]
    loaded = deserialize(io.BytesIO(zipped({**content, "model.weights.h5": bytes(weights)})), "keras")
    sound = deserialize(io.BytesIO(payload), "keras")
    assert np.array_equal(predicted(loaded), predicted(sound))


def test_what_no_format_has_is_refused(payload: bytes, canary: Path) -> None:
    for name, data in of_any_format(payload, canary):
        if name != "a pickle after it":  # a zip file may have bytes after it; they are not read
            refused(data, "keras")
    assert not canary.exists()


def test_flipped_bits_are_refused_or_harmless(payload: bytes) -> None:
    for data in flips(payload, 40):
        try:
            deserialize(io.BytesIO(data), "keras")
        except ArtfsError:
            continue
