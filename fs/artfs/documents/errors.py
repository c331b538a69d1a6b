"""The document of a failure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from artfs.documents.encoding import Document, Record

__all__ = ["ErrorDocument", "ErrorItem"]


@dataclass(frozen=True, slots=True)
class ErrorItem(Record):
    """A failure: ``kind`` is a stable word, ``message`` one sentence, ``hint`` what to do, or empty."""

    kind: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class ErrorDocument(Document):
    """What any command prints when it fails."""

    schema: ClassVar[str] = "artfs.error/1"
    error: ErrorItem

    @classmethod
    def of(cls, kind: str, message: str, hint: str) -> ErrorDocument:
        """Return the document of a failure."""
        return cls(ErrorItem(kind, message, hint))
