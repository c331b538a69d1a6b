"""Rebuilding a lost or unreadable LMDB environment from packs and journal.

Offline: no other process may use the workspace.  The new environment is built in its own folder.  Once it is complete
and synced, it is renamed into place and `current` is switched, so that a rebuild can be killed at any point and started
again.  The old environment is kept under another name.

Brought back: every living version with its number, serial, digest, time, description, metadata, tags and base; types,
aliases, and the next numbers.  Deleted versions stay deleted and can no longer be undeleted: content that only they
held is condemned, and the next gc frees it.  If anything was unreadable, nothing is condemned: another rebuild may need
the bytes, once a missing pack or journal has been restored.  Not brought back: drafts, the entries of the deadlist,
settings, and the times at which aliases were set.  Nodes get new numbers.
"""

from __future__ import annotations

import os
import re
import uuid as uuids
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from artstore import beneath, locate
from artstore.checking.exclusive import alone
from artstore.checking.packed import Packed
from artstore.checking.report import OnProgress, Progress, Report
from artstore.errors import DamageError, UnsupportedError, WorkspaceNotFoundError
from artstore.queries.figures import forget
from artstore.records.deadlist import encode_free
from artstore.records.journal_frames import encode_events
from artstore.records.nodes import Extent, decode_lost
from artstore.records.tables import Table, key32
from artstore.repairing.rebuild_nodes import Regrower
from artstore.repairing.repair_folders import modes_of, own, restore_folders
from artstore.repairing.repair_space import whole_hole
from artstore.repairing.replay_journal import Recalled, Root, events_of, label, read_journal, write_catalogue
from artstore.rows import space
from artstore.rows.nodes import change_counts, node_payload
from artstore.storage import disk, journal, manifest
from artstore.storage.environment import Environment
from artstore.storage.lmdb_files import DATA
from artstore.storage.manifest import WriteTransaction
from artstore.storage.manifest_folders import CURRENT, FORMAT, read_current
from artstore.store import read_identity

__all__ = ["rebuild"]

_BATCH_NODES: Final = 20_000
_KEPT: Final = "damaged-"
_SCRATCH: Final = "run/rebuild"
_BUILT: Final = "manifest.1"
_FOLDER: Final = re.compile(rf"(?:{_KEPT})?manifest\.([0-9]+)")


def rebuild(path: str | os.PathLike[str], progress: OnProgress | None = None) -> Report:
    """Rebuild the environment of the workspace at ``path``; the report lists the repairs and the losses.

    Needs no environment that opens.  Raises `BusyError` naming the processes that use the workspace, `DamageError`
    if journal or identity are missing, `OutOfSpaceError` if the new environment does not fit; the workspace is then
    unchanged.
    """
    workspace = Path(os.path.realpath(path))
    locate.refuse_unencodable(workspace)
    uuid = uuids.UUID(read_identity(workspace).uuid).bytes
    disk.require_writable(workspace)
    old = _old_folder(workspace)
    report = Report()
    with alone(workspace, old):
        report.repaired += restore_folders(workspace)
        recalled = read_journal(journal.journal_path(workspace), report)
        packed = Packed(workspace, uuid, report, _reporter(progress, "packs"))
        try:
            with _scratch(workspace) as scratch:
                new = _grow(workspace, scratch, packed, recalled, report, progress)
                forget(workspace)
                _put_in_place(workspace, old, new, report)
        finally:
            packed.close()
        report.repaired.append(f"rebuilt the manifest in {new}")
    return report


def _reporter(progress: OnProgress | None, phase: str) -> Callable[[int, int], None] | None:
    if progress is None:
        return None
    return lambda done, total: progress(Progress(phase, done, total))


def _old_folder(workspace: Path) -> Path | None:
    """Return the folder of the environment that was in use, or None if it is unknown."""
    try:
        return workspace / read_current(workspace)[1]
    except UnsupportedError:
        raise
    except (WorkspaceNotFoundError, DamageError):
        return None  # `current` is lost, too


# -- growing -----------------------------------------------------------------------------------------------------------


