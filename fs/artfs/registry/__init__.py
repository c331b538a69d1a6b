"""The chain registry: models and preprocessors found by how they were made.

    errors       the errors, each with the builtin that a caller would catch
    chains       `OperatorChain`: how an artifact was made, as text with one spelling
    estimators   the chain of a scikit-learn estimator
    ids          ids of artifacts
    naming       the names of artifacts in a workspace
    records      `ArtifactRecord`: what is known of an artifact, and its file `record.json`
    stored       records as metadata of versions, by which they are found
    values       parameters and metrics become JSON
    metrics      whether a small or a large value of a metric is better
    workspaces   the workspace that keeps them
    lookup       finding
    dependences  what artifacts were made from
    payloads     an object in a file, with its digest
    sources      the folders `sources` of a version
    registering  adding, one by one or many in one transaction
    running      runs, and what failed ones left
    plain_yaml   YAML from anywhere, bounded
    manifests    records between runs and workspaces
    cleaning     deleting and counting
    exporting    bundles of artifacts, and the best ones under names of their own
    bundles      what a bundle has, checked
    importing    bundles from elsewhere
    registry     `ArtifactRegistry`: all of these
    serializers  how objects become payloads, and what may be loaded
    trust        the MAC of payloads that this user wrote
    predictions  `PredictionCatalog`: what models predicted, by scores
    loader       `ArtifactLoader`: objects, each loaded once
    library      `LibraryManager`: templates and trained pipelines under names of their own

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
        PredictionError,
        RecordError,
        UnknownArtifactError,
        UnknownMetricError,
        UnknownPredictionError,
    )
    from artfs.registry.ids import generate_artifact_id_v3, is_v3_artifact_id, parse_artifact_id_v3
    from artfs.registry.library.entries import LibraryEntry, LibraryKind
    from artfs.registry.library.manager import LibraryManager
    from artfs.registry.loader import ArtifactLoader
    from artfs.registry.predictions import PredictionCatalog
    from artfs.registry.records import ArtifactRecord, ArtifactType, MetaModelConfig
    from artfs.registry.registry import ArtifactRegistry
    from artfs.registry.serializers import register_serializer
    from artfs.registry.serializers.errors import (
        MalformedPayloadError,
        MissingLibraryError,
        PickleWarning,
        UnknownFormatError,
        UnserializableError,
        UntrustedError,
        VersionMismatchError,
        VersionMismatchWarning,
    )

__all__ = [
    "AmbiguousIdError",
    "ArtifactIdError",
    "ArtifactLoader",
    "ArtifactRecord",
    "ArtifactRegistry",
    "ArtifactType",
    "ChainConflictError",
    "ChainSyntaxError",
    "DeferralError",
    "DependencyError",
    "LibraryEntry",
    "LibraryKind",
    "LibraryManager",
    "MalformedPayloadError",
    "MetaModelConfig",
    "MissingDependencyError",
    "MissingLibraryError",
    "OperatorChain",
    "OperatorNode",
    "PickleWarning",
    "PredictionCatalog",
    "PredictionError",
    "RecordError",
    "UnknownArtifactError",
    "UnknownFormatError",
    "UnknownMetricError",
    "UnknownPredictionError",
    "UnserializableError",
    "UntrustedError",
    "VersionMismatchError",
    "VersionMismatchWarning",
    "compute_chain_hash",
    "generate_artifact_id_v3",
    "is_v3_artifact_id",
    "parse_artifact_id_v3",
    "register_serializer",
]

_HOME: Final = {
    "AmbiguousIdError": "errors",
    "ArtifactIdError": "errors",
    "ArtifactLoader": "loader",
    "ArtifactRecord": "records",
    "ArtifactRegistry": "registry",
    "ArtifactType": "records",
    "ChainConflictError": "errors",
    "ChainSyntaxError": "errors",
    "DeferralError": "errors",
    "DependencyError": "errors",
    "LibraryEntry": "library.entries",
    "LibraryKind": "library.entries",
    "LibraryManager": "library.manager",
    "MalformedPayloadError": "serializers.errors",
    "MetaModelConfig": "records",
    "MissingDependencyError": "errors",
    "MissingLibraryError": "serializers.errors",
    "OperatorChain": "chains",
    "OperatorNode": "chains",
    "PickleWarning": "serializers.errors",
    "PredictionCatalog": "predictions",
    "PredictionError": "errors",
    "RecordError": "errors",
    "UnknownArtifactError": "errors",
    "UnknownFormatError": "serializers.errors",
    "UnknownMetricError": "errors",
    "UnknownPredictionError": "errors",
    "UnserializableError": "serializers.errors",
    "UntrustedError": "serializers.errors",
    "VersionMismatchError": "serializers.errors",
    "VersionMismatchWarning": "serializers.errors",
    "compute_chain_hash": "chains",
    "generate_artifact_id_v3": "ids",
    "is_v3_artifact_id": "ids",
    "parse_artifact_id_v3": "ids",
    "register_serializer": "serializers",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'artfs.registry' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"artfs.registry.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
