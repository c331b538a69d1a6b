"""Finding versions by their properties, over all artifacts."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from artstore.arguments import shown_value
from artstore.errors import InvalidInputError
from artstore.metadata import same_value
from artstore.queries.versions import Version
from artstore.rows import catalogue
from artstore.store import Store

__all__ = ["Selector", "find"]


@dataclass(frozen=True, slots=True)
class Selector:
    """Conditions on versions: all that are not None must hold.

    The artifact is in ``project`` or below, is of ``type``, and its full name matches the glob ``artifact``; the
    version has ``tag`` and all of ``metadata``.
    """

    project: str | None = None
    type: str | None = None
    artifact: str | None = None
    tag: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def takes(self, artifact: str, type_name: str | None) -> bool:
        """Return whether versions of an artifact may be meant."""
        if self.project is not None:
            project = artifact.rpartition("/")[0]
            if project != self.project and not project.startswith(f"{self.project}/"):
                return False
        return (self.type is None or type_name == self.type) and (
            self.artifact is None or fnmatchcase(artifact, self.artifact)
        )

    def selects(self, artifact: str, type_name: str | None, tags: Sequence[str], metadata: Mapping[str, Any]) -> bool:
        """Return whether a version is meant."""
        return (
            self.takes(artifact, type_name)
            and (self.tag is None or self.tag in tags)
            and all(name in metadata and same_value(metadata[name], value) for name, value in self.metadata.items())
        )


def find(
    store: Store, selector: Selector, *, younger: float | None, older: float | None, latest: bool
) -> Iterator[Version]:
    """Yield the living versions that are meant, by name and number; see `Workspace.find`."""
    if not isinstance(selector.metadata, Mapping):
        raise InvalidInputError(
            f"metadata must be a dictionary of names to values, not {shown_value(selector.metadata)}"
        )
    for seconds in (younger, older):
        if seconds is not None and not seconds >= 0:
            raise InvalidInputError("an age cannot be negative")
    now_ns = time.time_ns()
    with store.snapshot() as snapshot:
        for artifact in catalogue.all_artifacts(snapshot.transaction):
            if not selector.takes(artifact.name, artifact.type):
                continue
            records = snapshot.versions_of(artifact.number)
            for record in records[-1:] if latest else records:
                age = (now_ns - record.created_ns) / 1e9
                if (younger is not None and age >= younger) or (older is not None and age < older):
                    continue
                if selector.selects(artifact.name, artifact.type, record.tags, record.metadata):
                    yield Version(store, artifact.name, record, artifact.type)
