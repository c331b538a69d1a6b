"""What a library has: an entry is an artifact below ``library``, and each save of it a version.

    library/templates/NAME           pipeline.json: a configuration
    library/trained/filtered/NAME    pipeline.json, metrics.json
    library/trained/pipeline/NAME    a pipeline's folder, with `_binaries`
    library/trained/fullrun/NAME     a run's folder

What is saved from a registry has ``manifest.json`` and the folders ``PIPELINE/HASH/FOLD`` of its artifacts.  The
description, and metadata (``category``, ``tags``, ``metrics``, ``notes``), are those of the version.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from typing import Any, Final

from artfs.registry.errors import RecordError, UnknownArtifactError
from artfs.registry.library.configurations import LONGEST, read_configuration
from artfs.registry.manifests import items_of
from artfs.registry.records import ArtifactRecord
from artfs.registry.stored import MACS, is_registered, record_of
from artstore.arguments import shown_text, shown_value
from artstore.errors import InvalidInputError, NotFoundError
from artstore.names import check_name
from artstore.queries.versions import Version
from artstore.workspace import Workspace

__all__ = ["CONFIGURATION", "MANIFEST", "METRICS", "LibraryEntry", "LibraryKind", "kind_of", "summary"]

CONFIGURATION: Final = "pipeline.json"
METRICS: Final = "metrics.json"
MANIFEST: Final = "manifest.json"
_LONGEST_MANIFEST: Final = 1 << 28


class LibraryKind(StrEnum):
    """What an entry keeps; the type of its artifact."""

    TEMPLATE = "template"
    FILTERED = "filtered"
    PIPELINE = "pipeline"
    FULLRUN = "fullrun"

    @property
    def project(self) -> str:
        """The project of the entries of this kind."""
        return "library/templates" if self is LibraryKind.TEMPLATE else f"library/trained/{self}"

    def artifact(self, name: str) -> str:
        """Return the name of an entry's artifact; raise `InvalidNameError` for a name that cannot be one."""
        return check_name(f"{self.project}/{check_name(name)}")


def kind_of(value: object) -> LibraryKind:
    """Return the kind that a value names; raise `InvalidInputError` for an unknown one."""
    if isinstance(value, str) and value in list(LibraryKind):
        return LibraryKind(value)
    raise InvalidInputError(
        f"{shown_value(value)} is not a kind of library entries", hint=f"the kinds are {', '.join(LibraryKind)}"
    )


def summary(kind: LibraryKind, version: Version) -> dict[str, Any]:
    """Return what lists show of an entry: values for JSON."""
    metadata = version.record.metadata
    tags, metrics = metadata.get("tags"), metadata.get("metrics")
    return {
        "name": version.artifact.removeprefix(f"{kind.project}/"),
        "kind": str(kind),
        "version": version.number,
        "ref": version.name,
        "description": version.description,
        "category": str(metadata.get("category", "")),
        "tags": [str(tag) for tag in tags] if isinstance(tags, list) else [],
        "metrics": dict(metrics) if isinstance(metrics, Mapping) else {},
        "notes": str(metadata.get("notes", "")),
        "files": version.file_count,
        "size_bytes": version.size,
        "created_at": version.created_at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
    }


@dataclass(frozen=True)
class LibraryEntry:
    """A version of an entry: its files, and what is known of it.

    ``version`` is the stored version, whose files are read with ``version.open(path)``, copied with
    ``workspace.get(version.name, folder)``, or used under a mount.  Nothing is loaded before it is asked for.
    """

    name: str
    kind: LibraryKind
    version: Version
    info: Mapping[str, Any] = field(repr=False)
    """What lists show of it."""
    workspace: Workspace = field(repr=False, compare=False)

    @property
    def config(self) -> Any:
        """The configuration in ``pipeline.json``; None if the entry has none."""
        text = self._text(CONFIGURATION)
        if text is None or self.kind is LibraryKind.TEMPLATE:
            return None if text is None else read_configuration(text, f"{self.version.name}/{CONFIGURATION}")
        return self._json(CONFIGURATION, text)

    @property
    def metrics(self) -> dict[str, Any]:
        """The metrics."""
        return dict(self.info["metrics"])

    @property
    def records(self) -> list[ArtifactRecord]:
        """The records of the registered artifacts that were saved, with their paths in this version."""
        return list(self._records)

    @cached_property
    def _records(self) -> tuple[ArtifactRecord, ...]:
        text = self._text(MANIFEST, _LONGEST_MANIFEST) if self.kind is not LibraryKind.TEMPLATE else None
        if text is None:
            return ()
        records = [ArtifactRecord.from_dict(item) for item in items_of(self._json(MANIFEST, text))]
        macs = self.version.record.metadata.get(MACS, {})
        living = map(record_of, filter(is_registered, self.workspace.relations.included_by(self.version)))
        libraries = {record.artifact_id: record.libraries for record in living}
        return tuple(
            replace(each, mac=macs.get(each.artifact_id), libraries=libraries.get(each.artifact_id, {}))
            for each in records
        )

    def load_artifact(self, artifact_id: str, **options: Any) -> Any:
        """Return the object of an artifact that was saved from a registry, by its whole id.

        What can run code is loaded only if this user signed it, or with ``trust=True``; the options are those of
        `artfs.registry.serializers.deserialize`.
        """
        from artfs.registry.serializers import deserialize

        record = next((each for each in self._records if each.artifact_id == artifact_id), None)
        if record is None:
            raise UnknownArtifactError(
                f"{self.version.name} has no artifact {shown_text(str(artifact_id))}",
                hint=f"list them: artfs library show {self.name}",
            )
        with self.version.open(record.path) as file:
            return deserialize(
                file,
                record.format,
                format_version=record.format_version,
                content_hash=record.content_hash,
                versions=record.libraries,
                mac=record.mac,
                label=record.artifact_id,
                **options,
            )

    def _text(self, path: str, most: int = LONGEST) -> bytes | None:
        try:
            size = self.version.stat(path).size
        except NotFoundError:
            return None
        if size > most:
            raise RecordError(f"{self.version.name}/{path} is too large to be read: {size} bytes")
        return self.version.read_bytes(path)

    def _json(self, path: str, text: bytes) -> Any:
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise RecordError(f"{self.version.name}/{path} is not JSON") from error
