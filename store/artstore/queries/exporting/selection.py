"""The selection of an export: the part of a tree below a prefix, in pages that are read one at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Final, NamedTuple

from artstore.errors import DamageError
from artstore.names import unknown_path
from artstore.records.trees import Kind, TreeEntry, is_entry_name
from artstore.rows.trees import check_directory, entries_from
from artstore.store import Store

__all__ = ["Page", "Selection", "join", "tasks"]

_PAGE: Final = 256
"""Entries of one directory that are looked at together."""
_TASK_FILES: Final = 64
_TASK_BYTES: Final = 8 * 1024 * 1024


class Page(NamedTuple):
    """Neighbouring entries of one directory; ``path`` is the directory's, relative, and ``position`` the first's."""

    path: bytes
    position: int
    entries: list[TreeEntry]


class Selection:
    """The part of a tree that is copied, page by page."""

    def __init__(self, store: Store, root: int, prefix: bytes, name: str) -> None:
        self.store = store
        self._root = root
        self._names = prefix.split(b"/") if prefix else []
        with store.snapshot() as snapshot:
            entry = snapshot.resolve(root, prefix) if prefix else None
            if prefix and entry is None:
                raise unknown_path(name, prefix)
            if entry is None or entry.kind == Kind.DIRECTORY:
                totals = snapshot.tree(root if entry is None else entry.node).totals
                self.files, self.bytes = totals.files, totals.bytes
            else:
                self.files, self.bytes = 1, 0 if entry.kind == Kind.LINK else entry.size

    def pages(self, enter: Callable[[bytes], bool]) -> Iterator[Page]:
        """Yield all pages, a directory's after the one that lists it; ``enter`` decides whether to enter a directory.

        It is called after the page that lists the directory has been processed.
        """
        stack = [(b"", self._root, 0)]
        while stack:
            path, node, inodes = stack.pop()
            if path and not enter(path):
                continue
            if path:
                with self.store.snapshot() as snapshot:
                    check_directory(snapshot.tree(node), inodes)
            depth = path.count(b"/") + 1 if path else 0
            only = self._names[depth] if depth < len(self._names) else None
            position = 0
            while page := self._page(path, node, position, only):
                yield page
                position += len(page.entries)
                below = [entry for entry in page.entries if entry.kind == Kind.DIRECTORY]
                stack += [(join(path, entry.name), entry.node, entry.inodes) for entry in reversed(below)]
                if only is not None:
                    break

    def _page(self, path: bytes, node: int, position: int, only: bytes | None) -> Page | None:
        with self.store.snapshot() as snapshot:
            if only is not None:
                entry = snapshot.resolve(node, only)
                entries = [entry] if entry is not None else []
            else:
                entries = [entry for entry, _ in islice(entries_from(snapshot.tree, node, position), _PAGE)]
        if not all(is_entry_name(entry.name) for entry in entries):
            raise DamageError(f"the directory {os.fsdecode(path)!r} has an entry with an invalid name")
        return Page(path, position, entries) if entries else None


def join(path: bytes, name: bytes) -> bytes:
    """Return the path of a name in a directory, "" being the top."""
    return path + b"/" + name if path else name


def tasks(entries: Sequence[tuple[int, TreeEntry]]) -> Iterator[list[tuple[int, TreeEntry]]]:
    """Cut entries into parts that a thread deals with in a short time; a large file is a part of its own.

    Entries come with their index in their page.
    """
    part: list[tuple[int, TreeEntry]] = []
    size = 0
    for item in entries:
        if part and (len(part) == _TASK_FILES or size + item[1].size > _TASK_BYTES):
            yield part
            part, size = [], 0
        part.append(item)
        size += item[1].size
    if part:
        yield part
