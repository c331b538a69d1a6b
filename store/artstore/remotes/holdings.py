"""What the objects of a remote are needed for: the packs of each version, and what else the log leads to.

Versions' sets of packs are unions of bits over the packs that were met, so that thousands of versions fit in memory.
Each set is read once, several at a time; trees are not walked.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from artstore.errors import DamageError, InvalidInputError
from artstore.objects.failures import ObjectMissingError
from artstore.objects.protocol import ObjectInfo
from artstore.remotes.connection import Connection, form_of
from artstore.remotes.log.fields import Span
from artstore.remotes.log.state import DELETED, LIVE, RunRow, StageRow, State, VersionRow
from artstore.remotes.packs.located import FormPlace
from artstore.remotes.packs.manifests import decode_manifest
from artstore.remotes.packs.pack_sets import packs_of
from artstore.remotes.packs.places import DATA, TREES, Pack, parse_object_name
from artstore.remotes.packs.reading import RemoteRoot, RemoteTree
from artstore.remotes.run_records import is_left, read_run

__all__ = ["Holdings", "LostSetError", "is_kept"]

_AT_ONCE: Final = 16
_LOST: Final = "nothing is given up while that is so; see what is lost: artfs fsck --remote"


class LostSetError(DamageError):
    """Raised if it cannot be known which packs a version needs."""

    kind = "lost_set"


def is_kept(state: State, row: VersionRow, now_ns: int) -> bool:
    """Return whether a version's packs are kept: it lives, can be undeleted until ``due_ns``, or is held.

    ``now_ns`` is the store's clock.
    """
    if row.state == LIVE or (row.state == DELETED and row.due_ns > now_ns):
        return True
    holds = (hold for hold in state.holds.values() if (hold.artifact, hold.number) == (row.artifact, row.number))
    return row.state == DELETED and any(hold.until_ns > now_ns for hold in holds)


class Holdings:
    """The packs of a remote's versions, as far as its log was read."""

    def __init__(self, remote: Connection, on_version: Callable[[int, int], None] | None = None) -> None:
        """``on_version`` is called with the number of sets that were read, and of those to read."""
        self._remote = remote
        self._on_version = on_version
        self._bits: dict[Pack, int] = {}
        self._packs: list[Pack] = []
        self._masks: dict[Span, int] = {}
        self._parts: dict[FormPlace, bytes] = {}
        self._runs: dict[Span, tuple[Span, ...]] = {}
        self._objects: dict[Pack, ObjectInfo] | None = None
        self.foreign: list[ObjectInfo] = []
        """Objects in the folders of packs with names that no pack has."""

    # -- objects -------------------------------------------------------------------------------------------------------

    @property
    def objects(self) -> dict[Pack, ObjectInfo]:
        """The packs that the store has, listed at the first call."""
        if self._objects is None:
            found: dict[Pack, ObjectInfo] = {}
            for folder in (DATA, TREES):
                for info in self._remote.store.list(f"{folder:c}/"):
                    try:
                        found[parse_object_name(info.name)] = info
                    except InvalidInputError:
                        self.foreign.append(info)
            self._objects = found
        return self._objects

    def list_all(self) -> list[ObjectInfo]:
        """List all that is below the remote's prefix in one go; return what is no pack."""
        self._objects, rest = {}, []
        for info in self._remote.store.list(""):
            try:
                self._objects[parse_object_name(info.name)] = info
            except InvalidInputError:
                rest.append(info)
        return rest

    def bytes_of(self, packs: Iterable[Pack]) -> int:
        """Return the bytes that packs take in the store."""
        return sum(self.objects[pack].size for pack in packs if pack in self.objects)

    # -- sets ----------------------------------------------------------------------------------------------------------

    def read(self, rows: Iterable[VersionRow]) -> None:
        """Read the sets of versions, several at a time.

        Raises `LostSetError` naming a version whose set is damaged or missing, and the errors of the store.
        """
        waiting = [row for row in rows if row.manifest not in self._masks]
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="artfs-sets") as threads:
            for done, (row, packs) in enumerate(zip(waiting, threads.map(self._set, waiting), strict=True), 1):
                self._masks[row.manifest] = self.mask(packs)
                if self._on_version is not None:
                    self._on_version(done, len(waiting))

    def _set(self, row: VersionRow) -> set[Pack]:
        try:
            tree, form = self._remote.tree_and_packs(row)
            packs = set(packs_of(tree.form(form), self._part(tree.form)))
        except (DamageError, ObjectMissingError) as error:
            title = self._remote.state.title(row.artifact, row.number)
            raise LostSetError(
                f"it is not known which objects {title} needs: {error.message}",
                hint=_LOST,
            ) from error
        return packs | {Pack(TREES, span.pack) for span in (row.root, row.manifest, row.record) if span is not None}

    def _part(self, load: Callable[[FormPlace], bytes]) -> Callable[[FormPlace], bytes]:
        def read(form: FormPlace) -> bytes:
            found = self._parts.get(form)
            if found is None:
                found = self._parts[form] = load(form)
            return found

        return read

    def mask(self, packs: Iterable[Pack]) -> int:
        """Return packs as bits."""
        bits = bytearray(len(self._packs) // 8 + 1)
        for pack in packs:
            bit = self._bits.get(pack)
            if bit is None:
                bit = self._bits[pack] = len(self._packs)
                self._packs.append(pack)
            if bit // 8 >= len(bits):
                bits += bytes(bit // 8 + 1 - len(bits))
            bits[bit // 8] |= 1 << bit % 8
        return int.from_bytes(bits, "little")

    def packs(self, mask: int) -> Iterator[Pack]:
        """Yield the packs that bits stand for."""
        data = mask.to_bytes((mask.bit_length() + 7) // 8, "little")
        for place, byte in enumerate(data):
            if byte:
                yield from (self._packs[place * 8 + bit] for bit in range(8) if byte >> bit & 1)

    def of(self, rows: Iterable[VersionRow]) -> int:
        """Return the packs of versions, as bits; their sets are read if they were not."""
        found = list(rows)
        self.read(found)
        union = 0
        for row in found:
            union |= self._masks[row.manifest]
        return union

    # -- what is needed ------------------------------------------------------------------------------------------------

    def needed(self, now_ns: int, without: Iterable[VersionRow] = ()) -> int:
        """Return the packs, as bits, that must stay: of kept versions but ``without``, of stages, and of the log.

        ``now_ns`` is the store's clock.
        """
        state = self._remote.state
        left = {row.uuid for row in without}
        kept = [row for row in state.versions.values() if row.uuid not in left and is_kept(state, row, now_ns)]
        return self.of(kept) | self.mask(self._led_to(state, now_ns, left))

    def _led_to(self, state: State, now_ns: int, left: Container[bytes]) -> Iterator[Pack]:
        """Yield the packs that the log leads to without a version, and those of runs, but of versions ``left``.

        Those of a run stay until its last version is reaped: one that is deleted can have packs that others use, and
        then no condemn names it.
        """
        spans: list[Span | None] = [row.listed for row in state.condemned.values()]
        spans += [move.map for move in state.moves.values()]
        spans += [artifact.record for artifact in state.artifacts.values()]
        yield from (Pack(TREES, span.pack) for span in spans if span is not None)
        for run in state.runs.values():
            if is_left(state, run, left):
                yield from self._of_run(run)
        for stage in state.stages.values():
            if stage.until_ns > now_ns:
                yield from self._staged(stage)

    def _of_run(self, run: RunRow) -> Iterator[Pack]:
        """Yield the packs of a run's record and metrics; the record is read once."""
        if run.record is None:
            return
        spans = self._runs.get(run.record)
        if spans is None:
            try:
                spans = read_run(self._remote, run.name, run.record).blocks
            except (DamageError, ObjectMissingError) as error:
                raise LostSetError(
                    f"it is not known which objects the run {run.name} needs: {error.message}", hint=_LOST
                ) from error
            self._runs[run.record] = spans
        yield from (Pack(TREES, span.pack) for span in (run.record, *spans))

    def _staged(self, stage: StageRow) -> Sequence[Pack]:
        form = form_of(stage.manifest)
        tree = RemoteTree(self._remote.fetch, RemoteRoot(b"", form.place, form.hash, 0, 0, 0), "a push under way")
        try:
            manifest = decode_manifest(tree.form(form))
            packs = packs_of(tree.form(manifest.packs), self._part(tree.form))
            return [form.place.pack, *packs, *(added.pack for added in manifest.objects)]
        except (DamageError, ObjectMissingError) as error:
            raise LostSetError(f"it is not known which objects a push needs: {error.message}", hint=_LOST) from error

    def freed_by(self, rows: Sequence[VersionRow]) -> int:
        """Return the bytes that come back once versions are deleted and collected, with all that is deleted already."""
        ever = 1 << 64
        mask = self.of(rows) & ~self.needed(ever, rows) & ~self.mask(self._remote.condemned())
        return self.bytes_of(self.packs(mask))
