"""Configurations of pipelines as JSON that reads back equal: tags mark the types that JSON lacks.

    {"$tuple": [0, 1]}                  a tuple; likewise "$set" and "$frozenset"
    {"$dict": [[key, value], ...]}      a dictionary with keys that are no text, or a text that begins with "$"
    {"$float": "nan"}                   nan, inf and -inf
    {"$range": [1, 10, 2]}              a range
    {"$array": {"dtype": "<f8", "shape": [2], "values": [0.5, 1.0]}}    an array of NumPy

All else is plain JSON.  NumPy's scalars and members of enumerations that equal a number or text are written as that.
Dictionaries keep their order.  Reading makes plain values only: it imports nothing that a configuration names.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final

from artfs.registry.errors import RecordError
from artfs.registry.serializers.libraries import present, require
from artstore.arguments import shown_value
from artstore.errors import InvalidInputError

__all__ = ["LONGEST", "canonical_text", "configuration_text", "decoded", "encoded", "read_configuration"]

LONGEST: Final = 16 << 20
"""Bytes of a configuration's text."""
_DEEPEST: Final = 100
_MOST: Final = 500_000
_BITS: Final = 13_000
"""Of a whole number; Python refuses to read numbers of more than 4,300 digits."""
_DTYPE: Final = re.compile(r"[<>|][biuf][1248]", re.ASCII)
_SETS: Final = {set: "$set", frozenset: "$frozenset"}

Way = tuple[object, ...]
"""The keys and indexes that lead to a value."""


def encoded(configuration: object) -> Any:
    """Return a configuration as JSON values; raise `InvalidInputError` naming the first value that cannot be kept."""
    return _Encoder().value(configuration, ())


def configuration_text(values: object) -> str:
    """Return the text of encoded values, in the order of their dictionaries; raise `InvalidInputError` if too long."""
    text = json.dumps(values, ensure_ascii=False, allow_nan=False, indent=2)
    if not _is_unicode(text):
        text = json.dumps(values, allow_nan=False, indent=2)
    if len(text.encode()) > LONGEST:
        raise InvalidInputError(f"the configuration takes more than {LONGEST >> 20} MiB as text")
    return text + "\n"


def canonical_text(values: object) -> str:
    """Return one text for encoded values that are equal, whatever the order of their dictionaries."""
    return json.dumps(_sorted(values), sort_keys=True)


def read_configuration(text: str | bytes, what: str) -> Any:
    """Return the configuration in a text; raise `RecordError` naming ``what`` if it is none."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{what} is no configuration: it is not JSON") from error
    return decoded(values, what)


def decoded(values: object, what: str) -> Any:
    """Return the configuration that encoded values mean; raise `RecordError` naming ``what`` for malformed tags."""
    return _Decoder(what).value(values, 0)


# -- writing -----------------------------------------------------------------------------------------------------------


class _Encoder:
    """Writes one configuration; counts its values, because one object may stand in many places."""

    def __init__(self) -> None:
        self._count = 0

    def value(self, value: Any, way: Way) -> Any:
        self._count += 1
        if self._count > _MOST:
            raise InvalidInputError(f"the configuration has more than {_MOST:,} values")
        if len(way) > _DEEPEST:
            raise InvalidInputError(f"the configuration is nested more than {_DEEPEST} levels deep")
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return str.__str__(value)
        if isinstance(value, int):
            return _whole(int.__int__(value), way)
        if isinstance(value, float):
            return _real(float.__float__(value))
        if isinstance(value, Mapping):
            return self._dictionary(value, way)
        if isinstance(value, list):
            return [self.value(each, (*way, index)) for index, each in enumerate(value)]
        if isinstance(value, tuple):
            return {"$tuple": [self.value(each, (*way, index)) for index, each in enumerate(value)]}
        if isinstance(value, range):
            return {"$range": [_whole(each, way) for each in (value.start, value.stop, value.step)]}
        for kind, tag in _SETS.items():
            if isinstance(value, kind):
                return {tag: sorted((self.value(each, (*way, "...")) for each in value), key=canonical_text)}
        return self._of_numpy(value, way)

    def _dictionary(self, value: Mapping[Any, Any], way: Way) -> dict[str, Any]:
        if all(isinstance(key, str) and not key.startswith("$") for key in value):
            return {str.__str__(key): self.value(each, (*way, key)) for key, each in value.items()}
        return {"$dict": [[self.value(key, (*way, key)), self.value(each, (*way, key))] for key, each in value.items()]}

    def _of_numpy(self, value: Any, way: Way) -> Any:
        numpy = present("numpy")
        if numpy is not None and (isinstance(value, numpy.generic) or type(value) is numpy.ndarray):
            dtype = value.dtype.str
            if _DTYPE.fullmatch(dtype):
                if isinstance(value, numpy.generic):
                    return self.value(value.item(), way)
                values = self.value(value.tolist(), way)
                return {"$array": {"dtype": dtype, "shape": list(value.shape), "values": values}}
        raise InvalidInputError(_refusal(value, way), hint=_remedy(value))


def _whole(value: int, way: Way) -> int:
    if value.bit_length() > _BITS:
        raise InvalidInputError(f"{_shown_way(way)} of the configuration is a number of too many digits")
    return value


def _real(value: float) -> Any:
    return value if math.isfinite(value) else {"$float": repr(value)}


def _shown_way(way: Way) -> str:
    """Return where a value is, such as ``steps[0].params``; a short text whatever the keys are."""
    written = ""
    for part in way:
        written += f"[{part}]" if isinstance(part, int) else f".{part}" if isinstance(part, str) else "[...]"
    written = written.removeprefix(".")
    written = written if len(written) <= 80 else f"...{written[-77:]}"
    return repr(written) if written else "the value"


def _name_of(value: Any) -> str:
    """Return the name of a class or function, or of an object's class, as it is imported."""
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{getattr(named, '__module__', '')}.{named.__qualname__}"


