"""Make the kernel drop entries and data made stale by a change of the catalogue, a deletion or a purge.

Every call may wait for a look-up under way, so it runs in a thread; the store is read first, and no transaction is open
while the kernel is notified.
"""

from __future__ import annotations

from collections.abc import Sequence

from artfs.mount import inodes
from artfs.mount.counters import Epoch
from artfs.mount.holding import Holding
from artfs.mount.notifications import expire_entries, invalidate_entry, invalidate_inode
from artfs.mount.snapshot_source import SnapshotSource
from artstore.daemon_requests import Change, PurgedEntry
from artstore.mount_leases import DeletedVersion, MountLeases
from artstore.names import parse_version_label
from artstore.rows.snapshot import Snapshot

__all__ = ["Invalidator"]

_LATEST = "latest"
_DESCENT_SECONDS = 0.5
"""Time for names inside deleted versions before a change is acknowledged; the rest is done within a second."""


class Invalidator:
    """Notify the kernel behind ``device`` about the workspace of ``source``; callable from any thread."""

    def __init__(self, source: SnapshotSource, device: int, epoch: Epoch, leases: MountLeases | None = None) -> None:
        self._source = source
        self._device = device
        self._epoch = epoch
        self._holding = Holding(source, device, epoch, leases)

    def apply(self, changes: list[Change]) -> None:
        """Invalidate, for each changed name, its entry and the data of the directory inode that lists it.

        If a deleted version is in use, the names inside it are dropped too.
        """
        with self._source.snapshot() as snapshot:
            parents = [(_parent_of(snapshot, change.directory), change) for change in changes]
            versions = [
                version
                for parent, change in parents
                if parent is not None
                for version in _versions_among(snapshot, parent, change.names)
            ]
        for parent, change in parents:
            if parent is None:
                continue
            for name in dict.fromkeys([*change.names, _LATEST] if change.directory else change.names):
                invalidate_entry(self._device, parent, name.encode("utf-8", "surrogateescape"))
            invalidate_inode(self._device, parent)
        self._holding.settle(versions, set(), seconds=_DESCENT_SECONDS)

    def settle(self, versions: Sequence[DeletedVersion], free: set[int], *, seconds: float) -> None:
        """Add to ``free`` the serials of deleted versions that are in use nowhere; see `Holding.settle`."""
        self._holding.settle(versions, free, seconds=seconds)

    def purge(self, entries: Sequence[PurgedEntry]) -> None:
        """Drop the names and the cached bytes of entries whose versions have new mount serials since.

        No inode of such a version's former mount serial is served any more.  What the kernel has cached for its other
        entries stays true.
        """
        self._epoch.advance()
        for mount, directory, ordinal, name in entries:
            invalidate_entry(self._device, inodes.entry(mount, directory), name)
            invalidate_inode(self._device, inodes.entry(mount, directory))
            invalidate_inode(self._device, inodes.entry(mount, ordinal))
        expire_entries(self._device)  # names in use stay cached below a dropped directory


def _parent_of(snapshot: Snapshot, directory: str) -> int | None:
    """Return the inode of a full name; None if the name no longer exists; its own entry is then among the changes."""
    if not directory:
        return inodes.ROOT
    named = snapshot.name_number(directory)
    if named is None:
        retired = snapshot.retired_number(directory)
        return None if retired is None else inodes.artifact(retired)
    number, is_artifact = named
    return inodes.artifact(number) if is_artifact else inodes.project(number)


def _versions_among(snapshot: Snapshot, parent: int, names: Sequence[str]) -> list[DeletedVersion]:
    """Return the versions that ``names`` of the directory inode ``parent`` label, living or deleted."""
    place = inodes.decode(parent)
    if place.sort is not inodes.Sort.ARTIFACT:
        return []
    numbers = [number for number in map(parse_version_label, names) if number is not None]
    serials = [(number, snapshot.serial_of(place.value, number)) for number in numbers]
    return [DeletedVersion(place.value, number, serial) for number, serial in serials if serial is not None]
