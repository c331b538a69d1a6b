"""What a version was made from, and what was made from it: the part of `artfs.tracking.artifact.Artifact`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from artfs.tracking.artifact_collections import ArtifactCollection
from artfs.tracking.naming import link_target, short_name
from artfs.tracking.values import iso

if TYPE_CHECKING:
    from artfs.tracking.artifact import Artifact
    from artfs.tracking.run import Run
    from artstore.queries.graph import GraphNode
    from artstore.queries.versions import Version
    from artstore.workspace import Workspace

__all__ = ["ArtifactLineage"]


class ArtifactLineage:
    """The sources, links and runs of a version."""

    @property
    def _workspace(self) -> Workspace:
        raise NotImplementedError

    @property
    def qualified_name(self) -> str:
        """Its full name."""
        raise NotImplementedError

    def _logged(self, what: str) -> Version:
        raise NotImplementedError

    def is_draft(self) -> bool:
        """Return whether it has not been logged."""
        raise NotImplementedError

    def save(self) -> None:
        """Make it a version, or keep the changes of its description."""
        raise NotImplementedError

    def link(self, target_path: str, aliases: Sequence[str] | None = None) -> Artifact:
        """Make the version the next one of another artifact, ``PROJECT/NAME``, too; return that.

        One that was not logged is logged first, by the open run if there is one.
        """
        if self.is_draft():
            self._log()
        version = self._logged("version to link")
        target = link_target(self._workspace, target_path)
        linked = self._workspace.link(version.name, target, aliases=aliases or ())
        return self._named(linked.name)

    def _log(self) -> None:
        from artfs.tracking.active_run import run

        current = run()
        if current is None:
            self.save()
        else:
            current.log_artifact(self)  # type: ignore[arg-type]  # an Artifact has this part

    @property
    def is_link(self) -> bool:
        """Whether it is a link to a version of another artifact."""
        return self.source_qualified_name != self.qualified_name

    @property
    def source_name(self) -> str:
        """The name of the version that it is a link to, or its own."""
        return short_name(self.source_qualified_name)

    @property
    def source_qualified_name(self) -> str:
        """The full name of the version that it is a link to, or its own."""
        return next((node.name for node in self._neighbours("linked as", up=True)), self._logged("source").name)

    @property
    def linked_names(self) -> list[str]:
        """The full names of the versions that are links to this one."""
        return [node.name for node in self._neighbours("linked as", up=False) if node.state == "live"]

    @property
    def linked_artifacts(self) -> list[Artifact]:
        """The versions that are links to this one."""
        return [self._named(name) for name in self.linked_names]

    @property
    def source_artifact(self) -> Artifact:
        """The version that it is a link to, or itself."""
        return self._named(self.source_qualified_name)

    @property
    def source_version(self) -> str:
        """The ``v3`` of the version that it is a link to, or its own."""
        return self.source_qualified_name.rpartition(":")[2]

    @property
    def source_project(self) -> str:
        """The project of the version that it is a link to, or its own."""
        return self.source_qualified_name.rpartition(":")[0].rpartition("/")[0]

    @property
    def source_entity(self) -> str:
        """Empty: a workspace has one owner."""
        return ""

    @property
    def source_collection(self) -> ArtifactCollection:
        """The series of versions of the version that it is a link to, or its own."""
        return ArtifactCollection.named(self._workspace, self.source_qualified_name.rpartition(":")[0])

    @property
    def linked_at(self) -> str | None:
        """When it was linked: ISO 8601, UTC, with ``Z``; None if it is not a link."""
        return iso(self._logged("time").created_at) if self.is_link else None

    @property
    def history_step(self) -> int | None:
        """None: the step at which a run logged a version is not recorded."""
        return None

    def _named(self, name: str) -> Artifact:
        from artfs.tracking.artifact import Artifact

        return Artifact.of(self._workspace, self._workspace.version(name))

    def _neighbours(self, kind: str, *, up: bool) -> list[GraphNode]:
        """Return what this was made from, or what was made from it, by edges of a kind, in the order of time."""
        graph = self._workspace.lineage(self._logged("lineage").name, up=up, down=not up, depth=1)
        nodes = {node.key: node for node in graph.nodes}
        return [nodes[edge.source if up else edge.target] for edge in graph.edges if edge.kind == kind]

    def logged_by(self) -> Run | None:
        """Return the run that made the version first, or None."""
        return next(iter(self._runs("logged", up=True)), None)

    def used_by(self) -> list[Run]:
        """Return the runs that have used the version."""
        return self._runs("used by", up=False)

    def _runs(self, kind: str, *, up: bool) -> list[Run]:
        from artfs.tracking.recorded_run import recorded_run

        return [recorded_run(self._workspace, node.name) for node in self._neighbours(kind, up=up)]
