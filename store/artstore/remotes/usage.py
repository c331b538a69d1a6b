"""What a remote takes in its store, and which artifacts need it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from artstore.clock import utc
from artstore.remotes.collecting import WAIT_SECONDS
from artstore.remotes.connecting import choose, connect
from artstore.remotes.connection import Connection
from artstore.remotes.holdings import Holdings
from artstore.remotes.log.state import DELETED, LIVE
from artstore.remotes.packs.places import TREES, Pack
from artstore.store import Store

__all__ = ["RemoteArtifactUsage", "RemoteUsage", "remote_usage"]

_LOG: Final = ("log/", "state/", "artfs-remote.json")
_SECOND: Final = 10**9


@dataclass(frozen=True, slots=True)
class RemoteArtifactUsage:
    """The living versions of an artifact: stored bytes of objects that they need ``alone``, and ``shared`` with others.

    ``logical`` are the bytes of their files.
    """

    name: str
    versions: int
    logical: int
    alone: int
    shared: int


@dataclass(slots=True)
class RemoteUsage:
    """Stored bytes of all objects of a remote: the sum of the five kinds that follow ``objects``.

    ``living_bytes`` are needed by living versions.  ``deleted_bytes`` only by versions that can still be restored, the
    first until ``deleted_due``.  ``condemned_bytes`` were given up, and the first are deleted by a collection after
    ``condemned_due``.  ``unused_bytes`` are needed by no version: pushes under way, or left by such.  ``log_bytes`` are
    those of the log and its checkpoints, ``other_bytes`` those of other objects.
    """

    remote: str
    url: str
    bytes: int = 0
    objects: int = 0
    living_bytes: int = 0
    deleted_bytes: int = 0
    condemned_bytes: int = 0
    unused_bytes: int = 0
    log_bytes: int = 0
    other_bytes: int = 0
    deleted_due: datetime | None = None
    condemned_due: datetime | None = None
    artifacts: list[RemoteArtifactUsage] = field(default_factory=list)


def remote_usage(store: Store, name: str | None = None) -> RemoteUsage:
    """Return what a remote takes: its objects are listed, and the sets of its versions read.

    Raises `NotFoundError` for an unknown remote, `LostSetError`, `BrokenLogError`, and the errors of the store.
    """
    uuid, record = choose(store, name)
    remote = connect(store, uuid, record)
    usage = RemoteUsage(record.name, record.url)
    holdings = Holdings(remote)
    for info in holdings.list_all():
        if info.name.startswith(_LOG):
            usage.log_bytes += info.size
        else:
            usage.other_bytes += info.size
        usage.objects += 1
    _count(remote, holdings, usage)
    usage.objects += len(holdings.objects)
    kinds = (usage.living_bytes, usage.deleted_bytes, usage.condemned_bytes, usage.unused_bytes, usage.log_bytes)
    usage.bytes = sum(kinds) + usage.other_bytes
    return usage


def _count(remote: Connection, holdings: Holdings, usage: RemoteUsage) -> None:
    """Add up the packs: each belongs to one kind."""
    state = remote.state
    living = [row for row in state.versions.values() if row.state == LIVE]
    deleted = [row for row in state.versions.values() if row.state == DELETED]
    holdings.read([*living, *deleted])
    by_artifact = {
        artifact.uuid: [row for row in living if row.artifact == artifact.uuid] for artifact in state.artifacts.values()
    }
    masks = {uuid: holdings.of(rows) for uuid, rows in by_artifact.items() if rows}
    once, several = 0, 0
    for mask in masks.values():
        several |= once & mask
        once |= mask
    for uuid, mask in masks.items():
        rows = by_artifact[uuid]
        alone, shared = (holdings.bytes_of(holdings.packs(part)) for part in (mask & ~several, mask & several))
        name, logical = state.artifacts[uuid].name, sum(row.bytes for row in rows)
        usage.artifacts.append(RemoteArtifactUsage(name, len(rows), logical, alone, shared))
    usage.artifacts.sort(key=lambda each: each.name)
    left = holdings.mask(holdings.objects)
    lists = holdings.mask(Pack(TREES, row.listed.pack) for row in state.condemned.values())
    condemned = holdings.mask(remote.condemned())

    def take(mask: int) -> int:
        nonlocal left
        part, left = left & mask, left & ~mask
        return holdings.bytes_of(holdings.packs(part))

    usage.living_bytes = take(once)
    usage.log_bytes += take(lists)
    usage.condemned_bytes = take(condemned)
    usage.deleted_bytes = take(holdings.of(deleted))
    usage.unused_bytes = take(left)
    dues = [row.due_ns for row in deleted if row.due_ns]
    usage.deleted_due = utc(min(dues)) if dues else None
    standing = [
        row.made.at_ns
        for place, row in state.condemned.items()
        if any(pack in holdings.objects for pack in remote.lists[place])
    ]
    usage.condemned_due = utc(min(standing) + WAIT_SECONDS * _SECOND) if standing else None
