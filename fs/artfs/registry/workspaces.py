"""The workspace that keeps a registry's artifacts: opened at the first use, made by the first registration.

It is the workspace that was given, the workspace in the folder that was given, or ``.artfs`` in any other folder.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from artfs.registry.naming import check_dataset, check_pipeline, dataset_project
from artstore.arguments import raw_path
from artstore.errors import WorkspaceNotFoundError
from artstore.workspace import Workspace, open_workspace

__all__ = ["FOLDER", "FolderWorkspace", "RegistryWorkspace"]

FOLDER: Final = ".artfs"
"""The workspace in a folder that is none itself."""


class FolderWorkspace:
    """The workspace in a folder; ``folder`` is that folder, or the workspace's own."""

    def __init__(self, workspace: Workspace | str | os.PathLike[str]) -> None:
        self._opened: Workspace | None = None
        if isinstance(workspace, Workspace):
            self._opened = workspace
            self._folder = workspace.path
        else:
            raw_path(workspace)
            self._folder = Path(os.path.abspath(os.path.expanduser(os.fspath(workspace))))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} in {self._folder}>"

    @property
    def workspace(self) -> Workspace:
        """The workspace, which is made if there is none yet."""
        opened = self._existing()
        if opened is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            opened = self._opened = open_workspace(self._folder / FOLDER, create=True)
        return opened

    @property
    def folder(self) -> Path:
        """The folder that was given; that of the workspace if that was given."""
        return self._folder

    def _existing(self) -> Workspace | None:
        """Return the workspace if there is one: reading makes none."""
        if self._opened is not None:
            return self._opened
        for place in (self._folder, self._folder / FOLDER):
            if self._opened is None:
                try:
                    self._opened = open_workspace(place)
                except WorkspaceNotFoundError:
                    continue
        return self._opened


class RegistryWorkspace(FolderWorkspace):
    """A data set in a workspace, and the pipeline that is meant if none is named."""

    def __init__(self, workspace: Workspace | str | os.PathLike[str], dataset: str, pipeline_id: str = "") -> None:
        self._dataset = check_dataset(dataset)
        self._pipeline = check_pipeline(pipeline_id) if pipeline_id else ""
        super().__init__(workspace)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._dataset!r} in {self._folder}>"

    @property
    def dataset(self) -> str:
        """The data set."""
        return self._dataset

    @property
    def pipeline_id(self) -> str:
        """The pipeline that is meant if none is named; empty for none."""
        return self._pipeline

    @property
    def project(self) -> str:
        """The project of the data set's artifacts."""
        return dataset_project(self._dataset)
