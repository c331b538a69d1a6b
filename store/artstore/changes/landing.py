"""Giving pending versions their numbers, once the log of a remote has decided them.

A version that lands keeps its record, its serial and its inodes: only its number changes, and its aliases follow.  The
old label, such as ``p1``, stays as an alias that leads to it and is in no list.
"""

from __future__ import annotations

import time
from dataclasses import replace

from artstore.daemon_requests import Change
from artstore.names import version_label
from artstore.records.catalogue import EdgeRecord, VersionRecord
from artstore.records.events import AliasEvent, DeleteEvent, EdgeEvent, Event, NumberEvent
from artstore.rows import catalogue, deadlist, lineage
from artstore.rows.lineage import Edge, edge_event, version_end
from artstore.rows.pending import renumber
from artstore.storage import journal
from artstore.storage.manifest import WriteTransaction
from artstore.store import Store

__all__ = ["land", "merge"]


def land(
    store: Store, transaction: WriteTransaction, version: VersionRecord, number: int
) -> tuple[VersionRecord, list[Change]]:
    """Give a living version the number that a log gave it, which is free; return its record, and what mounts drop."""
    artifact = catalogue.artifact(transaction, version.artifact)
    if artifact is None or version.number == number:
        return version, []
    catalogue.put_artifact(transaction, replace(artifact, next_version=max(artifact.next_version, number + 1)))
    record = renumber(transaction, version, number)
    event = NumberEvent(name=artifact.name, version=version.number, number=number)
    journal.append(store.path, transaction, [event])
    names = [alias.name for alias in catalogue.aliases_of(transaction, artifact.number) if alias.version == number]
    return record, [Change(artifact.name, [version_label(version.number), version_label(number), "latest", *names])]


def merge(
    store: Store, transaction: WriteTransaction, version: VersionRecord, into: VersionRecord
) -> tuple[VersionRecord, list[Change]]:
    """Drop a pending version that equals another one of its artifact; return that, and what mounts have to drop.

    Its aliases, runs and lineage go to the other version, and its label leads there.  It is deleted like any version:
    what is open stays readable.
    """
    artifact = catalogue.artifact(transaction, version.artifact)
    assert artifact is not None
    now_ns = time.time_ns()
    names = [
        alias.name for alias in catalogue.aliases_of(transaction, artifact.number) if alias.version == version.number
    ]
    label = version_label(version.number)
    events: list[Event] = [*_moved_edges(transaction, version, into)]
    for name in [*names, label]:
        catalogue.put_alias(transaction, artifact.number, name, into.number, now_ns)
        events.append(AliasEvent(name=artifact.name, alias=name, version=into.number))
    entry = deadlist.add_entry(
        transaction,
        [version.root],
        now_ns,
        serial=version.serial,
        artifact=artifact.number,
        version=version.number,
    )
    reason = f"equals {version_label(into.number)}"
    deleted = replace(
        version, state="deleted", deleted_ns=entry.added_ns, due_ns=now_ns, entry=entry.number, reason=reason
    )
    catalogue.put_version(transaction, deleted)
    transaction.state.versions -= 1
    transaction.state.logical_bytes -= version.bytes
    events.append(
        DeleteEvent(
            name=artifact.name,
            version=version.number,
            serial=version.serial,
            due_ns=now_ns,
            aliases=[],
            reason=reason,
        )
    )
    journal.append(store.path, transaction, events)
    return into, [Change(artifact.name, [label, version_label(into.number), "latest", *names])]


def _moved_edges(transaction: WriteTransaction, version: VersionRecord, into: VersionRecord) -> list[EdgeEvent]:
    """Give a version the edges of lineage that another one has; return the events."""
    mine, other = version_end(version.serial), version_end(into.serial)
    found = [
        *((Edge(other, edge.kind, edge.target), record) for edge, record in lineage.edges_from(transaction, mine)),
        *((Edge(edge.source, edge.kind, other), record) for edge, record in lineage.edges_to(transaction, mine)),
    ]
    title = catalogue.label(transaction, into)
    events = []
    for edge, record in found:
        if edge.source == edge.target:
            continue
        ends = {"source": title} if edge.source == other else {"target": title}
        moved = EdgeRecord(
            record.at_ns, ends.get("source", record.source), ends.get("target", record.target), record.name
        )
        if lineage.put_edge(transaction, edge, moved):
            events.append(edge_event(edge, moved))
    return events
