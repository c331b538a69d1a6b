"""Documents about deleting versions, restoring them, and freeing their space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

from artfs.documents.encoding import Document, Record

if TYPE_CHECKING:
    from artstore.changes.deleting import Deletion, Undeletion
    from artstore.reclaim.collecting import GcReport

__all__ = ["CollectionDocument", "DeletionDocument", "RemoteDeletionItem", "UndeletionDocument"]


@dataclass(frozen=True, slots=True)
class RemoteDeletionItem(Record):
    """The part of a deletion in one ``remote``: its ``versions``, which can be undeleted until ``due_at``.

    A dry run has the ``freed_bytes`` that come back there, null without it.
    """

    remote: str
    versions: Sequence[str]
    due_at: datetime | None
    freed_bytes: int | None


@dataclass(frozen=True, slots=True)
class DeletionDocument(Document):
    """What was deleted, or with ``dry_run`` would be (``artfs rm``).

    ``freed_bytes`` are freed once all of it is reaped, ``reaped_bytes`` before the command returns. The versions can be
    undeleted until ``due_at``, null if they cannot. ``in_use`` are sentences about what keeps their space. ``remotes``
    has what was deleted in remotes, with the names there.
    """

    schema: ClassVar[str] = "artfs.rm/1"
    versions: Sequence[str]
    freed_bytes: int
    aliases: Sequence[str]
    due_at: datetime | None
    reaped_bytes: int
    in_use: Sequence[str]
    dry_run: bool
    remotes: Sequence[RemoteDeletionItem]

    @classmethod
    def of(cls, deletion: Deletion) -> DeletionDocument:
        """Return the document of a deletion."""
        remotes = [RemoteDeletionItem.from_attributes(one) for one in deletion.remotes]
        return cls.from_attributes(deletion, remotes=remotes)


@dataclass(frozen=True, slots=True)
class UndeletionDocument(Document):
    """The versions and aliases that were restored; ``skipped_aliases`` name other versions now (``artfs undelete``)."""

    schema: ClassVar[str] = "artfs.undelete/1"
    versions: Sequence[str]
    aliases: Sequence[str]
    skipped_aliases: Sequence[str]

    @classmethod
    def of(cls, undeletions: Sequence[Undeletion]) -> UndeletionDocument:
        """Return the document of versions that were restored, in their order."""
        return cls(
            versions=[each.version.name for each in undeletions],
            aliases=[f"{each.version.artifact}:{alias}" for each in undeletions for alias in each.aliases],
            skipped_aliases=[
                f"{each.version.artifact}:{alias}" for each in undeletions for alias in each.skipped_aliases
            ],
        )


@dataclass(frozen=True, slots=True)
class CollectionDocument(Document):
    """What was freed, or with ``dry_run`` would be, and what is left on the deadlist (``artfs gc``).

    ``undelete_ended`` names the versions that could have been undeleted until then. ``waiting_entries`` and
    ``waiting_bytes`` are still in the undelete window or in use, the first until ``next_due``. ``interrupted_bytes``
    are kept for interrupted puts to resume, the first until ``interrupted_until``. A dry run does not know the numbers
    of packs and ``condemned_bytes``. The manifest's sizes are null without ``--compact``. ``not_compacted`` names what
    was not compacted for want of space: packs, the journal, the manifest.
    """

    schema: ClassVar[str] = "artfs.gc/1"
    freed_bytes: int
    freed_nodes: int
    undelete_ended: Sequence[str]
    deadlist_entries: int
    deadlist_bytes: int
    waiting_entries: int
    waiting_bytes: int
    next_due: datetime | None
    interrupted_puts: int
    interrupted_bytes: int
    interrupted_until: datetime | None
    condemned_bytes: int
    in_use: Sequence[str]
    packs_removed: int
    packs_compacted: int
    manifest_bytes_before: int | None
    manifest_bytes_after: int | None
    not_compacted: Sequence[str]
    dry_run: bool

    @classmethod
    def of(cls, report: GcReport) -> CollectionDocument:
        """Return the document of a run of the collector."""
        return cls.from_attributes(report)
