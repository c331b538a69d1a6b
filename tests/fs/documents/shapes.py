"""Whether decoded JSON has the shape of its document: the keys, their order, and the types of their values."""

from __future__ import annotations

import re
import types
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any, Union, get_args, get_origin, get_type_hints

from artfs.documents.encoding import Record
from artfs.documents.registry import documents

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def check(document: Any) -> None:
    """Assert that a whole document has a known schema, and the shape of that schema's class."""
    assert next(iter(document)) == "schema", f"not a document: {list(document)}"
    kind = documents()[document["schema"]]
    check_object({key: value for key, value in document.items() if key != "schema"}, kind)


def check_object(found: Any, kind: type[Record]) -> None:
    hints = get_type_hints(kind)
    known = {item.name.removesuffix("_"): item for item in fields(kind)}  # type: ignore[arg-type]
    assert isinstance(found, dict)
    assert list(found) == [key for key in known if key in found], f"{kind.__name__} has the keys {list(found)}"
    missing = [key for key, item in known.items() if key not in found and not item.metadata.get("omittable")]
    assert not missing, f"{kind.__name__} lacks {missing}"
    for key, value in found.items():
        assert fits(value, hints[known[key].name]), f"{kind.__name__}.{key} is {value!r}"


def fits(value: Any, hint: Any) -> bool:
    """Whether a decoded value is one of a type; an object that is none of its record raises AssertionError."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin in (Union, types.UnionType):
        return any(_fits_one_of(value, each) for each in arguments)
    if origin is Sequence:
        return isinstance(value, list) and all(fits(each, arguments[0]) for each in value)
    if origin is Mapping:
        return isinstance(value, dict) and all(fits(each, arguments[1]) for each in value.values())
    if hint is datetime:
        return isinstance(value, str) and TIME.fullmatch(value) is not None
    if isinstance(hint, type) and issubclass(hint, Record):
        check_object(value, hint)
        return True
    if hint is float:
        return type(value) in (int, float)
    return type(value) is hint


def _fits_one_of(value: Any, hint: Any) -> bool:
    try:
        return fits(value, hint)
    except AssertionError:
        return False
