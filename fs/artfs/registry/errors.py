"""The errors of the registry, each with the builtin that a caller would catch.

InvalidInputError (ValueError)
├── ChainSyntaxError           text that is no chain; ``position`` is where
├── ArtifactIdError            text that is no id of an artifact
├── AmbiguousIdError           an id, or a question, that several artifacts fit; ``candidates`` lists them
├── ChainConflictError         an id that has another chain already
├── MissingDependencyError     a dependence on what is not registered
├── DependencyError            dependences in a cycle, or too deep
├── RecordError                a record or manifest that is none
├── PredictionError            what cannot be kept as a prediction
├── UnknownMetricError         a metric of which it is unknown whether a small or a large value is better
└── DeferralError              a commit or rollback without a beginning, a second beginning
UnknownArtifactError (KeyError)  an id that a call needs and nothing has
UnknownPredictionError (KeyError)  the id of a prediction that a call needs and nothing has
"""

from __future__ import annotations

import errno
from collections.abc import Sequence

from artstore.errors import ArtfsError, InvalidInputError

__all__ = [
    "AmbiguousIdError",
    "ArtifactIdError",
    "ChainConflictError",
    "ChainSyntaxError",
    "DeferralError",
    "DependencyError",
    "MissingDependencyError",
    "PredictionError",
    "RecordError",
    "UnknownArtifactError",
    "UnknownMetricError",
    "UnknownPredictionError",
]


class ChainSyntaxError(InvalidInputError):
    """Raised for text that the grammar of chains refuses, at the character ``position`` (from 0)."""

    kind = "chain_syntax"

    def __init__(self, message: str, *, hint: str = "", position: int = 0) -> None:
        super().__init__(message, hint=hint)
        self.position = position


class ArtifactIdError(InvalidInputError):
    """Raised for text that is no id of an artifact."""

    kind = "artifact_id"


class AmbiguousIdError(InvalidInputError):
    """Raised where one artifact is meant and several fit; ``candidates`` are their ids."""

    kind = "ambiguous_id"

    def __init__(self, message: str, *, hint: str = "", candidates: Sequence[str] = ()) -> None:
        super().__init__(message, hint=hint)
        self.candidates = list(candidates)


class ChainConflictError(InvalidInputError):
    """Raised for an artifact whose id is that of an artifact with another chain."""

    kind = "chain_conflict"


class MissingDependencyError(InvalidInputError):
    """Raised for a dependence on an artifact that is not registered."""

    kind = "missing_dependency"


class DependencyError(InvalidInputError):
    """Raised for dependences that form a cycle or are nested too deeply."""

    kind = "dependency"


class RecordError(InvalidInputError):
    """Raised for a record or manifest that is none."""

    kind = "record"


class PredictionError(InvalidInputError):
    """Raised for what cannot be kept as a prediction: no scores, lengths that differ, objects in arrays."""

    kind = "prediction"


class UnknownMetricError(InvalidInputError):
    """Raised for a metric of which it is unknown whether a small or a large value is better."""

    kind = "unknown_metric"


class DeferralError(InvalidInputError):
    """Raised for a commit or rollback that was not begun, and for a second beginning."""

    kind = "deferral"


class UnknownArtifactError(ArtfsError, KeyError):
    """Raised for an id that a call needs and no artifact has."""

    kind = "unknown_artifact"
    exit_code = 3
    code = errno.ENOENT


class UnknownPredictionError(ArtfsError, KeyError):
    """Raised for an id that a call needs and no prediction has."""

    kind = "unknown_prediction"
    exit_code = 3
    code = errno.ENOENT
