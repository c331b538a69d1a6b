"""The fold: what a state and the bytes of the next entry amount to.  A pure function, part of the format.

R1  A transaction that names objects, or keeps some from being condemned, and one that condemns, counts only if its
    ``condemns`` is the state's count of accepted condemns.
R2  A transaction that condemns counts only if its ``uses`` is the state's count of accepted transactions of the first
    kind.  It names every deleted version that uses one of its packs: that one never comes back.
R3  Entries are created once and never removed.
R4  Pack ids are never used twice.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from artstore.errors import DamageError
from artstore.remotes.log.checkpoints import state_digest
from artstore.remotes.log.entries import Entry, Transaction, chain_hash, decode_entry
from artstore.remotes.log.operations import USES, Condemn, Moved
from artstore.remotes.log.rules import Step, apply
from artstore.remotes.log.state import NEVER, SAVED_EVERY, MachineRow, Mark, State
from artstore.remotes.log.voids import Reason, Void, VoidError

__all__ = ["BrokenLogError", "Folded", "fold", "judge"]


_HINT: Final = "nothing is written to this remote until that is repaired; reading goes on"


class BrokenLogError(DamageError):
    """Raised for a log that is not the one that was read before, or that lacks an entry; ``number`` names it."""

    kind = "broken_log"

    def __init__(self, message: str, number: int = 0, *, hint: str = _HINT) -> None:
        super().__init__(message, hint=hint)
        self.number = number


class Folded(NamedTuple):
    """What became of an entry: a verdict for each transaction, None if it is accepted.

    ``entry`` is None for bytes that are no entry: their number is void.  ``has_other_state`` means that its writer had
    another state at the last multiple of 64.
    """

    number: int
    entry: Entry | None
    verdicts: tuple[Void | None, ...]
    has_other_state: bool = False


def fold(state: State, data: bytes, *, every: int = SAVED_EVERY) -> Folded:
    """Fold the next entry into a state, which it changes; return the verdicts.

    Raises `UnsupportedError` for an entry of a later release, and `BrokenLogError` for one that follows another entry
    than the state's last; the state is unchanged then.
    """
    number = state.number + 1
    try:
        entry: Entry | None = decode_entry(data)
    except DamageError:
        entry = None
    verdicts: tuple[Void | None, ...] = ()
    has_other_state = False
    if entry is not None:
        if entry.before != state.last:
            raise BrokenLogError(
                f"entry {number} of the remote's log follows another entry {number - 1} than the one that is there",
                number,
            )
        has_other_state = entry.digest != state.digest
        verdicts = judge(state, entry)
    state.assign(number=number, last=chain_hash(data))
    state.forget()
    if number % every == 0:
        state.digest = state_digest(state)
    return Folded(number, entry, verdicts, has_other_state)


def judge(state: State, entry: Entry) -> tuple[Void | None, ...]:
    """Apply the transactions of the next entry to a state, and return a verdict for each.

    What it changes can be taken back: `State.position` and `State.go_back`.
    """
    state.assign(time_ns=max(state.time_ns, entry.at_ns))
    mark = Mark(state.number + 1, entry.machine, state.time_ns)
    if entry.writer < state.least:
        text = f"a release of artfs that writes as {entry.writer} wrote it, and the remote needs {state.least}"
        return (Void(Reason.OLD_WRITER, text),) * len(entry.transactions)
    state.put_machine(MachineRow(entry.machine, entry.by))
    verdicts: list[Void | None] = []
    position = 0
    for transaction in entry.transactions:
        start = state.position()
        try:
            _apply(state, transaction, position, mark)
            verdicts.append(None)
        except VoidError as error:
            state.go_back(start)
            verdicts.append(error.void)
        position += len(transaction.operations)
    return tuple(verdicts)


def _apply(state: State, transaction: Transaction, position: int, mark: Mark) -> None:
    uses = any(isinstance(operation, USES) for operation in transaction.operations)
    condemns = any(isinstance(operation, Condemn | Moved) for operation in transaction.operations)
    if uses and condemns:
        raise VoidError(Reason.MIXED, "a transaction cannot both condemn packs and use some")
    if (uses or condemns) and transaction.condemns != state.condemns:
        raise VoidError(Reason.CONDEMNS, "packs were condemned since it looked which are", _last_condemn(state))
    if condemns and transaction.uses != state.uses:
        raise VoidError(Reason.USES, "versions were pushed or kept since it looked which packs are unused")
    revisions: dict[bytes, int] = {}
    for each, operation in enumerate(transaction.operations, position):
        apply(state, operation, Step(each, mark, revisions))
    state.assign(condemns=state.condemns + condemns, uses=state.uses + uses)


def _last_condemn(state: State) -> Mark:
    rows: Final = state.condemned
    return rows[next(reversed(rows))].made if rows else NEVER
