"""`Api`: reading artifacts and runs without a run of one's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from artfs.tracking.absent import absent
from artfs.tracking.artifact import Artifact
from artfs.tracking.artifact_collections import ArtifactCollection, ArtifactType, Project, collections_of, is_within
from artfs.tracking.naming import full_names, plain_name
from artfs.tracking.recorded_run import RecordedRun, recorded_run
from artfs.tracking.run_filters import ordered, selected
from artfs.tracking.values import environment
from artfs.tracking.workspaces import the_workspace
from artstore.arguments import text, texts
from artstore.errors import InvalidInputError, NotFoundError
from artstore.workspace import Workspace

__all__ = ["Api"]


class Api:
    """Artifacts and runs of the workspace; ``overrides`` can have a default ``project`` and ``entity``."""

    def __init__(
        self,
        overrides: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        api_key: str | None = None,
        **_: object,
    ) -> None:
        given = overrides or {}
        self._project = str(given.get("project") or environment("PROJECT") or "")
        self.default_entity = str(given.get("entity") or environment("ENTITY") or "")

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name if name.startswith("_") else absent("Api", name))

    def flush(self) -> None:
        """Do nothing: every call reads the workspace as it is."""

    # -- artifacts -------------------------------------------------------------------------------------------------

    def artifact(self, name: str, type: str | None = None) -> Artifact:
        """Return a version by name; raise `NotFoundError`, or `InvalidInputError` for another type."""
        artifact, _ = Artifact.named(the_workspace(), name, self._project)
        if type is not None and artifact.type != type:
            raise InvalidInputError(f"{artifact.qualified_name} has the type {artifact.type!r}, not {type!r}")
        return artifact

    def artifact_exists(self, name: str, type: str | None = None) -> bool:
        """Return whether there is a version of that name, and type."""
        try:
            self.artifact(name, type)
        except (NotFoundError, InvalidInputError):
            return False
        return True

    def artifacts(
        self,
        type_name: str | None = None,
        name: str | None = None,
        order: str | None = None,
        per_page: int | None = None,
        tags: list[str] | None = None,
        start: str | None = None,
        project: str | None = None,
    ) -> list[Artifact]:
        """Return all versions of a type, an artifact, or a project, as far as each is given; newest first.

        ``name`` is one artifact's, as ``NAME`` of the project or ``PROJECT/NAME``; ``order="+created_at"`` returns the
        oldest first.
        """
        if order not in (None, "created_at", "+created_at", "-created_at"):
            raise InvalidInputError(f"versions are ordered by '+created_at' or '-created_at', not {order!r}")
        workspace = the_workspace()
        within = self._within(project)
        tagged = set(texts(tags, "tags"))
        wanted = None if name is None else set(full_names(name, within))
        versions = []
        for info in workspace.artifacts():
            if type_name is not None and info.type != type_name:
                continue
            if info.name not in wanted if wanted is not None else not is_within(info.name, within):
                continue
            versions += workspace.versions(info.name)
        chosen = [version for version in versions if not tagged or tagged <= set(version.tags)]
        oldest_first = order in ("created_at", "+created_at")
        return [
            Artifact.of(workspace, version)
            for version in sorted(chosen, key=lambda version: version.record.serial, reverse=not oldest_first)
        ]

    def artifact_versions(self, type_name: str, name: str, per_page: int = 50) -> list[Artifact]:
        """Return the versions of an artifact, newest first."""
        return self.artifacts(type_name, name)

    def _within(self, project: str | None) -> str:
        """Return the project ``[ENTITY/]PROJECT``, by default the one of this object, as it is named here."""
        if project is None:
            return self._project
        name = plain_name(project)
        first, _, rest = name.partition("/")
        if rest and (first == self.default_entity or not any(is_within(n, name) for n in _names(the_workspace()))):
            return rest
        return name

    def artifact_types(self, project: str | None = None, start: str | None = None) -> list[ArtifactType]:
        """Return the types of a project's artifacts, by name."""
        return Project(the_workspace(), self._within(project)).artifacts_types()

    def artifact_type(self, type_name: str, project: str | None = None) -> ArtifactType:
        """Return a type of a project's artifacts; raise `NotFoundError` if there is none."""
        return ArtifactType(the_workspace(), self._within(project), type_name).load()

    def artifact_collections(
        self,
        project_name: str,
        type_name: str,
        order: str | None = None,
        per_page: int = 50,
        start: str | None = None,
    ) -> list[ArtifactCollection]:
        """Return the artifacts of a type in a project, by name."""
        return collections_of(the_workspace(), self._within(project_name), type_name)

    def artifact_collection(self, type_name: str, name: str) -> ArtifactCollection:
        """Return an artifact by name; raise `NotFoundError`, or `InvalidInputError` for another type."""
        workspace = the_workspace()
        for full in full_names(name, self._project):
            if workspace.has_artifact(full):
                collection = ArtifactCollection.named(workspace, full)
                if collection.type != type_name:
                    raise InvalidInputError(f"{full} has the type {collection.type!r}, not {type_name!r}")
                return collection
        raise NotFoundError(f"there is no artifact {name!r}", hint="list them: artfs ls")

    def artifact_collection_exists(self, name: str, type: str) -> bool:
        """Return whether there is an artifact of that name and type."""
        try:
            self.artifact_collection(type, name)
        except (NotFoundError, InvalidInputError):
            return False
        return True

    def projects(self, entity: str | None = None, per_page: int = 200) -> list[Project]:
        """Return the projects of artifacts and runs, by name."""
        workspace = the_workspace()
        names = {name.rpartition("/")[0] for name in _names(workspace)}
        names |= {record.project for record in workspace.runs.all()}
        return [Project(workspace, name) for name in sorted(names - {""})]

    def project(self, name: str, entity: str | None = None) -> Project:
        """Return a project by name, whether anything is in it or not: a project is a part of names."""
        return Project(the_workspace(), self._within(name))

    create_project = project

    def from_path(self, path: str) -> Any:
        """Return what a path names: ``PROJECT/NAME:v3`` a version, ``PROJECT/runs/ID`` a run, ``PROJECT`` a project."""
        parts = [part for part in text(path, "the path").split("/") if part]
        if ":" in path:
            return self.artifact(path)
        if "runs" in parts[:-1]:
            return self.run(path)
        return self.project(path)

    # -- runs ------------------------------------------------------------------------------------------------------

    def run(self, path: str) -> RecordedRun:
        """Return the run ``[ENTITY/]PROJECT/[runs/]ID``; raise `NotFoundError` if there is none."""
        workspace = the_workspace()
        parts = [part for part in text(path, "the path of a run").split("/") if part]
        if len(parts) > 2 and parts[-2] == "runs":
            del parts[-2]
        titles = ["/".join(parts)] + (["/".join(parts[1:])] if len(parts) > 2 else [])
        if len(parts) == 1 and self._project:
            titles.insert(0, f"{self._project}/{parts[0]}")
        for title in titles[:-1]:
            try:
                return recorded_run(workspace, title)
            except NotFoundError:
                continue
        return recorded_run(workspace, titles[-1])

    def runs(
        self,
        path: str | None = None,
        filters: Mapping[str, Any] | None = None,
        order: str = "-created_at",
        per_page: int = 50,
        include_sweeps: bool = True,
        lazy: bool = True,
    ) -> list[RecordedRun]:
        """Return the runs, or those of ``[ENTITY/]PROJECT``, newest first.

        ``filters`` and ``order`` are as in wandb; `artfs.tracking.run_filters` lists what they know, and anything else
        raises `InvalidInputError`.
        """
        workspace = the_workspace()
        project = plain_name(path) if path is not None else self._project or None
        records = workspace.runs.all(project)
        if project is not None and not records and "/" in project:
            records = workspace.runs.all(project.partition("/")[2])
        return ordered(selected((RecordedRun(workspace, record) for record in records), filters), order)


def _names(workspace: Workspace) -> Sequence[str]:
    return [info.name for info in workspace.artifacts()]
