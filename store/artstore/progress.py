"""Progress of an operation, for progress bars."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Progress"]


class Progress(NamedTuple):
    """The progress of an operation; totals are None while they are unknown."""

    phase: str
    files_done: int
    bytes_done: int
    files_total: int | None
    bytes_total: int | None
    current: str
