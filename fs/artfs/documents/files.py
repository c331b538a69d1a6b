"""Documents about the files of versions: listing, copying and reading them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

from artfs.documents.encoding import Document, Record, exact_name
from artstore.names import version_label

if TYPE_CHECKING:
    from artstore.queries.exporting.writing import GetReceipt
    from artstore.queries.versions import FileInfo, Version
    from artstore.queries.warming import Warmed

__all__ = ["CopyDocument", "DownloadDocument", "FileItem", "FilesDocument", "WarmDocument"]


@dataclass(frozen=True, slots=True)
class FileItem(Record):
    """One entry of a version's folder: ``kind`` is file, directory or link; ``target`` is where a link points.

    ``mode`` has the permission bits and ``mtime`` the modification time that it was put with.
    """

    name: str
    kind: str
    size: int
    digest: str
    executable: bool
    mode: int
    mtime: datetime
    target: str | None

    @classmethod
    def of(cls, file: FileInfo) -> FileItem:
        """Return the item of an entry."""
        return cls.from_attributes(file, target=file.link_target)


@dataclass(frozen=True, slots=True)
class FilesDocument(Document):
    """The files of a version, or of a folder in it (``artfs ls NAME:v3/path``)."""

    schema: ClassVar[str] = "artfs.files/1"
    artifact: str
    version: str
    path: str
    files: Sequence[FileItem]

    @classmethod
    def of(cls, version: Version, path: bytes, files: Iterable[FileInfo]) -> FilesDocument:
        """Return the document of what is at a path of a version."""
        label = version_label(version.number)
        return cls(version.artifact, label, exact_name(path), [FileItem.of(file) for file in files])


@dataclass(frozen=True, slots=True)
class CopyDocument(Document):
    """What was copied into a folder; ``skipped`` files were there already (``artfs get``)."""

    schema: ClassVar[str] = "artfs.get/1"
    dest: str
    files: int
    bytes: int
    skipped: int

    @classmethod
    def of(cls, dest: str, receipt: GetReceipt) -> CopyDocument:
        """Return the document of a copy."""
        return cls.from_attributes(receipt, dest=dest)


@dataclass(frozen=True, slots=True)
class DownloadDocument(Document):
    """The version that was copied into the folder ``path`` (``artfs artifact get``)."""

    schema: ClassVar[str] = "artfs.download/1"
    name: str
    path: str
    files: int
    bytes: int

    @classmethod
    def of(cls, name: str, path: str, receipt: GetReceipt) -> DownloadDocument:
        """Return the document of a copy."""
        return cls.from_attributes(receipt, name=name, path=path)


@dataclass(frozen=True, slots=True)
class WarmDocument(Document):
    """The number of files, and of bytes of packs, that are in memory now (``artfs warm``)."""

    schema: ClassVar[str] = "artfs.warm/1"
    files: int
    bytes: int

    @classmethod
    def of(cls, warmed: Warmed) -> WarmDocument:
        """Return the document of what was read."""
        return cls.from_attributes(warmed)
