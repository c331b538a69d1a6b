"""Pack files: append-only, one writer at a time, read with pread.

Guarantees:

- A segment is on the disk before the transaction that refers to it commits: `PackWriter.write_segment` syncs.
- Bytes past a pack's end in the manifest are uncommitted; the next writer truncates them under the pack's lock.
- A reader returns verified bytes or raises `DamageError`; packs are never mapped, because reading a mapping of a
  truncated file raises SIGBUS.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from artstore import beneath
from artstore.errors import DamageError, OutOfSpaceError, RefusedError
from artstore.ids import Buffer
from artstore.limits import raise_machine_error
from artstore.records.nodes import ChunkRecord, Extent, block_length
from artstore.records.packing import (
    HEAD_LENGTH,
    HEADER_LENGTH,
    PackedEntry,
    encode_header,
    encode_index,
    encode_segment_head,
    parse_header,
    parse_index,
    parse_segment_head,
)
from artstore.records.tables import Table, key32, number32, pack_end
from artstore.storage import disk, manifest
from artstore.storage.codec import RAW, Encoded, decode, verify_blocks, verify_stored
from artstore.storage.manifest import WriteTransaction
from artstore.storage.readahead import ReadAhead, Regions, ask_for

__all__ = [
    "PACK_LIMIT",
    "ChunkPart",
    "PackReader",
    "PackWriter",
    "Segment",
    "damaged",
    "pack_numbers",
    "pack_path",
    "read_segments",
]

PACK_LIMIT: Final = 256 * 1024 * 1024
"""A pack past this length takes no further segment."""
SEGMENT_BYTES: Final = 16 * 1024 * 1024
"""A segment with this many bytes of data takes no further stored form."""
_NAME: Final = re.compile(r"(\d{8,})\.pack")
_OPEN_PACKS: Final = 128
_GAP: Final = 64 * 1024
"""Bytes between two stored forms that are asked for as well: that is quicker than passing over them."""


ChunkPart = tuple[ChunkRecord, int, int]
"""A chunk, and the bytes of its content that are meant: from, to."""


def pack_path(workspace: Path, number: int) -> Path:
    """Return the path of a pack."""
    return workspace / "packs" / f"{number:08d}.pack"


def pack_numbers(workspace: Path) -> list[int]:
    """Return the numbers of the packs that are in the folder of packs."""
    return sorted(int(match[1]) for match in map(_NAME.fullmatch, beneath.names(workspace, "packs")) if match)


class _OpenPack:
    """An open pack; the last reader to let go of it closes it, so that eviction never closes one that is in use."""

    __slots__ = ("fd",)

    def __init__(self, workspace: Path, path: Path) -> None:
        self.fd = -1
        try:
            self.fd = beneath.open_file(workspace, path)
        except FileNotFoundError as error:
            raise DamageError(f"the pack {path} is missing") from error

    def __del__(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)


class PackReader:
    """Read stored forms; shared by the threads of one process, and reopened in a forked child."""

    def __init__(self, workspace: Path) -> None:
        self._workspace = workspace
        self._files: dict[int, _OpenPack] = {}
        self._lock = threading.Lock()
        self._ahead = ReadAhead()

    def share_regions(self, regions: Regions) -> None:
        """Look ahead together with the other processes that have ``regions``."""
        self._ahead.regions = regions

    def touch(self, extent: Extent) -> None:
        """Announce a read of the whole stored form of a small file."""
        self._ahead.touch(self._descriptor(extent.pack), extent.pack, extent.offset)

    def follow(self, node: int, start: int, end: int, pack: int, low: int, high: int) -> None:
        """Announce a read of bytes ``[start, end)`` of the large file ``node``, stored at ``[low, high)``.

        ``low`` is negative where the first of them are in another pack.
        """
        self._ahead.follow(self._descriptor(pack), node, start, end, pack, low, high)

    def ask_for(self, places: Iterable[tuple[int, int, int]]) -> None:
        """Ask the disk for (pack, offset, length) of several stored forms, neighbours together."""
        ahead: tuple[int, int, int] | None = None
        for pack, offset, length in sorted(places):
            if ahead is not None and pack == ahead[0] and offset <= ahead[2] + _GAP:
                ahead = pack, ahead[1], max(ahead[2], offset + length)
                continue
            self._ask_for(ahead)
            ahead = pack, offset, offset + length
        self._ask_for(ahead)

    def _ask_for(self, stretch: tuple[int, int, int] | None) -> None:
        if stretch is not None:
            with suppress(DamageError):  # the pack is missing: raised when it is read
                ask_for(self._descriptor(stretch[0]), stretch[1], stretch[2] - stretch[1])

    def _descriptor(self, pack: int) -> int:
        return (self._files.get(pack) or self._open(pack)).fd

    def _pread(self, pack: int, size: int, offset: int) -> bytes:
        file = self._files.get(pack) or self._open(pack)
        try:
            return disk.read_exactly(file.fd, size, offset)
        except OSError as error:
            raise_machine_error(error, f"the pack {pack_path(self._workspace, pack)} cannot be read")
            raise

    def _open(self, pack: int) -> _OpenPack:
        with self._lock:
            if pack not in self._files:
                if len(self._files) >= _OPEN_PACKS:
                    del self._files[next(iter(self._files))]
                self._files[pack] = _OpenPack(self._workspace, pack_path(self._workspace, pack))
            return self._files[pack]

    def close(self) -> None:
        """Close the packs that no thread is reading at this moment; the next read opens them again."""
        with self._lock:
            self._files.clear()

    def read(self, extent: Extent, size: int, checksums: tuple[int, ...]) -> bytes:
        """Return the whole content of a stored form: ``size`` bytes, verified."""
        if not extent.stored:
            return b""
        stored = self._pread(extent.pack, extent.stored, extent.offset)
        verify_stored(stored, checksums)
        return decode(extent.codec, stored, size)

    def read_stored(self, extent: Extent, checksums: tuple[int, ...]) -> bytes:
        """Return a whole stored form as it is, verified against its checksums and not decompressed."""
        stored = self._pread(extent.pack, extent.stored, extent.offset)
        verify_stored(stored, checksums)
        return stored

    def read_parts(self, parts: Sequence[ChunkPart]) -> list[Buffer]:
        """Return parts of consecutive raw chunks of a pack, by one read of the blocks they touch.

        Each part is verified separately; `DamageError` names the damaged chunk.
        """
        blocks = [_blocks_of(*part) for part in parts]
        pack, begin = parts[0][0].extent.pack, blocks[0].low
        stored = memoryview(self._pread(pack, blocks[-1].high - begin, begin))
        pieces: list[Buffer] = []
        for (chunk, start, end), (low, high, length) in zip(parts, blocks, strict=True):
            data = stored[low - begin : high - begin]
            before = low - chunk.extent.offset
            try:
                verify_blocks(data, before // length, chunk.checksums, length)
            except DamageError as error:
                raise damaged(chunk, error) from error
            pieces.append(data[start - before : end - before])
        return pieces


class _Blocks(NamedTuple):
    """Whole blocks of one stored form: bytes ``[low, high)`` of its pack, ``length`` bytes each."""

    low: int
    high: int
    length: int


def _blocks_of(chunk: ChunkRecord, start: int, end: int) -> _Blocks:
    """Return the blocks that hold bytes ``[start, end)`` of a raw chunk."""
    extent = chunk.extent
    if extent.codec != RAW:
        raise DamageError("a compressed chunk cannot be read in part")
    if end > extent.stored:
        raise damaged(chunk, DamageError(f"{extent.stored} raw bytes are to be {end}"))
    length = block_length(extent.stored, len(chunk.checksums))
    high = min(extent.stored, -(-end // length) * length)
    return _Blocks(extent.offset + start - start % length, extent.offset + high, length)


def damaged(chunk: ChunkRecord, error: DamageError) -> DamageError:
    """Return the error that names the damaged chunk and the kind of damage."""
    place = f"pack {chunk.extent.pack}, offset {chunk.extent.offset}"
    return DamageError(f"chunk {chunk.id.hex()} ({place}) is damaged: {error}")


class _Part(NamedTuple):
    """One segment as it is written: its head, its data and its index."""

    head: bytes
    buffers: list[Buffer]
    tail: bytes


class Segment:
    """Stored forms that wait to be written together, and the indexes that will close them.

    They become one segment of the pack, or several if they are long: a pack is copied and cut by whole segments, so
    that each must fit into the reserve of a full disk.
    """

    def __init__(self, base: int) -> None:
        self._base = base + HEAD_LENGTH
        self._parts: list[_Part] = []
        self._buffers: list[Buffer] = []
        self._length = 0
        self._indexed = 0
        self.entries: list[PackedEntry] = []
        self.length = 0
        """Bytes of all stored forms."""

    def add(self, klass: int, ident: bytes, encoded: Encoded, size: int, birth_ns: int) -> int:
        """Queue a stored form; return its offset in the pack."""
        if self._length >= SEGMENT_BYTES:
            self._close()
        offset = self._base + self._length
        stored = len(encoded.data)
        entry = PackedEntry(klass, encoded.codec, ident, offset, stored, size, birth_ns, encoded.checksums)
        self.entries.append(entry)
        self._buffers.append(encoded.data)
        self._length += stored
        self.length += stored
        return offset

    def _close(self) -> None:
        index = encode_index(self.entries[self._indexed :])
        self._parts.append(_Part(encode_segment_head(self._length, len(index)), self._buffers, index))
        self._base += self._length + len(index) + HEAD_LENGTH
        self._buffers, self._length, self._indexed = [], 0, len(self.entries)

    def parts(self) -> list[_Part]:
        """Return what is to be written; nothing can be added afterwards."""
        if len(self.entries) > self._indexed:
            self._close()
        return self._parts


class PackWriter:
    """Append segments to a pack that no other process writes.

    Picks a pack that has room and whose lock is free, else creates one, so that several puts can run in parallel.
    Never picks a pack in ``avoid``.  Not thread-safe.
    """

    def __init__(self, workspace: Path, uuid: bytes, mode: int, reserve: int, avoid: Collection[int] = ()) -> None:
        self._workspace = workspace
        self._uuid = uuid
        self._mode = mode
        self._reserve = reserve
        self._avoid = avoid
        self._fd = -1
        self._written = 0
        self.number = 0
        self.end = 0

    def new_segment(self) -> Segment:
        """Return an empty segment at the pack's current end; start another pack if this one is full."""
        if self._fd < 0 or self.end >= PACK_LIMIT:
            self.close()
            if not self._take_existing():
                self._create()
        return Segment(self.end)

    def _take_existing(self) -> bool:
        with manifest.read(self._workspace) as snapshot:
            ends = [(number32(key), pack_end(value)) for key, value in snapshot.rows(Table.PACKS)]
        return any(end < PACK_LIMIT and number not in self._avoid and self._take(number) for number, end in ends)

    def _take(self, number: int) -> bool:
        try:
            fd = beneath.open_file(self._workspace, pack_path(self._workspace, number), os.O_RDWR)
        except RefusedError:
            raise  # it is not a file of this workspace
        except OSError as error:
            raise_machine_error(error, f"the pack {number} cannot be opened")
            return False  # a pack that is gone or not ours to write: another will do
        is_taken = False
        try:
            is_taken = disk.try_lock(fd) and self._adopt(fd, number)
        finally:
            if not is_taken:
                os.close(fd)
        return is_taken

    def _adopt(self, fd: int, number: int) -> bool:
        """Go on at the end of a pack that this writer has locked; return whether it has room."""
        with manifest.read(self._workspace) as snapshot:
            value = snapshot.get(Table.PACKS, key32(number))
        end = 0 if value is None else pack_end(value)
        length = os.fstat(fd).st_size
        if value is None or end >= PACK_LIMIT or length < end:
            return False
        if length > end:
            os.ftruncate(fd, end)  # a torn tail, or one whose transaction never committed
        self._fd, self.number, self.end = fd, number, end
        return True

    def _create(self) -> None:
        with manifest.write(self._workspace) as transaction:
            self.number = transaction.state.next_pack
            transaction.state.next_pack += 1
            path = pack_path(self._workspace, self.number)
            # A file of that number is left from a transaction that never committed; its process may still hold it.
            beneath.remove(self._workspace, path, missing_ok=True)
            with disk.out_of_space(self._workspace, "a new pack"):
                self._fd = beneath.open_file(self._workspace, path, os.O_RDWR | os.O_CREAT | os.O_EXCL, self._mode)
                os.fchmod(self._fd, self._mode)
                disk.try_lock(self._fd)
                disk.append(self._fd, [encode_header(self._uuid, self.number, time.time_ns())], 0)
                disk.sync_data(self._fd)
                disk.sync_folder(self._workspace, path.parent)
            self.end = HEADER_LENGTH
            transaction.state.framing_bytes += self.end
            transaction.put(Table.PACKS, key32(self.number), self.end.to_bytes(8, "little"))

    def write_segment(self, segment: Segment) -> None:
        """Write and sync a segment at the pack's end; `record_end` must follow in the transaction that refers to it."""
        parts = segment.parts()
        needed = segment.length + sum(len(part.head) + len(part.tail) for part in parts)
        free = disk.free_bytes(self._workspace)
        if free < needed + self._reserve:
            raise OutOfSpaceError(
                f"only {free} bytes are left on the disk of {self._workspace}",
                hint="free some space and run the command again: stored content is kept",
            )
        with disk.out_of_space(self._workspace, "a pack"):
            end = self.end
            for part in parts:
                end = disk.append(self._fd, [part.head, *part.buffers, part.tail], end)
            disk.sync_data(self._fd)
        self.end = end
        self._written = segment.length

    def record_end(self, transaction: WriteTransaction) -> None:
        """Record the pack's end in the manifest, and count the framing of the last segment.

        The caller counts the stored forms in it, as used or as free.  All other bytes are framing, including an
        earlier segment whose transaction never committed.
        """
        row = transaction.get(Table.PACKS, key32(self.number))
        before = 0 if row is None else pack_end(row)
        transaction.state.framing_bytes += self.end - before - self._written
        transaction.put(Table.PACKS, key32(self.number), self.end.to_bytes(8, "little"))

    def close(self) -> None:
        """Release the pack, for others to append to."""
        if self._fd >= 0:
            disk.unlock(self._fd)
            os.close(self._fd)
            self._fd = -1


def read_segments(path: Path, end: int | None = None) -> list[list[PackedEntry]]:
    """Return the entries of each whole segment of a pack, in order; stops at a torn tail.

    ``end`` limits the reading to the bytes that are committed in the manifest.
    """
    segments: list[list[PackedEntry]] = []
    with open(beneath.open_file(path.parents[1], path), "rb") as file:
        parse_header(file.read(HEADER_LENGTH))
        limit = os.fstat(file.fileno()).st_size if end is None else end
        position = HEADER_LENGTH
        with suppress(DamageError):
            while position < limit:
                file.seek(position)
                data_length, index_length = parse_segment_head(file.read(HEAD_LENGTH))
                file.seek(position + HEAD_LENGTH + data_length)
                position += HEAD_LENGTH + data_length + index_length
                if position > limit:
                    break  # torn: the lengths are not trusted, so nothing is allocated for them
                segments.append(parse_index(file.read(index_length)))
    return segments
