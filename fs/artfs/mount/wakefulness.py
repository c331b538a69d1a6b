"""Keeping processors awake while requests follow each other closely.

For each request the kernel wakes a worker, and for each answer the process that asked.  A virtual processor that has
nothing to do halts, and waking it again takes a trip to the host and back: measured, that is half of the time in which
a small file is looked up and read.  While somebody asks for a latency of 0 through /dev/cpu_dma_latency, Linux lets
idle processors poll instead (PM QoS, Documentation/power/pm_qos_interface in its source), and nothing else changes.

The wish is expressed only while requests come by the hundreds in a second, so that a mount at rest costs nothing, and
only inside virtual machines: real processors wake up fast, and save power that others then use.
"""

from __future__ import annotations

import math
import os
import signal
import struct
import time
from pathlib import Path
from typing import Final

__all__ = ["LATENCY_DEVICE", "Wakefulness", "is_possible", "is_virtual"]

LATENCY_DEVICE: Final = "/dev/cpu_dma_latency"
_ZERO: Final = struct.pack("=i", 0)
_ANY: Final = struct.pack("=i", 2_000_000_000)
"""What the kernel takes for no wish at all."""

_GROUP: Final = 16
"""Requests after which the clock is looked at."""
_GROUP_SECONDS: Final = 0.016
"""So many requests within this time are worth staying awake for."""
_TICK_SECONDS: Final = 0.01
_LEAST: Final = 5
"""Fewer requests in one tick are not."""


def is_virtual() -> bool:
    """Return whether this machine's processors are lent by a hypervisor."""
    try:
        with Path("/proc/cpuinfo").open() as lines:  # the first processor speaks for all: there may be hundreds
            flags = next((line for line in lines if line.startswith("flags")), "")
    except OSError:
        return False
    return "hypervisor" in flags.split()


def is_possible() -> bool:
    """Return whether this process may keep processors awake: only root may, and not in every container."""
    try:
        os.close(os.open(LATENCY_DEVICE, os.O_WRONLY | os.O_CLOEXEC))  # says nothing until it is written to
    except OSError:
        return False
    return True


class Wakefulness:
    """Ask for wakefulness while `note` is called often; for one process without threads, which gives up SIGALRM.

    Guarantees: the wish ends at most 20 ms after requests have become rare, and with the process.
    """

    def __init__(self, descriptor: int) -> None:
        """Express the wish by ``descriptor``, an open `LATENCY_DEVICE`."""
        self._descriptor = descriptor
        self._count = 0
        self._counted = 0
        self._since = -math.inf
        self._awake = False
        signal.signal(signal.SIGALRM, lambda number, frame: self._tick())

    def note(self) -> None:
        """Take note of a request."""
        self._count += 1
        if self._count % _GROUP or self._awake:
            return
        now = time.monotonic()
        if now - self._since < _GROUP_SECONDS:
            self._awake = True
            self._counted = self._count
            os.write(self._descriptor, _ZERO)
            signal.setitimer(signal.ITIMER_REAL, _TICK_SECONDS, _TICK_SECONDS)
        self._since = now

    def _tick(self) -> None:
        if self._count - self._counted < _LEAST:
            signal.setitimer(signal.ITIMER_REAL, 0)
            os.write(self._descriptor, _ANY)
            self._awake = False
        self._counted = self._count
