"""The structure of scikit-learn's composite estimators, as groups of nodes: what makes the input of the next group.

    Pipeline            one group after another
    ColumnTransformer   one group: a source each
    FeatureUnion        one group: a branch each
    Stacking*           one group: a branch each; then the final estimator

A part that is composite itself has groups of its own; parts of one group end at the same step, so a longer one begins
earlier.  Estimators are recognised by their attributes, so that nothing of scikit-learn is imported.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

from artfs.registry.chains import OperatorChain, OperatorNode
from artstore.arguments import shown_value
from artstore.errors import InvalidInputError

__all__ = ["Part", "PlannedPart", "class_names", "groups_of", "parts_of"]

_LEFT_OUT: Final = ("drop",)


class Part(NamedTuple):
    """A node with the operator that it stands for."""

    node: OperatorNode
    operator: Any


class PlannedPart(NamedTuple):
    """An operator to register: its chain, its kind, and the places of the parts that make its input."""

    operator: Any
    chain: OperatorChain
    kind: str
    sources: list[int]


Groups = list[list[Part]]


def groups_of(estimator: object) -> Groups:
    """Return the groups of an estimator's parts, whose steps count from 1."""
    if isinstance(estimator, str | bytes | int | float | type(None)):
        raise InvalidInputError(f"{shown_value(estimator)} is not an estimator")
    groups = _groups(estimator)
    return [
        [part._replace(node=replace(part.node, step_index=step)) for part in group]
        for step, group in enumerate(groups, 1)
    ]


def class_names(estimator: object) -> set[str]:
    """Return the names of an object's class and of those that it inherits from."""
    return {base.__name__ for base in type(estimator).__mro__}


def _groups(estimator: Any) -> Groups:
    kinds = class_names(estimator)
    if "Pipeline" in kinds:
        return [group for _, step in estimator.steps if step is not None for group in _groups(step)]
    if "FeatureUnion" in kinds:
        return _side_by_side([step for _, step in estimator.transformer_list if step not in _LEFT_OUT])
    if "ColumnTransformer" in kinds:
        fitted = getattr(estimator, "transformers_", None) or estimator.transformers
        return _side_by_side([step for _, step, _ in fitted if not _is_left_out(step)], by_source=True)
    if kinds & {"StackingRegressor", "StackingClassifier"}:
        named = [step for _, step in estimator.estimators if not _is_left_out(step)]
        bases = list(getattr(estimator, "estimators_", None) or named)
        final = getattr(estimator, "final_estimator_", None) or estimator.final_estimator
        return [*_side_by_side(bases), *([] if final is None else _groups(final))]
    return [[Part(_node(estimator), estimator)]]


def _is_left_out(step: object) -> bool:
    return step is None or (isinstance(step, str) and step in _LEFT_OUT)


def _node(operator: object) -> OperatorNode:
    return OperatorNode(0, operator if isinstance(operator, str) else type(operator).__name__)


def _side_by_side(operators: Iterable[object], *, by_source: bool = False) -> Groups:
    """Return the groups of operators that share their input; the last groups of all stand together."""
    columns = [
        [[_placed(part, index, by_source) for part in group] for group in _groups(operator)]
        for index, operator in enumerate(operators)
    ]
    length = max(map(len, columns), default=0)
    return [[part for column in columns for part in _from_end(column, length - place)] for place in range(length)]


def _from_end(column: Sequence[list[Part]], distance: int) -> list[Part]:
    return column[-distance] if distance <= len(column) else []


def _placed(part: Part, index: int, by_source: bool) -> Part:
    node = part.node
    if by_source and node.source_index is None:
        return part._replace(node=replace(node, source_index=index))
    return part._replace(node=replace(node, branch_path=[index, *node.branch_path]))


def parts_of(estimator: object) -> list[PlannedPart]:
    """Return the operators of an estimator in the order in which they are to be registered."""
    planned: list[PlannedPart] = []
    places: dict[OperatorNode, int] = {}
    before: Groups = []
    for group in groups_of(estimator):
        for part in group:
            above = [[each for each in earlier if _leads_to(each.node, part.node)] for earlier in before]
            above = [earlier for earlier in above if earlier]
            chain = OperatorChain.of_groups([*([each.node for each in earlier] for earlier in above), [part.node]])
            if isinstance(part.operator, str):
                continue
            direct = next(([each for each in earlier if each.node in places] for earlier in reversed(above)), [])
            sources = [places[each.node] for each in direct]
            is_meta = len(direct) > 1 and all(_predicts(each.operator) for each in direct)
            kind = "meta_model" if is_meta and _predicts(part.operator) else "model" if _predicts(part.operator) else ""
            places[part.node] = len(planned)
            planned.append(PlannedPart(part.operator, chain, kind or "transformer", sources))
        before.append(group)
    return planned


def _predicts(operator: object) -> bool:
    return hasattr(type(operator), "predict")


def _leads_to(one: OperatorNode, other: OperatorNode) -> bool:
    """Return whether two nodes are on one way: of their branches, one is the other or lies before it."""
    length = min(len(one.branch_path), len(other.branch_path))
    same_source = None in (one.source_index, other.source_index) or one.source_index == other.source_index
    return one.branch_path[:length] == other.branch_path[:length] and same_source
