"""Documents about remotes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from artfs.documents.encoding import Document, Record

if TYPE_CHECKING:
    from artstore.remotes.adding import Remote
    from artstore.remotes.collecting import RemoteCollection
    from artstore.remotes.exchanging import Fetched, Pulled, Pushed
    from artstore.remotes.usage import RemoteUsage

__all__ = [
    "CloneDocument",
    "DeletedVersionItem",
    "DropDocument",
    "FetchDocument",
    "PullDocument",
    "PushDocument",
    "RemoteArtifactItem",
    "RemoteArtifactUsageItem",
    "RemoteCollectionDocument",
    "RemoteDocument",
    "RemoteItem",
    "RemoteRemovalDocument",
    "RemoteUsageDocument",
    "RemotesDocument",
    "TransferredItem",
]


@dataclass(frozen=True, slots=True)
class RemoteItem(Record):
    """One remote: its ``name``, ``url`` and ``uuid``.

    Nothing is written to a ``read_only`` one. ``broken`` says what the last probe found against writing to it, null if
    nothing; it was made at ``probed_at``. The log was read up to entry ``entries``. ``artifacts`` are the names of the
    local artifacts that belong to it.
    """

    name: str
    url: str
    uuid: str
    read_only: bool
    added_at: datetime
    probed_at: datetime | None
    broken: str | None
    entries: int
    artifacts: Sequence[str]

    @classmethod
    def of(cls, remote: Remote) -> RemoteItem:
        """Return the item of a remote."""
        return cls.from_attributes(remote, broken=remote.broken or None)


@dataclass(frozen=True, slots=True)
class RemoteDocument(Document):
    """One remote (``artfs remote add``, ``check`` and ``show``), and the ``probe`` of its store.

    The probe has ``date``, ``verdict`` (``writable`` or ``read-only``) and its ``reason``, the ``promises`` by name
    with ``kept``, ``not tried`` or how each is broken, ``remarks``, ``threads`` and ``rounds``.
    """

    schema: ClassVar[str] = "artfs.remote/1"
    remote: RemoteItem
    probe: Mapping[str, Any]

    @classmethod
    def of(cls, remote: Remote) -> RemoteDocument:
        """Return the document of a remote."""
        return cls(RemoteItem.of(remote), remote.probe)


@dataclass(frozen=True, slots=True)
class RemotesDocument(Document):
    """The remotes of the workspace, by name (``artfs remote ls``)."""

    schema: ClassVar[str] = "artfs.remotes/1"
    remotes: Sequence[RemoteItem]

    @classmethod
    def of(cls, remotes: Iterable[Remote]) -> RemotesDocument:
        """Return the document of remotes."""
        return cls([RemoteItem.of(remote) for remote in remotes])


@dataclass(frozen=True, slots=True)
class RemoteRemovalDocument(Document):
    """The name of the remote that was forgotten, and the artifacts that belonged to it (``artfs remote rm``)."""

    schema: ClassVar[str] = "artfs.remote_removal/1"
    removed: str
    artifacts: Sequence[str]


@dataclass(frozen=True, slots=True)
class TransferredItem(Record):
    """A version that was pushed or pulled: its name here, and in the remote; ``is_new`` if it was not there before."""

    name: str
    remote_name: str
    is_new: bool


@dataclass(frozen=True, slots=True)
class PushDocument(Document):
    """The versions that the remote has now (``artfs push``), in the order in which they were made.

    ``sent_bytes`` are the stored bytes of content that were sent. With ``dry_run`` nothing was, and it and ``objects``
    are the most that would be; ``objects`` is 0 without it. ``lost`` has a sentence for each change of a name or alias
    that another machine was first to change.
    """

    schema: ClassVar[str] = "artfs.push/1"
    remote: str
    dry_run: bool
    versions: Sequence[TransferredItem]
    sent_bytes: int
    objects: int
    lost: Sequence[str]

    @classmethod
    def of(cls, pushed: Pushed) -> PushDocument:
        """Return the document of a push."""
        return cls.from_attributes(pushed, versions=[TransferredItem.from_attributes(one) for one in pushed.versions])


@dataclass(frozen=True, slots=True)
class DropDocument(Document):
    """The versions whose local copies were removed (``artfs pull --drop``)."""

    schema: ClassVar[str] = "artfs.drop/1"
    versions: Sequence[str]


@dataclass(frozen=True, slots=True)
class PullDocument(Document):
    """The versions that are local now (``artfs pull``), in the order of the log; ``lost`` is that of ``artfs.push``."""

    schema: ClassVar[str] = "artfs.pull/1"
    remote: str
    versions: Sequence[TransferredItem]
    lost: Sequence[str]

    @classmethod
    def of(cls, pulled: Pulled) -> PullDocument:
        """Return the document of a pull."""
        return cls(pulled.remote, [TransferredItem.from_attributes(one) for one in pulled.versions], pulled.lost)


@dataclass(frozen=True, slots=True)
class RemoteArtifactItem(Record):
    """An artifact of a remote: the numbers of its living versions, of those that are local, and the bytes of all."""

    name: str
    type: str | None
    versions: Sequence[int]
    local: Sequence[int]
    bytes: int


@dataclass(frozen=True, slots=True)
class DeletedVersionItem(Record):
    """A version that was deleted in a remote: ``by`` whom, when, and by which retention rule (``reason``, or empty).

    It can be restored until it is collected, not before ``due_at``; null if there was no undelete window.
    """

    name: str
    by: str
    at: datetime
    reason: str
    due_at: datetime | None


@dataclass(frozen=True, slots=True)
class FetchDocument(Document):
    """What a remote has (``artfs fetch``): its artifacts, by name, after so many ``entries`` of its log.

    ``deleted`` are its versions that can be restored. ``local_deleted`` and ``local_restored`` are the versions of the
    workspace that were deleted or restored in consequence, ``local_kept`` are sentences about those that were not.
    ``lost`` is that of ``artfs.push``.
    """

    schema: ClassVar[str] = "artfs.fetch/1"
    remote: str
    url: str
    entries: int
    artifacts: Sequence[RemoteArtifactItem]
    deleted: Sequence[DeletedVersionItem]
    local_deleted: Sequence[str]
    local_restored: Sequence[str]
    local_kept: Sequence[str]
    lost: Sequence[str]

    @classmethod
    def of(cls, fetched: Fetched) -> FetchDocument:
        """Return the document of a fetch."""
        followed = fetched.followed
        return cls.from_attributes(
            fetched,
            artifacts=[RemoteArtifactItem.from_attributes(one) for one in fetched.artifacts],
            deleted=[DeletedVersionItem.from_attributes(one) for one in fetched.deleted],
            local_deleted=followed.deleted,
            local_restored=followed.restored,
            local_kept=followed.kept,
        )


@dataclass(frozen=True, slots=True)
class CloneDocument(Document):
    """The workspace that was made (``artfs clone``), and the artifacts of its remote, none of which is local yet."""

    schema: ClassVar[str] = "artfs.clone/1"
    workspace: str
    uuid: str
    artifacts: Sequence[RemoteArtifactItem]


@dataclass(frozen=True, slots=True)
class RemoteCollectionDocument(Document):
    """What a collection of a remote did, or with ``dry_run`` would do (``artfs gc --remote``).

    ``condemned`` objects were given up, ``left`` of them by pushes that never ended; they are deleted by a collection a
    day later. ``deleted`` ones had been given up before. ``waiting`` ones are not deleted yet, the first until
    ``next_due``. ``removed`` are old checkpoints and objects of probes, ``reaped`` the deleted versions that can no
    longer be restored.
    """

    schema: ClassVar[str] = "artfs.gc_remote/1"
    remote: str
    dry_run: bool
    condemned: int
    condemned_bytes: int
    left: int
    deleted: int
    deleted_bytes: int
    waiting: int
    waiting_bytes: int
    next_due: datetime | None
    removed: int
    reaped: Sequence[str]

    @classmethod
    def of(cls, report: RemoteCollection) -> RemoteCollectionDocument:
        """Return the document of a collection."""
        return cls.from_attributes(report)


@dataclass(frozen=True, slots=True)
class RemoteArtifactUsageItem(Record):
    """The living versions of an artifact: the bytes of their files, and of the objects that they need.

    ``alone`` are those that no other artifact needs, ``shared`` the others.
    """

    name: str
    versions: int
    logical: int
    alone: int
    shared: int


@dataclass(frozen=True, slots=True)
class RemoteUsageDocument(Document):
    """What the objects of a remote take (``artfs usage --remote``); ``bytes`` is the sum of the kinds below.

    ``living_bytes`` are needed by living versions, ``deleted_bytes`` only by deleted ones that can be restored, the
    first until ``deleted_due``. ``condemned_bytes`` were given up; a collection deletes the first after
    ``condemned_due``. ``unused_bytes`` are needed by no version, as those of a push under way. ``log_bytes`` are those
    of the log and its checkpoints, ``other_bytes`` those of other objects.
    """

    schema: ClassVar[str] = "artfs.usage_remote/1"
    remote: str
    url: str
    bytes: int
    objects: int
    living_bytes: int
    deleted_bytes: int
    condemned_bytes: int
    unused_bytes: int
    log_bytes: int
    other_bytes: int
    deleted_due: datetime | None
    condemned_due: datetime | None
    artifacts: Sequence[RemoteArtifactUsageItem]

    @classmethod
    def of(cls, usage: RemoteUsage) -> RemoteUsageDocument:
        """Return the document of a remote's usage."""
        items = [RemoteArtifactUsageItem.from_attributes(one) for one in usage.artifacts]
        return cls.from_attributes(usage, artifacts=items)
