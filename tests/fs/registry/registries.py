"""A registry for each test, of plain values: what is registered is JSON."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from artfs.registry import ArtifactRecord, ArtifactRegistry
from artstore.storage.environment import Environment

__all__ = ["add", "make_registry", "registry"]


def make_registry(folder: Path, dataset: str = "wheat", pipeline: str = "0001_pls") -> ArtifactRegistry:
    """Return a registry of another data set or pipeline in the same folder."""
    return ArtifactRegistry(folder / "workspace", dataset, pipeline)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[ArtifactRegistry]:
    """Return a registry whose workspace does not exist yet."""
    made = make_registry(tmp_path)
    yield made
    if (opened := made._existing()) is not None:
        opened.close()
        Environment.of(opened.path).drop()


def add(registry: ArtifactRegistry, value: object, chain: str = "s1.A>s3.B", **options: object) -> ArtifactRecord:
    """Register a value as a model of a chain's last step."""
    step = int(chain.rpartition(">")[2].rpartition("+")[2].partition(".")[0][1:])
    return registry.register_with_chain(value, chain, "model", step, **options)  # type: ignore[arg-type]
