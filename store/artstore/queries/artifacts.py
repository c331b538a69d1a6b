"""Artifacts with their versions, their aliases, and the changes of those."""

from __future__ import annotations

from datetime import datetime
from itertools import islice

from artstore.arguments import text
from artstore.clock import utc
from artstore.names import check_name
from artstore.queries.resolving import find_artifact
from artstore.queries.versions import Version
from artstore.records.catalogue import ArtifactRecord
from artstore.rows import catalogue
from artstore.rows.snapshot import Snapshot
from artstore.store import Store
from artstore.values import value_class

__all__ = [
    "AliasChange",
    "ArtifactInfo",
    "alias_changes",
    "aliases_of",
    "all_artifacts",
    "artifact_info",
    "has_name",
    "living_versions",
    "next_version",
    "recorded_versions",
]


@value_class
class ArtifactInfo:
    """An artifact: its full name, its type (None until one was given), and its highest living version's number."""

    name: str
    type: str | None
    latest: int | None
    versions: int
    description: str
    created_at: datetime


@value_class
class AliasChange:
    """An alias was pointed to a version, or removed (``version`` is None)."""

    alias: str
    version: int | None
    at: datetime


def all_artifacts(store: Store, project: str = "") -> list[ArtifactInfo]:
    """Return all artifacts, or those below a project, by name."""
    if text(project, "the project"):
        check_name(project)
    with store.snapshot() as snapshot:
        return [_info(snapshot, record) for record in snapshot.all_artifacts(project)]


def _info(snapshot: Snapshot, record: ArtifactRecord) -> ArtifactInfo:
    latest = snapshot.latest(record.number)
    return ArtifactInfo(
        record.name,
        record.type,
        latest.number if latest else None,
        snapshot.count_versions(record.number),
        record.description,
        utc(record.created_ns),
    )


def has_name(store: Store, name: str, *, artifact: bool) -> bool:
    """Return whether a full name is that of an artifact with a living version, or (not ``artifact``) of a project."""
    text(name, "the name")
    with store.snapshot() as snapshot:
        entry = snapshot.name_number(name) if name.isprintable() else None
    return entry is not None and entry[1] == artifact


def living_versions(store: Store, name: str) -> list[Version]:
    """Return an artifact's living versions, oldest first."""
    with store.snapshot() as snapshot:
        artifact = find_artifact(snapshot, check_name(name))
        records = snapshot.versions_of(artifact.number)
    return [Version(store, artifact.name, record, artifact.type) for record in records]


def artifact_info(store: Store, name: str) -> ArtifactInfo:
    """Return one artifact; raise `NotFoundError` if it has no living version."""
    with store.snapshot() as snapshot:
        return _info(snapshot, find_artifact(snapshot, check_name(name)))


def recorded_versions(store: Store, name: str, *, below: int | None = None, limit: int | None = None) -> list[Version]:
    """Return an artifact's living versions and those that can be undeleted, newest first.

    With ``below`` only those of smaller numbers, and at most ``limit`` of them: in time proportional to these.
    """
    with store.snapshot() as snapshot:
        artifact = _recorded_artifact(snapshot, name)
        records = snapshot.recorded_descending(artifact.number, below=below)
        return [Version(store, artifact.name, record, artifact.type) for record in islice(records, limit)]


def next_version(store: Store, name: str) -> int:
    """Return the number that an artifact's next version gets."""
    with store.snapshot() as snapshot:
        return _recorded_artifact(snapshot, name).next_version


def _recorded_artifact(snapshot: Snapshot, name: str) -> ArtifactRecord:
    """Return an artifact, also one whose versions were all deleted."""
    return catalogue.find_retired(snapshot.transaction, check_name(name)) or find_artifact(snapshot, name)


def aliases_of(store: Store, name: str) -> dict[str, int]:
    """Return an artifact's aliases with the version that each points to, ``latest`` included."""
    with store.snapshot() as snapshot:
        artifact = find_artifact(snapshot, check_name(name))
        aliases = {alias.name: alias.version for alias in snapshot.aliases_of(artifact.number)}
        latest = snapshot.latest(artifact.number)
    if latest is not None:
        aliases["latest"] = latest.number
    return dict(sorted(aliases.items()))


def alias_changes(store: Store, name: str) -> list[AliasChange]:
    """Return the last changes of an artifact's aliases, newest first, without those of ``latest``."""
    with store.snapshot() as snapshot:
        history = find_artifact(snapshot, check_name(name)).alias_history
    return [AliasChange(change["alias"], change["version"], utc(change["at_ns"])) for change in reversed(history)]
