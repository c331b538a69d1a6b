"""The status of a mount and its workers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

__all__ = ["MountStatus", "ReaperStatus", "WorkerStatus"]


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """One worker: the counts of its slot since the mount began, and the process that serves it now.

    ``memory_bytes`` is the anonymous memory that the process has (shared pages are divided among the sharing
    processes), None if the system does not report it.  ``cache_hits`` and ``cache_misses`` are reads that the cache of
    decompressed chunks answered, and that decompressed a chunk into it; ``verification_failures`` are requests that
    failed because what is stored is damaged.  A daemon of an older release has none of these three.
    """

    pid: int
    started_at: datetime
    restarts: int
    requests: int
    lookups: int
    reads: int
    bytes: int
    errors: int
    memory_bytes: int | None
    cache_hits: int = 0
    cache_misses: int = 0
    verification_failures: int = 0

    @classmethod
    def from_message(cls, values: Mapping[str, Any]) -> WorkerStatus:
        """Decode the daemon's message, in which ``started_at`` is in nanoseconds since 1970."""
        moment = datetime.fromtimestamp(values["started_at"] / 1e9, UTC)
        counts = {item.name: values[item.name] for item in fields(cls) if item.name in values}
        counts.pop("started_at")
        return cls(started_at=moment, **counts)


@dataclass(frozen=True, slots=True)
class ReaperStatus:
    """The state of a daemon's reaper, and its counts since the mount began.

    ``state`` is ``idle``, ``reaping``, ``in use`` (``in_use`` deleted versions wait until they are no longer used),
    ``failing`` (it will try again), ``stopped`` (it met damage, and does nothing until the daemon restarts) or ``off``
    (the workspace's file system is read-only);
    ``last_error`` is the reason.  ``next_due`` is when the first entry of the deadlist is due, None if it was empty.
    """

    state: str
    freed_bytes: int
    freed_nodes: int
    in_use: int
    next_due: datetime | None
    last_error: str | None

    @classmethod
    def from_message(cls, values: Mapping[str, Any]) -> ReaperStatus:
        """Decode the daemon's message, in which ``next_due`` is in nanoseconds since 1970."""
        due = values["next_due"]
        others = {item.name: values[item.name] for item in fields(cls) if item.name != "next_due"}
        return cls(next_due=None if due is None else datetime.fromtimestamp(due / 1e9, UTC), **others)


@dataclass(frozen=True, slots=True)
class FollowedRemote:
    """A remote whose versions the mount shows: when its log was last read, and why it could not be read since."""

    name: str
    read_at: datetime | None
    error: str | None

    @classmethod
    def from_message(cls, values: Mapping[str, Any]) -> FollowedRemote:
        """Decode the daemon's message, in which ``read_at`` is in nanoseconds since 1970."""
        read_at = values["read_at"]
        at = None if read_at is None else datetime.fromtimestamp(read_at / 1e9, UTC)
        return cls(values["name"], at, values["error"] or None)


@dataclass(frozen=True, slots=True)
class MountStatus:
    """One mount.

    ``state`` is ``live``, ``silent`` (the daemon is alive and does not answer; it may be suspended) or ``dead`` (the
    daemon has ended and reading fails; ``artfs umount`` or a new ``artfs mount`` cleans up).  ``is_stopped`` tells of a
    silent one whether its process is suspended.  ``uid`` is the user who runs it.  ``pid`` and ``started_at`` are None
    for a dead one; ``workers`` is empty and ``reaper`` None unless it is live.  ``lane`` is the fast lane: None
    if the mount has none, and its pid is 0 if it was turned off because it kept dying.
    """

    workspace: str
    directory: str
    state: str
    is_stopped: bool = False
    pid: int | None = None
    started_at: datetime | None = None
    transport: str = ""
    low_latency: bool = False
    uid: int | None = None
    allow_other: bool = False
    workers: list[WorkerStatus] = field(default_factory=list)
    lane: WorkerStatus | None = None
    reaper: ReaperStatus | None = None
    remotes: list[FollowedRemote] = field(default_factory=list)

    @property
    def requests(self) -> int:
        """The number of requests that were served."""
        return sum(process.requests for process in self.serving)

    @property
    def bytes(self) -> int:
        """The number of bytes that were read."""
        return sum(process.bytes for process in self.serving)

    @property
    def serving(self) -> list[WorkerStatus]:
        """The processes that answer requests: the workers, and the fast lane."""
        return self.workers if self.lane is None else [*self.workers, self.lane]
