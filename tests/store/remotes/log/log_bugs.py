"""Bugs that the model of `store.remotes.log.log_model` must find: in clients, the fold and reading."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final
from unittest.mock import patch

from artstore.remotes.log import appending, reading, rules
from artstore.remotes.log import fold as folding
from artstore.remotes.log.operations import Condemn, Moved
from artstore.remotes.log.reading import Log
from artstore.remotes.log.state import DELETED, State

__all__ = ["BUGS", "FOCUS", "SCENARIOS", "patched"]

BUGS: Final = {
    "no look": "a pusher does not look whether its packs were condemned",
    "collector looks once": "a collector that must try again does not look again",
    "conflict": "a lost answer is taken for a lost race",
    "names reused": "what was condemned is uploaded again under its old name",
    "without R1": "the fold does not compare the count of condemns",
    "without R2": "the fold does not compare the count of uses",
    "R1 without records": "rule R1 leaves out descriptions and runs",
    "R1 without condemns": "rule R1 leaves out condemns",
    "R1 without undelete": "rules R1 and R2 leave out undelete, and a condemn may name a living version",
    "R1 without hold": "rules R1 and R2 leave out hold",
    "R1 without stage": "rules R1 and R2 leave out stage",
    "stage ignored": "a collector ignores what unfinished pushes have staged",
    "hold ignored": "a collector ignores holds",
    "records ignored": "a collector ignores descriptions and runs",
    "lists condemned": "a collector condemns lists of condemned packs",
    "nothing reaped": "a collector does not name deleted versions",
    "uuid twice": "the fold takes a version's uuid twice",
    "no rollback": "the fold keeps what a void transaction changed before",
    "bad checkpoint": "a checkpoint lacks a table",
    "hole passed over": "a missing entry is taken for the log's end",
    "rollback unseen": "nothing is compared with what was read before",
    "names removed": "clients remove entries that a checkpoint covers, and take a hole for the end",
}
"""Faults in clients, the fold or reading, which the model must find."""


@contextmanager
def patched(bugs: frozenset[str]) -> Iterator[None]:
    """Put bugs into the fold and into reading."""
    with ExitStack() as stack:
        stack.enter_context(patch.object(appending, "judge", _judge_unless_blind))
        for name in bugs:
            for target, attribute, value in _PATCHES.get(name, list)():
                stack.enter_context(patch.object(target, attribute, value))
        yield


def _without_uses(*kinds: str) -> list[tuple[Any, str, Any]]:
    return [(folding, "USES", tuple(kind for kind in folding.USES if kind.__name__ not in kinds))]


def _undelete_unseen() -> list[tuple[Any, str, Any]]:
    real = rules._condemn

    def condemn(state: State, operation: Any, step: Any) -> None:
        for place in operation.reaped:
            row = state.versions[state.places[place]]
            state.put_version(row._replace(state=DELETED))
        real(state, operation, step)

    return [*_without_uses("Undelete"), (rules, "_RULES", {**rules._RULES, Condemn: condemn})]


def _apply_with(change: Any) -> list[tuple[Any, str, Any]]:
    real = folding._apply
    return [(folding, "_apply", lambda state, transaction, *rest: real(state, change(state, transaction), *rest))]


def _condemns(transaction: Any) -> bool:
    return any(isinstance(each, Condemn | Moved) for each in transaction.operations)


def _following_with_holes() -> list[tuple[Any, str, Any]]:
    real = Log._following

    def following(self: Log, listed: Any = None) -> Iterator[Any]:
        yield from real(self, listed)
        self._missing = None
        self._hinted = 0

    return [(Log, "_following", following), (Log, "_compare_last", lambda self: None)]


def _lost_table() -> list[tuple[Any, str, Any]]:
    real = reading.decode_state

    def decode(data: bytes) -> State:
        state = real(data)
        state.condemned.clear()
        state.forms.clear()
        return state

    return [(reading, "decode_state", decode)]


def _uuid_twice() -> list[tuple[Any, str, Any]]:
    real = rules._commit

    def commit(state: State, operation: Any, step: Any) -> None:
        with patch.object(State, "version_of", lambda self, uuid: None):
            real(state, operation, step)

    table = {**rules._RULES, rules.Commit: commit}
    return [(rules, "_RULES", table)]


_PATCHES: Final[dict[str, Any]] = {
    "without R1": lambda: _apply_with(lambda state, each: each._replace(condemns=state.condemns)),
    "without R2": lambda: _apply_with(lambda state, each: each._replace(uses=state.uses)),
    "R1 without condemns": lambda: _apply_with(
        lambda state, each: each._replace(condemns=state.condemns) if _condemns(each) else each
    ),
    "R1 without records": lambda: _without_uses("Meta", "Run"),
    "R1 without undelete": _undelete_unseen,
    "R1 without hold": lambda: _without_uses("Hold"),
    "R1 without stage": lambda: _without_uses("Stage"),
    "no rollback": lambda: [(folding, "judge", _judge_without_rollback)],
    "bad checkpoint": _lost_table,
    "hole passed over": _following_with_holes,
    "rollback unseen": _following_with_holes,
    "names removed": _following_with_holes,
    "uuid twice": _uuid_twice,
}


def _judge_without_rollback(state: State, entry: Any) -> Any:
    with patch.object(State, "go_back", lambda self, position: None):
        return _REAL_JUDGE(state, entry)


def _judge_unless_blind(state: State, entry: Any) -> Any:
    """Let some clients write what is void, as those of other programs may."""
    if getattr(state, "is_blind", False):
        return (None,) * len(entry.transactions)
    return folding.judge(state, entry)


_REAL_JUDGE: Final = folding.judge
FOCUS: Final = {
    "R1 without undelete": ("push", "delete", "undelete", "undelete", "collect"),
    "R1 without hold": ("push", "delete", "hold", "hold", "collect"),
    "R1 without records": ("push", "run", "meta", "collect"),
    "R1 without condemns": ("push", "collect", "collect", "collect"),
    "hold ignored": ("push", "delete", "hold", "hold", "collect"),
    "no rollback": ("push", "retag"),
}
"""Jobs of runs that are to find a rare bug."""
SCENARIOS: Final = {"hole passed over": "hole", "rollback unseen": "rollback"}
