"""The leases that a worker takes of the versions that it gives the kernel; see `artstore.mount_leases`."""

from __future__ import annotations

from typing import Protocol

from artfs.mount.counters import Field, WorkerCounts
from artstore.mount_leases import MountLeases

__all__ = ["Leases", "WorkerLeases"]


class Leases(Protocol):
    """Keep versions from being reaped while the kernel knows them."""

    def take(self, artifact: int, first: int, last: int) -> None:
        """Take the leases of the versions of an artifact from ``first`` to ``last``."""

    def stray(self) -> None:
        """Note that a version turned out to be deleted when its lease had been taken."""


class WorkerLeases:
    """The leases of a mount as one of its workers takes them.

    A worker releases none: another one may rely on it, because all share one open file.  So it notes a lease that was
    taken in vain, and the supervisor examines all deleted versions once more.
    """

    def __init__(self, leases: MountLeases, counts: WorkerCounts) -> None:
        self._leases = leases
        self._counts = counts

    def take(self, artifact: int, first: int, last: int) -> None:
        """Take the leases of the versions of an artifact from ``first`` to ``last``."""
        self._leases.take(artifact, first, last)

    def stray(self) -> None:
        """Note that a version turned out to be deleted when its lease had been taken."""
        self._counts.add(Field.STRAY_LEASES)
