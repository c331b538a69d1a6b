"""Sets of packs: small and large ones hold the same, and a new version writes what changes."""

from __future__ import annotations

import random

import pytest

from artstore.errors import DamageError
from artstore.ids import content_id
from artstore.remotes.packs.located import FormPlace
from artstore.remotes.packs.pack_sets import MOST_IN_ONE, encode_set, packs_of, without_listed, write_set
from artstore.remotes.packs.places import DATA, TREES, Pack, Place
from store.remotes.packs.pack_codecs import SAMPLE_PACK, packs


class Records:
    """Records by hash."""

    def __init__(self) -> None:
        self.stored: dict[bytes, bytes] = {}
        self.read: list[bytes] = []
        self.puts = 0

    def put(self, raw: bytes) -> FormPlace:
        self.puts += 1
        digest = content_id(raw)
        self.stored[digest] = raw
        return FormPlace(digest, len(raw), Place(SAMPLE_PACK, 32, len(raw)))

    def load(self, form: FormPlace) -> bytes:
        self.read.append(form.hash)
        return self.stored[form.hash]

    def packs(self, form: FormPlace) -> list[Pack]:
        return list(packs_of(self.stored[form.hash], self.load))


def some_packs(count: int, seed: int) -> list[Pack]:
    chance = random.Random(seed)
    return [Pack(chance.choice((DATA, TREES)), chance.randbytes(16)) for _ in range(count)]


@pytest.mark.parametrize("count", [0, 1, MOST_IN_ONE, MOST_IN_ONE + 1, 5000])
def test_a_set_has_its_packs_in_order(count: int) -> None:
    records, chosen = Records(), some_packs(count, count)
    form, total = write_set(chosen + chosen[:5], None, records.load, records.put)
    assert records.packs(form) == sorted(chosen, key=lambda pack: pack.id)
    assert total == count
    assert (len(records.stored) > 1) == (count > MOST_IN_ONE)


@pytest.mark.parametrize(("before", "after"), [(0, 3), (10, 2000), (MOST_IN_ONE, 1), (1500, 0), (1500, 4), (900, 9000)])
def test_a_base_gives_its_packs(before: int, after: int) -> None:
    records, base, added = Records(), some_packs(before, 1), some_packs(after, 2)
    form, _ = write_set(base, None, records.load, records.put)
    united, total = write_set(added, records.stored[form.hash], records.load, records.put)
    assert records.packs(united) == sorted({*base, *added}, key=lambda pack: pack.id)
    assert total == before + after


def test_a_large_set_is_written_where_it_changes() -> None:
    """One more pack among 100,000: one part and the root are written, and one part is read."""
    records, base = Records(), some_packs(100_000, 1)
    form, _ = write_set(base, None, records.load, records.put)
    count = len(records.stored)
    new = some_packs(1, 2)
    united, _ = write_set(new, records.stored[form.hash], records.load, records.put)
    assert len(records.stored) == count + 2 and len(records.read) == 1
    assert sum(len(raw) for raw in list(records.stored.values())[count:]) < 30_000
    puts = records.puts
    same, _ = write_set(new, records.stored[united.hash], records.load, records.put)
    assert same == united and records.puts == puts + 1, "the root, of which nothing has changed"


@pytest.mark.parametrize("count", [100, 5000])
def test_packs_that_a_set_lacks(count: int) -> None:
    records, base, others = Records(), some_packs(count, 1), some_packs(3, 2)
    form, _ = write_set(base, None, records.load, records.put)
    assert without_listed(records.stored[form.hash], records.load, [*base[:2], *others]) == set(others)
    assert len(records.read) <= 5
    assert without_listed(records.stored[form.hash], records.load, []) == set()


def test_a_part_of_another_set_is_refused() -> None:
    records = Records()
    form, _ = write_set(some_packs(3000, 1), None, records.load, records.put)
    other = encode_set(packs(3))
    with pytest.raises(DamageError, match="another one"):
        list(packs_of(records.stored[form.hash], lambda _: other))


def test_packs_out_of_order_are_refused() -> None:
    with pytest.raises(DamageError, match="out of order"):
        encode_set(packs(3)[::-1])
