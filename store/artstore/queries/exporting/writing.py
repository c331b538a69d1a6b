"""Writing a selection into its destination: folders first, then files and links by several threads."""

from __future__ import annotations

import errno
import os
import secrets
import threading
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from artstore.errors import DamageError, OutsideError
from artstore.ids import ContentHasher
from artstore.queries.exporting.folders import make_folder, open_folder
from artstore.queries.exporting.meter import Meter
from artstore.queries.exporting.selection import Page, Selection, join, tasks
from artstore.queries.exporting.survey import Survey
from artstore.queries.exporting.workers import Workers
from artstore.records.trees import Kind, TreeEntry
from artstore.storage import disk
from artstore.temporaries import TemporaryFolder, remove_abandoned

__all__ = ["GetReceipt", "RootAttributes", "Writing"]

_WINDOW: Final = 4 * 1024 * 1024
_NO_WAY_FROM_THE_TOP: Final = frozenset((errno.EXDEV, errno.EACCES, errno.EPERM))
"""Another file system is mounted in the destination, or its top folder is not writable."""
_HOLE: Final = 64 * 1024
_ZEROS: Final = bytes(_HOLE)


class GetReceipt(NamedTuple):
    """The result of an export: files and links written, bytes of the files, and files that were present already."""

    files: int
    bytes: int
    skipped: int


class RootAttributes(NamedTuple):
    """The modification time, in ns since 1970, and the permission bits of a version's root folder."""

    mtime_ns: int
    mode: int


