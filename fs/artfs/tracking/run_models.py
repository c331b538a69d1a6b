"""Models of a run: artifacts of type ``model`` that are logged, used and linked by a path."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from artfs.tracking.artifact import Artifact
from artfs.tracking.naming import safe_name
from artstore.errors import RefusedError

if TYPE_CHECKING:
    from artstore.records.catalogue import RunRecord

__all__ = ["RunModels"]

_REGISTRY: Final = "model-registry"
_MODEL_TYPE: Final = "model"


class RunModels:
    """The part of `artfs.tracking.run.Run` that handles models."""

    _record: RunRecord

    def log_artifact(
        self,
        artifact_or_path: Artifact | str | os.PathLike[str],
        name: str | None = None,
        type: str | None = None,
        aliases: Sequence[str] | None = None,
    ) -> Artifact:
        """Make an artifact, or what is at a path, a version; the class that this is a part of does."""
        raise NotImplementedError

    def use_artifact(self, artifact_or_name: Artifact | str) -> Artifact:
        """Return a version by name, and record that the run uses it; the class that this is a part of does."""
        raise NotImplementedError

    def log_model(
        self, path: str | os.PathLike[str], name: str | None = None, aliases: Sequence[str] | None = None
    ) -> Artifact:
        """Log a file or folder as an artifact of type ``model``, by default named after the run and the path."""
        base = os.path.basename(os.path.abspath(os.fspath(path)))
        return self.log_artifact(path, name or safe_name(f"run-{self._record.id}-{base}"), _MODEL_TYPE, aliases)

    def use_model(self, name: str) -> str:
        """Record that the run uses a model, and return the path of its only file, or of its folder.

        Raises `RefusedError` if the artifact is not of a type with ``model`` in its name.
        """
        artifact = self.use_artifact(name)
        if _MODEL_TYPE not in (artifact.type or ""):
            raise RefusedError(
                f"{artifact.qualified_name} has the type {artifact.type!r}, not 'model'", hint="use use_artifact"
            )
        return artifact.file() if artifact.file_count == 1 else artifact.download()

    def link_model(
        self,
        path: str | os.PathLike[str],
        registered_model_name: str,
        name: str | None = None,
        aliases: Sequence[str] | None = None,
    ) -> Artifact:
        """Log a model and link it as the next version of ``model-registry/REGISTERED_MODEL_NAME``; return the link."""
        return self.log_model(path, name).link(f"{_REGISTRY}/{registered_model_name}", aliases)
