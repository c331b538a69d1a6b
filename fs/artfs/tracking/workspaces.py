"""The workspace of this process's runs and artifacts."""

from __future__ import annotations

import sys

from artstore.errors import ExistsError, WorkspaceNotFoundError
from artstore.locate import find_workspace
from artstore.workspace import Workspace, init_workspace, open_workspace

__all__ = ["the_workspace"]


def the_workspace() -> Workspace:
    """Open the workspace that the command line uses; if there is none, create it and print that."""
    try:
        return open_workspace()
    except WorkspaceNotFoundError:
        pass
    try:
        workspace = init_workspace(find_workspace(None))
    except ExistsError:
        return open_workspace()  # another process made it at this moment
    print(f"artfs: created the workspace {workspace.path}", file=sys.stderr)
    return workspace
