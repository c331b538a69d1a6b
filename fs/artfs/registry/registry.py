"""`ArtifactRegistry`: registered models and preprocessors of one data set, kept in a workspace."""

from __future__ import annotations

from artfs.registry.importing import Importing

__all__ = ["ArtifactRegistry"]


class ArtifactRegistry(Importing):
    """The artifacts of a data set: registered by the chain of operators that made them, and found by it.

        registry = ArtifactRegistry("workspace", "wheat", "0001_pls")
        record = registry.register_with_chain(model, "s1.MinMaxScaler>s3.PLSRegression", "model", 3, fold_id=0)
        registry.resolve(record.artifact_id)

    ``workspace`` is a `Workspace`, the folder of one, or any folder, whose workspace is then in ``.artfs``; the first
    registration makes it.  ``pipeline_id`` is the pipeline that is meant if none is named.  Every registry sees what
    others have registered; it keeps nothing in memory.  One object is for one thread.

    Raises `InvalidNameError` (a ValueError) for an id of a data set or pipeline that cannot be a name.
    """
