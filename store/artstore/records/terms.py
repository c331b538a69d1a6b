"""The keys of the table TERMS: values of versions' metadata, in an order that answers comparisons.

    key      space u8 · path · 0 0 · kind u8 · value · serial u32 BE
    path     the keys of nested objects, joined by ``.``, in UTF-8
    kind     1 a number, 2 text, 3 true or false, 4 null, 5 an object, 6 a list
    number   127, 128 or 129 for its sign · exponent u32 BE, biased by 2^31 · digits, each plus 1 · 0;
             of a negative number all after the sign is complemented, and 0 is the byte 128 alone
    text     its UTF-8 · 0 1; of a longer one its first 96 bytes · 0 2 · the first 16 bytes of the BLAKE3 of all
    3 to 6   one byte; nothing; the first 16 bytes of the BLAKE3 of the JSON

A zero byte in a path or text is followed by 255.  Bytes that are not Unicode are encoded as surrogates.  A number is
0.DIGITS times ten to its exponent, without trailing zeros, so that equal numbers have one form whether they were kept
as numbers or as text, and keys sort as their values do.

The elements of a list that are scalars are terms at the list's path too.  Reserved keys come first.  A version has the
row ``0 · serial``, and every search reads its record, if it has more than 200 terms, a term that fits no key, more than
50 levels of values, or two values at one path (``a.b`` is a key, and ``b`` a key in ``a``).  The fields of a version's
origin are terms in a space of their own, and not among the 200.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from blake3 import blake3

from artstore.metadata import decimal_of, plain, reserved
from artstore.records.catalogue import VersionRecord
from artstore.records.tables import key32

if TYPE_CHECKING:
    from decimal import Decimal

__all__ = [
    "METADATA",
    "ORIGIN",
    "PARTIAL",
    "TERMS",
    "Kind",
    "beginning",
    "bounds",
    "decoded",
    "encode_value",
    "kind_prefix",
    "path_prefix",
    "stems_of",
    "terms_of",
    "terms_with",
    "value_kind",
]

PARTIAL: Final = b"\0"
"""Before the serial of a version that the table does not have all of."""
METADATA: Final = b"m"
"""The space of metadata."""
ORIGIN: Final = b"o"
"""The space of origins."""
_FIELDS: Final = ("user", "host", "command", "folder", "commit", "dirty")
TERMS: Final = 200
"""The most terms of a version."""

_LONGEST_KEY: Final = 400  # LMDB's limit is 511
_SERIAL: Final = 4
_LONGEST_TEXT: Final = 96
_HASH: Final = 16
_BIAS: Final = 1 << 31
_DIGITS: Final = 100
_DEEPEST: Final = 50


class Kind:
    """The kinds of values, in the order of their keys."""

    NUMBER, TEXT, TRUTH, NULL, OBJECT, LIST = (bytes([kind]) for kind in range(1, 7))


@lru_cache(maxsize=1024)
def path_prefix(space: bytes, path: str) -> bytes:
    """Return what the keys of all values at a path begin with."""
    return space + _escaped(path) + b"\0\0"


def kind_prefix(space: bytes, path: str, kind: bytes) -> bytes:
    """Return what the keys of all values of one kind at a path begin with."""
    return path_prefix(space, path) + kind


def value_kind(value: object) -> bytes:
    """Return the kind of a JSON value; text that writes a number is a number."""
    if isinstance(value, Mapping):
        return Kind.OBJECT
    return Kind.LIST if isinstance(value, list | tuple) else _scalar(value)[0]


def encode_value(value: object) -> bytes | None:
    """Return the kind and the form of a JSON value; None for a number of too many digits."""
    if isinstance(value, Mapping | list | tuple):
        return value_kind(value) + blake3(_raw(json.dumps(plain(value), sort_keys=True))).digest(_HASH)
    if isinstance(value, str) and len(value) > _LONGEST_TEXT:
        return _scalar(value)[1]
    return _short_scalar(value)[1]


def _scalar(value: object) -> tuple[bytes, bytes | None]:
    """Return (kind, kind and form) of a JSON value that holds no others."""
    if value is None:
        return Kind.NULL, Kind.NULL
    if isinstance(value, bool):
        return Kind.TRUTH, Kind.TRUTH + (b"\1" if value else b"\0")
    number = decimal_of(value)
    if number is None:
        return Kind.TEXT, Kind.TEXT + _text(str(value))
    form = _number(number)
    return Kind.NUMBER, None if form is None else Kind.NUMBER + form


# Most values of a version are those of many others.  Typed, because 1, 1.0 and true are equal.
_short_scalar = lru_cache(maxsize=4096, typed=True)(_scalar)


def beginning(text: str) -> bytes:
    """Return what the forms of all texts that begin with ``text`` begin with, without their kind."""
    return _raw(text)[:_LONGEST_TEXT].replace(b"\0", b"\0\xff")


def decoded(form: bytes) -> str | int | float | None:
    """Return the number or the text that a kind and a form stand for; None for a longer text, or another kind."""
    kind, form = form[:1], form[1:]
    if kind == Kind.TEXT and form.endswith(b"\0\1"):
        return form[:-2].replace(b"\0\xff", b"\0").decode("utf-8", "surrogatepass")
    if kind != Kind.NUMBER:
        return None
    if form == b"\x80":
        return 0
    sign, form = form[:1], form[1:]
    if sign == b"\x7f":
        form = bytes(255 - byte for byte in form)
    digits = bytes(byte + 47 for byte in form[4:-1])  # each digit is kept plus 1
    exponent = int.from_bytes(form[:4], "big") - _BIAS
    if 0 < len(digits) <= exponent < _DIGITS:
        number: int | float = int(digits) * 10 ** (exponent - len(digits))
    else:
        number = float(f"0.{digits.decode()}e{exponent}")
    return -number if sign == b"\x7f" else number


def bounds(value: object) -> tuple[bytes, bytes]:
    """Return (least form, a form after the greatest) of the numbers or texts that may be equal to one.

    Longer texts of one beginning are in the order of their hashes.
    """
    if value_kind(value) == Kind.TEXT and len(_raw(str(value))) > _LONGEST_TEXT:
        low = beginning(str(value))
        return low, low + b"\0\3"
    form = encode_value(value)
    return (b"", b"\xff") if form is None else (form[1:], form[1:] + b"\xff")


def terms_of(version: VersionRecord | None) -> set[bytes]:
    """Return the keys of a version's terms: none unless it is living."""
    if version is None or version.state != "live":
        return set()
    return terms_with(stems_of(version.metadata), version)


