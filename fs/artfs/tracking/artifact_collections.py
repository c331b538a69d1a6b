"""Projects, types and artifacts as `Api` shows them: wandb calls the series of versions a collection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from artfs.tracking.naming import short_name
from artfs.tracking.values import iso
from artstore.errors import NotFoundError
from artstore.names import version_label
from artstore.workspace import ArtifactInfo, Workspace

if TYPE_CHECKING:
    from artfs.tracking.artifact import Artifact

__all__ = ["ArtifactCollection", "ArtifactType", "Project", "collections_of", "is_within"]


def is_within(name: str, project: str) -> bool:
    """Return whether an artifact is in a project or in one below it; every one is in the empty project."""
    return not project or name.startswith(f"{project}/")


def collections_of(workspace: Workspace, project: str = "", type: str | None = None) -> list[ArtifactCollection]:
    """Return the artifacts of a project, or those of one type, by name."""
    return [
        ArtifactCollection(workspace, info)
        for info in workspace.artifacts()
        if is_within(info.name, project) and (type is None or info.type == type)
    ]


class ArtifactCollection:
    """A series of versions under one name."""

    def __init__(self, workspace: Workspace, info: ArtifactInfo) -> None:
        self._workspace = workspace
        self._info = info
        self.description: str = info.description

    @classmethod
    def named(cls, workspace: Workspace, full: str) -> ArtifactCollection:
        """Return the artifact of a full name; raise `NotFoundError` if there is none."""
        for info in workspace.artifacts():
            if info.name == full:
                return cls(workspace, info)
        raise NotFoundError(f"there is no artifact {full!r}", hint="list them: artfs ls")

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"<ArtifactCollection {self._info.name}>"

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, ArtifactCollection)
            and self._info.name == other._info.name
            and self._workspace == other._workspace
        )

    def __hash__(self) -> int:
        return hash(self._info.name)

    @property
    def name(self) -> str:
        """Its name, without its project."""
        return short_name(self._info.name)

    @property
    def qualified_name(self) -> str:
        """Its full name."""
        return self._info.name

    id = qualified_name

    @property
    def project(self) -> str:
        """The project that it is in, or an empty text."""
        return self._info.name.rpartition("/")[0]

    @property
    def entity(self) -> str:
        """Empty: a workspace has one owner."""
        return ""

    @property
    def type(self) -> str | None:
        """The type of its versions."""
        return self._info.type

    @property
    def aliases(self) -> list[str]:
        """All aliases of its versions."""
        found = {alias for version in self._workspace.versions(self._info.name) for alias in version.aliases}
        return sorted(found)

    @property
    def tags(self) -> list[str]:
        """All tags of its versions."""
        return sorted({tag for version in self._workspace.versions(self._info.name) for tag in version.tags})

    @property
    def created_at(self) -> str:
        """When it was made: ISO 8601, UTC, with ``Z``."""
        return iso(self._info.created_at)

    @property
    def updated_at(self) -> str:
        """When its latest version was made."""
        times = [version.created_at for version in self._workspace.versions(self._info.name)]
        return iso(max(times)) if times else self.created_at

    def is_sequence(self) -> bool:
        """Return True: every artifact is a series of numbered versions."""
        return True

    def artifacts(self, per_page: int = 50, start: str | None = None) -> list[Artifact]:
        """Return its versions, newest first."""
        from artfs.tracking.artifact import Artifact

        versions = self._workspace.versions(self._info.name)
        return [Artifact.of(self._workspace, version) for version in reversed(versions)]

    versions = artifacts

    def save(self) -> None:
        """Keep a changed description."""
        self._workspace.describe(self._info.name, self.description)

    def change_type(self, new_type: str) -> None:
        """Give its versions another type."""
        self._workspace.set_type(self._info.name, new_type)
        self._info = self.named(self._workspace, self._info.name)._info

    def delete(self) -> None:
        """Delete all of its versions; they can be undeleted for a while.  Raises what `Workspace.delete` raises."""
        labels = [f"{self._info.name}:{version_label(v.number)}" for v in self._workspace.versions(self._info.name)]
        if labels:
            self._workspace.delete(*labels, force=True)


class ArtifactType:
    """The artifacts of one type in a project."""

    def __init__(self, workspace: Workspace, project: str, name: str) -> None:
        self._workspace = workspace
        self._project = project
        self.name = self.id = name

    def __repr__(self) -> str:
        return f"<ArtifactType {self.name}>"

    def load(self) -> ArtifactType:
        """Return it; raise `NotFoundError` if no artifact has the type."""
        if not self.collections():
            raise NotFoundError(f"there is no artifact of type {self.name!r}", hint="list them: artfs ls")
        return self

    def collections(
        self, filters: Any = None, order: str | None = None, per_page: int = 50, start: str | None = None
    ) -> list[ArtifactCollection]:
        """Return the artifacts of this type, by name."""
        return collections_of(self._workspace, self._project, self.name)

    def collection(self, name: str) -> ArtifactCollection:
        """Return one of them by name; raise `NotFoundError` if there is none."""
        for each in self.collections():
            if name in (each.name, each.qualified_name):
                return each
        raise NotFoundError(f"there is no artifact {name!r} of type {self.name!r}", hint="list them: artfs ls")


class Project:
    """A project: a leading part of the names of artifacts, and of runs."""

    def __init__(self, workspace: Workspace, name: str) -> None:
        self._workspace = workspace
        self.name = self.id = name
        self.entity = ""
        self.url: str | None = None

    def __repr__(self) -> str:
        return f"<Project {self.name}>"

    @property
    def path(self) -> list[str]:
        """The components of its name."""
        return self.name.split("/")

    def collections(
        self, filters: Any = None, order: str | None = None, per_page: int = 50
    ) -> list[ArtifactCollection]:
        """Return its artifacts, by name."""
        return collections_of(self._workspace, self.name)

    def artifacts_types(self, per_page: int = 50) -> list[ArtifactType]:
        """Return the types of its artifacts, by name."""
        types = sorted({each.type for each in self.collections() if each.type is not None})
        return [ArtifactType(self._workspace, self.name, name) for name in types]
