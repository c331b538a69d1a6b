"""The structure of a workspace, on one read snapshot: counts, index, extents, deadlist, names, journal, counters.

No tree has to be walked.  Suppose that every reference leads to a node, that every node has as many references as its
count and at least one, and that every node's number is higher than those it refers to.  Then every node is reachable
from a version, a draft or the deadlist, and every version is complete.
"""

from __future__ import annotations

from pathlib import Path

from artstore.checking.check_journal import check_journal
from artstore.checking.check_names import Names, check_names, read_names
from artstore.checking.check_remotes import check_remotes
from artstore.checking.check_terms import check_terms
from artstore.checking.check_versions import check_versions
from artstore.checking.extents import check_extents, check_pack_files
from artstore.checking.files import Place, note_strays
from artstore.checking.lineages import check_runs
from artstore.checking.recounting import Recount, readable_rows, recount
from artstore.checking.report import OnProgress, Progress, Report
from artstore.checking.tracing import trace
from artstore.records.catalogue import VersionRecord
from artstore.records.counters import Counters
from artstore.records.deadlist import DeadEntry
from artstore.records.nodes import KIND_LOST
from artstore.records.packing import CLASS_CONTENT, CLASS_TREE
from artstore.records.tables import Table
from artstore.rows import nodes
from artstore.rows.nodes import COUNT_BLOCK
from artstore.rows.settings import read_settings
from artstore.storage import manifest
from artstore.storage.manifest import ReadTransaction

__all__ = ["Recount", "check_structure", "recount"]


def check_structure(
    workspace: Path, transaction: ReadTransaction, place: Place, report: Report, progress: OnProgress | None = None
) -> Recount:
    """Check the manifest against itself, the packs' lengths and the journal."""

    def report_progress(done: int, total: int) -> None:
        if progress is not None:
            progress(Progress("records", done, total))

    counters = _counters(transaction, report)
    recounted = recount(transaction, report, report_progress)
    names = read_names(transaction, report)
    report.count(nodes=len(recounted.numbers) + len(recounted.damaged), versions=len(recounted.versions))
    with report.guard("unchecked", "the packs"):
        check_pack_files(workspace, transaction, recounted, names, place.uuid, report)
    with report.guard("unchecked", "the counts"):
        _check_counts(transaction, recounted, report)
    with report.guard("unchecked", "the index"):
        _check_index(transaction, recounted, report)
    with report.guard("unchecked", "what is damaged or missing"):
        _name_lost(transaction, recounted, names, report)
    with report.guard("unchecked", "the journal"):
        _check_journal(workspace, transaction, recounted, names, report)
    with report.guard("unchecked", "the settings"):
        read_settings(transaction)
    with report.guard("unchecked", "the index of metadata"):
        check_terms(transaction, names, recounted.versions, report)
    with report.guard("unchecked", "the remotes"):
        check_remotes(transaction, names, recounted.versions, report)
    if counters is not None:
        with report.guard("unchecked", "the extents"):
            check_extents(recounted, counters, report)
        with report.guard("unchecked", "the names"):
            check_names(transaction, names, recounted.versions, counters, report)
        with report.guard("unchecked", "the versions"):
            check_versions(transaction, names, recounted.versions, counters, report)
        with report.guard("unchecked", "runs and lineage"):
            check_runs(transaction, {version.serial for version in recounted.versions}, counters, report)
        with report.guard("unchecked", "the deadlist"):
            _check_deadlist(transaction, recounted, names, counters, report)
        with report.guard("unchecked", "the counters"):
            _check_counters(recounted, counters, report)
        if place.manifest is not None:
            note_strays(workspace, place.manifest, recounted, counters, report)
    return recounted


def _counters(transaction: ReadTransaction, report: Report) -> Counters | None:
    with report.guard("record", "the counters"):
        return transaction.counters()
    return None


def _check_counts(transaction: ReadTransaction, recounted: Recount, report: Report) -> None:
    """Compare each count with the references found.

    The references of an unreadable record are unknown: counts may then be higher than the references found.
    """
    position = 0
    for block in _count_blocks(transaction, report):
        position = _check_without_row(recounted, position, block * COUNT_BLOCK, report)
        with report.guard("record", f"the counts of the nodes from {block * COUNT_BLOCK} on"):
            counts = nodes.read_counts(transaction, block)
            wanted, after = _wanted(recounted, position, block)
            if counts != wanted:
                _name_counts(recounted, block, counts, wanted, report)
            position = after
    _check_without_row(recounted, position, None, report)
    if not recounted.damaged:
        for rank, references in enumerate(recounted.wanted):
            if not references:
                node = recounted.numbers[rank]
                report.add("orphan", f"nothing refers to node {node}", node=node)


