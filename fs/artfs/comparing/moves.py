"""Files that moved between folders with their content: in a data set of classes, those that changed class."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from artstore.queries.difference import Change

__all__ = ["Move", "is_image", "moves_of"]

_IMAGES: Final = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".avif")


class Move(NamedTuple):
    """The files that moved from one folder to another; ``files`` are (old path, new path)."""

    old: str
    new: str
    files: list[tuple[str, str]]
    images: int


def is_image(path: str) -> bool:
    """Return whether a path ends like an image's."""
    return path.lower().endswith(_IMAGES)


def moves_of(changes: Iterable[Change]) -> list[Move]:
    """Return the moves of renamed files between folders, those of the most files first.

    Folders are named from where they differ: ``train/3`` and ``train/4`` are 3 and 4.
    """
    found: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for change in changes:
        if change.kind == "renamed" and change.old_path is not None:
            old, new = os.path.dirname(change.old_path), os.path.dirname(change.path)
            if old != new:
                found.setdefault((old, new), []).append((change.old_path, change.path))
    moves = [
        Move(*_short(old, new), files, sum(is_image(path) for _, path in files)) for (old, new), files in found.items()
    ]
    return sorted(moves, key=lambda move: (-len(move.files), move.old, move.new))


def _short(old: str, new: str) -> tuple[str, str]:
    one, other = old.split("/"), new.split("/")
    while len(one) > 1 and len(other) > 1 and one[0] == other[0]:
        one, other = one[1:], other[1:]
    return "/".join(one) or ".", "/".join(other) or "."
