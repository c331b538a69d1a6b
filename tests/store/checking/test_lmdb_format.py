"""A page that LMDB would not write is refused with one sentence, whatever its bytes are."""

from __future__ import annotations

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artstore.checking.lmdb_format import BIG_DATA, NO_PAGE, parse_meta, parse_nodes, parse_overflow, parse_table
from artstore.errors import DamageError
from messages import raises

PAGE = 4096


def leaf(*nodes: bytes, number: int = 5, kind: int = 2) -> bytes:
    """Return a page of nodes, laid out as LMDB does."""
    offsets, body = [], b""
    for node in nodes:
        body = node + bytes(len(node) % 2) + body
        offsets.append(PAGE - len(body))
    lower = 16 + 2 * len(offsets)
    head = struct.pack("<QHHHH", number, 0, kind, lower, PAGE - len(body)) + struct.pack(f"<{len(offsets)}H", *offsets)
    return head + bytes(PAGE - len(head) - len(body)) + body


def node(key: bytes, data: bytes, flags: int = 0, size: int | None = None) -> bytes:
    length = len(data) if size is None else size
    return struct.pack("<HHHH", length & 0xFFFF, length >> 16, flags, len(key)) + key + data


def test_a_leaf_is_read() -> None:
    page = leaf(node(b"a", b"first"), node(b"bb", (77).to_bytes(8, "little"), BIG_DATA, 100_000))
    is_leaf, (first, second) = parse_nodes(page, 5)
    assert is_leaf
    assert (first.key, first.data, first.page) == (b"a", b"first", NO_PAGE)
    assert (second.key, second.size, second.page) == (b"bb", 100_000, 77)


def test_a_branch_is_read() -> None:
    child = 0x1_0002_0003
    page = leaf(struct.pack("<HHHH", 3, 2, 1, 0), struct.pack("<HHHH", 9, 0, 0, 1) + b"k", kind=1)
    is_leaf, nodes = parse_nodes(page, 5)
    assert not is_leaf
    assert [(node.key, node.page) for node in nodes] == [(b"", child), (b"k", 9)]


@pytest.mark.parametrize(
    ("page", "names"),
    [
        (leaf(node(b"a", b"1"), number=6), ["page 5", "page 6"]),
        (leaf(node(b"a", b"1"), kind=0x12), ["page 5", "kind 18"]),
        (leaf(), ["page 5", "16", str(PAGE)]),
        (leaf(node(b"a", b"1"), node(b"b", b"2", 0, 4)), ["page 5", "4086"]),
        (leaf(node(b"a", b"1", 0, 60_000)), ["page 5", "64096"]),
    ],
)
def test_a_page_that_cannot_be_is_refused(page: bytes, names: list[str]) -> None:
    with raises(DamageError, names=names):
        parse_nodes(page, 5)


@given(st.binary(min_size=0, max_size=200), st.integers(0, PAGE - 1))
def test_random_bytes_are_refused_with_one_sentence(noise: bytes, start: int) -> None:
    page = bytearray(leaf(node(b"a", b"1" * 300), node(b"b", b"2" * 300), node(b"c", b"3" * 300)))
    page[start : start + len(noise)] = noise[: PAGE - start]
    assert len(page) == PAGE
    for parse in (parse_nodes, parse_meta):
        with suppress(DamageError):
            parse(bytes(page), 5)


def test_long_data_begins_with_a_head_of_its_own() -> None:
    assert parse_overflow(struct.pack("<QHHI", 9, 0, 4, 3), 9) == 3
    for head in (
        struct.pack("<QHHI", 8, 0, 4, 3),
        struct.pack("<QHHI", 9, 0, 2, 3),
        struct.pack("<QHHI", 9, 0, 4, 0),
        b"",
    ):
        with pytest.raises(DamageError):
            parse_overflow(head, 9)


def test_a_table_has_48_bytes() -> None:
    assert parse_table(struct.pack("<IHHQQQQQ", 0, 0, 1, 2, 3, 4, 5, 6)).root == 6
    with pytest.raises(DamageError):
        parse_table(bytes(47))
