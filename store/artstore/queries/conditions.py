"""Conditions on the metadata of versions: how they are written, what satisfies them, and where the index has that."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

from artstore.arguments import shown_text, shown_value, text, texts
from artstore.errors import InvalidInputError
from artstore.metadata import decimal_of, same_value, typed_value
from artstore.records.catalogue import VersionRecord
from artstore.records.terms import (
    METADATA,
    ORIGIN,
    Kind,
    beginning,
    bounds,
    encode_value,
    kind_prefix,
    path_prefix,
    value_kind,
)

__all__ = ["Condition", "Span", "conditions_of", "joint_spans", "parse_condition", "values_at"]

_WRITTEN: Final = re.compile(
    r"(?P<path>[^=<>!:^\s].*?)\s*(?P<operator>>=|<=|!=|\^=|:=|=|>|<)(?P<operand>.*)", re.DOTALL
)
_COMPARISONS: Final = (">=", "<=", ">", "<")
_AFTER_ALL: Final = b"\xff"

Span = tuple[bytes, bytes]
"""Two keys of the index: rows from the first on, and before the second."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A comparison of the value at a path with an operand; the operator is one of ``= != > >= < <= ^= exists``.

    ``^=`` means that a text begins with the operand.  ``space`` is `METADATA` or `ORIGIN`.  A path is the keys of
    nested objects, joined by ``.``.  A list satisfies a condition if one of its elements does.
    """

    path: str
    operator: str
    operand: Any = None
    space: bytes = METADATA

    def selects(self, record: VersionRecord) -> bool:
        """Return whether a version satisfies the condition."""
        return self.holds(record.metadata if self.space == METADATA else record.origin)

    def holds(self, metadata: Mapping[str, Any]) -> bool:
        """Return whether metadata satisfy the condition."""
        values = list(values_at(metadata, self.path))
        if self.operator == "exists":
            return bool(values)
        if self.operator == "!=":
            return bool(values) and not any(same_value(value, self.operand) for value in values)
        return any(self._compares(value) for value in values)

    def _compares(self, value: object) -> bool:
        if self.operator == "=":
            return same_value(value, self.operand)
        if self.operator == "^=":
            return isinstance(value, str) and value.startswith(self.operand)
        if not self._is_comparable(value):
            return False
        left: Any = decimal_of(value)
        right: Any = decimal_of(self.operand)
        if right is None:
            left, right = value, self.operand
        if self.operator[0] == ">":
            return bool(left > right or (left == right and len(self.operator) > 1))
        return bool(left < right or (left == right and len(self.operator) > 1))

    def _is_comparable(self, value: object) -> bool:
        return value_kind(value) == value_kind(self.operand)

    @property
    def is_comparison(self) -> bool:
        """Whether values of another kind than the operand's are left out."""
        return self.operator in _COMPARISONS

    def left_out(self, record: VersionRecord) -> int:
        """Return how many values at the path cannot be compared with the operand; a list counts by its elements."""
        source = record.metadata if self.space == METADATA else record.origin
        values = [value for value in values_at(source, self.path) if value_kind(value) != Kind.LIST]
        return sum(not self._is_comparable(value) for value in values) if self.is_comparison else 0

    def spans(self) -> list[Span]:
        """Return the parts of the index in which every indexed version that satisfies the condition has a row."""
        everything = path_prefix(self.space, self.path)
        if self.operator in ("exists", "!="):
            return [(everything, everything + _AFTER_ALL)]
        if self.operator == "=":
            return self._equal_spans()
        if self.operator == "^=":
            return self._beginning_spans()
        kind = kind_prefix(self.space, self.path, value_kind(self.operand))
        low, high = bounds(self.operand)
        return [(kind + low, kind + _AFTER_ALL) if self.operator[0] == ">" else (kind, kind + high)]

    def other_spans(self) -> list[Span]:
        """Return the parts of the index that have the values which a comparison leaves out."""
        everything = path_prefix(self.space, self.path)
        kind = kind_prefix(self.space, self.path, value_kind(self.operand))
        lists = everything + Kind.LIST
        return [(everything, kind), (kind + _AFTER_ALL, lists)]

    def _beginning_spans(self) -> list[Span]:
        low = beginning(self.operand)
        texts = kind_prefix(self.space, self.path, Kind.TEXT)
        numbers = kind_prefix(self.space, self.path, Kind.NUMBER)  # a text that writes a number is one
        return [(texts + low, texts + low + _AFTER_ALL), (numbers, numbers + _AFTER_ALL)]

    def _equal_spans(self) -> list[Span]:
        operand = self.operand
        if isinstance(operand, str) and decimal_of(operand) is None:
            operands = [operand]
            with suppress(ValueError, RecursionError):
                operands.append(json.loads(operand))  # text is the same as the value that it writes
            keys = [self._key(each) for each in operands]
            return [(key, key + _AFTER_ALL) for key in keys if key is not None]
        key = self._key(operand)
        spans = [] if key is None else [(key, key + _AFTER_ALL)]
        if value_kind(operand) != Kind.NUMBER:  # a text may write the operand in several ways
            texts = kind_prefix(self.space, self.path, Kind.TEXT)
            spans.append((texts, texts + _AFTER_ALL))
        return spans

    def _key(self, operand: object) -> bytes | None:
        form = encode_value(operand)
        return None if form is None else path_prefix(self.space, self.path) + form


