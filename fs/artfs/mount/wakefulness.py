"""Keeping processors awake while requests follow each other closely.

For each request the kernel wakes a worker, and for each answer the requesting process.  An idle virtual processor
halts, and waking it takes a round trip to the host: measured, that is half of the time to look up and read a small
file.  While a process requests a latency of 0 through /dev/cpu_dma_latency, Linux lets idle processors poll instead (PM
QoS, Documentation/power/pm_qos_interface in its source), and nothing else changes.

The request is active only while there are hundreds of requests per second, so that an idle mount costs nothing, and
only inside virtual machines: physical processors wake up fast, and the power that they save is available to other
processors.
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
"""The value that the kernel treats as no request."""

_GROUP: Final = 16
"""Number of requests between checks of the clock."""
_GROUP_SECONDS: Final = 0.016
"""Processors are kept awake if that many requests come within this time."""
_TICK_SECONDS: Final = 0.01
_LEAST: Final = 5
"""With fewer requests in one tick, processors may halt again."""


def is_virtual() -> bool:
    """Return whether this machine's processors are virtual."""
    try:
        with Path("/proc/cpuinfo").open() as lines:  # one processor is enough to check: there may be hundreds
            flags = next((line for line in lines if line.startswith("flags")), "")
    except OSError:
        return False
    return "hypervisor" in flags.split()


def is_possible() -> bool:
    """Return whether this process may keep processors awake: it needs root, and not every container allows it."""
    try:
        os.close(os.open(LATENCY_DEVICE, os.O_WRONLY | os.O_CLOEXEC))  # has no effect until it is written to
    except OSError:
        return False
    return True


class Wakefulness:
    """Keep processors awake while `note` is called often; for a process without threads that does not use SIGALRM.

    Guarantees: the request ends at most 20 ms after requests have become rare, and with the process.
    """

    def __init__(self, descriptor: int) -> None:
        """Use ``descriptor``, an open `LATENCY_DEVICE`."""
        self._descriptor = descriptor
        self._count = 0
        self._counted = 0
        self._since = -math.inf
        self._awake = False
        signal.signal(signal.SIGALRM, lambda number, frame: self._tick())

    def note(self) -> None:
        """Count a request."""
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