@contextmanager
def _scratch(workspace: Path) -> Iterator[Path]:
    """Run the block with an empty environment in a folder that has the form of a workspace."""
    beneath.remove_tree(workspace, _SCRATCH)
    with disk.out_of_space(workspace, "a new manifest"):
        beneath.make_folders(workspace, _SCRATCH)
    try:
        with beneath.closing(beneath.open_folder(workspace, _SCRATCH)) as fd:
            scratch = Path(f"/proc/self/fd/{fd}")  # the folder itself, whatever the path may lead to later
            with disk.out_of_space(workspace, "a new manifest"):
                beneath.make_folder(scratch, _BUILT, 0o700)
                disk.write_file(scratch, scratch / _BUILT / "lease", b"", modes_of(workspace)[1])
                disk.write_file(scratch, scratch / CURRENT, f"{FORMAT} {_BUILT}\n".encode(), 0o600)
            manifest.create(scratch)
            yield scratch
    finally:
        beneath.remove_tree(workspace, _SCRATCH)


class _Writer:
    """Transactions of bounded size, one after another."""

    def __init__(self, scratch: Path, packed: Packed) -> None:
        self._scratch = scratch
        self._stack = ExitStack()
        self._nodes = 0
        self.regrower = Regrower(packed, self._stack.enter_context(manifest.write(scratch)), self._pause)

    @property
    def transaction(self) -> WriteTransaction:
        """The transaction that is open."""
        return self.regrower.transaction

    def _pause(self) -> None:
        self._nodes += 1
        if self._nodes % _BATCH_NODES == 0:
            self.settle()
            self._stack.close()
            self.regrower.transaction = self._stack.enter_context(manifest.write(self._scratch))

    def settle(self) -> None:
        """Write the collected changes of counts."""
        change_counts(self.transaction, self.regrower.changes)
        self.transaction.state.stored_bytes += self.regrower.stored_bytes
        self.regrower.changes.clear()
        self.regrower.stored_bytes = 0

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *error: object) -> bool | None:
        return self._stack.__exit__(*error)  # type: ignore[arg-type]


def _grow(
    workspace: Path,
    scratch: Path,
    packed: Packed,
    recalled: Recalled,
    report: Report,
    progress: OnProgress | None,
) -> str:
    """Fill the empty environment; return the name of its future folder."""
    report_progress = _reporter(progress, "versions") or (lambda done, total: None)
    roots: dict[tuple[str, int], Root] = {}
    living = recalled.living
    try:
        with _Writer(scratch, packed) as writer:
            regrower = writer.regrower
            for done, (name, number, version) in enumerate(living):
                first = len(regrower.used)
                node = regrower.grow(bytes.fromhex(version.form), bytes.fromhex(version.digest))
                if node:
                    roots[name, number] = Root(node, sum(extent.stored for extent in regrower.used[first:]))
                    regrower.changes[node] = regrower.changes.get(node, 0) + 1
                else:
                    gone = label(name, number)
                    report.add("catalogue", f"{gone} is lost: its directory is in no pack", versions=[gone])
                report_progress(done + 1, len(living))
            writer.settle()
            transaction = writer.transaction
            _name_lost(transaction, regrower.lost, report)
            write_catalogue(transaction, recalled.history, roots, report)
            doubt = packed.doubt or recalled.is_damaged or bool(regrower.lost) or len(roots) < len(living)
            _write_space(transaction, packed, regrower.used, report, doubt=doubt, purge=recalled.has_purged)
            _write_journal(workspace, transaction, recalled)
            report.count(versions=len(roots), nodes=transaction.state.next_node - 16)
    finally:
        Environment.of(scratch).drop()
    return _next_folder(workspace)


def _name_lost(transaction: WriteTransaction, lost: list[int], report: Report) -> None:
    for node in lost:
        ident = decode_lost(node_payload(transaction, node)).id.hex()
        report.add("chunk", f"content {ident} is in no pack, or damaged there: it is lost", chunk=ident, node=node)


