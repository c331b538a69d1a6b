"""The objects of a remote that hold stored forms: a header, the forms one after another, and a footer that lists them.

    object   header · forms · entries · trailer
    header   "ARTFSRPK" · format u16 = 1 · 6 zeros · pack id 16
    entry    class u8 · codec u8 · 2 zeros · id 32 · offset u32 · stored u32 · size u32
    trailer  "ARTFSRPE" · entries u32 · 4 zeros · length of the object u64 · BLAKE3 of header, entries and the
             trailer before this field 32

All integers are little-endian.  The forms fill the space between header and entries without gaps, in the order of
the entries.  The id of a chunk is the BLAKE3 of its content, that of any other form the BLAKE3 of its stored bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from io import BytesIO
from typing import Final, NamedTuple

from artstore.errors import DamageError
from artstore.ids import ID_LENGTH, Buffer, content_id
from artstore.records.nodes import LARGEST
from artstore.remotes.packs.places import PACK_LENGTH, Fetch, Pack, PackDamageError, Place
from artstore.storage.codec import RAW, ZSTD

__all__ = [
    "CHUNK",
    "LARGEST_FORM",
    "LIST",
    "MANIFEST",
    "RECORD",
    "SET",
    "SPAN",
    "FormEntry",
    "PackBuilder",
    "PackObject",
    "check_form",
    "parse_footer",
    "parse_pack",
    "read_footer",
]

CHUNK: Final = ord("c")
"""A chunk of content, in the stored form of the local packs."""
SPAN: Final = ord("s")
"""Located directory records."""
LIST: Final = ord("l")
"""The chunks of one file, or lists of them."""
SET: Final = ord("b")
"""Packs that a version uses."""
MANIFEST: Final = ord("m")
"""What one push has added."""
RECORD: Final = ord("r")
"""What an entry of the log leads to: descriptions, metadata, records of runs."""
_CLASSES: Final = frozenset((CHUNK, SPAN, LIST, SET, MANIFEST, RECORD))

LARGEST_FORM: Final = 16 << 20
"""Bytes of a form that is no chunk, before and after compression, at most."""
_HEADER: Final = struct.Struct("<8sH6s16s")
_ENTRY: Final = struct.Struct("<BB2s32sIII")
_TRAILER: Final = struct.Struct("<8sI4sQ32s")
_MAGIC: Final = b"ARTFSRPK"
_END_MAGIC: Final = b"ARTFSRPE"
_FORMAT: Final = 1
HEADER_LENGTH: Final = _HEADER.size
TRAILER_LENGTH: Final = _TRAILER.size
_TAIL: Final = 64 * 1024
"""Bytes at the end of an object that are fetched first for its footer: most footers are shorter."""


class FormEntry(NamedTuple):
    """A footer's entry of one stored form; ``size`` is the length before compression."""

    klass: int
    codec: int
    id: bytes
    offset: int
    stored: int
    size: int


class PackObject(NamedTuple):
    """A whole object, ready to be sent: its bytes, and the BLAKE3 of them."""

    pack: Pack
    body: bytes
    hash: bytes
    footer: bytes

    @property
    def length(self) -> int:
        """Its length in bytes."""
        return len(self.body)

    @property
    def entries(self) -> Iterator[FormEntry]:
        """The forms in it."""
        return _entries(self.footer)


def _entries(footer: Buffer) -> Iterator[FormEntry]:
    for klass, codec, _, ident, offset, stored, size in _ENTRY.iter_unpack(footer):
        yield FormEntry(klass, codec, ident, offset, stored, size)


def check_form(entry: FormEntry) -> None:
    """Raise `DamageError` for the entry of a form that no reader makes room for."""
    if entry.klass not in _CLASSES or entry.codec not in (RAW, ZSTD) or len(entry.id) != ID_LENGTH:
        raise DamageError(f"a pack has a form of the unknown class {entry.klass} or codec {entry.codec}")
    if entry.klass == CHUNK:
        is_right = 0 < entry.stored <= entry.size <= LARGEST and (entry.stored == entry.size) == (entry.codec == RAW)
    else:
        is_right = 0 < entry.stored <= LARGEST_FORM and 0 < entry.size <= LARGEST_FORM and entry.codec == ZSTD
    if not is_right:
        raise DamageError(f"a pack has a form of invalid sizes: {entry.size} bytes, {entry.stored} stored")


