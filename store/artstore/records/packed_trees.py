"""The canonical form of directory records, which is hashed, and their packed form: the canonical one with attributes.

`artstore.records.trees` describes what the two are for, and the local form that is read.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from artstore.errors import DamageError
from artstore.ids import ID_LENGTH, content_id
from artstore.records.nodes import FANOUT
from artstore.records.trees import MODE_BITS, Kind, is_entry_name

__all__ = [
    "Attributes",
    "CanonicalEntry",
    "CanonicalTree",
    "canonical_entries",
    "canonical_index",
    "entry_attributes",
    "form_id",
    "index_attributes",
    "parse_packed_tree",
]

_CANONICAL_FORMAT: Final = 1
_CANONICAL_HEAD: Final = struct.Struct("<BBH")
_CANONICAL_FILE: Final = struct.Struct("<BQ32s")
_ATTRIBUTES: Final = struct.Struct("<qH")


class CanonicalEntry(NamedTuple):
    """One entry in the canonical form; ``id`` is the content's or the directory's digest, ``size`` 0 for a directory.

    For a link ``id`` is the BLAKE3 of its text and ``size`` the text's length: a link is content of another kind.
    """

    name: bytes
    kind: Kind
    size: int
    id: bytes


class Attributes(NamedTuple):
    """What the packed form holds beside an entry: ns since 1970, permission bits, form id (empty for a file)."""

    mtime_ns: int
    mode: int
    form: bytes


class CanonicalTree(NamedTuple):
    """A parsed packed record: entries and their attributes at level 0, (last name, digest, form id) above."""

    level: int
    digest: bytes
    form: bytes
    entries: tuple[CanonicalEntry, ...]
    attributes: tuple[Attributes, ...]
    children: tuple[tuple[bytes, bytes, bytes], ...]


def canonical_entries(entries: Sequence[CanonicalEntry]) -> bytes:
    """Return the canonical record of level 0: entries sorted by name bytes, at most `FANOUT`."""
    parts = [_CANONICAL_HEAD.pack(_CANONICAL_FORMAT, 0, len(entries))]
    for name, kind, size, ident in entries:
        parts.append(len(name).to_bytes(1, "little") + name)
        parts.append(_CANONICAL_FILE.pack(kind, size, ident))
    return b"".join(parts)


def canonical_index(level: int, children: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Return the canonical record of a level above 0: (last name, digest) of each record below, in order."""
    parts = [_CANONICAL_HEAD.pack(_CANONICAL_FORMAT, level, len(children))]
    for last_name, digest in children:
        parts.append(len(last_name).to_bytes(1, "little") + last_name + digest)
    return b"".join(parts)


def entry_attributes(attributes: Sequence[Attributes]) -> bytes:
    """Return the attributes of a record of level 0, as they follow the canonical form in a pack."""
    return b"".join([_ATTRIBUTES.pack(mtime_ns, mode) + form for mtime_ns, mode, form in attributes])


def index_attributes(forms: Sequence[bytes]) -> bytes:
    """Return the attributes of a record above level 0: the form id of each record below."""
    return b"".join(forms)


def form_id(digest: bytes, attributes: bytes) -> bytes:
    """Return the id under which the index, packs and the journal know a record: its digest with its attributes."""
    return content_id(digest + attributes)


def parse_packed_tree(data: bytes) -> CanonicalTree:
    """Return a packed record's content; raise `DamageError` on anything malformed."""
    try:
        tree = _parse_packed(data)
    except (struct.error, IndexError, ValueError) as error:
        raise DamageError("a packed directory record is malformed") from error
    names = [entry.name for entry in tree.entries] or [child[0] for child in tree.children]
    if not all(map(is_entry_name, names)) or any(name >= following for name, following in pairwise(names)):
        raise DamageError("a packed directory record has names that are invalid or out of order")
    return tree


def _parse_packed(data: bytes) -> CanonicalTree:
    form, level, count = _CANONICAL_HEAD.unpack_from(data)
    position = _CANONICAL_HEAD.size
    entries: list[CanonicalEntry] = []
    below: list[tuple[bytes, bytes]] = []
    for _ in range(count):
        name_end = position + 1 + data[position]
        name = data[position + 1 : name_end]
        if level:
            below.append((name, data[name_end : name_end + ID_LENGTH]))
            position = name_end + ID_LENGTH
        else:
            kind, size, ident = _CANONICAL_FILE.unpack_from(data, name_end)
            entries.append(CanonicalEntry(name, Kind(kind), size, ident))
            position = name_end + _CANONICAL_FILE.size
    canonical_end = position
    attributes: list[Attributes] = []
    children: list[tuple[bytes, bytes, bytes]] = []
    for entry in entries:
        mtime_ns, mode = _ATTRIBUTES.unpack_from(data, position)
        position += _ATTRIBUTES.size
        end = position + (ID_LENGTH if entry.kind is Kind.DIRECTORY else 0)
        attributes.append(Attributes(mtime_ns, mode, data[position:end]))
        position = end
        if mode & ~MODE_BITS:
            raise ValueError
    for name, digest in below:
        children.append((name, digest, data[position : position + ID_LENGTH]))
        position += ID_LENGTH
    if form != _CANONICAL_FORMAT or position != len(data) or count > FANOUT or (level and not count):
        raise ValueError
    digest = content_id(data[:canonical_end])
    return CanonicalTree(
        level, digest, form_id(digest, data[canonical_end:]), tuple(entries), tuple(attributes), tuple(children)
    )
