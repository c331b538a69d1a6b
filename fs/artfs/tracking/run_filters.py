"""Selecting and ordering runs, in the form of wandb's queries.

A filter is a mapping of fields to values, or to operators: ``{"config.lr": 0.1, "summary_metrics.loss": {"$lt": 1}}``.
Fields are ``config.NAME``, ``summary_metrics.NAME``, ``state``, ``name``, ``display_name``, ``group``, ``job_type``,
``tags`` and ``created_at``; operators are ``$eq $ne $gt $gte $lt $lte $in $nin $exists $regex``, and between filters
``$and $or $not``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from artfs.tracking.recorded_run import RecordedRun
from artstore.arguments import shown_value, text
from artstore.errors import InvalidInputError

__all__ = ["ordered", "selected"]

_MISSING: Final = object()
_FIELDS: Final[Mapping[str, Callable[[RecordedRun], Any]]] = {
    "state": lambda run: run.state,
    "name": lambda run: run.id,
    "id": lambda run: run.id,
    "display_name": lambda run: run.name,
    "displayName": lambda run: run.name,
    "group": lambda run: run.group,
    "job_type": lambda run: run.job_type,
    "jobType": lambda run: run.job_type,
    "tags": lambda run: list(run.tags),
    "created_at": lambda run: run.created_at,
    "createdAt": lambda run: run.created_at,
}
_OPERATORS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "$eq": lambda value, other: _equal(value, other),
    "$ne": lambda value, other: not _equal(value, other),
    "$gt": lambda value, other: value is not _MISSING and value > other,
    "$gte": lambda value, other: value is not _MISSING and value >= other,
    "$lt": lambda value, other: value is not _MISSING and value < other,
    "$lte": lambda value, other: value is not _MISSING and value <= other,
    "$in": lambda value, other: any(_equal(value, each) for each in other),
    "$nin": lambda value, other: not any(_equal(value, each) for each in other),
    "$exists": lambda value, other: (value is not _MISSING) == bool(other),
    "$regex": lambda value, other: isinstance(value, str) and re.search(other, value) is not None,
}


def selected(runs: Iterable[RecordedRun], filters: Mapping[str, Any] | None) -> list[RecordedRun]:
    """Return the runs that a filter matches; raise `InvalidInputError` for a field or operator that is not known."""
    if filters is not None and not isinstance(filters, Mapping):
        raise InvalidInputError(f"a filter of runs must be a mapping, not {shown_value(filters)}")
    return [run for run in runs if _matches(run, filters or {})]


def ordered(runs: list[RecordedRun], order: str) -> list[RecordedRun]:
    """Return runs, oldest first, in an order: a field with ``+`` before it for ascending, ``-`` for descending.

    Runs without the field come last.
    """
    field = text(order, "the order").lstrip("+-")
    descending = order.startswith("-")
    if field in ("created_at", "createdAt"):
        return runs[::-1] if descending else runs
    with_value = [(value, run) for run in runs if (value := _value(run, field)) is not _MISSING]
    without = [run for run in runs if _value(run, field) is _MISSING]
    try:
        return [run for _, run in sorted(with_value, key=lambda pair: pair[0], reverse=descending)] + without
    except TypeError as error:
        raise InvalidInputError(f"runs cannot be ordered by {field!r}: its values are of different types") from error


def _matches(run: RecordedRun, filters: Mapping[str, Any]) -> bool:
    for field, condition in filters.items():
        if field == "$and":
            matches = all(_matches(run, each) for each in condition)
        elif field == "$or":
            matches = any(_matches(run, each) for each in condition)
        elif field == "$not":
            matches = not _matches(run, condition)
        else:
            matches = _satisfies(_value(run, field), condition)
        if not matches:
            return False
    return True


def _satisfies(value: Any, condition: Any) -> bool:
    if not (isinstance(condition, Mapping) and condition and all(str(key).startswith("$") for key in condition)):
        return _equal(value, condition)
    for operator, other in condition.items():
        if operator not in _OPERATORS:
            raise InvalidInputError(f"a filter of runs has no operator {operator!r}: {' '.join(_OPERATORS)}")
        try:
            if not _OPERATORS[operator](value, other):
                return False
        except TypeError:
            return False  # a text is neither less nor greater than a number
    return True


def _equal(value: Any, other: Any) -> bool:
    return bool(value == other or (isinstance(value, list) and other in value))


def _value(run: RecordedRun, field: str) -> Any:
    """Return a field of a run; raise `InvalidInputError` if there is no such field."""
    if not isinstance(field, str):
        raise InvalidInputError(f"a field of runs must be text, not {shown_value(field)}")
    for prefix, values in (("config.", run.rawconfig), ("summary_metrics.", run.summary_metrics)):
        if field.startswith(prefix):
            found: Any = values
            for part in field.removeprefix(prefix).removesuffix(".value").split("."):
                found = found.get(part, _MISSING) if isinstance(found, Mapping) else _MISSING
            return found
    if field not in _FIELDS:
        known = "config.NAME, summary_metrics.NAME, " + ", ".join(sorted(_FIELDS))
        raise InvalidInputError(f"runs have no field {field!r}: {known}")
    return _FIELDS[field](run)
