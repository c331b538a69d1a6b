"""Operator chains: how an artifact was made, as text with one spelling.

    chain      group (">" group)*                 s1.MinMaxScaler>s3.PLSRegression
    group      node ("+" node)*                   a merge; the order of its nodes counts
    node       "s" number "." class [qualifiers]  s4.PLSRegression[br=0.1,src=0,sub=1]
    qualifiers "[" name "=" value ("," ...)* "]"  br (branch path), src (source), sub (substep), each at most once

Qualifiers may be read in any order, and are written in this one.  Spaces around ``>`` and ``+`` are dropped, and a
module path before the class is cut off.  Numbers have no leading zeros.  The hash is that of the canonical text, so it
is the same in every process and on every machine.
"""

from __future__ import annotations

import hashlib
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from artfs.registry.errors import ChainSyntaxError
from artstore.arguments import shown_text, shown_value
from artstore.errors import InvalidInputError

__all__ = [
    "OperatorChain",
    "OperatorNode",
    "branch_fits",
    "chain_of",
    "compute_chain_hash",
    "context_fits",
    "optional_number",
    "whole_number",
]

HASH_LENGTH: Final = 12
"""Hexadecimal digits of a chain's hash in an id."""
_DIGITS_OF_HASH: Final = 64
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)
_CLASS: Final = re.compile(r"\w+(?:\.\w+)*")
_QUALIFIER: Final = re.compile(r"[a-z]+", re.ASCII)
_EXAMPLE: Final = "write one such as s1.MinMaxScaler>s3.PLSRegression[br=0]"


def branch_fits(path: Sequence[int], wanted: Sequence[int] | None) -> bool:
    """Return whether what was made on a branch is used on the branch that is asked for: it is that or one before it."""
    return wanted is None or list(path) == list(wanted[: len(path)])


class Placed(Protocol):
    """An operator's place in a pipeline."""

    @property
    def step_index(self) -> int | None: ...
    @property
    def branch_path(self) -> Sequence[int]: ...
    @property
    def source_index(self) -> int | None: ...
    @property
    def fold_id(self) -> int | None: ...


def context_fits(
    placed: Placed,
    step_index: int | None,
    branch_path: Sequence[int] | None,
    source_index: int | None,
    fold_id: int | None,
) -> bool:
    """Return whether what was made at a place is used in a context; None means any.

    A branch uses what was made on it and before it, a source its own and what all share, and so for a fold.
    """
    return (
        (step_index is None or placed.step_index == step_index)
        and branch_fits(placed.branch_path, branch_path)
        and (source_index is None or placed.source_index in (None, source_index))
        and (fold_id is None or placed.fold_id in (None, fold_id))
    )


_LARGEST: Final = 1 << 63


def whole_number(value: Any, what: str) -> int:
    """Return a whole number from 0, also one of NumPy's; raise `InvalidInputError` for anything else."""
    if not isinstance(value, bool) and hasattr(type(value), "__index__"):
        with suppress(TypeError):  # an array of several numbers
            if 0 <= (number := operator.index(value)) < _LARGEST:
                return number
    raise InvalidInputError(f"{what} must be a whole number from 0, not {shown_value(value)}")


def optional_number(value: Any, what: str) -> int | None:
    """Do as `whole_number`; None stays None."""
    return None if value is None else whole_number(value, what)


