"""One worker serves one reader, several serve many, and no one waits for long for one that is stuck or gone."""

from __future__ import annotations

import os
import select
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from artfs.mount import duty
from artfs.mount.counters import Counters, Field
from artfs.mount.duty import Duty, Relief

PACKET = 8


class Workers:
    """Processes that answer each packet of one pipe with their number on another."""

    def __init__(self, count: int, seconds: float = 0) -> None:
        self.counters = Counters(count)
        self._requests, self._asking = os.pipe2(os.O_DIRECT)
        self._answers, self._answering = os.pipe2(os.O_DIRECT)
        self._lock = os.memfd_create("duty")
        self._seconds = seconds
        self.pids = [self._start(slot) for slot in range(count)]
        self.relief = Relief(self._requests, self.counters)

    def _start(self, slot: int) -> int:
        pid = os.fork()
        if not pid:
            try:
                self._work(slot)
            finally:
                os._exit(1)
        self.counters.slot(slot).set(Field.PID, pid)
        return pid

    def _work(self, slot: int) -> None:
        take = Duty(self._lock, self._requests).read
        buffer = memoryview(bytearray(PACKET))
        while True:
            assert take((buffer,)) == PACKET
            self.counters.slot(slot).served()
            time.sleep(self._seconds)
            os.write(self._answering, bytes([slot]) * PACKET)

    def ask(self) -> None:
        os.write(self._asking, bytes(PACKET))

    def answer(self, seconds: float = 20) -> int | None:
        """Return the number of the process that answers, None if none does in time."""
        if not select.select([self._answers], [], [], seconds)[0]:
            return None
        return os.read(self._answers, PACKET)[0]

    def on_duty(self) -> int:
        """Return who is on duty, once all wait and only one of them at the pipe."""
        found = None
        for _ in range(5):
            time.sleep(0.02)
            self.ask()
            found = self.answer()
        time.sleep(0.02)
        assert found is not None
        return found

    def kill(self, number: int) -> None:
        pid = self.pids.pop(number)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)  # until then it may take a request with it

    def end(self) -> None:
        while self.pids:
            self.kill(0)
        for descriptor in (self._requests, self._asking, self._answers, self._answering, self._lock):
            os.close(descriptor)


@pytest.fixture
def workers() -> Iterator[Callable[..., Workers]]:
    made: list[Workers] = []

    def make(count: int, seconds: float = 0) -> Workers:
        made.append(Workers(count, seconds))
        return made[-1]

    yield make
    for each in made:
        each.end()


def test_one_worker_serves_one_reader(workers: Callable[..., Workers]) -> None:
    pool = workers(3)
    served = Counter[int | None]()
    for _ in range(300):
        pool.ask()
        served[pool.answer()] += 1
        time.sleep(0.001)  # so that the worker is back before the next request
    assert max(served.values()) >= 290


def test_several_serve_many(workers: Callable[..., Workers]) -> None:
    """Requests that wait bring in the others; all are answered once."""
    pool = workers(3, seconds=0.001)
    served = Counter[int | None]()
    for _ in range(20):
        pool.ask()
    for _ in range(600):
        pool.ask()
        served[pool.answer()] += 1
    served.update(pool.answer() for _ in range(20))
    assert served.total() == 620 and len(served) == 3 and min(served.values()) >= 50
    assert pool.answer(0.05) is None


def test_a_stuck_worker_is_relieved(workers: Callable[..., Workers]) -> None:
    """A stopped process on duty blocks the others only until the watcher notices; without a watcher, for ever."""
    pool = workers(2)
    first = pool.on_duty()
    os.kill(pool.pids[first], signal.SIGSTOP)
    os.waitid(os.P_PID, pool.pids[first], os.WSTOPPED)
    pool.ask()  # the stopped one may take it and not answer
    pool.ask()
    assert pool.answer(0.3) is None
    seen = [pool.relief.look(), pool.relief.look()]
    assert seen == [True, True]
    assert pool.answer() == 1 - first
    os.kill(pool.pids[first], signal.SIGCONT)


def test_nobody_is_relieved_while_requests_are_taken(
    workers: Callable[..., Workers], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often it is looked at just when one waits."""
    pool = workers(2)
    relieved: list[int] = []
    monkeypatch.setattr(duty.os, "kill", lambda pid, number: relieved.append(pid))
    waited = 0
    for _ in range(200):
        pool.ask()
        waited += pool.relief.look()
        assert pool.answer() is not None
    monkeypatch.undo()
    assert not pool.relief.look()
    assert waited and not relieved


def test_the_duty_of_a_killed_worker_is_free(workers: Callable[..., Workers]) -> None:
    pool = workers(2)
    first = pool.on_duty()
    pool.kill(first)
    for _ in range(5):
        pool.ask()
        assert pool.answer() == 1 - first
