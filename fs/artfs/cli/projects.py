"""Projects that commands are given."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from artstore.workspace import Workspace

__all__ = ["require_project"]


def require_project(workspace: Workspace, name: str | None) -> None:
    """Raise NotFoundError if a project is named and no artifact is in it."""
    from artstore.errors import NotFoundError
    from artstore.names import check_name

    if name is None or workspace.is_project(check_name(name)):
        return
    if workspace.has_artifact(name):
        raise NotFoundError(f"{name!r} is an artifact, not a project", hint=f"its versions: artfs ls {name}")
    raise NotFoundError(f"there is no project {name!r}", hint="list what exists: artfs ls")