@dataclass(frozen=True, eq=True)
class OperatorNode:
    """One operator of a chain: its step, its class, and the branch, source and substep that it belongs to.

    ``fold_id`` and ``operator_name`` are not part of its text.  A module path in ``operator_class`` is cut off.
    Raises `InvalidInputError` for values that a chain cannot have.
    """

    step_index: int
    operator_class: str
    branch_path: list[int] = field(default_factory=list)
    source_index: int | None = None
    fold_id: int | None = None
    substep_index: int | None = None
    operator_name: str | None = None

    def __post_init__(self) -> None:
        numbers = {"step_index": whole_number(self.step_index, "a step")}
        if not isinstance(self.operator_class, str) or not _is_class(self.operator_class):
            raise InvalidInputError(f"{shown_value(self.operator_class)} is not the name of an operator's class")
        path = self.branch_path
        if path is not None and (isinstance(path, str) or not isinstance(path, Iterable)):
            raise InvalidInputError(f"a branch path must be a list of numbers, not {shown_value(path)}")
        object.__setattr__(self, "operator_class", self.operator_class.rpartition(".")[2])
        object.__setattr__(self, "branch_path", [whole_number(part, "a part of a branch path") for part in path or ()])
        for name in ("source_index", "fold_id", "substep_index"):
            if (value := getattr(self, name)) is not None:
                numbers[name] = whole_number(value, f"the {name}")
        for name, number in numbers.items():
            object.__setattr__(self, name, number)

    def __hash__(self) -> int:
        return hash((self.to_key(), self.fold_id, self.operator_name))

    def __repr__(self) -> str:
        return f"OperatorNode({self.to_key()})"

    def to_key(self) -> str:
        """Return the text of the node, such as ``s4.PLSRegression[br=0.1,src=0]``."""
        values = [
            ("br", ".".join(map(str, self.branch_path))),
            ("src", "" if self.source_index is None else str(self.source_index)),
            ("sub", "" if self.substep_index is None else str(self.substep_index)),
        ]
        written = ",".join(f"{name}={value}" for name, value in values if value)
        return f"s{self.step_index}.{self.operator_class}" + (f"[{written}]" if written else "")

    @classmethod
    def from_key(cls, key: str) -> OperatorNode:
        """Return the node that a text writes; raise `ChainSyntaxError` for text that is none."""
        reader = _Reader(key)
        node = reader.node()
        reader.require_end()
        return node

    def matches_context(
        self,
        step_index: int | None = None,
        branch_path: Sequence[int] | None = None,
        source_index: int | None = None,
        fold_id: int | None = None,
    ) -> bool:
        """Return whether the node is used in a context, as `context_fits` does."""
        return context_fits(self, step_index, branch_path, source_index, fold_id)

    def with_fold(self, fold_id: int | None) -> OperatorNode:
        """Return the node with another fold."""
        return replace(self, fold_id=fold_id)

    def with_source(self, source_index: int | None) -> OperatorNode:
        """Return the node with another source."""
        return replace(self, source_index=source_index)

    def to_dict(self) -> dict[str, Any]:
        """Return the node as JSON values, without those that it does not have."""
        values = {
            "step_index": self.step_index,
            "operator_class": self.operator_class,
            "branch_path": list(self.branch_path) or None,
            "source_index": self.source_index,
            "fold_id": self.fold_id,
            "substep_index": self.substep_index,
            "operator_name": self.operator_name or None,
        }
        return {name: value for name, value in values.items() if value is not None}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> OperatorNode:
        """Return the node that `to_dict` wrote; raise `InvalidInputError` if it is none."""
        if not isinstance(data, Mapping) or "step_index" not in data or "operator_class" not in data:
            raise InvalidInputError(f"{shown_value(data)} is not a node of a chain: it lacks a step or a class")
        names = cls.__dataclass_fields__
        return cls(**{name: value for name, value in data.items() if name in names})


def _is_class(text: str) -> bool:
    return all(part.isidentifier() for part in text.split("."))


