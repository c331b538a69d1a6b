"""Pack sets: the packs that a version uses, which are not condemned while it needs them.

    set      format u8 = 1 · kind u8 · rows u32 · rows
    kind 0   the packs: folder u8 · id 16
    kind 1   parts by the first byte of the ids: first byte u8 · packs u32 · hash 32 · folder u8 · id 16 · offset u32 ·
             stored u32 · size u32

A set of up to 1,024 packs is one record of kind 0.  A larger one is a record of kind 1, whose parts are of kind 0.
Packs are in the order of their ids.

Sorted ids, because a set then needs nothing but itself: bits over a table of packs would depend on the order in which
the log has accepted pushes, which a push does not know when it writes its set.  Parts by the first byte, because a
version has most packs from the one before: it writes the parts that a new pack falls into, and names the others, and
who unites the sets of many versions reads each part once.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby, pairwise
from typing import Final, NamedTuple

from artstore.errors import DamageError
from artstore.ids import ID_LENGTH
from artstore.remotes.packs.containers import LARGEST_FORM
from artstore.remotes.packs.located import FormPlace
from artstore.remotes.packs.places import Pack, Place, check_pack, check_place

__all__ = ["SetPart", "decode_set", "encode_parts", "encode_set", "packs_of", "without_listed", "write_set"]

MOST_IN_ONE: Final = 1024
"""Packs of a set that is one record, at most."""
_FORMAT: Final = 1
_PACKS: Final = 0
_PARTS: Final = 1
_HEAD: Final = struct.Struct("<BBI")
_PACK: Final = struct.Struct("<B16s")
_PART: Final = struct.Struct("<BI32sB16sIII")


class SetPart(NamedTuple):
    """A part of a large set: the first byte of the ids in it, how many there are, and where they stand."""

    first: int
    packs: int
    form: FormPlace


def encode_set(packs: Sequence[Pack]) -> bytes:
    """Return the record of packs in the order of their ids; raise `DamageError` if a reader would refuse it."""
    _check_packs(packs)
    return _HEAD.pack(_FORMAT, _PACKS, len(packs)) + b"".join([_PACK.pack(*pack) for pack in packs])


def encode_parts(parts: Sequence[SetPart]) -> bytes:
    """Return the record of a large set; raise `DamageError` if a reader would refuse it."""
    _check_parts(parts)
    rows = [_PART.pack(first, packs, form.hash, *_where(form)) for first, packs, form in parts]
    return _HEAD.pack(_FORMAT, _PARTS, len(parts)) + b"".join(rows)


def _where(form: FormPlace) -> tuple[int, bytes, int, int, int]:
    return (*form.place.pack, form.place.offset, form.place.stored, form.size)


def decode_set(raw: bytes) -> list[Pack] | list[SetPart]:
    """Return the packs of a set, or the parts of a large one; raise `DamageError` for anything but a set."""
    try:
        format_number, kind, count = _HEAD.unpack_from(raw)
    except struct.error as error:
        raise DamageError("a set of packs is cut short") from error
    row = _PACK if kind == _PACKS else _PART
    if format_number != _FORMAT or kind not in (_PACKS, _PARTS) or len(raw) != _HEAD.size + count * row.size:
        raise DamageError(f"a set of packs is malformed (format {format_number}, kind {kind}, {count} rows)")
    body = memoryview(raw)[_HEAD.size :]
    if kind == _PACKS:
        packs = [Pack(*fields) for fields in _PACK.iter_unpack(body)]
        _check_packs(packs)
        return packs
    parts = [
        SetPart(first, number, FormPlace(digest, size, Place(Pack(folder, ident), offset, stored)))
        for first, number, digest, folder, ident, offset, stored, size in _PART.iter_unpack(body)
    ]
    _check_parts(parts)
    return parts


def _check_packs(packs: Sequence[Pack]) -> None:
    for pack in packs:
        check_pack(pack)
    if any(pack.id >= following.id for pack, following in pairwise(packs)):
        raise DamageError("a set of packs is out of order")


def _check_parts(parts: Sequence[SetPart]) -> None:
    for first, count, (digest, size, place) in parts:
        check_pack(place.pack)
        check_place(place)
        is_right = 0 < size <= LARGEST_FORM and 0 < place.stored <= LARGEST_FORM and len(digest) == ID_LENGTH
        if not is_right or not count or not 0 <= first <= 255:
            raise DamageError("a set of packs has a part of invalid sizes")
    if not parts or any(part.first >= following.first for part, following in pairwise(parts)):
        raise DamageError("a set of packs has no parts, or parts that are out of order")


def packs_of(raw: bytes, load: Callable[[FormPlace], bytes]) -> Iterator[Pack]:
    """Yield the packs of a set in the order of their ids; ``load`` returns the verified bytes of a part."""
    for row in decode_set(raw):
        if isinstance(row, Pack):
            yield row
        else:
            yield from _packs_in(row, load)


def _packs_in(part: SetPart, load: Callable[[FormPlace], bytes]) -> list[Pack]:
    packs = [row for row in decode_set(load(part.form)) if isinstance(row, Pack)]
    if len(packs) != part.packs or any(pack.id[0] != part.first for pack in packs):
        raise DamageError("a part of a set of packs is another one than its set says")
    return packs


def without_listed(raw: bytes, load: Callable[[FormPlace], bytes], packs: Iterable[Pack]) -> set[Pack]:
    """Return those of some packs that a set lacks; reads only the parts in which they would be."""
    rest = set(packs)
    for row in decode_set(raw):
        if isinstance(row, Pack):
            rest.discard(row)
        elif any(pack.id[0] == row.first for pack in rest):
            rest.difference_update(_packs_in(row, load))
    return rest


def write_set(
    added: Iterable[Pack],
    base: bytes | None,
    load: Callable[[FormPlace], bytes],
    put: Callable[[bytes], FormPlace],
) -> tuple[FormPlace, int]:
    """Store the set of the packs of ``base`` with others; return where it lies, and how many they are.

    ``base`` is the record of a set or None, ``load`` as in `packs_of`, and ``put`` stores a record.  The parts of the
    base without a new pack are not read.
    """
    rows = [] if base is None else decode_set(base)
    parts = {row.first: row for row in rows if isinstance(row, SetPart)}
    packs = sorted({*added, *(row for row in rows if isinstance(row, Pack))}, key=lambda pack: pack.id)
    if not parts and len(packs) <= MOST_IN_ONE:
        return put(encode_set(packs)), len(packs)
    for first, group in groupby(packs, key=lambda pack: pack.id[0]):
        before = _packs_in(parts[first], load) if first in parts else []
        united = sorted({*before, *group}, key=lambda pack: pack.id)
        if len(united) > len(before):
            parts[first] = SetPart(first, len(united), put(encode_set(united)))
    return put(encode_parts([parts[first] for first in sorted(parts)])), sum(part.packs for part in parts.values())
