"""Where a loader finds records and payloads: in a registry, or in a manifest with files next to it.

A manifest's records are looked up in the registry of its workspace first, by their version and digest.  What the store
lacks is looked for as a file.  Files are foreign: nothing but their digest is known.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from artfs.registry.chains import OperatorChain, chain_of
from artfs.registry.errors import AmbiguousIdError, ArtifactIdError, DependencyError, RecordError
from artfs.registry.ids import ArtifactId, parse_artifact_id
from artfs.registry.manifests import items_of
from artfs.registry.records import ArtifactRecord
from artfs.registry.registry import ArtifactRegistry
from artstore import beneath
from artstore.arguments import shown_text
from artstore.errors import ArtfsError, NotFoundError

__all__ = ["Catalogue", "ManifestCatalogue", "StoredCatalogue"]

_STEP = 1 << 20
Chain = OperatorChain | str


class Catalogue(Protocol):
    """Records of one data set, and their payloads."""

    def edition(self) -> int:
        """Return a number that changes with each change of what is here."""
        ...

    def resolve(self, artifact_id: str, version: int | None = None) -> ArtifactRecord | None:
        """Return the record that an id means; None if there is none."""
        ...

    def by_chain(self, chain: Chain, fold_id: int | None) -> ArtifactRecord | None:
        """Return what a chain made for a fold."""
        ...

    def all(self) -> list[ArtifactRecord]:
        """Return every record."""
        ...

    def at_step(self, step_index: int, pipeline_id: str | None) -> list[ArtifactRecord]:
        """Return the records of a step; of one pipeline if one is named."""
        ...

    def by_name(self, custom_name: str) -> list[ArtifactRecord]:
        """Return the records with a custom name."""
        ...

    def sources(self, record: ArtifactRecord) -> list[ArtifactRecord]:
        """Return everything that an artifact was made from, sources first."""
        ...

    def open(self, record: ArtifactRecord) -> tuple[ArtifactRecord, BinaryIO]:
        """Return the record, with what the store knows of it, and its payload; raise `NotFoundError` if it is gone."""
        ...


class StoredCatalogue:
    """The registry itself."""

    def __init__(self, registry: ArtifactRegistry) -> None:
        self._registry = registry

    def edition(self) -> int:
        """Return a number that changes with each change of the workspace."""
        return self._registry.edition()

    def resolve(self, artifact_id: str, version: int | None = None) -> ArtifactRecord | None:
        """Return the record that an id means; None if there is none."""
        return self._registry.resolve(artifact_id, version=version)

    def by_chain(self, chain: Chain, fold_id: int | None) -> ArtifactRecord | None:
        """Return what a chain made for a fold."""
        return self._registry.get_by_chain(chain, fold_id)

    def all(self) -> list[ArtifactRecord]:
        """Return the latest version of every artifact of the data set."""
        return self._registry.get_all_records()

    def at_step(self, step_index: int, pipeline_id: str | None) -> list[ArtifactRecord]:
        """Return the records of a step; of one pipeline if one is named."""
        return self._registry.find(step_index=step_index, pipeline_id=pipeline_id)

    def by_name(self, custom_name: str) -> list[ArtifactRecord]:
        """Return the records with a custom name."""
        return self._registry.find(custom_name=custom_name)

    def sources(self, record: ArtifactRecord) -> list[ArtifactRecord]:
        """Return the versions that an artifact was made from, also those that were replaced or deleted since."""
        return self._registry.sources_of(self._registry.version_of(record))

    def open(self, record: ArtifactRecord) -> tuple[ArtifactRecord, BinaryIO]:
        """Return the record and its payload."""
        return record, self._registry.open_payload(record)


class ManifestCatalogue:
    """The records of a manifest, in memory; payloads come from the store, else from files."""

    def __init__(self, manifest: object, registry: ArtifactRegistry, folders: Sequence[Path]) -> None:
        self._registry, self._folders = registry, list(folders)
        self._records = {record.artifact_id: record for record in map(ArtifactRecord.from_dict, items_of(manifest))}

    def edition(self) -> int:
        """Return a number that changes with each change of the workspace; the manifest stays as it is."""
        return self._registry.edition()

    def resolve(self, artifact_id: str, version: int | None = None) -> ArtifactRecord | None:
        """Return the record that an id means: whole, abbreviated, or of the older form."""
        if version is not None:
            return self._registry.resolve(artifact_id, version=version)
        if artifact_id in self._records:
            return self._records[artifact_id]
        try:
            wanted = parse_artifact_id(artifact_id)
        except ArtifactIdError:
            return None
        fitting = [record for record in self._records.values() if _fits(record, wanted)]
        return _only(fitting, f"the id {shown_text(artifact_id)}")

    def by_chain(self, chain: Chain, fold_id: int | None) -> ArtifactRecord | None:
        """Return what a chain made for a fold."""
        path = chain_of(chain).to_path()
        fitting = [each for each in self._records.values() if each.chain_path == path and each.fold_id == fold_id]
        return _only(fitting, f"the chain {shown_text(path)}")

    def all(self) -> list[ArtifactRecord]:
        """Return every record, in the order of the manifest."""
        return list(self._records.values())

    def at_step(self, step_index: int, pipeline_id: str | None) -> list[ArtifactRecord]:
        """Return the records of a step; of one pipeline if one is named."""
        found = [record for record in self._records.values() if record.step_index == step_index]
        return [each for each in found if pipeline_id is None or _is_pipeline(_pipeline_of(each), pipeline_id)]

    def by_name(self, custom_name: str) -> list[ArtifactRecord]:
        """Return the records with a custom name."""
        return [record for record in self._records.values() if record.custom_name == custom_name]

    def sources(self, record: ArtifactRecord) -> list[ArtifactRecord]:
        """Return everything that an artifact was made from: as the store has it, else by the ids in the manifest."""
        stored = self._stored(record)
        if stored is not None:
            return self._registry.sources_of(self._registry.version_of(stored))
        ordered: dict[str, ArtifactRecord] = {}
        self._visit(record, ordered, ())
        del ordered[record.artifact_id]
        return list(ordered.values())

    def _visit(self, record: ArtifactRecord, ordered: dict[str, ArtifactRecord], way: tuple[str, ...]) -> None:
        if record.artifact_id in way or len(way) > 100:
            raise DependencyError(f"{record.artifact_id!r} depends on itself, or too deeply")
        if record.artifact_id in ordered:
            return
        for ident in record.depends_on:
            source = self._records.get(ident)
            if source is None:
                raise DependencyError(f"{record.artifact_id!r} was made from {ident!r}, which the manifest lacks")
            self._visit(source, ordered, (*way, record.artifact_id))
        ordered[record.artifact_id] = record

    def open(self, record: ArtifactRecord) -> tuple[ArtifactRecord, BinaryIO]:
        """Return the record and its payload, from the store if it has the payload, else from a file."""
        if record.place:
            return record, self._registry.open_payload(record)
        stored = self._stored(record)
        if stored is not None:
            return stored, self._registry.open_payload(stored)
        return record, self._file(record)

    def _stored(self, record: ArtifactRecord) -> ArtifactRecord | None:
        """Return the version in the store that has the record's payload."""
        try:
            versions = self._registry.versions(record.artifact_id)
        except ArtfsError:
            versions = []
        same = [each for each in versions if each.content_hash == record.content_hash]
        named = [each for each in same if each.ref == record.ref]
        if named or same:
            return (named or same)[-1]
        if not record.content_hash.startswith("blake3:"):
            return None
        return self._registry.resolve_by_hash(record.content_hash) if not record.depends_on else None

    def _file(self, record: ArtifactRecord) -> BinaryIO:
        """Return a private copy of a payload's file, so that it does not change between its check and its use."""
        path = record.path
        if not path or os.path.isabs(path) or ".." in Path(path).parts or "\0" in path:
            raise RecordError(f"the path {shown_text(path)} of {record.artifact_id!r} is none below a folder")
        for folder in self._folders:
            for name in dict.fromkeys((path, os.path.basename(path))):
                if (folder / name).is_file():
                    return _copied(folder, name)
        raise NotFoundError(
            f"the payload of {record.artifact_id!r} is neither in the store nor a file {shown_text(path)}",
            hint=f"searched below {', '.join(map(str, self._folders))}",
        )


