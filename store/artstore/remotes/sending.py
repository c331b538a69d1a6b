"""Sending the objects of a push: two at a time, each recorded once it is acknowledged."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Final, NamedTuple, Self

from artstore.errors import DamageError
from artstore.records.packing import CLASS_CONTENT
from artstore.records.remotes import ContentPlace
from artstore.remotes.connection import Connection
from artstore.remotes.packs.containers import CHUNK, PackObject
from artstore.remotes.packs.located import Chunk
from artstore.remotes.packs.places import Pack, Place
from artstore.rows import remotes as rows
from artstore.storage.codec import RAW, ZSTD
from artstore.store import Store

__all__ = ["Counting", "Sending"]

_IN_FLIGHT: Final = 2
_PLACES: Final = 5000
"""Rows about content that one transaction writes."""


class _Flight(NamedTuple):
    """An object that is being sent, and the chunks in it."""

    item: PackObject
    chunks: dict[bytes, Chunk]
    done: Future[bool]


class Sending:
    """Send objects, and know where the chunks are that this machine has sent: see `PackSink` and `Find`.

    At most two objects are on their way.  A context: at its end all have been acknowledged, or it raises an error.
    """

    def __init__(self, store: Store, remote: Connection, on_sent: Callable[[int], None] | None = None) -> None:
        """``on_sent`` is called with the bytes of each object that was acknowledged."""
        self._store = store
        self._remote = remote
        self._on_sent = on_sent
        self._condemned = remote.condemned()
        self._pool = ThreadPoolExecutor(_IN_FLIGHT, "artfs-push")
        self._flights: deque[_Flight] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            while kind is None and self._flights:
                self._land()
        finally:
            self._pool.shutdown(cancel_futures=True)

    def note(self, pack: Pack) -> None:
        """Note an object on the disk before it is sent."""
        with self._store.write() as transaction:
            rows.note(transaction, self._remote.uuid, pack.folder, pack.id)

    def put(self, item: PackObject) -> None:
        """Begin to send an object; wait for an earlier one first if two are on their way."""
        if len(self._flights) == _IN_FLIGHT:
            self._land()
        chunks = {
            entry.id: Chunk(entry.id, entry.size, entry.codec, Place(item.pack, entry.offset, entry.stored))
            for entry in item.entries
            if entry.klass == CHUNK
        }
        done = self._pool.submit(self._remote.store.create, item.pack.object_name, item.body)
        self._flights.append(_Flight(item, chunks, done))

    def _land(self) -> None:
        """Wait for the object that was begun first, and record its chunks."""
        item, chunks, done = self._flights.popleft()
        if not done.result():
            raise DamageError(f"{self._remote.store.url} has another object called {item.pack.object_name}")
        places = [(ident, ContentPlace(*chunk.place.pack, *chunk.place[1:])) for ident, chunk in chunks.items()]
        for start in range(0, len(places), _PLACES):
            with self._store.write() as transaction:
                for ident, place in places[start : start + _PLACES]:
                    rows.put_place(transaction, self._remote.uuid, CLASS_CONTENT, ident, place)
        if self._on_sent is not None:
            self._on_sent(item.length)

    def find(self, ident: bytes, size: int) -> Chunk | None:
        """Return a chunk that is on its way or was acknowledged."""
        for flight in self._flights:
            if ident in flight.chunks:
                return flight.chunks[ident]
        return _known(self._store, self._remote, self._condemned, ident, size)


class Counting:
    """Count the objects that a push would send, and their bytes."""

    def __init__(self, store: Store, remote: Connection) -> None:
        self._store = store
        self._remote = remote
        self._condemned = remote.condemned()
        self.objects = 0
        self.bytes = 0

    def note(self, pack: Pack) -> None:
        """Do nothing: no object comes to exist."""

    def put(self, item: PackObject) -> None:
        """Count an object."""
        self.objects += 1
        self.bytes += item.length

    def find(self, ident: bytes, size: int) -> Chunk | None:
        """Return a chunk that was acknowledged; one that would be sent before is counted again."""
        return _known(self._store, self._remote, self._condemned, ident, size)


def _known(store: Store, remote: Connection, condemned: Collection[Pack], ident: bytes, size: int) -> Chunk | None:
    """Return a chunk of a remote that this machine has sent, and that was not given up since, or None."""
    with store.snapshot() as snapshot:
        place = rows.find_place(snapshot.transaction, remote.uuid, CLASS_CONTENT, ident)
    if place is None or not 0 < place.stored <= size:
        return None
    pack = Pack(place.folder, place.pack)
    if pack in condemned:
        return None
    return Chunk(ident, size, RAW if place.stored == size else ZSTD, Place(pack, place.offset, place.stored))
