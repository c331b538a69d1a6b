"""Documents about whole artifacts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

from artfs.documents.encoding import Document, Record
from artstore.names import version_label

if TYPE_CHECKING:
    from artstore.queries.artifacts import ArtifactInfo

__all__ = ["ArtifactDescriptionDocument", "ArtifactItem", "ArtifactNameDocument", "ArtifactTypeDocument"]
__all__ += ["ArtifactsDocument"]


@dataclass(frozen=True, slots=True)
class ArtifactItem(Record):
    """One artifact: ``latest`` is a label such as ``v3`` or null, ``versions`` the number of living versions."""

    name: str
    type: str | None
    description: str
    latest: str | None
    versions: int
    created_at: datetime

    @classmethod
    def of(cls, artifact: ArtifactInfo) -> ArtifactItem:
        """Return the item of an artifact."""
        latest = None if artifact.latest is None else version_label(artifact.latest)
        return cls.from_attributes(artifact, latest=latest)


@dataclass(frozen=True, slots=True)
class ArtifactsDocument(Document):
    """The artifacts of the workspace, of a project, or those that match a glob (``artfs ls``)."""

    schema: ClassVar[str] = "artfs.artifacts/1"
    artifacts: Sequence[ArtifactItem]

    @classmethod
    def of(cls, artifacts: Iterable[ArtifactInfo]) -> ArtifactsDocument:
        """Return the document of the artifacts, in their order."""
        return cls([ArtifactItem.of(artifact) for artifact in artifacts])


@dataclass(frozen=True, slots=True)
class ArtifactTypeDocument(Document):
    """The type that an artifact was given (``artfs artifact set-type``)."""

    schema: ClassVar[str] = "artfs.artifact_type/1"
    artifact: str
    type: str


@dataclass(frozen=True, slots=True)
class ArtifactNameDocument(Document):
    """The new name of an artifact; ``was`` is the old one (``artfs artifact rename``)."""

    schema: ClassVar[str] = "artfs.artifact_name/1"
    artifact: str
    was: str


@dataclass(frozen=True, slots=True)
class ArtifactDescriptionDocument(Document):
    """The new description of an artifact (``artfs artifact describe``)."""

    schema: ClassVar[str] = "artfs.artifact_description/1"
    artifact: str
    description: str
