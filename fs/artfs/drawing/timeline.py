"""Time lines: versions as marks on an axis of time, with their aliases."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple
from xml.sax.saxutils import escape

from artfs.drawing.scales import scale
from artfs.drawing.svg import LETTER, drawing, element, fitted, plain, text_of

__all__ = ["Mark", "timeline"]

_WIDTH: Final = 960.0
_EDGE: Final = 20.0
_LANES: Final = 6
_LANE: Final = 18.0
_MOST: Final = 1000
"""How many marks are drawn: those with aliases first, then the latest."""


class Mark(NamedTuple):
    """A moment with a name; aliases are written above it."""

    name: str
    at: datetime
    aliases: Sequence[str] = ()
    deleted: bool = False
    target: str | None = None


def timeline(marks: Sequence[Mark], *, title: str) -> str:
    """Return marks on an axis of time; all times have a time zone, or none has.

    A deleted one is a cross, the others are discs.  Names are written where there is space, those with aliases first;
    each mark has its name, time and aliases as a title.
    """
    if not marks:
        return ""
    kept = sorted(sorted(marks, key=lambda mark: (bool(mark.aliases), mark.at))[-_MOST:], key=lambda mark: mark.at)
    seconds = [mark.at.timestamp() for mark in kept]
    axis = scale(seconds)
    assert axis is not None  # there are marks
    places = [_EDGE + (_WIDTH - 2 * _EDGE) * (axis.at(second) or 0.0) for second in seconds]
    labels = _labels(kept, places)
    line = (max(label.lane for label in labels) + 1) * _LANE + 16
    pieces = [element("line", x1=_EDGE, y1=line, x2=_WIDTH - _EDGE, y2=line, class_="axis", stroke_width=2)]
    pieces += [_disc(mark, x, line) for mark, x in zip(kept, places, strict=True)]
    pieces += [
        text_of(label.text, x=label.middle, y=line - 14 - label.lane * _LANE, text_anchor="middle") for label in labels
    ]
    pieces.append(text_of(_day(kept[0].at), x=_EDGE, y=line + 24, class_="faint"))
    pieces.append(text_of(_day(kept[-1].at), x=_WIDTH - _EDGE, y=line + 24, text_anchor="end", class_="faint"))
    if len(marks) > len(kept):
        more = f"and {len(marks) - len(kept)} more"
        pieces.append(text_of(more, x=_WIDTH / 2, y=line + 24, text_anchor="middle", class_="faint"))
    return drawing(
        "".join(pieces),
        width=_WIDTH,
        height=line + 32,
        title=title,
        description=f"{len(marks)} from {_day(kept[0].at)} to {_day(kept[-1].at)}",
        has_links=any(mark.target is not None for mark in kept),
    )


def _day(at: datetime) -> str:
    return at.isoformat(sep=" ", timespec="minutes")[:16]


def _label(mark: Mark) -> str:
    return plain(" ".join([mark.name, *mark.aliases]))


def _disc(mark: Mark, x: float, line: float) -> str:
    content = element("title", escape(f"{_label(mark)}, {_day(mark.at)}{', deleted' if mark.deleted else ''}"))
    if mark.deleted:
        cross = f"M {x - 4:.1f} {line - 4:.1f} l 8 8 m 0 -8 l -8 8"
        content += element("path", d=cross, fill="none", stroke_width=2, class_="l5")
    else:
        content += element("circle", cx=x, cy=line, r=6 if mark.aliases else 4, class_="c2" if mark.aliases else "c1")
    return element("g", content) if mark.target is None else element("a", content, href=mark.target)


class _Placed(NamedTuple):
    """A label above the axis, in a lane that counts upward from it."""

    text: str
    middle: float
    lane: int


def _labels(marks: Sequence[Mark], places: Sequence[float]) -> list[_Placed]:
    """Return the labels that fit: each in the lowest lane that is free there, those with aliases placed first."""
    taken: list[list[tuple[float, float]]] = [[] for _ in range(_LANES)]
    placed = []
    for index in sorted(range(len(marks)), key=lambda at: (not marks[at].aliases, -at)):
        label = fitted(_label(marks[index]), 240)
        wide = len(label) * LETTER
        start = min(max(places[index] - wide / 2, 0.0), _WIDTH - wide)
        for lane, spans in enumerate(taken):
            if all(start >= end or start + wide <= begin for begin, end in spans):
                spans.append((start, start + wide))
                placed.append(_Placed(label, start + wide / 2, lane))
                break
    return placed
