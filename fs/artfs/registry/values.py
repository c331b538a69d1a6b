"""What users pass as parameters and metrics becomes JSON: the same value, the same text, in every process."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, Final

from artstore.arguments import shown_value
from artstore.errors import InvalidInputError

__all__ = ["json_object"]

_DEEPEST: Final = 20


def json_object(values: object, what: str) -> dict[str, Any]:
    """Return a mapping as JSON values; None is an empty one.

    Numbers and arrays of NumPy become numbers and lists, tuples lists, paths text; a number that JSON lacks becomes its
    text, and any other object the name of its class.  Raises `InvalidInputError` for what is no mapping, and for keys
    that are not text.
    """
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise InvalidInputError(f"{what} must be a dictionary of names to values, not {shown_value(values)}")
    plain = _plain(values, what, 0)
    assert isinstance(plain, dict)
    return plain


def _plain(value: Any, what: str, depth: int) -> Any:
    if depth > _DEEPEST:
        raise InvalidInputError(f"{what} are nested more than {_DEEPEST} levels deep")
    if value is None or isinstance(value, bool | str):
        return str(value) if isinstance(value, str) else value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else repr(float(value))
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise InvalidInputError(f"the names in {what} must be text")
        return {str(key): _plain(each, what, depth + 1) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each, what, depth + 1) for each in value]
    if isinstance(value, set | frozenset):
        return sorted((_plain(each, what, depth + 1) for each in value), key=repr)
    if isinstance(value, PurePath):
        return str(value)
    if callable(getattr(value, "tolist", None)):  # NumPy's scalars and arrays
        return _plain(value.tolist(), what, depth + 1)
    kind = value if isinstance(value, type) else getattr(value, "__qualname__", None) and value
    named = kind if kind is not None else type(value)
    return f"{getattr(named, '__module__', '')}.{getattr(named, '__qualname__', type(value).__qualname__)}"
