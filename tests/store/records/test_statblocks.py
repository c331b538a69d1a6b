"""The blocks of a stat cache: fixed bytes, and nothing is read from a damaged or foreign one."""

from __future__ import annotations

from artstore.records.statblocks import (
    DIRECTORY,
    EMPTY,
    FILE,
    LINK,
    StatEntry,
    encode_block,
    encode_figures,
    encode_trailer,
    parse_block,
    parse_trailer,
)

SEED = 0x1122334455667788
DIGEST = b"\3" * 32


def entries() -> list[StatEntry]:
    """Return a file, a link and a folder."""
    return [
        StatEntry(FILE, b"a", encode_figures(1, 2, 3, 4, 5), b"\1" * 32),
        StatEntry(LINK, b"l\0a", encode_figures(0, 0, 0, 0, 0), bytes(32)),
        StatEntry(DIRECTORY, b"s", encode_figures(0, 7, 0, 0, 0), b"\2" * 32),
    ]


VECTOR = (
    bytes.fromhex("6153433101000000e0fde1757574c9980300000000000000")
    + DIGEST
    + bytes((FILE, LINK, DIRECTORY))
    + b"".join(number.to_bytes(8, "little") for number in (1, 2, 3, 4, 5))
    + bytes(40)
    + b"".join(number.to_bytes(8, "little") for number in (0, 7, 0, 0, 0))
    + b"\1" * 32
    + bytes(32)
    + b"\2" * 32
    + b"a\0\0l\0a\0\0s"
)
TRAILER = bytes.fromhex("61535431000000002ee39037aef6a68509000000000000001c01000000000000")


def test_the_bytes_are_fixed() -> None:
    """A block and a trailer have these bytes, and are read back from them."""
    assert encode_block(entries(), DIGEST, SEED) == VECTOR
    block = parse_block(VECTOR, SEED)
    assert block.digest == DIGEST and block.keys == [b"a", b"l\0a", b"s"]
    assert block.stamps == [(1, 2, 3, 4, 5), (0, 0, 0, 0, 0), (0, 7, 0, 0, 0)]
    assert encode_trailer(9, len(VECTOR), SEED) == TRAILER
    assert parse_trailer(TRAILER, SEED) == (9, len(VECTOR))


def test_a_part_is_copied_as_it_is() -> None:
    """Parts of a block and new entries, put together again, are the same block."""
    block = parse_block(VECTOR, SEED)
    assert encode_block([block.part(0, 1), entries()[1], block.part(2, 3)], DIGEST, SEED) == VECTOR


def test_an_incomplete_block_has_no_digest() -> None:
    """A block that lacks an entry's id keeps the other entries, and no digest."""
    block = parse_block(bytes(encode_block([*entries(), StatEntry(FILE, b"y")], DIGEST, SEED)), SEED)
    assert block.digest is None and block.keys == [b"a", b"l\0a", b"s"]


def test_damage_is_detected() -> None:
    """Cut anywhere, with any byte changed or under another seed, a block is empty and a trailer leads nowhere."""
    for data, parse, nothing in ((VECTOR, parse_block, EMPTY), (TRAILER, parse_trailer, None)):
        assert parse(data, SEED + 1) == nothing
        for position in range(len(data)):
            assert parse(data[:position], SEED) == nothing
            changed = bytearray(data)
            changed[position] ^= 0x55
            assert parse(bytes(changed), SEED) == nothing
