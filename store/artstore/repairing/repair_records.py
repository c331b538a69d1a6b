"""Restoring unreadable records of the manifest: counters from the tables, nodes from the packs.

A node's id is known only from the index, if that still leads to it.  Its other fields come from the index of its
segment, from the canonical form of a list or directory, and from the records that refer to it.  A node that cannot be
restored becomes a lost one, so that all other content stays readable.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from artstore import beneath
from artstore.checking.packed import Packed
from artstore.checking.recounting import readable_rows, recount
from artstore.checking.report import Report
from artstore.errors import DamageError
from artstore.ids import ID_LENGTH, content_id
from artstore.records.catalogue import VersionRecord
from artstore.records.nodes import (
    KIND_LIST,
    KIND_TREE,
    ChunkRecord,
    LostRecord,
    decode_list,
    encode_chunk,
    parse_canonical_list,
)
from artstore.records.packed_trees import parse_packed_tree
from artstore.records.packing import CLASS_CONTENT, CLASS_LIST, CLASS_LOST, CLASS_ROOT_LIST, CLASS_TREE
from artstore.records.seal import unseal_numbered
from artstore.records.tables import Table, key64
from artstore.records.trees import Kind, TreeView
from artstore.repairing.rebuild_nodes import Wanted, list_record, tree_record
from artstore.rows.nodes import children_of, find_lost, node_payload, put_lost
from artstore.storage import journal, manifest
from artstore.storage.environment import Environment
from artstore.storage.manifest import ReadTransaction, WriteTransaction
from artstore.storage.packs import pack_numbers

__all__ = ["restore_counters", "restore_directories", "restore_nodes"]


_LENGTH: Final = (1 << 32) - 1

# -- counters ----------------------------------------------------------------------------------------------------------


def restore_counters(workspace: Path) -> bool:
    """Rewrite the counters if they are unreadable; return whether they were.

    Numbering continues after the highest number in the tables.
    """
    try:
        with manifest.read(workspace) as snapshot:
            snapshot.counters()
            return False
    except DamageError:
        pass
    held = Environment.of(workspace)
    raw = held.begin(write=True)
    try:
        transaction = WriteTransaction(raw, held.handles, new=True)
        _restore_numbers(workspace, transaction)
        _restore_sums(transaction)
        transaction.save_state()
        raw.commit()
    except BaseException:
        raw.abort()
        raise
    finally:
        held.end_turn(raw)
    return True


def _restore_numbers(workspace: Path, transaction: WriteTransaction) -> None:
    state = transaction.state
    state.next_node = max(state.next_node, _last(transaction, Table.NODES, 8) + 1)
    state.next_serial = max(_last(transaction, Table.VERSIONS, 4), _last(transaction, Table.MOUNTS, 4)) + 1
    state.next_name = _last(transaction, Table.ARTIFACTS, 8) + 1
    state.next_run = _last(transaction, Table.RUNS, 8) + 1
    state.next_draft = max(_last(transaction, Table.DRAFTS, 8), _last(transaction, Table.STAGED, 8)) + 1
    state.next_alias = _last(transaction, Table.ALIAS_SERIALS, 4) + 1
    with transaction.raw.cursor(transaction.handles[Table.DEADLIST]) as cursor:
        numbers = [int.from_bytes(key[8:], "big") for key in cursor.iternext(values=False)]
    state.next_entry = max(numbers, default=0) + 1
    state.next_pack = max([*pack_numbers(workspace), _last(transaction, Table.PACKS, 4)]) + 1
    path = journal.journal_path(workspace)
    state.journal_generation = journal.generation_of(path)
    for end, event in journal.salvage(path) if beneath.exists(workspace, path) else ():
        if event is not None:
            state.journal_end = end
            drawn = max(event.get("serial", 0), event.get("mount", 0))
            state.next_serial = max(state.next_serial, drawn + 1, event.get("next_serial", 0))


def _restore_sums(transaction: WriteTransaction) -> None:
    recounted = recount(transaction, Report())
    state = transaction.state
    living = [version for version in recounted.versions if version.state == "live"]
    state.versions, state.logical_bytes = len(living), sum(version.bytes for version in living)
    state.stored_bytes, state.free_bytes = recounted.stored_bytes, recounted.free_bytes
    state.condemned_bytes, state.deadlist_entries = recounted.condemned_bytes, len(recounted.entries)
    places = [place for use in recounted.packs.values() for place in (*use.nodes, *use.condemned, *use.free)]
    state.framing_bytes = max(0, sum(recounted.ends.values()) - sum(place & _LENGTH for place in places))


def _last(transaction: ReadTransaction, table: Table, width: int) -> int:
    """Return the number in the first ``width`` bytes of a table's last key, or 0."""
    with transaction.raw.cursor(transaction.handles[table]) as cursor:
        return int.from_bytes(cursor.key()[:width], "big") if cursor.last() else 0


