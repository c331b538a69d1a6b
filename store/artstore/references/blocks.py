"""The cache of what was fetched from outside: blocks of 1 MiB, each a file, of which the oldest go first.

    cache/references/<first 2 of the id>/<id>/<block, hex>     data · one XXH3-64 for each 64 KiB of it
    cache/references/<first 2 of the id>/<id>/lock             byte n is locked while block n is fetched

The id is that of the reference's record, so that what another pin fetched is never found.  A block is there whole or
not at all, whoever is killed, and any process may remove any block at any time.  What a disk has changed is not served:
it is fetched again.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from xxhash import xxh3_64_intdigest

from artstore.ids import Buffer

__all__ = ["BLOCK", "BlockCache"]

BLOCK: Final = 1024 * 1024
_PART: Final = 64 * 1024
_SUM: Final = 8
_FLOCK: Final = struct.Struct("hhqqi4x")
_LOCK: Final = "lock"
_USED_SECONDS: Final = 60.0
"""A block's time of use is exact to this: noting each reading would cost more than it is good for."""
_SHARE: Final = 32
"""After a 32nd part of the limit was fetched, the cache is swept down to a 16th below it."""


class BlockCache:
    """The blocks in one folder, of ``limit`` bytes at most: any number of threads and processes share it."""

    def __init__(self, folder: Path, limit: int, mode: int) -> None:
        self._folder = folder
        self._limit = limit
        self._mode = mode
        self._lock = threading.Lock()
        self._fetched = limit  # so that the first block that comes looks at what is there
        self._used: dict[str, float] = {}

    def folder_of(self, ident: bytes) -> Path:
        """Return the folder of the blocks of one reference."""
        text = ident.hex()
        return self._folder / text[:2] / text

    def read(self, ident: bytes, block: int, start: int, end: int, size: int) -> Buffer | None:
        """Return bytes ``[start, end)`` of a block of ``size`` bytes, verified; None where it is not there, whole."""
        path = f"{self.folder_of(ident)}/{block:08x}"
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return None
        try:
            first = start - start % _PART
            last = min(-(-end // _PART) * _PART, size)
            sums = memoryview(bytearray(-(-size // _PART) * _SUM))
            data = memoryview(bytearray(last - first))
            if last == size:
                whole = os.preadv(fd, [data, sums], first) == len(data) + len(sums)
            else:
                whole = os.preadv(fd, [data], first) == len(data) and os.preadv(fd, [sums], size) == len(sums)
        except OSError:
            whole = False
        finally:
            os.close(fd)
        if not whole or not _is_sound(data, sums[first // _PART * _SUM :]):
            with suppress(OSError):
                os.unlink(path)
            return None
        self._note_use(path)
        return data[start - first : end - first]

    def has(self, ident: bytes, block: int) -> bool:
        """Return whether a block is there."""
        return os.path.exists(f"{self.folder_of(ident)}/{block:08x}")

    def _note_use(self, path: str) -> None:
        now = time.monotonic()
        if now - self._used.get(path, -_USED_SECONDS) < _USED_SECONDS:
            return
        if len(self._used) > 1 << 16:
            self._used.clear()
        self._used[path] = now
        with suppress(OSError):
            os.utime(path)

    def write(self, ident: bytes, block: int, data: Buffer) -> None:
        """Keep a block; a disk without room for it keeps none, which is no error."""
        folder = self.folder_of(ident)
        view = memoryview(data).cast("B")
        sums = struct.pack(
            f"<{-(-len(view) // _PART)}Q",
            *(xxh3_64_intdigest(view[at : at + _PART]) for at in range(0, len(view), _PART)),
        )
        temporary = f"{folder}/.{block:08x}.{os.getpid()}.{threading.get_ident()}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, self._mode)
            try:
                whole = os.writev(fd, [view, sums]) == len(view) + len(sums)
            finally:
                os.close(fd)
            if whole:
                os.rename(temporary, f"{folder}/{block:08x}")
                self._count(len(view))
                return
        except OSError:
            pass
        with suppress(OSError):
            os.unlink(temporary)

    def _count(self, size: int) -> None:
        with self._lock:
            self._fetched += size
            if self._fetched < self._limit // _SHARE:
                return
            self._fetched = 0
        self.shrink(self._limit - 2 * (self._limit // _SHARE))

    @contextmanager
    def fetching(self, ident: bytes, first: int, last: int) -> Iterator[None]:
        """Keep others, of whatever process, from fetching blocks ``[first, last)`` meanwhile."""
        folder = self.folder_of(ident)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            fd = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, self._mode)
        except OSError:  # a disk that is full or read-only: others may fetch the same
            yield
            return
        try:
            fcntl.fcntl(fd, fcntl.F_OFD_SETLKW, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, first, last - first, 0))
            yield
        finally:
            os.close(fd)

    def references(self) -> Iterator[bytes]:
        """Yield the ids of the references of which anything is kept."""
        for folder in self._folder.glob("??/*"):
            with suppress(ValueError):
                yield bytes.fromhex(folder.name)

    def forget(self, ident: bytes) -> None:
        """Remove all that is kept of one reference."""
        shutil.rmtree(self.folder_of(ident), ignore_errors=True)

    def usage(self) -> tuple[int, int]:
        """Return (blocks, bytes) of the whole cache."""
        found = [size for _, size, _ in self._blocks()]
        return len(found), sum(found)

    def shrink(self, limit: int) -> int:
        """Remove what was used longest ago until ``limit`` bytes are left at most; return the bytes that came back."""
        found = sorted(self._blocks())
        total, freed = sum(size for _, size, _ in found), 0
        for _, size, path in found:
            if total - freed <= limit:
                break
            with suppress(OSError):
                os.unlink(path)
                freed += size
        self._remove_empty()
        return freed

    def _blocks(self) -> Iterator[tuple[float, int, str]]:
        """Yield (last use, size, path) of all blocks, and of what killed processes have left."""
        for folder, _, names in os.walk(self._folder):
            for name in names:
                if name == _LOCK:
                    continue
                path = f"{folder}/{name}"
                with suppress(OSError):
                    status = os.lstat(path)
                    yield status.st_mtime, status.st_blocks * 512, path

    def _remove_empty(self) -> None:
        """Remove the folders of references that have no block any more; a lock that is held keeps its folder."""
        for folder, folders, names in os.walk(self._folder, topdown=False):
            if names == [_LOCK] and not folders:
                self._remove_lock(f"{folder}/{_LOCK}")
            with suppress(OSError):
                os.rmdir(folder)

    def _remove_lock(self, path: str) -> None:
        with suppress(OSError):
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
                os.unlink(path)
            finally:
                os.close(fd)


def _is_sound(data: memoryview, sums: memoryview) -> bool:
    count = -(-len(data) // _PART)
    expected = struct.unpack_from(f"<{count}Q", sums)
    return all(
        xxh3_64_intdigest(data[index * _PART : (index + 1) * _PART]) == expected[index] for index in range(count)
    )
