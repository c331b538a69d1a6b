"""Write the tables of docs/json.md from the classes of the documents: `python scripts/pages/document_tables.py`."""

from __future__ import annotations

import re
import types
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

from artfs.documents.encoding import Document, Record
from artfs.documents.registry import documents

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "json.md"
MARK: Final = "<!-- The rest is written by scripts/pages/document_tables.py. -->\n"
_WORDS: Final = {
    str: "text",
    int: "integer",
    float: "number",
    bool: "boolean",
    datetime: "time",
    type(None): "null",
    Any: "any value",
}


def tables() -> str:
    """Return the section of each document, and then of each object inside documents, in alphabetical order."""
    inside: dict[str, type[Record]] = {}
    parts = ["\n## Documents\n"]
    for schema, kind in documents().items():
        parts.append(_section(f"`{schema}`", kind))
        _collect(kind, inside)
    parts.append("\n## Objects in documents\n")
    parts += [_section(_title(kind), kind) for _, kind in sorted(inside.items())]
    return "".join(parts)


def _section(title: str, kind: type[Record]) -> str:
    hints = get_type_hints(kind)
    about = re.sub(r"\s+", " ", (kind.__doc__ or "").replace("``", "`")).strip()
    lines = [f"\n### {title}\n\n{about}\n\n| key | value |\n|---|---|\n"]
    for item in fields(kind):  # type: ignore[arg-type]  # every record is a dataclass
        optional = bool(item.metadata.get("omittable"))
        value = _named(hints[item.name], optional=optional)
        lines.append(f"| `{item.name.removesuffix('_')}` | {value}{', or left out' if optional else ''} |\n")
    return "".join(lines)


def _named(hint: Any, *, optional: bool = False) -> str:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        words = [_named(each) for each in arguments if not (optional and each is type(None))]
        return " or ".join(words)
    if origin is Sequence:
        return f"list of {_named(arguments[0])}"
    if origin is Mapping:
        return "object" if arguments[1] is Any else f"object of {_named(arguments[1])}"
    if isinstance(hint, type) and issubclass(hint, Record):
        return f"[{_title(hint)}](#{_title(hint).replace(' ', '-')})"
    return _WORDS[hint]


def _title(kind: type[Record]) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", " ", kind.__name__.removesuffix("Item")).lower()


def _collect(kind: type[Record], inside: dict[str, type[Record]]) -> None:
    for hint in get_type_hints(kind).values():
        for each in _records(hint):
            if each.__name__ not in inside:
                inside[each.__name__] = each
                _collect(each, inside)


def _records(hint: Any) -> list[type[Record]]:
    if isinstance(hint, type) and issubclass(hint, Record) and not issubclass(hint, Document):
        return [hint]
    return [record for argument in get_args(hint) for record in _records(argument)]


if __name__ == "__main__":
    text = PAGE.read_text()
    PAGE.write_text(text[: text.index(MARK) + len(MARK)] + tables())
