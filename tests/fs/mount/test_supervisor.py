"""The control server answers each request once, survives what is no request, and says what the workers have done."""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import trio

from artfs.mount import supervisor
from artfs.mount.counters import Counters, Field
from artfs.mount.holding import DeletedVersion
from artfs.mount.reports import WorkerStatus
from artfs.mount.supervisor import Supervisor, memory_of
from artstore.daemon_requests import Change, Peer, PurgedEntry
from artstore.errors import DamageError


class Daemon:
    """Run a supervisor over an address, with what it does recorded; it is its own reaper and speaks to no kernel."""

    def __init__(self, address: Path) -> None:
        self.counters = Counters(2)
        self.notified: list[list[Change]] = []
        self.asked: list[list[DeletedVersion]] = []
        self.purged: list[Any] = []
        self.woken = 0
        self.free: set[int] = set()
        self.kernel_answers = threading.Event()
        self.kernel_answers.set()
        self.unmounts: list[bool] = []
        self.unmount_answers = [0]
        self.failure: Exception | None = None
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(address))
        self.listener.listen()
        self.address = address
        self.supervisor = Supervisor(
            description={"id": "abc", "pid": 1},
            counters=self.counters,
            forgetting=self,
            reaping=self,
            retaining=self,
            following=self,
            releasing=self,
            relief=self,
            unmount=self._unmount,
            uid=os.getuid(),
        )

    def look(self) -> bool:
        return False

    def apply(self, changes: list[Change]) -> None:
        if self.failure is not None:
            raise self.failure
        self.notified.append(changes)

    def settle(self, versions: Sequence[DeletedVersion], free: set[int], *, seconds: float) -> None:
        self.asked.append(list(versions))
        for version in versions:
            if version.serial in self.free:
                free.add(version.serial)
            else:
                self.kernel_answers.wait(10)

    def purge(self, entries: Sequence[PurgedEntry]) -> None:
        self.purged += entries

    async def run(self) -> None:
        await trio.sleep_forever()

    def wake(self) -> None:
        self.woken += 1

    def status(self) -> dict[str, Any]:
        return {"state": "idle"}

    def _unmount(self, lazy: bool) -> int:
        self.unmounts.append(lazy)
        return self.unmount_answers.pop(0)

    async def ask(self, line: bytes) -> Any:
        """Return the answer to a raw line, None if there is none."""
        stream = await trio.open_unix_socket(str(self.address))
        received = b""
        async with stream:
            with contextlib.suppress(trio.BrokenResourceError):
                await stream.send_all(line)
                await stream.send_eof()
                async for data in stream:
                    received += data
        return json.loads(received) if received else None


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    return Daemon(tmp_path / "s")


