"""The workspace of this process's runs and artifacts."""

from __future__ import annotations

from pathlib import Path

from artfs.tracking.disabled import DisabledWorkspace
from artfs.tracking.values import environment, logger
from artstore.errors import WorkspaceNotFoundError
from artstore.locate import find_workspace
from artstore.workspace import Workspace, open_workspace

__all__ = ["is_disabled", "the_workspace"]


_disabled: dict[Path, DisabledWorkspace] = {}


def is_disabled() -> bool:
    """Return whether nothing is recorded: by the mode of the open run, else by the environment."""
    from artfs.tracking import active_run  # it begins runs in what this module returns

    run = active_run.run()
    return environment("MODE") == "disabled" if run is None else run.disabled


def the_workspace(*, disabled: bool | None = None) -> Workspace:
    """Open the workspace that the command line uses; if there is none, create it and log that.

    In the mode ``disabled`` nothing is created, and what is returned records nothing.
    """
    if is_disabled() if disabled is None else disabled:
        return _disabled.setdefault(find_workspace(None), DisabledWorkspace())
    try:
        return open_workspace()
    except WorkspaceNotFoundError:
        pass
    workspace = open_workspace(create=True)
    logger.warning("artfs: created the workspace %s", workspace.path)
    return workspace