def _write_space(
    transaction: WriteTransaction, packed: Packed, used: list[Extent], report: Report, *, doubt: bool, purge: bool
) -> None:
    """Write the rows of packs and gaps: gaps are condemned, or free if they are already holes."""
    state = transaction.state
    ends = dict(packed.ends)
    covered = sum(extent.stored for extent in used)
    if doubt:
        ends = {pack: max(end, os.fstat(packed.fd(pack)).st_size) for pack, end in ends.items()}
        report.note("unreferenced bytes in packs are kept for another rebuild; fsck --repair frees them")
    else:
        for gap in list(_gaps(packed, used)):
            covered += gap.stored
            free = whole_hole(packed.fd(gap.pack), gap)
            if free is None or purge:
                space.condemn(transaction, [gap], purge=purge)
            else:
                transaction.put(Table.FREE, *encode_free(free))
                state.free_bytes += free.length - free.punched
    for pack, end in ends.items():
        transaction.put(Table.PACKS, key32(pack), end.to_bytes(8, "little"))
    state.next_pack = max(ends, default=0) + 1
    state.framing_bytes = sum(ends.values()) - covered


def _gaps(packed: Packed, used: list[Extent]) -> Iterator[Extent]:
    """Yield the stretches of the segments' data that are not used."""
    places = iter(sorted(used))
    place = next(places, None)
    for frame in sorted(packed.frames):
        position = frame.data
        while place is not None and (place.pack, place.offset) < (frame.pack, frame.data_end):
            if place.offset > position:
                yield Extent(frame.pack, position, place.offset - position, 0)
            position = place.offset + place.stored
            place = next(places, None)
        if position < frame.data_end:
            yield Extent(frame.pack, position, frame.data_end - position, 0)


def _write_journal(workspace: Path, transaction: WriteTransaction, recalled: Recalled) -> None:
    """Record the length of the journal; replace it with one made from the catalogue if a part is unreadable."""
    state = transaction.state
    path = journal.journal_path(workspace)
    state.journal_generation = journal.generation_of(path)
    state.journal_end = recalled.end
    if recalled.is_damaged:
        transaction.save_state()
        data = encode_events(events_of(transaction))
        state.journal_generation += 1
        state.journal_end = len(data)
        with disk.out_of_space(workspace, "the journal"):
            new = journal.journal_path(workspace, state.journal_generation)
            mode, damaged = modes_of(workspace)[1], path.with_name(f"{path.name}.damaged")
            disk.write_file(workspace, damaged, beneath.read_bytes(workspace, path), mode)
            disk.write_file(workspace, new, data, mode)
            own(workspace, new, mode)


# -- into place --------------------------------------------------------------------------------------------------------


def _next_folder(workspace: Path) -> str:
    numbers = [int(match[1]) for match in map(_FOLDER.fullmatch, beneath.names(workspace)) if match]
    return f"manifest.{max(numbers, default=0) + 1}"


def _put_in_place(workspace: Path, old: Path | None, name: str, report: Report) -> None:
    """Move the new environment into place and switch `current` to it: from then on it is the manifest.

    The old one is renamed first: an unreadable environment must not be mistaken for one that was compacted.
    """
    folder_mode, file_mode = modes_of(workspace)
    built = workspace / _SCRATCH / _BUILT
    with disk.out_of_space(workspace, "a new manifest"):
        for each in beneath.names(workspace, built):
            own(workspace, built / each, file_mode)
        own(workspace, built, folder_mode)
        disk.sync_folder(workspace, built)
        _put_aside(workspace, old, report)
        beneath.rename(workspace, built, name)
        disk.sync_folder(workspace)
        disk.write_file(workspace, workspace / CURRENT, f"{FORMAT} {name}\n".encode(), file_mode)
        own(workspace, workspace / CURRENT, file_mode)


def _put_aside(workspace: Path, old: Path | None, report: Report) -> None:
    """Keep the old environment under another name, unless it is empty; remove environments that were not in use."""
    for path in sorted(workspace / each for each in beneath.names(workspace) if each.startswith("manifest.")):
        data = path / DATA
        is_empty = not beneath.exists(workspace, data) or not beneath.status(workspace, data).st_size
        if (old is not None and path != old) or is_empty:
            beneath.remove_tree(workspace, path)
        else:
            kept = workspace / f"{_KEPT}{path.name}"
            beneath.rename(workspace, path, kept)
            report.note(f"the old manifest is kept in {kept}; remove it once everything works")
