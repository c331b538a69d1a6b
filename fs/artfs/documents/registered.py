"""Documents about registered artifacts: what the registry finds, counts and deletes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from artfs.documents.encoding import Document, Record, omittable

__all__ = [
    "FoldItem",
    "FoldsDocument",
    "ImportItem",
    "OrphansDocument",
    "RegisteredDocument",
    "RegisteredItem",
    "RegisteredListDocument",
    "RegistryExportDocument",
    "RegistryImportDocument",
    "RegistryPurgeDocument",
    "RegistryStatsDocument",
    "RegistryTrustDocument",
    "StatsItem",
]


@dataclass(frozen=True, slots=True)
class RegisteredItem(Record):
    """One registered artifact: its latest version, or the one that was asked for.

    ``version`` is ``NAME:v3``, ``payload`` the payload's path under a mount, ``content_hash`` its digest.  ``fold`` is
    null for what all folds share.
    """

    artifact_id: str
    version: str
    dataset: str
    pipeline: str
    type: str
    chain: str
    step: int
    fold: int | None
    branch: Sequence[int]
    class_name: str
    format: str
    size_bytes: int
    content_hash: str
    payload: str
    created_at: str
    params: Mapping[str, Any]
    metrics: Mapping[str, Any]
    source: int | None = omittable()
    substep: int | None = omittable()
    custom_name: str | None = omittable()
    data_hash: str | None = omittable()

    @classmethod
    def of(cls, record: Any, **others: Any) -> Self:
        """Return the item of a record of the registry."""
        return cls(
            artifact_id=record.artifact_id,
            version=record.ref,
            dataset=record.dataset,
            pipeline=record.pipeline_id,
            type=str(record.artifact_type),
            chain=record.chain_path,
            step=record.step_index,
            fold=record.fold_id,
            branch=record.branch_path,
            class_name=record.class_name,
            format=record.format,
            size_bytes=record.size_bytes,
            content_hash=record.content_hash,
            payload=record.path,
            created_at=record.created_at,
            params=record.params,
            metrics=record.metrics,
            source=record.source_index,
            substep=record.substep_index,
            custom_name=record.custom_name or None,
            data_hash=record.data_hash or None,
            **others,
        )


@dataclass(frozen=True, slots=True)
class RegisteredListDocument(Document):
    """Registered artifacts (``artfs registry ls``, ``artfs registry find``)."""

    schema: ClassVar[str] = "artfs.registry_artifacts/1"
    artifacts: Sequence[RegisteredItem]

    @classmethod
    def of(cls, records: Iterable[Any]) -> RegisteredListDocument:
        """Return the document of records."""
        return cls([RegisteredItem.of(record) for record in records])


@dataclass(frozen=True, slots=True)
class RegisteredDocument(RegisteredItem, Document):
    """One registered artifact (``artfs registry show``).

    ``versions`` are all its living versions, ``sources`` everything that it was made from, sources first, and
    ``dependents`` the ids of what was made from it.  ``libraries`` were in use when it was registered.
    """

    schema: ClassVar[str] = "artfs.registry_artifact/1"
    versions: Sequence[str] = ()
    depends_on: Sequence[str] = ()
    sources: Sequence[str] = ()
    dependents: Sequence[str] = ()
    feature_columns: Sequence[str] | None = omittable()
    libraries: Mapping[str, str] | None = omittable()


@dataclass(frozen=True, slots=True)
class FoldItem(Record):
    """The model of one fold."""

    fold_id: int
    artifact_id: str
    size_bytes: int
    params: Mapping[str, Any]
    metrics: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class FoldsDocument(Document):
    """The fold models of a step, and mean and standard deviation of their metrics (``artfs registry folds``)."""

    schema: ClassVar[str] = "artfs.registry_folds/1"
    folds: Sequence[FoldItem]
    mean: Mapping[str, float]
    std: Mapping[str, float]

    @classmethod
    def of(cls, compared: Mapping[str, Any]) -> FoldsDocument:
        """Return the document of a comparison."""
        return cls([FoldItem(**row) for row in compared["folds"]], compared["mean"], compared["std"])


@dataclass(frozen=True, slots=True)
class StatsItem(Record):
    """The artifacts of one data set.

    ``total_size_bytes`` are the bytes of all payloads, ``disk_usage_bytes`` those of the ``disk_file_count`` distinct
    ones; ``deduplication_ratio`` is the part of the former that sharing saves.  ``stored_bytes`` are what the distinct
    payloads take, compressed.
    """

    dataset: str
    total_artifacts: int
    unique_files: int
    total_size_bytes: int
    deduplication_ratio: float
    stored_bytes: int
    by_type: Mapping[str, int]
    orphaned_count: int
    orphaned_size_bytes: int
    disk_usage_bytes: int
    disk_file_count: int


@dataclass(frozen=True, slots=True)
class RegistryStatsDocument(Document):
    """What is registered, by data set (``artfs registry stats``)."""

    schema: ClassVar[str] = "artfs.registry_stats/1"
    datasets: Sequence[StatsItem]

    @classmethod
    def of(cls, stats: Iterable[Mapping[str, Any]]) -> RegistryStatsDocument:
        """Return the document of the statistics of data sets."""
        return cls([StatsItem(**each) for each in stats])


@dataclass(frozen=True, slots=True)
class OrphansDocument(Document):
    """Versions that failed runs registered and nothing keeps (``artfs registry orphans``).

    ``freed_bytes`` are the stored bytes that come back once they are reaped.
    """

    schema: ClassVar[str] = "artfs.registry_orphans/1"
    versions: Sequence[str]
    freed_bytes: int
    deleted: bool


@dataclass(frozen=True, slots=True)
class RegistryPurgeDocument(Document):
    """The versions of a data set or pipeline that are deleted (``artfs registry purge``)."""

    schema: ClassVar[str] = "artfs.registry_purge/1"
    versions: Sequence[str]
    freed_bytes: int
    deleted: bool


@dataclass(frozen=True, slots=True)
class RegistryTrustDocument(Document):
    """A payload that is signed, or would be with ``--yes`` (``artfs registry trust``).

    ``origin`` is who made the version, as far as it is known: user, host, command and others.
    """

    schema: ClassVar[str] = "artfs.registry_trust/1"
    artifact_id: str
    version: str
    class_path: str
    format: str
    content_hash: str
    origin: Mapping[str, Any]
    signed: bool


@dataclass(frozen=True, slots=True)
class RegistryExportDocument(Document):
    """A bundle of registered artifacts (``artfs registry export``).

    ``versions`` are those in it, sources included, ``files`` the number of their files, and ``bytes`` the size of the
    file at ``path``; ``written`` is false for a dry run.
    """

    schema: ClassVar[str] = "artfs.registry_export/1"
    path: str
    versions: Sequence[str]
    files: int
    bytes: int
    written: bool


@dataclass(frozen=True, slots=True)
class ImportItem(Record):
    """An artifact of a bundle.

    ``version`` is what it is in the workspace, null for a new one in a dry run; ``created`` is false if it was there.
    """

    artifact_id: str
    dataset: str
    version: str | None
    created: bool


@dataclass(frozen=True, slots=True)
class RegistryImportDocument(Document):
    """The artifacts of a bundle (``artfs registry import``); ``imported`` is false for a dry run."""

    schema: ClassVar[str] = "artfs.registry_import/1"
    path: str
    artifacts: Sequence[ImportItem]
    imported: bool

    @classmethod
    def of(cls, path: str, artifacts: Iterable[Any], imported: bool) -> RegistryImportDocument:
        """Return the document of an import."""
        items = [
            ImportItem(each.record.artifact_id, each.record.dataset, each.record.ref or None, each.created)
            for each in artifacts
        ]
        return cls(path, items, imported)
