"""The cache of the content id of each file of a source folder, so that an unchanged folder is not read again.

One file per source folder, ``<cache folder>/<hash of its real path>``.  A put reads the old one and writes its
successor to a temporary file, folder by folder; `StatCache.commit` renames the new one over the old one.  It is only a
cache: a torn, foreign, stale or unreadable file counts as absent, and a failure to write it never fails a put.

A file counts as unchanged if size, mtime, ctime, inode and device are the same.  Not remembered is

- a file whose mtime or ctime is less than `MARGIN_NS` before it was read, or later: it could change once more without
  a change of its times (clocks of file systems tick slowly);
- a file on a file system whose ctime is not kept by the kernel (`UNTRUSTED_FILE_SYSTEMS`): two disk images built from
  different content can agree in every figure.

Format (little-endian).  The file is a sequence of blocks, one per folder, each after those of its subfolders, and a
trailer.

    block    magic 4s, flags u32, checksum u64, entries u64, digest 32s, then for all entries
             kinds u8[], figures (u64, i64, i64, u64, u64)[], ids 32s[], and the keys, joined by two zeros
    trailer  magic 4s, flags u32 (0), checksum u64, offset u64 and length u64 of the root's block

Entries are in the order of their names.  For a file the figures are its stamp, the id its content's; for a subfolder
they are (offset, length, 0, 0, 0) of its block, and the id its digest; for a symlink zeros, and the key is name, zero,
text.  A checksum is XXH3-64 over everything else of its block or trailer, with a seed made of path and identity of the
source.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import struct
import tempfile
from bisect import bisect_left
from pathlib import Path
from typing import BinaryIO, NamedTuple

import xxhash

from artstore.ingest.source import FileEntry, FileStamp, Identity
from artstore.locate import mount_points

__all__ = ["CACHES_MAX_BYTES", "MARGIN_NS", "UNTRUSTED_FILE_SYSTEMS", "DirectoryCache", "StatCache"]

MARGIN_NS = 2_000_000_000
"""How much older than its reading a file's times must be for it to be remembered."""

CACHES_MAX_BYTES = 1 << 30
"""How much the caches of all source folders may hold together; those not used for longest go first."""

UNTRUSTED_FILE_SYSTEMS = frozenset(
    {
        *("9p", "cramfs", "erofs", "exfat", "fat", "fuse", "fuseblk", "iso9660", "msdos", "ntfs", "ntfs3", "romfs"),
        *("squashfs", "udf", "vboxsf", "vfat", "virtiofs"),
    }
)
"""File systems whose ctime is stored in an image, invented, or supplied by a server."""

_BLOCK_MAGIC = b"aSC1"  # a new number whenever this format, or the meaning of a folder's digest, changes
_TRAILER_MAGIC = b"aST1"
_BLOCK = struct.Struct("<4sIQQ32s")
_TRAILER = struct.Struct("<4sIQQQ")
_FIGURES = struct.Struct("<QqqQQ")
_CHECKSUM = struct.Struct("<Q")
_CHECKSUM_AT = 8  # in a block and in a trailer
_ID_BYTES = 32
_NO_DIGEST = bytes(_ID_BYTES)
_COMPLETE = 1  # flag: the folder's digest is known, and every entry of it is in the block
_SEPARATOR = b"\0\0"  # names and link texts are not empty and have no zeros

_FILE, _LINK, _DIRECTORY = 0, 1, 2
_TEMPORARY = ".new"


class _Block(NamedTuple):
    """One folder's old state: parallel sequences by entry, and their raw bytes, from which runs are copied."""

    digest: bytes | None
    kinds: bytes
    figures: bytes
    ids: bytes
    keys: list[bytes]
    stamps: list[tuple[int, ...]]


_EMPTY = _Block(None, b"", b"", b"", [], [])


class _Item:
    """One entry of the new block that is not copied from the old one; dropped if its *ident* never comes."""

    __slots__ = ("figures", "ident", "key", "kind")

    def __init__(self, kind: int, key: bytes, figures: bytes = b"", ident: bytes | None = None) -> None:
        self.kind = kind
        self.key = key
        self.figures = figures
        self.ident = ident


