"""Documents about what the workspace, an artifact or a version takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Final

from artfs.documents.encoding import Document, Record, from_nanoseconds, omittable
from artstore.names import version_label

if TYPE_CHECKING:
    from artstore.queries.usage import DiskUse, GroupUsage, Usage, VersionUsage

__all__ = ["DISK_TERMS", "DiskUseDocument", "ProjectUsageItem", "TypeUsageItem", "UsageDocument", "VersionUsageItem"]

DISK_TERMS: Final = (
    ("stored_bytes", "stored", "content and folder records of versions and drafts, once each and compressed"),
    ("manifest_bytes", "manifest", "names and records"),
    ("deadlist_bytes", "deleted", "waiting to be reaped"),
    ("condemned_bytes", "condemned", "reaped, freed once no process reads it"),
    ("free_bytes", "free", "gaps in packs that no content uses"),
    ("other_bytes", "other", "the reserve for a full disk, block edges, run-time files"),
)
"""The terms of the disk (field of `UsageDocument`, name, what it is): their sum is the size of the workspace."""


@dataclass(frozen=True, slots=True)
class VersionUsageItem(Record):
    """One version: ``logical`` are the bytes of its files, the others are stored bytes.

    ``alone`` is what it would take if there were no other version, ``unique`` what is freed if it alone is deleted,
    ``attributed`` what it added when it was put.
    """

    version: str
    logical: int
    alone: int
    unique: int
    attributed: int

    @classmethod
    def of(cls, usage: VersionUsage) -> VersionUsageItem:
        """Return the item of one version's usage."""
        return cls.from_attributes(usage)


@dataclass(frozen=True, slots=True)
class ProjectUsageItem(Record):
    """The versions of a project, null for those in none: the bytes of their files, and the stored bytes they added."""

    project: str | None
    versions: int
    logical: int
    attributed: int

    @classmethod
    def of(cls, group: GroupUsage) -> ProjectUsageItem:
        """Return the item of a project's usage."""
        return cls.from_attributes(group, project=group.name or None)


@dataclass(frozen=True, slots=True)
class TypeUsageItem(Record):
    """The versions of a type, null for those of none: the bytes of their files, and the stored bytes they added."""

    type: str | None
    versions: int
    logical: int
    attributed: int

    @classmethod
    def of(cls, group: GroupUsage) -> TypeUsageItem:
        """Return the item of a type's usage."""
        return cls.from_attributes(group, type=group.name or None)


@dataclass(frozen=True, slots=True)
class UsageDocument(Document):
    """Where the bytes of the workspace are (``artfs usage``).

    ``logical_bytes`` are the bytes of all versions' files. ``disk_bytes`` is the sum of the others but for
    ``interrupted_bytes``: those are the part of ``stored_bytes`` that interrupted puts left, kept for another put to
    reuse until ``interrupted_until`` (the first of them). ``artifact`` and
    ``by_version`` are there if an artifact was named, ``by_project`` and ``by_type`` with ``--by``.
    """

    schema: ClassVar[str] = "artfs.usage/1"
    logical_bytes: int
    stored_bytes: int
    manifest_bytes: int
    deadlist_bytes: int
    deadlist_entries: int
    condemned_bytes: int
    free_bytes: int
    other_bytes: int
    disk_bytes: int
    versions: int
    due_entries: int
    deadlist_oldest_at: datetime | None
    interrupted_puts: int
    interrupted_bytes: int
    interrupted_until: datetime | None
    artifact: str | None = omittable()
    by_version: Sequence[VersionUsageItem] | None = omittable()
    by_project: Sequence[ProjectUsageItem] | None = omittable()
    by_type: Sequence[TypeUsageItem] | None = omittable()

    @classmethod
    def of(
        cls,
        usage: Usage,
        *,
        artifact: str | None = None,
        versions: Iterable[VersionUsage] = (),
        by: str | None = None,
        groups: Iterable[GroupUsage] = (),
    ) -> UsageDocument:
        """Return the document of a workspace's usage, with that of an artifact's versions or that of groups."""
        others: dict[str, Any] = dict.fromkeys(("by_version", "by_project", "by_type"))
        if artifact is not None:
            others["by_version"] = [VersionUsageItem.of(version) for version in versions]
        if by == "project":
            others["by_project"] = [ProjectUsageItem.of(group) for group in groups]
        elif by == "type":
            others["by_type"] = [TypeUsageItem.of(group) for group in groups]
        oldest = None if usage.oldest_ns is None else from_nanoseconds(usage.oldest_ns)
        until = None if usage.interrupted_until_ns is None else from_nanoseconds(usage.interrupted_until_ns)
        others |= {"deadlist_oldest_at": oldest, "interrupted_until": until, "artifact": artifact}
        return cls.from_attributes(usage, **others)


@dataclass(frozen=True, slots=True)
class DiskUseDocument(Document):
    """What one version takes (``artfs du``): ``logical`` and ``bytes`` are the bytes of its ``files``.

    The others are stored bytes: ``alone`` is what it would take if there were no other version, ``unique`` what is
    freed if it alone is deleted, ``attributed`` what it added when it was put.
    """

    schema: ClassVar[str] = "artfs.du/1"
    artifact: str
    version: str
    logical: int
    alone: int
    unique: int
    attributed: int
    files: int
    bytes: int

    @classmethod
    def of(cls, artifact: str, use: DiskUse) -> DiskUseDocument:
        """Return the document of a version of ``artifact``."""
        return cls.from_attributes(use, artifact=artifact, version=version_label(use.number))
