"""Reading and verifying all stored content, each unique stored form once, in the order of packs (`fsck --data`).

A read transaction lasts for one segment, because an open one keeps LMDB from reusing pages and the reaper from punching
packs.  Nodes that were reaped meanwhile are skipped, and those moved to another pack are read there.  The position is
kept in the cache folder, so that an interrupted run resumes there; segments with damage are read again.
"""

from __future__ import annotations

import errno
import os
import time
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from artstore import beneath
from artstore.checking.bookmark import Bookmark, PackMark
from artstore.checking.check_names import read_names
from artstore.checking.recounting import Recount
from artstore.checking.report import MOST_OF_A_KIND, OnProgress, Progress, Report, reason_of
from artstore.checking.tracing import trace
from artstore.checking.verifying import Fault, verify
from artstore.errors import DamageError
from artstore.limits import raise_machine_error
from artstore.records.nodes import Extent
from artstore.records.packing import HEAD_LENGTH, HEADER_LENGTH, PackedEntry, parse_index, parse_segment_head
from artstore.records.tables import Table, key32
from artstore.rows.nodes import node_extent
from artstore.storage import disk, manifest
from artstore.storage.manifest import ReadTransaction
from artstore.storage.packs import pack_path

__all__ = ["check_content"]

_WINDOW: Final = 16 * 1024 * 1024
"""Bytes checked together if no segment's head is readable."""
_NOTE_SECONDS: Final = 2.0


class _Segment(NamedTuple):
    """A segment of a pack, and where its index begins; ``index_at`` is 0 for bytes outside any known segment."""

    start: int
    index_at: int
    end: int


def check_content(
    workspace: Path, uuid: str, recounted: Recount, report: Report, progress: OnProgress | None = None
) -> dict[str, array[int]]:
    """Verify the stored forms of all nodes that a recount found, and the indexes of all segments.

    Returns all damaged nodes by the kind of problem.  The report names the first of each kind, with files and versions
    if content is damaged.
    """
    check = _Check(workspace, recounted, report, Bookmark.load(workspace, uuid), progress)
    try:
        for number in sorted(recounted.ends):
            check.pack(number)
    except BaseException:
        check.bookmark.save(workspace)
        raise
    check.bookmark.remove(workspace)
    check.name_faults()
    return check.damaged


