"""What the entries of a log up to a number amount to: tables of rows, with changes that can be taken back.

A state is changed by `artstore.remotes.log.fold` only.  Rows are never changed, but replaced.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from artstore.names import version_label
from artstore.remotes.log.entries import Transaction, origin_hash
from artstore.remotes.log.fields import Span
from artstore.remotes.log.operations import INCLUDED, LINKED, LOGGED, USED, Edge, Operation, Place, Source

__all__ = [
    "DELETED",
    "LIVE",
    "NEVER",
    "REAPED",
    "SAVED_EVERY",
    "AliasRow",
    "ArtifactRow",
    "CondemnRow",
    "HoldRow",
    "MachineRow",
    "Mark",
    "MoveRow",
    "RunRow",
    "StageRow",
    "State",
    "VersionRow",
]

SAVED_EVERY: Final = 64
"""Entries between two checkpoints, and two digests of the state."""
LIVE: Final = 0
DELETED: Final = 1
REAPED: Final = 2
"""What a version can be; a reaped one stays in the state, so that its uuid and number stay taken."""


class Mark(NamedTuple):
    """The entry of a change: its number, the machine that wrote it, and the log's time."""

    number: int
    machine: bytes
    at_ns: int


NEVER: Final = Mark(0, bytes(16), 0)
"""The mark of what no entry has changed."""


class ArtifactRow(NamedTuple):
    """An artifact; ``revision`` is the number of the entry that last changed an alias, record, link or hold of it."""

    uuid: bytes
    name: str
    type: str
    next: int
    revision: int
    made: Mark
    named: Mark
    record: Span | None
    recorded: Mark


class VersionRow(NamedTuple):
    """A version, ``made`` at operation ``position`` of an entry; ``changed`` is its last deletion or return."""

    artifact: bytes
    number: int
    uuid: bytes
    digest: bytes
    root: Span
    entries: int
    files: int
    bytes: int
    created_ns: int
    mtime_ns: int
    mode: int
    record: Span | None
    recorded: Mark
    manifest: Span
    sources: tuple[Source, ...]
    made: Mark
    position: int
    state: int
    changed: Mark
    due_ns: int
    reason: str
    released: tuple[str, ...]
    expires_ns: int

    @property
    def place(self) -> Place:
        """Where the log commits it."""
        return Place(self.made.number, self.position)


class AliasRow(NamedTuple):
    """An alias; ``version`` is None after its removal, so that who removed it stays known."""

    artifact: bytes
    alias: str
    version: int | None
    changed: Mark


class HoldRow(NamedTuple):
    """A hold on the packs of a version."""

    hold: bytes
    artifact: bytes
    number: int
    until_ns: int
    reason: str
    changed: Mark


class StageRow(NamedTuple):
    """A hold on the objects of an unfinished push."""

    stage: bytes
    manifest: Span
    until_ns: int
    changed: Mark


class RunRow(NamedTuple):
    """A run, with all versions that it used or logged."""

    run: bytes
    name: str
    record: Span | None
    edges: tuple[Edge, ...]
    changed: Mark


class CondemnRow(NamedTuple):
    """The packs of a list were given up by operation ``position`` of an entry."""

    position: int
    listed: Span
    packs: int
    bytes: int
    made: Mark


class MoveRow(NamedTuple):
    """A map of moved content."""

    position: int
    map: Span
    made: Mark


class MachineRow(NamedTuple):
    """Who last wrote from a machine, such as ``user@host``."""

    machine: bytes
    by: str


_Undo = tuple[dict[Any, Any], Any, Any]
_ABSENT: Final = object()


