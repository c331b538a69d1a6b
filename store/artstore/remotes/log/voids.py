"""Why a transaction is void: a reason that programs can tell apart, who changed what when, and a sentence."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from artstore.clock import utc
from artstore.remotes.log.state import NEVER, Mark, State

__all__ = ["Reason", "Void", "VoidError", "who"]


class Reason(IntEnum):
    """The reasons; a vector keeps the numbers, so they never change."""

    OLD_WRITER = 1
    CONDEMNS = 2
    USES = 3
    MIXED = 4
    NAME_INVALID = 5
    NAME_TAKEN = 6
    NUMBER = 7
    SAME_VERSION = 8
    SOURCE_GONE = 9
    NO_ARTIFACT = 10
    NO_VERSION = 11
    NOT_LIVE = 12
    NOT_DELETED = 13
    ALIAS_MOVED = 14
    REVISION = 15
    HAS_ALIASES = 16
    HAS_DEPENDANTS = 17
    RENAMED = 18
    CHANGED = 19
    NOT_UPGRADED = 20
    REAPED = 21


class Void(NamedTuple):
    """Why a transaction is void; ``mark`` is the entry that made it so, `NEVER` if none did."""

    reason: Reason
    text: str
    mark: Mark = NEVER

    @property
    def is_stale(self) -> bool:
        """Whether the same transaction can be accepted after another look at the condemned packs or the uses."""
        return self.reason in (Reason.CONDEMNS, Reason.USES)


class VoidError(Exception):
    """Raised inside the fold to take a transaction back."""

    def __init__(self, reason: Reason, text: str, mark: Mark = NEVER) -> None:
        super().__init__(text)
        self.void = Void(reason, text, mark)


def who(state: State, mark: Mark) -> str:
    """Return who wrote an entry and when, for the end of a sentence."""
    machine = state.machines.get(mark.machine)
    by = machine.by if machine is not None and machine.by else f"machine {mark.machine.hex()[:8]}"
    return f"by {by} on {utc(mark.at_ns):%Y-%m-%d %H:%M:%S} UTC (entry {mark.number})"
