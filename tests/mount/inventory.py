"""What a folder holds, as a copy of it is compared with it: types, modes, sizes, times and contents, by path."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import NamedTuple


class Attributes(NamedTuple):
    """What is compared of a path; ``content`` is a hash, a link's text, or empty for a directory."""

    type: int
    mode: int
    size: int
    mtime_ns: int
    content: bytes

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.type)

    @property
    def identity(self) -> tuple[int, int, bytes]:
        """What the digest of a version covers: type and executable bit, size, content."""
        executable = self.mode & 0o100 if stat.S_ISREG(self.type) else 0
        return self.type | executable, self.size, self.content


def inventory(folder: Path) -> dict[str, Attributes]:
    """Return path -> attributes of everything in a folder; the folder itself is at ``.``."""
    found = {".": _attributes(folder)}
    for above, folders, files in os.walk(folder):
        for name in folders + files:
            path = Path(above, name)
            found[str(path.relative_to(folder))] = _attributes(path)
    return found


def differences(one: Path, other: Path) -> dict[str, tuple[Attributes | None, Attributes | None]]:
    """Return the attributes of what differs between two folders, or is in one alone."""
    found, expected = inventory(one), inventory(other)
    paths = sorted(found.keys() | expected.keys())
    return {path: (found.get(path), expected.get(path)) for path in paths if found.get(path) != expected.get(path)}


def _attributes(path: Path) -> Attributes:
    status = path.lstat()
    kind, mode = stat.S_IFMT(status.st_mode), stat.S_IMODE(status.st_mode)
    if stat.S_ISDIR(kind):
        return Attributes(kind, mode, 0, status.st_mtime_ns, b"")
    content = os.readlink(os.fsencode(path)) if stat.S_ISLNK(kind) else hashlib.sha256(path.read_bytes()).digest()
    return Attributes(kind, mode, status.st_size, status.st_mtime_ns, content)
