"""The split rule against its second writing, and what it promises."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from artstore.ingest.content_cuts import Splitter, name_hash
from artstore.records.trees import FANOUT
from store.oracle import hash_of_name, split

# Few distinct hashes, so that boundaries and long stretches without any are both met.
ITEMS = st.lists(st.sampled_from([0, 1, 64, 65, 4096, 63, 2**63]), max_size=1500) | st.integers(0, 1500).map(
    lambda count: [1] * count
)


def parts_of(items: list[int], level: int) -> list[list[int]]:
    splitter: Splitter[int] = Splitter(level, lambda item: item)
    parts = [part for item in items for part in splitter.push(item)]
    rest = splitter.finish()
    assert splitter.split == (len(items) > FANOUT)
    return [*parts, rest] if rest or not parts else parts


@settings(max_examples=150)
@given(items=ITEMS, level=st.integers(0, 3))
def test_the_rule(items: list[int], level: int) -> None:
    """Streaming gives the parts that the rule gives to the whole sequence, none of them empty or too long."""
    parts = parts_of(items, level)
    assert parts == split(items, level, lambda item: item)
    assert [item for part in parts for item in part] == items
    assert all(len(part) <= FANOUT for part in parts)


def test_around_the_fanout() -> None:
    """256 items are one part, 257 are two; a boundary that is the very last item leaves nothing over."""
    assert [len(part) for part in parts_of([1] * 256, 0)] == [256]
    assert [len(part) for part in parts_of([1] * 257, 0)] == [256, 1]
    assert [len(part) for part in parts_of([1] * 256 + [0], 0)] == [256, 1]
    assert [len(part) for part in parts_of([1] * 255 + [0, 1, 0], 0)] == [256, 2]
    assert parts_of([], 0) == [[]]


@settings(max_examples=20)
@given(count=st.integers(300, 2000), at=st.integers(0, 10**6))
def test_an_insertion_changes_few_parts(count: int, at: int) -> None:
    """One more name leaves all parts as they were but those of its neighbourhood."""
    names = sorted(b"name %d" % number for number in range(count))
    more = sorted([*names, b"name %d and more" % (at % count)])
    old, new = ({tuple(part) for part in split(sequence, 0, hash_of_name)} for sequence in (names, more))
    assert len(new - old) <= 3


@given(name=st.binary(max_size=255))
def test_the_hash_of_a_name(name: bytes) -> None:
    """It is the first eight bytes of the name's BLAKE3."""
    assert name_hash(name) == hash_of_name(name)
