"""Documents about remotes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from artfs.documents.encoding import Document, Record

if TYPE_CHECKING:
    from artstore.remotes.adding import Remote
    from artstore.remotes.exchanging import Fetched, Pulled, Pushed

__all__ = [
    "CloneDocument",
    "DeletedVersionItem",
    "FetchDocument",
    "PullDocument",
    "PushDocument",
    "RemoteArtifactItem",
    "RemoteDocument",
    "RemoteItem",
    "RemoteRemovalDocument",
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