class _Check:
    """One run over the packs."""

    def __init__(
        self, workspace: Path, recounted: Recount, report: Report, bookmark: Bookmark, progress: OnProgress | None
    ) -> None:
        self.bookmark = bookmark
        self.damaged: dict[str, array[int]] = {}
        self._faults: dict[int, Fault] = {}
        self._workspace = workspace
        self._recounted = recounted
        self._report = report
        self._progress = progress
        self._total = sum(recounted.ends.values())
        self._done = 0
        self._noted = time.monotonic()

    def pack(self, number: int) -> None:
        """Verify the content of one pack."""
        end = self._recounted.ends[number]
        try:
            fd = beneath.open_file(self._workspace, pack_path(self._workspace, number))
        except OSError as error:
            raise_machine_error(error, f"the pack {number} cannot be checked", but=errno.EIO)
            self._advance(end)  # the check of pack files reports it, with its content
            return
        try:
            inode = os.fstat(fd).st_ino
            mark = self.bookmark.packs.get(number)
            if mark is None or mark.inode != inode or mark.verified > end:  # the pack's end was cut off
                mark = self.bookmark.packs[number] = PackMark(inode)
            use = self._recounted.pack(number)
            ranks = sorted(range(len(use.nodes)), key=use.nodes.__getitem__)
            places = [use.nodes[rank] for rank in ranks]
            for segment in self._segments(fd, number, end):
                if segment.end > mark.verified or segment.start in mark.bad:
                    first = bisect_left(places, segment.start << 32)
                    last = bisect_left(places, segment.end << 32)
                    numbers = self._recounted.numbers
                    nodes = [(places[i] >> 32, numbers[use.ranks[ranks[i]]]) for i in range(first, last)]
                    self._verify_segment(fd, number, segment, nodes, mark)
                self._advance(segment.end - segment.start)
        finally:
            os.close(fd)

    def _advance(self, length: int) -> None:
        self._done += length
        if self._progress is not None:
            self._progress(Progress("data", min(self._done, self._total), self._total))
        if time.monotonic() - self._noted > _NOTE_SECONDS:
            self.bookmark.save(self._workspace)
            self._noted = time.monotonic()

    def _segments(self, fd: int, number: int, end: int) -> Iterator[_Segment]:
        """Yield the segments of a pack, by their heads; after an unreadable head, the rest in pieces."""
        position = HEADER_LENGTH
        while position < end:
            try:
                data, index = parse_segment_head(os.pread(fd, HEAD_LENGTH, position))
                segment = _Segment(position, position + HEAD_LENGTH + data, position + HEAD_LENGTH + data + index)
                if segment.end > end:
                    raise DamageError("it reaches past the end of the pack")
            except DamageError as error:
                if not self._is_listed(fd, number, position):
                    return
                self._report.add("packed", f"no segment of pack {number} can be found from {position} on: {error}")
                for start in range(position, end, _WINDOW):
                    yield _Segment(start, 0, min(start + _WINDOW, end))
                return
            yield segment
            position = segment.end

    def _is_listed(self, fd: int, number: int, position: int) -> bool:
        """Return whether the pack must still have a segment at a position: compaction removes packs, and cuts ends."""
        with manifest.read(self._workspace) as transaction:
            end = int.from_bytes(transaction.get(Table.PACKS, key32(number)) or b"", "little")
        start = HEADER_LENGTH
        while start < min(position, end):
            try:
                data, index = parse_segment_head(os.pread(fd, HEAD_LENGTH, start))
            except DamageError:
                return True
            start += HEAD_LENGTH + data + index
        return start == position < end

    def _verify_segment(
        self, fd: int, number: int, segment: _Segment, nodes: list[tuple[int, int]], mark: PackMark
    ) -> None:
        """Verify the index of a segment, and the nodes that lie in it, given as (offset, node)."""
        entries: dict[int, PackedEntry] | None = None
        sound = True
        if segment.index_at:
            try:
                index = disk.read_exactly(fd, segment.end - segment.index_at, segment.index_at)
                entries = {entry.offset: entry for entry in parse_index(index) if entry.stored}
            except DamageError as error:
                if not self._is_listed(fd, number, segment.start):
                    return
                sound = False
                self._report.add("packed", f"the index of the segment at {segment.start} of pack {number}: {error}")
        with manifest.read(self._workspace) as transaction:
            for offset, node in nodes:
                fault = self._verify_node(transaction, node, Extent(number, offset, 0, 0), fd, entries)
                if fault is not None:
                    sound = False
                    self._take(node, fault)
        if segment.start in mark.bad:
            mark.bad.remove(segment.start)
        if not sound:
            mark.bad.append(segment.start)
        mark.verified = max(mark.verified, segment.end)

    def _verify_node(
        self, transaction: ReadTransaction, node: int, place: Extent, fd: int, entries: dict[int, PackedEntry] | None
    ) -> Fault | None:
        """Verify one node at its present place."""
        try:
            payload = transaction.get_numbered(Table.NODES, node)
            if payload is None:
                return None  # reaped meanwhile
            extent = node_extent(payload)
            is_here = (extent.pack, extent.offset) == place[:2]
            entry = entries.get(place.offset) if entries is not None and is_here else None
            fault = verify(transaction, node, entry, lambda extent: self._read(extent, place.pack, fd))
        except Exception as error:  # whatever a malformed record raises
            raise_machine_error(error, f"the pack {place.pack} cannot be checked", but=errno.EIO)
            return Fault("record", f"the record of node {node} is unreadable: {reason_of(error)}")
        self._report.count(nodes_verified=1, data_bytes=extent.stored)
        if fault is None and is_here and entries is not None and entry is None:
            return Fault("packed", f"the index of its segment in pack {extent.pack} does not list node {node}")
        return fault

    def _read(self, extent: Extent, pack: int, fd: int) -> bytes:
        """Return the stored bytes of an extent; ``fd`` is the pack that is being read."""
        if extent.pack == pack:
            return _pread(fd, extent)
        try:
            other = beneath.open_file(self._workspace, pack_path(self._workspace, extent.pack))
        except OSError as error:
            raise_machine_error(error, f"the pack {extent.pack} cannot be checked", but=errno.EIO)
            raise DamageError(f"the pack {extent.pack} cannot be opened: {reason_of(error)}") from error
        try:
            return _pread(other, extent)
        finally:
            os.close(other)

    def _take(self, node: int, fault: Fault) -> None:
        nodes = self.damaged.setdefault(fault.kind, array("Q"))
        nodes.append(node)
        if len(nodes) <= MOST_OF_A_KIND:
            self._faults[node] = fault
        else:
            self._report.omitted[fault.kind] += 1

    def name_faults(self) -> None:
        """Report the faults, with the files and versions that are not fully readable."""
        if not self._faults:
            return
        with manifest.read(self._workspace) as transaction:
            names = read_names(transaction, Report())
            groups = [() if fault.kind == "packed" else (node,) for node, fault in self._faults.items()]
            touched = trace(transaction, groups, self._recounted.versions, names)
            for (node, fault), touches in zip(self._faults.items(), touched, strict=True):
                ident = None
                with suppress(DamageError):
                    ident = (transaction.get_numbered(Table.NODES, node) or b"")[2:34].hex() or None
                self._report.take(touches.problem(fault.kind, fault.sentence, ident, node))


def _pread(fd: int, extent: Extent) -> bytes:
    try:
        return disk.read_exactly(fd, extent.stored, extent.offset)
    except DamageError:
        raise
    except OSError as error:
        raise_machine_error(error, "a pack cannot be checked", but=errno.EIO)
        raise DamageError(f"the disk failed: {error.strerror}") from error
