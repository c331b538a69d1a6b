"""Checking packs and extents: each pack must exist, be whole and of this workspace; no two extents may overlap."""

from __future__ import annotations

import errno
import os
import uuid as uuids
from array import array
from pathlib import Path

from artstore import beneath
from artstore.checking.check_names import Names
from artstore.checking.recounting import Recount
from artstore.checking.report import Report, reason_of
from artstore.checking.tracing import trace
from artstore.errors import DamageError
from artstore.limits import raise_machine_error
from artstore.records.counters import Counters
from artstore.records.nodes import KIND_CHUNK
from artstore.records.packing import HEADER_LENGTH, parse_header
from artstore.records.tables import Table, key32
from artstore.storage import manifest
from artstore.storage.manifest import ReadTransaction
from artstore.storage.packs import pack_path

__all__ = ["check_extents", "check_pack_files"]

_LOW = (1 << 32) - 1


def check_extents(recounted: Recount, counters: Counters, report: Report) -> None:
    """Check that extents lie inside their packs and do not overlap, and that counters equal their sums."""
    covered = 0
    for number in sorted(recounted.packs):
        use = recounted.packs[number]
        end = recounted.ends.get(number)
        if end is None:
            extents = len(use.nodes) + len(use.condemned) + len(use.free)
            owner = f"that of node {recounted.numbers[use.ranks[0]]}" if use.ranks else "that of a gap"
            report.add("extent", f"{extents} extents are in pack {number}, which has no record; the first is {owner}")
            continue
        covered += _check_pack(recounted, number, end, report)
    framing = sum(recounted.ends.values()) - covered
    for name, kept, counted, known in (
        ("stored", counters.stored_bytes, recounted.stored_bytes, not recounted.damaged),
        ("free", counters.free_bytes, recounted.free_bytes, True),
        ("condemned", counters.condemned_bytes, recounted.condemned_bytes, True),
        ("framing", counters.framing_bytes, framing, not recounted.damaged),
    ):
        if known and kept != counted:
            report.add("counter", f"the manifest counts {kept} {name} bytes, but there are {counted}")
    for number in recounted.ends:
        if number >= counters.next_pack:
            report.add("counter", f"the number of pack {number} has not been assigned yet")
    report.count(packs=len(recounted.ends))


def _check_pack(recounted: Recount, number: int, end: int, report: Report) -> int:
    """Check the extents of one pack; return how many bytes they cover."""
    use = recounted.packs[number]
    places = sorted([*use.nodes, *use.condemned, *use.free])
    position, covered = HEADER_LENGTH, 0
    bad: list[tuple[int, str]] = []
    for place in places:
        offset, length = place >> 32, place & _LOW
        if offset < position or not length or offset + length > end:
            bad.append((place, _fault(offset, length, position, end)))
        covered += length
        position = max(position, offset + length)
    if bad:
        owners = dict(zip(use.nodes, use.ranks, strict=True))
        condemned = set(use.condemned)
        for place, fault in bad:
            node = recounted.numbers[owners[place]] if place in owners else 0
            what = f"the extent of node {node}" if node else "a condemned extent" if place in condemned else "a gap"
            report.add("extent", f"{what} at {place >> 32} of pack {number} {fault}", node=node)
    return covered


def _fault(offset: int, length: int, position: int, end: int) -> str:
    if not length:
        return "has no bytes"
    if offset < HEADER_LENGTH:
        return "lies in the pack's header"
    if offset + length > end:
        return f"reaches to {offset + length}, past the pack's end {end}"
    return f"overlaps the one that ends at {position}"


def check_pack_files(
    workspace: Path, transaction: ReadTransaction, recounted: Recount, names: Names, uuid: str, report: Report
) -> None:
    """Check that every pack exists, has its acknowledged length, and is this workspace's; ``uuid`` "" is unknown.

    An empty pack may be removed during the check: a later transaction shows that it is no loss.
    """
    expected = uuids.UUID(uuid).bytes if uuid else None
    faults: dict[str, array[int]] = {}
    for number, end in sorted(recounted.ends.items()):
        fault = _fault_of_file(pack_path(workspace, number), number, end, expected)
        if fault is None:
            continue
        with manifest.read(workspace) as now:
            if now.number != transaction.number and now.get(Table.PACKS, key32(number)) is None:
                continue
        sentence, length = fault
        faults[sentence] = _chunks_past(recounted, number, length)
    if faults:
        touched = trace(transaction, faults.values(), recounted.versions, names)
        for sentence, touches in zip(faults, touched, strict=True):
            report.take(touches.problem("file", sentence))


def _fault_of_file(path: Path, number: int, end: int, uuid: bytes | None) -> tuple[str, int] | None:
    """Return the fault of a pack's file and the number of its readable bytes, or None if it is sound."""
    length = 0
    try:
        with open(beneath.open_file(path.parents[1], path), "rb") as file:
            length = os.fstat(file.fileno()).st_size
            if length < end:
                return f"the pack {path} ends at {length}, before its acknowledged end {end}", length
            found_uuid, found_number, _ = parse_header(file.read(HEADER_LENGTH))
    except FileNotFoundError:
        return f"the pack {path} is missing", 0
    except DamageError as error:
        return f"the pack {path} cannot be used for a rebuild: {error}", length
    except OSError as error:
        raise_machine_error(error, f"the pack {path} cannot be checked", but=errno.EIO)
        return f"the pack {path} is unreadable: {reason_of(error)}", 0
    if uuid is not None and found_uuid != uuid:
        return f"the pack {path} belongs to another workspace", length
    if found_number != number:
        return f"the header of the pack {path} has the number {found_number}", length
    return None


def _chunks_past(recounted: Recount, number: int, length: int) -> array[int]:
    """Return the chunks of a pack that reach past a length, and so are unreadable."""
    use = recounted.pack(number)
    return array(
        "Q",
        (
            recounted.numbers[rank]
            for place, rank in zip(use.nodes, use.ranks, strict=True)
            if (place >> 32) + (place & _LOW) > length and recounted.kinds[rank] == KIND_CHUNK
        ),
    )
