"""Attributes of objects as JSON that gives back equal values of equal types, and nothing that runs.

Values that JSON lacks are objects with one key: ``{"tuple": [...]}``, ``{"dict": [[key, value], ...]}``,
``{"float": "nan"}``, ``{"number": [dtype, value]}`` for a number or text of NumPy, and
``{"array": [dtype, shape, values]}``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final

from artfs.registry.serializers.errors import UnserializableError
from artfs.registry.serializers.libraries import present, require
from artfs.registry.serializers.plain import is_unicode

__all__ = ["decoded", "encoded", "read_json", "written_json"]

_DEEPEST: Final = 50
_WIDEST: Final = 4096
_DTYPE: Final = re.compile(r"[<>|=]?(?:b1|[iuf](?:1|2|4|8)|U\d{1,7}|O)\Z")
_WHAT: Final = "an array"


def written_json(value: Any) -> str:
    """Return a value as one line of ASCII; raise `UnserializableError` for what it cannot give back."""
    return json.dumps(encoded(value), ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def read_json(text: str) -> Any:
    """Return the JSON in a text, in which no object has a key twice; raise ValueError for any other text."""
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def encoded(value: Any, depth: int = 0) -> Any:
    """Return a value as JSON; raise `UnserializableError`, which names the type, for what has no form there."""
    kind = type(value)
    if depth > _DEEPEST:
        raise UnserializableError("its attributes are nested too deeply")
    if value is None or kind is bool or (kind is int and value.bit_length() < 1024):
        return value
    if kind is str and is_unicode(value):
        return value
    if kind is float:
        return value if math.isfinite(value) else {"float": str(value)}
    if kind is list:
        return [encoded(each, depth + 1) for each in value]
    if kind is tuple:
        return {"tuple": [encoded(each, depth + 1) for each in value]}
    if isinstance(value, dict) and kind.__module__ in ("builtins", "collections"):
        return {"dict": [[encoded(key, depth + 1), encoded(each, depth + 1)] for key, each in value.items()]}
    numpy = present("numpy")
    if numpy is not None and isinstance(value, numpy.generic) and _DTYPE.match(value.dtype.str):
        return {"number": [value.dtype.str, encoded(value.item(), depth + 1)]}
    if numpy is not None and kind is numpy.ndarray and _DTYPE.match(value.dtype.str):
        values = [encoded(each, depth + 1) for each in value.ravel().tolist()]
        return {"array": [value.dtype.str, list(value.shape), values]}
    raise UnserializableError(f"it has an attribute of type {kind.__module__}.{kind.__qualname__}")


def decoded(value: Any, depth: int = 0) -> Any:
    """Return the value of `encoded`; raise ValueError for JSON that it does not write."""
    if depth > 2 * _DEEPEST:
        raise ValueError("nested too deeply")
    if isinstance(value, list):
        return [decoded(each, depth + 1) for each in value]
    if not isinstance(value, dict):
        return value
    if len(value) != 1:
        raise ValueError("a value of no known kind")
    ((kind, content),) = value.items()
    if kind == "float" and content in ("nan", "inf", "-inf"):
        return float(content)
    if kind == "tuple" and isinstance(content, list):
        return tuple(decoded(each, depth + 1) for each in content)
    if kind == "dict" and isinstance(content, list):
        return _mapping(content, depth)
    if kind == "number":
        dtype, number = content
        return _array(dtype, [], [number], depth)[()]
    if kind == "array":
        dtype, shape, values = content
        return _array(dtype, shape, values, depth)
    raise ValueError("a value of no known kind")


def _mapping(content: list[Any], depth: int) -> Mapping[Any, Any]:
    pairs = [(decoded(key, depth + 1), decoded(each, depth + 1)) for key, each in content]
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _array(dtype: Any, shape: Any, values: Any, depth: int) -> Any:
    if not isinstance(dtype, str) or not _DTYPE.match(dtype) or not isinstance(values, list):
        raise ValueError("an array of no known kind")
    if not all(type(each) is int and each >= 0 for each in shape) or math.prod(shape) != len(values):
        raise ValueError("an array whose shape does not fit its values")
    numpy = require("numpy", _WHAT)
    kind = numpy.dtype(dtype)
    elements = [decoded(each, depth + 1) for each in values]
    if any(isinstance(each, list | tuple | dict | numpy.ndarray) for each in elements):
        raise ValueError("an array of containers")
    if kind.kind == "U" and kind.itemsize // 4 > max([_WIDEST, *(len(str(each)) for each in elements)]):
        raise ValueError("an array of texts wider than its texts")
    flat = numpy.empty(len(elements), dtype=kind)
    for place, each in enumerate(elements):
        flat[place] = each
    return flat.reshape(shape)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")
