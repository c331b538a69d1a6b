"""The cache of ranges of remote objects: one for each user, shared by all workspaces and processes of that user.

    ~/.cache/artfs/remote/index/      an LMDB environment: which ranges there are, and the numbers of spans
    ~/.cache/artfs/remote/<n>         segments of up to 64 MiB: ranges one after another
    ~/.cache/artfs/remote/lock        byte n is locked while a range whose name hashes to n is fetched

A range is named by its object and offset.  Objects never change and their names are random, so a range is the same in
every workspace.  The cache is not trusted: who reads compares what comes with a hash, and asks the remote for what
differs.  So nothing is synced but the index, and any file may be removed at any time.

When the segments exceed the limit, the oldest go.  What is read from the older half of them is written again into the
newest, at the next write, and so stays.

Spans have numbers, of which node numbers consist (`artstore.records.lazy_nodes`).  They are never given twice: a new
index begins with a number that follows from the time.
"""

from __future__ import annotations

import fcntl
import os
import struct
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import lmdb

from artstore import beneath, locate
from artstore.errors import RefusedError, UnsupportedError
from artstore.remotes.packs.located import FormPlace
from artstore.remotes.packs.places import Pack, Place
from artstore.storage.lmdb_files import open_environment

__all__ = ["DEFAULT_LIMIT", "KnownSpan", "RangeCache", "Usage", "cache_of_user", "folder_of_user"]

DEFAULT_LIMIT: Final = 10_000_000_000
"""Bytes of segments, unless the user has set another limit."""
_SEGMENT: Final = 64 << 20
_SEGMENTS: Final = 16
"""A limit is divided into so many segments, if they are smaller than `_SEGMENT` then."""
_MAP_SIZE: Final = 1 << 36
_MOST_AGAIN: Final = 256
"""Ranges of old segments that are remembered to be written again."""
_MOST_OPEN: Final = 64
_EPOCH: Final = 1_767_225_600
_PER_SECOND: Final = 64
"""Numbers of spans that a second stands for, in the first number of a new index."""

_RANGE: Final = struct.Struct(">B16sI")
_STORED: Final = struct.Struct("<III")
_KNOWN: Final = struct.Struct("<16sB16sIII32s")
_SEGMENT_KEY: Final = struct.Struct(">II")
_NUMBER: Final = struct.Struct(">Q")
_STATE: Final = struct.Struct("<QIIIQ")
"""The next number of a span, the oldest and the newest segment, the end of that, and the bytes of all."""
_FLOCK: Final = struct.Struct("hhqqi4x")
_STATE_KEY: Final = b"m"
_LIMIT_KEY: Final = b"l"


class KnownSpan(NamedTuple):
    """A span that has a number: in which remote and where it lies, and a version that it belongs to, for messages."""

    remote: bytes
    form: FormPlace
    title: str


class Usage(NamedTuple):
    """The bytes that the cache takes, its limit, and the ranges that it has."""

    bytes: int
    limit: int
    ranges: int


class _State:
    """The counters of the index."""

    __slots__ = ("end", "newest", "next_span", "oldest", "total")

    def __init__(self, payload: bytes | None) -> None:
        if payload is None:
            first = max(int(time.time()) - _EPOCH, 1) * _PER_SECOND
            self.next_span, self.oldest, self.newest, self.end, self.total = first, 1, 1, 0, 0
        else:
            self.next_span, self.oldest, self.newest, self.end, self.total = _STATE.unpack(payload)

    def encode(self) -> bytes:
        return _STATE.pack(self.next_span, self.oldest, self.newest, self.end, self.total)


