"""The packed form and the totals of a directory record, derived from what it refers to."""

from __future__ import annotations

from typing import Final, NamedTuple

from artstore.ids import content_id
from artstore.records.packed_trees import (
    Attributes,
    CanonicalEntry,
    canonical_entries,
    canonical_index,
    entry_attributes,
    form_id,
    index_attributes,
)
from artstore.records.trees import EARLIEST_NS, TreeTotals, TreeView
from artstore.rows.nodes import node_identity, node_payload
from artstore.storage.manifest import ReadTransaction

__all__ = ["NOTHING", "PackedTree", "packed_tree", "summed"]

NOTHING: Final = TreeTotals(0, 0, 0, 0, EARLIEST_NS)
"""The totals of an empty directory."""


class PackedTree(NamedTuple):
    """A packed form in its two parts: the canonical record, and the attributes that follow it."""

    canonical: bytes
    attributes: bytes

    @property
    def data(self) -> bytes:
        """The whole packed form."""
        return self.canonical + self.attributes

    @property
    def digest(self) -> bytes:
        """The digest of the record."""
        return content_id(self.canonical)

    @property
    def form(self) -> bytes:
        """The form id of the record."""
        return form_id(self.digest, self.attributes)


def packed_tree(transaction: ReadTransaction, view: TreeView) -> PackedTree:
    """Return the packed form of a directory record, with the ids that its children have now."""
    if view.level:
        children, forms = [], []
        for row in view.children():
            payload = node_payload(transaction, row.node)
            children.append((row.last_name, node_identity(payload)))
            forms.append(payload[2:34])
        return PackedTree(canonical_index(view.level, children), index_attributes(forms))
    entries, attributes = [], []
    for entry in view.entries():
        payload = node_payload(transaction, entry.node)
        size, form = (0, payload[2:34]) if entry.is_directory else (entry.size, b"")
        entries.append(CanonicalEntry(entry.name, entry.kind, size, node_identity(payload)))
        attributes.append(Attributes(entry.mtime_ns, entry.mode, form))
    return PackedTree(canonical_entries(entries), entry_attributes(attributes))


def summed(first: TreeTotals, second: TreeTotals) -> TreeTotals:
    """Return the totals of two parts of a directory together."""
    return TreeTotals(
        first.entries + second.entries,
        first.files + second.files,
        first.directories + second.directories,
        first.bytes + second.bytes,
        max(first.newest_ns, second.newest_ns),
    )
