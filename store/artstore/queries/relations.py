"""What versions have to do with each other and with runs, and which names begin in a way; for programs."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple

from artstore.names import check_name
from artstore.queries.conditions import values_at
from artstore.queries.versions import Version
from artstore.records.catalogue import RunRecord
from artstore.records.packing import CLASS_CONTENT
from artstore.records.terms import METADATA, Kind, decoded
from artstore.rows import catalogue, content, lineage, runs, terms
from artstore.rows.lineage import End, version_end
from artstore.rows.nodes import find_node
from artstore.rows.snapshot import Snapshot
from artstore.store import Store

__all__ = [
    "Logged",
    "children",
    "current",
    "dependants_of",
    "included_by",
    "logged_by",
    "names_below",
    "serials_by_value",
    "stored_bytes_of",
]


class Logged(NamedTuple):
    """A run that logged a version; it made the version unless that was there already."""

    run: RunRecord
    made_it: bool


def names_below(store: Store, project: str, beginning: str = "") -> list[str]:
    """Return the components directly below a project that begin with a text, in order."""
    with store.snapshot() as snapshot, suppress(UnicodeEncodeError):  # half of a surrogate pair: no name has one
        return list(catalogue.components_in(snapshot.transaction, project, beginning))
    return []


def children(store: Store, project: str) -> list[tuple[str, bool]]:
    """Return (component, whether it is an artifact) of what is directly in a project ("" for the top), by name."""
    if project:
        check_name(project)
    with store.snapshot() as snapshot:
        return sorted((entry.component, entry.is_artifact) for entry in snapshot.names_in(project))


def edition(store: Store) -> int:
    """Return a number that changes with each change of versions, names, aliases and metadata."""
    with store.snapshot() as snapshot:
        return snapshot.edition


def current(store: Store, name: str) -> Version | None:
    """Return the latest living version of an artifact, or None."""
    with store.snapshot() as snapshot:
        artifact = snapshot.find_name(name)
        record = None if artifact is None or not artifact.is_artifact else snapshot.latest(artifact.number)
    return None if artifact is None or record is None else Version(store, artifact.name, record, artifact.type)


def included_by(store: Store, version: Version) -> list[Version]:
    """Return the living versions that a version includes."""
    with store.snapshot() as snapshot:
        edges = lineage.edges_to(snapshot.transaction, version_end(version.record.serial))
        ends = [edge.source for edge, _ in edges if edge.kind == lineage.INCLUDED]
        return _living(store, snapshot, ends)


def dependants_of(store: Store, version: Version) -> list[Version]:
    """Return the living versions that were made from a version: those that `Workspace.delete` names."""
    with store.snapshot() as snapshot:
        records = [record for record, _ in lineage.dependants(snapshot.transaction, version.record)]
        return _living(store, snapshot, [version_end(record.serial) for record in records])


def serials_by_value(store: Store, path: str, *, text: bool = False) -> dict[str | int | float, list[int]]:
    """Return the serials of the living versions by the number or text that they have at a path of their metadata.

    They are read from the index of terms, and only what is not in it from records.  The index has a text that writes a
    number as that number; with ``text``, such are read from records too.
    """
    with store.snapshot() as snapshot:
        transaction = snapshot.transaction
        found: dict[str | int | float, list[int]] = {}
        unknown = terms.partial(transaction)
        for form, serials in terms.serials_by_form(transaction, METADATA, path):
            value = decoded(form)
            if value is not None and not (text and form[:1] == Kind.NUMBER):
                found[value] = serials
            elif form[:1] in (Kind.TEXT, Kind.NUMBER):
                unknown.update(serials)
        if unknown:
            found = {value: [each for each in serials if each not in unknown] for value, serials in found.items()}
        for serial in sorted(unknown):
            record = snapshot.version(serial)
            for recorded in () if record is None else values_at(record.metadata, path):
                if isinstance(recorded, str | int | float) and not isinstance(recorded, bool):
                    found.setdefault(recorded, []).append(serial)
        return {value: serials for value, serials in found.items() if serials}


def stored_bytes_of(store: Store, digests: Iterable[str]) -> int:
    """Return the stored bytes of contents, given by their digests in hex; those that the store lacks take none."""
    with store.snapshot() as snapshot:
        transaction = snapshot.transaction
        # In the order of the index, whose pages are then read once each.
        nodes = (find_node(transaction, CLASS_CONTENT, ident) for ident in sorted(map(bytes.fromhex, digests)))
        return sum(
            content.stored_of_chunk(row[1]) or content.stored_bytes(transaction, row[0])
            for row in nodes
            if row is not None
        )


def _living(store: Store, snapshot: Snapshot, ends: list[End]) -> list[Version]:
    found = []
    for end in ends:
        record = snapshot.version(end.number) if end.is_version else None
        artifact = None if record is None else snapshot.artifact(record.artifact)
        if record is not None and artifact is not None:
            found.append(Version(store, artifact.name, record, artifact.type))
    return found


def logged_by(store: Store, version: Version) -> list[Logged]:
    """Return the runs that logged a version, and whether each made it: a run may log a version that was there."""
    with store.snapshot() as snapshot:
        found = []
        for edge, record in lineage.edges_to(snapshot.transaction, version_end(version.record.serial)):
            run = None if edge.kind != lineage.LOGGED else runs.run(snapshot.transaction, edge.source.number)
            if run is not None:
                found.append(Logged(run, record.at_ns == version.record.created_ns))
        return found
