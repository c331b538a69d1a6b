"""The processes that use a mount, as far as /proc shows them to this user."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["holders"]


def holders(directory: Path, device: str, *, limit: int = 5) -> list[str]:
    """Return up to ``limit`` processes, as ``name (pid)``, with open or mapped files or the working directory in it.

    ``device`` is the mount's number as ``major:minor``.  Only links are read, so a hung mount does not block the call.
    """
    processes = []
    for pid in sorted(int(entry) for entry in os.listdir("/proc") if entry.isdigit()):
        if _uses(pid, os.fsencode(directory), _in_hexadecimal(device)):
            processes.append(f"{_name(pid)} ({pid})")
            if len(processes) == limit:
                break
    return processes


def _in_hexadecimal(device: str) -> bytes:
    major, minor = device.split(":")
    return f" {int(major):02x}:{int(minor):02x} ".encode()


def _uses(pid: int, directory: bytes, device: bytes) -> bool:
    below = directory + b"/"
    if any(target == directory or target.startswith(below) for target in _links(pid)):
        return True
    try:
        return device in Path(f"/proc/{pid}/maps").read_bytes()
    except OSError:
        return False


def _links(pid: int) -> Iterator[bytes]:
    folder = f"/proc/{pid}/fd"
    try:
        descriptors = os.listdir(folder)
    except OSError:
        descriptors = []
    for path in (f"/proc/{pid}/cwd", f"/proc/{pid}/root", *(f"{folder}/{descriptor}" for descriptor in descriptors)):
        try:
            yield os.readlink(os.fsencode(path))
        except OSError:
            continue


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(errors="replace").strip()
    except OSError:
        return "?"
