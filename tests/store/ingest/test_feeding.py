"""The thread that reads ahead: order, bounds, and how both sides end."""

from __future__ import annotations

import threading
from collections.abc import Generator
from concurrent.futures import Future

import pytest

from artstore.ingest.feeding import Feed, Parcel


def parcels(
    made: list[int], count: int, cost: int = 1, error: Exception | None = None
) -> Generator[Parcel, None, None]:
    try:
        for number in range(count):
            made.append(number)
            yield Parcel([], [], cost)
        if error is not None:
            raise error
    finally:
        made.append(-1)


def test_parcels_come_in_order_and_the_generator_ends() -> None:
    """All of them, also where each alone is over the limit."""
    made: list[int] = []
    with Feed(parcels(made, 50, cost=10), 5) as feed:
        taken = sum(1 for _ in feed)
    assert (taken, made) == (50, [*range(50), -1])


def test_a_parcel_waits_for_its_futures_and_those_behind_it_wait_too() -> None:
    """Whoever finishes first, order is that of the generator; what a task raises is raised here."""
    futures: list[Future[int]] = [Future(), Future()]
    futures[1].set_result(1)
    generator = (Parcel([], [future], 1) for future in futures)
    with Feed(generator, 100) as feed:
        timer = threading.Timer(0.05, futures[0].set_result, [0])
        timer.start()
        assert [parcel.futures[0].result() for parcel in feed] == [0, 1]
    failed: Future[int] = Future()
    failed.set_exception(ValueError("the task failed"))
    with pytest.raises(ValueError, match="the task failed"), Feed((Parcel([], [failed], 1) for _ in "x"), 1) as feed:
        list(feed)


def test_what_is_in_flight_is_bounded() -> None:
    """The generator is ahead by the limit and one parcel, never by more."""
    made: list[int] = []
    with Feed(parcels(made, 100), 7) as feed:
        for taken, _ in enumerate(feed, 1):
            assert len([number for number in made if number >= 0]) <= taken + 8


def test_an_error_of_the_generator_is_raised_here() -> None:
    """And the generator is closed."""
    made: list[int] = []
    with (
        pytest.raises(OSError, match="the walk failed"),
        Feed(parcels(made, 3, error=OSError("the walk failed")), 1) as feed,
    ):
        list(feed)
    assert made[-1] == -1


def test_leaving_early_closes_the_generator_in_its_thread() -> None:
    """Whatever the generator waits for; nothing of it runs afterwards."""
    made: list[int] = []
    threads = threading.active_count()
    with pytest.raises(KeyError), Feed(parcels(made, 1000), 3) as feed:
        for _ in feed:
            raise KeyError
    assert made[-1] == -1 and len(made) < 10
    assert threading.active_count() == threads
