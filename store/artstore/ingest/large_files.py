"""Large files of a put: their state while their windows arrive, and those that are probably in the store.

A file that the latest version has with the same size at the same path, and that begins with the same chunks, is hashed
first.  Only if the store does not have that content it is read again, and cut.
"""

from __future__ import annotations

import time
from contextlib import suppress

from artstore.errors import DamageError, SourceError
from artstore.ids import ContentHasher
from artstore.ingest.batch import Ref
from artstore.ingest.building import ListBuilder
from artstore.ingest.earlier import Earlier
from artstore.ingest.reading import WINDOW, Window, begins_known, known_of
from artstore.ingest.source import FileStamp
from artstore.ingest.staging import Stager
from artstore.storage.codec import encode
from artstore.store import Store

__all__ = ["LargeFile", "looks_known"]


def looks_known(store: Store, earlier: Earlier | None, path: bytes, fd: int, size: int) -> bool:
    """Return whether a file of more than a window is probably the one that the latest version has at its path."""
    latest = None if earlier is None else earlier.latest
    if size <= WINDOW or latest is None:
        return False
    there = None
    with suppress(DamageError), store.snapshot() as snapshot:  # the version may have been reaped meanwhile
        there = snapshot.resolve(latest.root, path)
    return there is not None and there.size == size and begins_known(store, fd)


class LargeFile:
    """The state of a large file while its windows arrive."""

    def __init__(self, stager: Stager) -> None:
        self._stager = stager
        self._builder = ListBuilder(stager)
        self._hasher = ContentHasher()
        self._only: Window | None = None
        self.size = 0
        self.stamp = FileStamp(0, 0, 0, 0, 0)
        self.read_ns = time.time_ns()
        self.still = False
        self.cut = True
        """Whether it is cut into chunks: not if its id will probably be enough."""
        self.error: SourceError | None = None

    def add(self, window: Window) -> None:
        """Stage the chunks of a window, waiting for those that are not done."""
        if window.id:
            self._only = window
        else:
            self._hasher.update(window.data)
        self.size += len(window.data)
        for future in window.chunks:
            for chunk in future.result():
                self._builder.add(self._stager.chunk(chunk.id, chunk.size, chunk.encoded), chunk.size)

    @property
    def id(self) -> bytes:
        """The content's id."""
        return self._hasher.digest() if self._only is None else self._only.id

    def is_taken(self, store: Store) -> bool:
        """Return whether the file held still while it was read, and the store has it if it was not cut."""
        if not (self.still and self.size == self.stamp.size):
            return False
        return self.cut or bool(known_of(store, [self.id]))

    def finish(self) -> tuple[bytes, Ref]:
        """Return the content's id and node."""
        ident = self.id
        if not self.cut or (self._only is not None and self._only.is_known):
            return ident, self._stager.chunk(ident, self.size, None)
        if not self.size:  # emptied after the walk saw it
            return ident, self._stager.chunk(ident, 0, encode(b""))
        return ident, self._builder.finish(ident)
