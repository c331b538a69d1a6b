"""Bars: one that is divided into amounts, and histograms of two states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple
from xml.sax.saxutils import escape

from artfs.drawing.scales import number
from artfs.drawing.svg import COLOURS, drawing, element, fitted, plain, text_of
from artfs.legible import size

__all__ = ["Bin", "Part", "histogram", "stacked_bar"]

_WIDTH: Final = 960.0
_BAR: Final = 36.0
_ROW: Final = 20.0
_COLUMNS: Final = 3
_PLOT: Final = 200.0
_LEFT: Final = 70.0


class Part(NamedTuple):
    """A part of a bar: its name, its bytes, and where it leads."""

    name: str
    amount: int
    target: str | None = None


def stacked_bar(parts: Sequence[Part], *, title: str) -> str:
    """Return one bar of parts of more than 0 bytes in their order, with a legend of names and amounts below it.

    The lengths are the amounts exactly; a part too small to be seen is still in the legend.
    """
    shown = [part for part in parts if part.amount > 0]
    total = sum(part.amount for part in shown)
    if not total:
        return ""
    pieces, before = [], 0
    for index, part in enumerate(shown):
        start, end = _WIDTH * (before / total), _WIDTH * ((before + part.amount) / total)
        before += part.amount
        label = f"{plain(part.name)}, {size(part.amount)}, {part.amount / total:.1%}"
        bar = element("rect", x=start, y=0, width=end - start, height=_BAR, class_=f"area c{index % COLOURS + 1}")
        content = element("title", escape(label)) + bar
        pieces.append(element("g", content) if part.target is None else element("a", content, href=part.target))
        pieces.append(_legend(index, label))
    rows = -(-len(shown) // _COLUMNS)
    return drawing(
        "".join(pieces),
        width=_WIDTH,
        height=_BAR + 8 + rows * _ROW,
        title=title,
        description=", ".join(f"{part.name} {size(part.amount)}" for part in shown[:10]),
        has_links=any(part.target is not None for part in shown),
    )


def _legend(index: int, label: str) -> str:
    width = _WIDTH / _COLUMNS
    x, y = index % _COLUMNS * width, _BAR + 8 + index // _COLUMNS * _ROW
    swatch = element("rect", x=x, y=y + 3, width=12, height=12, class_=f"c{index % COLOURS + 1}")
    return swatch + text_of(fitted(label, width - 24), x=x + 18, y=y + 13)


class Bin(NamedTuple):
    """How many values lie from ``low`` to ``high``, before and after."""

    low: float
    high: float
    before: int
    after: int


def histogram(bins: Sequence[Bin], *, title: str) -> str:
    """Return a histogram with two bars for each bin, before on the left and after on the right.

    Heights are the counts; the most frequent bin has the height of the chart.
    """
    most = max((max(each.before, each.after) for each in bins), default=0)
    if most <= 0:
        return ""
    width = (_WIDTH - _LEFT) / len(bins)
    pieces = [_legend_pair(), text_of(str(most), x=_LEFT - 6, y=_ROW + 12, text_anchor="end")]
    for index, each in enumerate(bins):
        x = _LEFT + index * width
        label = f"{number(each.low)} to {number(each.high)}: {each.before} before, {each.after} after"
        bars = "".join(
            element(
                "rect",
                x=x + side * width / 2,
                y=_ROW + _PLOT * (1 - count / most),
                width=max(width / 2 - 1, 0.5),
                height=_PLOT * (count / most),
                class_=f"c{side + 1}",
            )
            for side, count in enumerate((each.before, each.after))
        )
        pieces.append(element("g", element("title", escape(label)) + bars))
    bottom = _ROW + _PLOT
    pieces.append(element("line", x1=_LEFT, y1=bottom, x2=_WIDTH, y2=bottom, class_="axis"))
    pieces.append(text_of(number(bins[0].low), x=_LEFT, y=bottom + 16))
    pieces.append(text_of(number(bins[-1].high), x=_WIDTH, y=bottom + 16, text_anchor="end"))
    counts = f"{sum(each.before for each in bins)} values before, {sum(each.after for each in bins)} after"
    return drawing("".join(pieces), width=_WIDTH, height=bottom + 24, title=title, description=counts)


def _legend_pair() -> str:
    return "".join(
        element("rect", x=_LEFT + side * 90, y=1, width=12, height=12, class_=f"c{side + 1}")
        + text_of(name, x=_LEFT + side * 90 + 18, y=11)
        for side, name in enumerate(("before", "after"))
    )
