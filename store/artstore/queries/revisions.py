"""The history of a version's description and metadata, as the journal keeps it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from artstore.clock import utc
from artstore.errors import DamageError
from artstore.records.catalogue import VersionRecord
from artstore.records.events import RenameEvent, RevisionEvent, VersionEvent, decode, kind_of
from artstore.rows.history import VersionHistory
from artstore.storage import journal
from artstore.store import Store

__all__ = ["Revision", "revisions_of"]

_KINDS = (VersionEvent, RevisionEvent, RenameEvent)
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Revision:
    """The description and metadata of a version from a moment on: of its creation, or of a change.

    ``by`` is who made it, as ``USER@HOST``, or "" if that was not recorded.
    """

    at: datetime
    by: str
    description: str
    metadata: dict[str, Any]


def revisions_of(store: Store, version: VersionRecord) -> list[Revision]:
    """Return the states of a version's description and metadata, newest first; the last is that of its creation.

    The last 200 changes are kept.  Reads the whole journal.  Raises `DamageError` if it lacks the version.
    """
    recorded = _recorded(store, version.serial)
    if recorded is None:
        raise DamageError(
            f"the journal of {store.path} does not have the version with serial {version.serial}",
            hint="check the workspace: artfs fsck",
        )
    made = recorded.made
    origin = made.origin or {}
    by = f"{origin.get('user', '')}@{origin.get('host', '')}" if origin else ""
    states = [Revision(utc(made.created_ns), by, made.description, made.metadata)]
    states += [Revision(utc(event.at_ns), event.by, event.description, event.metadata) for event in recorded.revisions]
    return states[::-1]


def _recorded(store: Store, serial: int) -> VersionHistory | None:
    for attempt in range(_ATTEMPTS):
        with store.snapshot() as snapshot:
            counters = snapshot.transaction.counters()
        path = journal.journal_path(store.path, counters.journal_generation)
        try:
            return _replayed(journal.replay(path, counters.journal_end), serial)
        except FileNotFoundError as error:  # it has just been rewritten
            if attempt == _ATTEMPTS - 1:
                raise DamageError(f"the journal of {store.path} is missing") from error
    return None


def _replayed(events: Iterator[dict[str, Any]], serial: int) -> VersionHistory | None:
    """Return what the journal has of one version; other events are not decoded, because there may be millions."""
    history = None
    for values in events:
        if kind_of(values) not in _KINDS:
            continue
        if history is None:
            if values.get("serial") == serial:
                made = decode(values)
                assert isinstance(made, VersionEvent)  # no other of these kinds has a serial
                history = VersionHistory(made)
        elif values.get("name") == history.made.name:
            event = decode(values)
            if isinstance(event, RenameEvent):
                history.rename(event.to)
            elif isinstance(event, RevisionEvent) and event.version == history.made.number:
                history.revise(event)
    return history
