"""The content of files as a push sends it: stored forms that are copied, and what the remote has already."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from artstore.errors import DamageError
from artstore.interrupts import checkpoint
from artstore.records.nodes import LOST, ChunkRecord, ListView
from artstore.records.trees import TreeEntry
from artstore.remotes.packs.containers import LIST
from artstore.remotes.packs.lists import LIST_ROWS, ListedPart, encode_chunks, encode_parts
from artstore.remotes.packs.located import INLINE, Chunk, ChunkList, Content
from artstore.remotes.packs.output import PackOutput
from artstore.remotes.packs.places import Pack
from artstore.rows.nodes import content_record
from artstore.store import Store

__all__ = ["ContentOutput", "Find", "Sent"]

Find = Callable[[bytes, int], Chunk | None]
"""Return where the remote has the chunk with an id and a size, as far as this machine knows, or None."""

_WINDOW: Final = 8 << 20
"""Stored bytes that are read in one snapshot."""


class Sent(NamedTuple):
    """The id of a file's content, and where it lies."""

    id: bytes
    content: Content


class _Copied(NamedTuple):
    """What a snapshot has of one node: a chunk with its stored form, or a list; or what the remote has of it."""

    record: ChunkRecord | ListView
    stored: bytes | None = None
    known: Content | None = None
    chunk: Chunk | None = None
    is_base: bool = False


class ContentOutput:
    """Send the chunks of files that the remote lacks, and the lists of large files."""

    def __init__(self, store: Store, output: PackOutput, find: Find, name: Callable[[bytes], str]) -> None:
        """``name`` returns how a path of the version is called in messages."""
        self._store = store
        self._output = output
        self._find = find
        self._name = name
        self.listed: Callable[[ChunkList, int, bytes], Iterable[Chunk]] | None = None
        """Returns the chunks of a list of the base version, of a file of some bytes, if lists are written again."""
        self.used: set[Pack] = set()
        """Objects with chunks that the remote has already."""
        self.has_base_lists = False
        """Whether the list of a file was taken from the base version: which objects its chunks need is not known."""

    def files(self, entries: Sequence[TreeEntry], known: dict[bytes, Sent], path: bytes) -> list[Sent]:
        """Return where the content of entries lies, none of which is a directory; send what the remote lacks.

        ``known`` is what the base version has under the same names.
        """
        done: list[Sent] = []
        while len(done) < len(entries):
            for copied in self._copy([entry.node for entry in entries[len(done) :]], path, entries[len(done) :], known):
                record, entry = copied.record, entries[len(done)]
                if copied.known is not None:
                    content = self._taken(copied.known, entry, path) if copied.is_base else copied.known
                elif isinstance(record, ListView):
                    content = self._large(entry.node, path + entry.name)
                else:
                    content = (self._send(record, copied.stored),)
                done.append(Sent(record.id, content))
        return done

    def _taken(self, content: Content, entry: TreeEntry, path: bytes) -> Content:
        """Return the content that the base version has of an entry; its list again, if that is asked for."""
        if not isinstance(content, ChunkList):
            self.used.update(chunk.place.pack for chunk in content)
        elif self.listed is None:
            self.has_base_lists = True
        else:
            lists = _ListOutput(self._output)
            for chunk in self.listed(content, entry.size, path + entry.name):
                self.used.add(chunk.place.pack)
                lists.add(chunk)
            return lists.finish()
        return content

    def _copy(
        self,
        nodes: Sequence[int],
        path: bytes,
        entries: Sequence[TreeEntry] = (),
        known: dict[bytes, Sent] | None = None,
    ) -> list[_Copied]:
        """Return the first of some content nodes, with a window of stored forms, as of one snapshot."""
        checkpoint()
        copied: list[_Copied] = []
        held = 0
        with self._store.snapshot() as snapshot:
            for number, node in enumerate(nodes):
                name = path + entries[number].name if entries else path
                record = content_record(snapshot.transaction, node)
                there = known.get(entries[number].name) if known else None
                if there is not None and there.id == record.id:
                    copied.append(_Copied(record, None, there.content, is_base=True))
                elif isinstance(record, ListView):
                    copied.append(_Copied(record))
                elif not record.size:
                    copied.append(_Copied(record, None, ()))
                else:
                    chunk = self._known(record)
                    stored = self._stored(record, name) if chunk is None else None
                    copied.append(_Copied(record, stored, None if chunk is None else (chunk,), chunk))
                    held += len(stored or b"")
                if held >= _WINDOW:
                    break
        return copied

    def _stored(self, record: ChunkRecord, path: bytes) -> bytes:
        """Return the stored form of a chunk; raise `DamageError` if it is damaged."""
        if record.extent.codec == LOST:
            raise self._lost(path)
        try:
            return self._store.reader.read_stored(record.extent, record.checksums)
        except DamageError as error:
            raise DamageError(f"{self._name(path)} is damaged: {error}", hint="artfs fsck --repair") from error

    def _lost(self, path: bytes) -> DamageError:
        return DamageError(f"{self._name(path)} was damaged and is lost", hint="put the same file again to restore it")

    def _known(self, record: ChunkRecord) -> Chunk | None:
        """Return the chunk if the remote has it."""
        chunk = self._output.known(record.id) or self._find(record.id, record.size)
        if chunk is None or (chunk.id, chunk.size) != (record.id, record.size):
            return None
        self.used.add(chunk.place.pack)
        return chunk

    def _send(self, record: ChunkRecord, stored: bytes | None) -> Chunk:
        """Send a chunk, unless one just before it was the same."""
        assert stored is not None
        known = self._known(record)
        return known or self._output.chunk(record.id, record.extent.codec, stored, record.size)

    # -- large files ---------------------------------------------------------------------------------------------------

    def _large(self, node: int, path: bytes) -> Content:
        """Send the chunks of a list, and its lists; return its content."""
        lists = _ListOutput(self._output)
        for nodes in self._leaves(node, path):
            at = 0
            while at < len(nodes):
                for copied in self._copy(nodes[at:], path):
                    assert isinstance(copied.record, ChunkRecord)
                    lists.add(copied.chunk or self._send(copied.record, copied.stored))
                    at += 1
        return lists.finish()

    def _leaves(self, node: int, path: bytes) -> Iterator[Sequence[int]]:
        """Yield the chunks below a list, as many at a time as a record of it lists."""
        waiting = [node]
        while waiting:
            with self._store.snapshot() as snapshot:
                record = content_record(snapshot.transaction, waiting.pop())
            if isinstance(record, ChunkRecord):
                raise self._lost(path)
            if record.level:
                waiting += reversed(record.nodes)
            else:
                yield record.nodes


