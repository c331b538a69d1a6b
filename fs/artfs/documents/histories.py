"""Documents about the history of one path."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

from artfs.documents.encoding import Document, Record, exact_name
from artstore.names import version_label

if TYPE_CHECKING:
    from artstore.queries.file_history import FileContent, FileHistory

__all__ = ["ContentItem", "HistoryDocument"]


@dataclass(frozen=True, slots=True)
class ContentItem(Record):
    """One distinct content of a path: ``versions`` are the living ones that have it, the oldest first.

    ``since`` is when the first of them was made, ``bytes`` the size, ``digest`` the BLAKE3 of the content.
    """

    digest: str
    kind: str
    executable: bool
    bytes: int
    versions: Sequence[str]
    since: datetime

    @classmethod
    def of(cls, content: FileContent) -> ContentItem:
        """Return the item of a content."""
        versions = [version_label(number) for number in content.versions]
        return cls.from_attributes(content, bytes=content.size, versions=versions)


@dataclass(frozen=True, slots=True)
class HistoryDocument(Document):
    """The distinct contents of a path in an artifact's living versions, newest first (``artfs log NAME:/PATH``)."""

    schema: ClassVar[str] = "artfs.history/1"
    artifact: str
    path: str
    contents: Sequence[ContentItem]

    @classmethod
    def of(cls, history: FileHistory, contents: Iterable[FileContent]) -> HistoryDocument:
        """Return the document of some contents of a history, in their order."""
        return cls(history.artifact, exact_name(history.path), [ContentItem.of(content) for content in contents])
