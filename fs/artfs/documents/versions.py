"""Documents about versions: their records, and what a put made."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from artfs.documents.differences import ChangeItem
from artfs.documents.encoding import Document, Record, exact_name, from_nanoseconds, omittable
from artfs.documents.lineage import NeighboursItem
from artstore.names import version_label

if TYPE_CHECKING:
    from artstore.changes.previewing import PutPreview
    from artstore.queries.query import Matches
    from artstore.queries.versions import PutReceipt, Version
    from artstore.references.failures import Failure

__all__ = [
    "FailedReferenceItem",
    "GoneVersionItem",
    "LinkDocument",
    "LogDocument",
    "OriginItem",
    "PurgeItem",
    "PutDocument",
    "PutItem",
    "PutPreviewDocument",
    "PutsDocument",
    "VersionDocument",
    "VersionItem",
    "VersionsDocument",
]


@dataclass(frozen=True, slots=True)
class PurgeItem(Record):
    """One purge of a version: what was removed, when and why, and the version's digest before.

    Past a thousand files of one purge, ``path`` is null and ``more`` is the number of other files.
    """

    path: str | None
    more: int
    digest: str | None
    reason: str
    purged_at: datetime
    old_digest: str

    @classmethod
    def of(cls, purge: Mapping[str, Any]) -> PurgeItem:
        """Return the item of a purge as a version's record has it."""
        return cls(
            path=purge.get("path"),
            more=purge.get("more", 0),
            digest=purge.get("id"),
            reason=purge["reason"],
            purged_at=from_nanoseconds(purge["purged_ns"]),
            old_digest=purge["old_digest"],
        )


@dataclass(frozen=True, slots=True)
class OriginItem(Record):
    """Where a version comes from: the process that made it, and the git repository of the folder put.

    ``repository`` is whether the folder is in one. ``commit`` and ``dirty`` (whether tracked files differ from the
    commit) are null if they are unknown.
    """

    user: str
    host: str
    command: str
    folder: str
    repository: bool
    commit: str | None
    dirty: bool | None

    @classmethod
    def of(cls, origin: Mapping[str, Any]) -> OriginItem:
        """Return the item of an origin as a version's record has it."""
        return cls(
            user=origin.get("user", ""),
            host=origin.get("host", ""),
            command=origin.get("command", ""),
            folder=origin.get("folder", ""),
            repository="commit" in origin,
            commit=origin.get("commit"),
            dirty=origin.get("dirty"),
        )


@dataclass(frozen=True, slots=True)
class VersionItem(Record):
    """One version; ``bytes`` is the size of its files, ``new_bytes`` the stored bytes that its put added.

    ``undelete_until`` is the time until which a deleted version can certainly be restored, else null. The ``number`` of
    a pending version, such as ``p1``, has 2**30 added.
    """

    name: str
    artifact: str
    version: str
    number: int
    state: str
    digest: str
    type: str | None
    description: str
    metadata: Mapping[str, Any]
    aliases: Sequence[str]
    tags: Sequence[str]
    base: str | None
    created_at: datetime
    files: int
    bytes: int
    new_bytes: int
    expires_at: datetime | None
    deleted_at: datetime | None
    deleted_reason: str | None
    undelete_until: datetime | None
    purged: Sequence[PurgeItem]
    origin: OriginItem | None

    @classmethod
    def of(cls, version: Version) -> VersionItem:
        """Return the item of a version, living or deleted."""
        return cls.from_attributes(version, **_values(version))


def _values(version: Version) -> dict[str, Any]:
    record = version.record
    return {
        "version": version_label(version.number),
        "files": version.file_count,
        "bytes": version.size,
        "expires_at": from_nanoseconds(record.expires_ns) if record.expires_ns else None,
        "deleted_at": from_nanoseconds(record.deleted_ns) if record.deleted_ns else None,
        "deleted_reason": record.reason or None,
        "undelete_until": version.undeletable_until,
        "purged": [PurgeItem.of(purge) for purge in version.purged],
        "origin": OriginItem.of(record.origin) if record.origin else None,
    }