class DirectoryCache:
    """Compare one folder with its old state, entry by entry, and record its new state.

    The walk's order is relied on: `lookup`, `link` and `enter` are called once for every entry, in the order of names.
    `record` may follow in any order and at any time before `leave`; folders may be left long after their siblings were
    entered, but before their parent is.  One thread may look up, link and enter while another records and leaves what
    the first has seen.
    """

    __slots__ = (
        *("_cache", "_children_same", "_cursor", "_items", "_name", "_old", "_parent"),
        *("_pending", "_recorded_digest", "_run_start", "_same", "_void"),
    )

    def __init__(
        self, cache: StatCache, parent: DirectoryCache | None, name: bytes, old: _Block, recorded_digest: bytes | None
    ) -> None:
        self._cache = cache
        self._parent = parent
        self._name = name
        self._old = old
        self._recorded_digest = recorded_digest
        self._same = True  # so far, the entries are the old ones, all of them and in order
        self._children_same = True  # and so are the subfolders that were left, and the files that were recorded
        self._void = False  # the old block was wrong about a file
        self._cursor = 0  # the old entry that is expected next
        self._run_start = 0  # the old entries from here to the cursor are in the new block as they are
        self._items: list[_Item | tuple[int, int]] = []  # before the run: new entries, and (start, stop) of old ones
        self._pending: dict[bytes, _Item] = {}  # files to be recorded and subfolders to be left

    def lookup(self, entry: FileEntry) -> bytes | None:
        """Return the 32-byte id of this file's content if it is known, or None if the file must be read."""
        cursor, old, name = self._cursor, self._old, entry.name
        # Stamps of links and subfolders have no device, so they equal no file's.
        if cursor >= len(old.stamps) or old.stamps[cursor] != entry.stamp or old.keys[cursor] != name:
            cursor = self._seek(name, _FILE)
            if cursor < 0 or old.stamps[cursor] != entry.stamp:
                self._pending[name] = self._add(_Item(_FILE, name))
                return None
        self._cursor = cursor + 1
        return old.ids[cursor * _ID_BYTES : (cursor + 1) * _ID_BYTES]

    def record(self, entry: FileEntry, content_id: bytes, read_started_ns: int) -> None:
        """Remember that the file had this content when it was read, from *read_started_ns* (the wall clock) on.

        The stamp is the one that held before and after the reading.  Silently remembers nothing of a file that is too
        young or whose file system cannot be trusted; see the head of this module.
        """
        stamp = entry.stamp
        item = self._pending.pop(entry.name, None)
        if item is None:
            # Known, but read all the same, because the store no longer has the content.
            index = bisect_left(self._old.keys, entry.name)
            if self._old.ids[index * _ID_BYTES : (index + 1) * _ID_BYTES] != content_id:
                self._void, self._children_same = True, False
        elif _is_settled(stamp, read_started_ns) and self._cache.trusts(stamp.device):
            item.figures = _FIGURES.pack(*stamp)
            item.ident = content_id

    def link(self, name: bytes, text: bytes) -> None:
        """Note a symlink that is kept."""
        key = name + b"\0" + text
        cursor = self._seek(key, _LINK)
        if cursor < 0:
            self._add(_Item(_LINK, key, _FIGURES.pack(0, 0, 0, 0, 0), _NO_DIGEST))
        else:
            self._cursor = cursor + 1

    def enter(self, name: bytes) -> DirectoryCache:
        """Return the cache of the subfolder *name*."""
        cursor = self._seek(name, _DIRECTORY)
        old, digest = _EMPTY, None
        same = self._same
        item = self._add(_Item(_DIRECTORY, name))
        if cursor >= 0:
            # An item of its own even if it is unchanged: its block has another offset in the new file.
            self._same = same
            self._cursor = self._run_start = cursor + 1
            offset, length = self._old.stamps[cursor][:2]
            old = self._cache.read_block(offset, length)
            digest = self._old.ids[cursor * _ID_BYTES : (cursor + 1) * _ID_BYTES]
        self._pending[name] = item
        return DirectoryCache(self._cache, self, name, old, digest)

    def unchanged_digest(self) -> bytes | None:
        """Return the digest that was noted for the folder if nothing in it changed since, else None.

        To be called once all entries are seen and all subfolders left: then every file was known, and every link, and
        every subfolder's digest, and nothing was added or is missing.
        """
        if self._same and self._children_same and not self._pending and self._cursor == len(self._old.keys):
            return self._old.digest
        return None

    def leave(self, digest: bytes) -> None:
        """Note the 32-byte digest of the finished folder, and write its block."""
        block = _pack_block(self._finished(), digest)
        self._pending.clear()
        place = self._cache.write_block(block)
        if self._parent is not None:
            self._parent._child_left(self._name, place, digest, digest == self._recorded_digest)
        else:
            self._cache.root_place = place

    def _child_left(self, name: bytes, place: tuple[int, int], digest: bytes, same: bool) -> None:
        item = self._pending.pop(name)
        item.figures = _FIGURES.pack(*place, 0, 0, 0)
        item.ident = digest
        if not same:
            self._children_same = False

    def _seek(self, key: bytes, kind: int) -> int:
        """Find the old entry at or after the cursor, and make it the next of the run; -1 if there is none."""
        cursor, keys = self._cursor, self._old.keys
        index = cursor
        if index >= len(keys) or keys[index] != key:
            index = bisect_left(keys, key, cursor)
        if index >= len(keys) or keys[index] != key or self._old.kinds[index] != kind:
            return -1
        if index != cursor:
            self._end_run()
            self._cursor = self._run_start = index
            self._same = False
        return index

    def _add(self, item: _Item) -> _Item:
        self._end_run()
        self._items.append(item)
        self._same = False
        return item

    def _end_run(self) -> None:
        if self._run_start < self._cursor:
            self._items.append((self._run_start, self._cursor))
        self._run_start = self._cursor

    def _finished(self) -> list[_Item | _Block]:
        """Return the parts of the new block: items, and pieces of the old block."""
        self._end_run()
        if self._void:
            return [_Item(_FILE, b"")]
        old = self._old
        return [
            item
            if isinstance(item, _Item)
            else _Block(
                None,
                old.kinds[item[0] : item[1]],
                old.figures[item[0] * _FIGURES.size : item[1] * _FIGURES.size],
                old.ids[item[0] * _ID_BYTES : item[1] * _ID_BYTES],
                old.keys[item[0] : item[1]],
                [],
            )
            for item in self._items
        ]


