"""The document of what is mounted, and of what the workspace still has to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

from artfs.documents.encoding import Document, Record, from_nanoseconds, omittable

if TYPE_CHECKING:
    from artfs.mount.reports import MountStatus, WorkerStatus
    from artstore.rows.deadlist import Backlog
    from artstore.rows.drafts import DraftInfo
    from artstore.rows.interrupted import Interrupted

__all__ = ["BacklogItem", "FollowedItem", "MountItem", "ReaperItem", "StatusDocument", "UnfinishedItem", "WorkerItem"]


@dataclass(frozen=True, slots=True)
class WorkerItem(Record):
    """One worker of a mount: what it has served since the mount began, and its process, begun at ``created_at``."""

    pid: int
    created_at: datetime
    restarts: int
    requests: int
    lookups: int
    reads: int
    bytes: int
    errors: int
    memory_bytes: int | None
    cache_hits: int
    cache_misses: int
    verification_failures: int

    @classmethod
    def of(cls, worker: WorkerStatus) -> WorkerItem:
        """Return the item of a worker."""
        return cls.from_attributes(worker, created_at=worker.started_at)


@dataclass(frozen=True, slots=True)
class ReaperItem(Record):
    """What a mount has freed of deleted versions since it began."""

    state: str
    freed_bytes: int
    freed_nodes: int
    in_use: int
    next_due: datetime | None
    last_error: str | None


@dataclass(frozen=True, slots=True)
class FollowedItem(Record):
    """A remote whose versions a mount shows: when its log was last read, and why it could not be read since."""

    name: str
    read_at: datetime | None
    error: str | None


@dataclass(frozen=True, slots=True)
class MountItem(Record):
    """One mount; ``state`` is live, silent (it does not answer; ``stopped`` if it is suspended) or dead (its daemon is
    gone).  ``uid`` is the user who runs the daemon.  ``lane`` is the fast lane, null without it; its pid is 0 if it was
    turned off because it kept dying."""

    workspace: str
    directory: str
    state: str
    stopped: bool
    uid: int | None
    pid: int | None
    created_at: datetime | None
    transport: str
    low_latency: bool
    allow_other: bool
    requests: int
    bytes: int
    workers: Sequence[WorkerItem]
    lane: WorkerItem | None
    reaper: ReaperItem | None
    remotes: Sequence[FollowedItem]

    @classmethod
    def of(cls, mount: MountStatus) -> MountItem:
        """Return the item of a mount."""
        return cls.from_attributes(
            mount,
            stopped=mount.is_stopped,
            created_at=mount.started_at,
            workers=[WorkerItem.of(worker) for worker in mount.workers],
            lane=None if mount.lane is None else WorkerItem.of(mount.lane),
            reaper=None if mount.reaper is None else ReaperItem.from_attributes(mount.reaper),
            remotes=[FollowedItem.from_attributes(remote) for remote in mount.remotes],
        )


@dataclass(frozen=True, slots=True)
class UnfinishedItem(Record):
    """A put or a draft that is not finished; ``id`` is null for a put.

    ``alive`` is false for an interrupted put, whose ``interrupted_bytes`` are kept until ``expires_at`` to resume, and
    for a draft that has expired. A put that runs has no ``expires_at``.
    """

    artifact: str
    created_at: datetime
    pid: int
    alive: bool
    staged_nodes: int
    id: str | None
    expires_at: datetime | None
    interrupted_bytes: int

    @classmethod
    def of(cls, draft: DraftInfo, interrupted: Interrupted | None) -> UnfinishedItem:
        """Return the item of a put or draft."""
        ends_ns = draft.expires_ns if draft.id else 0 if interrupted is None else interrupted.until_ns
        return cls.from_attributes(
            draft,
            created_at=from_nanoseconds(draft.created_ns),
            id=draft.id or None,
            expires_at=from_nanoseconds(ends_ns) if ends_ns else None,
            interrupted_bytes=0 if interrupted is None else interrupted.bytes,
        )


@dataclass(frozen=True, slots=True)
class BacklogItem(Record):
    """What was deleted and is not yet freed; ``overdue`` if an entry has been due for over an hour."""

    deadlist_entries: int
    due_entries: int
    oldest_at: datetime | None
    next_due: datetime | None
    overdue: bool

    @classmethod
    def of(cls, backlog: Backlog) -> BacklogItem:
        """Return the item of a backlog."""
        return cls.from_attributes(
            backlog,
            deadlist_entries=backlog.entries,
            oldest_at=None if backlog.oldest_ns is None else from_nanoseconds(backlog.oldest_ns),
            next_due=None if backlog.oldest_due_ns is None else from_nanoseconds(backlog.oldest_due_ns),
        )


@dataclass(frozen=True, slots=True)
class StatusDocument(Document):
    """The mounts, unfinished puts and drafts, the backlog, and whether the workspace is on a read-only file system.

    The last two are left out if a folder was named (``status``).
    """

    schema: ClassVar[str] = "artfs.status/1"
    mounts: Sequence[MountItem]
    drafts: Sequence[UnfinishedItem]
    backlog: BacklogItem | None = omittable()
    read_only: bool | None = omittable()

    @classmethod
    def of(
        cls,
        mounts: Iterable[MountStatus],
        drafts: Iterable[tuple[DraftInfo, Interrupted | None]],
        backlog: Backlog | None,
        read_only: bool | None,
    ) -> StatusDocument:
        """Return the document of what is mounted, unfinished and waiting."""
        return cls(
            mounts=[MountItem.of(mount) for mount in mounts],
            drafts=[UnfinishedItem.of(*draft) for draft in drafts],
            backlog=None if backlog is None else BacklogItem.of(backlog),
            read_only=read_only,
        )