@dataclass(frozen=True, slots=True)
class VersionsDocument(Document):
    """Versions, in the order of the command (``artfs ls NAME``, ``find``, ``artifact ls``).

    ``artifact`` is there if all are versions of one artifact that was named. ``find`` says how many values of metadata
    could not be compared with a condition (``left_out``), and how many of the versions come last, because they have no
    value to sort by (``unordered``).
    """

    schema: ClassVar[str] = "artfs.versions/1"
    versions: Sequence[VersionItem]
    artifact: str | None = omittable()
    left_out: int | None = omittable()
    unordered: int | None = omittable()

    @classmethod
    def of(cls, versions: Iterable[Version], *, artifact: str | None = None) -> VersionsDocument:
        """Return the document of versions, in their order."""
        return cls([VersionItem.of(version) for version in versions], artifact)

    @classmethod
    def found(cls, matches: Matches) -> VersionsDocument:
        """Return the document of what a search found."""
        items = [VersionItem.of(version) for version in matches]
        return cls(items, left_out=matches.left_out, unordered=matches.unordered)


@dataclass(frozen=True, slots=True)
class FailedReferenceItem(Record):
    """A file outside that was found changed or missing when a mount or a command read it."""

    path: str
    message: str
    found_at: datetime


@dataclass(frozen=True, slots=True)
class VersionDocument(VersionItem, Document):
    """The record of one version, the versions and runs next to it, and its broken references (``artfs show``)."""

    schema: ClassVar[str] = "artfs.version/1"
    lineage: NeighboursItem
    failed_references: Sequence[FailedReferenceItem]

    @classmethod
    def shown(
        cls, version: Version, neighbours: Mapping[str, Sequence[str]], failures: Iterable[tuple[bytes, Failure]]
    ) -> VersionDocument:
        """Return the document of a version, given its neighbours by relation."""
        broken = [
            FailedReferenceItem(exact_name(path), failure.message, datetime.fromtimestamp(failure.at, UTC))
            for path, failure in failures
        ]
        lineage = NeighboursItem.of(neighbours)
        return cls.from_attributes(version, **_values(version), lineage=lineage, failed_references=broken)


@dataclass(frozen=True, slots=True)
class GoneVersionItem(Record):
    """A version that was deleted and cannot be restored: only its number is known."""

    name: str
    artifact: str
    version: str
    number: int
    state: str = "deleted"
    undelete_until: None = None

    @classmethod
    def of(cls, artifact: str, number: int) -> GoneVersionItem:
        """Return the item of a number that has no version any more."""
        label = version_label(number)
        return cls(f"{artifact}:{label}", artifact, label, number)


@dataclass(frozen=True, slots=True)
class LogDocument(Document):
    """All versions that an artifact ever had, newest first (``artfs log``)."""

    schema: ClassVar[str] = "artfs.log/1"
    artifact: str
    versions: Sequence[VersionItem | GoneVersionItem]

    @classmethod
    def of(cls, artifact: str, history: Iterable[Version | range]) -> LogDocument:
        """Return the document of versions and of the ranges of numbers that are gone, newest first."""
        items: list[VersionItem | GoneVersionItem] = []
        for entry in history:
            if isinstance(entry, range):
                items += [GoneVersionItem.of(artifact, number) for number in reversed(entry)]
            else:
                items.append(VersionItem.of(entry))
        return cls(artifact, items)


@dataclass(frozen=True, slots=True)
class PutItem(Record):
    """The version that a put or a commit led to; ``created`` is false if the latest version is equal to it.

    ``new_bytes`` are the stored bytes that it added. ``reaped_bytes`` of deleted versions were freed early because
    the disk was nearly full. ``differing_paths`` differ from the latest version only in mode or time, if no version was
    made. ``private_files`` of those put are readable only by their owner and group; ``special_modes`` paths have a
    setuid, setgid or sticky bit, which is not kept. ``followed_links`` lead out of the folder; what they lead to was
    stored. ``ignored_entries`` were left out because of ``.artfsignore`` files; a folder is one entry. So were
    ``temporary_folders`` that interrupted calls of artfs had left. ``followed_paths``, ``ignored_paths`` and
    ``temporary_paths`` name the first ten of them. ``pushed_to`` is the remote that it was pushed to at once, and
    ``unpushed`` says why a pending one was not; both are null in an artifact without a remote. ``lost`` has a sentence
    for each change of an alias or name that another machine was first to change.
    """

    artifact: str
    version: str
    digest: str
    created: bool
    files: int
    bytes: int
    new_bytes: int
    reaped_bytes: int
    differing_paths: int
    private_files: int
    special_modes: int
    followed_links: int
    followed_paths: Sequence[str]
    ignored_entries: int
    ignored_paths: Sequence[str]
    temporary_folders: int
    temporary_paths: Sequence[str]
    pushed_to: str | None
    unpushed: str | None
    lost: Sequence[str]

    @classmethod
    def of(cls, version: Version) -> PutItem:
        """Return the item of a version that has just been put."""
        return cls(**_put_values(version))