def _count_blocks(transaction: ReadTransaction, report: Report) -> list[int]:
    blocks = []
    with transaction.raw.cursor(transaction.handles[Table.COUNTS]) as cursor:
        for key in cursor.iternext(values=False):
            if len(key) == 8:
                blocks.append(int.from_bytes(key, "big"))
            else:
                report.add("record", f"the row {key.hex()} of the table counts is malformed")
    return blocks


def _wanted(recounted: Recount, position: int, block: int) -> tuple[list[int], int]:
    """Return the references of one block of neighbours, and the rank of the first node after it."""
    numbers, first = recounted.numbers, block * COUNT_BLOCK
    wanted = [0] * COUNT_BLOCK
    while position < len(numbers) and numbers[position] < first + COUNT_BLOCK:
        wanted[numbers[position] - first] = recounted.wanted[position]
        position += 1
    return wanted, position


def _check_without_row(recounted: Recount, position: int, until: int | None, report: Report) -> int:
    """Check the nodes below a number whose counts have no row; return the rank of the first after them."""
    numbers = recounted.numbers
    while position < len(numbers) and (until is None or numbers[position] < until):
        if recounted.wanted[position]:
            _name_count(numbers[position], 0, recounted.wanted[position], report)
        position += 1
    return position


def _name_counts(recounted: Recount, block: int, counts: list[int], wanted: list[int], report: Report) -> None:
    for index, (kept, actual) in enumerate(zip(counts, wanted, strict=True)):
        node = block * COUNT_BLOCK + index
        if kept != actual and node not in recounted.missing and not (recounted.damaged and kept > actual):
            _name_count(node, kept, actual, report)


def _name_count(node: int, kept: int, actual: int, report: Report) -> None:
    report.add("count", f"the reference count of node {node} is {kept}, but should be {actual}", node=node)


def _check_index(transaction: ReadTransaction, recounted: Recount, report: Report) -> None:
    """Check that the index leads from each node's id to the node, and to no other."""
    sums = [0, 0]
    rows = 0
    rare: list[tuple[bytes, bytes]] = []
    with transaction.raw.cursor(transaction.handles[Table.INDEX]) as cursor:
        for key, value in cursor:
            sums[0 if key[0] == CLASS_TREE else 1] += hash(key[1:] + value)
            rows += 1
            if key[0] != CLASS_TREE and key[0] != CLASS_CONTENT:
                rare.append((key, value))  # lists, what is lost, and classes that there are none of
    fits = sums == recounted.index_sums and rows == len(recounted.numbers)
    if not fits or any(key not in _keys_of(transaction, recounted, value) for key, value in rare):
        _name_index(transaction, recounted, report)


def _keys_of(transaction: ReadTransaction, recounted: Recount, value: bytes) -> list[bytes]:
    """Return the keys under which the node that a row of the index leads to may be found."""
    node = int.from_bytes(value, "big")
    return nodes.index_keys(nodes.node_payload(transaction, node)) if recounted.rank(node) >= 0 else []


def _name_index(transaction: ReadTransaction, recounted: Recount, report: Report) -> None:
    """Look up each row of the index, and each node in it: slow, for an index that is known to be wrong."""
    with transaction.raw.cursor(transaction.handles[Table.INDEX]) as cursor:
        for key, value in cursor:
            node = int.from_bytes(value, "big")
            if recounted.rank(node) < 0:
                if node not in recounted.damaged:
                    report.add("index", f"the index maps {key.hex()} to node {node}, which does not exist")
            elif len(value) != 8 or key not in nodes.index_keys(nodes.node_payload(transaction, node)):
                report.add("index", f"the index maps {key.hex()} to node {node}, which has another id")
    for node in recounted.numbers:
        payload = nodes.node_payload(transaction, node)
        if not any(transaction.find(key[0], key[1:]) == node for key in nodes.index_keys(payload)):
            report.add("index", f"the index has no entry for node {node}", chunk=payload[2:34].hex(), node=node)


