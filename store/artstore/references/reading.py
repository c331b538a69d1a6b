"""Reading pinned content: from the cache, else from the service, in ranges that grow with sequential reading."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

from artstore.errors import ChangedError, OutOfSpaceError, OutsideError
from artstore.ids import Buffer, ContentHasher
from artstore.objects.access import Access
from artstore.objects.locations import Location, parse_location
from artstore.records.references import ReferenceRecord
from artstore.references.blocks import BLOCK, BlockCache
from artstore.references.delegating import open_service
from artstore.references.failures import Failures
from artstore.references.local import LocalFiles
from artstore.references.recent import SPAN, RecentSpans
from artstore.references.services import DeniedError, NoRangesError, Service

__all__ = ["Outside"]

T = TypeVar("T")

_MOST: Final = SPAN // BLOCK
"""Blocks that are asked for at once, at most."""
_AHEAD: Final = 3
"""Requests that run ahead of one reader, at most."""
_FILE: Final = "file://"


class Outside:
    """The reader of one workspace's references, for one process; safe in any thread, recreated after a fork.

    ``cache`` is the folder of the blocks, ``failures`` the folder of the failure notes; ``limit`` is in bytes.
    """

    def __init__(
        self,
        cache: Path,
        failures: Path,
        limit: int,
        mode: int,
        recent: RecentSpans | None = None,
        *,
        threads: bool = True,
    ) -> None:
        """Share ``recent`` with others, and fetch ahead of readers in threads; neither without ``threads``."""
        self._threads = threads
        self.blocks = BlockCache(cache, limit, mode, (recent or RecentSpans()) if threads else None)
        self.failures = Failures(failures, mode)
        self._files = LocalFiles(cache)
        self._limit = limit
        self._lock = threading.Lock()
        self._services: dict[tuple[Location, Access], Service] = {}
        self._running: dict[bytes, set[int]] = {}

    def cached(self, ident: bytes, record: ReferenceRecord, offset: int, size: int) -> list[Buffer] | None:
        """Return the result of `read` if that needs no request to a service, else None."""
        size = min(offset + size, record.size) - offset
        if size <= 0:
            return []
        if record.uri.startswith(_FILE):
            try:
                data = self._files.read(ident, record, offset, size, hashing=False)
            except ChangedError as error:
                self.failures.note(ident, str(error))
                raise
            return None if data is None else [data]
        pieces: list[Buffer] = []
        for block, start, end, whole in _blocks(record, offset, offset + size):
            piece = self.blocks.read(ident, block, start, end, whole)
            if piece is None:
                return None
            pieces.append(piece)
        self._run_ahead(ident, record, (offset + size - 1) // BLOCK)
        return pieces

    def read(self, ident: bytes, record: ReferenceRecord, offset: int, size: int) -> list[Buffer]:
        """Return ``size`` bytes from ``offset`` of the content that a record pins, in pieces; fewer only at its end.

        ``ident`` is the record's id.  Raises `ChangedError` if it is gone or replaced, which is noted, and
        `OutsideError` if that cannot be determined; never returns other bytes.
        """
        try:
            return self._read(ident, record, offset, size)
        except ChangedError as error:
            self.failures.note(ident, str(error))
            raise

    def _read(self, ident: bytes, record: ReferenceRecord, offset: int, size: int) -> list[Buffer]:
        size = min(offset + size, record.size) - offset
        if size <= 0:
            return []
        if record.uri.startswith(_FILE):
            data = self._files.read(ident, record, offset, size, hashing=True)
            assert data is not None
            return [data]
        pieces: list[Buffer] = []
        fresh: dict[int, Buffer] = {}
        last = (offset + size - 1) // BLOCK
        for block, start, end, whole in _blocks(record, offset, offset + size):
            piece = fresh[block][start:end] if block in fresh else self.blocks.read(ident, block, start, end, whole)
            if piece is None:
                fresh = self._fetch(ident, record, block, last + 1)
                piece = memoryview(fresh[block])[start:end]
            pieces.append(piece)
        self._run_ahead(ident, record, last)
        return pieces

    def _fetch(self, ident: bytes, record: ReferenceRecord, block: int, until: int, end: int = 0) -> dict[int, Buffer]:
        """Fetch blocks from ``block`` up to ``end``; return at least those up to ``until``.

        Without ``end`` this is up to ``until``, and further if the preceding blocks are cached.
        """
        wanted = end or max(until, block + 1, block + 2 * self._before(ident, block))
        last = min(wanted, block + _MOST, -(-record.size // BLOCK))
        with self.blocks.fetching(ident, block, last):
            fetched: dict[int, Buffer] = {}
            first = block  # other readers may have fetched some while we waited
            while first < last and self.blocks.has(ident, first):
                if first < until:
                    length = _length(record, first)
                    cached = self.blocks.read(ident, first, 0, length, length)
                    if cached is None:
                        break
                    fetched[first] = cached
                first += 1
            while last > max(first, until) and self.blocks.has(ident, last - 1):
                last -= 1
            if first < last:
                fetched |= self._bring(ident, record, first, last, wanted=until > first)
        self.failures.forget(ident)
        return fetched

    def _bring(
        self, ident: bytes, record: ReferenceRecord, first: int, last: int, *, wanted: bool
    ) -> dict[int, Buffer]:
        """Fetch blocks ``[first, last)`` into the cache, and return those that are ``wanted``."""
        location = parse_location(record.uri)
        if record.etag is None and record.version is None:
            return self._bring_whole(ident, record, location, first, last)
        part = first * BLOCK, min(last * BLOCK, record.size)

        def keep(service: Service) -> dict[int, Buffer]:
            pieces = service.pieces(location.key, record, part)
            if not wanted and self.blocks.is_span(first, part[1] - part[0]):
                self.blocks.keep_span(ident, first, pieces)
                return {}
            data = memoryview(b"".join(pieces))
            self.blocks.keep(ident, first, data)
            return {number: data[(number - first) * BLOCK :][:BLOCK] for number in range(first, last)}

        try:
            return self._ask(record, location, keep)
        except NoRangesError:
            return self._bring_whole(ident, record, location, first, last)

    def _ask(self, record: ReferenceRecord, location: Location, question: Callable[[Service], T]) -> T:
        """Request from the service; if it refuses, retry once with reloaded credentials: they may have been renewed."""
        try:
            return question(self._service(record, location))
        except DeniedError:
            with self._lock:
                self._services.pop(_service_key(record, location), None)
            return question(self._service(record, location))

    def _service(self, record: ReferenceRecord, location: Location) -> Service:
        key = _service_key(record, location)
        with self._lock:
            service = self._services.get(key)
        if service is None:
            service = open_service(location, key[1])
            with self._lock:
                self._services[key] = service
        return service

    def _bring_whole(
        self, ident: bytes, record: ReferenceRecord, location: Location, first: int, last: int
    ) -> dict[int, Buffer]:
        """Fetch a whole file, because its server serves no ranges or because only the whole can be verified."""
        if record.size > self._limit:
            raise OutsideError(
                f"{record.shown} can only be fetched whole, and its {record.size} bytes exceed the limit of the cache",
                hint="store it with artfs ref pin, or raise the limit with artfs config reference-cache",
            )
        try:
            with self.blocks.temporary_file(ident) as file:
                self._take_all(record, location, file.fileno())
                fetched: dict[int, Buffer] = {}
                for number in range(-(-record.size // BLOCK)):
                    data = os.pread(file.fileno(), BLOCK, number * BLOCK)
                    self.blocks.keep(ident, number, data)
                    if first <= number < last:
                        fetched[number] = data
                return fetched
        except OutsideError:
            raise
        except OSError as error:
            raise OutOfSpaceError(f"{record.shown} could not be fetched: {error.strerror}") from error

    def _take_all(self, record: ReferenceRecord, location: Location, fd: int) -> None:
        for piece in self._all(record, location):
            view = memoryview(piece)
            while len(view):
                view = view[os.write(fd, view) :]

    def whole(self, ident: bytes, record: ReferenceRecord, location: Location) -> Iterator[Buffer]:
        """Yield all bytes that a record pins, bypassing the cache; raise as `read` does, at the end at the latest."""
        try:
            yield from self._all(record, location)
        except ChangedError as error:
            self.failures.note(ident, str(error))
            raise

    def check(self, ident: bytes, record: ReferenceRecord) -> None:
        """Raise `ChangedError` if the pinned object is gone or replaced, `OutsideError` if that cannot be determined.

        An object pinned by its content is read for this, a file of this machine only if its times have changed.
        """
        try:
            if record.uri.startswith(_FILE):
                self._files.read(ident, record, 0, 0, hashing=True)
            elif record.etag is None and record.version is None:
                for _ in self._all(record, parse_location(record.uri)):
                    pass
            else:
                location = parse_location(record.uri)
                self._ask(record, location, lambda service: service.check(location.key, record))
        except ChangedError as error:
            self.failures.note(ident, str(error))
            raise
        self.failures.forget(ident)

    def _all(self, record: ReferenceRecord, location: Location) -> Iterator[Buffer]:
        hasher, size = ContentHasher(), 0
        for piece in self._service(record, location).pieces(location.key, record):
            size += len(piece)
            if size > record.size:
                break
            hasher.update(piece)
            yield piece
        if size != record.size or (record.blake3 is not None and hasher.digest().hex() != record.blake3):
            raise ChangedError(
                f"{record.shown} has changed since it was logged",
                hint="log it again to pin its current content",
            )

    # -- ahead -----------------------------------------------------------------------------------------------------

    def _run_ahead(self, ident: bytes, record: ReferenceRecord, block: int) -> None:
        """Prefetch what follows during sequential reads, from the service or the disk: more, the longer they last."""
        if not block or not self.blocks.has(ident, block - 1):
            return
        end = -(-record.size // BLOCK)
        if block == 1 or block % _MOST == 0:
            self.blocks.ask_ahead(ident, block + 1, min(block + 2 * _MOST, end))
        if not self._threads or (record.etag is None and record.version is None):
            return
        window = range(block + _MOST - block % _MOST, min(block + 1 + _AHEAD * _MOST, end), _MOST)
        wanted = [first for first in window if not self.blocks.has(ident, first)]
        if not wanted:
            return
        most = 1 + self._before(ident, block) * _AHEAD // _MOST
        with self._lock:
            running = self._running.setdefault(ident, set())
            wanted = [first for first in wanted[:most] if first not in running][: max(most - len(running), 0)]
            running.update(wanted)
            if not running:
                del self._running[ident]
        for first in wanted:
            threading.Thread(target=self._fetch_ahead, args=(ident, record, first, min(first + _MOST, end))).start()

    def _before(self, ident: bytes, block: int) -> int:
        """Return how many blocks directly before this one are cached, up to a limit."""
        return next((n for n in range(1, _MOST) if block < n or not self.blocks.has(ident, block - n)), _MOST) - 1

    def _fetch_ahead(self, ident: bytes, record: ReferenceRecord, first: int, last: int) -> None:
        try:
            with suppress(OutsideError, OSError):  # the read of this range reports the error
                self._fetch(ident, record, first, first, last)
        finally:
            with self._lock:
                running = self._running.get(ident, set())
                running.discard(first)
                if not running:
                    self._running.pop(ident, None)


def _service_key(record: ReferenceRecord, location: Location) -> tuple[Location, Access]:
    """Return the identity of a service: all of a location but the key."""
    place = location._replace(key="", version=None)
    return place, Access(record.endpoint, record.region, record.account, record.anonymous)


def _length(record: ReferenceRecord, block: int) -> int:
    return min(BLOCK, record.size - block * BLOCK)


def _blocks(record: ReferenceRecord, offset: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield (block, from, to, length of the block) for each block that bytes ``[offset, end)`` overlap."""
    for block in range(offset // BLOCK, -(-end // BLOCK)):
        base = block * BLOCK
        yield block, max(offset - base, 0), min(end - base, BLOCK), _length(record, block)
