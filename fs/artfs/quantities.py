"""Amounts of bytes in human notation."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["parse_size"]

_MULTIPLES: Final = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12} | {
    "Ki": 1 << 10,
    "Mi": 1 << 20,
    "Gi": 1 << 30,
    "Ti": 1 << 40,
}
_SIZE: Final = re.compile(r"(\d{1,15}(?:\.\d+)?) ?([kKMGT]?|[KMGT]i)B?")


def parse_size(text: str) -> int | None:
    """Read ``10GB``, ``64MiB``, ``5000`` and the like as a number; None for anything else."""
    match = _SIZE.fullmatch(text)
    return int(float(match[1]) * _MULTIPLES[match[2]]) if match else None