# -- nodes -------------------------------------------------------------------------------------------------------------


@dataclass
class _Clue:
    """What other records reveal about a node; ``klass`` is 0 if they reveal nothing."""

    klass: int = 0
    id: bytes = b""
    digest: bytes = bytes(ID_LENGTH)
    size: int = 0
    parent: bytes = b""
    rank: int = 0

    @property
    def is_referred_to(self) -> bool:
        """Whether a record or a version refers to it."""
        return bool(self.parent or self.id)


def restore_nodes(transaction: WriteTransaction, packed: Packed, damaged: Collection[int]) -> tuple[int, list[int]]:
    """Restore unreadable or missing records of nodes; return (number restored, lost nodes).

    Works in the order of numbers, because records refer to lower ones.  A row without any clue is dropped.  Counts are
    left to a recount.
    """
    clues = _clues(transaction, frozenset(damaged))
    restored, lost = 0, []
    for node in sorted(clues):
        clue = clues[node]
        if not clue.is_referred_to:
            transaction.delete(Table.NODES, key64(node))
            continue
        if not clue.id or clue.klass == CLASS_TREE:
            _identify(packed, clue)
        payload = _rebuilt_record(transaction, packed, node, clue)
        if payload is not None:
            transaction.put_numbered(Table.NODES, node, payload)
            transaction.put_index(clue.klass, clue.id, node)
            restored += 1
        else:
            ident = clue.id or content_id(b"lost node %d" % node)
            klass = clue.klass or CLASS_CONTENT
            births = [form.entry.birth_ns for form in packed.forms(klass, ident) if klass != CLASS_TREE]
            birth_ns = births[0] if births else 0
            put_lost(transaction, node, LostRecord(klass, ident, birth_ns, clue.size, clue.digest))
            lost.append(node)
    return restored, lost


def _clues(transaction: ReadTransaction, nodes: frozenset[int]) -> dict[int, _Clue]:
    """Return the clues about some nodes from the index, the records of parents, and other holders."""
    clues = {node: _Clue() for node in nodes}
    with transaction.raw.cursor(transaction.handles[Table.INDEX]) as cursor:
        for key, value in cursor:
            clue = clues.get(int.from_bytes(value, "big"))
            if clue is not None and len(key) == 33:
                clue.klass, clue.id = key[0] & ~CLASS_LOST, key[1:]
    with transaction.raw.cursor(transaction.handles[Table.NODES]) as cursor:
        for key, value in cursor:
            try:
                _take_clues(unseal_numbered(Table.NODES, int.from_bytes(key, "big"), value), clues)
            except DamageError:
                continue
    for version in _versions(transaction):
        if version.root in clues:
            clue = clues[version.root]
            clue.klass, clue.id, clue.digest = CLASS_TREE, version.form, version.digest
    return clues


def _take_clues(payload: bytes, clues: dict[int, _Clue]) -> None:
    """Collect the clues in one record about the nodes that it refers to."""
    if payload[0] not in (KIND_LIST, KIND_TREE) or clues.keys().isdisjoint(children_of(payload)):
        return
    known: list[tuple[int, int, int]] = []  # node, class, size
    if payload[0] == KIND_LIST:
        ends = [0, *(child.end for child in decode_list(payload).children)]
        known = [(node, 0, ends[rank + 1] - ends[rank]) for rank, node in enumerate(children_of(payload))]
    elif (view := TreeView(payload)).level:
        known = [(node, CLASS_TREE, 0) for node in view.nodes()]
    else:
        for entry in view.entries():
            size = 0 if entry.kind == Kind.REFERENCE else entry.size
            known.append((entry.node, CLASS_TREE, 0) if entry.is_directory else (entry.node, 0, size))
    for rank, (node, klass, size) in enumerate(known):
        clue = clues.get(node)
        if clue is not None:
            clue.klass, clue.size = clue.klass or klass, clue.size or size
            clue.parent, clue.rank = payload, rank


