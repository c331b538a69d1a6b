"""The fast lane of artfs: a compiled program that answers the kernel in front of a mount's workers."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["__version__", "program"]

__version__ = "0.1.0"

_PROGRAM = Path(__file__).with_name("artfs-lane")


def program() -> Path | None:
    """Return the path of the program, or None if it was not built."""
    return _PROGRAM if os.access(_PROGRAM, os.X_OK) else None
