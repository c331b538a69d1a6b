"""Records as an adversary writes them: soundly sealed, and with claims that are untrue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from artstore.records.catalogue import VersionRecord
from artstore.records.nodes import KIND_CHUNK, decode_chunk, encode_chunk
from artstore.records.seal import seal
from artstore.records.tables import Table, key32
from artstore.rows.nodes import node_payload
from artstore.workspace import Workspace

__all__ = ["claim_digest", "claim_id", "forge_node", "forge_row", "node_of"]


def node_of(workspace: Workspace, ref: str, path: bytes) -> int:
    """Return the node of a file or folder of a version."""
    with workspace.store.snapshot() as snapshot:
        entry = snapshot.resolve(workspace.version(ref).record.root, path)
    assert entry is not None
    return entry.node


def forge_node(workspace: Workspace, node: int, change: Callable[[bytes], bytes]) -> None:
    """Replace the record of a node by what ``change`` makes of it."""
    with workspace.store.write() as transaction:
        transaction.put_numbered(Table.NODES, node, change(node_payload(transaction, node)))


def forge_row(workspace: Workspace, table: Table, key: bytes, payload: bytes) -> None:
    """Write a row with any payload."""
    with workspace.store.write() as transaction:
        transaction.raw.put(key, seal(table, key, payload), db=transaction.handles[table])


def claim_id(workspace: Workspace, ref: str, path: bytes, ident: bytes) -> None:
    """Let the record of a file, and of its first chunk if it has several, claim to be other content."""

    def change(payload: bytes) -> bytes:
        if payload[0] == KIND_CHUNK:
            return encode_chunk(decode_chunk(payload)._replace(id=ident))
        return payload[:2] + ident + payload[34:]

    node = node_of(workspace, ref, path)
    forge_node(workspace, node, change)


def claim_digest(workspace: Workspace, ref: str, digest: bytes) -> None:
    """Let a version, and its root directory, claim to have a digest."""
    record: VersionRecord = workspace.version(ref).record
    forge_node(workspace, record.root, lambda payload: payload[:34] + digest + payload[66:])
    forge_row(workspace, Table.VERSIONS, key32(record.serial), replace(record, digest=digest).encode())
