"""The objects that a push sends: data packs and tree packs, filled in memory and handed over whole."""

from __future__ import annotations

from typing import Final, Protocol

from artstore.ids import Buffer, content_id
from artstore.remotes.packs.containers import CHUNK, PackBuilder, PackObject
from artstore.remotes.packs.located import Chunk, FormPlace
from artstore.remotes.packs.manifests import AddedPack
from artstore.remotes.packs.places import DATA, TREES, Pack, Place, new_pack
from artstore.remotes.packs.spans import compress

__all__ = ["PackOutput", "PackSink"]

DATA_TARGET: Final = 64 << 20
"""Bytes of a data pack: one request, that is repeated in 5 s at 100 Mbit/s."""
TREES_TARGET: Final = 32 << 20
SPAN_TARGET: Final = 192 << 10
"""Stored bytes of a span: one request reads the records of thousands of files."""
MOST_CHUNKS: Final = 1 << 16
"""Chunks of a data pack: very small files take more memory for what is known of them than for their content."""
SMALL: Final = 4 << 20
"""Bytes of chunks that go into the tree pack, at most, if that is all that a push adds."""


class PackSink(Protocol):
    """What takes the objects of a push."""

    def note(self, pack: Pack) -> None:
        """Note, on the disk, that an object of this name may come to exist; called before `put`."""
        ...

    def put(self, item: PackObject) -> None:
        """Send an object, or begin to; from the return on, look-ups of content find what it holds."""
        ...


class PackOutput:
    """Fill objects with chunks and forms; one at a time of each kind, each handed over when it is full.

    Chunks stay undecided between a data pack and the tree pack while they are few and no form was stored that leads to
    them, so that a small push is one object.
    """

    def __init__(
        self,
        sink: PackSink,
        *,
        data_target: int = DATA_TARGET,
        trees_target: int = TREES_TARGET,
        span_target: int = SPAN_TARGET,
    ) -> None:
        """The targets are stored bytes of an object or a span, after which another one is begun."""
        self.span_target = span_target
        self._sink = sink
        self._targets = {DATA: data_target, TREES: trees_target}
        self._data: PackBuilder | None = None
        self._trees: PackBuilder | None = None
        self._recent: dict[bytes, int] = {}
        self._is_decided = False
        self.moved: dict[Pack, Pack] = {}
        """The data pack that has become the tree pack: places in it are replaced when a span is encoded."""
        self.added: list[AddedPack] = []
        """The objects that were handed over."""
        self.packs: set[Pack] = set()
        """The objects that were begun."""
        self.data_bytes = 0
        """Stored bytes of chunks."""

    def known(self, ident: bytes) -> Chunk | None:
        """Return a chunk of the data pack that is being filled, or None."""
        number = self._recent.get(ident)
        if number is None or self._data is None:
            return None
        _, codec, _, offset, stored, size = self._data.entry(number)
        return Chunk(ident, size, codec, Place(self._data.pack, offset, stored))

    def chunk(self, ident: bytes, codec: int, stored: Buffer, size: int) -> Chunk:
        """Add a chunk; return it with its place."""
        if self._data is None:
            self._data = self._begin(DATA)
        self._recent[ident] = len(self._data)
        place = self._data.add(CHUNK, codec, ident, stored, size)
        self.data_bytes += place.stored
        if self._data.length > SMALL:
            self._is_decided = True
        if self._data.length >= self._targets[DATA] or len(self._data) >= MOST_CHUNKS:
            self._end_data()
        return Chunk(ident, size, codec, place)

    def form(self, klass: int, raw: bytes, *, stay: bool = False) -> FormPlace:
        """Add a span, list or other record, compressed; ``stay``: to the tree pack of `settle`.  Return its place."""
        self._is_decided = True
        if self._trees is not None and self._trees.length >= self._targets[TREES] and not stay:
            self._end_trees()
        if self._trees is None:
            self._trees = self._begin(TREES)
        stored = compress(raw)
        digest = content_id(stored)
        return FormPlace(digest, len(raw), self._trees.add(klass, 1, digest, stored, len(raw)))

    def adopt_few(self) -> None:
        """Let the chunks that are left become part of the tree pack, if they are few: the last span follows."""
        if self._is_decided or self._data is None:
            return
        self._is_decided = True
        builder, self._data = self._data, None
        before, builder.pack = builder.pack, Pack(TREES, builder.pack.id)
        self.packs.remove(before)
        self.packs.add(builder.pack)
        self.moved[before] = builder.pack
        self._trees = builder

    def settle(self) -> None:
        """Hand over the chunks that are left, and let `packs` have the object for what is still to come."""
        self._end_data()
        if self._trees is None:
            self._trees = self._begin(TREES)

    def finish(self) -> AddedPack:
        """Hand over the last tree pack; return it."""
        self._end_trees()
        return self.added[-1]

    def _begin(self, folder: int) -> PackBuilder:
        pack = new_pack(folder)
        self.packs.add(pack)
        return PackBuilder(pack)

    def _end_data(self) -> None:
        if self._data is not None:
            builder, self._data = self._data, None
            self._hand_over(builder)
            self._recent = {}

    def _end_trees(self) -> None:
        if self._trees is not None:
            builder, self._trees = self._trees, None
            self._hand_over(builder)

    def _hand_over(self, builder: PackBuilder) -> None:
        item = builder.finish()
        self._sink.note(item.pack)
        self._sink.put(item)
        self.added.append(AddedPack(item.pack, item.length, item.hash))
