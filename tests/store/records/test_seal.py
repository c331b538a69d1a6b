"""The seal on LMDB values: any other value, key or table is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artstore.errors import DamageError
from artstore.records.seal import SEAL_LENGTH, seal, seal_numbered, unseal, unseal_numbered

PAYLOADS = st.binary(max_size=200)
KEYS = st.binary(min_size=1, max_size=40)
NUMBERS = st.integers(0, 2**56 - 1)


@given(table=st.integers(1, 20), key=KEYS, payload=PAYLOADS)
def test_what_was_sealed_comes_out(table: int, key: bytes, payload: bytes) -> None:
    """A seal adds its length and nothing else."""
    value = seal(table, key, payload)
    assert len(value) == len(payload) + SEAL_LENGTH
    assert unseal(table, key, value) == payload


@given(table=st.integers(1, 20), number=NUMBERS, payload=PAYLOADS)
def test_what_was_sealed_by_number_comes_out(table: int, number: int, payload: bytes) -> None:
    """The same holds for tables keyed by numbers."""
    assert unseal_numbered(table, number, seal_numbered(table, number, payload)) == payload


@given(payload=PAYLOADS, data=st.data())
def test_any_flipped_byte_is_found(payload: bytes, data: st.DataObject) -> None:
    """Whichever single byte changes, and to whatever, in the payload or in the seal, it is found."""
    change = data.draw(st.integers(1, 255))
    for value, check in (
        (seal(3, b"key", payload), lambda value: unseal(3, b"key", value)),
        (seal_numbered(3, 77, payload), lambda value: unseal_numbered(3, 77, value)),
    ):
        for at in range(len(value)):
            broken = bytearray(value)
            broken[at] ^= change
            with pytest.raises(DamageError):
                check(bytes(broken))


@given(payload=st.binary(min_size=1, max_size=100), kept=st.integers(0, 99))
def test_a_cut_value_is_found(payload: bytes, kept: int) -> None:
    """A value that lost its end does not pass, however little is left."""
    for value, check in (
        (seal(3, b"key", payload), lambda value: unseal(3, b"key", value)),
        (seal_numbered(3, 77, payload), lambda value: unseal_numbered(3, 77, value)),
    ):
        with pytest.raises(DamageError):
            check(value[: min(kept, len(value) - 1)])


def test_a_value_under_another_key_or_table_is_found() -> None:
    """A sound value in another place is as wrong as a broken one."""
    value, numbered = seal(3, b"key", b"payload"), seal_numbered(3, 77, b"payload")
    for table, key, number in ((4, b"key", 77), (3, b"kez", 78)):
        with pytest.raises(DamageError):
            unseal(table, key, value)
        with pytest.raises(DamageError):
            unseal_numbered(table, number, numbered)
