"""The pump runs pyfuse3's loop to its end without an event loop, and stops it on request."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from typing import Any

import pytest

from artfs.mount.transports import pump
from artfs.mount.transports.pump import ClosedResourceError
from messages import raises


class Loop:
    """Read as pyfuse3's main loop does."""

    def __init__(self, requests: int) -> None:
        self.waiting = requests
        self.served = 0

    async def main(self, *, min_tasks: int, max_tasks: int) -> None:
        assert (min_tasks, max_tasks) == (1, 1)
        async with pump._pump.open_nursery() as nursery:
            nursery.start_soon(self._read, name="reader")

    async def _read(self) -> None:
        while self.waiting:
            try:
                async with pump._pump.Lock():
                    await pump._pump.lowlevel.wait_readable(3)
            except ClosedResourceError:
                return
            self.waiting -= 1
            self.served += 1


def test_the_loop_runs_to_its_end() -> None:
    loop = Loop(1000)
    pump.run(loop.main)
    assert loop.served == 1000


def test_the_loop_stops_after_so_many_requests_and_goes_on_later() -> None:
    loop = Loop(5)
    pump.run(loop.main, requests=1)
    assert loop.served == 1
    pump.run(loop.main, requests=0)
    assert loop.served == 1
    pump.run(loop.main)
    assert loop.served == 5


def test_what_the_loop_raises_comes_out() -> None:
    async def main(**_: int) -> None:
        async with pump._pump.open_nursery() as nursery:
            nursery.start_soon(fail)

    async def fail() -> None:
        raise OSError(5, "broken")

    with raises(OSError, names=["broken"]):
        pump.run(main)


def test_waiting_is_an_error() -> None:
    """A handler that awaits something would never be woken."""

    class Waiting:
        def __await__(self) -> Any:
            yield

    async def main(**_: int) -> None:
        await Waiting()

    with raises(RuntimeError, names=["handler"]):
        pump.run(main)


@pytest.mark.parametrize("before", ["", "import trio; "])
def test_pyfuse3_gets_the_pump_and_nobody_else_does(before: str) -> None:
    """Importing the transport loads no event loop, and leaves one that is loaded alone."""
    code = before + (
        "import sys; from artfs.mount.transports import pump; pyfuse3 = pump.import_pyfuse3(); "
        "assert pyfuse3.trio is pump._pump; "
        f"assert ('trio' in sys.modules) is {bool(before)}; "
        "import trio; assert trio.run; from trio import lowlevel"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_reply_to_a_dropped_request_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The kernel drops requests that are interrupted or outlive the mount; other failures of replies are logged."""
    from artfs.mount.transports import pyfuse3 as transport

    sentence = "fuse_releasedir(): fuse_reply_* failed with %s"
    transport.pyfuse3.log.error(sentence, os.strerror(errno.ENOENT))
    assert caplog.messages == []
    transport.pyfuse3.log.error(sentence, os.strerror(errno.EINVAL))
    assert caplog.messages == ["fuse_releasedir(): fuse_reply_* failed with Invalid argument"]