def served(test: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """Run a test while its daemon serves."""

    @pytest.mark.trio
    @functools.wraps(test)
    async def run(daemon: Daemon, **others: Any) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(daemon.supervisor.serve, daemon.listener)
            with trio.fail_after(10):
                await test(daemon, **others)
            nursery.cancel_scope.cancel()

    return run


def line(**message: Any) -> bytes:
    return json.dumps(message).encode() + b"\n"


@served
async def test_a_change_is_applied_before_it_is_acknowledged(daemon: Daemon) -> None:
    asked = line(op="invalidate", changes=[["team", ["data"]], ["team/data", ["v1", "ü"]]])
    assert await daemon.ask(asked) == {"ok": True}
    assert daemon.notified == [[Change("team", ["data"]), Change("team/data", ["v1", "ü"])]]
    assert daemon.woken == 1, "the change may be a deletion"


@served
async def test_a_change_that_cannot_be_applied_is_not_acknowledged(daemon: Daemon) -> None:
    daemon.failure = DamageError("a record is damaged")
    answer = await daemon.ask(line(op="invalidate", changes=[["", ["a"]]]))
    assert answer == {"ok": False, "errno": errno.EIO, "error": "a record is damaged"}


@pytest.mark.parametrize(
    "request_line",
    [
        b"\n",
        b"[]\n",
        b"{}\n",
        b"no json\n",
        b"\xff\n",
        line(op=["status"]),
        line(op="invalidate"),
        line(op="invalidate", changes=[1]),
        line(op="in_use"),
        line(op="in_use", versions=[[1, 2]]),
        line(op="in_use", versions=[[1, 2, "three"]]),
        line(op="purged", files=[1], directories=[]),
        line(op="purged", entries=[1]),
        line(op="purged", entries=[[1, 2, "x", "name"]]),
        line(op="purged", entries=[[1, 2, 3, 4]]),
    ],
)
@served
async def test_what_is_no_request_is_refused(daemon: Daemon, request_line: bytes) -> None:
    answer = await daemon.ask(request_line)
    assert answer["ok"] is False
    assert answer["errno"] == errno.EINVAL
    assert (await daemon.ask(line(op="status")))["ok"] is True


@served
async def test_what_is_not_known_to_be_free_is_in_use(daemon: Daemon) -> None:
    daemon.free = {7}
    asked = line(op="in_use", versions=[[1, 0, 7], [1, 1, 8], [2, 0, 9]])
    assert await daemon.ask(asked) == {"ok": True, "in_use": [8, 9]}
    assert daemon.asked == [[DeletedVersion(1, 0, 7), DeletedVersion(1, 1, 8), DeletedVersion(2, 0, 9)]]


@served
async def test_a_kernel_that_does_not_answer_delays_no_answer(daemon: Daemon) -> None:
    """Behind a look-up that hangs nothing more is found out: what was free before is free, the rest in use."""
    daemon.free = {7}
    daemon.kernel_answers.clear()
    begun = time.monotonic()
    answer = await daemon.ask(line(op="in_use", versions=[[1, 0, 7], [1, 1, 8]]))
    assert time.monotonic() - begun < 5
    assert answer == {"ok": True, "in_use": [8]}
    assert (await daemon.ask(line(op="status")))["ok"] is True
    daemon.kernel_answers.set()


@served
async def test_a_purge_is_passed_on_before_it_is_acknowledged(daemon: Daemon) -> None:
    assert await daemon.ask(line(op="purged", entries=[[3, 0, 2, "x"], [3, 2, 4, "\udcff"]])) == {"ok": True}
    assert daemon.purged == [(3, 0, 2, b"x"), (3, 2, 4, b"\xff")]


@served
async def test_an_unknown_operation_is_named(daemon: Daemon) -> None:
    answer = await daemon.ask(line(op="fly"))
    assert answer == {"ok": False, "errno": errno.ENOSYS, "error": "there is no operation 'fly'"}


@served
async def test_a_conversation_that_breaks_off_harms_nobody(daemon: Daemon) -> None:
    assert await daemon.ask(b"") is None
    assert await daemon.ask(b'{"op": "sta') is None
    assert (await daemon.ask(line(op="status")))["ok"] is True


@served
async def test_a_slow_client_delays_no_other(daemon: Daemon) -> None:
    async with await trio.open_unix_socket(str(daemon.address)):
        with trio.fail_after(1):
            assert (await daemon.ask(line(op="status")))["ok"] is True


@served
async def test_strangers_are_not_answered(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "peer", lambda _: Peer(1, os.getuid() + 1, 1))
    assert await daemon.ask(line(op="status")) is None
    monkeypatch.setattr(supervisor, "peer", lambda _: Peer(1, 0, 0))
    assert (await daemon.ask(line(op="status")))["ok"] is True


@served
async def test_unmounting_is_the_zygotes_and_its_answer_is_passed_on(daemon: Daemon) -> None:
    daemon.unmount_answers = [errno.EBUSY, 0]
    assert (await daemon.ask(line(op="unmount")))["errno"] == errno.EBUSY
    assert await daemon.ask(line(op="unmount", lazy=True)) == {"ok": True}
    assert daemon.unmounts == [False, True]


@served
async def test_members_may_request_all_but_an_unmount(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a shared workspace; other users get no answer, and in a private workspace no member does."""
    monkeypatch.setattr(supervisor, "peer", lambda _: Peer(1, os.getuid() + 1, 5))
    monkeypatch.setattr(supervisor, "peer_groups", lambda _: frozenset((5, 7)))
    assert await daemon.ask(line(op="status")) is None
    daemon.supervisor._group = 6
    assert await daemon.ask(line(op="status")) is None
    daemon.supervisor._group = 7
    assert (await daemon.ask(line(op="status")))["ok"]
    assert await daemon.ask(line(op="invalidate", changes=[])) == {"ok": True}
    refused = await daemon.ask(line(op="unmount"))
    assert (refused["ok"], refused["errno"], daemon.unmounts) == (False, errno.EPERM, [])


@served
async def test_the_status_is_what_the_workers_count(daemon: Daemon) -> None:
    daemon.counters.slot(0).set(Field.STARTED_NS, time.time_ns())
    slot = daemon.counters.slot(1)
    slot.set(Field.PID, os.getpid())
    slot.set(Field.STARTED_NS, time.time_ns())
    slot.add(Field.REQUESTS, 5)
    slot.add(Field.BYTES, 7)
    slot.add(Field.CACHE_HITS, 8)
    slot.add(Field.CACHE_MISSES, 9)
    slot.add(Field.VERIFICATION_FAILURES, 2)
    answer = await daemon.ask(line(op="status"))
    assert answer["status"]["id"] == "abc"
    assert answer["status"]["reaper"] == {"state": "idle"}
    workers = [WorkerStatus.from_message(worker) for worker in answer["status"]["workers"]]
    assert (workers[1].pid, workers[1].requests, workers[1].bytes) == (os.getpid(), 5, 7)
    assert workers[1].memory_bytes == pytest.approx(memory_of(os.getpid()), rel=0.5)
    assert workers[0].memory_bytes is None
    assert (workers[1].cache_hits, workers[1].cache_misses, workers[1].verification_failures) == (8, 9, 2)
    newer = ("cache_hits", "cache_misses", "verification_failures")
    of_an_older_daemon = {name: value for name, value in answer["status"]["workers"][1].items() if name not in newer}
    assert WorkerStatus.from_message(of_an_older_daemon).cache_hits == 0


def test_memory_of_nobody_is_unknown() -> None:
    assert memory_of(2**22 + 1) is None
