"""The results as tables: the goals, then a comparison of all sides. On the terminal, and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.goals import Verdict, verdicts
from benchmarks.intervals import Interval
from benchmarks.results import Line, Results, Shown

SIDE = "artfs"
BEGIN, END = "<!-- tables, written by scripts/bench -->", "<!-- end of the tables -->"


class Sheet(NamedTuple):
    """A table: its title, the headings, and rows of cells."""

    title: str
    headings: Sequence[str]
    rows: list[list[str]]


def spread(figure: Interval | None, factor: float = 1.0) -> str:
    """Return a median with the ends of its interval; ``~`` if they are only the minimum and the maximum."""
    if figure is None:
        return ""
    median, low, high = (f"{each * factor:.3g}" for each in (figure.median, figure.low, figure.high))
    if low == high:
        return median
    return f"{median} {'' if figure.sure else '~'}[{low}, {high}]"


def cost(line: Line, side: str) -> list[str]:
    """Return the processor seconds of the serving processes: per GB, and per 1,000 files."""
    seconds = line.cpu_seconds(side)
    if seconds is None:
        return ["", ""]
    per_gb = f"{seconds / line.bytes * 1e9:.2f}" if line.bytes else ""
    return [per_gb, f"{seconds / line.files * 1e3:.3f}" if line.files > 1 else ""]


def judged(line: Line, verdict: Verdict) -> list[str]:
    """Return the cells of a line that has a goal."""
    if verdict.against:
        figure = f"{spread(verdict.figure)}" + ("" if verdict.against == "plain" else f" x {verdict.against}")
    else:
        figure = spread(verdict.figure, 1e-6) + " MB" if line.shown is Shown.SIZE else spread(verdict.figure) + " s"
    title = line.title if verdict.goal.side == SIDE else f"{line.title} ({verdict.goal.side})"
    return [title, figure, verdict.wanted, verdict.text, *cost(line, verdict.goal.side)]


def goal_sheet(results: Results) -> Sheet:
    """Return the goals and their results."""
    headings = ["work", SIDE, "goal", "", "CPU s/GB", "CPU s/1,000 files"]
    return Sheet("goals", headings, [judged(results.lines[verdict.goal.key], verdict) for verdict in verdicts(results)])


def side_cell(line: Line, side: str) -> str:
    """Return one side's result, in the form of its line."""
    value = line.value(side)
    if value is None:
        return ""
    if line.shown is Shown.RATIO:
        ratio = line.ratio(side, "plain")
        return f"{ratio.median:.2f}" if ratio else ""
    if line.shown is Shown.RATE:
        return f"{line.bytes / value.median / 1e6:.0f}"
    return f"{value.median / 1e6:.0f}" if line.shown is Shown.SIZE else f"{value.median:.2f}"


def side_sheets(results: Results) -> list[Sheet]:
    """Return the comparison of all sides, one table for each unit."""
    sheets = []
    for shown in Shown:
        lines = [line for _, line in results if line.shown is shown]
        known = [side for line in lines for side in line.values]
        sides = sorted(dict.fromkeys(known), key=lambda side: (side != "plain", not side.startswith(SIDE)))
        if shown is Shown.RATIO:
            rows = [[line.title, plain_cell(line), *(side_cell(line, side) for side in sides[1:])] for line in lines]
            headings = ["work", "plain, s", *sides[1:]]
        else:
            rows = [[line.title, *(side_cell(line, side) for side in sides)] for line in lines]
            headings = ["work", *sides]
        if rows:
            sheets.append(Sheet(shown.value, headings, rows))
    return sheets


def plain_cell(line: Line) -> str:
    """Return the seconds of the plain folder."""
    value = line.value("plain")
    return f"{value.median:.3f}" if value else ""


def sheets_of(results: Results) -> list[Sheet]:
    """Return all tables: the comparison first, then the goals."""
    goals = goal_sheet(results)
    return [*side_sheets(results), *([goals] if goals.rows else [])]


def notes(results: Results) -> list[str]:
    """Return the facts of the machine, and which sides were left out of which works and why."""
    works: dict[str, list[str]] = {}
    for where, why in results.left_out.items():
        work, _, side = where.partition(": ")
        works.setdefault(f"{side}: {why}", []).append(work)
    lines = [f"{key}: {value}" for key, value in results.facts.items()]
    return lines + [f"left out of {', '.join(names)}: {reason}" for reason, names in works.items()]


def print_report(results: Results) -> None:
    """Print all tables, then the notes."""
    console = Console(width=180, highlight=False)
    for sheet in sheets_of(results):
        table = Table(title=sheet.title, title_justify="left", box=None, pad_edge=False)
        for index, heading in enumerate(sheet.headings):
            table.add_column(heading, justify="right" if index else "left")
        for row in sheet.rows:
            table.add_row(*(cell.replace("[", "\\[") for cell in row))
        console.print(table)
        console.print()
    for note in notes(results):
        console.print(note, markup=False)


def markdown(results: Results) -> str:
    """Return the tables and the notes for a document."""
    parts = []
    for sheet in sheets_of(results):
        lines = [f"**{sheet.title}**", "", "| " + " | ".join(sheet.headings) + " |"]
        lines.append("|---|" + "---:|" * (len(sheet.headings) - 1))
        lines += ["| " + " | ".join(row) + " |" for row in sheet.rows]
        parts.append("\n".join(lines))
    parts.append("\n".join(f"- {note}" for note in notes(results)))
    return "\n\n".join(parts) + "\n"


def written_into(document: str, tables: str) -> str:
    """Return a document with new tables between its marks; a document without marks becomes just the tables."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        return f"{BEGIN}\n\n{tables}\n{END}\n"
    return f"{before}{begin}\n\n{tables}\n{end}{after}"
