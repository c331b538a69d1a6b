"""Reading an archive: nothing in it is believed before it is checked, and nothing of it is written anywhere.

The index is bounded and has a digest in the archive.  From the index follows every other byte but those of contents,
the length of the file included, so a header is compared and not parsed: a path that leads elsewhere, a link, a repeated
member or a false size is a difference.  Contents are not compressed, so none is larger than the archive.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, Self

from artstore.archives.headers import BLOCK, END, FILE, header_of, padding, size_in
from artstore.archives.index import LONGEST, ArchivedEntry, decode_index
from artstore.archives.layout import INDEX, SUMS, index_sum, members, sum_lines
from artstore.arguments import raw_path
from artstore.errors import ArchiveError, DamageError, IsFolderError, NotFoundError
from artstore.ids import ContentHasher, content_id
from artstore.interrupts import checkpoint
from artstore.progress import Progress

__all__ = ["Archive"]

_STEP: Final = 1 << 20
_SECONDS: Final = 0.1
_HINT: Final = "name a file that 'artfs registry export' wrote"


class Archive:
    """An archive that is open: ``versions`` are those of its index, which has been checked; contents have not.

    Raises `NotFoundError` if there is no file, `ArchiveError` if it is not an archive, `UnsupportedError` if its
    format is newer, and `DamageError` if it is truncated or its index is damaged.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(os.path.abspath(os.fsdecode(raw_path(path))))
        self._fd = -1
        try:
            self._fd = self._opened()
            self.size = os.fstat(self._fd).st_size
            index = self._index()
            self.versions = decode_index(index)
            self._start = self._after_sums(index)
            self._places: dict[tuple[bytes, bool], int] = {}
            offset = self._start
            for member in members(self.versions):
                if member.size:
                    self._places[_key(member.entry)] = offset + len(member.header)
                offset += member.length
            self._require_size(offset + len(END))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _opened(self) -> int:
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
        try:
            fd = os.open(self.path, flags)
        except (FileNotFoundError, NotADirectoryError):
            raise NotFoundError(f"{self.path} does not exist", hint=_HINT) from None
        mode = os.fstat(fd).st_mode
        if stat.S_ISREG(mode):
            return fd
        os.close(fd)
        if stat.S_ISDIR(mode):
            raise IsFolderError(f"{self.path} is a folder", hint=_HINT)
        raise ArchiveError(f"{self.path} is not a regular file, so it is not an archive", hint=_HINT)

    # -- the index -------------------------------------------------------------------------------------------------

    def _index(self) -> bytes:
        """Return the index if it is whole: the sums begin with its digest."""
        length = self._length_of(INDEX, 0)
        if length is None:
            raise ArchiveError(f"{self.path} is not an archive of artfs", hint=_HINT)
        if length > LONGEST:
            raise ArchiveError(f"the index of {self.path} is too long")
        index = self._exactly(BLOCK, length + len(padding(length)))[:length]
        self._sums = BLOCK + length + len(padding(length))
        header, line = len(header_of(SUMS, FILE, size=0)), index_sum(content_id(index))
        if self._exactly(self._sums + header, len(line)) != line:
            raise DamageError(f"the index of {self.path} is damaged", hint="use another copy of the archive")
        return index

    def _after_sums(self, index: bytes) -> int:
        """Return the offset of the first member after the sums, which must follow from the index."""
        offset, sums = self._sums, [index_sum(content_id(index)), *sum_lines(self.versions)]
        size = sum(map(len, sums))
        header = header_of(SUMS, FILE, size=size)
        hasher = ContentHasher(header)
        for line in sums:
            hasher.update(line)
        hasher.update(padding(size))
        length = len(header) + size + len(padding(size))
        if self._digest(offset, length) != hasher.digest():
            raise DamageError(f"the sums of {self.path} are damaged", hint="use another copy of the archive")
        padded = header_of(INDEX, FILE, size=len(index)) + index + padding(len(index))
        if self._digest(0, offset) != content_id(padded):
            raise DamageError(f"the index of {self.path} is damaged", hint="use another copy of the archive")
        return offset + length

    def _length_of(self, path: bytes, offset: int) -> int | None:
        """Return the size in the header of a member, None if it is not the header that this member has."""
        block = os.pread(self._fd, BLOCK, offset)
        try:
            size = size_in(block)
        except ValueError:
            return None
        return size if header_of(path, FILE, size=size) == block else None

    def _require_size(self, size: int) -> None:
        if self.size < size:
            raise self._truncated(size)
        if self.size > size:
            raise DamageError(
                f"{self.path} has {self.size - size} bytes after the end of the archive", hint="use another copy of it"
            )

    def _truncated(self, size: int) -> DamageError:
        return DamageError(
            f"{self.path} is truncated: it has {self.size} of {size} bytes", hint="use another copy of the archive"
        )

    # -- contents --------------------------------------------------------------------------------------------------

    def verify(self, progress: Callable[[Progress], None] | None = None) -> None:
        """Read all of the archive; raise `DamageError` for a byte that is not what the index says."""
        files = [member for member in members(self.versions) if member.size]
        total, done, read, due = sum(member.size for member in files), 0, 0, 0.0
        offset = self._start
        for member in members(self.versions):
            if self._exactly(offset, len(member.header)) != member.header:
                raise self._damage(member.entry.path)
            if member.size:
                self._require_content(member.entry)
                rest = padding(member.size)
                if self._exactly(offset + member.length - len(rest), len(rest)) != rest:
                    raise self._damage(member.entry.path)
                done, read = done + 1, read + member.size
            offset += member.length
            if progress is not None and member.size and (time.monotonic() >= due or done == len(files)):
                due = time.monotonic() + _SECONDS
                shown = os.fsdecode(member.entry.path)
                progress(Progress("verify", done, read, len(files), total, shown))
        if self._exactly(offset, len(END)) != END:
            raise self._damage(b"its end")

    def read(self, entry: ArchivedEntry) -> bytes:
        """Return the content of a file, which the caller knows to be small; raise `DamageError` if it is damaged."""
        content = self._exactly(self._places[_key(entry)], entry.size) if entry.size else b""
        if content_id(content) != entry.digest:
            raise self._damage(entry.path)
        return content

    def copy(self, entry: ArchivedEntry, file: BinaryIO) -> None:
        """Write the content of a file into an open one; raise `DamageError` at its end if it is damaged."""
        hasher = ContentHasher()
        for piece in self._pieces(self._places[_key(entry)], entry.size) if entry.size else ():
            hasher.update(piece)
            file.write(piece)
        if hasher.digest() != entry.digest:
            raise self._damage(entry.path)

    def _require_content(self, entry: ArchivedEntry) -> None:
        if self._digest(self._places[_key(entry)], entry.size) != entry.digest:
            raise self._damage(entry.path)

    def _digest(self, offset: int, size: int) -> bytes:
        hasher = ContentHasher()
        for piece in self._pieces(offset, size):
            hasher.update(piece)
        return hasher.digest()

    def _pieces(self, offset: int, size: int) -> Iterator[bytes]:
        while size:
            checkpoint()
            piece = os.pread(self._fd, min(size, _STEP), offset)
            if not piece:
                raise self._truncated(offset + size)
            offset, size = offset + len(piece), size - len(piece)
            yield piece

    def _exactly(self, offset: int, size: int) -> bytes:
        return b"".join(self._pieces(offset, size))

    def _damage(self, path: bytes) -> DamageError:
        return DamageError(f"{self.path} is damaged at {os.fsdecode(path)!r}", hint="use another copy of the archive")


def _key(entry: ArchivedEntry) -> tuple[bytes, bool]:
    """Return the key by which each content is stored once."""
    return entry.digest, entry.executable
