"""The cache of fetched external data, in blocks of 1 MiB and spans of 8 blocks; the oldest are evicted first.

    cache/references/<first 2 of the id>/<id>/<block, hex>     data · its checksums (`artstore.references.sums`)
    cache/references/<first 2 of the id>/<id>/<block, hex>+8   the same for 8 blocks, of which the first is a multiple
    cache/references/<first 2 of the id>/<id>/lock             byte n is locked while block n is fetched

The id is that of the reference's record, so data fetched for another pin is never used.  A file exists completely or
not at all, even if a process is killed, and any process may remove any file at any time.  Data that the disk corrupted
is not served: it is fetched again.

Spans are written when a file is read sequentially.  A thread writes them with O_DIRECT: their reader already has them
in its own pages, and memory for both copies would cost more than everything else here.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from artstore import beneath
from artstore.errors import RefusedError
from artstore.ids import Buffer
from artstore.references.recent import SPAN, RecentSpans, Slot
from artstore.references.sums import PART, SUM, are_sound, sums_of

__all__ = ["BLOCK", "BlockCache"]

BLOCK: Final = 1024 * 1024
_EACH: Final = SPAN // BLOCK
_FLOCK: Final = struct.Struct("hhqqi4x")
_LOCK: Final = "lock"
_USED_SECONDS: Final = 60.0
"""A block's time of use is exact to this: noting each reading would cost more than it is good for."""
_SHARE: Final = 32
"""After a 32nd part of the limit was fetched, the cache is swept down to a 16th below it."""


