"""Text of files, bounded: the first lines of one, and the lines that differ between two."""

from __future__ import annotations

import json
from difflib import SequenceMatcher
from typing import Final, NamedTuple

__all__ = ["DiffLine", "differing_lines", "first_lines", "indented_json"]

_LONGEST_LINE: Final = 2000
_MOST_COMPARED: Final = 20_000
"""Lines of one side that are compared; matching takes time with the product of the differing parts."""
_CONTEXT: Final = 3


def first_lines(data: bytes, most: int) -> tuple[list[str], bool]:
    """Return the first lines of text, and whether there is more; bytes that are no UTF-8 are shown as U+FFFD."""
    lines = data.decode(errors="replace").splitlines()
    return [_cut(line) for line in lines[:most]], len(lines) > most


def _cut(line: str) -> str:
    return line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]} [{len(line) - _LONGEST_LINE} more]"


def indented_json(data: bytes) -> str | None:
    """Return a JSON text with one value a line, or None for what is no JSON or is nested too deeply."""
    try:
        return json.dumps(json.loads(data), ensure_ascii=False, indent=2)
    except (ValueError, RecursionError):
        return None


class DiffLine(NamedTuple):
    """A line of a comparison: ``kind`` is same, removed, added or skipped; numbers count from 1 on each side."""

    kind: str
    old: int | None
    new: int | None
    text: str


def differing_lines(old: bytes, new: bytes) -> tuple[list[DiffLine], bool]:
    """Return the lines that differ, each with three lines around it, and whether lines were left uncompared.

    Equal beginnings and ends are found first, so a change in a long file takes little time.  Ends of lines count:
    a file that only got other ones differs in all its lines.
    """
    one, other = _lines(old), _lines(new)
    same = 0
    while same < min(len(one), len(other)) and one[same] == other[same]:
        same += 1
    rest = min(len(one), len(other)) - same
    tail = 0
    while tail < rest and one[-1 - tail] == other[-1 - tail]:
        tail += 1
    middle, other_middle = one[same : len(one) - tail], other[same : len(other) - tail]
    is_cut = max(len(middle), len(other_middle)) > _MOST_COMPARED
    blocks = SequenceMatcher(None, middle[:_MOST_COMPARED], other_middle[:_MOST_COMPARED], autojunk=True).get_opcodes()
    lines: list[DiffLine] = [*_equal(one, other, max(0, same - _CONTEXT), same, 0)]
    for tag, a, b, c, d in blocks:
        if tag == "equal":
            lines += _around(one, a + same, b + same, c - a)
            continue
        lines += [DiffLine("removed", at + same + 1, None, _shown(one[at + same])) for at in range(a, b)]
        lines += [DiffLine("added", None, at + same + 1, _shown(other[at + same])) for at in range(c, d)]
    if not is_cut and any(line.kind != "same" for line in lines):
        end = len(one) - tail
        lines += _equal(one, other, end, min(len(one), end + _CONTEXT), len(other) - len(one))
    return ([] if all(line.kind == "same" for line in lines) and not is_cut else lines), is_cut


def _lines(data: bytes) -> list[bytes]:
    return data.splitlines(keepends=True)


def _equal(one: list[bytes], other: list[bytes], start: int, end: int, shift: int) -> list[DiffLine]:
    return [DiffLine("same", at + 1, at + shift + 1, _shown(one[at])) for at in range(start, end)]


def _around(one: list[bytes], start: int, end: int, shift: int) -> list[DiffLine]:
    """Return equal lines between two differences: all of few, else the first and the last."""
    if end - start <= 2 * _CONTEXT:
        return _equal(one, [], start, end, shift)
    skipped = DiffLine("skipped", None, None, f"{end - start - 2 * _CONTEXT} lines")
    return [*_equal(one, [], start, start + _CONTEXT, shift), skipped, *_equal(one, [], end - _CONTEXT, end, shift)]


def _shown(line: bytes) -> str:
    text = line.decode(errors="replace")
    ending = text[len(text.rstrip("\r\n")) :]
    mark = {"\n": "", "\r\n": " [CR]", "": " [no newline at the end]"}.get(ending, " [other line end]")
    return _cut(text.rstrip("\r\n")) + mark