def terms_with(stems: Iterable[bytes], version: VersionRecord) -> set[bytes]:
    """Return the keys of a living version's terms, where the stems of its metadata are known."""
    serial = key32(version.serial)
    return {stem + serial for stem in stems} | {
        path_prefix(ORIGIN, name) + form + serial
        for name in _FIELDS
        if name in version.origin and (form := encode_value(version.origin[name])) is not None
    }


def stems_of(metadata: Mapping[str, Any]) -> frozenset[bytes]:
    """Return the keys of the terms of metadata, without the serial at their end."""
    if not _is_shallow(metadata):
        return frozenset((PARTIAL,))
    keys: set[bytes] = set()
    rest: set[bytes] = set()
    leaves = list(_leaves(metadata))
    places = [path for path, _, is_element in leaves if not is_element]
    if len(places) != len(set(places)):
        rest = {PARTIAL}
    for path, value, _ in leaves:
        form = encode_value(value)
        key = None if form is None or len(path) > _LONGEST_KEY else path_prefix(METADATA, path) + form
        if key is None or len(key) > _LONGEST_KEY - _SERIAL:
            rest = {PARTIAL}
        elif len(keys) < TERMS or key in keys:
            keys.add(key)
        else:
            rest = {PARTIAL}
            break
    return frozenset(keys | rest)


def _is_shallow(metadata: Mapping[str, Any]) -> bool:
    """Return whether values can be read by functions that call themselves at each level."""
    level: list[Any] = [metadata]
    for _ in range(_DEEPEST):
        level = [
            each
            for value in level
            for each in (value.values() if isinstance(value, Mapping) else value)
            if isinstance(each, list | Mapping)
        ]
        if not level:
            return True
    return False


def _leaves(metadata: Mapping[str, Any]) -> Iterator[tuple[str, object, bool]]:
    """Yield (path, value, whether it is an element of the list there) of the metadata.

    What artfs wrote comes first, so that users' keys cannot crowd it out.
    """
    own = reserved(metadata)
    yield from _values("", own)
    yield from _values("", {key: value for key, value in metadata.items() if key not in own})


def _values(above: str, values: Mapping[str, Any]) -> Iterator[tuple[str, object, bool]]:
    for key, value in values.items():
        path = above + key
        yield path, value, False
        if isinstance(value, Mapping):
            yield from _values(f"{path}.", value)
        elif isinstance(value, list):
            yield from ((path, element, True) for element in value if not isinstance(element, list | Mapping))


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _escaped(text: str) -> bytes:
    return _raw(text).replace(b"\0", b"\0\xff")


def _text(text: str) -> bytes:
    raw = _raw(text)
    if len(raw) <= _LONGEST_TEXT:
        return _escaped(text) + b"\0\1"
    return raw[:_LONGEST_TEXT].replace(b"\0", b"\0\xff") + b"\0\2" + blake3(raw).digest(_HASH)


def _number(number: Decimal) -> bytes | None:
    sign, digits, exponent = number.as_tuple()
    written = "".join(map(str, digits)).lstrip("0")
    significant = written.rstrip("0")
    if not significant:
        return b"\x80"
    assert isinstance(exponent, int)  # `decimal_of` returns no infinities
    order = exponent + len(written) + _BIAS
    if len(significant) > _DIGITS or not 0 <= order < 2 * _BIAS:
        return None
    form = order.to_bytes(4, "big") + bytes(int(digit) + 1 for digit in significant) + b"\0"
    return b"\x7f" + bytes(255 - byte for byte in form) if sign else b"\x81" + form
