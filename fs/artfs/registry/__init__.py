"""The chain registry: models and preprocessors found by how they were made.

    errors       the errors, each with the builtin that a caller would catch
    chains       `OperatorChain`: how an artifact was made, as text with one spelling
    estimators   the chain of a scikit-learn estimator
    ids          ids of artifacts

Importing it loads no library that a model needs; each name is loaded at its first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from artfs.registry.chains import OperatorChain, OperatorNode, compute_chain_hash
    from artfs.registry.errors import (
        AmbiguousIdError,
        ArtifactIdError,
        ChainConflictError,
        ChainSyntaxError,
        DeferralError,
        DependencyError,
        MissingDependencyError,
        RecordError,
        UnknownArtifactError,
    )
    from artfs.registry.ids import generate_artifact_id_v3, is_v3_artifact_id, parse_artifact_id_v3

__all__ = [
    "AmbiguousIdError",
    "ArtifactIdError",
    "ChainConflictError",
    "ChainSyntaxError",
    "DeferralError",
    "DependencyError",
    "MissingDependencyError",
    "OperatorChain",
    "OperatorNode",
    "RecordError",
    "UnknownArtifactError",
    "compute_chain_hash",
    "generate_artifact_id_v3",
    "is_v3_artifact_id",
    "parse_artifact_id_v3",
]

_HOME: Final = {
    "AmbiguousIdError": "errors",
    "ArtifactIdError": "errors",
    "ChainConflictError": "errors",
    "ChainSyntaxError": "errors",
    "DeferralError": "errors",
    "DependencyError": "errors",
    "MissingDependencyError": "errors",
    "OperatorChain": "chains",
    "OperatorNode": "chains",
    "RecordError": "errors",
    "UnknownArtifactError": "errors",
    "compute_chain_hash": "chains",
    "generate_artifact_id_v3": "ids",
    "is_v3_artifact_id": "ids",
    "parse_artifact_id_v3": "ids",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'artfs.registry' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"artfs.registry.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
