"""Building directories and extent lists of any size from a stream, holding at most one part of each level."""

from __future__ import annotations

from collections.abc import Set

from artstore.ingest.batch import EntryDraft, Ref
from artstore.ingest.content_cuts import Splitter, name_hash
from artstore.ingest.earlier import EarlierDirectory
from artstore.ingest.staging import Stager, entries_digest
from artstore.records.trees import Kind
from artstore.storage.codec import encode

__all__ = ["DirectoryBuilder", "ListBuilder", "directory_entry"]


class DirectoryBuilder:
    """Build one directory from its entries, given in name order."""

    def __init__(
        self,
        stager: Stager,
        *,
        earlier: EarlierDirectory | None = None,
        taken: Set[bytes] = frozenset(),
        many: bool = False,
    ) -> None:
        """``many``: more than `FANOUT` entries are known to follow.

        With ``earlier``, records that are unchanged there are shared, and the times of others follow its rule;
        ``taken`` names the entries that come from a version.
        """
        self._stager = stager
        self._earlier = earlier
        self._taken = taken
        self._entries: Splitter[EntryDraft] = Splitter(0, lambda entry: name_hash(entry.name), many=many)
        self._above: list[Splitter[tuple[bytes, Ref]]] = []

    @property
    def split(self) -> bool:
        """Whether records of this directory have been handed over already."""
        return self._entries.split

    @property
    def between_records(self) -> bool:
        """Whether the next entry begins a record."""
        return self._entries.between_parts

    def add_record(self, last_name: bytes, record: Ref) -> None:
        """Add a level-0 record of another directory as the next entries; only between records, and with ``many``."""
        self._push(0, (last_name, record))

    def add(self, entry: EntryDraft) -> None:
        """Take the next entry."""
        for part in self._entries.push(entry):
            self._push(0, (part[-1].name, self._record(part)))

    def _record(self, entries: list[EntryDraft]) -> Ref:
        """Hand over a record of level 0, or the one of the version before that is the same but for times and modes."""
        earlier = self._earlier
        if earlier is None:
            return self._stager.tree(entries)
        digest = entries_digest(entries)
        form = earlier.shared(digest, entries)
        if form is None:
            return self._stager.tree(earlier.settled(entries, self._taken))
        self._withdraw(entries)
        return self._stager.known_tree(form, digest)

    def discard(self) -> list[EntryDraft]:
        """Discard the entries, none of which was handed over; the whole directory is already known.  Return them."""
        entries = self._entries.finish()
        self._withdraw(entries)
        return entries

    def _withdraw(self, entries: list[EntryDraft]) -> None:
        for entry in entries:
            if entry.ref is not None:
                self._stager.withdraw(entry.ref)

    def _push(self, level: int, child: tuple[bytes, Ref]) -> None:
        if level == len(self._above):
            self._above.append(Splitter(level + 1, lambda child: name_hash(child[0])))
        for part in self._above[level].push(child):
            self._push(level + 1, (part[-1][0], self._stager.index(level + 1, part)))

    def finish(self) -> Ref:
        """Hand over the remaining entries; return the directory's root record."""
        rest = self._entries.finish()
        if not self._entries.split:
            return self._record(rest)
        if rest:
            self._push(0, (rest[-1].name, self._record(rest)))
        level = 0
        while True:
            children = self._above[level].finish()
            if not self._above[level].split:
                return self._unless_unchanged(self._stager.index(level + 1, children))
            if children:
                self._push(level + 1, (children[-1][0], self._stager.index(level + 1, children)))
            level += 1

    def _unless_unchanged(self, root: Ref) -> Ref:
        """Return the root record, or that of the version before if only times and modes differ."""
        form = None if self._earlier is None else self._earlier.whole(root.digest)
        if form is None or form == root.id:
            return root
        self._stager.withdraw(root)
        return self._stager.known_tree(form, root.digest)


class ListBuilder:
    """Build one file's content from its chunks, given in order."""

    def __init__(self, stager: Stager) -> None:
        self._stager = stager
        self._levels: list[Splitter[tuple[Ref, int]]] = []

    def add(self, chunk: Ref, size: int) -> None:
        """Take the next chunk."""
        self._push(0, (chunk, size))

    def _push(self, level: int, child: tuple[Ref, int]) -> None:
        if level == len(self._levels):
            self._levels.append(Splitter(level, lambda child: int.from_bytes(child[0].id[:8], "little")))
        for part in self._levels[level].push(child):
            self._push(level + 1, self._list(level, part))

    def _list(self, level: int, part: list[tuple[Ref, int]]) -> tuple[Ref, int]:
        return self._stager.list(level, part, None), sum(size for _, size in part)

    def finish(self, content_id: bytes) -> Ref:
        """Hand over the remaining chunks; return the content's node, which is the chunk itself if there is only one.

        Content without chunks is empty, and is stored as a chunk of no bytes.
        """
        if not self._levels:
            return self._stager.chunk(content_id, 0, encode(b""))
        level = 0
        while True:
            splitter = self._levels[level]
            rest = splitter.finish()
            if not splitter.split:
                if level == 0 and len(rest) == 1:
                    return rest[0][0]
                return self._stager.list(level, rest, content_id)
            if rest:
                self._push(level + 1, self._list(level, rest))
            level += 1


def directory_entry(name: bytes, ref: Ref, mtime_ns: int, mode: int) -> EntryDraft:
    """Return the entry of a subdirectory that was handed over."""
    return EntryDraft(name, Kind.DIRECTORY, 0, ref.digest, ref, mtime_ns, mode, ref.id)
