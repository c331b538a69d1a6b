"""Recounting all references and bytes: one pass over each table, in arrays, for a million nodes in seconds.

`artstore.checking.structure` compares the sums of `recount` with those in the manifest, and a repair writes them.  A
node mostly has a higher number than those that it refers to, because a record is written after its children;
references to higher numbers are resolved at the end.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from artstore.checking.report import Report, message_of
from artstore.errors import DamageError
from artstore.records.catalogue import DraftRecord, VersionRecord
from artstore.records.deadlist import DeadEntry, decode_condemned, decode_entry, decode_free
from artstore.records.nodes import KIND_TREE
from artstore.records.seal import unseal, unseal_numbered
from artstore.records.tables import Table
from artstore.rows.drafts import held_node
from artstore.rows.nodes import children_of, node_extent
from artstore.storage.manifest import ReadTransaction

__all__ = ["PackUse", "Recount", "readable_rows", "recount"]

_REPORT_EVERY: Final = 1 << 15
_NUMBERED: Final = frozenset({Table.NODES, Table.COUNTS, Table.ARTIFACTS})


class PackUse(NamedTuple):
    """What records say of one pack's bytes, as places: ``offset << 32 | length``.

    ``nodes`` are the extents of nodes, ``ranks`` run in parallel and are indexes into `Recount.numbers`; ``condemned``
    and ``free`` are those of the tables of that name.
    """

    nodes: array[int]
    ranks: array[int]
    condemned: array[int]
    free: array[int]


class Recount:
    """What the tables hold, added up.

    The arrays ``numbers`` (of the nodes whose records read, ascending), ``kinds`` and ``wanted`` (the references that
    there are) run in parallel; `rank` maps a number to their index.  ``damaged`` has the nodes with unreadable records,
    with the reason; ``missing`` has nodes that are referred to but absent, with the referrers.  ``ends`` are the
    ends of packs.  ``free_bytes`` are those of gaps that are no holes.  ``index_sums`` (directories, others) add up a
    hash of id and number of each node.
    """

    def __init__(self) -> None:
        self.numbers: array[int] = array("Q")
        self.kinds = bytearray()
        self.wanted: array[int] = array("Q")
        self.damaged: dict[int, str] = {}
        self.missing: dict[int, str] = {}
        self.ends: dict[int, int] = {}
        self.packs: dict[int, PackUse] = {}
        self.entries: list[DeadEntry] = []
        self.drafts: dict[int, DraftRecord] = {}
        self.versions: list[VersionRecord] = []
        self.stored_bytes = 0
        self.condemned_bytes = 0
        self.free_bytes = 0
        self.index_sums = [0, 0]
        self.last_condemning = 0
        self.forward: tuple[array[int], array[int]] = (array("Q"), array("Q"))
        """References to nodes with a higher number than the referring one: the referring nodes, and the others."""

    def rank(self, node: int) -> int:
        """Return the index of a node in the arrays, or -1."""
        rank = bisect_left(self.numbers, node)
        return rank if rank < len(self.numbers) and self.numbers[rank] == node else -1

    def pack(self, number: int) -> PackUse:
        """Return what records say of a pack."""
        use = self.packs.get(number)
        if use is None:
            use = self.packs[number] = PackUse(array("Q"), array("Q"), array("Q"), array("Q"))
        return use

    def refer(self, node: int, by: str) -> None:
        """Count one reference to a node, from ``by``."""
        rank = self.rank(node)
        if rank >= 0:
            self.wanted[rank] += 1
        elif node not in self.damaged:
            self.missing.setdefault(node, by)


def recount(
    transaction: ReadTransaction, report: Report, progress: Callable[[int, int], None] | None = None
) -> Recount:
    """Read all tables that refer to nodes or to bytes of packs, and add them up.

    Unreadable rows go to the report, those of nodes to ``damaged``.  ``progress`` is called with (nodes done, total).
    """
    recounted = Recount()
    for key, payload in readable_rows(transaction, Table.PACKS, report):
        recounted.ends[int.from_bytes(key, "big")] = int.from_bytes(payload, "little")
    _scan_nodes(transaction, recounted, progress)
    _scan_holders(transaction, recounted, report)
    _scan_staged(transaction, recounted, report)
    for key, payload in readable_rows(transaction, Table.FREE, report):
        with report.guard("record", f"the gap {key.hex()}"):
            gap = decode_free(key, payload)
            recounted.pack(gap.pack).free.append(gap.offset << 32 | gap.length)
            recounted.free_bytes += gap.length - gap.punched
    for key, payload in readable_rows(transaction, Table.CONDEMNED, report):
        with report.guard("record", f"the condemned extent {key.hex()}"):
            row = decode_condemned(key, payload)
            recounted.pack(row.pack).condemned.append(row.offset << 32 | row.length)
            recounted.condemned_bytes += row.length
            recounted.last_condemning = row.transaction
    return recounted


def readable_rows(transaction: ReadTransaction, table: Table, report: Report) -> Iterator[tuple[bytes, bytes]]:
    """Yield (key, payload) of the readable rows of a table; unreadable ones go to the report."""
    if transaction.handles[table] is None:
        return  # a table of a later format, in a workspace that is read-only
    with transaction.raw.cursor(transaction.handles[table]) as cursor:
        for key, value in cursor:
            try:
                if table in _NUMBERED:
                    payload = unseal_numbered(table, int.from_bytes(key, "big"), value)
                else:
                    payload = unseal(table, key, value)
            except (DamageError, OverflowError):
                report.add("record", f"the row {key.hex()} of the table {table.name.lower()} is damaged")
                continue
            yield key, payload


def _scan_nodes(transaction: ReadTransaction, recounted: Recount, progress: Callable[[int, int], None] | None) -> None:
    """Read every node once, in the order of numbers."""
    handle = transaction.handles[Table.NODES]
    total = transaction.raw.stat(handle)["entries"]
    with transaction.raw.cursor(handle) as cursor:
        for position, (key, value) in enumerate(cursor):
            number = int.from_bytes(key, "big")
            try:
                payload = unseal_numbered(Table.NODES, number, value)
                extent, children = node_extent(payload), children_of(payload)
            except Exception as error:  # whatever a malformed record raises
                recounted.damaged[number] = message_of(error)
                continue
            kind = payload[0]
            if children:
                _refer_to_all(recounted, number, children)
            if extent.stored:
                use = recounted.packs.get(extent.pack) or recounted.pack(extent.pack)
                use.nodes.append(extent.offset << 32 | extent.stored)
                use.ranks.append(len(recounted.numbers))
                recounted.stored_bytes += extent.stored
            recounted.index_sums[0 if kind == KIND_TREE else 1] += hash(payload[2:34] + key)
            recounted.numbers.append(number)
            recounted.kinds.append(kind)
            recounted.wanted.append(0)
            if progress is not None and not position % _REPORT_EVERY:
                progress(position, total)
    for parent, child in zip(*recounted.forward, strict=True):
        recounted.refer(child, f"node {parent}")


def _refer_to_all(recounted: Recount, parent: int, children: list[int]) -> None:
    """Count the references of one record to nodes that were read before it; keep the others for later."""
    numbers, wanted = recounted.numbers, recounted.wanted
    size = len(numbers)
    rank = size
    for child in children:
        rank += 1  # neighbours in a record are mostly neighbours by number
        if rank >= size or numbers[rank] != child:
            rank = bisect_left(numbers, child)
            if rank == size or numbers[rank] != child:
                recounted.forward[0].append(parent)
                recounted.forward[1].append(child)
                continue
        wanted[rank] += 1


def _scan_holders(transaction: ReadTransaction, recounted: Recount, report: Report) -> None:
    """Count the references from outside the trees: versions, and the deadlist."""
    for key, payload in readable_rows(transaction, Table.VERSIONS, report):
        with report.guard("record", f"the record of the version with serial {int.from_bytes(key, 'big')}"):
            version = VersionRecord.decode(payload)
            recounted.versions.append(version)
            if version.state == "live":
                recounted.refer(version.root, f"the version with serial {version.serial}")
    for key, payload in readable_rows(transaction, Table.DEADLIST, report):
        with report.guard("record", f"the entry {key.hex()} of the deadlist"):
            entry = decode_entry(key, payload)
            recounted.entries.append(entry)
            for node in entry.nodes:
                recounted.refer(node, f"entry {entry.number} of the deadlist")


def _scan_staged(transaction: ReadTransaction, recounted: Recount, report: Report) -> None:
    """Read the drafts, and what they hold."""
    for key, payload in readable_rows(transaction, Table.DRAFTS, report):
        with report.guard("record", f"the record of draft {int.from_bytes(key, 'big')}"):
            recounted.drafts[int.from_bytes(key, "big")] = DraftRecord.decode(payload)
    held = set()
    with transaction.raw.cursor(transaction.handles[Table.STAGED]) as cursor:
        for key, value in cursor:
            try:
                draft, node = int.from_bytes(key[:8], "big"), held_node(key, value)
            except DamageError as error:
                report.add("record", error.message)
                continue
            if draft not in recounted.drafts:
                report.add("reference", f"node {node} is held by draft {draft}, which does not exist", node=node)
            recounted.refer(node, f"draft {draft}")
            held.add((draft, node))
    for draft, record in recounted.drafts.items():
        if record.id and not {(draft, node) for node in record.held} <= held:
            report.add("reference", f"the open draft {record.id!r} does not hold all nodes that it consists of")
