"""Treemaps: rectangles whose areas are amounts, by the squarified algorithm (Bruls, Huizing, van Wijk, 2000)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple
from xml.sax.saxutils import escape

import squarify

from artfs.drawing.svg import COLOURS, LETTER, drawing, element, fitted, plain, text_of
from artfs.legible import size

__all__ = ["Area", "treemap"]

_WIDTH: Final = 960.0
_HEIGHT: Final = 320.0


class Area(NamedTuple):
    """A rectangle: its name, its bytes, and where it leads."""

    name: str
    amount: int
    target: str | None = None


def treemap(areas: Sequence[Area], *, title: str) -> str:
    """Return a treemap of areas of more than 0 bytes, largest first; each has its name and amount as a title."""
    ordered = sorted((area for area in areas if area.amount > 0), key=lambda area: (-area.amount, area.name))
    if not ordered:
        return ""
    sizes = squarify.normalize_sizes([area.amount for area in ordered], _WIDTH, _HEIGHT)
    places = squarify.squarify(sizes, 0, 0, _WIDTH, _HEIGHT)
    pieces = [_piece(area, place, number) for number, (area, place) in enumerate(zip(ordered, places, strict=True))]
    listed = ", ".join(f"{area.name} {size(area.amount)}" for area in ordered[:10])
    return drawing(
        "".join(pieces),
        width=_WIDTH,
        height=_HEIGHT,
        title=title,
        description=listed,
        has_links=any(area.target is not None for area in ordered),
    )


def _piece(area: Area, place: dict[str, float], number: int) -> str:
    x, y, width, height = place["x"], place["y"], place["dx"], place["dy"]
    label = f"{plain(area.name)}, {size(area.amount)}"
    content = element("title", escape(label))
    content += element(
        "rect", x=x, y=y, width=max(width - 1, 0.5), height=max(height - 1, 0.5), class_=f"area c{number % COLOURS + 1}"
    )
    if height > 18 and width > 4 * LETTER:
        content += text_of(fitted(area.name, width - 8), x=x + 5, y=y + 15)
        if height > 34 and width > 8 * LETTER:
            content += text_of(size(area.amount), x=x + 5, y=y + 31)
    if area.target is None:
        return element("g", content)
    return element("a", content, href=area.target)
