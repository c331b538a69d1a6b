"""References to files of this machine: pinned by their content, and read in place.

A file is read only while it is the file whose content was found to match the record: the same inode, with the same
size and times.  Otherwise it is hashed again, once, and its stamp is stored if the content is still the same.
"""

from __future__ import annotations

import json
import os
import stat
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import unquote_to_bytes

from artstore import beneath
from artstore.errors import ChangedError, NotFoundError, OutsideError, SourceError, SourceKindError
from artstore.ids import ContentHasher
from artstore.objects.locations import file_uri
from artstore.records.references import ReferenceRecord
from artstore.references.roots import require_file

__all__ = ["LocalFiles", "pin_file"]

_RACY_NS: Final = 20_000_000
"""A file that was changed less than this before it was hashed may change again without its times telling."""
_WINDOW: Final = 1 << 20
_VERIFIED: Final = "verified"

_Stamp = tuple[int, int, int, int, int]


def pin_file(path: bytes, *, checksum: bool) -> ReferenceRecord:
    """Return a reference to a file as it is now: by its BLAKE3, or without ``checksum`` by its time and size.

    Raises `SourceKindError` if it is not a file, `SourceError` if it changes while it is read.
    """
    shown = os.fsdecode(path)
    try:
        fd = _open(path)
    except FileNotFoundError as error:
        raise NotFoundError(f"there is nothing at {shown}", hint="check the path") from error
    except OSError as error:
        raise SourceError(f"{shown!r} cannot be read: {error.strerror}") from error
    try:
        before = os.fstat(fd)
        if not stat.S_ISREG(before.st_mode):
            raise SourceKindError(f"{shown!r} is not a file", hint="refer to regular files or folders of them")
        if not checksum:
            return ReferenceRecord(file_uri(path), before.st_size, etag=_time_and_size(before))
        digest = _hash(fd)
        if _stamp(os.fstat(fd)) != _stamp(before):
            raise SourceError(f"{shown!r} changed while it was read")
        return ReferenceRecord(file_uri(path), before.st_size, blake3=digest)
    finally:
        os.close(fd)


class LocalFiles:
    """Read references to files; verified stamps are stored below ``folder_of`` a record's id."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._root = cache.parents[1]  # the workspace, for the folder lies in its `cache`
        self._known: dict[bytes, _Stamp] = {}
        self._lock = threading.Lock()

    def read(self, ident: bytes, record: ReferenceRecord, offset: int, size: int, *, hashing: bool) -> bytes | None:
        """Return bytes of a file; None if it would have to be hashed first, and not ``hashing``.

        Raises `ChangedError` if it is gone or replaced, `OutsideError` if it cannot be read or is not allowed.
        """
        path = unquote_to_bytes(record.uri.removeprefix("file://"))
        try:
            fd = _open(path)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ChangedError(f"{record.shown} has been removed since it was logged") from error
        except OSError as error:
            raise OutsideError(f"{record.shown} cannot be read: {error.strerror}") from error
        try:
            require_file(fd, record.shown)
            if not self._is_the_one(ident, record, fd):
                if not hashing:
                    return None
                self._verify(ident, record, fd)
            data = os.pread(fd, size, offset)
            while 0 < len(data) < size and (more := os.pread(fd, size - len(data), offset + len(data))):
                data += more
            if len(data) != size or not self._is_the_one(ident, record, fd):
                raise _changed(record)
            return data
        except OSError as error:
            if isinstance(error, OutsideError):
                raise
            raise OutsideError(f"{record.shown} cannot be read: {error.strerror}") from error
        finally:
            os.close(fd)

    def _is_the_one(self, ident: bytes, record: ReferenceRecord, fd: int) -> bool:
        status = os.fstat(fd)
        if record.blake3 is None:
            if _time_and_size(status) != record.etag:
                raise _changed(record)
            return True
        known = self._known.get(ident)
        if known is None:
            known = self._recall(ident)
        return known == _stamp(status)

    def _verify(self, ident: bytes, record: ReferenceRecord, fd: int) -> None:
        """Hash a file and remember its stamp; raise `ChangedError` if the content differs."""
        status = os.fstat(fd)
        began_ns = time.time_ns()
        if status.st_size != record.size or _hash(fd) != record.blake3:
            raise _changed(record)
        stamp = _stamp(status)
        if _stamp(os.fstat(fd)) != stamp:
            raise _changed(record)
        with self._lock:
            self._known[ident] = stamp
        if began_ns - max(status.st_mtime_ns, status.st_ctime_ns) > _RACY_NS:
            self._remember(ident, stamp)

    def _note(self, ident: bytes) -> Path:
        return self._cache / ident.hex()[:2] / ident.hex() / _VERIFIED

    def _recall(self, ident: bytes) -> _Stamp | None:
        try:
            values = json.loads(beneath.read_bytes(self._root, self._note(ident)))
        except (OSError, ValueError):
            return None
        if not isinstance(values, list) or len(values) != 5 or not all(isinstance(value, int) for value in values):
            return None
        with self._lock:
            self._known[ident] = stamp = (values[0], values[1], values[2], values[3], values[4])
        return stamp

    def _remember(self, ident: bytes, stamp: _Stamp) -> None:
        note = self._note(ident)
        with suppress(OSError):
            beneath.make_folders(self._root, note.parent)
            beside = note.with_name(f".{_VERIFIED}.{os.getpid()}.{threading.get_ident()}")
            with open(beneath.open_file(self._root, beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as file:
                file.write(json.dumps(stamp).encode())
            beneath.rename(self._root, beside, note)


def _open(path: bytes) -> int:
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)


def _stamp(status: os.stat_result) -> _Stamp:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _time_and_size(status: os.stat_result) -> str:
    return f"{status.st_mtime_ns}-{status.st_size}"


def _hash(fd: int) -> str:
    hasher = ContentHasher()
    buffer = memoryview(bytearray(_WINDOW))
    offset = 0
    while count := os.preadv(fd, [buffer], offset):
        hasher.update(buffer[:count])
        offset += count
    return hasher.digest().hex()


def _changed(record: ReferenceRecord) -> ChangedError:
    return ChangedError(
        f"{record.shown} has changed since it was logged", hint="log it again to pin its current content"
    )