def _name_lost(transaction: ReadTransaction, recounted: Recount, names: Names, report: Report) -> None:
    """Report the nodes that do not read, are not there, or have no content, with the files and versions they touch."""
    lost = {
        node: ("record", f"the record of node {node} is unreadable: {why}") for node, why in recounted.damaged.items()
    }
    for node, by in recounted.missing.items():
        lost[node] = ("reference", f"{by} refers to node {node}, which is missing")
    rank = recounted.kinds.find(KIND_LOST)
    while rank >= 0:
        node = recounted.numbers[rank]
        lost[node] = ("lost", f"the content of node {node} was damaged and is lost until it is put again")
        rank = recounted.kinds.find(KIND_LOST, rank + 1)
    if not lost:
        return
    ids = {}
    with transaction.raw.cursor(transaction.handles[Table.INDEX]) as cursor:
        for key, value in cursor:
            if (node := int.from_bytes(value, "big")) in lost:
                ids[node] = key[1:].hex()
    touched = trace(transaction, [(node,) for node in lost], recounted.versions, names)
    for (node, (kind, sentence)), touches in zip(lost.items(), touched, strict=True):
        report.take(touches.problem(kind, sentence, ids.get(node), node))


def _check_journal(
    workspace: Path, transaction: ReadTransaction, recounted: Recount, names: Names, report: Report
) -> None:
    """Compare journal and catalogue, once more on a newer snapshot where they differ: the journal may have moved on."""
    trial = Report()
    check_journal(workspace, transaction, names, recounted.versions, trial)
    if trial.problems:
        with manifest.read(workspace) as later:
            if later.number != transaction.number:
                trial, passed_over = Report(), Report()
                rows = readable_rows(later, Table.VERSIONS, passed_over)
                versions = [VersionRecord.decode(payload) for _, payload in rows]
                check_journal(workspace, later, read_names(later, passed_over), versions, trial)
    report.merge(trial)


def _check_deadlist(
    transaction: ReadTransaction, recounted: Recount, names: Names, counters: Counters, report: Report
) -> None:
    """Compare the deadlist with its counters and with the versions that wait in it."""
    numbers: set[int] = set()
    waiting: dict[int, DeadEntry] = {}
    for entry in recounted.entries:
        if entry.number in numbers:
            report.add("deadlist", f"two entries of the deadlist have the number {entry.number}")
        numbers.add(entry.number)
        if entry.number >= counters.next_entry:
            report.add("counter", f"the number of entry {entry.number} of the deadlist has not been assigned yet")
        if entry.transaction > transaction.number:
            report.add("deadlist", f"entry {entry.number} was added by the future transaction {entry.transaction}")
        if entry.serial and not entry.started:
            waiting[entry.serial] = entry
    for version in recounted.versions:
        fault = _fault_of_waiting(version, waiting.pop(version.serial, None))
        if fault:
            label = names.label(version.artifact, version.number)
            report.add("deadlist", f"{label} {fault}", versions=[label])
    for entry in waiting.values():
        report.add("deadlist", f"entry {entry.number} is the version with serial {entry.serial}, which has no record")
    if recounted.last_condemning > transaction.number:
        last = recounted.last_condemning
        report.add("deadlist", f"bytes were condemned by the future transaction {last}")


def _fault_of_waiting(version: VersionRecord, entry: DeadEntry | None) -> str | None:
    """Return how a version and its entry on the deadlist disagree, or None."""
    if entry is None:
        return "is deleted, but not on the deadlist" if version.state == "deleted" else None
    if version.state != "deleted":
        return "is on the deadlist, but not deleted"
    if (entry.due_ns, entry.number, entry.nodes) != (version.due_ns, version.entry, (version.root,)):
        return f"and its entry {entry.number} of the deadlist disagree"
    return None


def _check_counters(recounted: Recount, counters: Counters, report: Report) -> None:
    """Compare the counters of the manifest with the tables."""
    living = [version for version in recounted.versions if version.state == "live"]
    for name, kept, counted in (
        ("versions", counters.versions, len(living)),
        ("logical bytes", counters.logical_bytes, sum(version.bytes for version in living)),
        ("entries of the deadlist", counters.deadlist_entries, len(recounted.entries)),
    ):
        if kept != counted:
            report.add("counter", f"the manifest counts {kept} {name}, but there are {counted}")
    for name, following, highest in (
        ("node", counters.next_node, max([*recounted.numbers[-1:], *recounted.damaged], default=0)),
        ("draft", counters.next_draft, max(recounted.drafts, default=0)),
    ):
        if highest >= following:
            report.add("counter", f"the number of {name} {highest} has not been assigned yet")
