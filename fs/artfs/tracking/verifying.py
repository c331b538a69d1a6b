"""Comparing a folder with a version, byte for byte."""

from __future__ import annotations

import os
from pathlib import Path

from artfs.tracking.unrecorded import UnrecordedVersion
from artstore.errors import DamageError
from artstore.ids import ContentHasher
from artstore.queries.versions import FileInfo, Version

__all__ = ["verify"]

_WINDOW = 1 << 20
_MOST_NAMED = 10


def verify(version: Version, root: str | os.PathLike[str]) -> None:
    """Raise `DamageError` naming files that are missing from a folder, not in the version, or different."""
    if isinstance(version, UnrecordedVersion):
        return  # it has no content that could differ
    wrong = []
    seen = set()
    top = Path(root)
    for folder, _, names in version.walk():
        listed = {info.name: info for info in version.listdir(folder)}
        for name in names:
            info = listed[name]
            path = f"{folder}/{name}" if folder else name
            seen.add(path)
            place = top / path
            if info.kind == "link":
                if not place.is_symlink() or os.readlink(place) != info.link_target:
                    wrong.append(f"{path!r} is not the same link")
            elif not place.is_file() or place.is_symlink():
                wrong.append(f"{path!r} is missing")
            elif place.stat().st_size != info.size or not _is_equal(version, path, info, place):
                wrong.append(f"{path!r} differs")
    for parent, _, names in os.walk(top):
        for name in names:
            path = os.path.relpath(os.path.join(parent, name), top)
            if path not in seen:
                wrong.append(f"{path!r} is not in the version")
    if wrong:
        more = f", and {len(wrong) - _MOST_NAMED} more" if len(wrong) > _MOST_NAMED else ""
        raise DamageError(f"{top} differs from {version.name}: {'; '.join(wrong[:_MOST_NAMED])}{more}")


def _is_equal(version: Version, path: str, info: FileInfo, place: Path) -> bool:
    """Return whether a file has the content of the version's; a reference is read from outside."""
    if not info.is_reference:
        return _digest(place) == info.digest
    with version.open(path) as theirs, place.open("rb") as ours:
        while data := theirs.read(_WINDOW):
            if ours.read(_WINDOW) != data:
                return False
        return not ours.read(1)


def _digest(path: Path) -> str:
    hasher = ContentHasher()
    with path.open("rb") as file:
        while data := file.read(_WINDOW):
            hasher.update(data)
    return hasher.digest().hex()
