"""The table of content nodes gives every worker what was put last, or nothing, and never another file's content."""

from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st

from artfs.mount.nodetable import NodeTable

words = st.integers(1, (1 << 64) - 1)
puts = st.tuples(st.one_of(st.integers(1, 40), words), words, st.integers(0, 3))


@given(st.lists(puts))
def test_a_node_table_gives_what_was_put_last_or_nothing(written: list[tuple[int, int, int]]) -> None:
    table = NodeTable(slots=8)
    model: dict[int, tuple[int, int]] = {}
    for inode, value, epoch in written:
        table.put(inode, value, epoch)
        assert table.get(inode, epoch) == value
        assert table.get(inode, epoch + 1) == 0
        model[inode] = value, epoch
        for known, (expected, its_epoch) in model.items():
            assert table.get(known, its_epoch) in (expected, 0)


@given(puts, puts, st.tuples(*[st.booleans()] * 3))
def test_what_two_workers_write_at_once_is_never_mixed(
    one: tuple[int, int, int], other: tuple[int, int, int], taken: tuple[bool, bool, bool]
) -> None:
    """Of the three numbers in a slot each is one worker's: either they belong together, or they match no inode."""
    table = NodeTable(slots=1)
    slots = []
    for written in (one, other):
        table.put(*written)
        slots.append(list(table._cells))
    for position, second in enumerate(taken):
        table._cells[position] = slots[second][position]
    for inode, _, epoch in (one, other):
        value = table.get(inode, epoch)
        assert value == 0 or (inode, value, epoch) in (one, other)


def test_a_node_table_is_shared_with_children() -> None:
    table = NodeTable()
    child = os.fork()
    if child == 0:
        table.put(1 << 62 | 5, 77, 1)
        os._exit(0)
    os.waitpid(child, 0)
    assert table.get(1 << 62 | 5, 1) == 77
    assert table.get(0, 0) == 0
