"""What artifacts were made from.

A dependence is on a version: its record and payload are included in the dependant's folder, below ``sources``.  So a
meta-model is whole even if what it was made from has been deleted or registered again.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Final

from artfs.registry.errors import RecordError
from artfs.registry.lookup import Lookup
from artfs.registry.records import RECORD, ArtifactRecord
from artfs.registry.sources import record_digest
from artfs.registry.stored import MACS, is_registered, record_of
from artstore.names import version_label
from artstore.queries.versions import Version

__all__ = ["DEEPEST", "Dependences"]

DEEPEST: Final = 100
"""How many artifacts may depend on one another in a row."""


class Dependences(Lookup):
    """The part of a registry that follows dependences."""

    def get_dependencies(self, artifact_id: str) -> list[str]:
        """Return the ids of what an artifact was made from directly, in the order of its registration."""
        record = self.resolve(artifact_id)
        return [] if record is None else list(record.depends_on)

    def get_dependents(self, artifact_id: str) -> list[str]:
        """Return the ids of the artifacts that were made from any version of an artifact."""
        workspace = self._existing()
        if workspace is None:
            return []
        found: dict[str, None] = {}
        for record in self.versions(artifact_id):
            for version in workspace.relations.dependants_of(workspace.version(record.ref)):
                if is_registered(version):
                    found[record_of(version).artifact_id] = None
        return list(found)

    def resolve_dependencies(self, artifact_id: str) -> list[ArtifactRecord]:
        """Return everything that an artifact was made from, sources first, each once.

        These are the versions that it was made from, also where they have been registered again or deleted since.
        """
        found = self._resolved(artifact_id)
        return [] if found is None else self.sources_of(found)

    def sources_of(self, version: Version) -> list[ArtifactRecord]:
        """Return what a version includes, sources first."""
        record = record_of(version)
        digests = [each["digest"] for each in record.sources]
        if not digests:
            return []
        below = {digest: self._included(version, place, digest) for place, digest in enumerate(digests)}
        living = self._living(version)
        ordered: dict[str, ArtifactRecord] = {}

        def visit(wanted: list[str]) -> None:
            for digest in wanted:
                if digest in ordered or digest not in below:
                    continue
                source = below[digest]
                visit([each["digest"] for each in source.sources])
                ordered[digest] = living.get(digest, source)

        visit(digests)
        return list(ordered.values())

    def _included(self, version: Version, place: int, digest: str) -> ArtifactRecord:
        """Return the record of a source as the version's own folder has it."""
        folder = f"sources/{place}/"
        try:
            values: dict[str, Any] = json.loads(version.read_bytes(folder + RECORD))
            record = ArtifactRecord.from_dict(values)
            path = f"{version.artifact}/{version_label(version.number)}/{folder}{values['payload']}"
        except (ValueError, KeyError, TypeError) as error:
            raise RecordError(f"{version.name}/{folder}{RECORD} is not the record of an artifact") from error
        mac = version.record.metadata.get(MACS, {}).get(str(place))
        return replace(record, path=path, ref=version.name, place=folder, mac=mac)

    def _living(self, version: Version) -> dict[str, ArtifactRecord]:
        """Return the living versions that a version was made from, by the digests of their records."""
        workspace = self.workspace
        found: dict[str, ArtifactRecord] = {}
        waiting = [version]
        while waiting:
            for source in workspace.relations.included_by(waiting.pop()):
                if is_registered(source) and (digest := record_digest(source)) not in found:
                    found[digest] = record_of(source)
                    waiting.append(source)
        return found
