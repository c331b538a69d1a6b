"""What processes share of what was fetched last: the bytes that were kept or none, whoever replaces them meanwhile."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from artstore.references.recent import SPAN, RecentSpans
from artstore.references.sums import PART

A, B = b"a" * 32, b"b" * 32
DATA = random.Random(1).randbytes(SPAN)
OTHER = random.Random(2).randbytes(SPAN)
SIZE = 3 * PART + 77


@pytest.fixture
def recent() -> RecentSpans:
    return RecentSpans(slots=3)


def kept(recent: RecentSpans, ident: bytes, start: int, data: bytes) -> None:
    slot = recent.keep(ident, start, (data,))
    assert slot is not None and bytes(slot.data) == data
    recent.release(slot.number)


@pytest.mark.parametrize("size", [1, PART, SIZE, SPAN])
def test_every_part_is_what_was_kept(recent: RecentSpans, size: int) -> None:
    base = 5 * SPAN
    kept(recent, A, base, DATA[:size])
    for start, end in [(0, size), (0, 1), (size - 1, size), (size // 3, size // 2 + 1)]:
        found = recent.read(A, base + start, base + end)
        assert found is not None and bytes(found) == DATA[start:end]
    assert recent.holds(A, base) and recent.holds(A, base + size - 1)
    for ident, start, end in [(A, base - 1, base), (A, base, base + size + 1), (B, base, base + 1)]:
        assert recent.read(ident, start, end) is None
    assert not recent.holds(A, base + size) and not recent.holds(B, base)


def test_it_comes_in_pieces(recent: RecentSpans) -> None:
    slot = recent.keep(A, 0, (DATA[at : at + 1_000_000] for at in range(0, SPAN, 1_000_000)))
    assert slot is not None
    found = recent.read(A, 0, SPAN)
    assert found is not None and bytes(found) == DATA


def test_the_oldest_makes_room_and_never_one_that_is_owned(recent: RecentSpans) -> None:
    slots = [recent.keep(A, number * SPAN, (DATA[number:SIZE],)) for number in range(3)]
    assert None not in slots
    pieces = iter((DATA,))
    assert recent.keep(B, 0, pieces) is None
    assert next(pieces) is DATA  # whoever has no slot still has the data
    for slot in slots[1:]:
        assert slot is not None
        recent.release(slot.number)
    kept(recent, B, 0, DATA[:100])
    assert [recent.holds(A, number * SPAN) for number in range(3)] == [True, False, True]


@pytest.mark.parametrize(
    "where",
    [
        lambda recent: (0, 100),
        lambda recent: (0, PART + 5),
        lambda recent: (3 * SPAN, 40),  # its offset
        lambda recent: (3 * SPAN, 60),  # a checksum
        lambda recent: (3 * SPAN, 56 + SPAN // PART * 8),  # the checksum of these
    ],
)
def test_what_is_not_whole_is_none(recent: RecentSpans, where: Callable[[RecentSpans], tuple[int, int]]) -> None:
    kept(recent, A, 0, DATA)
    base, at = where(recent)
    recent._memory[base + at] ^= 1
    assert recent.read(A, 0, SPAN) is None


def test_who_fails_leaves_nothing_and_gives_its_slot_back(recent: RecentSpans) -> None:
    def broken() -> Iterator[bytes]:
        yield DATA[:100]
        raise OSError("gone")

    for _ in range(5):
        with pytest.raises(OSError, match="gone"):
            recent.keep(A, 0, broken())
        with pytest.raises(ValueError):
            recent.keep(A, 0, (DATA, b"more"))
    assert recent.read(A, 0, 100) is None
    kept(recent, A, 0, DATA)


def in_a_child(work: Callable[[], object]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    return pid


def test_processes_share_it_and_one_that_dies_owns_nothing(recent: RecentSpans) -> None:
    pid = in_a_child(lambda: [recent.keep(A, number * SPAN, (DATA[: number + 1],)) for number in range(3)])
    os.waitpid(pid, 0)
    found = recent.read(A, 2 * SPAN, 2 * SPAN + 3)
    assert found is not None and bytes(found) == DATA[:3]
    for number in range(3):  # no one owns what the dead one did not release
        kept(recent, B, number * SPAN, DATA[:10])


def test_one_process_does_not_replace_what_another_owns(recent: RecentSpans) -> None:
    slots = [recent.keep(A, number * SPAN, (DATA[:9],)) for number in range(3)]
    answer, sender = os.pipe()
    pid = in_a_child(lambda: os.write(sender, b"n" if recent.keep(B, 0, (DATA[:9],)) is None else b"y"))
    os.waitpid(pid, 0)
    assert os.read(answer, 1) == b"n"
    os.close(answer)
    os.close(sender)
    assert None not in slots


def reads_while_it_changes(seconds: float) -> tuple[int, int, int]:
    """Return (right, refused, wrong) of readings while another process replaces the only slot again and again."""
    recent = RecentSpans(slots=1)

    def replace() -> None:
        while True:
            kept(recent, A, 0, DATA)
            kept(recent, B, 0, OTHER)

    right = refused = wrong = 0
    pid = in_a_child(replace)
    try:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for ident, data in ((A, DATA), (B, OTHER)):
                found = recent.read(ident, 0, SPAN)
                right += found == data
                refused += found is None
                wrong += found is not None and found != data
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return right, refused, wrong


def test_who_reads_what_is_being_replaced_gets_all_of_one_or_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    right, refused, wrong = reads_while_it_changes(1.5)
    assert right and refused and not wrong
    monkeypatch.setattr("artstore.references.recent.are_sound", lambda data, sums: True)
    # Such readings happen, if not in every 1.5 s on a machine that has much to do, and the checksums alone tell.
    assert any(reads_while_it_changes(1.5)[2] for _ in range(10))
