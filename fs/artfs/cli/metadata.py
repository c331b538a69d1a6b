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

__all__ = ["parse_metadata", "version_options"]

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
    click.option("--ttl", metavar="TIME", help="Expire the version after this time, such as 30d."),
    click.option("--new", is_flag=True, help="Create a version even if nothing has changed."),
)


def version_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that describe the new version: ``type_ aliases description meta ttl new``."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def parse_metadata(items: Sequence[str]) -> dict[str, object] | None:
    """Return the metadata of all items, later ones overriding earlier ones; None if there are no items.

    An item that starts with ``{`` is a JSON object.  Any other is KEY=VALUE, where VALUE is text unless it is a number
    that prints back as it was typed (`typed_value`), or KEY:=JSON, which gives the value a type (``tags:=["a"]``,
    ``release:="3"``).  Raises InvalidInputError for anything else, and for numbers that JSON does not have (NaN,
    infinities).
    """
    if not items:
        return None
    metadata: dict[str, object] = {}
    for item in items:
        metadata.update(_object(item) if item.lstrip().startswith("{") else _pair(item))
    return metadata


def _object(item: str) -> dict[str, object]:
    try:
        parsed = _loads(item, item)
    except json.JSONDecodeError as error:
        raise InvalidInputError(f"--meta {shown_text(item)} is not a JSON object: {error}") from None
    assert isinstance(parsed, dict)  # valid JSON that starts with a brace
    return parsed


def _pair(item: str) -> dict[str, object]:
    key, separator, value = item.partition("=")
    is_json = key.endswith(":")
    key = key.removesuffix(":")
    if not key or not separator:
        raise InvalidInputError(f"--meta {shown_text(item)} is none of KEY=VALUE, KEY:=JSON and a JSON object")
    if not is_json:
        _check_text([key, value], item)
        return {key: typed_value(value)}
    try:
        parsed = _loads(value, item)
    except json.JSONDecodeError as error:
        raise InvalidInputError(
            f"--meta {shown_text(item)} has no JSON after ':=': {error}", hint=f"for text: --meta {key}=TEXT"
        ) from None
    _check_text([key, parsed], item)
    return {key: parsed}


def _loads(text: str, item: str) -> object:
    def refuse(constant: str) -> NoReturn:
        raise InvalidInputError(f"--meta {shown_text(item)} contains {constant}, which is not valid JSON")

    def number(digits: str) -> float:
        value = float(digits)
        return value if math.isfinite(value) else refuse(digits)

    try:
        parsed: object = json.loads(text, parse_constant=refuse, parse_float=number)
    except RecursionError:
        raise InvalidInputError("--meta is nested too deeply") from None
    except (json.JSONDecodeError, InvalidInputError):
        raise
    except ValueError:  # an integer of thousands of digits
        raise InvalidInputError("--meta contains a number that is too long") from None
    _check_text(parsed, item)
    return parsed


def _check_text(value: object, item: str) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidInputError(f"--meta {shown_text(item)} is not UTF-8 text") from None
