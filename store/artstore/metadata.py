"""Values of metadata: reading one that was typed, and comparing two.

What is typed is text, and stays text unless it is a number whose only spelling it is: ``2.10`` is a release and not the
number 2.1, ``4e10`` may be the beginning of a commit's hash.  So a number may be kept as a number or as text, and
comparisons read both.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from decimal import Decimal

__all__ = ["RESERVED", "decimal_of", "equal_metadata", "given", "plain", "reserved", "same_value", "typed_value"]

RESERVED: Final = "artfs."
"""How the keys begin that only artfs writes."""

_DECIMAL: Final = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_LONGEST: Final = 4000
"""Characters of a number: Python's own limit for integers is slightly above."""


def typed_value(value: str) -> str | int | float:
    """Return the value that a typed text means: a number if it prints back exactly as it was typed, else the text.

    ``3``, ``-0.5``, ``0.9`` and ``1e-05`` are numbers; ``2.10``, ``007``, ``+1``, ``4e10``, ``1_000``, ``NaN``,
    ``true`` and ``[1]`` are text.
    """
    if len(value) > _LONGEST or _DECIMAL.fullmatch(value) is None:
        return value
    number: int | float
    try:
        number = int(value)  # which may be larger than any float
    except ValueError:
        number = float(value)
        if not math.isfinite(number):
            return value
    return number if repr(number) == value else value


def decimal_of(value: object) -> Decimal | None:
    """Return the number that a value is or that a text writes, exactly; None if it is neither."""
    from decimal import Decimal, InvalidOperation

    if isinstance(value, bool):
        return None
    if isinstance(value, int):  # which may be larger than any float
        return Decimal(value)
    if isinstance(value, float):
        return Decimal(repr(value)) if math.isfinite(value) else None
    if not isinstance(value, str) or len(value) > _LONGEST or _DECIMAL.fullmatch(value) is None:
        return None
    try:
        return Decimal(value)
    except InvalidOperation:  # an exponent beyond 10**18
        return None


def same_value(one: object, other: object) -> bool:
    """Return whether two JSON values are the same one, of which either may have been typed as text.

    Two texts are compared as they are.  A text is the same as a value of another type that it writes: ``0.90`` as the
    number 0.9, ``true`` as the value true, ``[1]`` as the list.  Values of two other types differ, so 1 is not true.
    """
    if isinstance(one, str) == isinstance(other, str):
        return _canonical(one) == _canonical(other)
    text, value = (one, other) if isinstance(one, str) else (other, one)
    assert isinstance(text, str)
    number = decimal_of(value)
    if number is not None:
        return decimal_of(text) == number
    try:
        return _canonical(json.loads(text)) == _canonical(value)
    except (ValueError, RecursionError):
        return False


def equal_metadata(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether two records of metadata are equal as JSON: the order of keys does not count, types do."""
    return _canonical(one) == _canonical(other)


def _canonical(value: object) -> str:
    """Return JSON in which true is not 1; a number is written in one way, so that 1.0 is 1."""
    return json.dumps(plain(value), sort_keys=True)


def reserved(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of metadata that artfs itself wrote."""
    return {key: value for key, value in metadata.items() if key.startswith(RESERVED)}


def given(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of metadata that users gave."""
    return {key: value for key, value in metadata.items() if not key.startswith(RESERVED)}


def plain(value: object) -> object:
    """Return a JSON value in which a whole number is an integer, so that equal numbers are written in one way."""
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
