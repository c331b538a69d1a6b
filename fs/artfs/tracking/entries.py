"""The files of an artifact."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from artfs.tracking.artifact import Artifact

__all__ = ["ArtifactEntry"]


class ArtifactEntry:
    """One file of an artifact: ``path`` and ``name`` inside it, ``size`` in bytes, ``digest`` in hex."""

    def __init__(self, artifact: Artifact, path: str, size: int, digest: str) -> None:
        self._artifact = artifact
        self.path = self.name = path
        self.size = size
        self.digest = digest

    def __repr__(self) -> str:
        return f"<ArtifactEntry {self.path}>"

    def download(self, root: str | os.PathLike[str] | None = None) -> str:
        """Return the path of the file where it can be read; with ``root``, of a copy below that."""
        return os.path.join(self._artifact.download(root, path_prefix=self.path), self.path)

    def ref(self) -> str:
        """Return what names the file: ``artfs://NAME:v3/path``."""
        return f"artfs://{self._artifact.qualified_name}/{self.path}"
