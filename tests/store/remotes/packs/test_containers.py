"""Objects of stored forms: what is added is found at its place, and any changed byte of the frame is refused."""

from __future__ import annotations

import random

import pytest

from artstore.errors import DamageError
from artstore.ids import content_id
from artstore.remotes.packs.containers import (
    CHUNK,
    LIST,
    SPAN,
    FormEntry,
    PackBuilder,
    check_form,
    parse_pack,
    read_footer,
)
from artstore.remotes.packs.places import DATA, Pack, new_pack
from store.remotes.packs.pack_codecs import SAMPLE_PACK, digest


def built(count: int, pack: Pack = SAMPLE_PACK) -> tuple[bytes, list[FormEntry]]:
    chance = random.Random(count)
    builder = PackBuilder(pack)
    for number in range(count):
        data = chance.randbytes(chance.randrange(1, 40))
        klass = CHUNK if number % 2 else SPAN
        place = builder.add(klass, 0 if klass == CHUNK else 1, content_id(data), data, len(data))
        assert place == (pack, builder.length - len(data), len(data))
    item = builder.finish()
    whole = item.body
    assert (item.length, item.hash, item.pack) == (len(whole), content_id(whole), pack)
    return whole, list(item.entries)


@pytest.mark.parametrize("count", [0, 1, 50, 3000])
def test_forms_are_at_their_places(count: int) -> None:
    """The footer of a whole object, and the same fetched from its end, in one or two requests."""
    data, entries = built(count)
    assert parse_pack(data, SAMPLE_PACK) == entries
    for entry in entries:
        assert content_id(data[entry.offset : entry.offset + entry.stored]) == entry.id
    requests = []

    def fetch(pack: Pack, offset: int, length: int, *, fresh: bool = False) -> bytes:
        requests.append((offset, length))
        return data[offset : offset + length]

    assert read_footer(fetch, SAMPLE_PACK, len(data)) == entries
    assert len(requests) == (3 if count == 3000 else 2)


def test_every_changed_byte_of_the_frame_is_refused() -> None:
    """Header, entries and trailer: each bit of each byte; the forms have ids of their own."""
    data, entries = built(5)
    forms = range(32, entries[-1].offset + entries[-1].stored)
    for at in set(range(len(data))) - set(forms):
        changed = data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :]
        with pytest.raises(DamageError, match=SAMPLE_PACK.object_name):
            parse_pack(changed, SAMPLE_PACK)


def test_another_object_is_refused() -> None:
    """The bytes of a sound object under the name of another."""
    data, _ = built(3)
    other = new_pack(DATA)
    with pytest.raises(DamageError, match=other.object_name):
        parse_pack(data, other)


@pytest.mark.parametrize("length", [0, 31, 87, (128 << 20) + 1])
def test_an_object_of_an_impossible_length_is_refused(length: int) -> None:
    def fetch(pack: Pack, offset: int, length: int, *, fresh: bool = False) -> bytes:
        raise AssertionError("nothing is fetched")

    with pytest.raises(DamageError, match="is no pack"):
        read_footer(fetch, SAMPLE_PACK, length)


def test_a_footer_that_claims_more_than_fits_is_refused_before_it_is_fetched() -> None:
    data, _ = built(3)
    forged = data[:-48] + (2**32 - 1).to_bytes(4, "little") + data[-44:]
    lengths = []

    def fetch(pack: Pack, offset: int, length: int, *, fresh: bool = False) -> bytes:
        lengths.append(length)
        return forged[offset : offset + length]

    with pytest.raises(DamageError, match="more entries than fit"):
        read_footer(fetch, SAMPLE_PACK, len(forged))
    assert max(lengths) < len(forged)


@pytest.mark.parametrize(
    "entry",
    [
        FormEntry(0, 0, digest(1), 32, 5, 5),
        FormEntry(CHUNK, 2, digest(1), 32, 5, 5),
        FormEntry(CHUNK, 0, digest(1)[:31], 32, 5, 5),
        FormEntry(CHUNK, 0, digest(1), 32, 0, 0),
        FormEntry(CHUNK, 0, digest(1), 32, 5, 6),
        FormEntry(CHUNK, 1, digest(1), 32, 6, 5),
        FormEntry(CHUNK, 1, digest(1), 32, 5, (1 << 20) + 1),
        FormEntry(LIST, 0, digest(1), 32, 5, 5),
        FormEntry(LIST, 1, digest(1), 32, 5, (16 << 20) + 1),
    ],
)
def test_forms_that_no_reader_makes_space_for_are_refused(entry: FormEntry) -> None:
    with pytest.raises(DamageError):
        check_form(entry)
