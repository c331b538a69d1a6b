"""Columns, and every decoder of a remote's packs: it refuses bytes, or encodes what it made of them back."""

from __future__ import annotations

import random

import pytest

from artstore.errors import DamageError
from artstore.remotes.packs.columns import ColumnReader, pack_columns
from record_codecs import holds, mutant
from store.remotes.packs.pack_codecs import CODECS


@pytest.mark.parametrize("name", CODECS)
def test_valid_records_are_accepted(name: str) -> None:
    assert CODECS[name].seeds
    assert all(holds(CODECS[name], seed) for seed in CODECS[name].seeds)


@pytest.mark.parametrize("name", CODECS)
def test_other_bytes_are_refused_or_come_back(name: str) -> None:
    """Changed records, half of them with right checksums: refused with a sentence, or encoded to the same bytes."""
    codec = CODECS[name]
    chance = random.Random(name)
    accepted = sum(holds(codec, mutant(codec, chance)) for _ in range(1500))
    assert accepted < 1500


@pytest.mark.parametrize("name", CODECS)
def test_every_cut_is_refused(name: str) -> None:
    for seed in CODECS[name].seeds:
        for end in range(len(seed)):
            with pytest.raises(DamageError):
                CODECS[name].decode(seed[:end])
        with pytest.raises(DamageError):
            CODECS[name].decode(seed + b"\0")


def test_columns_come_back() -> None:
    rows = [(0, 0, 0, 0, 0), (255, 65535, 2**32 - 1, 2**64 - 1, -(2**63)), (1, 2, 3, 4, 2**63 - 1)]
    data = pack_columns("BHIQq", rows)
    reader = ColumnReader(data, 0, "a record")
    assert list(zip(*reader.columns("BHIQq", len(rows)), strict=True)) == rows
    reader.finish()
    assert pack_columns("BH", []) == b""


@pytest.mark.parametrize("row", [(256,), (-1,)])
def test_a_number_that_does_not_fit_is_refused(row: tuple[int]) -> None:
    with pytest.raises(DamageError, match="too large"):
        pack_columns("B", [row])
