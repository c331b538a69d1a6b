"""Descriptions, metadata and tags of versions that a remote has: changes made here go there, those of others come here.

As with aliases (`artstore.remotes.alignment`), a change carries the entry that it expects to have made the last one,
and what another machine changed since the last alignment comes here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from artstore.ids import content_id
from artstore.metadata import equal_metadata
from artstore.names import is_pending
from artstore.records.catalogue import ArtifactRecord, VersionRecord
from artstore.records.events import Event, RevisionEvent, TagsEvent
from artstore.records.remotes import RemoteRecord
from artstore.remotes.connection import Connection, decode_description, encode_description, form_of, span_of
from artstore.remotes.entry_notes import EntryNotes
from artstore.remotes.log.appending import append
from artstore.remotes.log.entries import Transaction
from artstore.remotes.log.fields import Span
from artstore.remotes.log.operations import Meta
from artstore.remotes.log.state import LIVE, Mark, State, VersionRow
from artstore.remotes.log.voids import who
from artstore.remotes.packs.containers import RECORD
from artstore.remotes.packs.output import PackOutput
from artstore.remotes.packs.spans import compress
from artstore.remotes.sending import Sending
from artstore.rows import catalogue
from artstore.rows import remotes as rows
from artstore.rows.settings import read_settings
from artstore.storage import journal
from artstore.storage.manifest import ReadTransaction
from artstore.store import Store

__all__ = ["align_descriptions", "was_moved_there"]


class _Different(NamedTuple):
    """A version that is described otherwise in the remote; ``there`` has the fields of `decode_description`."""

    artifact: ArtifactRecord
    version: VersionRecord
    row: VersionRow
    there: dict[str, Any]


def was_moved_there(remote: Connection, record: RemoteRecord | None, mark: Mark) -> bool:
    """Return whether an entry is of another machine, and newer than what this workspace was last aligned with."""
    aligned = 0 if record is None else record.aligned
    return mark.number > aligned and mark.machine != remote.machine.id


def align_descriptions(store: Store, remote: Connection, record: RemoteRecord, push: Collection[int]) -> Iterator[str]:
    """Bring what describes versions here and there together; yield a sentence for each that another machine changed.

    What was changed here is sent for the artifacts ``push``, by their numbers.
    """
    with store.snapshot() as snapshot:
        different = list(_different(snapshot.transaction, remote, record, push))
    theirs = [each for each in different if _is_moved(remote, record, each.row)]
    mine = [each for each in different if not _is_moved(remote, record, each.row)]
    if theirs:
        _take(store, remote.state, theirs)
        for each in theirs:
            title = remote.state.title(each.row.artifact, each.row.number)
            yield f"the description, metadata or tags of {title} were changed {who(remote.state, each.row.recorded)}"
    if mine:
        yield from _send(store, remote, mine)


def _is_moved(remote: Connection, record: RemoteRecord, row: VersionRow) -> bool:
    return row.recorded != row.made and was_moved_there(remote, record, row.recorded)


def _different(
    transaction: ReadTransaction, remote: Connection, record: RemoteRecord, push: Collection[int]
) -> Iterator[_Different]:
    state = remote.state
    for number, uuid in rows.tracked_in(transaction, remote.uuid).items():
        artifact = catalogue.artifact(transaction, number)
        if artifact is None or rows.home_of(transaction, number) != remote.uuid:
            continue
        for version in catalogue.versions_of(transaction, number):
            row = None if is_pending(version.number) else state.versions.get((uuid, version.number))
            found = rows.counterparts_of(transaction, version.serial).get(remote.uuid)
            if row is None or row.state != LIVE or found is None or found.uuid != row.uuid:
                continue
            if number not in push and not _is_moved(remote, record, row):
                continue
            there = _described(remote, version, row)
            if there is not None:
                yield _Different(artifact, version, row, there)


def _described(remote: Connection, version: VersionRecord, row: VersionRow) -> dict[str, Any] | None:
    """Return what describes a version in the remote, None if it is the same here; equal records are not fetched."""
    there: dict[str, Any] = {"description": "", "metadata": {}, "tags": []}
    if row.record is not None:
        if content_id(compress(_encoded(version))) == row.record.hash:
            return None
        there = decode_description(remote.tree(row).form(form_of(row.record)))
    is_same = (
        version.description == there["description"]
        and sorted(version.tags) == sorted(there["tags"])
        and equal_metadata(version.metadata, there["metadata"])
    )
    return None if is_same else there


def _take(store: Store, state: State, different: list[_Different]) -> None:
    """Describe versions here as the log does."""
    events: list[Event] = []
    with store.write() as transaction:
        is_recorded = read_settings(transaction).record_origin
        for artifact, version, row, there in different:
            current = catalogue.version(transaction, version.serial)
            if current is None:
                continue
            described = {"description": there["description"], "metadata": there["metadata"]}
            changed = replace(current, **described, tags=sorted(there["tags"]))
            catalogue.put_version(transaction, changed)
            machine = state.machines.get(row.recorded.machine)
            if changed.description != current.description or not equal_metadata(changed.metadata, current.metadata):
                by = machine.by if machine is not None and is_recorded else ""
                event = RevisionEvent(
                    name=artifact.name, version=current.number, **described, at_ns=row.recorded.at_ns, by=by
                )
                events.append(event)
            if changed.tags != current.tags:
                events.append(TagsEvent(name=artifact.name, version=current.number, tags=changed.tags))
        if events:
            journal.append(store.path, transaction, events)


def _send(store: Store, remote: Connection, different: list[_Different]) -> list[str]:
    """Send records in one object, and one entry that names them; return why the log did not take some."""
    with Sending(store, remote) as sending:
        output = PackOutput(sending)
        spans = [span_of(output.form(RECORD, _encoded(each.version))) for each in different]
        output.finish()

    def prepare(state: State) -> list[Transaction]:
        if remote.condemned() & output.packs:
            return []
        return [
            state.transaction(_meta(each, span))
            for each, span in zip(different, spans, strict=True)
            if state.versions[each.row.artifact, each.row.number].recorded == each.row.recorded
        ]

    voids: list[str] = []
    notes = EntryNotes(store, remote.uuid)
    while (appended := append(remote.log, remote.machine, prepare, notes)).verdicts:  # an entry holds some of many
        if not appended.by_earlier_run:
            voids += [void.text for void in appended.verdicts if void is not None]
        if appended.number is None:
            break
    with store.write() as transaction:
        for added in output.added:
            rows.settle(transaction, remote.uuid, added.pack.folder, added.pack.id)
    return voids


def _encoded(version: VersionRecord) -> bytes:
    return encode_description(version.description, version.metadata, version.tags)


def _meta(each: _Different, span: Span) -> Meta:
    return Meta(each.row.artifact, each.row.number, each.row.recorded.number, "", span)
