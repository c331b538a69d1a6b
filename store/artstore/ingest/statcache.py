"""The cache of the content id of each file of a source folder, so that an unchanged folder is not read again.

One file per source folder, ``<cache folder>/<hash of its real path>``.  A put reads the old one and writes its
successor to a temporary file, folder by folder; `StatCache.commit` renames the new one over the old one.  It is only a
cache: a torn, foreign, stale or unreadable file counts as absent, and a failure to write it never fails a put.

A file counts as unchanged if size, mtime, ctime, inode and device are the same.  Not remembered is

- a file whose mtime or ctime is less than `MARGIN_NS` before it was read, or later: it could change once more without
  a change of its times (clocks of file systems tick slowly);
- a file on a file system whose ctime is not kept by the kernel (`UNTRUSTED_FILE_SYSTEMS`): two disk images built from
  different content can agree in every figure.

The file's format is in `artstore.records.statblocks`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from _blake2 import blake2b  # `hashlib` would load OpenSSL
from bisect import bisect_left
from pathlib import Path
from typing import BinaryIO

from artstore import beneath
from artstore.ingest.source import FileEntry, FileStamp, Identity
from artstore.locate import mount_points
from artstore.records.statblocks import (
    DIRECTORY,
    EMPTY,
    FILE,
    ID_BYTES,
    LINK,
    TRAILER_LENGTH,
    StatBlock,
    StatEntry,
    encode_block,
    encode_figures,
    encode_trailer,
    parse_block,
    parse_trailer,
)

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

_TEMPORARY = ".new"


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
        self,
        cache: StatCache,
        parent: DirectoryCache | None,
        name: bytes,
        old: StatBlock,
        recorded_digest: bytes | None,
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
        self._items: list[
            StatEntry | tuple[int, int]
        ] = []  # before the run: new entries, and (start, stop) of old ones
        self._pending: dict[bytes, StatEntry] = {}  # files to be recorded and subfolders to be left

    def lookup(self, entry: FileEntry) -> bytes | None:
        """Return the 32-byte id of this file's content if it is known, or None if the file must be read."""
        cursor, old, name = self._cursor, self._old, entry.name
        # Stamps of links and subfolders have no device, so they equal no file's.
        if cursor >= len(old.stamps) or old.stamps[cursor] != entry.stamp or old.keys[cursor] != name:
            cursor = self._seek(name, FILE)
            if cursor < 0 or old.stamps[cursor] != entry.stamp:
                self._pending[name] = self._add(StatEntry(FILE, name))
                return None
        self._cursor = cursor + 1
        return old.ids[cursor * ID_BYTES : (cursor + 1) * ID_BYTES]

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
            if self._old.ids[index * ID_BYTES : (index + 1) * ID_BYTES] != content_id:
                self._void, self._children_same = True, False
        elif _is_settled(stamp, read_started_ns) and self._cache.trusts(stamp.device):
            item.figures = encode_figures(*stamp)
            item.ident = content_id

    def link(self, name: bytes, text: bytes) -> None:
        """Note a symlink that is kept."""
        key = name + b"\0" + text
        cursor = self._seek(key, LINK)
        if cursor < 0:
            self._add(StatEntry(LINK, key, encode_figures(0, 0, 0, 0, 0), bytes(ID_BYTES)))
        else:
            self._cursor = cursor + 1

    def enter(self, name: bytes) -> DirectoryCache:
        """Return the cache of the subfolder *name*."""
        cursor = self._seek(name, DIRECTORY)
        old, digest = EMPTY, None
        same = self._same
        item = self._add(StatEntry(DIRECTORY, name))
        if cursor >= 0:
            # An item of its own even if it is unchanged: its block has another offset in the new file.
            self._same = same
            self._cursor = self._run_start = cursor + 1
            offset, length = self._old.stamps[cursor][:2]
            old = self._cache.read_block(offset, length)
            digest = self._old.ids[cursor * ID_BYTES : (cursor + 1) * ID_BYTES]
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
        pieces = self._finished()
        self._pending.clear()
        place = self._cache.write_block(pieces, digest)
        if self._parent is not None:
            self._parent._child_left(self._name, place, digest, digest == self._recorded_digest)
        else:
            self._cache.root_place = place

    def _child_left(self, name: bytes, place: tuple[int, int], digest: bytes, same: bool) -> None:
        item = self._pending.pop(name)
        item.figures = encode_figures(*place, 0, 0, 0)
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

    def _add(self, item: StatEntry) -> StatEntry:
        self._end_run()
        self._items.append(item)
        self._same = False
        return item

    def _end_run(self) -> None:
        if self._run_start < self._cursor:
            self._items.append((self._run_start, self._cursor))
        self._run_start = self._cursor

    def _finished(self) -> list[StatEntry | StatBlock]:
        """Return the parts of the new block: items, and pieces of the old block."""
        self._end_run()
        if self._void:
            return [StatEntry(FILE, b"")]
        old = self._old
        return [item if isinstance(item, StatEntry) else old.part(*item) for item in self._items]


