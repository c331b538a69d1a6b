"""Surveying the destination of an export: which files are equal, and which differ.

The survey writes nothing.  Files of equal size are hashed, by several threads, so equal means equal in every byte.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from artstore.errors import ExistsError
from artstore.ids import ContentHasher
from artstore.queries.exporting.folders import open_folder
from artstore.queries.exporting.meter import Meter
from artstore.queries.exporting.selection import Page, Selection, join, tasks
from artstore.queries.exporting.workers import Workers
from artstore.records.trees import Kind, TreeEntry
from artstore.rows.snapshot import Snapshot

__all__ = ["Survey"]

_LISTED: Final = 3
_ABSENT: Final = (FileNotFoundError, NotADirectoryError)


class Survey:
    """The state of the destination: which files are equal, and which differ."""

    def __init__(self, selection: Selection, dest: Path, workers: Workers, meter: Meter) -> None:
        self._selection = selection
        self._dest = dest
        self._workers = workers
        self._meter = meter
        self._lock = threading.Lock()
        self._equal: dict[tuple[bytes, int], int] = {}
        self._different: list[bytes] = []
        self._folders: list[bytes] = []

    def equal(self, page: Page) -> int:
        """Return the entries of a page that are there already, as a mask of bits."""
        return self._equal.get((page.path, page.position), 0)

    def run(self) -> None:
        """Look at everything that the selection names."""
        for page in self._selection.pages(self._is_directory):
            with suppress(*_ABSENT), open_folder(self._dest, page.path) as fd:
                self._look(fd, page)
        self._workers.finish(self._meter.report)
        if self._equal or self._different:
            self._meter.report(last=True)

    def _is_directory(self, path: bytes) -> bool:
        """Return whether a path is a real folder; below any other path there is nothing to survey."""
        try:
            with open_folder(self._dest, path):
                return True
        except _ABSENT:
            return False

    def _look(self, fd: int, page: Page) -> None:
        to_hash: list[tuple[int, TreeEntry]] = []
        for index, entry in enumerate(page.entries):
            try:
                status = os.stat(entry.name, dir_fd=fd, follow_symlinks=False)
            except FileNotFoundError:
                continue
            if stat.S_ISDIR(status.st_mode):
                if entry.kind != Kind.DIRECTORY:
                    self._folders.append(join(page.path, entry.name))
            elif entry.kind == Kind.LINK and stat.S_ISLNK(status.st_mode):
                self._look_at_link(fd, page, index, entry)
            elif _may_be_equal(entry, status):
                to_hash.append((index, entry))
            else:
                self._different.append(join(page.path, entry.name))
        for part in tasks(to_hash):
            self._workers.submit(partial(self._hash, page, part), self._meter.report)

    def _look_at_link(self, fd: int, page: Page, index: int, entry: TreeEntry) -> None:
        with self._selection.store.snapshot() as snapshot:
            text = snapshot.read(entry.node, 0, entry.size)
        if os.readlink(entry.name, dir_fd=fd) == text:
            self._note(page, [index], [])
        else:
            self._note(page, [], [entry])

    def _hash(self, page: Page, part: list[tuple[int, TreeEntry]]) -> None:
        with self._selection.store.snapshot() as snapshot:
            ids = [_content_id(snapshot, entry) for _, entry in part]
        equal, different = [], []
        with open_folder(self._dest, page.path) as fd:
            for (index, entry), ident in zip(part, ids, strict=True):
                file_id = self._file_id(fd, entry.name)
                self._meter.count(1, 0, entry.name)
                if file_id == ident:
                    equal.append(index)
                else:
                    different.append(entry)
        self._note(page, equal, different)

    def _file_id(self, directory: int, name: bytes) -> bytes:
        hasher = ContentHasher()
        buffer = bytearray(1 << 20)
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
        try:
            while count := os.readv(fd, [buffer]):
                self._workers.check()
                hasher.update(memoryview(buffer)[:count])
                self._meter.count(0, count, name)
        finally:
            os.close(fd)
        return hasher.digest()

    def _note(self, page: Page, equal: Iterable[int], different: Iterable[TreeEntry]) -> None:
        with self._lock:
            self._different += [join(page.path, entry.name) for entry in different]
            for index in equal:
                key = page.path, page.position
                self._equal[key] = self._equal.get(key, 0) | 1 << index

    def refuse(self, *, overwrite: bool) -> None:
        """Raise `ExistsError`, with all paths, for files that may not be replaced."""
        if self._folders:
            what = _listed(self._folders, "is a folder", "are folders")
            raise ExistsError(
                f"{what} in {self._dest}, where this version has files; folders are never deleted",
                hint="move it away, or copy to another folder",
                paths=sorted(self._folders),
            )
        if self._different and not overwrite:
            what = _listed(self._different, "differs", "differ")
            raise ExistsError(
                f"{what} from this version in {self._dest}; nothing was written",
                hint="use --overwrite to replace it, or copy to another folder",
                paths=sorted(self._different),
            )


def _listed(paths: Sequence[bytes], one: str, several: str) -> str:
    """Return the first few paths and the count of the others, as the subject of a sentence."""
    names = [repr(os.fsdecode(path)) for path in sorted(paths)]
    if len(names) == 1:
        return f"{names[0]} {one}"
    if len(names) <= _LISTED:
        return f"{', '.join(names[:-1])} and {names[-1]} {several}"
    return f"{', '.join(names[:_LISTED])} and {len(names) - _LISTED} more ({len(names)} in all) {several}"


def _content_id(snapshot: Snapshot, entry: TreeEntry) -> bytes:
    """Return the content hash of an entry; for a reference without one, a value that no file has."""
    if entry.kind != Kind.REFERENCE:
        return snapshot.identity(entry.node)
    return bytes.fromhex(snapshot.reference(entry.node).blake3 or "")


def _may_be_equal(entry: TreeEntry, status: os.stat_result) -> bool:
    """Return whether a file has the kind and size of an entry, so that only its content can differ."""
    if entry.kind not in (Kind.FILE, Kind.EXECUTABLE, Kind.REFERENCE) or not stat.S_ISREG(status.st_mode):
        return False
    executable = bool(status.st_mode & stat.S_IXUSR)
    return status.st_size == entry.size and executable == (entry.kind == Kind.EXECUTABLE)
