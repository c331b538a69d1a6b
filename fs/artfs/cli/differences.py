"""Printing of differences between trees, for ``diff`` and ``draft status``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from artfs.cli.output import quoted, size, write_line

if TYPE_CHECKING:
    from artstore.queries.difference import Change, Difference

__all__ = ["print_difference"]

_LETTERS = {"added": "A", "removed": "D", "changed": "M", "mode": "M", "renamed": "R"}


def print_difference(difference: Difference) -> None:
    """Print a line for each path that differs, and the totals."""
    totals: dict[str, list[int]] = {}
    for change in difference:
        write_line(_change_line(change))
        total = totals.setdefault(change.kind, [0, 0])
        total[0] += 1
        total[1] += (change.old_size if change.kind == "removed" else change.new_size) or 0
    if not totals:
        write_line("no differences")
        return
    words = {"mode": "changed in mode only"}
    parts = [
        f"{totals[kind][0]:,} {words.get(kind, kind)} ({size(totals[kind][1])})" for kind in _LETTERS if kind in totals
    ]
    write_line(", ".join(parts))


def _change_line(change: Change) -> str:
    letter, path = _LETTERS[change.kind], quoted(change.raw_path)
    if change.kind == "added":
        return f"{letter}  {path}  {size(change.new_size or 0)}"
    if change.kind == "removed":
        return f"{letter}  {path}  {size(change.old_size or 0)}"
    if change.kind == "mode":
        return f"{letter}  {path}  executable bit"
    sizes = f"{size(change.old_size or 0)} -> {size(change.new_size or 0)}"
    if change.kind == "renamed":
        return f"{letter}  {quoted(change.old_raw_path or b'')} -> {path}  {size(change.new_size or 0)}"
    return f"{letter}  {path}  {sizes}"