def _put_values(version: Version) -> dict[str, Any]:
    assert version.receipt is not None  # whatever puts or commits fills it in
    return {
        "artifact": version.artifact,
        "version": version_label(version.number),
        "digest": version.digest,
        "files": version.file_count,
        "bytes": version.size,
        **_receipt_values(version.receipt),
    }


def _receipt_values(receipt: PutReceipt) -> dict[str, Any]:
    return {
        "created": receipt.created,
        "new_bytes": receipt.new_bytes,
        "reaped_bytes": receipt.reaped_bytes,
        "differing_paths": receipt.differing_paths,
        "private_files": receipt.private_files,
        "special_modes": receipt.special_modes,
        "followed_links": receipt.followed_links,
        "followed_paths": [exact_name(os.fsencode(path)) for path in receipt.followed_paths],
        "ignored_entries": receipt.ignored_entries,
        "ignored_paths": [exact_name(os.fsencode(path)) for path in receipt.ignored_paths],
        "temporary_folders": receipt.temporary_folders,
        "pushed_to": receipt.pushed_to or None,
        "unpushed": receipt.unpushed or None,
        "lost": list(receipt.lost),
        "temporary_paths": [exact_name(os.fsencode(path)) for path in receipt.temporary_paths],
    }


@dataclass(frozen=True, slots=True)
class PutDocument(PutItem, Document):
    """The version that a put led to (``artfs put``, ``artifact put``, ``ref add``, ``ref pin``, ``draft commit``).

    ``created`` is false if the latest version is equal to it. ``new_bytes`` are the stored bytes that it added;
    ``reaped_bytes`` of deleted versions were freed early because the disk was nearly full.
    """

    schema: ClassVar[str] = "artfs.put/1"

    @classmethod
    def of(cls, version: Version) -> PutDocument:
        """Return the document of a version that has just been put."""
        return cls(**_put_values(version))


@dataclass(frozen=True, slots=True)
class PutPreviewDocument(PutItem, Document):
    """What a put would do (``artfs put --dry-run``), in the words of the put's own document.

    ``changes`` lead from ``latest``, the latest version, or null if there is none, to the version. With ``--base``,
    ``new_bytes`` can be a few more or less than the put's.
    """

    schema: ClassVar[str] = "artfs.put_preview/1"
    latest: str | None
    changes: Sequence[ChangeItem]

    @classmethod
    def previewed(cls, preview: PutPreview) -> PutPreviewDocument:
        """Return the document of a preview."""
        return cls.from_attributes(
            preview,
            **_receipt_values(preview.receipt),
            version=version_label(preview.number),
            latest=None if preview.latest is None else version_label(preview.latest),
            changes=[ChangeItem.of(change) for change in preview.difference],
        )


@dataclass(frozen=True, slots=True)
class PutsDocument(Document):
    """The versions that several drafts became together (``artfs draft commit`` of more than one)."""

    schema: ClassVar[str] = "artfs.puts/1"
    versions: Sequence[PutItem]

    @classmethod
    def of(cls, versions: Iterable[Version]) -> PutsDocument:
        """Return the document of versions that have just been made."""
        return cls([PutItem.of(version) for version in versions])


@dataclass(frozen=True, slots=True)
class LinkDocument(Document):
    """The version that is a link to another one (``artfs link``)."""

    schema: ClassVar[str] = "artfs.link/1"
    name: str
    digest: str
    created: bool

    @classmethod
    def of(cls, version: Version) -> LinkDocument:
        """Return the document of a link that has just been made, or was there."""
        assert version.receipt is not None  # whatever links fills it in
        return cls(version.name, version.digest, version.receipt.created)
