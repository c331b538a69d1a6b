"""Changes of a version's description and metadata, and the removal of earlier ones from its history.

Each change is one journal event with the description and the metadata after it; the journal keeps the last of them as
the version's history.  Removing a value from the history takes three steps, each of which leaves a sound workspace:

1. the value leaves the version's record, as any change does;
2. the manifest is copied, because its free pages still contain the old record;
3. the journal is rewritten without the value.

The last step comes last: as long as the value is in the journal, the same call continues after an interruption.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from artstore.arguments import text
from artstore.errors import NotFoundError
from artstore.metadata import equal_metadata, reserved
from artstore.names import version_label
from artstore.origins import process_origin
from artstore.queries.revisions import revisions_of
from artstore.reclaim.compaction import compact_environment, rewrite_journal
from artstore.records.catalogue import (
    ArtifactRecord,
    Metadata,
    VersionRecord,
    checked_metadata,
    refuse_reserved,
)
from artstore.records.events import RevisionEvent
from artstore.rows import catalogue
from artstore.rows.history import History, VersionHistory
from artstore.rows.settings import read_settings
from artstore.storage import journal
from artstore.storage.manifest import WriteTransaction
from artstore.store import Store

__all__ = ["Revised", "forget_descriptions", "forget_metadata", "living", "revise"]


@dataclass(frozen=True, slots=True)
class Revised:
    """A version's record after a change, the artifact's name, and whether anything differs from before."""

    artifact: ArtifactRecord
    record: VersionRecord
    changed: bool


def living(transaction: WriteTransaction, version: VersionRecord) -> tuple[ArtifactRecord, VersionRecord]:
    """Return a version's artifact and its present record; raise `NotFoundError` if it has been deleted."""
    artifact = catalogue.artifact(transaction, version.artifact)
    current = catalogue.version(transaction, version.serial)
    if artifact is None or current is None:
        raise NotFoundError(f"{version_label(version.number)} has been deleted")
    return artifact, current


def revise(
    store: Store,
    version: VersionRecord,
    *,
    description: str | None = None,
    metadata: Metadata | None = None,
    update: Metadata | None = None,
    remove: Sequence[str] = (),
) -> Revised:
    """Change the description or metadata of a version; None keeps the current one.

    ``metadata`` replaces all values but those that artfs itself wrote; ``update`` then sets single keys, and ``remove``
    removes keys.  Raises `NotFoundError` for a key that is not there, `InvalidInputError` for one that is reserved.
    """
    if description is not None:
        text(description, "the description")
    whole = None if metadata is None else checked_metadata(metadata)
    changes = {} if update is None else checked_metadata(update)
    origin = process_origin()
    by = f"{origin['user']}@{origin['host']}"
    with store.write() as transaction:
        artifact, current = living(transaction, version)
        kept = reserved(current.metadata)
        values = current.metadata if whole is None else {**whole, **kept}
        refuse_reserved({**(whole or {}), **changes, **dict.fromkeys(remove)}, kept)
        values = {**values, **changes}
        for key in remove:
            if key not in values:
                raise _no_key(artifact, current, key)
        values = {key: value for key, value in values.items() if key not in remove}
        changed = replace(
            current, metadata=values, description=current.description if description is None else description
        )
        is_changed = changed != current or not equal_metadata(changed.metadata, current.metadata)  # 1 equals True
        if is_changed:
            catalogue.put_version(transaction, changed)
            event = RevisionEvent(
                name=artifact.name,
                version=current.number,
                description=changed.description,
                metadata=changed.metadata,
                at_ns=time.time_ns(),
                by=by if read_settings(transaction).record_origin else "",
            )
            journal.append(store.path, transaction, [event])
    return Revised(artifact, changed, is_changed)


def _no_key(artifact: ArtifactRecord, version: VersionRecord, key: str) -> NotFoundError:
    name = f"{artifact.name}:{version_label(version.number)}"
    return NotFoundError(f"{name} has no metadata key {key!r}", hint=f"show its metadata: artfs show {name}")


def forget_metadata(store: Store, version: VersionRecord, keys: Sequence[str]) -> Revised:
    """Remove metadata keys from a version and from its history.

    Raises `NotFoundError` for a key that neither the version nor its history has, and `BusyError` if other processes
    read the manifest for more than ten seconds: the values are then still in the history, and the call can be repeated.
    """
    refuse_reserved(dict.fromkeys(keys), {})
    with store.write() as transaction:
        artifact, current = living(transaction, version)
    known = {key for state in revisions_of(store, current) for key in state.metadata}
    for key in keys:
        if key not in known:
            raise _no_key(artifact, current, key)
    revised = revise(store, current, remove=[key for key in keys if key in current.metadata])
    _rewrite(store, revised, lambda past: past.forget(metadata=keys))
    return revised


def forget_descriptions(store: Store, version: VersionRecord, description: str) -> Revised:
    """Change the description of a version, and remove all others from its history; see `forget_metadata`."""
    revised = revise(store, version, description=description)
    _rewrite(store, revised, lambda past: past.forget(description=True))
    return revised


def _rewrite(store: Store, revised: Revised, edit: Callable[[VersionHistory], None]) -> None:
    """Remove the old records of a version from the manifest's free pages, and its past states from the journal."""

    def edit_history(history: History) -> None:
        edit(history.version_by_serial(revised.record.serial))

    compact_environment(store, always=True)
    rewrite_journal(store, edit_history)
