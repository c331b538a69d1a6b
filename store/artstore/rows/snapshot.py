"""A consistent view of a workspace: the catalogue, the trees and the content as of one moment.

A snapshot is one LMDB read transaction.  It pins the pages that it may look at, so it lives for one call or one
request, never longer; node numbers and parsed records may be kept, for they never change meaning.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from artstore.errors import NotFoundError
from artstore.ids import Buffer
from artstore.names import unknown_path
from artstore.records.catalogue import AliasRecord, ArtifactRecord, VersionRecord
from artstore.records.counters import Counters
from artstore.records.nodes import KIND_CHUNK, ChunkRecord, ListView, decode_chunk
from artstore.records.packing import CLASS_CONTENT, CLASS_TREE
from artstore.records.references import LONGEST_REFERENCE, ReferenceRecord
from artstore.records.trees import TreeEntry, TreeView
from artstore.rows import catalogue, content, trees
from artstore.rows.catalogue import NameEntry
from artstore.rows.content import ContentInfo
from artstore.rows.directories import Directories, DirectoryCache, LivingVersion
from artstore.rows.nodes import content_record, find_node, node_identity, node_payload, tree_view
from artstore.storage.chunkcaches import ChunkSource
from artstore.storage.manifest import ReadTransaction
from artstore.storage.packs import PackReader

__all__ = ["Snapshot"]


class Snapshot:
    """Read everything as of one moment; made by `Store.snapshot`."""

    __slots__ = ("_chunks", "_counters", "_directories", "_known", "_reader", "transaction")

    def __init__(
        self, transaction: ReadTransaction, reader: PackReader, chunks: ChunkSource, known: DirectoryCache
    ) -> None:
        self.transaction = transaction
        self._reader = reader
        self._chunks = chunks
        self._known = known
        self._directories: Directories | None = None
        self._counters: Counters | None = None

    @property
    def directories(self) -> Directories:
        """What this process knows of the directories, as of this snapshot."""
        if self._directories is None:
            self._directories = self._known.at(self.transaction)
        return self._directories

    @property
    def number(self) -> int:
        """The transaction that this snapshot shows: equal numbers, equal content."""
        return int(self.transaction.raw.id())

    @property
    def edition(self) -> int:
        """A number that is another one after each change of the catalogue, which the journal holds all of."""
        counters = self.usage_totals()
        return counters.journal_end + counters.journal_generation

    @property
    def deletions(self) -> int:
        """A number that is another one after each deletion of versions."""
        return self.usage_totals().next_entry

    def numbers_of(self, artifact: int) -> list[int]:
        """Return the numbers of an artifact's versions, living or deleted, in order."""
        return catalogue.recorded_numbers(self.transaction, artifact)

    def names_in(self, project: str) -> list[NameEntry]:
        """Return the direct children of a project ("" for the top level), by number."""
        return catalogue.names_in(self.transaction, project)

    def name_number(self, full: str) -> tuple[int, bool] | None:
        """Return (number, whether it is an artifact) of a full name, or None."""
        record = catalogue.find_name(self.transaction, full)
        return None if record is None else (record.number, record.is_artifact)

    def retired_number(self, full: str) -> int | None:
        """Return the number of the artifact of a full name that has no living version any more, or None."""
        record = catalogue.find_retired(self.transaction, full)
        return None if record is None else record.number

    def artifact(self, number: int) -> ArtifactRecord | None:
        """Return the artifact or project with a number."""
        return catalogue.artifact(self.transaction, number)

    def versions_of(self, artifact: int) -> list[VersionRecord]:
        """Return an artifact's living versions, by number."""
        return catalogue.versions_of(self.transaction, artifact)

    def version(self, serial: int) -> VersionRecord | None:
        """Return the living version with a serial."""
        return catalogue.version(self.transaction, serial)

    def version_by_number(self, artifact: int, number: int) -> VersionRecord | None:
        """Return the living version of an artifact with a number."""
        return catalogue.version_by_number(self.transaction, artifact, number)

    def recorded_version(self, serial: int) -> VersionRecord | None:
        """Return the version with a serial, living or deleted."""
        return catalogue.recorded_version(self.transaction, serial)

    def version_of_mount(self, mount: int) -> VersionRecord | None:
        """Return the version, living or deleted, whose inode numbers contain a mount serial, or None."""
        return catalogue.version_of_mount(self.transaction, mount)

    def serial_of(self, artifact: int, number: int) -> int | None:
        """Return the serial of the version of an artifact with a number, living or deleted."""
        return catalogue.serial_of(self.transaction, artifact, number)

    def latest(self, artifact: int) -> VersionRecord | None:
        """Return an artifact's highest living version that is not pending."""
        return catalogue.latest(self.transaction, artifact)

    def aliases_of(self, artifact: int) -> list[AliasRecord]:
        """Return the aliases of an artifact that lists show, by name; `latest` is not one of them."""
        return catalogue.shown_aliases(self.transaction, artifact)

    def version_or_link(self, artifact: int, number: int) -> VersionRecord | None:
        """Return the living version with a number, or the one that a pending version of that number has become."""
        return catalogue.version_or_link(self.transaction, artifact, number)

    def alias_by_name(self, artifact: int, name: str) -> AliasRecord | None:
        """Return one alias of an artifact, also one that no list shows."""
        return catalogue.alias_by_name(self.transaction, artifact, name)

    def alias(self, serial: int) -> AliasRecord | None:
        """Return the alias that was set with a serial and has not moved since."""
        return catalogue.alias_by_serial(self.transaction, serial)

    def tree(self, node: int) -> TreeView:
        """Return a directory record."""
        return tree_view(self.transaction, node)

    def known_tree(self, node: int) -> TreeView:
        """Return a directory record, which is kept for later snapshots of this process."""
        return self.directories.record(self.transaction, node)

    def living_version(self, serial: int) -> LivingVersion | None:
        """Return the root and the mount serial of the living version with a serial, or None."""
        return self.directories.version(self.transaction, serial)

    def resolve(self, root: int, path: bytes) -> TreeEntry | None:
        """Return the entry at a path below a root, or None; links are not followed."""
        return trees.resolve(self.tree, root, path)

    def walk(self, root: int, prefix: bytes = b"") -> Iterator[tuple[bytes, TreeEntry]]:
        """Yield (path, entry) of everything below a root, within this snapshot's life."""
        return trees.walk(self.tree, root, prefix)

    def content(self, node: int) -> ContentInfo:
        """Return a content node's id, size and birth."""
        return content.describe(self.transaction, node)

    def content_record(self, node: int) -> ChunkRecord | ListView:
        """Return the record of a content node."""
        return content_record(self.transaction, node)

    def chunk(self, node: int) -> tuple[ChunkRecord | None, bytes]:
        """Return (chunk, its record) of a content node; the chunk is None if it is not one stored chunk."""
        payload = node_payload(self.transaction, node)
        return decode_chunk(payload) if payload[0] == KIND_CHUNK else None, payload

    def stored_bytes(self, node: int) -> int:
        """Return a content node's bytes in packs, in time proportional to its chunks."""
        return content.stored_bytes(self.transaction, node)

    def identity(self, node: int) -> bytes:
        """Return a content node's id, or a directory's digest: equal for equal content."""
        return node_identity(node_payload(self.transaction, node))

    def form(self, node: int) -> bytes:
        """Return the form id of a directory record: equal for equal content, times and modes."""
        return node_payload(self.transaction, node)[2:34]

    def content_node(self, ident: bytes) -> int:
        """Return the node of the content with an id; raise `NotFoundError` if there is none."""
        row = find_node(self.transaction, CLASS_CONTENT, ident)
        if row is None:
            raise NotFoundError(f"no content in the store has the digest {ident.hex()}", hint="name it NAME:v3/PATH")
        return row[0]

    def tree_node(self, form: bytes) -> int:
        """Return the node of the directory with a form id; raise `NotFoundError` if there is none."""
        found = find_node(self.transaction, CLASS_TREE, form)
        if found is None:
            raise NotFoundError(f"no directory in the store has the form id {form.hex()}")
        return found[0]

    def files_at(self, root: int, path: bytes, name: str) -> list[int]:
        """Return the content nodes of the file at a path below a root, or of all files in the directory there.

        Raises `NotFoundError`, with the ``name`` of the version, if there is no such path.
        """
        entry = self.resolve(root, path)
        if entry is None:
            raise unknown_path(name, path)
        if not entry.is_directory:
            return [entry.node]
        return list({below.node: None for _, below in self.walk(entry.node) if not below.is_directory})

    def read(self, node: int, offset: int, size: int) -> bytes:
        """Return verified bytes of a content node, fewer than ``size`` only at its end; `DamageError` otherwise."""
        parts = self.read_pieces(node, offset, size)
        return parts[0] if len(parts) == 1 and isinstance(parts[0], bytes) else b"".join(parts)

    def read_chunk(self, chunk: ChunkRecord) -> bytes:
        """Return the bytes of a file of one chunk, whose record is of this snapshot; `DamageError` as `read`."""
        return bytes(content.read_chunk(self._reader, self._chunks, chunk)) if chunk.size else b""

    def read_pieces(self, node: int, offset: int, size: int) -> list[Buffer]:
        """Return the bytes of `read` as consecutive pieces, which saves a copy if they are only passed on."""
        return content.read(self.transaction, self._reader, self._chunks, node, offset, size)

    def ask_for(self, places: Iterable[tuple[int, int, int]]) -> None:
        """Ask the disk for (pack, offset, length) of stored forms that are read soon; only a hint."""
        self._reader.ask_for(places)

    def reference(self, node: int) -> ReferenceRecord:
        """Return the record of a file outside, whose content node this is."""
        return ReferenceRecord.decode(self.read(node, 0, LONGEST_REFERENCE))

    def usage_totals(self) -> Counters:
        """Return the running totals: stored, logical and free bytes, versions."""
        if self._counters is None:
            self._counters = self.transaction.counters()
        return self._counters
