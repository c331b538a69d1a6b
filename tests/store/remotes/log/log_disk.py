"""What a client of the model keeps: its disk, the notes on it, and the sets of its manifests."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from artstore.remotes.log.appending import Machine
from artstore.remotes.log.condemn_lists import Pack

__all__ = ["Disk", "Notes", "packs_of_body"]


def packs_of_body(body: bytes) -> set[Pack]:
    """Return the packs that a manifest of the model lists."""
    return {Pack("d", body[at : at + 16]) for at in range(8, len(body), 16)}


@dataclass
class Disk:
    """What outlives a process: notes of entries, the operation under way, the last state."""

    machine: Machine
    notes: dict[bytes, int] = field(default_factory=dict)
    job: dict[str, Any] = field(default_factory=dict)
    state: tuple[bytes, bytes] | None = None


class Notes:
    """The notes on a disk; without them, as a bug, no lost answer is looked up."""

    def __init__(self, disk: Disk, *, forgets: bool) -> None:
        self._rows = disk.notes
        self._forgets = forgets

    def note(self, entry: bytes, number: int) -> None:
        """See `artstore.remotes.log.appending.Notes`."""
        if not self._forgets:
            self._rows[entry] = number

    def noted(self) -> Iterable[tuple[bytes, int]]:
        """See `artstore.remotes.log.appending.Notes`."""
        return list(self._rows.items())

    def settle(self, entry: bytes, *, landed: bool) -> None:
        """See `artstore.remotes.log.appending.Notes`."""
        self._rows.pop(entry, None)
