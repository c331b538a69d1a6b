"""The files of an artifact."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from artstore.errors import InvalidInputError

if TYPE_CHECKING:
    from artfs.tracking.artifact import Artifact

__all__ = ["ArtifactEntry"]


class ArtifactEntry:
    """One file of an artifact: ``path`` and ``name`` inside it, ``size`` in bytes, ``digest`` in hex.

    The digest of a file whose bytes stay outside is that of what is kept of it.
    """

    def __init__(self, artifact: Artifact, path: str, size: int, digest: str, is_reference: bool = False) -> None:
        self._is_reference = is_reference
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

    ref_url = ref

    def ref_target(self) -> str:
        """Return the URI of a file whose bytes stay outside; raise `InvalidInputError` for any other."""
        if not self._is_reference:
            raise InvalidInputError(f"{self.path!r} refers to nothing: it is stored", hint="ref() names it")
        return self._artifact.target(self.digest)