@dataclass(frozen=True)
class OperatorChain:
    """The operators that made an artifact, in order; every method returns a new chain.

    ``groups`` are the numbers of consecutive nodes that each belong together: more than 1 for a merge.  By default
    there is no merge.
    """

    nodes: list[OperatorNode] = field(default_factory=list)
    pipeline_id: str = ""
    groups: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        nodes = list(self.nodes or ())
        for node in nodes:
            if not isinstance(node, OperatorNode):
                raise InvalidInputError(f"a chain is made of nodes, not of {shown_value(node)}")
        groups = tuple(self.groups) if self.groups is not None else (1,) * len(nodes)
        if sum(groups) != len(nodes) or any(type(size) is not int or size < 1 for size in groups):
            raise InvalidInputError(f"the groups {shown_value(groups)} do not divide the {len(nodes)} nodes of a chain")
        object.__setattr__(self, "nodes", nodes)
        object.__setattr__(self, "groups", groups)

    def __hash__(self) -> int:
        return hash((self.to_path(), self.pipeline_id))

    def __len__(self) -> int:
        return len(self.nodes)

    def __iter__(self) -> Iterator[OperatorNode]:
        return iter(self.nodes)

    def __bool__(self) -> bool:
        return bool(self.nodes)

    def __str__(self) -> str:
        return self.to_path()

    def __repr__(self) -> str:
        return f"OperatorChain({self.to_path() or 'empty'})"

    @property
    def grouped(self) -> list[list[OperatorNode]]:
        """The nodes of each group."""
        rest = iter(self.nodes)
        return [[next(rest) for _ in range(size)] for size in self.groups or ()]

    @classmethod
    def of_groups(cls, groups: Iterable[Sequence[OperatorNode]], pipeline_id: str = "") -> OperatorChain:
        """Return the chain of groups of nodes; empty groups are left out."""
        kept = [list(group) for group in groups if group]
        return cls([node for group in kept for node in group], pipeline_id, tuple(map(len, kept)))

    def to_path(self) -> str:
        """Return the canonical text of the chain; an empty one for no nodes."""
        return ">".join("+".join(node.to_key() for node in group) for group in self.grouped)

    @classmethod
    def from_path(cls, path: str, pipeline_id: str = "") -> OperatorChain:
        """Return the chain that a text writes; raise `ChainSyntaxError`, with the position, for text that is none."""
        reader = _Reader(path)
        groups = [[reader.node()]]
        while not reader.is_at_end:
            if reader.take_sign("+"):
                groups[-1].append(reader.node())
            elif reader.take_sign(">"):
                groups.append([reader.node()])
            else:
                reader.refuse("'>', '+' or the end")
        return cls.of_groups(groups, pipeline_id)

    @classmethod
    def from_estimator(cls, estimator: object, pipeline_id: str = "") -> OperatorChain:
        """Return the chain of a scikit-learn estimator: its steps, sources and branches; see `estimators`."""
        from artfs.registry.estimators import groups_of

        return cls.of_groups([[part.node for part in group] for group in groups_of(estimator)], pipeline_id)

    def to_hash(self, length: int = HASH_LENGTH) -> str:
        """Return the first hexadecimal digits of the SHA-256 of the canonical text."""
        if type(length) is not int or not 1 <= length <= _DIGITS_OF_HASH:
            raise InvalidInputError(f"a hash has 1 to {_DIGITS_OF_HASH} digits, not {shown_value(length)}")
        return hashlib.sha256(self.to_path().encode()).hexdigest()[:length]

    def append(self, node: OperatorNode) -> OperatorChain:
        """Return the chain with one more node at its end."""
        return OperatorChain.of_groups([*self.grouped, [node]], self.pipeline_id)

    def extend(self, other: OperatorChain) -> OperatorChain:
        """Return the chain with another one at its end."""
        return OperatorChain.of_groups([*self.grouped, *other.grouped], self.pipeline_id or other.pipeline_id)

    def _filtered(self, keep: Callable[[OperatorNode], bool]) -> OperatorChain:
        return OperatorChain.of_groups(
            [[node for node in group if keep(node)] for group in self.grouped], self.pipeline_id
        )

    def filter_branch(self, target_branch_path: Sequence[int]) -> OperatorChain:
        """Return the chain with only the nodes on a branch and before it."""
        return self._filtered(lambda node: branch_fits(node.branch_path, target_branch_path))

    def filter_step(self, step_index: int) -> OperatorChain:
        """Return the chain with only the nodes of a step."""
        return self._filtered(lambda node: node.step_index == step_index)

    def filter_source(self, source_index: int) -> OperatorChain:
        """Return the chain with only the nodes of a source, and those of no source."""
        return self._filtered(lambda node: node.source_index in (None, source_index))

    def get_last_node(self) -> OperatorNode | None:
        """Return the last node, or None."""
        return self.nodes[-1] if self.nodes else None

    def get_nodes_at_step(self, step_index: int) -> list[OperatorNode]:
        """Return the nodes of a step."""
        return [node for node in self.nodes if node.step_index == step_index]

    def get_branch_path(self) -> list[int]:
        """Return the branch path of the last node."""
        return list(self.nodes[-1].branch_path) if self.nodes else []

    def is_empty(self) -> bool:
        """Return whether there are no nodes."""
        return not self.nodes

    def copy(self) -> OperatorChain:
        """Return an equal chain that shares nothing with this one."""
        return self._mapped(replace)

    def _mapped(self, change: Callable[[OperatorNode], OperatorNode]) -> OperatorChain:
        return OperatorChain(list(map(change, self.nodes)), self.pipeline_id, self.groups)

    def merge_with_prefix(self, prefix: OperatorChain, step_offset: int = 0) -> OperatorChain:
        """Return ``prefix`` followed by this chain, whose steps are moved by ``step_offset``."""
        moved = self._mapped(lambda node: replace(node, step_index=node.step_index + step_offset))
        return replace(prefix.extend(moved), pipeline_id=prefix.pipeline_id or self.pipeline_id)

    def remap_steps(self, step_mapping: Mapping[int, int]) -> OperatorChain:
        """Return the chain with other step numbers; those that the mapping lacks stay."""
        return self._mapped(lambda node: replace(node, step_index=step_mapping.get(node.step_index, node.step_index)))

    def with_pipeline_id(self, pipeline_id: str) -> OperatorChain:
        """Return the chain with another pipeline."""
        return replace(self.copy(), pipeline_id=pipeline_id)

    def begins_with(self, prefix: OperatorChain) -> bool:
        """Return whether whole groups of nodes at the beginning are those of another chain."""
        mine, others = self.grouped, prefix.grouped
        keys = [[node.to_key() for node in group] for group in mine[: len(others)]]
        return keys == [[node.to_key() for node in group] for group in others]

    def to_dict(self) -> dict[str, Any]:
        """Return the chain as JSON values."""
        return {
            "nodes": [node.to_dict() for node in self.nodes],
            "groups": list(self.groups or ()),
            "pipeline_id": self.pipeline_id,
            "chain_path": self.to_path(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> OperatorChain:
        """Return the chain that `to_dict` wrote, or the original's form without ``groups``."""
        if not isinstance(data, Mapping) or not isinstance(data.get("nodes", []), list):
            raise InvalidInputError(f"{shown_value(data)} is not a chain")
        nodes = [OperatorNode.from_dict(node) for node in data.get("nodes", [])]
        groups = data.get("groups")
        return cls(nodes, str(data.get("pipeline_id") or ""), None if groups is None else tuple(groups))


def chain_of(chain: OperatorChain | OperatorNode | str) -> OperatorChain:
    """Return the chain that a chain, a node or a text stands for; raise `InvalidInputError` for anything else."""
    if isinstance(chain, OperatorChain):
        return chain
    if isinstance(chain, OperatorNode):
        return OperatorChain([chain])
    if isinstance(chain, str):
        return OperatorChain.from_path(chain)
    raise InvalidInputError(f"a chain is text or an OperatorChain, not {shown_value(chain)}")


def compute_chain_hash(chain: OperatorChain | str, length: int = HASH_LENGTH) -> str:
    """Return the hash of a chain, that of its canonical text; raise `ChainSyntaxError` for text that is none."""
    return chain_of(chain).to_hash(length)


class _Reader:
    """Read the text of a chain from its beginning to its end."""

    def __init__(self, text: str) -> None:
        if not isinstance(text, str):
            raise InvalidInputError(f"a chain is text, not {shown_value(text)}")
        self._text = text
        self._at = 0

    @property
    def is_at_end(self) -> bool:
        """Whether everything was read."""
        return self._at == len(self._text)

    def refuse(self, expected: str) -> None:
        """Raise the error for what is here."""
        found = shown_text(self._text[self._at :]) if not self.is_at_end else "the end"
        raise ChainSyntaxError(
            f"{shown_text(self._text)} is not a chain: expected {expected} at character {self._at}, found {found}",
            hint=_EXAMPLE,
            position=self._at,
        )

    def require_end(self) -> None:
        """Raise `ChainSyntaxError` unless everything was read."""
        if not self.is_at_end:
            self.refuse("the end")

    def take_sign(self, sign: str) -> bool:
        """Read a sign with the spaces around it, if it is here."""
        match = re.compile(rf" *{re.escape(sign)} *").match(self._text, self._at)
        if match is None:
            return False
        self._at = match.end()
        return True

    def _take(self, text: str) -> bool:
        found = self._text.startswith(text, self._at)
        self._at += len(text) if found else 0
        return found

    def _require(self, text: str) -> None:
        if not self._take(text):
            self.refuse(repr(text))

    def _number(self) -> int:
        match = _NUMBER.match(self._text, self._at)
        if match is None or self._text[match.end() : match.end() + 1].isdigit():
            self.refuse("a number without leading zeros")
            raise AssertionError
        self._at = match.end()
        return int(match[0])

    def node(self) -> OperatorNode:
        """Read one node."""
        self._require("s")
        step = self._number()
        self._require(".")
        match = _CLASS.match(self._text, self._at)
        if match is None or not _is_class(match[0]):
            self.refuse("the name of a class")
            raise AssertionError
        self._at = match.end()
        qualifiers = self._qualifiers() if self._take("[") else {}
        sources, substeps = qualifiers.get("src"), qualifiers.get("sub")
        return OperatorNode(
            step,
            match[0],
            qualifiers.get("br", []),
            sources[0] if sources else None,
            substep_index=substeps[0] if substeps else None,
        )

    def _qualifiers(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        while True:
            start = self._at
            match = _QUALIFIER.match(self._text, start)
            name = match[0] if match else ""
            if name not in ("br", "src", "sub") or name in found:
                self.refuse("a qualifier: br, src or sub, each once")
            self._at += len(name)
            self._require("=")
            found[name] = [self._number()]
            while name == "br" and self._take("."):
                found[name].append(self._number())
            if self._take("]"):
                return found
            if not self._take(","):
                self.refuse("',' or ']'")