def _copied(folder: Path, name: str) -> BinaryIO:
    """Return a private copy of a file beneath a folder; a link in its path is refused."""
    with os.fdopen(beneath.open_file(folder, name), "rb") as source:
        copy = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115  # closed by its reader
        shutil.copyfileobj(source, copy, _STEP)
    copy.seek(0)
    return copy


def _only(records: Iterable[ArtifactRecord], what: str) -> ArtifactRecord | None:
    found = list(records)
    if len(found) > 1:
        ids = sorted(record.artifact_id for record in found)
        raise AmbiguousIdError(
            f"{what} fits {len(ids)} artifacts: {', '.join(ids[:10])}", hint="name one of them", candidates=ids
        )
    return found[0] if found else None


def _pipeline_of(record: ArtifactRecord) -> str:
    if record.pipeline_id:
        return record.pipeline_id
    try:
        return parse_artifact_id(record.artifact_id).pipeline
    except ArtifactIdError:
        return ""


def _is_pipeline(pipeline: str, wanted: str) -> bool:
    return pipeline == wanted or pipeline.startswith(f"{wanted}_")


def _fits(record: ArtifactRecord, wanted: ArtifactId) -> bool:
    """Return whether an abbreviated id, or one of the older form, means a record."""
    if not _is_pipeline(_pipeline_of(record), wanted.pipeline):
        return False
    if wanted.is_older:
        return (record.step_index, record.fold_id) == (wanted.step, wanted.fold) and (
            wanted.branch is None or record.branch_path == wanted.branch
        )
    return record.fold_id == wanted.fold and bool(record.chain_hash) and record.chain_hash.startswith(wanted.hash)
