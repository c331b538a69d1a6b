"""Which workspace and which data sets of the registry a command means."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from artfs.cli.session import Session

if TYPE_CHECKING:
    from artfs.registry.records import ArtifactRecord
    from artfs.registry.registry import ArtifactRegistry
    from artstore.workspace import Workspace

__all__ = ["one_artifact", "only_registry", "registries", "registry_workspace"]

_RUNS = "runs"


def registry_workspace(session: Session) -> Workspace:
    """Open the selected workspace, or that in the folder which a registry was given."""
    from artfs.registry.workspaces import FOLDER
    from artstore.errors import WorkspaceNotFoundError
    from artstore.locate import find_workspace

    try:
        return session.open()
    except WorkspaceNotFoundError:
        inner = find_workspace(session.workspace) / FOLDER
        if not inner.is_dir():
            raise
        session.workspace = os.fspath(inner)
        return session.open()


def registries(session: Session, dataset: str | None) -> list[ArtifactRegistry]:
    """Return the registries of one data set, which must have artifacts, or of all."""
    from artfs.registry.registry import ArtifactRegistry
    from artstore.errors import NotFoundError

    workspace = registry_workspace(session)
    names = workspace.relations.names_below(_RUNS)
    if dataset is not None and dataset not in names:
        raise NotFoundError(
            f"nothing is registered of the data set {dataset!r}", hint="list them: artfs registry stats"
        )
    folder = workspace.path.parent if workspace.path.name == ".artfs" else workspace.path
    return [ArtifactRegistry(folder, name) for name in ([dataset] if dataset is not None else names)]


def one_artifact(
    session: Session, artifact_id: str, dataset: str | None, number: int | None
) -> tuple[ArtifactRegistry, ArtifactRecord]:
    """Return the one record that an id means, and its registry."""
    from artfs.registry.errors import AmbiguousIdError, UnknownArtifactError
    from artstore.arguments import shown_text

    every = registries(session, dataset)
    found = [(each, record) for each in every if (record := each.resolve(artifact_id, version=number))]
    if not found:
        raise UnknownArtifactError(
            f"no registered artifact has the id {shown_text(artifact_id)}", hint="list them: artfs registry ls"
        )
    if len(found) > 1:
        names = [each.dataset for each, _ in found]
        raise AmbiguousIdError(f"the data sets {', '.join(names)} have {artifact_id!r}", hint="name one with --dataset")
    return found[0]


def only_registry(session: Session, dataset: str | None) -> ArtifactRegistry:
    """Return the registry of the data set, or of the only one that has artifacts."""
    from artstore.errors import InvalidInputError, NotFoundError

    found = registries(session, dataset)
    if not found:
        raise NotFoundError("nothing is registered in this workspace")
    if len(found) > 1:
        names = ", ".join(each.dataset for each in found)
        raise InvalidInputError(f"there are several data sets: {names}", hint="name one with --dataset")
    return found[0]
