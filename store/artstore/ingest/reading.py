"""Reading files into content ids and stored forms.

One thread reads and cuts: small files whole, a batch at a time, large ones in windows.  Worker threads compress, and
hash the chunks of large files.  BLAKE3, zstd and read release the interpreter's lock; taking it again while others
want it costs more than reading a small file, so a task is many chunks, and compresses them in one call.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from typing import Final, NamedTuple

from artstore.errors import SourceChangedError, SourceError
from artstore.ids import Buffer, content_id
from artstore.ingest.chunker import MAXIMUM, MIXED, WHOLE, Sizes, boundaries, sizes_for
from artstore.ingest.source import FileEntry, FileStamp, display
from artstore.limits import raise_machine_error
from artstore.records.packing import CLASS_CONTENT
from artstore.storage.codec import Encoded, encode_all
from artstore.store import Store

__all__ = ["SMALL", "ChunkDraft", "FileDraft", "FileRead", "Window", "encode_small", "read_small", "read_windows"]

SMALL: Final = MAXIMUM
"""Files up to this many bytes are read whole."""
WINDOW: Final = 8 * 1024 * 1024
_ATTEMPTS: Final = 3
_PAUSE: Final = 0.05
_GROUP: Final = 1024 * 1024
"""Bytes of chunks that one task hashes and compresses."""


class ChunkDraft(NamedTuple):
    """A chunk: its id, its length, and its stored form, or None if a hint says that the store has it."""

    id: bytes
    size: int
    encoded: Encoded | None


class _Piece(NamedTuple):
    """A chunk that was cut and is not compressed yet."""

    id: bytes
    data: Buffer
    thorough: bool


class FileRead(NamedTuple):
    """A small file that was read, cut into chunks; ``error`` is set, and the rest empty, where it could not be."""

    id: bytes
    stamp: FileStamp | None
    read_ns: int
    pieces: list[_Piece]
    error: SourceError | None


class FileDraft(NamedTuple):
    """A small file that was read, its chunks ready to be stored."""

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
            before = FileStamp.of_fd(fd) if attempt else entry.stamp  # what the walk saw is before as well
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
            raise_machine_error(error, f"{display(entry.path)} cannot be read", but=errno.EIO)
            raise SourceError(
                f"{display(entry.path)} cannot be read: {os.strerror(error.errno or 0)}", paths=[entry.path]
            ) from error
        finally:
            os.close(fd)
    raise changed(entry)


def changed(entry: FileEntry) -> SourceChangedError:
    """Return the error that names a file which never held still."""
    return SourceChangedError(f"{display(entry.path)} kept changing while it was read", paths=[entry.path])


def _pieces(data: bytes) -> list[_Piece]:
    """Return the chunks of a small file."""
    if len(data) <= WHOLE:
        return [_Piece(content_id(data), data, True)]
    sizes = sizes_for(data)
    view = memoryview(data)
    starts = [0, *(ends := boundaries(data, sizes))[:-1]]
    return [_piece(view[start:end], sizes) for start, end in zip(starts, ends, strict=True)]


def _piece(data: memoryview, sizes: Sizes) -> _Piece:
    return _Piece(content_id(data), data, sizes == MIXED)  # what repeats gains nothing by it, and noise is left alone


def _encode_unknown(store: Store, pieces: Sequence[_Piece], hints: bool) -> list[ChunkDraft]:
    known: set[bytes] = set()
    if hints:
        with store.snapshot() as snapshot:
            known = {piece.id for piece in pieces if snapshot.transaction.find(CLASS_CONTENT, piece.id) is not None}
    drafts = [ChunkDraft(piece.id, len(piece.data), None) for piece in pieces]
    wanted: dict[bool, list[int]] = {False: [], True: []}
    for index, piece in enumerate(pieces):
        if piece.id not in known:
            wanted[piece.thorough].append(index)
            if hints:
                known.add(piece.id)
    for thorough, indices in wanted.items():
        encoded = encode_all([pieces[index].data for index in indices], thorough=thorough)
        for index, form in zip(indices, encoded, strict=True):
            drafts[index] = drafts[index]._replace(encoded=form)
    return drafts


def read_small(entries: Sequence[FileEntry]) -> list[FileRead]:
    """Read files whole; release each entry's directory.  Failures are in the results, not raised.

    For one thread that does nothing else: with several, most of the time goes into waiting for the interpreter's lock.
    """
    results = []
    for entry in entries:
        try:
            data, stamp, read_ns = _read_whole(entry)
            pieces = _pieces(data)
            ident = pieces[0].id if len(pieces) == 1 else content_id(data)
            results.append(FileRead(ident, stamp, read_ns, pieces, None))
        except SourceError as error:
            results.append(FileRead(b"", None, 0, [], error))
        finally:
            entry.directory.release()
    return results


def encode_small(store: Store, files: Sequence[FileRead], hints: bool) -> list[FileDraft]:
    """Compress what the store does not have of some files that were read."""
    drafts = iter(_encode_unknown(store, [piece for file in files for piece in file.pieces], hints))
    return [
        FileDraft(file.id, file.stamp, file.read_ns, [next(drafts) for _ in file.pieces], file.error) for file in files
    ]


def read_windows(store: Store, pool: Executor, fd: int, size: int, hints: bool) -> Iterator[Window]:
    """Read a large file of ``size`` bytes, window by window; chunks are worked on as they are found.

    Of a file that grows one byte more is read, which tells; to its end could be without end.

    Every byte is in exactly one window.  Chunks whose end is not known yet are carried into the next window's tasks.
    """

    def work(views: list[memoryview]) -> list[ChunkDraft]:
        return _encode_unknown(store, [_piece(view, sizes) for view in views], hints)

    sizes = MIXED
    carried = b""
    first = True
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
        if first:
            sizes, first = sizes_for(view[:filled]), False
        ends = boundaries(view[:filled], sizes)
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