class Writing:
    """The second pass: make folders, write files and links."""

    def __init__(
        self,
        selection: Selection,
        dest: Path,
        workers: Workers,
        survey: Survey,
        *,
        overwrite: bool,
        meter: Meter,
        root: RootAttributes | None = None,
    ) -> None:
        """``root`` has the time and mode of the destination, if that is made."""
        self._root = root
        self._made: list[tuple[bytes, int, int]] = []
        self._selection = selection
        self._store = selection.store
        self._dest = dest
        self._workers = workers
        self._survey = survey
        self._overwrite = overwrite
        self._meter = meter
        self._lock = threading.Lock()
        self._temporary: TemporaryFolder | None = None
        self._files = self._bytes = self._skipped = 0

    def run(self) -> GetReceipt:
        """Write everything that is not there already."""
        with disk.out_of_space(self._dest, "the copy"):
            is_new = not self._dest.exists()
            self._dest.mkdir(parents=True, exist_ok=True)
            with open_folder(self._dest, b"") as top:
                remove_abandoned(top)
            try:
                for page in self._selection.pages(_always):
                    self._take(page)
                    self._meter.report()
                self._workers.finish(self._meter.report)
            finally:
                self._workers.end()  # none writes into the temporary folder any more
                if self._temporary is not None:
                    self._temporary.close()
            self._finish_folders()
            if is_new and self._root is not None:
                os.chmod(self._dest, self._root.mode)
                os.utime(self._dest, ns=(self._root.mtime_ns, self._root.mtime_ns))
        self._meter.report(last=True)
        return GetReceipt(self._files, self._bytes, self._skipped)

    def _take(self, page: Page) -> None:
        equal = self._survey.equal(page)
        to_write: list[tuple[int, TreeEntry]] = []
        directories: list[TreeEntry] = []
        for index, entry in enumerate(page.entries):
            if entry.kind == Kind.DIRECTORY:
                directories.append(entry)
            elif equal >> index & 1:
                self._skipped += 1
                self._meter.count(1, 0 if entry.kind == Kind.LINK else entry.size, entry.name)
            else:
                to_write.append((index, entry))
        if directories:
            with open_folder(self._dest, page.path) as fd:
                for entry in directories:
                    if make_folder(fd, entry.name, overwrite=self._overwrite):
                        self._made.append((join(page.path, entry.name), entry.mtime_ns, entry.mode))
        for part in tasks(to_write):
            self._workers.submit(partial(self._write, page, part), self._meter.report)

    def _finish_folders(self) -> None:
        """Give the folders that were made their times and modes, those inside a folder before it."""
        while self._made:
            path, mtime_ns, mode = self._made.pop()
            above, _, name = path.rpartition(b"/")
            with open_folder(self._dest, above) as fd, open_folder(self._dest, path) as folder:
                os.fchmod(folder, mode)
                os.utime(name, ns=(mtime_ns, mtime_ns), dir_fd=fd, follow_symlinks=False)

    def _write(self, page: Page, part: list[tuple[int, TreeEntry]]) -> None:
        with open_folder(self._dest, page.path) as fd:
            for _, entry in part:
                self._workers.check()
                try:
                    self._write_entry(fd, entry)
                except DamageError as error:
                    raise DamageError(f"{self._path(page, entry)} is not copied: {error}") from error
                except OutsideError:
                    raise
                except OSError as error:
                    error.filename, error.filename2 = self._path(page, entry), None
                    raise

    def _path(self, page: Page, entry: TreeEntry) -> str:
        return os.path.join(self._dest, os.fsdecode(join(page.path, entry.name)))

    def _write_entry(self, directory: int, entry: TreeEntry) -> None:
        """Write a file or link into a temporary folder, and rename it out of there.

        That is at the top of the destination, or, where no rename leads from there, in the same folder.
        """
        try:
            self._write_by(self._temporary_at_the_top(), directory, entry)
        except OSError as error:
            if error.errno not in _NO_WAY_FROM_THE_TOP:
                raise
            remove_abandoned(directory)
            with TemporaryFolder(directory) as temporary:
                self._write_by(temporary, directory, entry)
        with self._lock:
            self._files += 1
            if entry.kind != Kind.LINK:
                self._bytes += entry.size
        self._meter.count(1, 0, entry.name)

    def _temporary_at_the_top(self) -> TemporaryFolder:
        with self._lock:
            if self._temporary is None:
                with open_folder(self._dest, b"") as top:
                    self._temporary = TemporaryFolder(top)
            return self._temporary

    def _write_by(self, temporary: TemporaryFolder, directory: int, entry: TreeEntry) -> None:
        name = secrets.token_hex(8).encode()
        try:
            if entry.kind == Kind.LINK:
                self._write_link(temporary.fd, name, entry)
            else:
                self._write_file(temporary.fd, name, entry)
            os.utime(name, ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=temporary.fd, follow_symlinks=False)
            os.rename(name, entry.name, src_dir_fd=temporary.fd, dst_dir_fd=directory)
        except BaseException:
            with suppress(OSError):
                os.unlink(name, dir_fd=temporary.fd)
            raise

    def _write_link(self, directory: int, name: bytes, entry: TreeEntry) -> None:
        with self._store.snapshot() as snapshot:
            text = snapshot.read(entry.node, 0, entry.size)
        os.symlink(text, name, dir_fd=directory)

    def _write_file(self, directory: int, name: bytes, entry: TreeEntry) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(name, flags, 0o600, dir_fd=directory)
        try:
            self._copy(fd, entry)
            os.fchmod(fd, entry.mode)
        finally:
            os.close(fd)

    def _copy(self, fd: int, entry: TreeEntry) -> None:
        """Write an entry's content window by window and compare its hash with its id."""
        if entry.kind == Kind.REFERENCE:
            self._fetch(fd, entry)
            return
        hasher = ContentHasher()
        offset = 0
        while True:
            with self._store.snapshot() as snapshot:
                ident = snapshot.identity(entry.node)
                data = snapshot.read(entry.node, offset, _WINDOW)
            hasher.update(data)
            _append_sparsely(fd, data, offset)
            offset += len(data)
            self._meter.count(0, len(data), entry.name)
            if len(data) < _WINDOW:
                break
            self._workers.check()
        if offset != entry.size or hasher.digest() != ident:
            raise DamageError(f"its content does not match its id {ident.hex()}")
        os.ftruncate(fd, offset)

    def _fetch(self, fd: int, entry: TreeEntry) -> None:
        """Write the bytes of a reference, comparing them with its pin during the download."""
        with self._store.snapshot() as snapshot:
            ident, record = snapshot.identity(entry.node), snapshot.reference(entry.node)
        for offset in range(0, record.size, _WINDOW):
            self._workers.check()
            data = b"".join(self._store.outside.read(ident, record, offset, _WINDOW))
            _append_sparsely(fd, data, offset)
            self._meter.count(0, len(data), entry.name)
        os.ftruncate(fd, record.size)


def _append_sparsely(fd: int, data: bytes, offset: int) -> None:
    """Write a window, leaving out blocks of zeros; the caller sets the file's length at the end."""
    view = memoryview(data)
    start = 0
    for position in range(0, len(data), _HOLE):
        if data.startswith(_ZEROS, position):
            disk.append(fd, [view[start:position]], offset + start)
            start = position + _HOLE
    disk.append(fd, [view[start:]], offset + start)


def _always(_: bytes) -> bool:
    return True
