"""Documents about the library: what it lists, saves, loads and deletes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from artfs.documents.encoding import Document, Record, omittable

__all__ = [
    "LibraryDocument",
    "LibraryEntryDocument",
    "LibraryItem",
    "LibraryLoadDocument",
    "LibraryRemovalDocument",
    "LibrarySaveDocument",
]


@dataclass(frozen=True, slots=True)
class LibraryItem(Record):
    """One entry of the library: its latest version, or the one that was asked for.

    ``version`` is ``NAME:v3``; ``kind`` is ``template``, ``filtered``, ``pipeline`` or ``fullrun``.
    """

    name: str
    kind: str
    version: str
    description: str
    category: str
    tags: Sequence[str]
    metrics: Mapping[str, Any]
    notes: str
    files: int
    size_bytes: int
    created_at: str

    @classmethod
    def of(cls, info: Mapping[str, Any], **others: Any) -> Self:
        """Return the item of an entry, given by what the library lists of it."""
        values = {key: info[key] for key in LibraryItem.__slots__ if key != "version"}
        return cls(version=info["ref"], **values, **others)


@dataclass(frozen=True, slots=True)
class LibraryDocument(Document):
    """Entries of the library (``artfs library ls``)."""

    schema: ClassVar[str] = "artfs.library/1"
    entries: Sequence[LibraryItem]

    @classmethod
    def of(cls, entries: Iterable[Mapping[str, Any]]) -> LibraryDocument:
        """Return the document of entries."""
        return cls([LibraryItem.of(each) for each in entries])


@dataclass(frozen=True, slots=True)
class LibraryEntryDocument(LibraryItem, Document):
    """One entry of the library (``artfs library show``).

    ``versions`` are all its living versions, ``artifacts`` the ids of the registered artifacts that were saved.
    """

    schema: ClassVar[str] = "artfs.library_entry/1"
    versions: Sequence[str] = ()
    artifacts: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class LibrarySaveDocument(LibraryItem, Document):
    """The version that was saved; ``created`` is false if nothing differs from the latest (``artfs library save``)."""

    schema: ClassVar[str] = "artfs.library_save/1"
    created: bool = True


@dataclass(frozen=True, slots=True)
class LibraryLoadDocument(LibraryItem, Document):
    """What was copied out of the library (``artfs library load``).

    ``path`` is the file or folder that was written.  Without one, ``pipeline_config`` is the template's configuration,
    with tags for what JSON lacks.
    """

    schema: ClassVar[str] = "artfs.library_load/1"
    path: str | None = omittable()
    pipeline_config: Any = omittable()


@dataclass(frozen=True, slots=True)
class LibraryRemovalDocument(Document):
    """The versions of an entry that are deleted, or would be with ``--yes`` (``artfs library rm``).

    ``freed_bytes`` are the stored bytes that come back once they are reaped.
    """

    schema: ClassVar[str] = "artfs.library_rm/1"
    versions: Sequence[str]
    freed_bytes: int
    deleted: bool
