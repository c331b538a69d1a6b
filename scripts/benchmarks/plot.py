"""The results as one picture: for each kind of reading, the speed of every side compared with the plain folder.

Reads from memory are not in it: beside a warm plain folder they are all slow, and peers are their measure.
"""

from __future__ import annotations

import math
from html import escape

from benchmarks.goals import GOALS
from benchmarks.regimes import Regime
from benchmarks.results import Line, Results, Shown

LEFT, WIDTH, TOP, ROW = 330, 560, 80, 22
LEAST, MOST = 0.01, 4.0
COLOURS = ("#d62728", "#ff9896", "#1f77b4", "#17becf", "#2ca02c", "#8c8c8c", "#9467bd", "#8c564b", "#e377c2", "#bcbd22")


def x_of(ratio: float) -> float:
    """Return the position of a ratio on the logarithmic axis."""
    share = math.log(min(max(ratio, LEAST), MOST) / LEAST) / math.log(MOST / LEAST)
    return LEFT + share * WIDTH


def text(x: float, y: float, words: str, anchor: str = "start") -> str:
    """Return words."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def plot(results: Results) -> str:
    """Return an SVG: a line for each work, a dot for each side; a bar for artfs's interval, a tick for its goal."""
    ratios = [(key, line) for key, line in results if line.shown is Shown.RATIO and "plain" in line.values]
    lines = [(key, line) for key, line in ratios if key.state != Regime.MEMORY.state]
    sides = list(dict.fromkeys(side for _, line in lines for side in line.values if side != "plain"))
    sides.sort(key=lambda side: not side.startswith("artfs"))
    colours = {side: COLOURS[index % len(COLOURS)] for index, side in enumerate(sides)}
    limits = {goal.key: goal.limit for goal in GOALS if goal.over == ("plain",)}
    height = TOP + ROW * len(lines) + 30
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 30}" height="{height}" '
        'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>',
        text(LEFT, 16, "speed beside the plain folder in the same minute (1 = as fast; logarithmic)"),
        *legend(colours),
    ]
    for tick in (0.01, 0.03, 0.1, 0.3, 1, 3):
        ends = f'x1="{x_of(tick):.1f}" x2="{x_of(tick):.1f}" y1="{TOP - 8}" y2="{height - 26}"'
        parts.append(f'<line {ends} stroke="{"#444" if tick == 1 else "#ddd"}"/>')
        parts.append(text(x_of(tick), height - 10, f"{tick:g}", "middle"))
    for index, (key, line) in enumerate(lines):
        y = TOP + ROW * index + ROW / 2
        parts.append(text(LEFT - 10, y + 4, line.title, "end"))
        if key in limits:
            x = x_of(limits[key])
            parts.append(f'<path d="M{x:.1f} {y - 8} v16" stroke="black" stroke-width="2"/>')
        parts += dots(line, y, colours)
    return "\n".join([*parts, "</svg>"]) + "\n"


def legend(colours: dict[str, str]) -> list[str]:
    """Return the legend: the sides' names in their colours, in as many rows as needed, and the meaning of the tick."""
    parts, x, y = [text(LEFT - 10, 36, "black tick: goal; bar: 95 % interval", "end")], float(LEFT), 32
    for side, colour in colours.items():
        if x > LEFT + WIDTH - 80:
            x, y = float(LEFT), y + 18
        parts.append(f'<circle cx="{x + 5:.1f}" cy="{y}" r="5" fill="{colour}"/>')
        parts.append(text(x + 14, y + 4, side))
        x += 30 + 6.6 * len(side)
    return parts


def dots(line: Line, y: float, colours: dict[str, str]) -> list[str]:
    """Return the sides of one line, artfs last so that it is drawn on top."""
    parts = []
    for side in sorted(line.values, key=lambda side: side == "artfs"):
        ratio = line.ratio(side, "plain")
        if side == "plain" or ratio is None:
            continue
        colour = colours[side]
        if side == "artfs":
            ends = f'x1="{x_of(ratio.low):.1f}" x2="{x_of(ratio.high):.1f}" y1="{y}" y2="{y}"'
            parts.append(f'<line {ends} stroke="{colour}" stroke-width="5" stroke-opacity="0.4"/>')
        radius = 6 if side == "artfs" else 4
        parts.append(f'<circle cx="{x_of(ratio.median):.1f}" cy="{y}" r="{radius}" fill="{colour}"/>')
    return parts
