"""Reading files into content ids and stored forms.

One thread reads: small files whole, a batch at a time, large ones in windows, which it also cuts.  Worker threads hash
and compress, and cut small files that are more than one chunk.  BLAKE3, zstd and read release the interpreter's lock;
taking it again while others want it costs more than reading a small file, so a task is many chunks, and compresses them
in one call.

Content whose id the store has is neither cut nor compressed: that is known of a file of up to a window before it is
cut.
"""

from __future__ import annotations

import errno
import mmap
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import suppress
from typing import Final, NamedTuple, Protocol

from artstore.errors import SourceChangedError, SourceError
from artstore.ids import Buffer, content_id
from artstore.ingest.chunker import MAXIMUM, MIXED, WHOLE, Sizes, boundaries, sizes_for
from artstore.ingest.source import FileEntry, FileStamp, display
from artstore.limits import raise_machine_error
from artstore.records.packing import CLASS_CONTENT
from artstore.rows.nodes import has_lost, is_whole
from artstore.storage.codec import RAW, Encoded, encode_all
from artstore.store import Store

__all__ = [
    "SMALL",
    "WINDOW",
    "ChunkDraft",
    "Encoder",
    "FileDraft",
    "FileRead",
    "Room",
    "Window",
    "begins_known",
    "encode_small",
    "known_of",
    "read_small",
    "read_windows",
    "without_bytes",
]

SMALL: Final = MAXIMUM
"""Files up to this many bytes are read whole."""
WINDOW: Final = 8 * 1024 * 1024
_ATTEMPTS: Final = 3
_PAUSE: Final = 0.05
_GROUP: Final = 1024 * 1024
"""Bytes of chunks that one task hashes and compresses."""
_BEGINNING: Final = 2 * 1024 * 1024
_BLOCK: Final = 10 * 1024 * 1024
"""Holds a window with what is carried into it: whole huge pages of 2 MiB."""
_NOTHING: Final = Encoded(RAW, b"", ())


class Encoder(Protocol):
    """Returns the stored forms of chunks, as `artstore.storage.codec.encode_all` does."""

    def __call__(self, contents: Sequence[Buffer], *, thorough: bool) -> list[Encoded]:
        """Return the form of each chunk; ``thorough`` ones may take more time."""
        ...


def without_bytes(contents: Sequence[Buffer], *, thorough: bool) -> list[Encoded]:
    """Return forms that hold nothing, for a tree that is compared and not stored."""
    return [_NOTHING] * len(contents)


class ChunkDraft(NamedTuple):
    """A chunk: its id, its length, and its stored form, or None if a hint says that the store has it.

    Without a stored form it may be more than a chunk: the whole content of a file.
    """

    id: bytes
    size: int
    encoded: Encoded | None


class FileRead(NamedTuple):
    """A small file that was read; ``error`` is set, and the rest empty, where it could not be."""

    data: Buffer
    stamp: FileStamp | None
    read_ns: int
    error: SourceError | None


class FileDraft(NamedTuple):
    """A small file that was read, its chunks ready to be stored."""

    id: bytes
    stamp: FileStamp | None
    read_ns: int
    chunks: list[ChunkDraft]
    error: SourceError | None


class Window(NamedTuple):
    """Consecutive bytes of a large file, and the chunks that end in it, being worked on.

    ``id`` is that of the whole file if this is all of it, else empty.  ``is_known`` tells that the store has that
    content, according to a hint; there are no chunks then.
    """

    data: memoryview
    chunks: list[Future[list[ChunkDraft]]]
    id: bytes = b""
    is_known: bool = False


