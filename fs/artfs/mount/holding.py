"""Detection of deleted versions that a mount still uses: no table records that, so the kernel is asked.

A notification makes it drop a version's name, and with it all unused entries below.  A second one asks about the
version's root: if the kernel does not know it, nothing of the version is in use, because a file that is open or mapped,
or a working directory, keeps the directories above it.  Otherwise notifications make it drop each entry of the
directories that it still knows, so that the last close frees everything, and not the next shortage of memory.

The lease of a deleted version that is free is released (`artstore.mount_leases`); from then on it may be reaped.

Guarantees: a version that was found to be free stays free, because no look-up leads to a deleted version.  This code
assumes: a message about an entry waits for look-ups and listings under way in its directory; the root of a version is
known while its name is looked up again; workers drop their cached places when the epoch advances.  So no entry
reappears behind the descent, and no answer that relies on a lease is under way when the kernel is asked.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

from artfs.mount import inodes
from artfs.mount.counters import Epoch
from artfs.mount.notifications import invalidate_entry, invalidate_inode
from artfs.mount.snapshot_source import SnapshotSource
from artstore.errors import ArtfsError
from artstore.mount_leases import DeletedVersion, MountLeases
from artstore.names import version_label
from artstore.records.catalogue import VersionRecord
from artstore.records.trees import Kind
from artstore.rows import trees

__all__ = ["DeletedVersion", "Holding"]

_ENTRIES_AT_ONCE = 1000

_log = logging.getLogger(__name__)


class _Child(NamedTuple):
    """An entry of a directory; ``ordinal`` is its preorder index in the version, 0 for a non-directory."""

    name: bytes
    ordinal: int
    node: int


class _Level:
    """A directory in the middle of a descent: entries read and not yet sent, and the next position."""

    __slots__ = ("index", "node", "pending", "position")

    def __init__(self, index: int, node: int) -> None:
        self.index = index
        self.node = node
        self.position = 0
        self.pending: deque[_Child] = deque()


class _Descent:
    """Make the kernel drop the entries of a version's known directories; resume where time ran out."""

    def __init__(self, record: VersionRecord) -> None:
        self.record = record
        self._levels = [_Level(0, record.root)]

    def proceed(self, source: SnapshotSource, device: int, deadline: float) -> None:
        """Work until the descent is complete or the time is up, with no snapshot open while the kernel is notified."""
        while self._levels:
            level = self._levels[-1]
            if not level.pending and not self._read(source, level):
                self._levels.pop()
                continue
            directory = inodes.entry(self.record.mount, level.index)
            while level.pending:
                if time.monotonic() >= deadline:
                    return
                child = level.pending.popleft()
                invalidate_entry(device, directory, child.name)
                if child.ordinal and _is_known(device, self.record.mount, child.ordinal):
                    self._levels.append(_Level(child.ordinal, child.node))
                    break

    def end(self) -> None:
        """Leave the rest to the last close and to the kernel's memory reclaim."""
        self._levels.clear()

    @staticmethod
    def _read(source: SnapshotSource, level: _Level) -> bool:
        with source.snapshot() as snapshot:
            entries = trees.entries_from(snapshot.tree, level.node, level.position)
            for entry, before in islice(entries, _ENTRIES_AT_ONCE):
                index = level.index + 1 + before if entry.kind == Kind.DIRECTORY else 0
                level.pending.append(_Child(entry.name, index, entry.node))
        level.position += len(level.pending)
        return bool(level.pending)


class Holding:
    """Find the deleted versions that the kernel behind ``device`` still uses; callable from any thread.

    Only one process of a daemon has one: it releases ``leases``, if there are any.
    """

    def __init__(self, source: SnapshotSource, device: int, epoch: Epoch, leases: MountLeases | None = None) -> None:
        self._source = source
        self._device = device
        self._epoch = epoch
        self._leases = leases
        self._descents: dict[int, _Descent] = {}
        self._lock = threading.Lock()

    def settle(self, versions: Sequence[DeletedVersion], free: set[int], *, seconds: float) -> None:
        """Add to ``free`` the serials of ``versions`` that are in use nowhere; release the leases of deleted ones.

        A version that is not in it after ``seconds`` is in use, or was not yet checked.  A call may take longer if the
        kernel waits for a look-up under way; the results until then are valid.  Work: two messages for each version,
        and one or two, once, for each entry of the directories that the kernel has cached.
        """
        deadline = time.monotonic() + seconds
        if not self._lock.acquire(timeout=seconds):
            return
        try:
            records = self._records(versions)
            held: list[tuple[DeletedVersion, VersionRecord]] = []
            for version in versions:
                if time.monotonic() >= deadline:
                    return
                label = version_label(version.number).encode()
                invalidate_entry(self._device, inodes.artifact(version.artifact), label)
                record = records.get(version.serial)
                if record is None:  # its reaping has begun
                    if self._leases is not None:
                        self._leases.release(version.artifact, version.number)
                    free.add(version.serial)
                elif not self._is_free(version, record, free):
                    held.append((version, record))
            for version, record in held:
                self._descend(record, deadline)
                self._is_free(version, record, free)
        finally:
            self._lock.release()

    def _records(self, versions: Sequence[DeletedVersion]) -> dict[int, VersionRecord]:
        with self._source.snapshot() as snapshot:
            records = [snapshot.recorded_version(version.serial) for version in versions]
        return {record.serial: record for record in records if record is not None}

    def _is_free(self, version: DeletedVersion, record: VersionRecord, free: set[int]) -> bool:
        if _is_known(self._device, record.mount, 0):
            return False
        self._descents.pop(record.serial, None)
        if record.state == "live" or self._release(version, record):
            free.add(record.serial)
            return True
        return False

    def _release(self, version: DeletedVersion, record: VersionRecord) -> bool:
        """Release the lease of a deleted version; return False if it is not deleted any more, or not as it was."""
        leases, artifact, number = self._leases, version.artifact, version.number
        if leases is None or not leases.has(artifact, number):
            return True
        leases.guard(artifact, number)
        try:
            leases.release(artifact, number)
            with self._source.snapshot() as snapshot:
                found = snapshot.recorded_version(record.serial)
            if found in (record, None):
                return True
            leases.take(artifact, number, number)  # it was undeleted: a worker may have found it living and leased
            return False
        finally:
            leases.unguard(artifact, number)

    def _descend(self, record: VersionRecord, deadline: float) -> None:
        """Drop names inside a version in use; an unreadable version is in use until the kernel drops its root."""
        if record.state == "live":
            return
        descent = self._descents.get(record.serial)
        if descent is None or descent.record != record:  # it may have come back in between, or been purged
            self._epoch.advance()
            descent = self._descents[record.serial] = _Descent(record)
        try:
            descent.proceed(self._source, self._device, deadline)
        except ArtfsError as error:
            descent.end()
            _log.error("version serial %d, which is deleted and in use, cannot be walked: %s", record.serial, error)


def _is_known(device: int, mount: int, index: int) -> bool:
    return invalidate_inode(device, inodes.entry(mount, index), attributes_only=True)
