"""Ids of artifacts: ``PIPELINE$HASH:FOLD``, and the older form ``PIPELINE[:BRANCH]:STEP:FOLD``.

The fold is ``all``, for what all folds share, or a number.  An id is split at its last ``$``, so a pipeline's id may
have one.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from artfs.registry.chains import OperatorChain, compute_chain_hash, optional_number
from artfs.registry.errors import ArtifactIdError
from artstore.arguments import shown_text, shown_value

__all__ = [
    "ALL",
    "ArtifactId",
    "fold_label",
    "generate_artifact_id_v3",
    "is_v3_artifact_id",
    "parse_artifact_id",
    "parse_artifact_id_v3",
]

ALL: Final = "all"
"""The fold of what all folds share."""
_FOLD: Final = re.compile(r"all|0|[1-9][0-9]{0,8}", re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]{1,9}", re.ASCII)
_HASH: Final = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


class ArtifactId(NamedTuple):
    """An id in parts; one of the older form has no ``hash`` but a step, and a branch if that is written."""

    pipeline: str
    hash: str
    fold: int | None
    step: int | None = None
    branch: list[int] | None = None

    @property
    def is_older(self) -> bool:
        """Whether it is of the older form."""
        return not self.hash

    @property
    def middle(self) -> str:
        """What stands between pipeline and fold, as a component of a name."""
        if self.hash:
            return self.hash
        return "-".join(map(str, [*(self.branch or ()), self.step]))


def fold_label(fold: int | None) -> str:
    """Return a fold as it is written in ids and names."""
    return ALL if fold is None else str(fold)


def generate_artifact_id_v3(pipeline_id: str, chain: OperatorChain | str, fold_id: int | None = None) -> str:
    """Return the id of what a chain makes in a pipeline, for one fold or for all."""
    return f"{pipeline_id}${compute_chain_hash(chain)}:{fold_label(optional_number(fold_id, 'a fold'))}"


def parse_artifact_id_v3(artifact_id: str) -> tuple[str, str, int | None]:
    """Return (pipeline, hash, fold) of an id; the fold is None for all.  Raises `ArtifactIdError` (a ValueError)."""
    if isinstance(artifact_id, str):
        pipeline, dollar, rest = artifact_id.rpartition("$")
        digits, colon, fold = rest.rpartition(":")
        if dollar and colon and pipeline and _HASH.fullmatch(digits) and _FOLD.fullmatch(fold):
            return pipeline, digits, None if fold == ALL else int(fold)
    raise _refusal(artifact_id)


def is_v3_artifact_id(artifact_id: object) -> bool:
    """Return whether text is an id of the present form."""
    try:
        parse_artifact_id_v3(artifact_id)  # type: ignore[arg-type]
    except ArtifactIdError:
        return False
    return True


def parse_artifact_id(artifact_id: str) -> ArtifactId:
    """Return an id of either form in parts; raise `ArtifactIdError` for text that is none."""
    if isinstance(artifact_id, str) and "$" not in artifact_id:
        pipeline, *middle, fold = artifact_id.split(":") if ":" in artifact_id else ("", "")
        if pipeline and middle and _FOLD.fullmatch(fold) and all(_NUMBER.fullmatch(part) for part in middle):
            *branch, step = map(int, middle)
            return ArtifactId(pipeline, "", None if fold == ALL else int(fold), step, branch or None)
        raise _refusal(artifact_id)
    return ArtifactId(*parse_artifact_id_v3(artifact_id))


def _refusal(artifact_id: object) -> ArtifactIdError:
    shown = shown_text(artifact_id) if isinstance(artifact_id, str) else shown_value(artifact_id)
    return ArtifactIdError(
        f"{shown} is not an artifact's id", hint="write PIPELINE$HASH:FOLD, such as 0001_pls$a1b2c3d4e5f6:0 or ...:all"
    )
