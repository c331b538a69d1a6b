"""Documents about remotes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from artfs.documents.encoding import Document, Record

if TYPE_CHECKING:
    from artstore.remotes.adding import Remote

__all__ = ["RemoteDocument", "RemoteItem", "RemoteRemovalDocument", "RemotesDocument"]


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
