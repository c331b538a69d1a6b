"""The open files of another process, which may close some while they are listed."""

from __future__ import annotations

import contextlib
import os

__all__ = ["open_files"]


def open_files(pid: int) -> list[str]:
    """Return what the descriptors of a process lead to, without those that it closes meanwhile."""
    found = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink(f"/proc/{pid}/fd/{name}"))
    return found
