"""Pending versions, which get their numbers later, and the aliases that they leave behind."""

from __future__ import annotations

import time
from dataclasses import replace

from artstore.names import PENDING, is_pending, parse_version_label, version_label
from artstore.records.catalogue import AliasRecord, VersionRecord
from artstore.records.tables import Table, key32, key64
from artstore.rows import catalogue
from artstore.storage.manifest import ReadTransaction, WriteTransaction

__all__ = ["is_tracked", "renumber", "shown_aliases", "version_or_link"]


def is_tracked(transaction: ReadTransaction, artifact: int) -> bool:
    """Return whether an artifact tracks one of a remote, whose log then gives its versions their numbers."""
    return next(iter(transaction.rows(Table.TRACKED, key64(artifact))), None) is not None


def renumber(transaction: WriteTransaction, record: VersionRecord, number: int) -> VersionRecord:
    """Give a living version another number, which is free, and let its aliases follow; return its record.

    A pending one that gets its number keeps the old one as an alias, which is in no list.
    """
    transaction.delete(Table.NUMBERS, key64(record.artifact) + key32(record.number))
    changed = replace(record, number=number, former=record.number)
    catalogue.put_version(transaction, changed)
    now_ns = time.time_ns()
    for alias in catalogue.aliases_of(transaction, record.artifact):
        if alias.version == record.number:
            catalogue.put_alias(transaction, record.artifact, alias.name, number, now_ns)
    if is_pending(record.number):
        catalogue.put_alias(transaction, record.artifact, version_label(record.number), number, now_ns)
    return changed


def version_or_link(transaction: ReadTransaction, artifact_number: int, number: int) -> VersionRecord | None:
    """Return the living version with a number, or the one that a pending version of that number has become."""
    record = catalogue.version_by_number(transaction, artifact_number, number)
    if record is None and is_pending(number):
        alias = catalogue.alias_by_name(transaction, artifact_number, version_label(number))
        return None if alias is None else catalogue.version_by_number(transaction, artifact_number, alias.version)
    return record


def shown_aliases(transaction: ReadTransaction, artifact_number: int) -> list[AliasRecord]:
    """Return an artifact's aliases as `catalogue.aliases_of` does, without those that pending versions have left."""
    aliases = catalogue.aliases_of(transaction, artifact_number)
    pending = {alias.name: number for alias in aliases if is_pending(number := parse_version_label(alias.name) or 0)}
    record = catalogue.artifact(transaction, artifact_number) if pending else None
    if record is None:
        return aliases
    return [alias for alias in aliases if pending.get(alias.name, 2 * PENDING) >= PENDING + record.next_pending]