class StatCache:
    """The cache of one source folder during one put: the old one, and its successor.

    A context manager; leaving it without `commit` leaves the old cache in place.
    """

    def __init__(self, folder: Path, name: str, seed: int) -> None:
        """Made by `open`."""
        self._path = folder / name
        self._root = folder.parents[1]  # the workspace, for the folder lies in its `cache`
        self._seed = seed
        self._untrusted = _untrusted_devices()
        self._old_fd = -1
        self._old_bytes = 0
        self._output: BinaryIO | None = None
        self._output_path = folder
        self._written = 0
        self.root_place: tuple[int, int] | None = None
        """Where the finished root's block was written; None until then."""

    @classmethod
    def open(cls, folder: Path, root_path: bytes, root_identity: Identity, *, writes: bool = True) -> StatCache:
        """Open the cache of the source at *root_path* (absolute, without symlinks) in *folder*, made if missing.

        Unless it *writes*, there is no successor.  Never fails: without a usable old cache nothing is known; if the new
        one cannot be created, nothing is kept.
        """
        # The user is part of the name, because in a shared workspace others' caches cannot be read or replaced.
        key = blake2b(b"%d:%d:" % (os.geteuid(), len(root_path)) + root_path, digest_size=16)
        seed = blake2b(b"%d:%d:" % root_identity + root_path, digest_size=8)
        cache = cls(folder, key.hexdigest(), int.from_bytes(seed.digest(), "little"))
        with contextlib.suppress(OSError):
            cache._old_fd = beneath.open_file(cache._root, cache._path)
            cache._old_bytes = os.fstat(cache._old_fd).st_size
        if not writes:
            return cache
        with contextlib.suppress(OSError):
            beneath.make_folders(cache._root, folder)
            _remove_abandoned(cache._root, folder)
            output = folder / f"{cache._path.name}.{os.urandom(6).hex()}{_TEMPORARY}"
            fd = beneath.open_file(cache._root, output, os.O_RDWR | os.O_CREAT | os.O_EXCL)
            cache._output_path = output
            cache._output = os.fdopen(fd, "wb", 1 << 20)
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return cache

    def enter_root(self) -> DirectoryCache:
        """Return the cache of the source folder itself."""
        trailer = self._read(self._old_bytes - TRAILER_LENGTH, TRAILER_LENGTH)
        root = parse_trailer(trailer, self._seed)
        old = EMPTY if root is None else self.read_block(*root)
        return DirectoryCache(self, None, b"", old, old.digest)

    def commit(self) -> None:
        """Replace the old cache by the new one; folders that were not left, root included, are not remembered."""
        output, self._output = self._output, None
        if output is None:
            return
        try:
            with output:
                if self.root_place is None:
                    beneath.remove(self._root, self._output_path)
                    return
                output.write(encode_trailer(*self.root_place, self._seed))
                output.flush()
                beneath.rename(self._root, self._output_path, self._path)
            _prune(self._root, self._path)
        except OSError:
            with contextlib.suppress(OSError):
                beneath.remove(self._root, self._output_path)

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

    def read_block(self, offset: int, length: int) -> StatBlock:
        """Read one folder's block; an empty one if it is damaged, or another source's."""
        return parse_block(self._read(offset, length), self._seed)

    def write_block(self, pieces: list[StatEntry | StatBlock], digest: bytes) -> tuple[int, int]:
        """Append a folder's block to the new cache; return its offset and length."""
        block = encode_block(pieces, digest, self._seed)
        place = self._written, len(block)
        self._written += len(block)
        if self._output is not None:
            try:
                self._output.write(block)
            except OSError:
                # Most likely the disk is full: the put itself will notice and report that.
                self._drop_output()
        return place

    def _drop_output(self) -> None:
        if self._output is not None:
            with contextlib.suppress(OSError):
                beneath.remove(self._root, self._output_path)
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


def _is_settled(stamp: FileStamp, read_started_ns: int) -> bool:
    # Some file systems keep times that do not fit 64 bits of nanoseconds (the year 1).
    newest, oldest = max(stamp.mtime_ns, stamp.ctime_ns), min(stamp.mtime_ns, stamp.ctime_ns)
    return newest < read_started_ns - MARGIN_NS and oldest >= -(1 << 63)


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


def _remove_abandoned(root: Path, folder: Path) -> None:
    """Remove the leftovers of killed puts: new caches that no process has locked."""
    for name in beneath.names(root, folder):
        if name.endswith(_TEMPORARY):
            with contextlib.suppress(OSError), beneath.closing(beneath.open_file(root, folder / name)) as fd:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                beneath.remove(root, folder / name)


def _prune(root: Path, kept: Path) -> None:
    """Remove the least recently used caches, but not *kept*, until all fit in `CACHES_MAX_BYTES`."""
    files: list[tuple[float, int, Path]] = []
    for path in [kept.parent / name for name in beneath.names(root, kept.parent)]:
        with contextlib.suppress(OSError):
            status = beneath.status(root, path)
            if path != kept and path.suffix != _TEMPORARY:
                files.append((status.st_mtime, status.st_size, path))
    total = beneath.status(root, kept).st_size + sum(size for _, size, _ in files)
    for _, size, path in sorted(files):
        if total <= CACHES_MAX_BYTES:
            return
        with contextlib.suppress(OSError):
            beneath.remove(root, path)
        total -= size
