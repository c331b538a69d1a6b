"""Printing of differences between trees, for ``diff`` and ``draft status``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from artfs.cli.output import quoted, size, write_line, write_table
from artfs.cli.terminal import styled

if TYPE_CHECKING:
    from artstore.queries.difference import Change, Difference

__all__ = ["print_difference"]

_LETTERS = {"added": "A", "removed": "D", "changed": "M", "mode": "M", "renamed": "R"}
_COUNTED = {"mode": "changed in mode only"}

Totals = dict[str, list[int]]
"""By kind of change: how many paths, and the bytes of their content."""


def print_difference(difference: Difference, *, style: Literal["paths", "names", "stat"] = "paths") -> None:
    """Print a line for each path that differs and the totals; with "names" paths alone, with "stat" totals alone."""
    totals: Totals = {}
    folders: dict[str, Totals] = {}
    for change in difference:
        if style == "names":
            write_line(quoted(change.raw_path))
        elif style == "paths":
            letter, rest = _change_line(change)
            write_line(f"{styled(letter, change.kind)}  {rest}")
        else:
            top, slash, _ = quoted(change.raw_path).partition("/")
            _add(folders.setdefault(top + slash if slash else "(top)", {}), change)
        _add(totals, change)
    if style == "names":
        return
    if not totals:
        write_line("no differences")
        return
    if style == "stat":
        write_table(["FOLDER", "CHANGES"], [[folder, ", ".join(_counts(each))] for folder, each in folders.items()])
    write_line(", ".join(_counts(totals)))


def _add(totals: Totals, change: Change) -> None:
    total = totals.setdefault(change.kind, [0, 0])
    total[0] += 1
    total[1] += (change.old_size if change.kind == "removed" else change.new_size) or 0


def _counts(totals: Totals) -> Iterable[str]:
    for kind in _LETTERS:
        if kind in totals:
            yield f"{totals[kind][0]:,} {_COUNTED.get(kind, kind)} ({size(totals[kind][1])})"


def _change_line(change: Change) -> tuple[str, str]:
    """Return the letter of a change, and the rest of its line."""
    letter, path = _LETTERS[change.kind], quoted(change.raw_path)
    if change.kind == "added":
        return letter, f"{path}  {size(change.new_size or 0)}"
    if change.kind == "removed":
        return letter, f"{path}  {size(change.old_size or 0)}"
    if change.kind == "mode":
        return letter, f"{path}  executable bit"
    if change.kind == "renamed":
        return letter, f"{quoted(change.old_raw_path or b'')} -> {path}  {size(change.new_size or 0)}"
    return letter, f"{path}  {size(change.old_size or 0)} -> {size(change.new_size or 0)}"
