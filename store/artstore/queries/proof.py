"""Proving that a version's records hash to its digest, before others rely on the digest that a record claims.

A workspace may come from others, and a reader does not hash records: their seals are checksums that anybody can make.
"""

from __future__ import annotations

from artstore.errors import DamageError
from artstore.ids import content_id
from artstore.records.references import LONGEST_REFERENCE
from artstore.records.trees import MAX_LINK, Kind, TreeEntry
from artstore.rows.packed_trees import packed_tree
from artstore.rows.snapshot import Snapshot
from artstore.store import Store

__all__ = ["hashes_to"]


def hashes_to(store: Store, root: int, digest: bytes) -> bool:
    """Return whether the tree at the node ``root`` hashes to ``digest``, with the ids that its files have.

    Links and the records of references are hashed too.  That the content of files has their ids is the caller's to
    check, as an export does.  Takes a snapshot for each directory record.
    """
    waiting, seen = [root], {root}
    expected: bytes | None = digest
    while waiting:
        try:
            with store.snapshot() as snapshot:
                below = _proved(snapshot, waiting.pop(), expected)
        except DamageError:
            return False
        if below is None:
            return False
        expected = None
        waiting += [node for node in below if node not in seen]
        seen.update(below)
    return True


def _proved(snapshot: Snapshot, node: int, digest: bytes | None) -> list[int] | None:
    """Return the directory records that a record refers to, or None unless it hashes to its digest, and to ``digest``.

    The digests of those below are a part of what is hashed, so each of them needs only to hash to its own.
    """
    view = snapshot.tree(node)
    if packed_tree(snapshot.transaction, view).digest != view.digest or digest not in (None, view.digest):
        return None
    if view.level:
        return [child.node for child in view.children()]
    entries = list(view.entries())
    if not all(_is_proved(snapshot, entry) for entry in entries if entry.kind in (Kind.LINK, Kind.REFERENCE)):
        return None
    return [entry.node for entry in entries if entry.kind is Kind.DIRECTORY]


def _is_proved(snapshot: Snapshot, entry: TreeEntry) -> bool:
    longest = MAX_LINK if entry.kind is Kind.LINK else LONGEST_REFERENCE
    return content_id(snapshot.read(entry.node, 0, longest + 1)) == snapshot.identity(entry.node)
