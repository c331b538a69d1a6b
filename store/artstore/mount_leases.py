"""Leases of mounts: locks by which a daemon shows which versions its kernel may use.

They are on bytes of the daemon's run file, which every member of a shared workspace can read: a reaper examines them
without an answer of the daemon, which may be suspended, and they end with the daemon, however it ends.  An artifact's
versions are neighbours, so that the kernel keeps one range for a whole listing: it searches the locks of a file one by
one.

A worker that is about to give the kernel the root of a version takes the lease and *then* looks again whether the
version lives.  The reaper examines the leases of a version that was deleted before.  So either the reaper finds the
lease, or the worker finds the version deleted.

The daemon releases the lease of a deleted version when its kernel has forgotten the root.  Meanwhile the version may be
undeleted, and a worker that finds it living would rely on the lease that is being released.  So a second lock, the
*guard*, is held from before the release until it is certain that no undeletion came between.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple, Self

from artstore import beneath, byte_locks

__all__ = ["DeletedVersion", "MountLeases", "leased"]

_NUMBER_BITS: Final = 31


class DeletedVersion(NamedTuple):
    """A version that is no longer in the catalogue: the number of its artifact, its number there, and its serial.

    One that had another number is given once for each: a mount may have leased it by either.
    """

    artifact: int
    number: int
    serial: int


def _byte(artifact: int, number: int) -> int:
    """Return the byte of a version; raise OverflowError for numbers that no version can have."""
    if not (0 <= number < 1 << _NUMBER_BITS and 0 <= artifact < 1 << (63 - _NUMBER_BITS)):
        raise OverflowError(f"version {number} of artifact {artifact} has no lease")
    return artifact << _NUMBER_BITS | number


class MountLeases:
    """The leases of one daemon, on two open files that its processes share."""

    def __init__(self, leases: int, guard: int) -> None:
        self._leases = leases
        self._guard = guard

    @classmethod
    def of_run_file(cls, descriptor: int) -> Self:
        """Make those of a daemon that has its run file open, for all processes that it forks from now on."""
        path = f"/proc/self/fd/{descriptor}"
        return cls(*(os.open(path, os.O_RDONLY | os.O_CLOEXEC) for _ in range(2)))

    def close(self) -> None:
        """Close both files in this process; the leases end with the last process that has them open."""
        for descriptor in (self._leases, self._guard):
            if descriptor >= 0:
                os.close(descriptor)
        self._leases = self._guard = -1

    def take(self, artifact: int, first: int, last: int) -> None:
        """Take the leases of the versions of an artifact from ``first`` to ``last``, those taken already included."""
        byte_locks.share(self._leases, _byte(artifact, first), _byte(artifact, last) - _byte(artifact, first) + 1)

    def has(self, artifact: int, number: int) -> bool:
        """Return whether the lease of a version is taken."""
        return byte_locks.is_shared_by_others(self._guard, _byte(artifact, number))

    def guard(self, artifact: int, number: int) -> None:
        """Keep a version from being reaped, whatever happens to its lease; for one process at a time."""
        byte_locks.share(self._guard, _byte(artifact, number))

    def unguard(self, artifact: int, number: int) -> None:
        """End `guard`."""
        byte_locks.unlock(self._guard, _byte(artifact, number))

    def release(self, artifact: int, number: int) -> None:
        """Release the lease of a version."""
        byte_locks.unlock(self._leases, _byte(artifact, number))


def leased(run_file: Path, versions: Sequence[DeletedVersion]) -> list[DeletedVersion]:
    """Return those of ``versions`` whose lease the daemon of a run file has; none if the file is gone.

    Raises OSError if the file cannot be read.
    """
    try:
        descriptor = beneath.open_file(run_file.parents[2], run_file)
    except FileNotFoundError:
        return []
    with beneath.closing(descriptor) as fd:
        return [
            version
            for version in versions
            if byte_locks.is_shared_by_others(fd, _byte(version.artifact, version.number))
        ]