class State:
    """The fold of a log up to entry ``number``, whose hash is ``last``.

    ``condemns`` and ``uses`` are the counts of rules R1 and R2; ``time_ns`` the log's time, which never goes back;
    ``least`` the least writer; ``digest`` that of the state at the last multiple of 64, before it the origin's hash.
    """

    def __init__(self, uuid: bytes) -> None:
        self.uuid = uuid
        self.number = 0
        self.last = origin_hash(uuid)
        self.time_ns = 0
        self.least = 0
        self.condemns = 0
        self.uses = 0
        self.digest = self.last
        self.rules = b""
        self.ruled = NEVER
        self.machines: dict[bytes, MachineRow] = {}
        self.artifacts: dict[bytes, ArtifactRow] = {}
        self.versions: dict[tuple[bytes, int], VersionRow] = {}
        self.aliases: dict[tuple[bytes, str], AliasRow] = {}
        self.holds: dict[bytes, HoldRow] = {}
        self.stages: dict[bytes, StageRow] = {}
        self.runs: dict[bytes, RunRow] = {}
        self.condemned: dict[Place, CondemnRow] = {}
        self.moves: dict[Place, MoveRow] = {}
        # The rest follows from the tables above.
        self.names: dict[str, bytes] = {}
        self.uuids: dict[bytes, tuple[bytes, int]] = {}
        self.places: dict[Place, tuple[bytes, int]] = {}
        self.shown_in: dict[bytes, tuple[bytes, ...]] = {}
        self.used_by: dict[bytes, tuple[bytes, ...]] = {}
        self.forms: dict[tuple[int, Any], bytes] = {}
        self._undo: list[_Undo] = []

    # -- questions -----------------------------------------------------------------------------------------------------

    def transaction(self, *operations: Operation) -> Transaction:
        """Return operations as a transaction of a writer that has checked its packs against this state."""
        return Transaction(self.condemns, self.uses, operations)

    def artifact(self, name: str) -> ArtifactRow | None:
        """Return the artifact of a name."""
        uuid = self.names.get(name)
        return None if uuid is None else self.artifacts[uuid]

    def version_of(self, uuid: bytes) -> VersionRow | None:
        """Return the version of a uuid, also a reaped one."""
        key = self.uuids.get(uuid)
        return None if key is None else self.versions[key]

    def title(self, artifact: bytes, number: int) -> str:
        """Return a version as it is shown: ``NAME:v3``."""
        return f"{self.artifacts[artifact].name}:{version_label(number)}"

    def aliases_of(self, artifact: bytes, number: int) -> list[str]:
        """Return the aliases of a version, sorted."""
        return sorted(row.alias for row in self.aliases.values() if (row.artifact, row.version) == (artifact, number))

    def dependants(self, version: VersionRow) -> Iterator[VersionRow]:
        """Yield the living versions that include a version, show it, or were logged by a run that used it before.

        A version of the same artifact may have come from it by a run.
        """
        for uuid in self.shown_in.get(version.uuid, ()):
            row = self.version_of(uuid)
            if row is not None and row.state == LIVE:
                yield row
        for run in self.used_by.get(version.uuid, ()):
            for row in self._logged_after(self.runs[run], version.uuid):
                if row.state == LIVE and row.artifact != version.artifact:
                    yield row

    def _logged_after(self, run: RunRow, used: bytes) -> Iterator[VersionRow]:
        first = min(edge.at_ns for edge in run.edges if edge.kind == USED and edge.version == used)
        for edge in run.edges:
            if edge.kind == LOGGED and edge.at_ns >= first:
                row = self.version_of(edge.version)
                if row is not None:
                    yield row

    # -- changes -------------------------------------------------------------------------------------------------------

    def position(self) -> int:
        """Return a position to go back to; it is valid until `forget`."""
        return len(self._undo)

    def go_back(self, position: int) -> None:
        """Take back all changes since a position."""
        while len(self._undo) > position:
            table, key, value = self._undo.pop()
            if value is _ABSENT:
                table.pop(key, None)
            else:
                table[key] = value

    def forget(self) -> None:
        """Keep all changes for good."""
        self._undo.clear()

    def assign(self, **values: Any) -> None:
        """Change attributes."""
        for name, value in values.items():
            self._put(vars(self), name, value)

    def put_machine(self, row: MachineRow) -> None:
        """Add or replace a row; likewise the functions that follow."""
        self._put_row(0, self.machines, row.machine, row)

    def put_artifact(self, row: ArtifactRow) -> None:
        """See `put_machine`."""
        before = self.artifacts.get(row.uuid)
        if before is not None and before.name != row.name:
            self._put(self.names, before.name, _ABSENT)
        self._put(self.names, row.name, row.uuid)
        self._put_row(1, self.artifacts, row.uuid, row)

    def put_version(self, row: VersionRow) -> None:
        """See `put_machine`."""
        key = (row.artifact, row.number)
        if key not in self.versions:
            self._put(self.uuids, row.uuid, key)
            self._put(self.places, row.place, key)
            for source in row.sources:
                if source.kind in (INCLUDED, LINKED):
                    shown = self.shown_in.get(source.version, ())
                    self._put(self.shown_in, source.version, (*shown, row.uuid))
        self._put_row(2, self.versions, key, row)

    def put_alias(self, row: AliasRow) -> None:
        """See `put_machine`."""
        self._put_row(3, self.aliases, (row.artifact, row.alias), row)

    def put_hold(self, key: bytes, row: HoldRow | None) -> None:
        """See `put_machine`; None removes the row."""
        self._put_row(4, self.holds, key, row)

    def put_stage(self, key: bytes, row: StageRow | None) -> None:
        """See `put_hold`."""
        self._put_row(5, self.stages, key, row)

    def put_run(self, row: RunRow) -> None:
        """See `put_machine`."""
        for edge in row.edges:
            users = self.used_by.get(edge.version, ())
            if edge.kind == USED and row.run not in users:
                self._put(self.used_by, edge.version, (*users, row.run))
        self._put_row(6, self.runs, row.run, row)

    def put_condemn(self, row: CondemnRow) -> None:
        """See `put_machine`."""
        self._put_row(7, self.condemned, Place(row.made.number, row.position), row)

    def put_move(self, row: MoveRow) -> None:
        """See `put_machine`."""
        self._put_row(8, self.moves, Place(row.made.number, row.position), row)

    def tables(self) -> list[dict[Any, Any]]:
        """Return the tables in the order of a checkpoint."""
        return [
            *(self.machines, self.artifacts, self.versions, self.aliases, self.holds, self.stages, self.runs),
            *(self.condemned, self.moves),
        ]

    def _put_row(self, table: int, rows: dict[Any, Any], key: Any, row: Any) -> None:
        self._put(self.forms, (table, key), _ABSENT)  # its bytes, which `checkpoints` keeps
        self._put(rows, key, _ABSENT if row is None else row)

    def _put(self, table: dict[Any, Any], key: Any, value: Any) -> None:
        self._undo.append((table, key, table.get(key, _ABSENT)))
        if value is _ABSENT:
            table.pop(key, None)
        else:
            table[key] = value