class StatCache:
    """The cache of one source folder during one put: the old one, and its successor.

    A context manager; leaving it without `commit` leaves the old cache in place.
    """

    def __init__(self, folder: Path, name: str, seed: int) -> None:
        """Made by `open`."""
        self._path = folder / name
        self._seed = seed
        self._untrusted = _untrusted_devices()
        self._old_fd = -1
        self._old_bytes = 0
        self._output: BinaryIO | None = None
        self._output_path = ""
        self._written = 0
        self.root_place: tuple[int, int] | None = None
        """Where the finished root's block was written; None until then."""

    @classmethod
    def open(cls, folder: Path, root_path: bytes, root_identity: Identity) -> StatCache:
        """Open the cache of the source at *root_path* (absolute, without symlinks) in *folder*, made if missing.

        Never fails: without a usable old cache nothing is known; if the new one cannot be created, nothing is kept.
        """
        # The user is part of the name, because in a shared workspace others' caches cannot be read or replaced.
        key = hashlib.blake2b(b"%d:%d:" % (os.geteuid(), len(root_path)) + root_path, digest_size=16)
        seed = hashlib.blake2b(b"%d:%d:" % root_identity + root_path, digest_size=8)
        cache = cls(folder, key.hexdigest(), int.from_bytes(seed.digest(), "little"))
        with contextlib.suppress(OSError):
            cache._old_fd = os.open(cache._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            cache._old_bytes = os.fstat(cache._old_fd).st_size
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            _remove_abandoned(folder)
            fd, cache._output_path = tempfile.mkstemp(_TEMPORARY, f"{cache._path.name}.", folder)
            cache._output = os.fdopen(fd, "wb", 1 << 20)
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return cache

    def enter_root(self) -> DirectoryCache:
        """Return the cache of the source folder itself."""
        trailer = self._read(self._old_bytes - _TRAILER.size, _TRAILER.size)
        old = _EMPTY
        if len(trailer) == _TRAILER.size and self._is_sound(trailer, _TRAILER_MAGIC):
            old = self.read_block(*_TRAILER.unpack(trailer)[3:])
        return DirectoryCache(self, None, b"", old, old.digest)

    def commit(self) -> None:
        """Replace the old cache by the new one; folders that were not left, root included, are not remembered."""
        output, self._output = self._output, None
        if output is None:
            return
        try:
            with output:
                if self.root_place is None:
                    os.unlink(self._output_path)
                    return
                output.write(self._signed(bytearray(_TRAILER.pack(_TRAILER_MAGIC, 0, 0, *self.root_place))))
                output.flush()
                os.replace(self._output_path, self._path)
            _prune(self._path)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(self._output_path)

    def abandon(self) -> None:
        """Drop the new cache, if it was not committed, and close both files."""
        self._drop_output()
        if self._old_fd >= 0:
            os.close(self._old_fd)
            self._old_fd = -1

    def __enter__(self) -> StatCache:
        return self

    def __exit__(self, *_: object) -> None:
        self.abandon()

    def trusts(self, device: int) -> bool:
        """Return whether files of the file system *device* (st_dev) cannot change without a change of their ctime."""
        return device not in self._untrusted

    def read_block(self, offset: int, length: int) -> _Block:
        """Read one folder's block; an empty one if it is damaged, or another source's."""
        raw = self._read(offset, length)
        if len(raw) < _BLOCK.size or not self._is_sound(raw, _BLOCK_MAGIC):
            return _EMPTY
        _, flags, _, entries, digest = _BLOCK.unpack_from(raw)
        figures_at = _BLOCK.size + entries
        ids_at = figures_at + entries * _FIGURES.size
        keys_at = ids_at + entries * _ID_BYTES
        keys = raw[keys_at:].split(_SEPARATOR) if entries else []
        if keys_at > len(raw) or len(keys) != entries:
            return _EMPTY
        figures = raw[figures_at:ids_at]
        return _Block(
            digest if flags & _COMPLETE else None,
            raw[_BLOCK.size : figures_at],
            figures,
            raw[ids_at:keys_at],
            keys,
            list(_FIGURES.iter_unpack(figures)),
        )

    def write_block(self, block: bytearray) -> tuple[int, int]:
        """Append a folder's block to the new cache; return its offset and length."""
        place = self._written, len(block)
        self._written += len(block)
        if self._output is not None:
            try:
                self._output.write(self._signed(block))
            except OSError:
                # Most likely the disk is full: the put itself will notice and report that.
                self._drop_output()
        return place

    def _drop_output(self) -> None:
        if self._output is not None:
            with contextlib.suppress(OSError):
                os.unlink(self._output_path)
            with contextlib.suppress(OSError):
                self._output.close()
            self._output = None

    def _read(self, offset: int, length: int) -> bytes:
        if self._old_fd < 0 or offset < 0 or offset + length > self._old_bytes:
            return b""
        try:
            return os.pread(self._old_fd, length, offset)
        except OSError:
            return b""

    def _signed(self, raw: bytearray) -> bytearray:
        _CHECKSUM.pack_into(raw, _CHECKSUM_AT, _checksum(raw, self._seed))
        return raw

    def _is_sound(self, raw: bytes, magic: bytes) -> bool:
        return raw[:4] == magic and _CHECKSUM.unpack_from(raw, _CHECKSUM_AT)[0] == _checksum(raw, self._seed)


def _is_settled(stamp: FileStamp, read_started_ns: int) -> bool:
    # Some file systems keep times that do not fit 64 bits of nanoseconds (the year 1).
    newest, oldest = max(stamp.mtime_ns, stamp.ctime_ns), min(stamp.mtime_ns, stamp.ctime_ns)
    return newest < read_started_ns - MARGIN_NS and oldest >= -(1 << 63)


def _pack_block(pieces: list[_Item | _Block], digest: bytes) -> bytearray:
    """Assemble a folder's block, checksum still zero; items without an id are left out, and the flags say so."""
    kinds, figures, ids, keys = bytearray(), bytearray(), bytearray(), []
    flags = _COMPLETE
    for piece in pieces:
        if isinstance(piece, _Block):
            kinds += piece.kinds
            figures += piece.figures
            ids += piece.ids
            keys += piece.keys
        elif piece.ident is None:
            flags = 0
        else:
            kinds.append(piece.kind)
            figures += piece.figures
            ids += piece.ident
            keys.append(piece.key)
    block = bytearray(_BLOCK.pack(_BLOCK_MAGIC, flags, 0, len(keys), digest))
    for part in (kinds, figures, ids, _SEPARATOR.join(keys)):
        block += part
    return block


def _checksum(raw: bytes | bytearray, seed: int) -> int:
    state = xxhash.xxh3_64(memoryview(raw)[:_CHECKSUM_AT], seed)
    state.update(memoryview(raw)[_CHECKSUM_AT + _CHECKSUM.size :])
    return state.intdigest()


def _untrusted_devices() -> frozenset[int]:
    """Return the st_dev of every mount whose ctime is not reliable."""
    try:
        mounts = mount_points()
    except OSError:
        return frozenset()
    numbers = (
        mount.device.split(":")
        for mount in mounts
        if mount.fstype in UNTRUSTED_FILE_SYSTEMS or mount.fstype.startswith("fuse.")
    )
    return frozenset(os.makedev(int(major), int(minor)) for major, minor in numbers)


def _remove_abandoned(folder: Path) -> None:
    """Remove the leftovers of killed puts: new caches that no process has locked."""
    for path in folder.glob(f"*{_TEMPORARY}"):
        with contextlib.suppress(OSError):
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
            finally:
                os.close(fd)


def _prune(kept: Path) -> None:
    """Remove the least recently used caches, but not *kept*, until all fit in `CACHES_MAX_BYTES`."""
    files: list[tuple[float, int, Path]] = []
    for path in kept.parent.iterdir():
        with contextlib.suppress(OSError):
            status = path.stat()
            if path != kept and path.suffix != _TEMPORARY:
                files.append((status.st_mtime, status.st_size, path))
    total = kept.stat().st_size + sum(size for _, size, _ in files)
    for _, size, path in sorted(files):
        if total <= CACHES_MAX_BYTES:
            return
        with contextlib.suppress(OSError):
            path.unlink()
        total -= size
