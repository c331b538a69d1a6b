"""Checking a remote: its log and checkpoints, the objects that its versions use, and what is lost with those damaged.

Nothing is written, there or here, so that a remote that is read-only can be checked too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from typing import Final

from artstore.checking.report import OnProgress, Progress, Report
from artstore.errors import ArtfsError, DamageError, NotFoundError
from artstore.ids import content_id
from artstore.interrupts import checkpoint
from artstore.objects.failures import ObjectMissingError
from artstore.objects.opening import open_store
from artstore.records.remotes import PENDING, RemoteRecord
from artstore.remotes.adding import log_break, require_identity
from artstore.remotes.checked_objects import CheckedObjects
from artstore.remotes.connecting import choose, machine_of
from artstore.remotes.connection import Connection, decode_description, form_of
from artstore.remotes.log.checking import CheckedLog, check_log
from artstore.remotes.log.fields import Span
from artstore.remotes.log.state import REAPED, RunRow, VersionRow
from artstore.remotes.packs.checking import CheckedVersion, RemoteDamage, SoundRecords, check_version
from artstore.remotes.packs.located import FormPlace
from artstore.remotes.packs.manifests import decode_manifest
from artstore.remotes.packs.pack_sets import packs_of
from artstore.remotes.packs.places import TREES, Fetch, Pack, PackDamageError
from artstore.remotes.packs.reading import RemoteTree
from artstore.remotes.run_records import is_left, read_run
from artstore.rows import catalogue
from artstore.rows import remotes as rows
from artstore.store import Store

__all__ = ["check_remote"]

_DAMAGED: Final = (DamageError, ObjectMissingError)


def check_remote(
    store: Store, name: str | None = None, *, data: bool = False, progress: OnProgress | None = None
) -> Report:
    """Check a remote that the workspace knows (by default ``origin``, or the only one), with ``data`` all content too.

    Every entry of the log is folded, every checkpoint compared; of each version that is not reaped all records are
    read and proved, and of each object that it uses the length and the footer.  With ``data`` each object is read once
    as a whole, and every chunk and the id of every file is proved.  Problems are of the kinds ``remote``, ``log``,
    ``checkpoint``, ``object`` (with the files and versions that need it), ``record`` and ``unchecked``.

    Raises `NotFoundError` for an unknown remote, and the errors of a store that does not answer.
    """
    uuid, record = choose(store, name)
    return _Check(store, uuid, record, data, progress).run()


@dataclass
class _Loss:
    """What needs a damaged object: the files by artifact and path, with the newest version that has each."""

    files: dict[tuple[bytes, bytes], str] = field(default_factory=dict)
    versions: list[str] = field(default_factory=list)


class _Check:
    def __init__(
        self, store: Store, uuid: bytes, record: RemoteRecord, data: bool, progress: OnProgress | None
    ) -> None:
        self._store = store
        self._record = record
        self._data = data
        self._progress = progress
        self._report = Report()
        self._sound = SoundRecords()
        self._runs: dict[Span, tuple[Span, ...]] = {}
        self._losses: dict[Pack, _Loss] = {}
        self._read_bytes = 0
        objects = open_store(record.url, read_only=True, anonymous=record.anonymous)
        self._objects = objects
        self._uuid = uuid

    def run(self) -> Report:
        report = self._report
        try:
            require_identity(self._objects, self._uuid, self._record)
        except (DamageError, NotFoundError) as error:
            if not isinstance(error, DamageError) and not self._is_somewhere():
                raise
            report.add("remote", error.message)
        self._tell("log", 0, 1)
        self._known = self._recorded()  # before the log is read: it has all of them
        checked = check_log(self._objects, self._uuid)
        self._tell("log", 1, 1)
        self._remote = Connection(self._uuid, self._objects, checked.log, machine_of(self._store))
        self._take_log(checked)
        self._held = CheckedObjects(self._objects, content=self._data, on_bytes=self._add_bytes)
        self._total = sum(self._held.lengths.values())
        self._check_objects()
        self._check_spans()
        self._report_losses()
        if self._data:
            self._read_bytes = self._total
            self._add_bytes(0)
        return report

    def _is_somewhere(self) -> bool:
        """Return whether there is a log where the identity is missing."""
        return next(iter(self._objects.list("log/")), None) is not None

    def _tell(self, phase: str, done: int, total: int) -> None:
        checkpoint()
        if self._progress is not None:
            self._progress(Progress(phase, done, total))

    def _add_bytes(self, length: int) -> None:
        self._read_bytes = min(self._read_bytes + length, self._total)
        self._tell("data", self._read_bytes, self._total)

    # -- the log -------------------------------------------------------------------------------------------------------

    def _take_log(self, checked: CheckedLog) -> None:
        report, state = self._report, checked.log.state
        for kind, sentence in checked.problems:
            report.add(kind, sentence)
        for number in checked.void:
            report.note(f"the object of entry {number} of the log holds no entry, and counts for nothing")
        report.count(entries=state.number, checkpoints=checked.checkpoints)
        error = log_break(checked.log, self._record)
        if error is not None and checked.is_whole:
            report.add("log", error.message)
        for uuid, title in self._known.items():
            if state.version_of(uuid) is None:
                report.add("log", f"{title} was pushed or pulled, and the log does not have it")

    def _recorded(self) -> dict[bytes, str]:
        """Return the versions here that are versions of the remote: their uuids there, and their names."""
        with self._store.snapshot() as snapshot:
            transaction = snapshot.transaction
            found = {}
            for (serial, remote), there in rows.read_tracking(transaction).versions.items():
                version = catalogue.recorded_version(transaction, serial)
                if remote == self._uuid and there.way != PENDING and version is not None:
                    found[there.uuid] = catalogue.label(transaction, version)
        return found

    def _living(self) -> list[VersionRow]:
        """Return the versions that are not reaped, of each artifact the newest first."""
        versions = sorted(self._remote.state.versions.items(), reverse=True)
        return [row for _, row in versions if row.state != REAPED]

    # -- objects -------------------------------------------------------------------------------------------------------

    def _check_objects(self) -> None:
        held, versions = self._held, self._living()
        used: set[Pack] = set()
        for row in versions:
            used |= self._set_of(row)
        ordered = sorted(used, key=lambda pack: pack.id)
        held.check_lengths(ordered)
        if not self._data:
            held.check_footers(ordered, lambda number: self._tell("objects", number, len(ordered)))
        for number, row in enumerate(versions, 1):
            self._check_version(row)
            if not self._data:
                self._tell("versions", number, len(versions))
        if self._data:
            held.check_rest(ordered)
        condemned = self._condemned()
        for pack in used & condemned:
            held.blame(pack, "a collection has given it up, and it may be removed")
        self._report.count(versions=len(versions), objects=len(ordered))
        named = {Pack(TREES, span.pack) for _, span in self._named()}
        self._note_unused(held.lengths.keys() - used - condemned - named)

    def _opened(self, row: VersionRow, fetch: Fetch) -> tuple[RemoteTree, FormPlace | None]:
        """Return the tree of a version and its set of packs, None if its manifest cannot be read."""
        try:
            tree, manifest = self._remote.tree_and_manifest(row, fetch)
        except _DAMAGED:
            return self._remote.tree(row, fetch), None
        self._held.expect(manifest.objects)
        return tree, manifest.packs

    def _set_of(self, row: VersionRow) -> set[Pack]:
        """Return the packs in the set of a version, none if it cannot be read."""
        tree, place = self._opened(row, self._held.fetch_range)
        try:
            return set() if place is None else set(packs_of(tree.form(place), tree.form))
        except _DAMAGED:
            return set()

    def _check_version(self, row: VersionRow) -> None:
        held, title = self._held, self._remote.state.title(row.artifact, row.number)
        tree, place = self._opened(row, held.fetch)
        lost = {} if self._data else held.lost
        found = check_version(tree, place, content=self._data, sound=self._sound, lost=lost)
        for span, what in ((row.manifest, "manifest"), (row.record, "description")):
            error = None if span is None else self._span_damage(tree, span, is_description=what == "description")
            if error is not None:
                found.damage.append(_damage_of(error))
        for damage in found.damage:
            self._lose(row, title, damage)
        if found.unlisted and not found.damage:
            names = ", ".join(pack.object_name for pack in sorted(found.unlisted))
            text = f"the set of packs of {title} lacks {names}, which a collection could remove"
            self._report.add("record", text, versions=[title])
        self._count(found)

    def _count(self, found: CheckedVersion) -> None:
        self._report.count(files=found.files)
        if self._data:
            self._report.count(data_bytes=found.bytes)

    @staticmethod
    def _span_damage(tree: RemoteTree, span: Span, *, is_description: bool) -> ArtfsError | None:
        """Return what is wrong with a record that the log names, None if nothing."""
        try:
            data = tree.form(form_of(span))
            if is_description:
                decode_description(data)
            else:
                decode_manifest(data)
        except _DAMAGED as error:
            return error
        return None

    def _lose(self, row: VersionRow, title: str, damage: RemoteDamage) -> None:
        """Note a file or directory that cannot be read."""
        path = os.fsdecode(damage.path)
        if damage.pack is None:
            self._report.add("record", damage.message, files=[f"{title}/{path}"], versions=[title])
            return
        self._held.blame(damage.pack, damage.what)
        loss = self._losses.setdefault(damage.pack, _Loss())
        loss.files.setdefault((row.artifact, damage.path), f"{title}/{path}")
        if title not in loss.versions:
            loss.versions.append(title)

    def _condemned(self) -> set[Pack]:
        try:
            return self._remote.condemned()
        except _DAMAGED:
            return set()  # the lists are checked as all that the log names

    def _named(self) -> Iterator[tuple[str, Span]]:
        """Yield the records that the log names and that belong to no version, with what each is."""
        state = self._remote.state
        for artifact in state.artifacts.values():
            if artifact.record is not None:
                yield f"the record of {artifact.name}", artifact.record
        for run in state.runs.values():
            if run.record is not None and is_left(state, run):
                yield f"the record of the run {run.name}", run.record
                yield from self._logged(run, run.record)
        for row in state.condemned.values():
            yield f"the list of objects that entry {row.made.number} gives up", row.listed
        for moved in state.moves.values():
            yield f"the map of moved content of entry {moved.made.number}", moved.map

    def _check_spans(self) -> None:
        for what, span in self._named():
            self._check_span(what, span)

    def _logged(self, run: RunRow, span: Span) -> Iterator[tuple[str, Span]]:
        """Yield the blocks of what a run logged; none of a record that cannot be read, which is reported."""
        if span not in self._runs:
            try:
                self._runs[span] = read_run(self._remote, run.name, span).blocks
            except _DAMAGED:
                self._runs[span] = ()
        for block, place in enumerate(self._runs[span]):
            yield f"block {block} of what the run {run.name} logged", place

    def _check_span(self, what: str, span: Span) -> None:
        pack, text = Pack(TREES, span.pack), ""
        try:
            for fresh in (False, True):
                data = self._held.fetch_range(pack, span.offset, span.length, fresh=fresh)
                if content_id(data) == span.hash:
                    return
        except PackDamageError as error:
            text = error.what
        text = text or f"there are other bytes at {span.offset:,}"
        self._report.add("record", f"{what} cannot be read: {text} in the object {pack.object_name}")

    # -- the report ----------------------------------------------------------------------------------------------------

    def _report_losses(self) -> None:
        damage = self._held.damage
        if not damage:
            return
        for row in self._living():  # a version needs an object also where another one was found to need it
            title = self._remote.state.title(row.artifact, row.number)
            for pack in self._set_of(row) & damage.keys():
                loss = self._losses.setdefault(pack, _Loss())
                if title not in loss.versions:
                    loss.versions.append(title)
        for pack, whats in sorted(damage.items()):
            loss = self._losses.get(pack, _Loss())
            more = f", and {len(whats) - 1:,} more" if len(whats) > 1 else ""
            text = f"the object {pack.object_name} is damaged: {whats[0]}{more}"
            if pack not in self._held.lengths:
                text = f"the object {pack.object_name} is missing"
            self._report.add("object", text, files=sorted(loss.files.values()), versions=sorted(loss.versions))

    def _note_unused(self, unused: Set[Pack]) -> None:
        for name in self._held.foreign:
            self._report.note(f"the object {name} is none of a remote's")
        if unused:
            number, length = len(unused), sum(self._held.lengths[pack] for pack in unused)
            self._report.note(
                f"{number:,} {'object' if number == 1 else 'objects'} with {length:,} bytes belong to no version: "
                "to pushes that are under way, or were stopped"
            )


def _damage_of(error: ArtfsError) -> RemoteDamage:
    """Return the damage of a version as a whole."""
    if isinstance(error, PackDamageError):
        return RemoteDamage(b"", error.message, error.pack, error.what)
    return RemoteDamage(b"", error.message)
