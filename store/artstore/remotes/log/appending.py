"""Appending to the log: read on, check, create the next entry, and find out whose it is.

The next number is tried only after the one before is settled, so a creation that lands late can take no other place
than its own: a rerun of the operation finds its id there, or another entry.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple, Protocol

from artstore.errors import RefusedError
from artstore.objects.failures import WrongAnswerError
from artstore.remotes.log.entries import (
    LONGEST_ENTRY,
    WRITER,
    Entry,
    Transaction,
    encode_entry,
    entry_name,
    transaction_length,
)
from artstore.remotes.log.fold import judge
from artstore.remotes.log.operations import Condemn
from artstore.remotes.log.reading import TURNS, Log
from artstore.remotes.log.state import State
from artstore.remotes.log.voids import Void

__all__ = ["Appended", "Machine", "Notes", "append", "verdicts_on"]

_SECOND: Final = 10**9
_ID: Final = 16
_MOST_AHEAD: Final = 300.0
_AROUND: Final = 512
"""More bytes than an entry has around its transactions."""

Prepare = Callable[[State], Sequence[Transaction]]
"""Returns the transactions that are still to be written at a state, having checked their packs against it."""


class Machine(NamedTuple):
    """Who writes: the id of the machine's workspace, and ``user@host``."""

    id: bytes
    by: str


class Notes(Protocol):
    """Where an operation keeps the ids of its entries, for a later run after a crash."""

    def note(self, entry: bytes, number: int) -> None:
        """Keep an entry's id and number; it must be on disk when this returns."""

    def noted(self) -> Iterable[tuple[bytes, int]]:
        """Return what was noted and not settled."""

    def settle(self, entry: bytes, *, landed: bool) -> None:
        """Forget an entry: it ``landed`` in the log, or can never do so."""


class Appended(NamedTuple):
    """What was appended: the entry's number, None if nothing was written, and a verdict for each transaction.

    The verdicts are those of the first transactions that fit into an entry.  ``by_earlier_run`` says that the entry is
    one that was noted before, whose transactions may have been others.
    """

    number: int | None
    verdicts: tuple[Void | None, ...]
    by_earlier_run: bool = False


def append(log: Log, machine: Machine, prepare: Prepare, notes: Notes) -> Appended:
    """Append transactions as one entry, those that the fold accepts; return their verdicts.

    ``prepare`` is called at each state that is tried; that it returns none ends the call.  Nothing is written if all
    are void.

    Raises `UnknownOutcomeError` if it stays unknown whether the entry was stored (run it again), `BrokenLogError` and
    `UnsupportedError` if the log must not be written, and the errors of the store.
    """
    refusals: list[int] = []
    attempts: dict[bytes, tuple[Void | None, ...]] = {}
    while True:
        log.read_on(to_write=True)
        log.check_writable()
        landed = _settle(log, notes)
        if landed is not None:
            number, entry = landed
            verdicts = attempts.get(entry.id, (None,) * len(entry.transactions))
            return Appended(number, verdicts, by_earlier_run=entry.id not in attempts)
        number = log.state.number + 1
        if refusals.count(number) == TURNS:
            raise WrongAnswerError(
                f"{log.store.url} says that entry {number} of its log exists, and does not list it",
                hint="a caching proxy may answer for the store; let it pass log/ by",
            )
        transactions = _fitting(prepare(log.state))
        if not transactions:
            return Appended(None, ())
        if any(isinstance(each, Condemn) for transaction in transactions for each in transaction.operations):
            _check_collector(log)
        proposal, verdicts = _next_entry(log, machine, transactions)
        if proposal is None:
            return Appended(None, verdicts)
        data = encode_entry(proposal)
        attempts[proposal.id] = verdicts
        notes.note(proposal.id, number)
        if log.store.create(entry_name(number), data):
            verdicts = _merged(verdicts, log.fold(data).verdicts)
            for name, noted in list(notes.noted()):
                if noted <= number:  # earlier creations of this number can land no more
                    notes.settle(name, landed=name == proposal.id)
            return Appended(number, verdicts)
        refusals.append(number)


def verdicts_on(log: Log, machine: Machine, transactions: Sequence[Transaction]) -> tuple[Void | None, ...]:
    """Return the verdicts that transactions would get now, for a dry run; nothing is written, and the state stays."""
    return _next_entry(log, machine, transactions)[1] if transactions else ()


def _check_collector(log: Log) -> None:
    """Prove the state, and compare the log's time with the store's clock."""
    log.prove()
    log.check_writable()
    date = log.store.date()
    if date is None:
        raise RefusedError(
            f"{log.store.url} does not tell the time, so nothing is condemned",
            hint="pass its Date header through proxies",
        )
    if log.state.time_ns > (date + _MOST_AHEAD) * _SECOND:
        raise RefusedError(
            f"the log of {log.store.url} is ahead of the store's clock, so nothing is condemned",
            hint="an entry was written while that clock was wrong; wait until it has caught up",
        )


def _merged(judged: Sequence[Void | None], folded: Sequence[Void | None]) -> tuple[Void | None, ...]:
    """Return the verdicts on all transactions: those that were left out, and what the fold says of the others."""
    rest = iter(folded)
    return tuple(next(rest) if void is None else void for void in judged)


def _settle(log: Log, notes: Notes) -> tuple[int, Entry] | None:
    """Look up the entries noted before; return (number, entry) of the first that landed."""
    landed: tuple[int, Entry] | None = None
    for name, number in list(notes.noted()):
        if number > log.state.number:
            continue  # it may still land, or this run takes its place
        entry = log.entry(number)
        is_ours = entry is not None and entry.id == name
        notes.settle(name, landed=is_ours)
        if is_ours and entry is not None and landed is None:
            landed = (number, entry)
    return landed


def _fitting(transactions: Sequence[Transaction]) -> Sequence[Transaction]:
    """Return the first transactions that fit into an entry, at least one."""
    room = LONGEST_ENTRY - _AROUND
    for count, transaction in enumerate(transactions):
        room -= transaction_length(transaction)
        if room < 0 and count:
            return transactions[:count]
    return transactions


def _next_entry(
    log: Log, machine: Machine, transactions: Sequence[Transaction]
) -> tuple[Entry | None, tuple[Void | None, ...]]:
    """Return the next entry, of the transactions that will be accepted, and the verdicts on all."""
    state = log.state
    date = log.store.date()
    entry = Entry(
        before=state.last,
        id=secrets.token_bytes(_ID),
        machine=machine.id,
        by=machine.by,
        at_ns=state.time_ns if date is None else int(date * _SECOND),
        writer=WRITER,
        digest=state.digest,
        transactions=tuple(transactions),
    )
    position = state.position()
    verdicts = judge(state, entry)
    state.go_back(position)
    accepted = tuple(each for each, void in zip(transactions, verdicts, strict=True) if void is None)
    return (entry._replace(transactions=accepted) if accepted else None), verdicts
