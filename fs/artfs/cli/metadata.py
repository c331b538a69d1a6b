"""Options that describe a new version, and the values of ``--meta``."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import click

from artstore.arguments import shown_text
from artstore.errors import InvalidInputError
from artstore.metadata import typed_value

__all__ = ["loads_metadata", "parse_metadata", "version_options"]

_OPTIONS = (
    click.option(
        "--type",
        "type_",
        metavar="TYPE",
        help="The artifact's type, such as dataset or model; fixed once set [default: none].",
    ),
    click.option(
        "-a", "--alias", "aliases", multiple=True, metavar="ALIAS", help="Point this alias at the version; repeatable."
    ),
    click.option("--description", metavar="TEXT", help="The description of the version."),
    click.option(
        "--meta",
        multiple=True,
        metavar="JSON|K=V|K:=JSON",
        help="Metadata: KEY=VALUE, KEY:=JSON, or a JSON object; repeatable, later ones win.",
    ),
    click.option("--ttl", metavar="TIME", help="Expire the version after this time, such as 30d, or at a date."),
    click.option("--new", is_flag=True, help="Create a version even if nothing has changed."),
)


def version_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that describe the new version: ``type_ aliases description meta ttl new``."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def parse_metadata(items: Sequence[str], option: str = "--meta ") -> dict[str, object] | None:
    """Return the metadata of all items, later ones overriding earlier ones; None if there are no items.

    An item that starts with ``{`` is a JSON object.  Any other is KEY=VALUE, where VALUE is text unless it is a number
    that prints back as it was typed (`typed_value`), or KEY:=JSON, which gives the value a type (``tags:=["a"]``,
    ``release:="3"``).  Messages name the item after ``option``.  Raises InvalidInputError for anything else, and for
    numbers that JSON does not have (NaN, infinities).
    """
    if not items:
        return None
    metadata: dict[str, object] = {}
    for item in items:
        reader = _object if item.lstrip().startswith("{") else _pair
        metadata.update(reader(item, option))
    return metadata


def _object(item: str, option: str) -> dict[str, object]:
    try:
        parsed = loads_metadata(item, f"{option}{shown_text(item)}")
    except json.JSONDecodeError as error:
        raise InvalidInputError(f"{option}{shown_text(item)} is not a JSON object: {error}") from None
    assert isinstance(parsed, dict)  # valid JSON that starts with a brace
    return parsed


def _pair(item: str, option: str) -> dict[str, object]:
    name = f"{option}{shown_text(item)}"
    key, separator, value = item.partition("=")
    is_json = key.endswith(":")
    key = key.removesuffix(":")
    if not key or not separator:
        raise InvalidInputError(f"{name} is none of KEY=VALUE, KEY:=JSON and a JSON object")
    if not is_json:
        _check_text([key, value], name)
        return {key: typed_value(value)}
    try:
        parsed = loads_metadata(value, name)
    except json.JSONDecodeError as error:
        raise InvalidInputError(
            f"{name} has no JSON after ':=': {error}", hint=f"for text: {option}{key}=TEXT"
        ) from None
    _check_text([key, parsed], name)
    return {key: parsed}


def loads_metadata(text: str, name: str) -> object:
    """Return the value of JSON in an argument ``name``; raise InvalidInputError for numbers that JSON does not have."""

    def refuse(constant: str) -> NoReturn:
        raise InvalidInputError(f"{name} contains {constant}, which is not valid JSON")

    def number(digits: str) -> float:
        value = float(digits)
        return value if math.isfinite(value) else refuse(digits)

    try:
        parsed: object = json.loads(text, parse_constant=refuse, parse_float=number)
    except RecursionError:
        raise InvalidInputError(f"{name} is nested too deeply") from None
    except (json.JSONDecodeError, InvalidInputError):
        raise
    except ValueError:  # an integer of thousands of digits
        raise InvalidInputError(f"{name} contains a number that is too long") from None
    _check_text(parsed, name)
    return parsed


def _check_text(value: object, name: str) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidInputError(f"{name} is not UTF-8 text") from None
