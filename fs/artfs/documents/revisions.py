"""Documents about the description and metadata of versions, and their history."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from artfs.documents.encoding import Document, Record

if TYPE_CHECKING:
    from artstore.queries.revisions import Revision
    from artstore.queries.versions import Version

__all__ = ["RevisedDocument", "RevisionItem", "RevisionsDocument"]


@dataclass(frozen=True, slots=True)
class RevisedDocument(Document):
    """The description and metadata of a version after a change (``artfs describe``, ``meta set``, ``meta rm``)."""

    schema: ClassVar[str] = "artfs.revised/1"
    name: str
    description: str
    metadata: Mapping[str, Any]

    @classmethod
    def of(cls, version: Version) -> RevisedDocument:
        """Return the document of a version that has just been changed."""
        return cls(version.name, version.description, version.metadata)


@dataclass(frozen=True, slots=True)
class RevisionItem(Record):
    """The description and metadata that a version had from a moment on: since its creation, or since a change.

    ``by`` is who made it, as ``USER@HOST``; it is empty if that was not recorded.
    """

    at: datetime
    by: str
    description: str
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RevisionsDocument(Document):
    """The states of a version's description and metadata, newest first (``artfs meta log``)."""

    schema: ClassVar[str] = "artfs.revisions/1"
    name: str
    revisions: Sequence[RevisionItem]

    @classmethod
    def of(cls, name: str, revisions: Iterable[Revision]) -> RevisionsDocument:
        """Return the document of a version's states, in their order."""
        return cls(name, [RevisionItem.from_attributes(revision) for revision in revisions])
