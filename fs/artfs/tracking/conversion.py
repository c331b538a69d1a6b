"""What programs pass as config, metrics, summary and metadata, as JSON: the one place where it is converted.

A training must not end because of a value, so every value has a form: where wandb has one, the same.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time
from enum import Enum
from typing import Any, Final

from artstore.arguments import shown_value
from artstore.errors import InvalidInputError
from artstore.queries.versions import Version

__all__ = ["config_values", "json_value", "json_values", "metric_values"]

_DEEPEST: Final = 100
_LONGEST: Final = 1 << 20
"""Elements beyond which a range is described."""
_MOST_BITS: Final = 8192
"""Bits beyond which Python refuses to write a whole number as decimal digits."""

Replace = Callable[[object], object]
"""What is called with each value before it is converted; it returns that value, or another one."""


def json_values(values: Any, what: str = "metadata", *, replace: Replace | None = None) -> dict[str, Any]:
    """Return a mapping with the values converted, NaN as None; raise `InvalidInputError` if it is no mapping."""
    if not isinstance(values, Mapping):
        raise InvalidInputError(f"{what} must be a dictionary of names to values, not {shown_value(values)}")
    converted = _Converter(None, replace).value(values)
    assert isinstance(converted, dict)
    return converted


def metric_values(values: Any) -> dict[str, Any]:
    """Return what a run logs, converted, with NaN and infinities as the words NaN, Infinity and -Infinity."""
    if not isinstance(values, Mapping):
        raise InvalidInputError(f"run.log takes a dictionary of names to values, not {shown_value(values)}")
    converted = _Converter("NaN", None).value(values)
    assert isinstance(converted, dict)
    return converted


def json_value(value: Any) -> Any:
    """Return one value, converted, NaN as None."""
    return _Converter(None, None).value(value)


def config_values(value: Any) -> dict[str, Any]:
    """Return a run's configuration as a dictionary; it is a mapping, or an object with attributes (argparse)."""
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return dict(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    if hasattr(value, "__dict__") and not callable(value):
        return dict(vars(value))
    raise InvalidInputError(f"the config of a run is a dictionary, not {shown_value(value)}")


class _Converter:
    """One conversion; ``nan`` stands for what is not a number."""

    def __init__(self, nan: str | None, replace: Replace | None) -> None:
        self._nan = nan
        self._replace = replace
        self._above: list[int] = []

    def value(self, value: Any) -> Any:
        """Return the JSON form of a value; text for one that contains itself, or is nested too deeply."""
        if self._replace is not None:
            value = self._replace(value)
        if value is None or type(value) in (str, bool):
            return value
        if id(value) in self._above or len(self._above) >= _DEEPEST:
            return "..."
        self._above.append(id(value))
        try:
            return self._converted(value)
        except Exception:  # a value whose own methods fail must not end a training
            return _text(value)
        finally:
            self._above.pop()

    def _converted(self, value: Any) -> Any:
        if isinstance(value, Enum):
            return value.name
        if isinstance(value, str):
            return str.__str__(value)
        if isinstance(value, int):
            return int(value) if value.bit_length() <= _MOST_BITS else hex(value)
        if isinstance(value, float):
            return self._number(float(value))
        if isinstance(value, bytes | bytearray | memoryview):
            return bytes(value).decode("utf-8", "backslashreplace")
        if isinstance(value, datetime | date | time):
            return value.isoformat() if value == value else None  # pandas.NaT differs from itself
        if isinstance(value, Mapping):
            return {_key(key): self.value(each) for key, each in value.items()}
        name = value.name if isinstance(value, Version) else getattr(value, "qualified_name", None)  # of an artifact
        if isinstance(name, str):
            return name
        if isinstance(value, os.PathLike):
            return os.fsdecode(value)
        if is_dataclass(value) and not isinstance(value, type):
            return {field.name: self.value(getattr(value, field.name)) for field in fields(value)}
        if isinstance(value, range) and len(value) > _LONGEST:
            return str(value)
        if isinstance(value, Set):
            return self._set(value)
        if isinstance(value, Sequence | Collection) and not hasattr(value, "tolist") and not hasattr(value, "columns"):
            return [self.value(each) for each in value]
        return self._foreign(value)

    def _number(self, value: float) -> float | str | None:
        if math.isfinite(value):
            return value
        return self._nan if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"

    def _set(self, value: Iterable[Any]) -> list[Any]:
        """Return the elements in an order that does not depend on the process."""
        elements = [self.value(each) for each in value]
        return sorted(elements, key=lambda each: (type(each).__name__, each if isinstance(each, str) else repr(each)))

    def _foreign(self, value: Any) -> Any:
        """Return numpy's, torch's and pandas' values as numbers and lists, without importing them; else text."""
        if getattr(getattr(value, "dtype", None), "kind", "") in tuple("mM"):  # times, as numbers only in their unit
            return [self.value(each) for each in value] if getattr(value, "ndim", 0) else _time(value)
        for name in ("tolist", "item"):
            method = getattr(value, name, None)
            if callable(method) and not isinstance(value, type):
                result = method()
                return _text(value) if type(result) is type(value) else self.value(result)
        if type(value).__name__ == "NAType":
            return None
        return _text(value)


def _time(value: Any) -> str | None:
    written = str(value)
    return None if written == "NaT" else written


def _key(key: Any) -> str:
    """Return a key as text; numbers of numpy as those of Python."""
    if isinstance(key, Enum):
        return key.name
    if isinstance(key, bytes):
        return key.decode("utf-8", "backslashreplace")
    item = getattr(key, "item", None)
    try:
        return str(item()) if callable(item) else str(key)
    except Exception:  # as above
        return _text(key)


def _text(value: Any) -> str:
    """Return a value as text: the name of a class or function, what ``str`` gives, or the type without an address."""
    kind: Any = type(value)
    if callable(value) and hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    if kind.__str__ is object.__str__ and kind.__repr__ is object.__repr__:
        return f"<{kind.__module__}.{kind.__qualname__}>"
    try:
        return str(value)
    except Exception:  # as above
        return f"<{kind.__module__}.{kind.__qualname__}>"