class BlockCache:
    """The blocks in one folder, of ``limit`` bytes at most: any number of threads and processes share it."""

    def __init__(self, folder: Path, limit: int, mode: int, recent: RecentSpans | None = None) -> None:
        """Without ``recent`` no thread is made."""
        self._folder = str(folder)
        self._root = folder.parents[1]  # the workspace, for the folder lies in its `cache`
        self._limit = limit
        self._mode = mode
        self._recent = recent
        self._saving: set[threading.Thread] = set()
        self._writes_past = True
        self._lock = threading.Lock()
        self._fetched = limit  # so that the first block measures the existing cache
        self._used: dict[str, float] = {}

    def folder_of(self, ident: bytes) -> str:
        """Return the folder of the blocks of one reference, as text: each read opens several of its files."""
        text = ident.hex()
        return f"{self._folder}/{text[:2]}/{text}"

    def read(self, ident: bytes, block: int, start: int, end: int, size: int) -> Buffer | None:
        """Return bytes ``[start, end)`` of a block of ``size`` bytes, verified; None if it is not cached completely."""
        if self._recent is not None:
            data = self._recent.read(ident, block * BLOCK + start, block * BLOCK + end)
            if data is not None:
                return data
        data = self._read(self._path(ident, block), start, end, size)
        if data is None:
            base = block % _EACH * BLOCK
            data = self._read(self._span(ident, block), base + start, base + end, SPAN)
        return data

    def _read(self, path: str, start: int, end: int, size: int) -> Buffer | None:
        """Return bytes ``[start, end)`` of the ``size`` that a file has, with the checksums behind them."""
        try:
            fd = beneath.open_file(self._root, path)
        except OSError:
            return None
        try:
            first = start - start % PART
            last = min(-(-end // PART) * PART, size)
            sums = memoryview(bytearray(-(-size // PART) * SUM))
            data = memoryview(bytearray(last - first))
            if last == size:
                whole = os.preadv(fd, [data, sums], first) == len(data) + len(sums)
            else:
                whole = os.preadv(fd, [data], first) == len(data) and os.preadv(fd, [sums], size) == len(sums)
        except OSError:
            whole = False
        finally:
            os.close(fd)
        if not whole or not are_sound(data, sums[first // PART * SUM :]):
            with suppress(OSError):
                beneath.remove(self._root, path)
            return None
        self._note_use(path)
        return data[start - first : end - first]

    def has(self, ident: bytes, block: int) -> bool:
        """Return whether a block is cached."""
        if self._recent is not None and self._recent.holds(ident, block * BLOCK):
            return True
        with suppress(RefusedError):
            return any(beneath.exists(self._root, each(ident, block)) for each in (self._path, self._span))
        return False

    def _path(self, ident: bytes, block: int) -> str:
        return f"{self.folder_of(ident)}/{block:08x}"

    def _span(self, ident: bytes, block: int) -> str:
        """Return the path of the span that would hold a block."""
        return f"{self.folder_of(ident)}/{block - block % _EACH:08x}+{_EACH}"

    def _note_use(self, path: str) -> None:
        now = time.monotonic()
        if now - self._used.get(path, -_USED_SECONDS) < _USED_SECONDS:
            return
        if len(self._used) > 1 << 16:
            self._used.clear()
        self._used[path] = now
        with suppress(OSError):
            beneath.touch(self._root, path)

    def ask_ahead(self, ident: bytes, block: int, end: int) -> None:
        """Hint the kernel to read the cached ones of blocks ``[block, end)`` into the page cache."""
        for number in range(block, end):
            if self._recent is not None and self._recent.holds(ident, number * BLOCK):
                continue
            paths = [self._path(ident, number)]
            if number % _EACH == 0:
                paths.append(self._span(ident, number))
            for path in paths:
                with suppress(OSError):
                    fd = beneath.open_file(self._root, path)
                    try:
                        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_WILLNEED)
                    finally:
                        os.close(fd)

    def keep(self, ident: bytes, first: int, data: Buffer) -> None:
        """Store a reference's data from block ``first`` on: other readers see it at once, a span is written later.

        If the disk is full nothing is stored, which is no error.
        """
        view = memoryview(data).cast("B")
        if self.is_span(first, len(view)):
            self.keep_span(ident, first, (view,))
            return
        for at in range(0, len(view), BLOCK):
            self._put(self._path(ident, first + at // BLOCK), view[at : at + BLOCK])

    def is_span(self, first: int, size: int) -> bool:
        """Return whether ``size`` bytes from block ``first`` on make a span."""
        return size == SPAN and not first % _EACH

    def keep_span(self, ident: bytes, first: int, pieces: Iterable[Buffer]) -> None:
        """Store a span that arrives in pieces, as `keep` does; errors of the iterator are passed on."""
        path = self._span(ident, first)
        slot = self._recent.keep(ident, first * BLOCK, pieces) if self._recent is not None else None
        if slot is None:  # or the disk is slower than the service, and its page cache may take some
            self._put(path, b"".join(pieces))
            return
        try:
            with self._lock:
                thread = threading.Thread(target=self._save, args=(path, slot))
                thread.start()
                self._saving.add(thread)
        except RuntimeError:  # the process is ending, or has reached its limit of threads
            self._save(path, slot)

    def settle(self) -> None:
        """Wait until all stored data is on the disk, or was found not to fit there."""
        while True:
            with self._lock:
                saving = list(self._saving)
            if not saving:
                return
            for thread in saving:
                thread.join()

    def _save(self, path: str, slot: Slot) -> None:
        assert self._recent is not None
        try:
            if not self._writes_past or not self._put(path, slot.data, slot.sums, past=True):
                self._put(path, slot.data, slot.sums)
        finally:
            self._recent.release(slot.number)
            with self._lock:
                self._saving.discard(threading.current_thread())

    def _put(self, path: str, data: Buffer, sums: Buffer = b"", *, past: bool = False) -> bool:
        """Write one file; return whether it exists.  Direct writes begin at a page boundary."""
        folder, name = os.path.split(path)
        temporary = f"{folder}/.{name}.{os.getpid()}.{threading.get_ident()}"
        try:
            beneath.make_folders(self._root, folder)
            fd = beneath.open_file(self._root, temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, self._mode)
            try:
                whole = _write(fd, data, sums or sums_of(data), past=past)
            finally:
                os.close(fd)
            if whole:
                beneath.rename(self._root, temporary, path)
                self._count(len(data))
                return True
        except OSError as error:
            if past and error.errno == errno.EINVAL:
                self._writes_past = False  # the file system does not support O_DIRECT
        with suppress(OSError):
            beneath.remove(self._root, temporary)
        return False

    def _count(self, size: int) -> None:
        with self._lock:
            self._fetched += size
            if self._fetched < self._limit // _SHARE:
                return
            self._fetched = 0
        self.shrink(self._limit - 2 * (self._limit // _SHARE))

    @contextmanager
    def fetching(self, ident: bytes, first: int, last: int) -> Iterator[None]:
        """Keep all other readers, in any process, from fetching blocks ``[first, last)`` meanwhile."""
        folder = self.folder_of(ident)
        try:
            beneath.make_folders(self._root, folder)
            fd = beneath.open_file(self._root, f"{folder}/{_LOCK}", os.O_RDWR | os.O_CREAT, self._mode)
        except OSError:  # a disk that is full or read-only: others may fetch the same
            yield
            return
        try:
            fcntl.fcntl(fd, fcntl.F_OFD_SETLKW, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, first, last - first, 0))
            yield
        finally:
            os.close(fd)

    def temporary_file(self, ident: bytes) -> BinaryIO:
        """Return a file without a name, on the disk of the cache, in which a whole reference may be collected."""
        folder = self.folder_of(ident)
        beneath.make_folders(self._root, folder)
        path = f"{folder}/.whole.{os.getpid()}.{threading.get_ident()}"
        fd = beneath.open_file(self._root, path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        beneath.remove(self._root, path)
        return os.fdopen(fd, "w+b")

    def references(self) -> Iterator[bytes]:
        """Yield the ids of the references that have cached data."""
        with suppress(OSError):
            for group in beneath.names(self._root, self._folder):
                with suppress(ValueError, OSError):
                    for name in beneath.names(self._root, f"{self._folder}/{group}"):
                        yield bytes.fromhex(name)

    def forget(self, ident: bytes) -> None:
        """Remove all cached data of one reference."""
        with suppress(RefusedError):
            beneath.remove_tree(self._root, self.folder_of(ident))

    def usage(self) -> tuple[int, int]:
        """Return (files, bytes) of the whole cache."""
        sizes = [size for _, size, _ in self._files()]
        return len(sizes), sum(sizes)

    def shrink(self, limit: int) -> int:
        """Remove the least recently used files until at most ``limit`` bytes are left; return the freed bytes."""
        files = sorted(self._files())
        total, freed = sum(size for _, size, _ in files), 0
        for _, size, path in files:
            if total - freed <= limit:
                break
            with suppress(OSError):
                beneath.remove(self._root, path)
                freed += size
        self._remove_empty()
        return freed

    def _files(self) -> Iterator[tuple[float, int, str]]:
        """Yield (last use, size, path) of all files, including those that killed processes left."""
        for path, status in beneath.walk(self._root, self._folder):
            if not stat.S_ISDIR(status.st_mode) and path.rpartition("/")[2] != _LOCK:
                yield status.st_mtime, status.st_blocks * 512, f"{self._folder}/{path}"

    def _remove_empty(self) -> None:
        """Remove the folders of references that have no block any more; a folder whose lock is held stays."""
        for path, status in beneath.walk(self._root, self._folder):
            if stat.S_ISDIR(status.st_mode):
                with suppress(OSError):
                    folder = f"{self._folder}/{path}"
                    if beneath.names(self._root, folder) == [_LOCK]:
                        self._remove_lock(f"{folder}/{_LOCK}")
                    beneath.remove_folder(self._root, folder)

    def _remove_lock(self, path: str) -> None:
        with suppress(OSError):
            fd = beneath.open_file(self._root, path, os.O_RDWR)
            try:
                fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
                beneath.remove(self._root, path)
            finally:
                os.close(fd)


def _write(fd: int, data: Buffer, sums: Buffer, *, past: bool) -> bool:
    """Write data and checksums; return whether there was room for all."""
    if not past:
        return os.writev(fd, (data, sums)) == len(data) + len(sums)
    fcntl.fcntl(fd, fcntl.F_SETFL, os.O_DIRECT)
    if os.write(fd, data) != len(data):
        return False
    fcntl.fcntl(fd, fcntl.F_SETFL, 0)
    return os.write(fd, sums) == len(sums)