def _versions(transaction: ReadTransaction) -> Iterator[VersionRecord]:
    """Yield the versions whose records read; nodes held by drafts and the deadlist need not exist."""
    for _, payload in readable_rows(transaction, Table.VERSIONS, Report()):
        with suppress(DamageError):
            yield VersionRecord.decode(payload)


def _identify(packed: Packed, clue: _Clue) -> None:
    """Take the id of a node from the packed form of the record that refers to it, if that can be read."""
    if not clue.parent:
        return
    ident = clue.parent[2:34]
    classes = (CLASS_TREE,) if clue.parent[0] == KIND_TREE else (CLASS_ROOT_LIST, CLASS_LIST)
    canonical = next((form for form in (packed.canonical(klass, ident) for klass in classes) if form is not None), None)
    if canonical is None:
        return
    with suppress(DamageError, IndexError):
        if clue.parent[0] == KIND_LIST:
            clue.klass, clue.id, _ = parse_canonical_list(canonical[1])[1][clue.rank]
            return
        tree = parse_packed_tree(canonical[1])
        if tree.level:
            _, clue.digest, clue.id = tree.children[clue.rank]
            clue.klass = CLASS_TREE
        elif tree.entries[clue.rank].kind == Kind.DIRECTORY:
            clue.digest, clue.id = tree.entries[clue.rank].id, tree.attributes[clue.rank].form
            clue.klass = CLASS_TREE
        else:
            clue.klass, clue.id = clue.klass or CLASS_CONTENT, tree.entries[clue.rank].id


def _rebuilt_record(transaction: WriteTransaction, packed: Packed, node: int, clue: _Clue) -> bytes | None:
    """Return a node's record from the packs, or None if they lack it or anything below it."""
    if clue.klass == CLASS_CONTENT:
        chunk = packed.sound_form(CLASS_CONTENT, clue.id)
        if chunk is not None:
            entry = chunk.entry
            return encode_chunk(ChunkRecord(clue.id, entry.birth_ns, entry.size, chunk.extent, entry.checksums))
    if clue.klass not in (CLASS_CONTENT, CLASS_LIST, CLASS_TREE):
        return None
    canonical = packed.canonical(CLASS_ROOT_LIST if clue.klass == CLASS_CONTENT else clue.klass, clue.id)
    if canonical is None:
        return None
    form, data = canonical
    below = _nodes_below(transaction, node, lost=True)
    try:
        if clue.klass == CLASS_TREE:
            return tree_record(transaction, parse_packed_tree(data), form.extent, below)
        level, rows = parse_canonical_list(data)
        nodes = [below(Wanted(klass, ident, length)) for klass, ident, length in rows]
        lengths = [length for *_, length in rows]
        return list_record(clue.id, form.extent, form.entry.birth_ns, level, nodes, lengths)
    except DamageError:
        return None


def _nodes_below(transaction: ReadTransaction, node: int, *, lost: bool) -> Callable[[Wanted], int]:
    """Return a function that finds the nodes below a node, with ``lost`` also lost ones; others raise `DamageError`."""

    def below(wanted: Wanted) -> int:
        child = transaction.find(wanted.klass, wanted.id)
        if child is None and lost:
            found = find_lost(transaction, wanted.klass, wanted.id)
            child = None if found is None else found[0]
        if child is None or not 0 < child < node:
            raise DamageError("it refers to a node that does not exist")
        return child

    return below


def restore_directories(transaction: WriteTransaction, packed: Packed, suspects: Collection[int]) -> int:
    """Derive the rows and totals of suspect directory records from the packs; return how many were wrong.

    A record above one that has changed is derived too: it repeats the totals of what is below it.  A record above a
    lost one keeps its totals, so that no preorder index changes.
    """
    changed: set[int] = set()
    rows = transaction.numbered_rows(Table.NODES) if suspects else ()
    for node in [node for node, payload in rows if payload[0] == KIND_TREE]:
        payload = node_payload(transaction, node)
        if node not in suspects and changed.isdisjoint(children_of(payload)):
            continue
        found = packed.canonical(CLASS_TREE, payload[2:34])
        if found is None:
            continue
        with suppress(DamageError):
            tree, extent = parse_packed_tree(found[1]), TreeView(payload).extent
            derived = tree_record(transaction, tree, extent, _nodes_below(transaction, node, lost=False))
            if derived != payload:
                transaction.put_numbered(Table.NODES, node, derived)
                changed.add(node)
    return len(changed)
