"""Where the bytes of a file come from: a version, verified and fetched as they are read, or a file of the disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple

from artstore.errors import InvalidInputError
from artstore.queries.content_file import ContentFile

if TYPE_CHECKING:
    from artstore.queries.versions import Version

__all__ = ["Source", "disk_source", "equal_ranges", "version_source"]

_PIECE: Final = 4 << 20


class Source(NamedTuple):
    """A file that can be read at any place: its name, which tells its kind, its bytes and how many they are."""

    name: str
    size: int
    file: BinaryIO

    def read(self, offset: int, size: int) -> bytes:
        """Return bytes of the file, fewer only at its end."""
        self.file.seek(offset)
        return self.file.read(size)

    def parts(self, start: int, end: int) -> list[tuple[bytes, int, int]]:
        """Return (id, from, to) of the stored chunks in a range; one without an id if they are not known."""
        raw = getattr(self.file, "raw", None)
        return (raw.parts(start, end) if isinstance(raw, ContentFile) else []) or [(b"", 0, end - start)]


@contextmanager
def version_source(version: Version, path: str) -> Iterator[Source]:
    """Open a file of a version; raise what `Version.open` raises."""
    with version.open(path) as file:
        yield Source(os.path.basename(path), version.stat(path).size, file)


@contextmanager
def disk_source(path: str) -> Iterator[Source]:
    """Open a file of the disk; raise `InvalidInputError` for what is no plain file."""
    if not os.path.isfile(path):
        raise InvalidInputError(f"{path!r} is not a file")
    with open(path, "rb") as file:
        yield Source(os.path.basename(path), os.fstat(file.fileno()).st_size, file)


def equal_ranges(old: Source, old_start: int, new: Source, new_start: int, length: int) -> bool:
    """Return whether two files have the same bytes in a range; what lies in equal chunks is not read."""
    ones, others = old.parts(old_start, old_start + length), new.parts(new_start, new_start + length)
    done = at = other_at = 0
    within = other_within = 0
    while done < length:
        (chunk, first, last), (other_chunk, other_first, other_last) = ones[at], others[other_at]
        step = min(last - first - within, other_last - other_first - other_within)
        is_known = chunk and chunk == other_chunk and first + within == other_first + other_within
        if not is_known and not _equal_bytes(old, old_start + done, new, new_start + done, step):
            return False
        done, within, other_within = done + step, within + step, other_within + step
        if first + within == last:
            at, within = at + 1, 0
        if other_first + other_within == other_last:
            other_at, other_within = other_at + 1, 0
    return True


def _equal_bytes(old: Source, old_start: int, new: Source, new_start: int, length: int) -> bool:
    for offset in range(0, length, _PIECE):
        size = min(_PIECE, length - offset)
        if old.read(old_start + offset, size) != new.read(new_start + offset, size):
            return False
    return True
