"""The daemon's reaper does what is due, when it is due, alongside reads; no error ends it, only damage stops it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from artfs.mount import reaping
from artfs.mount.counters import Counters, Field
from artfs.mount.reaping import Reaping
from artfs.mount.reports import ReaperStatus
from artstore.errors import DamageError, OutOfSpaceError
from artstore.reclaim.reaper import Step
from artstore.workspace import Workspace, init_workspace

NOTHING = Step(0, 0, False)


class Script:
    """A fake reaper whose steps return scripted results, and nothing after the last one."""

    def __init__(self) -> None:
        self.left: list[Step | Exception | Callable[[], Step]] = []
        self.in_use: list[str] = []
        self.times: list[float] = []
        self.tidied = 0
        self.tidying = [False]

    def step(self) -> Step:
        self.times.append(time.monotonic())
        if not self.left:
            return NOTHING
        result = self.left.pop(0)
        if isinstance(result, Exception):
            raise result
        return result if isinstance(result, Step) else result()

    def tidy(self, *_: Any) -> bool:
        self.tidied += 1
        return self.tidying.pop(0) if self.tidying else False


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return init_workspace(tmp_path / "ws")


@pytest.fixture
def counters() -> Counters:
    return Counters(1)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    script = Script()
    monkeypatch.setattr(reaping, "Reaper", lambda store, *, every_pack: script)
    monkeypatch.setattr(reaping, "tidy", script.tidy)
    monkeypatch.setattr(reaping, "_FIRST_RETRY_SECONDS", 0.02)
    return script


@pytest.fixture
def reaper(workspace: Workspace, counters: Counters, script: Script) -> Reaping:
    return Reaping(workspace.store, counters)


async def running(reaper: Reaping, until: Callable[[], Any], then: Callable[[], Awaitable[None]] | None = None) -> None:
    """Run the reaper until a condition holds, perform an action, and stop it."""
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reaper.run)
            while not until():
                await trio.sleep(0.005)
            if then is not None:
                await then()
            nursery.cancel_scope.cancel()


def status_of(reaper: Reaping) -> ReaperStatus:
    return ReaperStatus.from_message(reaper.status())


@pytest.mark.trio
async def test_all_that_is_due_is_reaped_and_counted(reaper: Reaping, script: Script) -> None:
    """Steps follow until one finds nothing; then packs are tidied, and what that leaves to reap is reaped."""
    script.left = [Step(1000, 0, True), Step(5, 700, True), Step(0, 0, True, 30), NOTHING, Step(7, 37, True)]
    script.tidying = [True, False]
    await running(reaper, lambda: reaper.status()["state"] == "idle" and script.tidied == 2)
    assert status_of(reaper) == ReaperStatus("idle", 737, 1012, 0, None, None)
    assert len(script.times) == 6


@pytest.mark.trio
async def test_it_sleeps_until_it_is_woken(reaper: Reaping, script: Script) -> None:
    """News of a change makes it look, once for several that come together."""

    async def wake() -> None:
        await trio.sleep(0.2)
        assert len(script.times) == 1
        for _ in range(5):
            reaper.wake()
        await trio.sleep(0.3)
        assert len(script.times) == 2

    await running(reaper, lambda: script.times, wake)


@pytest.mark.trio
async def test_it_wakes_when_the_next_entry_is_due(
    reaper: Reaping, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, due = time.monotonic(), time.time_ns() + 300_000_000
    monkeypatch.setattr(reaping, "next_due_ns", lambda _: due if time.time_ns() < due else None)
    await running(reaper, lambda: len(script.times) == 2)
    assert begun + 0.25 < script.times[1] < begun + 5


@pytest.mark.trio
async def test_a_real_entry_gives_the_time(workspace: Workspace, tmp_path: Path, reaper: Reaping) -> None:
    (tmp_path / "source").mkdir()
    workspace.put(tmp_path / "source", "data")
    deletion = workspace.delete("data:v0")
    await running(reaper, lambda: reaper.status()["next_due"] is not None)
    found = status_of(reaper).next_due
    assert found is not None and deletion.due_at is not None
    assert abs(found - deletion.due_at) < timedelta(milliseconds=1)


@pytest.mark.trio
async def test_what_is_in_use_is_asked_about_again(
    reaper: Reaping, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reaping, "_IN_USE_SECONDS", 0.05)
    script.in_use = ["a version"]

    async def release() -> None:
        assert (status_of(reaper).state, status_of(reaper).in_use) == ("in use", 1)
        script.in_use = []
        count = len(script.times)
        await trio.sleep(0.3)
        assert len(script.times) <= count + 1

    await running(reaper, lambda: len(script.times) == 4, release)
    assert status_of(reaper).state == "idle"


@pytest.mark.trio
async def test_readers_that_have_to_end_first_are_waited_for(
    reaper: Reaping, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reaping, "_READERS_SECONDS", 0.05)
    script.left = [Step(0, 0, True), Step(0, 0, True), Step(0, 9, False)]
    await running(reaper, lambda: reaper.status()["freed_bytes"] == 9)
    assert script.tidied == 0 or len(script.times) == 4


@pytest.mark.parametrize("error", [OutOfSpaceError("no space is left"), OSError(5, "no good"), RuntimeError("a bug")])
@pytest.mark.trio
async def test_no_error_ends_it(reaper: Reaping, script: Script, error: Exception) -> None:
    """A failure is reported, retried after increasing delays, and cleared after a success."""
    script.left = [error] * 4 + [Step(3, 4, True)]
    seen: list[ReaperStatus] = []

    def done() -> bool:
        seen.append(status_of(reaper))
        return seen[-1].freed_nodes == 3 and seen[-1].state == "idle"

    await running(reaper, done)
    failing = [status for status in seen if status.state == "failing"]
    assert {status.last_error for status in failing} == {str(error)}
    assert seen[-1].last_error is None
    pauses = [after - before for before, after in zip(script.times, script.times[1:5], strict=False)]
    assert all(pause >= 0.02 * 2**turn for turn, pause in enumerate(pauses))


@pytest.mark.trio
async def test_damage_stops_it(reaper: Reaping, script: Script) -> None:
    """On doubt nothing is freed: it ends, and what it said stays until the daemon starts again."""
    script.left = [Step(1, 2, True), DamageError("node 99 is malformed"), Step(1, 2, True)]
    with trio.fail_after(5):
        await reaper.run()
    reaper.wake()
    assert status_of(reaper) == ReaperStatus("stopped", 2, 1, 0, None, "node 99 is malformed")
    assert len(script.times) == 2


@pytest.mark.parametrize(
    ("settings", "expected"),
    [({"reap_nodes_per_second": 200}, [0.1, 0.1, 0.1]), ({"reap_bytes_per_second": 4000}, [0.075, 0.1, 0.1])],
)
@pytest.mark.trio
async def test_it_keeps_to_the_rates_that_are_set(
    workspace: Workspace,
    reaper: Reaping,
    script: Script,
    settings: dict[str, int],
    expected: list[float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After a step that took no time at all, it pauses for as long as the step should have taken."""
    workspace.configure(**settings)
    script.left = [Step(20, 300, True), Step(20, 400, True, 200), Step(20, 0, True, 400)]
    pauses: list[float] = []
    sleep = trio.sleep

    async def noted(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)

    with monkeypatch.context() as patch:
        patch.setattr(reaping, "time", SimpleNamespace(monotonic=lambda: 5.0, time=time.time))
        patch.setattr(reaping, "trio", SimpleNamespace(**{**vars(trio), "sleep": noted}))
        await running(reaper, lambda: len(script.times) == 4)
    assert pauses[:3] == pytest.approx(expected)


@pytest.mark.trio
async def test_it_leaves_most_of_the_time_to_reads(
    reaper: Reaping, script: Script, counters: Counters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While workers serve requests a step is followed by a pause of three times its length; in quiet by none."""
    pauses: list[float] = []
    sleep = trio.sleep

    async def noted(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(seconds)

    def quiet() -> Step:
        time.sleep(0.02)
        return Step(1, 1, True)

    def busy() -> Step:
        counters.slot(0).add(Field.REQUESTS)
        return quiet()

    script.left = [busy, busy, quiet, quiet]
    with monkeypatch.context() as patch:
        patch.setattr(reaping.trio, "sleep", noted)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reaper.run)
            while len(script.times) < 5:
                await sleep(0.005)
            nursery.cancel_scope.cancel()
    assert min(pauses[:2]) >= 3 * 0.02
    assert max(pauses[2:4]) <= 0