class PackBuilder:
    """Collect the stored forms of one object in memory: once, and 48 bytes for each."""

    def __init__(self, pack: Pack) -> None:
        self.pack = pack
        self.length = HEADER_LENGTH
        """Bytes of header and forms."""
        self._body = BytesIO()  # whose value is no copy
        self._body.write(_HEADER.pack(_MAGIC, _FORMAT, bytes(6), pack.id))
        self._footer = bytearray()

    def __len__(self) -> int:
        return len(self._footer) // _ENTRY.size

    def add(self, klass: int, codec: int, ident: bytes, data: Buffer, size: int) -> Place:
        """Add a stored form; return its place."""
        entry = FormEntry(klass, codec, ident, self.length, len(data), size)
        check_form(entry)
        self._footer += _ENTRY.pack(klass, codec, bytes(2), *entry[2:])
        self._body.write(data)
        self.length += entry.stored
        return Place(self.pack, entry.offset, entry.stored)

    def entry(self, number: int) -> FormEntry:
        """Return what was added, by its number."""
        klass, codec, _, *fields = _ENTRY.unpack_from(self._footer, number * _ENTRY.size)
        return FormEntry(klass, codec, *fields)

    def finish(self) -> PackObject:
        """Return the object; nothing can be added afterwards."""
        footer = bytes(self._footer)
        length = self.length + len(footer) + TRAILER_LENGTH
        if length > PACK_LENGTH:
            raise DamageError(f"a pack would have {length:,} bytes; at most {PACK_LENGTH:,} are possible")
        header = _HEADER.pack(_MAGIC, _FORMAT, bytes(6), self.pack.id)
        trailer = _TRAILER.pack(_END_MAGIC, len(self), bytes(4), length, bytes(ID_LENGTH))[:-ID_LENGTH]
        self._body.write(footer)
        self._body.write(trailer)
        self._body.write(content_id(header + footer + trailer))
        body = self._body.getvalue()
        self._body = BytesIO()
        return PackObject(self.pack, body, content_id(body), footer)


def parse_footer(header: bytes, tail: bytes, pack: Pack, length: int) -> list[FormEntry]:
    """Return the entries of an object of ``length`` bytes, from its header and its entries with the trailer."""
    if (len(tail) - TRAILER_LENGTH) % _ENTRY.size or len(header) != HEADER_LENGTH or len(tail) < TRAILER_LENGTH:
        raise _damaged(pack, "its footer has the wrong length")
    body, trailer = tail[:-TRAILER_LENGTH], tail[-TRAILER_LENGTH:]
    magic, count, unused, said, check = _TRAILER.unpack(trailer)
    if magic != _END_MAGIC or check != content_id(header + tail[:-ID_LENGTH]):
        raise _damaged(pack, "its footer fails its checksum")
    if header != _HEADER.pack(_MAGIC, _FORMAT, bytes(6), pack.id):
        raise _damaged(pack, "it has an unknown format or the id of another pack")
    if said != length or unused != bytes(4) or count * _ENTRY.size != len(body) or length > PACK_LENGTH:
        raise _damaged(pack, f"it says that it has {said} bytes, and has {length}")
    entries = list(_entries(body))
    position = HEADER_LENGTH
    for entry in entries:
        check_form(entry)
        if entry.offset != position:
            raise _damaged(pack, "its forms overlap, or bytes between them belong to none")
        position += entry.stored
    if any(row[2] != bytes(2) for row in _ENTRY.iter_unpack(body)):
        raise _damaged(pack, "its entries have unknown fields")
    if position != length - len(tail):
        raise _damaged(pack, "its forms do not end where its footer begins")
    return entries


def parse_pack(data: bytes, pack: Pack) -> list[FormEntry]:
    """Return the entries of a whole object; raise `DamageError` for anything but a pack of that id."""
    return _parse_tail(data[:HEADER_LENGTH], data, pack, len(data))


def read_footer(fetch: Fetch, pack: Pack, length: int) -> list[FormEntry]:
    """Return the entries of an object of ``length`` bytes, fetching its header and its end."""
    if not HEADER_LENGTH + TRAILER_LENGTH <= length <= PACK_LENGTH:
        raise _damaged(pack, f"an object of {length} bytes is no pack")
    header = fetch(pack, 0, HEADER_LENGTH)
    first = min(length - HEADER_LENGTH, _TAIL)
    tail = _exactly(fetch, pack, length - first, first)
    needed = _footer_length(tail, pack, length)
    if needed > first:
        tail = _exactly(fetch, pack, length - needed, needed - first) + tail
    return _parse_tail(header, tail, pack, length)


def _exactly(fetch: Fetch, pack: Pack, offset: int, length: int) -> bytes:
    data = fetch(pack, offset, length)
    if len(data) != length:
        raise _damaged(pack, f"{len(data)} of {length} bytes came at offset {offset}")
    return data


def _footer_length(tail: bytes, pack: Pack, length: int) -> int:
    """Return the bytes of entries and trailer, as the end of an object says; raise `DamageError` if it is too many."""
    if len(tail) < TRAILER_LENGTH:
        raise _damaged(pack, "it is cut short")
    needed = int(_TRAILER.unpack(tail[-TRAILER_LENGTH:])[1]) * _ENTRY.size + TRAILER_LENGTH
    if needed > length - HEADER_LENGTH:
        raise _damaged(pack, "its footer says that it has more entries than fit into it")
    return needed


def _parse_tail(header: bytes, tail: bytes, pack: Pack, length: int) -> list[FormEntry]:
    return parse_footer(header, tail[len(tail) - _footer_length(tail, pack, length) :], pack, length)


def _damaged(pack: Pack, what: str) -> DamageError:
    return PackDamageError.of(pack, what)
