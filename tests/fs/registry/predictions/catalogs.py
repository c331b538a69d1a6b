"""A catalogue for each test, and models to predict with."""

from __future__ import annotations

from typing import Any

import pytest

from artfs.registry import ArtifactRecord, ArtifactRegistry, PredictionCatalog
from fs.registry.registries import add

__all__ = ["catalog", "given", "model"]


@pytest.fixture
def catalog(registry: ArtifactRegistry) -> PredictionCatalog:
    """Return the catalogue of the same folder as `registry`."""
    return PredictionCatalog(registry.folder)


@pytest.fixture
def model(registry: ArtifactRegistry) -> ArtifactRecord:
    """Return a registered model of all folds."""
    return add(registry, [0])


def given(model: ArtifactRecord, /, **changes: Any) -> dict[str, Any]:
    """Return the arguments of a prediction of a model, with changes."""
    return {
        "pipeline_id": "0001",
        "model": model.artifact_id,
        "fold_id": model.fold_id,
        "partition": "test",
        "scores": {"rmse": 0.5},
        **changes,
    }