class Room:
    """Memory to read into, taken from large blocks; for one thread.

    A block is used again once no part of it is in use: clearing memory for each file would take as long as reading it.
    The kernel is asked for huge pages.
    """

    __slots__ = ("_blocks", "_left")

    def __init__(self) -> None:
        self._blocks: list[mmap.mmap] = []
        self._left = memoryview(bytearray())

    def take(self, size: int) -> memoryview:
        """Return ``size`` bytes that nothing else uses; what is in them is undefined."""
        if size > len(self._left):
            self._left = memoryview(bytearray())
            self._left = memoryview(self._free_block(size))
        taken, self._left = self._left[:size], self._left[size:]
        return taken

    def _free_block(self, size: int) -> mmap.mmap:
        for block in self._blocks:
            if size <= len(block) and _is_free(block):
                return block
        block = mmap.mmap(-1, max(size, _BLOCK), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        with suppress(OSError, AttributeError):
            block.madvise(mmap.MADV_HUGEPAGE)
        if size <= _BLOCK:
            self._blocks.append(block)
        return block


def _is_free(block: mmap.mmap) -> bool:
    """Return whether no view of a block exists: then, and only then, Python would let it have another size."""
    try:
        block.resize(len(block))
    except BufferError:
        return False
    return True


def _read_once(entry: FileEntry, room: memoryview) -> FileRead | None:
    """Return a file that is as the walk saw it, read in one call into ``room``, a byte longer; else None."""
    read_ns = time.time_ns()
    fd = entry.open()
    try:
        size = os.readv(fd, [room])
        if size == len(room) - 1 and FileStamp.of_fd(fd) == entry.stamp:
            return FileRead(room[:size], entry.stamp, read_ns, None)
    except OSError:
        pass  # the next attempt names it
    finally:
        os.close(fd)
    return None


def _read_again(entry: FileEntry) -> FileRead:
    """Return a file that does not change while it is read, after a first attempt."""
    for attempt in range(1, _ATTEMPTS):
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
                return FileRead(data, before, read_ns, None)
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


def read_small(entries: Sequence[FileEntry], room: Room | None = None) -> list[FileRead]:
    """Read files whole; release each entry's directory.  Failures are in the results, not raised.

    For one thread that does nothing else: with several, most of the time goes into waiting for the interpreter's lock.
    """
    lengths = [entry.stamp.size + 1 for entry in entries]
    view = (room or Room()).take(sum(lengths))
    results = []
    start = 0
    for entry, length in zip(entries, lengths, strict=True):
        try:
            results.append(_read_once(entry, view[start : start + length]) or _read_again(entry))
        except SourceError as error:
            results.append(FileRead(b"", None, 0, error))
        finally:
            entry.directory.release()
        start += length
    return results


def encode_small(store: Store, files: Sequence[FileRead], hints: bool, encode: Encoder = encode_all) -> list[FileDraft]:
    """Hash, cut and encode what the store does not have of some files that were read."""
    ids = [b"" if file.error is not None else content_id(file.data) for file in files]
    known = known_of(store, ids) if hints else set()
    pieces: list[_Piece] = []
    counts = []
    for file, ident in zip(files, ids, strict=True):
        before = len(pieces)
        if file.error is None:
            if len(file.data) <= WHOLE or ident in known:
                pieces.append(_Piece(ident, file.data, True))
            else:
                pieces += _cut(file.data)
        counts.append(len(pieces) - before)
    if hints:
        whole = set(ids)
        known |= known_of(store, [piece.id for piece in pieces if piece.id not in whole])
    drafts = iter(_encode_unknown(pieces, known, hints, encode))
    return [
        FileDraft(ident, file.stamp, file.read_ns, [next(drafts) for _ in range(count)], file.error)
        for file, ident, count in zip(files, ids, counts, strict=True)
    ]


class _Piece(NamedTuple):
    """A chunk that is not compressed yet."""

    id: bytes
    data: Buffer
    thorough: bool


def _cut(data: Buffer) -> list[_Piece]:
    sizes = sizes_for(data)
    view = memoryview(data)
    starts = [0, *(ends := boundaries(data, sizes))[:-1]]
    return [_piece(view[start:end], sizes) for start, end in zip(starts, ends, strict=True)]


def _piece(data: memoryview, sizes: Sizes) -> _Piece:
    return _Piece(content_id(data), data, sizes == MIXED)  # what repeats gains nothing by it, and noise is left alone


def known_of(store: Store, ids: Sequence[bytes]) -> set[bytes]:
    """Return those of some contents' ids that the store has; as a hint, for they may be reaped."""
    if not ids:
        return set()
    with store.snapshot() as snapshot:
        find = snapshot.transaction.find
        known = {ident for ident in ids if find(CLASS_CONTENT, ident) is not None}
        if known and has_lost(snapshot.transaction):  # then a file may be there whose chunks are not
            known = {ident for ident in known if is_whole(snapshot.transaction, ident)}
    return known


def _encode_unknown(pieces: Sequence[_Piece], known: set[bytes], hints: bool, encode: Encoder) -> list[ChunkDraft]:
    """Return pieces with their stored forms, but without that of one that is known; with ``hints``, each only once."""
    wanted: dict[bool, list[int]] = {False: [], True: []}
    for index, piece in enumerate(pieces):
        if piece.id not in known:
            wanted[piece.thorough].append(index)
            if hints:
                known.add(piece.id)
    forms: list[Encoded | None] = [None] * len(pieces)
    for thorough, indices in wanted.items():
        if indices:
            encoded = encode([pieces[index].data for index in indices], thorough=thorough)
            for index, form in zip(indices, encoded, strict=True):
                forms[index] = form
    _let_go(forms, sum(len(piece.data) for piece in pieces))
    return [ChunkDraft(piece.id, len(piece.data), form) for piece, form in zip(pieces, forms, strict=True)]


def _let_go(forms: list[Encoded | None], size: int) -> None:
    """Copy the raw ones of some stored forms if they are few, since each keeps the block that was read into."""
    raw = {index: form for index, form in enumerate(forms) if form is not None and form.codec == RAW}
    if 2 * sum(len(form.data) for form in raw.values()) < size:
        for index, form in raw.items():
            forms[index] = form._replace(data=bytes(form.data))


def begins_known(store: Store, fd: int) -> bool:
    """Return whether the store has the first chunks of a file of more than a window, according to hints."""
    view = memoryview(os.pread(fd, WINDOW, 0))
    sizes = sizes_for(view)
    ends = boundaries(view[:_BEGINNING], sizes)[:-1]
    ids = [content_id(view[start:end]) for start, end in zip([0, *ends], ends, strict=False)]
    return bool(ids) and known_of(store, ids).issuperset(ids)


def read_windows(
    store: Store,
    pool: Executor,
    fd: int,
    size: int,
    hints: bool,
    room: Room | None = None,
    *,
    cut: bool = True,
    encode: Encoder = encode_all,
) -> Iterator[Window]:
    """Read a large file of ``size`` bytes, window by window; chunks are worked on as they are found.

    Without ``cut`` there are none.

    Of a file that grows one byte more is read, which tells; to its end could be without end.

    Every byte is in exactly one window.  Chunks whose end is not known yet are carried into the next window's tasks.
    """

    def work(views: list[memoryview]) -> list[ChunkDraft]:
        pieces = [_piece(view, sizes) for view in views]
        known = known_of(store, [piece.id for piece in pieces]) if hints else set()
        return _encode_unknown(pieces, known, hints, encode)

    room = room or Room()
    sizes = MIXED
    carried = memoryview(b"")
    first = True
    left = size + 1
    at_end = False
    while not at_end:
        length = len(carried) + min(WINDOW, left)
        view = room.take(length)
        view[: len(carried)] = carried
        filled = _filled(fd, view, len(carried))
        left -= filled - len(carried)
        at_end = filled < length or not left
        fresh = view[len(carried) : filled]
        if not cut:
            yield Window(fresh, [])
            continue
        ident = b""
        if first:
            first = False
            if at_end:
                ident = content_id(fresh)
                if hints and ident in known_of(store, [ident]):
                    yield Window(fresh, [], ident, True)
                    return
            sizes = sizes_for(fresh)
        ends = boundaries(view[:filled], sizes)
        if not at_end:
            ends.pop()  # the last boundary is only the end of what was read so far
        start = ends[-1] if ends else 0
        carried = view[start:filled]
        yield Window(fresh, _submit_groups(pool, work, view, ends), ident)


def _filled(fd: int, view: memoryview, filled: int) -> int:
    """Read into a view from ``filled`` on; return up to where, which is its end unless the file ends before."""
    while filled < len(view):
        got = os.readv(fd, [view[filled:]])
        if not got:
            break
        filled += got
    return filled


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
