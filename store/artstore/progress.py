"""How far an operation is, as callers show it in a progress bar."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Progress"]


class Progress(NamedTuple):
    """How far an operation is; totals are None while they are not known."""

    phase: str
    files_done: int
    bytes_done: int
    files_total: int | None
    bytes_total: int | None
    current: str
