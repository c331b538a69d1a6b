"""Reading files into content ids and stored forms, on worker threads.

Small files are read whole, a batch to a task.  A large file is read in windows by the pipeline's own thread, which
also cuts them into chunks; the workers hash and compress the chunks.  BLAKE3, zstd and read release the GIL.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from typing import Final, NamedTuple

from artstore.chunker import MAXIMUM, MINIMUM, boundaries
from artstore.codec import Encoded, encode
from artstore.errors import SourceChangedError, SourceError
from artstore.ids import Buffer, content_id
from artstore.records.packing import CLASS_CONTENT
from artstore.source import FileEntry, FileStamp, display
from artstore.store import Store

__all__ = ["SMALL", "ChunkDraft", "FileDraft", "Window", "read_small", "read_windows"]

SMALL: Final = MAXIMUM
"""Files up to this many bytes are read whole."""
WINDOW: Final = 8 * 1024 * 1024
_ATTEMPTS: Final = 3
_PAUSE: Final = 0.05
_GROUP: Final = 1024 * 1024
"""Bytes of chunks that one task hashes and compresses."""


class ChunkDraft(NamedTuple):
    """A chunk: its id, its length, and its stored form, or None where a hint says that the store has it."""

    id: bytes
    size: int
    encoded: Encoded | None


class FileDraft(NamedTuple):
    """A small file that was read; ``error`` is set, and the rest empty, where it could not be."""

    id: bytes
    stamp: FileStamp | None
    read_ns: int
    chunks: list[ChunkDraft]
    error: SourceError | None


class Window(NamedTuple):
    """Consecutive bytes of a large file, and the chunks that end in it, being worked on."""

    data: memoryview
    chunks: list[Future[list[ChunkDraft]]]


def _read_whole(entry: FileEntry) -> tuple[bytes, FileStamp, int]:
    """Return (content, stamp, when reading began) of a file that did not change while it was read."""
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(_PAUSE * attempt)
        read_ns = time.time_ns()
        fd = entry.open()
        try:
            before = FileStamp.of_fd(fd)
            if before.size > 4 * SMALL:
                break
            data = os.read(fd, before.size + 1)
            while 0 < len(data) <= before.size and len(data) != before.size:
                more = os.read(fd, before.size + 1 - len(data))
                if not more:
                    break
                data += more
            if len(data) == before.size and FileStamp.of_fd(fd) == before:
                return data, before, read_ns
        except OSError as error:
            if isinstance(error, SourceError):
                raise
            raise SourceError(
                f"{display(entry.path)} cannot be read: {os.strerror(error.errno or 0)}", paths=[entry.path]
            ) from error
        finally:
            os.close(fd)
    raise changed(entry)


def changed(entry: FileEntry) -> SourceChangedError:
    """Return the error that names a file which never held still."""
    return SourceChangedError(f"{display(entry.path)} kept changing while it was read", paths=[entry.path])


def _pieces(data: bytes) -> list[tuple[bytes, Buffer]]:
    """Return (id, bytes) of each chunk of a small file."""
    if len(data) <= MINIMUM:
        return [(content_id(data), data)]
    ends = boundaries(data)
    if len(ends) == 1:
        return [(content_id(data), data)]
    view = memoryview(data)
    starts = [0, *ends[:-1]]
    return [(content_id(view[start:end]), view[start:end]) for start, end in zip(starts, ends, strict=True)]


def _encode_unknown(store: Store, pieces: Sequence[tuple[bytes, Buffer]], hints: bool) -> list[ChunkDraft]:
    known: set[bytes] = set()
    if hints:
        with store.snapshot() as snapshot:
            known = {ident for ident, _ in pieces if snapshot.transaction.find(CLASS_CONTENT, ident) is not None}
    drafts = []
    for ident, data in pieces:
        drafts.append(ChunkDraft(ident, len(data), None if ident in known else encode(data)))
        if hints:
            known.add(ident)
    return drafts


def read_small(store: Store, entries: Sequence[FileEntry], hints: bool) -> list[FileDraft]:
    """Read files whole; release each entry's directory.  Failures are in the drafts, not raised."""
    results: list[tuple[bytes, FileStamp | None, int, int, SourceError | None]] = []
    pieces: list[tuple[bytes, Buffer]] = []
    for entry in entries:
        try:
            data, stamp, read_ns = _read_whole(entry)
            found = _pieces(data)
            ident = found[0][0] if len(found) == 1 else content_id(data)
            pieces += found
            results.append((ident, stamp, read_ns, len(found), None))
        except SourceError as error:
            results.append((b"", None, 0, 0, error))
        finally:
            entry.directory.release()
    drafts = iter(_encode_unknown(store, pieces, hints))
    return [
        FileDraft(ident, stamp, read_ns, [next(drafts) for _ in range(count)], error)
        for ident, stamp, read_ns, count, error in results
    ]


def read_windows(store: Store, pool: Executor, fd: int, size: int, hints: bool) -> Iterator[Window]:
    """Read a large file of ``size`` bytes, window by window; chunks are worked on as they are found.

    Of a file that grows one byte more is read, which tells; to its end could be without end.

    Every byte is in exactly one window.  Chunks whose end is not known yet are carried into the next window's tasks.
    """

    def work(views: list[memoryview]) -> list[ChunkDraft]:
        return _encode_unknown(store, [(content_id(view), view) for view in views], hints)

    carried = b""
    left = size + 1
    at_end = False
    while not at_end:
        buffer = bytearray(len(carried) + WINDOW)
        buffer[: len(carried)] = carried
        view = memoryview(buffer)
        filled = len(carried)
        while filled < len(buffer):
            got = os.readv(fd, [view[filled : filled + left]])
            left -= got
            if not got:
                at_end = True
                break
            filled += got
        fresh = view[len(carried) : filled]
        ends = boundaries(view[:filled])
        if not at_end:
            ends.pop()  # the last boundary is only the end of what was read so far
        start = ends[-1] if ends else 0
        carried = bytes(view[start:filled]) if not at_end else b""
        yield Window(fresh, _submit_groups(pool, work, view, ends))


def _submit_groups(
    pool: Executor, work: Callable[[list[memoryview]], list[ChunkDraft]], view: memoryview, ends: Sequence[int]
) -> list[Future[list[ChunkDraft]]]:
    futures = []
    group: list[memoryview] = []
    size = start = 0
    for end in ends:
        group.append(view[start:end])
        size += end - start
        start = end
        if size >= _GROUP:
            futures.append(pool.submit(work, group))
            group, size = [], 0
    if group:
        futures.append(pool.submit(work, group))
    return futures
