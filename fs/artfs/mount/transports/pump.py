"""Drive pyfuse3 without an event loop.

pyfuse3 looks up ``trio`` as a module attribute of its own, which is how its asyncio mode replaces it.  The object here
stands in for it with a nursery, a lock and a wait that never wait: each worker handles one request at a time, and waits
only in the blocking read of the device.  Serving through trio's loop costs about 50 us per request and most of the
daemon's processor time; this costs next to nothing.

This code assumes that no handler awaits anything, and that the process has no other thread or task to run: the read of
the device holds the interpreter.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Coroutine
from types import ModuleType, TracebackType
from typing import cast

__all__ = ["Pump", "import_pyfuse3", "run"]


class ClosedResourceError(Exception):
    """End pyfuse3's loop before its next read, as trio's exception of that name does."""


class _Lock:
    async def __aenter__(self) -> None:
        return None

    async def __aexit__(self, *_: object) -> None:
        return None


class _Task:
    name = "pump"


class _Nursery:
    """Run its tasks one after the other when its block ends."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Callable[..., Awaitable[object]], tuple[object, ...]]] = []

    async def __aenter__(self) -> _Nursery:
        return self

    def start_soon(self, task: Callable[..., Awaitable[object]], *args: object, name: object = None) -> None:
        self._waiting.append((task, args))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._waiting and error is None:
            task, args = self._waiting.pop(0)
            await task(*args)


class _LowLevel:
    """Replace ``trio.lowlevel``; after ``limit`` reads the loop ends."""

    def __init__(self) -> None:
        self.limit = -1

    async def wait_readable(self, device: int) -> None:
        if self.limit == 0:
            raise ClosedResourceError
        self.limit -= 1

    def current_task(self) -> _Task:
        return _Task()

    def current_trio_token(self) -> str:
        return "pump"

    def notify_closing(self, device: int) -> None:
        return None


class Pump:
    """Replace ``trio`` for pyfuse3."""

    ClosedResourceError = ClosedResourceError
    Lock = _Lock

    def __init__(self) -> None:
        self.lowlevel = _LowLevel()

    def open_nursery(self) -> _Nursery:
        """Return a nursery whose tasks run in turn."""
        return _Nursery()


_pump = Pump()


def import_pyfuse3() -> ModuleType:
    """Import pyfuse3 with the pump in trio's place, so that trio itself is not even loaded.

    Guarantees: ``sys.modules`` holds the real trio afterwards if it held it before, and no module of that name
    otherwise.
    """
    real = sys.modules.get("trio")
    sys.modules["trio"] = cast(ModuleType, _pump)
    try:
        import pyfuse3
    finally:
        if real is None:
            del sys.modules["trio"]
        else:
            sys.modules["trio"] = real
    pyfuse3.__dict__["trio"] = _pump
    return pyfuse3


def run(main: Callable[..., Coroutine[object, object, None]], *, requests: int = -1) -> None:
    """Run pyfuse3's ``main`` until the mount has ended, or until ``requests`` reads if that is not negative.

    Raises the errors of the loop, and RuntimeError if a handler awaited something.
    """
    _pump.lowlevel.limit = requests
    coroutine = main(min_tasks=1, max_tasks=1)
    try:
        coroutine.send(None)
    except StopIteration:
        return
    coroutine.close()
    raise RuntimeError("a handler of the mount awaited something")