def parse_condition(written: str) -> Condition:
    """Return the condition that a text writes, such as ``acc>0.9``, ``commit^=4f2a`` or ``acc`` (it has a value).

    The operand of ``:=`` is JSON, that of ``^=`` text, and of the others text or a number as `typed_value` reads it.
    Raises `InvalidInputError` for a text without a path, and for a comparison with neither a number nor text.
    """
    match = _WRITTEN.fullmatch(text(written, "a condition"))
    if match is None:
        if not written.strip() or written.strip()[0] in "=<>!:^":
            raise InvalidInputError(
                f"{shown_text(written)} is not a condition", hint="write one such as acc>0.9, stage=final or acc"
            )
        return Condition(written.strip(), "exists")
    path, operator, operand = match["path"].rstrip(), match["operator"], match["operand"].strip()
    if operator == ":=":
        try:
            return Condition(path, "=", json.loads(operand))
        except (ValueError, RecursionError):
            raise InvalidInputError(
                f"{shown_text(written)} has no JSON after ':='", hint=f"for text: {path}=TEXT"
            ) from None
    if operator in _COMPARISONS and not operand:
        raise InvalidInputError(f"{shown_text(written)} has nothing after {operator!r}", hint="write a number or text")
    return Condition(path, operator, operand if operator == "^=" else typed_value(operand))


def joint_spans(conditions: Sequence[Condition]) -> list[list[Span]]:
    """Return the spans of conditions; those of comparisons with one path are joined, as in ``a>1`` and ``a<2``.

    A list may satisfy two comparisons by two of its elements, so the lists at the path belong to the joined spans.
    """
    spans: list[list[Span]] = []
    ranges: dict[tuple[bytes, str, bytes], Span] = {}
    counts: Counter[tuple[bytes, str, bytes]] = Counter()
    for condition in conditions:
        if not condition.is_comparison:
            spans.append(condition.spans())
            continue
        place = condition.space, condition.path, value_kind(condition.operand)
        [(low, high)] = condition.spans()
        before = ranges.get(place, (low, high))
        ranges[place] = max(before[0], low), min(before[1], high)
        counts[place] += 1
    for (space, path, kind), span in ranges.items():
        lists = kind_prefix(space, path, Kind.LIST)
        spans.append([span, (lists, lists + _AFTER_ALL)] if counts[space, path, kind] > 1 else [span])
    return spans


def conditions_of(
    metadata: Mapping[str, Any] | None, where: Sequence[str] | str = (), origin: Sequence[str] | str = ()
) -> list[Condition]:
    """Return the conditions that values by key, and comparisons as text, stand for; raise `InvalidInputError`."""
    if metadata is not None and not isinstance(metadata, Mapping):
        raise InvalidInputError(f"metadata must be a dictionary of names to values, not {shown_value(metadata)}")
    equal = [Condition(text(key, "each key of metadata"), "=", value) for key, value in (metadata or {}).items()]
    made = [replace(parse_condition(each), space=ORIGIN) for each in texts(origin, "origin")]
    return [*equal, *map(parse_condition, texts(where, "where")), *made]


def values_at(metadata: Mapping[str, Any], path: str) -> Iterator[object]:
    """Yield the values at a path, and the elements of a list there that are scalars."""
    for key, value in metadata.items():
        if key == path:
            yield value
            if isinstance(value, list):
                yield from (element for element in value if not isinstance(element, list | Mapping))
        elif isinstance(value, Mapping) and path.startswith(f"{key}."):
            yield from values_at(value, path[len(key) + 1 :])
