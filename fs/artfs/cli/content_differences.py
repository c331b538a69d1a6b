"""Printing of what differs inside files, for ``diff --content``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from artfs.cli.output import counted, quoted, write_line, write_table
from artfs.cli.terminal import styled
from artfs.comparing.moves import Move

if TYPE_CHECKING:
    from artfs.documents.contents import FileDifference, LineItem, TableDifference, TensorItem

__all__ = ["print_contents"]

_SHOWN_ROWS = 10
_SHOWN_LINES = 500
_SHOWN_MOVES = 50
_MARKS = {"same": " ", "removed": "-", "added": "+", "skipped": "@"}


def print_contents(moves: Sequence[Move], files: Iterable[FileDifference]) -> None:
    """Print the images that moved between folders, then a part for each file that changed."""
    shown = [move for move in moves if move.images]
    for move in shown[:_SHOWN_MOVES]:
        write_line(f"{quoted(move.old)} -> {quoted(move.new)}: {counted(move.images, 'image')}")
    if len(shown) > _SHOWN_MOVES:
        write_line(f"and {len(shown) - _SHOWN_MOVES:,} more pairs of folders")
    for file in files:
        write_line("")
        write_line(f"{styled('M', 'changed')}  {quoted(file.path)}")
        if file.failure is not None:
            write_line(f"   not compared: {quoted(file.failure)}")
        elif file.table is not None:
            _print_table(file.table)
        elif file.form == "text":
            _print_lines(file.lines, file.is_cut)
        elif file.form == "tensors":
            _print_tensors(file.tensors)
        else:
            write_line(f"   {'an image' if file.form == 'image' else 'binary content'} that differs")


def _print_table(table: TableDifference) -> None:
    for change in table.schema_changes:
        kinds = " -> ".join(kind for kind in (change.old_type, change.new_type) if kind)
        write_line(f"   column {quoted(change.name)} {change.kind}: {quoted(kinds)}")
    by = f"by {', '.join(map(quoted, table.key))}" if table.key else "by whole rows, as no column is unique"
    write_line(f"   {table.old_rows:,} -> {table.new_rows:,} rows, compared {by}")
    write_line(f"   {table.added:,} added, {table.removed:,} removed, {table.changed:,} changed")
    for column in table.by_column:
        write_line(f"   {quoted(column.name)} differs in {counted(column.rows, 'row')}")
    columns = [place for place, _ in enumerate(table.columns)][:12]
    for kind in ("removed", "added", "changed"):
        for row in [each for each in table.examples if each.kind == kind][:_SHOWN_ROWS]:
            for mark, style, values in (("-", "removed", row.old), ("+", "added", row.new)):
                if values is not None:
                    text = "  ".join(quoted("null" if values[at] is None else str(values[at])) for at in columns)
                    write_line(f"   {styled(mark, style)} {text}")


def _print_lines(lines: Sequence[LineItem], is_cut: bool) -> None:
    for line in lines[:_SHOWN_LINES]:
        write_line(f"   {styled(_MARKS[line.kind], line.kind)} {quoted(line.text)}")
    if is_cut or len(lines) > _SHOWN_LINES:
        write_line("   the rest is not shown")


def _print_tensors(tensors: Sequence[TensorItem]) -> None:
    rows = []
    for tensor in tensors:
        sides = [
            "" if dtype is None else f"{dtype} {list(shape or ())}"
            for dtype, shape in ((tensor.old_dtype, tensor.old_shape), (tensor.new_dtype, tensor.new_shape))
        ]
        rows.append([quoted(tensor.name), tensor.kind, *map(quoted, sides)])
    if rows:
        write_table(["TENSOR", "CHANGE", "OLD", "NEW"], rows)
    else:
        write_line("   the same tensors")
