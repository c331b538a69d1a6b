"""Line charts: several series of numbers over steps or time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple
from xml.sax.saxutils import escape

from artfs.drawing.scales import Scale, finite, number, scale
from artfs.drawing.svg import COLOURS, drawing, element, fitted, plain, text_of

__all__ = ["Series", "line_chart"]

_WIDTH: Final = 960.0
_LEFT: Final = 90.0
_TOP: Final = 10.0
_PLOT: Final = 260.0
_ROW: Final = 20.0
_COLUMNS: Final = 3
_MOST: Final = 40
"""How many series are drawn."""
_DASHES: Final = (None, "6 3", "2 3", "8 3 2 3")
"""Series of one colour differ in their dashes."""

Points = list[tuple[float, float]]


class Series(NamedTuple):
    """A name, and points in the order in which a line joins them; a point without a finite number is a gap."""

    name: str
    points: Sequence[tuple[float, float | None]]


def line_chart(series: Sequence[Series], *, title: str, horizontal: str = "step", logarithmic: bool = False) -> str:
    """Return the lines of up to 40 series, with a legend that has the last number of each.

    Gaps stay gaps.  On a logarithmic scale, numbers that are not positive are gaps too.  Of the points that fall on
    one column of pixels, the first, the least, the greatest and the last are drawn.
    """
    shown = [(each, list(_stretches(each.points, logarithmic))) for each in series[:_MOST]]
    points = [point for _, stretches in shown for stretch in stretches for point in stretch]
    across = scale([x for x, _ in points])
    upward = scale([y for _, y in points], logarithmic=logarithmic)
    if across is None or upward is None:
        return ""
    pieces = [_axes(across, upward, horizontal)]
    for index, (each, stretches) in enumerate(shown):
        placed = [_reduced([_place(point, across, upward) for point in stretch]) for stretch in stretches]
        last = number(stretches[-1][-1][1]) if stretches else "no numbers"
        pieces.append(_line(index, each.name, placed) + _legend(index, each.name, last))
    rows = -(-len(shown) // _COLUMNS)
    bottom = _TOP + _PLOT + 40 + rows * _ROW
    if len(series) > _MOST:
        pieces.append(text_of(f"and {len(series) - _MOST} more", x=_LEFT, y=bottom + 13))
        bottom += _ROW
    names = ", ".join(each.name for each in series[:10])
    about = f"{len(series)} series over {horizontal}: {names}"
    return drawing("".join(pieces), width=_WIDTH, height=bottom, title=title, description=about)


def _stretches(points: Sequence[tuple[float, float | None]], logarithmic: bool) -> Iterator[Points]:
    """Yield the points between gaps."""
    stretch: Points = []
    for given_x, given_y in points:
        x, y = finite(given_x), finite(given_y)
        if x is None or y is None or (logarithmic and y <= 0):
            if stretch:
                yield stretch
            stretch = []
        else:
            stretch.append((x, y))
    if stretch:
        yield stretch


def _place(point: tuple[float, float], across: Scale, upward: Scale) -> tuple[float, float]:
    x, y = across.at(point[0]) or 0.0, upward.at(point[1]) or 0.0
    return _LEFT + x * (_WIDTH - _LEFT - 10), _TOP + _PLOT * (1 - y)


def _reduced(points: Points) -> Points:
    """Return the points that make a difference in the picture: at most four for each run in one column of pixels."""
    kept: Points = []
    start = 0
    for end in range(1, len(points) + 1):
        if end < len(points) and int(points[end][0]) == int(points[start][0]):
            continue
        column = range(start, end)
        ends = {start, end - 1, min(column, key=lambda at: points[at][1]), max(column, key=lambda at: points[at][1])}
        kept += [points[at] for at in sorted(ends)]
        start = end
    return kept


def _line(index: int, name: str, stretches: list[Points]) -> str:
    colour = index % COLOURS + 1
    content = element("title", escape(plain(name)))
    for stretch in stretches:
        if len(stretch) == 1:
            content += element("circle", cx=stretch[0][0], cy=stretch[0][1], r=2.5, class_=f"c{colour}")
        else:
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in stretch)
            content += element("polyline", points=path, stroke_dasharray=_dashes(index), class_=f"l{colour}")
    return element("g", content)


def _dashes(index: int) -> str | None:
    return _DASHES[index // COLOURS % len(_DASHES)]


def _legend(index: int, name: str, last: str) -> str:
    width = (_WIDTH - _LEFT) / _COLUMNS
    x, y = _LEFT + index % _COLUMNS * width, _TOP + _PLOT + 40 + index // _COLUMNS * _ROW
    sample = element(
        "line", x1=x, y1=y + 9, x2=x + 24, y2=y + 9, stroke_width=2, stroke_dasharray=_dashes(index),
        class_=f"l{index % COLOURS + 1}",
    )  # fmt: skip
    return sample + text_of(f"{fitted(name, width - 60 - 8 * len(last))} {last}", x=x + 30, y=y + 13)


def _axes(across: Scale, upward: Scale, horizontal: str) -> str:
    pieces = []
    bottom = _TOP + _PLOT
    for tick in upward.ticks():
        y = bottom - _PLOT * (upward.at(tick) or 0.0)
        pieces.append(element("line", x1=_LEFT, y1=y, x2=_WIDTH, y2=y, class_="axis"))
        pieces.append(text_of(number(tick), x=_LEFT - 6, y=y + 4, text_anchor="end"))
    for tick in across.ticks():
        x = _LEFT + (_WIDTH - _LEFT - 10) * (across.at(tick) or 0.0)
        pieces.append(text_of(number(tick), x=x, y=bottom + 16, text_anchor="middle"))
    pieces.append(text_of(horizontal, x=(_LEFT + _WIDTH) / 2, y=bottom + 32, text_anchor="middle", class_="faint"))
    return "".join(pieces)