class _ListOutput:
    """Write the lists of one file as its chunks come."""

    def __init__(self, output: PackOutput) -> None:
        self._output = output
        self._chunks: list[Chunk] = []
        self._parts: list[list[ListedPart]] = []

    def add(self, chunk: Chunk) -> None:
        """Take the next chunk."""
        self._chunks.append(chunk)
        if len(self._chunks) == LIST_ROWS:
            self._end_chunks()

    def _end_chunks(self) -> None:
        chunks, self._chunks = self._chunks, []
        digest, size, place = self._output.form(LIST, encode_chunks(chunks))
        total = sum(chunk.size for chunk in chunks)
        self._push(0, ListedPart(ChunkList(digest, 0, len(chunks), size, place), total))

    def _push(self, level: int, part: ListedPart) -> None:
        if level == len(self._parts):
            self._parts.append([])
        self._parts[level].append(part)
        if len(self._parts[level]) == LIST_ROWS:
            self._end_parts(level)

    def _end_parts(self, level: int) -> None:
        parts, self._parts[level] = self._parts[level], []
        digest, size, place = self._output.form(LIST, encode_parts(level + 1, parts))
        count = sum(part.item.chunks for part in parts)
        self._push(level + 1, ListedPart(ChunkList(digest, level + 1, count, size, place), sum(p.bytes for p in parts)))

    def finish(self) -> Content:
        """Return the content: its chunks if they are few, else its list."""
        if not self._parts and len(self._chunks) <= INLINE:
            return tuple(self._chunks)
        if self._chunks:
            self._end_chunks()
        level = 0
        while level < len(self._parts) - 1 or len(self._parts[level]) > 1:
            if self._parts[level]:
                self._end_parts(level)
            level += 1
        return self._parts[level][0].item