def _refusal(value: Any, way: Way) -> str:
    kind = "a class" if isinstance(value, type) else "a function" if hasattr(value, "__qualname__") else "an object"
    return f"{_shown_way(way)} of the configuration is {kind}, {_name_of(value)[:100]}: it cannot be read back equal"


def _remedy(value: Any) -> str:
    name = _name_of(value)[:100]
    if hasattr(value, "__qualname__"):
        return f'write its name as text: "{name}"'
    if callable(getattr(value, "get_params", None)):
        return f'write {{"class": "{name}", "params": {{...}}}}, or register the object'
    return "write it as numbers, texts, lists, tuples, dictionaries or arrays of numbers"


def _sorted(values: Any) -> Any:
    if isinstance(values, list):
        return [_sorted(each) for each in values]
    if not isinstance(values, dict):
        return values
    if list(values) == ["$dict"]:
        return {"$dict": sorted(_sorted(values["$dict"]), key=lambda pair: json.dumps(pair, sort_keys=True))}
    return {key: _sorted(each) for key, each in values.items()}


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True


# -- reading -----------------------------------------------------------------------------------------------------------


class _Decoder:
    """Reads one configuration; an object with one key that is no tag is a dictionary."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._tags = {
            "$tuple": self._tuple,
            "$set": self._set,
            "$frozenset": self._frozenset,
            "$dict": self._dictionary,
            "$float": self._float,
            "$range": self._range,
            "$array": self._array,
        }

    def value(self, value: Any, depth: int) -> Any:
        if depth > 2 * _DEEPEST:
            raise RecordError(f"{self._what} is no configuration: it is nested too deeply")
        if isinstance(value, list):
            return [self.value(each, depth + 1) for each in value]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((tag, inner),) = value.items()
            if isinstance(tag, str) and tag in self._tags:
                try:
                    return self._tags[tag](inner, depth + 1)
                except (TypeError, ValueError, KeyError, OverflowError) as error:
                    if isinstance(error, InvalidInputError):
                        raise
                    raise RecordError(
                        f"{self._what} is no configuration: {shown_value(inner)} is no value of {tag}"
                    ) from error
        return {key: self.value(each, depth + 1) for key, each in value.items()}

    def _list(self, inner: Any, depth: int) -> list[Any]:
        if not isinstance(inner, list):
            raise TypeError
        return [self.value(each, depth) for each in inner]

    def _tuple(self, inner: Any, depth: int) -> tuple[Any, ...]:
        return tuple(self._list(inner, depth))

    def _set(self, inner: Any, depth: int) -> set[Any]:
        return set(self._list(inner, depth))

    def _frozenset(self, inner: Any, depth: int) -> frozenset[Any]:
        return frozenset(self._list(inner, depth))

    def _dictionary(self, inner: Any, depth: int) -> dict[Any, Any]:
        return {key: value for key, value in self._list(inner, depth)}  # noqa: C416  # dict() takes texts of two letters

    def _float(self, inner: Any, depth: int) -> float:
        if inner not in ("nan", "inf", "-inf"):
            raise ValueError
        return float(inner)

    def _range(self, inner: Any, depth: int) -> range:
        start, stop, step = self._list(inner, depth)
        return range(start, stop, step)

    def _array(self, inner: Any, depth: int) -> Any:
        if not _DTYPE.fullmatch(inner["dtype"]):
            raise ValueError
        values, shape = self.value(inner["values"], depth), tuple(inner["shape"])
        numpy = require("numpy", self._what)
        array = numpy.array(values, dtype=inner["dtype"])
        return array if array.shape == shape else array.reshape(shape)
