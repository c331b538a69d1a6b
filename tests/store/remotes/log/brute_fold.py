"""A second fold of a remote's log, as plainly as it can be written: everything is copied before each transaction.

It knows the operations that the model's clients use, and shares nothing with the real fold but the decoding of entries.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from artstore.errors import DamageError
from artstore.remotes.log.entries import Transaction, decode_entry
from artstore.remotes.log.operations import (
    Alias,
    Commit,
    Condemn,
    Delete,
    Hold,
    Meta,
    Rename,
    Run,
    Stage,
    Undelete,
)

__all__ = ["World", "fold_all"]


class Void(Exception):
    """Raised where a transaction is void."""


@dataclass
class World:
    """What the log amounts to."""

    reaps_living: bool = False
    condemns: int = 0
    uses: int = 0
    names: dict[bytes, str] = field(default_factory=dict)
    next: dict[bytes, int] = field(default_factory=dict)
    revision: dict[bytes, int] = field(default_factory=dict)
    versions: dict[tuple[bytes, int], dict[str, Any]] = field(default_factory=dict)
    aliases: dict[tuple[bytes, str], int | None] = field(default_factory=dict)
    holds: dict[bytes, Hold] = field(default_factory=dict)
    stages: dict[bytes, Stage] = field(default_factory=dict)
    runs: dict[bytes, tuple[int, Run]] = field(default_factory=dict)
    lists: list[tuple[int, Condemn]] = field(default_factory=list)

    def version(self, key: tuple[bytes, int | None]) -> dict[str, Any]:
        """Return a version; without it the transaction is void."""
        for each, row in self.versions.items():
            if each == key:
                return row
        raise Void

    def kept(self) -> Iterable[dict[str, Any]]:
        """Return the versions that are live or held."""
        held = {(hold.artifact, hold.number) for hold in self.holds.values()}
        return [row for key, row in self.versions.items() if row["state"] == "live" or key in held]


def fold_all(log: Iterable[bytes], without: frozenset[str] = frozenset()) -> tuple[list[World], list[list[bool]]]:
    """Return the state after each entry, and for each which transactions are accepted.

    ``without`` are rules to leave out as the fold under test does, so that only what follows from that is found.
    """
    world = World(reaps_living="R1 without undelete" in without)
    worlds, verdicts = [], []
    for number, data in enumerate(log, 1):
        accepted: list[bool] = []
        try:
            transactions = decode_entry(data).transactions
        except DamageError:
            transactions = ()
        index = 0
        for transaction in transactions:
            trial = copy.deepcopy(world)
            try:
                _transaction(trial, transaction, number, index, without)
                world = trial
                accepted.append(True)
            except Void:
                accepted.append(False)
            index += len(transaction.operations)
        worlds.append(copy.deepcopy(world))
        verdicts.append(accepted)
    return worlds, verdicts


_LEFT_OUT = {
    "R1 without records": {"Meta", "Run"},
    "R1 without undelete": {"Undelete"},
    "R1 without hold": {"Hold"},
    "R1 without stage": {"Stage"},
}


def _need(condition: object) -> None:
    if not condition:
        raise Void


def _transaction(world: World, transaction: Transaction, number: int, index: int, without: frozenset[str]) -> None:
    kinds = {type(each).__name__ for each in transaction.operations}
    uses = bool(
        kinds & {"Commit", "Stage", "Undelete", "Hold", "Meta", "Run"} - _LEFT_OUT.get(min(without, default=""), set())
    )
    condemns = "Condemn" in kinds
    _need(not (uses and condemns))
    if "without R1" not in without and not (condemns and "R1 without condemns" in without):
        _need(not (uses or condemns) or transaction.condemns == world.condemns)
    if "without R2" not in without:
        _need(not condemns or transaction.uses == world.uses)
    revision = dict(world.revision)
    for at, operation in enumerate(transaction.operations, index):
        _operation(world, operation, number, at, revision)
    world.condemns += condemns
    world.uses += uses


def _operation(world: World, each: Any, number: int, at: int, revision: dict[bytes, int]) -> None:
    if isinstance(each, Commit):
        _commit(world, each, number, at)
    elif isinstance(each, Alias):
        _need(world.aliases.get((each.artifact, each.alias)) == each.expected)
        _need(each.version is None or world.version((each.artifact, each.version))["state"] == "live")
        world.aliases[each.artifact, each.alias] = each.version
        world.revision[each.artifact] = number
    elif isinstance(each, Delete):
        row = world.version((each.artifact, each.number))
        _need(row["state"] == "live")
        _need(each.revision == revision[each.artifact])
        row["state"] = "deleted"
        for key, version in list(world.aliases.items()):
            if key[0] == each.artifact and version == each.number:
                world.aliases[key] = None
        world.revision[each.artifact] = number
    elif isinstance(each, Undelete):
        row = world.version((each.artifact, each.number))
        _need(row["state"] == "deleted")
        row["state"] = "live"
        world.revision[each.artifact] = number
    elif isinstance(each, Hold):
        _need(world.version((each.artifact, each.number))["state"] != "reaped")
        world.holds[each.hold] = each
        if not each.until_ns:
            del world.holds[each.hold]
        world.revision[each.artifact] = number
    elif isinstance(each, Meta):
        row = world.version((each.artifact, each.number))
        _need(row["state"] == "live" and row["recorded"] == each.expected)
        row["record"], row["recorded"] = each.record, number
        world.revision[each.artifact] = number
    else:
        _other(world, each, number)


def _commit(world: World, each: Commit, number: int, at: int) -> None:
    _need(all(row["uuid"] != each.version for row in world.versions.values()))
    if each.artifact not in world.names:
        _need(each.name not in world.names.values())
        world.names[each.artifact] = each.name
        world.next[each.artifact] = 0
        world.revision[each.artifact] = number
    _need(world.next[each.artifact] == each.next <= each.number)
    world.next[each.artifact] = each.number + 1
    world.versions[each.artifact, each.number] = {
        "uuid": each.version,
        "state": "live",
        "manifest": each.manifest,
        "record": each.record,
        "recorded": number,
        "place": (number, at),
    }


def _other(world: World, each: Any, number: int) -> None:
    if isinstance(each, Stage):
        world.stages[each.stage] = each
        if not each.until_ns:
            del world.stages[each.stage]
    elif isinstance(each, Run):
        _need(world.runs.get(each.run, (0, None))[0] == each.expected)
        world.runs[each.run] = (number, each)
    elif isinstance(each, Rename):
        _need(world.names.get(each.artifact) == each.expected)
        _need(each.name not in world.names.values())
        world.names[each.artifact] = each.name
    elif isinstance(each, Condemn):
        for place in each.reaped:
            rows = [row for row in world.versions.values() if row["place"] == place]
            _need(rows and (world.reaps_living or rows[0]["state"] != "live"))
            (row,) = rows
            row["state"] = "reaped"
        world.lists.append((number, each))
    else:
        raise AssertionError(f"the model does not use {each}")
