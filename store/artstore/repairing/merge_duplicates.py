"""Merging two nodes that have the same id, which a put makes if damage to the index hides the first one.

The node with the lower number is kept, because every record has a higher number than the nodes it refers to.  Runs
inside one write transaction, before a recount.
"""

from __future__ import annotations

from dataclasses import replace

from artstore.checking.recounting import Recount
from artstore.records.catalogue import DraftRecord, VersionRecord
from artstore.records.nodes import KIND_LIST, KIND_LOST, KIND_TREE, decode_list, encode_list
from artstore.records.tables import Table, key64
from artstore.records.trees import ChildRecord, TreeEntry, TreeView, encode_tree
from artstore.rows import deadlist, space
from artstore.rows.nodes import children_of, index_keys, node_extent, node_payload
from artstore.storage.manifest import WriteTransaction

__all__ = ["merge_twins"]


def merge_twins(transaction: WriteTransaction, recounted: Recount) -> list[str]:
    """Redirect references from duplicate nodes to the ones that are kept; return a sentence if there were any."""
    twins = _twins(transaction, recounted)
    if not twins:
        return []
    for node in recounted.numbers:
        payload = node_payload(transaction, node)
        if node not in twins and not twins.keys().isdisjoint(children_of(payload)):
            transaction.put_numbered(Table.NODES, node, _redirected(payload, twins))
    for key, payload in list(transaction.rows(Table.VERSIONS)):
        version = VersionRecord.decode(payload)
        if version.root in twins:
            transaction.put(Table.VERSIONS, key, replace(version, root=twins[version.root]).encode())
    for entry in list(deadlist.entries(transaction)):
        if not twins.keys().isdisjoint(entry.nodes):
            nodes = tuple(twins.get(node, node) for node in entry.nodes)
            deadlist.change_entry(transaction, entry._replace(nodes=nodes))
    _redirect_drafts(transaction, twins)
    space.condemn(transaction, [node_extent(node_payload(transaction, node)) for node in twins])
    for node, kept in twins.items():
        payload = node_payload(transaction, node)
        for key in index_keys(payload):
            if transaction.find(key[0], key[1:]) == node:
                transaction.put_index(key[0], key[1:], kept)
        transaction.delete(Table.NODES, key64(node))
    return [f"merged {len(twins)} nodes with others that have the same id"]


def _twins(transaction: WriteTransaction, recounted: Recount) -> dict[int, int]:
    """Return the duplicate nodes that the index omits, each with the node that replaces it.

    Searches only if the index omits some nodes.
    """
    with transaction.raw.cursor(transaction.handles[Table.INDEX]) as cursor:
        led_to = {int.from_bytes(value, "big") for value in cursor.iternext(keys=False)}
    left_out = [node for node in recounted.numbers if node not in led_to]
    twins = {}
    for node in left_out:
        payload = node_payload(transaction, node)
        if payload[0] == KIND_LOST:
            continue
        for key in index_keys(payload):
            other = transaction.find(key[0], key[1:])
            if other is None or recounted.rank(other) < 0:
                continue
            if node_payload(transaction, other)[2:34] == payload[2:34]:
                twins[max(node, other)] = min(node, other)
                transaction.put_index(key[0], key[1:], min(node, other))
    return {node: _last(twins, node) for node in twins}


def _last(twins: dict[int, int], node: int) -> int:
    while node in twins:
        node = twins[node]
    return node


def _redirected(payload: bytes, twins: dict[int, int]) -> bytes:
    """Return a record with its references redirected to the nodes that are kept."""
    if payload[0] == KIND_LIST:
        record = decode_list(payload)
        children = tuple(child._replace(node=twins.get(child.node, child.node)) for child in record.children)
        return encode_list(record._replace(children=children))
    assert payload[0] == KIND_TREE
    view = TreeView(payload)
    rows: list[TreeEntry] | list[ChildRecord]
    if view.level:
        rows = [row._replace(node=twins.get(row.node, row.node)) for row in view.children()]
    else:
        rows = [entry._replace(node=twins.get(entry.node, entry.node)) for entry in view.entries()]
    return encode_tree(view.level, view.digest, view.form, view.totals, view.extent, rows)


def _redirect_drafts(transaction: WriteTransaction, twins: dict[int, int]) -> None:
    handle = transaction.handles[Table.STAGED]
    with transaction.raw.cursor(handle) as cursor:
        keys = [key for key in cursor.iternext(values=False) if len(key) == 16]
    for key in keys:
        kept = twins.get(int.from_bytes(key[8:], "big"))
        if kept is not None:
            transaction.raw.delete(key, db=handle)
            transaction.put(Table.STAGED, key[:8] + key64(kept), b"")
    for key, payload in list(transaction.rows(Table.DRAFTS)):
        record = DraftRecord.decode(payload)
        if not record.held.isdisjoint(twins):
            start, root = (twins.get(node, node) for node in (record.start, record.root))
            parts = [{**part, "node": twins.get(part["node"], part["node"])} for part in record.parts]
            transaction.put(Table.DRAFTS, key, replace(record, start=start, root=root, parts=parts).encode())
