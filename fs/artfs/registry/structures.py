"""A composite estimator apart from its parts: what a union, a column transformer or a stack adds to them.

`register_estimator` registers the parts one by one.  What lies between them (the columns of a ColumnTransformer, how a
stack calls its models, the weights of a union) is in none of them, so the composite itself is one more artifact: a copy
in which the text ``artfs-part:ID`` stands for each part.  The copy depends on the parts, and a loader puts them back.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any, Final

from artfs.registry.errors import RecordError
from artfs.registry.estimators import class_names

__all__ = ["COMPOSITES", "is_linear", "with_parts", "without_parts"]

COMPOSITES: Final = frozenset(
    {"ColumnTransformer", "FeatureUnion", "Pipeline", "StackingClassifier", "StackingRegressor"}
)
"""The classes that are registered without their parts."""
_MARK: Final = "artfs-part:"
_DEEPEST: Final = 100


def is_linear(estimator: Any) -> bool:
    """Return whether an estimator is no composite, or a Pipeline of such: its steps in a row are all of it."""
    names = class_names(estimator)
    if "Pipeline" in names:
        return all(is_linear(step) for _, step in estimator.steps)
    return not names & COMPOSITES


def without_parts(estimator: Any, parts: Iterable[tuple[object, str]]) -> Any:
    """Return a copy of an estimator in which each part, given with the id of its artifact, is a mark."""
    # deepcopy takes what its memo has in place of an object, wherever that occurs.
    return copy.deepcopy(estimator, {id(part): _MARK + artifact_id for part, artifact_id in parts})


def with_parts(estimator: Any, part: Callable[[str], Any]) -> Any:
    """Put what *part* returns for an artifact's id in the place of each mark; return the estimator, which is changed.

    Raises what *part* raises, and `RecordError` for an estimator of more than 100 levels.
    """
    return _filled(estimator, part, set(), _DEEPEST)


def _filled(value: Any, part: Callable[[str], Any], seen: set[int], levels: int) -> Any:
    if isinstance(value, str):
        return part(value.removeprefix(_MARK)) if value.startswith(_MARK) else value
    if not levels:
        raise RecordError(f"an estimator is nested in more than {_DEEPEST} levels")
    if type(value) is tuple:
        return tuple(_filled(each, part, seen, levels - 1) for each in value)
    if id(value) in seen:
        return value
    seen.add(id(value))
    if isinstance(value, list):
        value[:] = [_filled(each, part, seen, levels - 1) for each in value]
    elif isinstance(value, dict):
        value.update({key: _filled(each, part, seen, levels - 1) for key, each in value.items()})
    elif class_names(value) & COMPOSITES:
        _filled(vars(value), part, seen, levels - 1)
    return value
