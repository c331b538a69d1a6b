"""Documents about open drafts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from artfs.documents.differences import ChangeItem
from artfs.documents.encoding import Document, Record, exact_name, from_nanoseconds, omittable

if TYPE_CHECKING:
    from artstore.drafting.adding import Added
    from artstore.drafting.open_draft import OpenDraft
    from artstore.drafting.stage_reference import Referred
    from artstore.queries.difference import Change
    from artstore.rows.interrupted import Interrupted

__all__ = [
    "DraftAbortDocument",
    "DraftAdditionDocument",
    "DraftDocument",
    "DraftItem",
    "DraftMoveDocument",
    "DraftRemovalDocument",
    "DraftStatusDocument",
    "DraftsDocument",
    "InterruptedItem",
]


@dataclass(frozen=True, slots=True)
class DraftItem(Record):
    """One open draft; ``base`` is the version that it began as, ``active_at`` the time of its last step."""

    id: str
    artifact: str
    base: str | None
    created_at: datetime
    active_at: datetime
    expires_at: datetime
    new_bytes: int

    @classmethod
    def of(cls, draft: OpenDraft) -> DraftItem:
        """Return the item of a draft; raise NotFoundError if it is not open any more."""
        return cls(**_values(draft))


def _values(draft: OpenDraft) -> dict[str, Any]:
    record = draft.record()
    return {
        "id": draft.id,
        "artifact": record.artifact,
        "base": draft.base,
        "created_at": from_nanoseconds(record.created_ns),
        "active_at": from_nanoseconds(record.active_ns),
        "expires_at": from_nanoseconds(record.expires_ns),
        "new_bytes": record.new_bytes,
    }


@dataclass(frozen=True, slots=True)
class DraftDocument(DraftItem, Document):
    """The draft that was opened (``artfs draft new``)."""

    schema: ClassVar[str] = "artfs.draft/1"

    @classmethod
    def of(cls, draft: OpenDraft) -> DraftDocument:
        """Return the document of a draft."""
        return cls(**_values(draft))


@dataclass(frozen=True, slots=True)
class DraftStatusDocument(DraftItem, Document):
    """A draft and what it changes, compared with its base or with nothing (``artfs draft status``)."""

    schema: ClassVar[str] = "artfs.draft_status/1"
    changes: Sequence[ChangeItem]

    @classmethod
    def shown(cls, draft: OpenDraft, changes: Iterable[Change]) -> DraftStatusDocument:
        """Return the document of a draft and its changes, sorted by path."""
        return cls(**_values(draft), changes=[ChangeItem.of(change) for change in changes])


@dataclass(frozen=True, slots=True)
class InterruptedItem(Record):
    """One interrupted put: ``bytes`` that only it holds, kept until ``expires_at`` for the same put to reuse.

    ``source`` is the path that was put, null if that is not known.
    """

    artifact: str
    source: str | None
    pid: int
    created_at: datetime
    expires_at: datetime
    bytes: int

    @classmethod
    def of(cls, put: Interrupted) -> InterruptedItem:
        """Return the item of an interrupted put."""
        created_at, expires_at = from_nanoseconds(put.created_ns), from_nanoseconds(put.until_ns)
        return cls(put.artifact, put.source or None, put.pid, created_at, expires_at, put.bytes)


@dataclass(frozen=True, slots=True)
class DraftsDocument(Document):
    """The open drafts, and what interrupted puts left (``artfs draft ls``)."""

    schema: ClassVar[str] = "artfs.drafts/1"
    drafts: Sequence[DraftItem]
    interrupted: Sequence[InterruptedItem]


@dataclass(frozen=True, slots=True)
class DraftAdditionDocument(Document):
    """What a step added (``artfs draft add``); a URI is not copied, and has only counts.

    ``followed_links`` lead out of the folder; what they lead to was stored. ``ignored_entries`` were left out because
    of ``.artfsignore`` files, ``temporary_folders`` because interrupted calls of artfs had left them.
    """

    schema: ClassVar[str] = "artfs.draft_addition/1"
    id: str
    files: int
    bytes: int
    new_bytes: int | None = omittable()
    reaped_bytes: int | None = omittable()
    followed_links: int | None = omittable()
    ignored_entries: int | None = omittable()
    temporary_folders: int | None = omittable()

    @classmethod
    def of(cls, ident: str, added: Added) -> DraftAdditionDocument:
        """Return the document of what a step stored."""
        return cls.from_attributes(added, id=ident)

    @classmethod
    def of_references(cls, ident: str, referred: Referred) -> DraftAdditionDocument:
        """Return the document of what a step refers to."""
        return cls(ident, len(referred.paths), referred.bytes)


@dataclass(frozen=True, slots=True)
class DraftRemovalDocument(Document):
    """The paths that a step removed (``artfs draft rm``)."""

    schema: ClassVar[str] = "artfs.draft_removal/1"
    id: str
    removed: Sequence[str]

    @classmethod
    def of(cls, ident: str, paths: Iterable[bytes]) -> DraftRemovalDocument:
        """Return the document of removed paths."""
        return cls(ident, [exact_name(path) for path in paths])


@dataclass(frozen=True, slots=True)
class DraftMoveDocument(Document):
    """The path that a file or folder has after a step moved it (``artfs draft mv``)."""

    schema: ClassVar[str] = "artfs.draft_move/1"
    id: str
    path: str


@dataclass(frozen=True, slots=True)
class DraftAbortDocument(Document):
    """The draft that was ended without a version (``artfs draft abort``)."""

    schema: ClassVar[str] = "artfs.draft_abort/1"
    id: str
    aborted: bool = True
