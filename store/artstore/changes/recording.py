"""Recording runs: processes that use and make versions, and the data that they report while they run.

A run is alive as long as a process holds its lease; the record of a killed run keeps the state ``running``, and is
shown as ``crashed``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from artstore.arguments import texts
from artstore.errors import ExistsError, InvalidInputError, NotFoundError
from artstore.names import check_name, check_run
from artstore.reclaim.leases import RUNS, Lease
from artstore.records.catalogue import EdgeRecord, RunRecord, VersionRecord, checked_metadata
from artstore.records.events import Event, MetricsEvent, RunEvent
from artstore.rows import lineage, runs
from artstore.rows.lineage import Edge, edge_event, end_title, run_end, version_end
from artstore.storage import journal
from artstore.storage.reserve import require_room
from artstore.store import Store

__all__ = ["change_run", "log_rows", "record_logged", "record_use", "start_run"]

_PLAIN: Final = ("name", "job_type", "group", "notes")


def start_run(
    store: Store, project: str, ident: str, *, resume: bool = False, **fields: Any
) -> tuple[RunRecord, Lease]:
    """Record the start of a run, or with ``resume`` the continuation of an existing one; return it and its lock.

    ``fields`` are fields of `RunRecord`.  Without ``ident`` an id is generated.  Raises `ExistsError` if a run of that
    project and id exists and ``resume`` is not set, `InvalidInputError` for an invalid name or values that JSON cannot
    hold.
    """
    if project:
        check_name(project)
    fields = _checked(fields)
    if ident:
        check_run(ident)
    require_room(store.path)
    with store.write() as transaction:
        before = runs.find_run(transaction, project, ident) if ident else None
        if before is not None and not resume:
            raise ExistsError(f"the run {before.title!r} already exists", hint="to continue it, pass resume=True")
        if before is not None:
            plain = {key: fields[key] for key in _PLAIN if fields.get(key)}
            config = {**before.config, **fields.get("config", {})}
            settings = {**before.settings, **fields.get("settings", {})}
            record = replace(before, **plain, config=config, settings=settings, state="running", finished_ns=0)
            record = replace(record, pid=os.getpid())
        else:
            number = transaction.state.next_run
            transaction.state.next_run += 1
            record = RunRecord(number, project, ident or f"r{number}", time.time_ns(), pid=os.getpid(), **fields)
        lock = Lease(store, record.number, RUNS)
        try:
            runs.put_run(transaction, record)
            journal.append(store.path, transaction, [RunEvent(record=record)])
        except BaseException:
            lock.close()
            raise
    return record, lock


def _checked(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields of a run's record as they are stored."""
    values = dict(fields)
    for key in values.keys() & {"config", "settings", "summary"}:
        values[key] = checked_metadata(values[key])
    if "tags" in values:
        values["tags"] = texts(values["tags"], "tags")
    return values


def _recorded(record: RunRecord | None) -> RunRecord:
    if record is None:
        raise NotFoundError("the run no longer exists")
    return record


def change_run(store: Store, number: int, **fields: Any) -> RunRecord:
    """Change fields of a run's record; return the new record.

    Raises `InvalidInputError` for a field that identifies the run, `NotFoundError` if there is no such run.
    """
    for name in fields.keys() & {"number", "project", "id"}:
        raise InvalidInputError(f"the {name} of a run does not change")
    fields = _checked(fields)
    with store.write() as transaction:
        before = _recorded(runs.run(transaction, number))
        record = replace(before, **fields)
        if record != before:
            runs.put_run(transaction, record)
            journal.append(store.path, transaction, [RunEvent(record=record)])
    return record


def log_rows(store: Store, number: int, rows: Sequence[Mapping[str, Any]], summary: Mapping[str, Any]) -> RunRecord:
    """Record rows of metrics, and the summary that results."""
    with store.write() as transaction:
        before = _recorded(runs.run(transaction, number))
        blocks = runs.pack_rows(rows)
        record = replace(
            before,
            steps=before.steps + len(rows),
            blocks=before.blocks + len(blocks),
            summary=checked_metadata({**before.summary, **summary}),
        )
        events: list[Event] = []
        for block, data in enumerate(blocks, before.blocks):
            runs.put_block(transaction, number, block, data)
            events.append(MetricsEvent(run=number, block=block, data=data))
        events.append(RunEvent(record=record))
        runs.put_run(transaction, record)
        journal.append(store.path, transaction, events)
    return record


def record_use(store: Store, number: int, version: VersionRecord, name: str) -> None:
    """Record that a run uses a version, and the ``name`` that it used: an alias, or ``v3``."""
    with store.write() as transaction:
        edge = Edge(version_end(version.serial), lineage.USED, run_end(number))
        edge_record = EdgeRecord(
            time.time_ns(), end_title(transaction, edge.source), end_title(transaction, edge.target), name
        )
        if lineage.put_edge(transaction, edge, edge_record):
            journal.append(store.path, transaction, [edge_event(edge, edge_record)])


def record_logged(store: Store, number: int, version: VersionRecord) -> None:
    """Record that a run logs a version that is there already."""
    with store.write() as transaction:
        edge = Edge(run_end(number), lineage.LOGGED, version_end(version.serial))
        edge_record = EdgeRecord(
            time.time_ns(), end_title(transaction, edge.source), end_title(transaction, edge.target)
        )
        if lineage.put_edge(transaction, edge, edge_record):
            journal.append(store.path, transaction, [edge_event(edge, edge_record)])
