"""YAML from anywhere: plain values, and not more of them than a bound.

The safe loader makes no objects of Python, but a short text can still mean very many values: aliases repeat a value
within itself, and ``<<`` merges dictionaries that were merged.  Both are counted here as they expand, so whatever walks
the values afterwards ends soon.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from artfs.registry.errors import RecordError
from artfs.registry.serializers.libraries import require

__all__ = ["parsed_yaml"]


def parsed_yaml(content: str | bytes, most: int) -> Any:
    """Return the values of a YAML document; raise `RecordError` if it is none, or has more than ``most`` values.

    A value counts wherever an alias repeats it.  Raises `MissingLibraryError` if PyYAML is not installed.
    """
    yaml = require("yaml", "a YAML file")

    class Loader(yaml.SafeLoader):  # type: ignore[name-defined,misc]
        """The safe loader, with bounded merges."""

        merged = 0

        def flatten_mapping(self, node: Any) -> None:
            super().flatten_mapping(node)
            self.merged += len(node.value)
            if self.merged > most:
                raise _too_many(most)

    try:
        values = yaml.load(content, Loader)
    except yaml.YAMLError as error:
        raise RecordError(f"it is not YAML of plain values: {_problem(error)}") from error
    except RecordError:
        raise
    except (AttributeError, TypeError, KeyError, ValueError, OverflowError, RecursionError) as error:
        # The parser's own: keys without a hash, impossible dates, too many digits, too many levels.
        raise RecordError("it is not YAML of plain values") from error
    _require_bounded(values, most)
    return values


def _problem(error: Any) -> str:
    """Return what PyYAML says, on one line and with the line in the file."""
    problem = " ".join(str(getattr(error, "problem", None) or "it cannot be read").split())
    mark = getattr(error, "problem_mark", None)
    return problem[:80] if mark is None else f"{problem[:80]}, in line {mark.line + 1}"


def _require_bounded(values: Any, most: int) -> None:
    count, waiting = 0, [values]
    while waiting:
        value = waiting.pop()
        count += 1
        if isinstance(value, Mapping):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
        if count + len(waiting) > most:
            raise _too_many(most)


def _too_many(most: int) -> RecordError:
    return RecordError(f"its aliases make more than {most:,} values")
