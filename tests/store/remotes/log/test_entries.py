"""Entries and their operations: one form each, bounds, and what a reader does with later releases' entries."""

from __future__ import annotations

from typing import Any

import pytest

from artstore.errors import DamageError, InvalidInputError, UnsupportedError
from artstore.remotes.log.entries import (
    LONGEST_ENTRY,
    READ_BYTES,
    Transaction,
    chain_hash,
    decode_entry,
    encode_entry,
    entry_name,
    entry_number,
    transaction_length,
)
from artstore.remotes.log.fields import Span
from artstore.remotes.log.operations import Alias, Condemn, Extension, Opaque, Place, Rules, Source, Undelete
from store.remotes.log.log_story import UUID, Writer, commit, make_id, make_span, resealed

DIGITS = make_id("digits")


def _entry(*operations: Any, **values: Any) -> bytes:
    return encode_entry(Writer().entry(Transaction(0, 0, operations), **values))


def test_names_of_entries() -> None:
    """A name has twenty digits, so that names sort as numbers do; no other name is an entry's."""
    assert entry_name(7) == "log/00000000000000000007"
    assert entry_number(entry_name(10**19)) == 10**19
    for name in ("log/7", "log/0000000000000000000x", "log/" + "0" * 20, "log/" + "٣" * 20, "state/hint", ""):
        assert entry_number(name) is None


@pytest.mark.parametrize(
    "operation",
    [
        Alias(b"short", "a", None, 1),
        Alias(DIGITS, "\ud800", None, 1),
        Alias(DIGITS, "a" * 256, None, 1),
        Alias(DIGITS, "a", None, -1),
        Alias(DIGITS, "a", True, 1),
        Alias(DIGITS, "a", None, 2**31),
        Alias(DIGITS, "a", None, 1, (Extension(127, b""),)),
        Alias(DIGITS, "a", None, 1, (Extension(200, b""), Extension(199, b""))),
        Undelete(DIGITS, 2**40),
        Rules(0, bytes(20_000)),
        Opaque(127, b""),
        Condemn(Span(bytes(16), 0, 2**31, bytes(32)), 1, 1),
        commit("digits", 0, "d", mode=0o4755),
        commit("digits", 0, "d", created_ns=2**63),
        commit("n" * 481, 0, "d"),
        commit("digits", 0, "d", sources=(Source(ord("x"), DIGITS),)),
    ],
    ids=lambda operation: repr(operation)[:60],
)
def test_writers_refuse_what_readers_refuse(operation: Any) -> None:
    """A value without a form is refused when it is written."""
    with pytest.raises(InvalidInputError):
        _entry(operation)


def test_an_entry_is_bounded() -> None:
    """An entry has at most 64 KiB; a transaction knows how much it adds."""
    places = tuple(Place(number, 0) for number in range(5000))
    transaction = Transaction(0, 0, (Condemn(make_span("x"), 1, 1, places),))
    bare = len(_entry(Undelete(DIGITS, 1))) - transaction_length(Transaction(0, 0, (Undelete(DIGITS, 1),)))
    data = encode_entry(Writer().entry(transaction))
    assert len(data) == bare + transaction_length(transaction) <= LONGEST_ENTRY
    with pytest.raises(InvalidInputError, match="at most 65536"):
        encode_entry(Writer().entry(transaction, transaction))
    with pytest.raises(InvalidInputError):
        encode_entry(Writer().entry())
    with pytest.raises(InvalidInputError):
        encode_entry(Writer().entry(Transaction(0, 0, ())))
    # An object that is no entry is hashed up to the first byte that is too many.
    assert chain_hash(bytes(READ_BYTES)) == chain_hash(bytes(10 * READ_BYTES)) != chain_hash(bytes(LONGEST_ENTRY))


def test_entries_of_later_releases_are_refused() -> None:
    """An unknown format, operation or field is refused; ignorable ones are kept."""
    whole = _entry(Alias(DIGITS, "a", None, 1, (Extension(200, b"x"),)), Opaque(130, b"y"))
    assert encode_entry(decode_entry(whole)) == whole
    format_2 = resealed(whole[:8] + b"\2" + whole[9:])
    marked = resealed(whole[:10] + b"\1" + whole[11:])
    operation = resealed(whole.replace(b"\x82\1\0y", b"\x7f\1\0y"))
    field = resealed(whole.replace(b"\xc8\1\0x", b"\x7f\1\0x"))
    for data in (format_2, marked, operation, field):
        with pytest.raises(UnsupportedError):
            decode_entry(data)


def test_damage_is_never_taken_for_an_entry() -> None:
    """Any flipped bit, cut or byte more makes bytes no entry: they are void, and never a later release's."""
    whole = _entry(Alias(DIGITS, "a", None, 1))
    for at in range(len(whole) * 8):
        with pytest.raises(DamageError):
            decode_entry(whole[: at // 8] + bytes([whole[at // 8] ^ 1 << at % 8]) + whole[at // 8 + 1 :])
    for data in (whole[:-1], whole + b"\0", b"", bytes(LONGEST_ENTRY), whole[:48]):
        with pytest.raises(DamageError):
            decode_entry(data)
    assert decode_entry(whole).before != UUID
