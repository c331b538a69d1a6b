"""Which serialisers there are, and which is asked first.

Those of the user come first, the last registered one before the others; then those of installed packages, which the
entry point group ``artfs.serializers`` names; then ours in a fixed order.  A format is found by name without importing
the libraries of others.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import threading
from collections.abc import Iterator
from typing import Any, Final

from artfs.registry.serializers.errors import UnknownFormatError
from artfs.registry.serializers.protocol import Serializer
from artstore.errors import ExistsError, InvalidInputError

__all__ = ["CORE", "ENTRY_POINTS", "LIBRARIES", "candidates", "find", "names", "register_serializer"]

ENTRY_POINTS: Final = "artfs.serializers"
_PACKAGE: Final = "artfs.registry.serializers"
_OURS: Final = {
    "json": f"{_PACKAGE}.plain:JsonSerializer",
    "npy": f"{_PACKAGE}.arrays:NpySerializer",
    "safetensors": f"{_PACKAGE}.tensors:SafetensorsSerializer",
    "lightgbm": f"{_PACKAGE}.boosters.lightgbm_models:LightgbmSerializer",
    "xgboost": f"{_PACKAGE}.boosters.xgboost_models:XgboostSerializer",
    "catboost": f"{_PACKAGE}.boosters.catboost_models:CatboostSerializer",
    "keras": f"{_PACKAGE}.networks.keras_models:KerasSerializer",
    "onnx": f"{_PACKAGE}.networks.onnx_models:OnnxSerializer",
    "skops": f"{_PACKAGE}.estimators.serializer:SkopsSerializer",
    "cloudpickle": f"{_PACKAGE}.pickles:PickleSerializer",
}
"""In the order in which they are asked."""
CORE: Final = frozenset({"json", "npy", "safetensors", "skops", "cloudpickle"})
"""The formats of any values; the others are of one kind of object each, also where it is a part of an estimator."""
LIBRARIES: Final = frozenset(_OURS) - CORE
"""The formats of one library each, which has the format's name."""
_HINTS: Final = {"joblib": "cloudpickle", "pickle": "cloudpickle", "sklearn": "skops", "numpy": "npy"}
"""Names of formats elsewhere, for what a caller asks for."""
_lock: Final = threading.Lock()
_registered: dict[str, Serializer] = {}
_loaded: dict[str, Serializer] = {}


def register_serializer(serializer: Serializer) -> None:
    """Ask *serializer* before all others in this process.

    Raises `artstore.errors.InvalidInputError` if it lacks a part of the protocol, `ExistsError` if its format has one.
    """
    _check(serializer)
    with _lock:
        if serializer.name in _OURS or _registered.get(serializer.name, serializer) is not serializer:
            raise ExistsError(
                f"the format {serializer.name!r} has a serialiser already", hint="give the serialiser another name"
            )
        _registered[serializer.name] = serializer


def names() -> list[str]:
    """Return the names of all formats in the order in which their serialisers are asked."""
    return [*reversed(_registered), *(point.name for point in _points()), *_OURS]


def find(name: str) -> Serializer:
    """Return the serialiser of a format; raise `UnknownFormatError` if there is none."""
    known = _registered.get(name) or _loaded.get(name)
    if known is not None:
        return known
    if name in _HINTS and name not in names():
        return find(_HINTS[name])
    if name in _OURS:
        module, _, attribute = _OURS[name].partition(":")
        made: Any = getattr(importlib.import_module(module), attribute)()
    else:
        point = next((point for point in _points() if point.name == name), None)
        if point is None:
            raise UnknownFormatError(
                f"no serialiser has the format {name!r}", hint="register one with register_serializer()"
            )
        made = point.load()
        made = made() if isinstance(made, type) else made
        _check(made)
    with _lock:
        return _loaded.setdefault(name, made)


def candidates() -> Iterator[Serializer]:
    """Yield the serialisers in the order in which they are asked."""
    for name in names():
        yield find(name)


@functools.cache
def _points() -> list[importlib.metadata.EntryPoint]:
    """Return the entry points of installed packages, for which every package's metadata are read once a process."""
    return [point for point in importlib.metadata.entry_points(group=ENTRY_POINTS) if point.name not in _OURS]


def _check(serializer: Any) -> None:
    for attribute, kind in (("name", str), ("extension", str), ("safe", bool)):
        if not isinstance(getattr(serializer, attribute, None), kind):
            raise InvalidInputError(f"a serialiser needs {attribute!r}, a {kind.__name__}: {serializer!r}")
    for method in ("accepts", "dump", "load", "versions"):
        if not callable(getattr(serializer, method, None)):
            raise InvalidInputError(f"a serialiser needs the method {method!r}: {serializer!r}")
    for text in (serializer.name, serializer.extension):
        if not text.isascii() or not text.replace("_", "").replace("-", "").isalnum():
            raise InvalidInputError(f"the name and the extension of a serialiser are letters and digits, not {text!r}")