class RangeCache:
    """The cache in one folder, as one process uses it; for any number of threads.  Make it by `cache_of_user`.

    What cannot be kept, because the disk is full or read-only, is not kept; that is no error.
    """

    def __init__(self, folder: Path) -> None:
        """Open the cache, and make it if it is missing; raise `UnsupportedError` on a network file system."""
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        kind = locate.shared_filesystem(folder)
        if kind is not None:
            raise UnsupportedError(
                f"the cache of remotes in {folder} is on a {kind} file system, whose locks are unreliable",
                hint="set XDG_CACHE_HOME to a folder on a local disk",
            )
        beneath.make_folders(folder, folder / "index")
        self._env = open_environment(
            folder,
            folder / "index",
            0o600,
            new=True,
            map_size=_MAP_SIZE,
            max_readers=1024,
            metasync=False,
            max_dbs=0,
        )
        self._env.reader_check()
        self._lock = threading.Lock()
        self._open: dict[int, int] = {}
        self._again: dict[bytes, None] = {}

    # -- ranges --------------------------------------------------------------------------------------------------------

    def get(self, places: Sequence[Place]) -> list[bytes | None]:
        """Return the bytes of each place, as they were put, or None."""
        found: list[bytes | None] = []
        with self._env.begin() as raw:
            state = _State(raw.get(_STATE_KEY))
            rows = [raw.get(_range_key(place)) for place in places]
        old = (state.oldest + state.newest) // 2
        for place, row in zip(places, rows, strict=True):
            segment, at, length = (0, 0, -1) if row is None else _STORED.unpack(row)
            data = self._read(segment, at, length) if length == place.stored else None
            if data is not None and segment < old and len(self._again) < _MOST_AGAIN:
                self._again[_range_key(place)] = None
            found.append(data)
        return found

    def has(self, places: Sequence[Place]) -> list[bool]:
        """Return which places are there."""
        with self._env.begin() as raw:
            return [raw.get(_range_key(place)) is not None for place in places]

    def _read(self, segment: int, at: int, length: int) -> bytes | None:
        with self._lock:
            fd = self._open.get(segment)
            if fd is None:
                try:
                    fd = beneath.open_file(self.folder, self._path(segment))
                except (OSError, RefusedError):
                    return None
                self._close_some()
                self._open[segment] = fd
            try:
                data = os.pread(fd, length, at)
            except OSError:
                return None
        return data if len(data) == length else None

    def _close_some(self) -> None:
        while len(self._open) >= _MOST_OPEN:
            os.close(self._open.pop(next(iter(self._open))))

    def _path(self, segment: int) -> Path:
        return self.folder / str(segment)

    def put(self, items: Sequence[tuple[Place, bytes]]) -> None:
        """Keep ranges, each under its place; the oldest ones make room."""
        with suppress(OSError, lmdb.Error), self._env.begin(write=True) as raw:
            state = _State(raw.get(_STATE_KEY))
            limit = _limit_in(raw)
            again, self._again = self._again, {}
            for key in again:
                self._write_again(raw, state, key, limit)
            for place, data in items:
                self._write(raw, state, _range_key(place), data, limit)
            self._evict(raw, state, limit)
            raw.put(_STATE_KEY, state.encode())

    def _write_again(self, raw: Any, state: _State, key: bytes, limit: int) -> None:
        row = raw.get(key)
        if row is None:
            return
        segment, at, length = _STORED.unpack(row)
        data = self._read(segment, at, length) if segment < (state.oldest + state.newest) // 2 else None
        if data is not None:
            self._write(raw, state, key, data, limit)

    def _write(self, raw: Any, state: _State, key: bytes, data: bytes, limit: int) -> None:
        size = min(_SEGMENT, max(limit // _SEGMENTS, 1))
        if state.end and state.end + len(data) > size:
            state.newest, state.end = state.newest + 1, 0
        fd = beneath.open_file(self.folder, self._path(state.newest), os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            if os.pwrite(fd, data, state.end) != len(data):
                return
        finally:
            os.close(fd)
        raw.put(key, _STORED.pack(state.newest, state.end, len(data)))
        raw.put(b"k" + _SEGMENT_KEY.pack(state.newest, state.end), key)
        state.end += len(data)
        state.total += len(data)

    def _evict(self, raw: Any, state: _State, limit: int) -> None:
        """Remove the oldest segments while there are too many bytes, but never the newest."""
        while state.total > limit and state.oldest < state.newest:
            gone = state.oldest
            prefix = b"k" + gone.to_bytes(4, "big")
            rows = []
            with raw.cursor() as cursor:
                if cursor.set_range(prefix):
                    for key, value in cursor:
                        if not key.startswith(prefix):
                            break
                        rows.append((bytes(key), bytes(value)))
            for key, value in rows:
                row = raw.get(value)
                if row is not None and _STORED.unpack(row)[0] == gone:
                    raw.delete(value)
                raw.delete(key)
            with suppress(OSError):
                state.total -= beneath.status(self.folder, self._path(gone)).st_size
                beneath.remove(self.folder, self._path(gone))
            with self._lock:
                if (fd := self._open.pop(gone, None)) is not None:
                    os.close(fd)
            state.oldest += 1
            state.total = max(state.total, state.end)

    @contextmanager
    def fetching(self, place: Place) -> Iterator[None]:
        """Keep all other readers, in any process, from fetching the same range meanwhile."""
        fd = -1
        with suppress(OSError):  # an open file of its own: locks of one are not seen by its other users
            fd = beneath.open_file(self.folder, self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if fd >= 0:
                byte = zlib.crc32(_range_key(place))
                with suppress(OSError):
                    fcntl.fcntl(fd, fcntl.F_OFD_SETLKW, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0))
            yield
        finally:
            if fd >= 0:
                os.close(fd)

    # -- spans ---------------------------------------------------------------------------------------------------------

    def number_spans(self, remote: bytes, forms: Sequence[FormPlace], title: str) -> list[int]:
        """Return the numbers of spans, which those have that one of them is numbered with; they never change."""
        keys = [b"h" + remote + form.hash for form in forms]
        with self._env.begin() as raw:
            known = [raw.get(key) for key in keys]
        if None not in known:
            return [_NUMBER.unpack(value)[0] for value in known if value is not None]
        numbers = []
        with self._env.begin(write=True) as raw:
            state = _State(raw.get(_STATE_KEY))
            for key, form in zip(keys, forms, strict=True):
                value = raw.get(key)
                if value is None:
                    value = _NUMBER.pack(state.next_span)
                    raw.put(key, value)
                    pack, offset, stored = form.place
                    row = _KNOWN.pack(remote, pack.folder, pack.id, offset, stored, form.size, form.hash)
                    raw.put(b"n" + value, row + title.encode())
                    state.next_span += 1
                numbers.append(_NUMBER.unpack(value)[0])
            raw.put(_STATE_KEY, state.encode())
        return numbers

    def spans(self, first: int, count: int = 1) -> list[KnownSpan]:
        """Return the spans with numbers from ``first`` on, up to the first number that is not given."""
        found = []
        with self._env.begin() as raw:
            for number in range(first, first + count):
                row = raw.get(b"n" + _NUMBER.pack(number))
                if row is None:
                    break
                remote, folder, ident, offset, stored, size, digest = _KNOWN.unpack_from(row)
                form = FormPlace(digest, size, Place(Pack(folder, ident), offset, stored))
                found.append(KnownSpan(remote, form, row[_KNOWN.size :].decode(errors="replace")))
        return found

    # -- the whole -----------------------------------------------------------------------------------------------------

    def usage(self) -> Usage:
        """Return what the cache takes."""
        with self._env.begin() as raw:
            state, limit = _State(raw.get(_STATE_KEY)), _limit_in(raw)
            ranges = 0
            with raw.cursor() as cursor:
                if cursor.set_range(b"r"):
                    for key, _ in cursor:
                        if not key.startswith(b"r"):
                            break
                        ranges += 1
        return Usage(state.total, limit, ranges)

    def set_limit(self, limit: int) -> None:
        """Set the limit in bytes, for all processes, and remove what exceeds it."""
        with self._env.begin(write=True) as raw:
            raw.put(_LIMIT_KEY, _NUMBER.pack(limit))
        self.put([])

    def forget(self, places: Sequence[Place]) -> None:
        """Forget ranges: the next reading asks the remote."""
        with suppress(lmdb.Error), self._env.begin(write=True) as raw:
            for place in places:
                raw.delete(_range_key(place))

    def close(self) -> None:
        """Close all files; only for a cache that nothing uses any more."""
        self._env.close()
        for fd in self._open.values():
            os.close(fd)


def _range_key(place: Place) -> bytes:
    pack, offset, _ = place
    return b"r" + _RANGE.pack(pack.folder, pack.id, offset)


def _limit_in(raw: Any) -> int:
    value = raw.get(_LIMIT_KEY)
    return DEFAULT_LIMIT if value is None else int(_NUMBER.unpack(value)[0])


# -- of this process ---------------------------------------------------------------------------------------------------

_caches: dict[Path, RangeCache] = {}
_lock = threading.Lock()


def folder_of_user() -> Path:
    """Return the folder of the cache of this user."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("artfs", appauthor=False)) / "remote"


def cache_of_user() -> RangeCache:
    """Return the cache of this user, which is opened at the first call, and again after a fork."""
    folder = folder_of_user()
    with _lock:
        if folder not in _caches:
            _caches[folder] = RangeCache(folder)
        return _caches[folder]


def _forget_after_fork() -> None:
    global _lock
    _lock = threading.Lock()
    _forked.append(dict(_caches))  # LMDB's environment of the parent must not be closed here
    _caches.clear()


_forked: list[dict[Path, RangeCache]] = []
os.register_at_fork(after_in_child=_forget_after_fork)
