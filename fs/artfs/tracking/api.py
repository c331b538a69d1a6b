"""`Api`: reading artifacts and runs without a run of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from artfs.tracking.artifact import Artifact
from artfs.tracking.run import Run, recorded_run
from artfs.tracking.values import environment
from artfs.tracking.workspaces import the_workspace
from artstore.arguments import texts
from artstore.errors import InvalidInputError, NotFoundError

__all__ = ["Api"]


class Api:
    """Artifacts and runs of the workspace; ``overrides`` can have a default ``project``."""

    def __init__(self, overrides: Mapping[str, Any] | None = None, timeout: float | None = None, **_: object) -> None:
        self._project = str((overrides or {}).get("project") or environment("PROJECT") or "")

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
        project: str | None = None,
        per_page: int | None = None,
        tags: list[str] | None = None,
    ) -> list[Artifact]:
        """Return all versions of a type, an artifact, or a project, as far as each is given; newest first.

        ``name`` is one artifact's, as ``NAME`` of the project or ``PROJECT/NAME``.
        """
        workspace = the_workspace()
        within = project if project is not None else self._project
        tagged = set(texts(tags, "tags"))
        versions = []
        for info in workspace.artifacts():
            if type_name is not None and info.type != type_name:
                continue
            if name is not None and info.name not in ({name, f"{within}/{name}"} if within else {name}):
                continue
            if within and name is None and not info.name.startswith(f"{within}/"):
                continue
            versions += workspace.versions(info.name)
        chosen = [version for version in versions if not tagged or tagged <= set(version.tags)]
        return [
            Artifact.of(workspace, version)
            for version in sorted(chosen, key=lambda version: version.record.serial, reverse=True)
        ]

    def run(self, path: str) -> Run:
        """Return the run ``[ENTITY/]PROJECT/ID``; raise `NotFoundError` if there is none."""
        workspace = the_workspace()
        parts = path.strip("/").split("/")
        titles = [path.strip("/"), "/".join(parts[1:])] if len(parts) > 2 else [path.strip("/")]
        if len(parts) == 1 and self._project:
            titles.insert(0, f"{self._project}/{parts[0]}")
        for title in titles[:-1]:
            try:
                return recorded_run(workspace, title)
            except NotFoundError:
                continue
        return recorded_run(workspace, titles[-1])

    def runs(self, path: str | None = None, per_page: int = 50) -> list[Run]:
        """Return the runs, or those of ``[ENTITY/]PROJECT``, newest first."""
        workspace = the_workspace()
        project = path if path is not None else self._project or None
        records = workspace.runs.all(project)
        if project is not None and not records and "/" in project:
            records = workspace.runs.all(project.partition("/")[2])
        return [Run(workspace, record, None) for record in reversed(records)]
