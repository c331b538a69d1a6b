"""A consistent view of a workspace: the catalogue, the trees and the content as of one moment.

A snapshot is one LMDB read transaction.  It pins the pages that it may look at, so it lives for one call or one
request, never longer; node numbers and parsed records may be kept, for they never change meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from artstore.errors import DamageError, NotFoundError, UnsupportedError
from artstore.ids import Buffer
from artstore.names import unknown_path
from artstore.records.catalogue import AliasRecord, ArtifactRecord, VersionRecord
from artstore.records.counters import Counters
from artstore.records.lazy_nodes import CONTENT, LAZY, kind_of
from artstore.records.nodes import KIND_CHUNK, ChunkRecord, ListView, decode_chunk
from artstore.records.packing import CLASS_CONTENT, CLASS_TREE
from artstore.records.references import LONGEST_REFERENCE, ReferenceRecord
from artstore.records.trees import TreeEntry, TreeView
from artstore.rows import catalogue, content, trees
from artstore.rows.catalogue import NameEntry
from artstore.rows.content import ContentInfo
from artstore.rows.directories import Directories, DirectoryCache, LivingVersion
from artstore.rows.lazy_source import LazySource
from artstore.rows.nodes import content_record, find_node, node_identity, node_payload, tree_view
from artstore.rows.pending import shown_aliases, version_or_link
from artstore.rows.views import Views, edition, views_of
from artstore.storage.chunkcaches import ChunkSource
from artstore.storage.manifest import ReadTransaction
from artstore.storage.packs import PackReader

__all__ = ["Snapshot"]


_UNKNOWN = object()


class Snapshot:
    """Read everything as of one moment; made by `Store.snapshot`.

    The catalogue of a snapshot has the versions that only a remote has too (`artstore.rows.views`), after those of the
    workspace; nodes of such a version are asked for from a `artstore.rows.lazy_source.LazySource`.
    """

    __slots__ = ("_chunks", "_counters", "_directories", "_known", "_lazy", "_reader", "_viewed", "transaction")

    def __init__(
        self,
        transaction: ReadTransaction,
        reader: PackReader,
        chunks: ChunkSource,
        known: DirectoryCache,
        lazy: Callable[[], LazySource] | None = None,
    ) -> None:
        self.transaction = transaction
        self._reader = reader
        self._chunks = chunks
        self._known = known
        self._lazy = lazy
        self._directories: Directories | None = None
        self._counters: Counters | None = None
        self._viewed: Any = _UNKNOWN

    @property
    def views(self) -> Views | None:
        """What only remotes have, None where no remote was ever known."""
        if self._viewed is _UNKNOWN:
            self._viewed = views_of(self.transaction)
        views: Views | None = self._viewed
        return views

    @property
    def chunks(self) -> ChunkSource:
        """The cache of decompressed chunks."""
        return self._chunks

    @property
    def lazy(self) -> LazySource:
        """The source of nodes that lie in remotes."""
        if self.views is None:
            raise DamageError("a record leads to a node that no workspace has")
        if self._lazy is None:
            raise UnsupportedError("this process cannot read what is in a remote only", hint="pull it: artfs pull")
        return self._lazy()

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
        return counters.journal_end + counters.journal_generation + edition(self.transaction)

    @property
    def deletions(self) -> int:
        """A number that is another one after each deletion of versions."""
        return self.usage_totals().next_entry

    def numbers_of(self, artifact: int) -> list[int]:
        """Return the numbers of an artifact's versions, living or deleted, in order."""
        numbers = catalogue.recorded_numbers(self.transaction, artifact)
        return numbers if self.views is None else sorted({*numbers, *self.views.numbers_of(artifact)})

    def names_in(self, project: str) -> list[NameEntry]:
        """Return the direct children of a project ("" for the top level), by number."""
        entries = catalogue.names_in(self.transaction, project)
        if self.views is not None:
            known = {entry.component for entry in entries}
            entries = sorted(entries + [each for each in self.views.names_in(project) if each.component not in known])
        return entries

    def name_number(self, full: str) -> tuple[int, bool] | None:
        """Return (number, whether it is an artifact) of a full name, or None."""
        record = self.find_name(full)
        return None if record is None else (record.number, record.is_artifact)

    def find_name(self, full: str) -> ArtifactRecord | None:
        """Return the artifact or project with a full name."""
        record = catalogue.find_name(self.transaction, full)
        return self.views.find_name(full) if record is None and self.views is not None else record

    def all_artifacts(self, project: str = "") -> list[ArtifactRecord]:
        """Return the artifacts below a project at any depth, by name."""
        records = catalogue.all_artifacts(self.transaction, project)
        if self.views is not None:
            known = {record.name for record in records}
            others = [
                each
                for each in self.views.all_artifacts(project)
                if each.name not in known and catalogue.find_name(self.transaction, each.name) is None
            ]
            records = sorted(records + others, key=lambda record: record.name.encode())
        return records

    def retired_number(self, full: str) -> int | None:
        """Return the number of the artifact of a full name that has no living version any more, or None."""
        record = catalogue.find_retired(self.transaction, full)
        return None if record is None else record.number

    def artifact(self, number: int) -> ArtifactRecord | None:
        """Return the artifact or project with a number."""
        record = catalogue.artifact(self.transaction, number)
        return self.views.artifact(number) if record is None and self.views is not None else record

    def versions_of(self, artifact: int) -> list[VersionRecord]:
        """Return an artifact's living versions, by number."""
        return self._with_views(artifact, catalogue.versions_of(self.transaction, artifact))

    def recorded_descending(self, artifact: int, *, below: int | None = None) -> Iterator[VersionRecord]:
        """Yield an artifact's versions, living or deleted, from the highest number, or ``below`` one, down."""
        if self.views is None:
            yield from catalogue.recorded_descending(self.transaction, artifact, below=below)
            return
        every = self._with_views(artifact, list(catalogue.recorded_versions(self.transaction, artifact)))
        yield from (record for record in reversed(every) if below is None or record.number < below)

    def _with_views(self, artifact: int, records: list[VersionRecord]) -> list[VersionRecord]:
        if self.views is None:
            return records
        known = {record.number for record in records}
        others = [record for record in self.views.versions_of(artifact) if record.number not in known]
        return sorted(records + others, key=lambda record: record.number) if others else records

    def count_versions(self, artifact: int) -> int:
        """Return how many living versions an artifact has."""
        if self.views is None:
            return catalogue.count_versions(self.transaction, artifact)
        return len(self.versions_of(artifact))

    def version(self, serial: int) -> VersionRecord | None:
        """Return the living version with a serial."""
        record = catalogue.version(self.transaction, serial)
        return self._viewed_version(serial) if record is None else record

    def _viewed_version(self, serial: int) -> VersionRecord | None:
        """Return the version with a serial that only a remote has, as one of the artifact's number here."""
        record = None if self.views is None else self.views.version(serial)
        if record is None or self.views is None:
            return None
        artifact = self.views.artifact(record.artifact)
        local = None if artifact is None else catalogue.find_name(self.transaction, artifact.name)
        is_same = local is not None and self.views.own_number(local.number) == record.artifact
        return replace(record, artifact=local.number) if local is not None and is_same else record

    def version_by_number(self, artifact: int, number: int) -> VersionRecord | None:
        """Return the living version of an artifact with a number."""
        record = catalogue.version_by_number(self.transaction, artifact, number)
        if record is None and self.views is not None:
            record = self.views.version_by_number(artifact, number)
        return record

    def recorded_version(self, serial: int) -> VersionRecord | None:
        """Return the version with a serial, living or deleted."""
        record = catalogue.recorded_version(self.transaction, serial)
        return self._viewed_version(serial) if record is None else record

    def version_of_mount(self, mount: int) -> VersionRecord | None:
        """Return the version, living or deleted, whose inode numbers contain a mount serial, or None."""
        record = catalogue.version_of_mount(self.transaction, mount)
        return self._viewed_version(mount) if record is None else record

    def serial_of(self, artifact: int, number: int) -> int | None:
        """Return the serial of the version of an artifact with a number, living or deleted."""
        serial = catalogue.serial_of(self.transaction, artifact, number)
        return self.views.serial_of(artifact, number) if serial is None and self.views is not None else serial

    def latest(self, artifact: int) -> VersionRecord | None:
        """Return an artifact's highest living version that is not pending."""
        record = catalogue.latest(self.transaction, artifact)
        if self.views is None:
            return record
        numbers = self.views.numbers_of(artifact)
        if numbers and (record is None or numbers[-1] > record.number):
            return self.views.version_by_number(artifact, numbers[-1])
        return record

    def aliases_of(self, artifact: int) -> list[AliasRecord]:
        """Return the aliases of an artifact that lists show, by name; `latest` is not one of them."""
        aliases = shown_aliases(self.transaction, artifact)
        if self.views is not None:
            known = {alias.name for alias in catalogue.aliases_of(self.transaction, artifact)}
            others = [alias for alias in self.views.aliases_of(artifact) if alias.name not in known]
            aliases = sorted(aliases + others, key=lambda alias: alias.name.encode()) if others else aliases
        return aliases

    def version_or_link(self, artifact: int, number: int) -> VersionRecord | None:
        """Return the living version with a number, or the one that a pending version of that number has become."""
        record = version_or_link(self.transaction, artifact, number)
        return self.views.version_by_number(artifact, number) if record is None and self.views is not None else record

    def alias_by_name(self, artifact: int, name: str) -> AliasRecord | None:
        """Return one alias of an artifact, also one that no list shows."""
        record = catalogue.alias_by_name(self.transaction, artifact, name)
        if record is None and self.views is not None:
            record = next((alias for alias in self.views.aliases_of(artifact) if alias.name == name), None)
        return record

    def alias(self, serial: int) -> AliasRecord | None:
        """Return the alias that was set with a serial and has not moved since."""
        record = catalogue.alias_by_serial(self.transaction, serial)
        return self.views.alias(serial) if record is None and self.views is not None else record

    def tree(self, node: int) -> TreeView:
        """Return a directory record."""
        return self.lazy.tree(self, node) if node >= LAZY else tree_view(self.transaction, node)

    def known_tree(self, node: int) -> TreeView:
        """Return a directory record, which is kept for later snapshots of this process."""
        return self.lazy.tree(self, node) if node >= LAZY else self.directories.record(self.transaction, node)

    def living_version(self, serial: int) -> LivingVersion | None:
        """Return the root and the mount serial of the living version with a serial, or None."""
        known = self.directories.version(self.transaction, serial)
        if known is None and self.views is not None:
            record = self.views.version(serial)
            known = None if record is None else LivingVersion(record.root, record.mount)
        return known

    def resolve(self, root: int, path: bytes) -> TreeEntry | None:
        """Return the entry at a path below a root, or None; links are not followed."""
        return trees.resolve(self.tree, root, path)

    def walk(self, root: int, prefix: bytes = b"") -> Iterator[tuple[bytes, TreeEntry]]:
        """Yield (path, entry) of everything below a root, within this snapshot's life."""
        return trees.walk(self.tree, root, prefix)

    def content(self, node: int) -> ContentInfo:
        """Return a content node's id, size and birth."""
        return self.lazy.content(self, node) if node >= LAZY else content.describe(self.transaction, node)

    def content_record(self, node: int) -> ChunkRecord | ListView:
        """Return the record of a content node."""
        return content_record(self.transaction, node)

    def chunk(self, node: int) -> tuple[ChunkRecord | None, bytes]:
        """Return (chunk, its record) of a content node; the chunk is None if it is not one stored chunk."""
        if node >= LAZY:
            return None, b""
        payload = node_payload(self.transaction, node)
        return decode_chunk(payload) if payload[0] == KIND_CHUNK else None, payload

    def stored_bytes(self, node: int) -> int:
        """Return a content node's bytes in packs, in time proportional to its chunks."""
        return self.lazy.stored_bytes(self, node) if node >= LAZY else content.stored_bytes(self.transaction, node)

    def identity(self, node: int) -> bytes:
        """Return a content node's id, or a directory's digest: equal for equal content."""
        if node >= LAZY:
            is_content = kind_of(node) == CONTENT
            return self.lazy.content(self, node).id if is_content else self.lazy.tree(self, node).digest
        return node_identity(node_payload(self.transaction, node))

    def form(self, node: int) -> bytes:
        """Return the form id of a directory record: equal for equal content, times and modes."""
        return self.lazy.tree(self, node).form if node >= LAZY else node_payload(self.transaction, node)[2:34]

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
        if node >= LAZY:
            return self.lazy.read(self, node, offset, size)
        return content.read(self.transaction, self._reader, self._chunks, node, offset, size)

    def chunk_parts(self, node: int, start: int, end: int) -> list[tuple[ChunkRecord, int, int]]:
        """Return (chunk, from, to) of the chunks of a range, in order; empty for what is in a remote."""
        if node >= LAZY:
            return []
        return content.chunks_between(self.transaction, node, start, end)

    def want(self, nodes: Sequence[int]) -> None:
        """Fetch the contents of files in remotes that are read next, with few requests."""
        lazy = [node for node in nodes if node >= LAZY]
        if lazy:
            self.lazy.want(self, lazy)

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
