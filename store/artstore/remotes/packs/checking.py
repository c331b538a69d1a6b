"""Checking a version in a remote: its records, the set of its packs, and if wanted all content.

Damage does not end the check: what lies below a damaged record, or in a damaged file, is reported by its path, and the
rest is checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from artstore.errors import ArtfsError, DamageError
from artstore.interrupts import checkpoint
from artstore.objects.failures import ObjectMissingError
from artstore.records.trees import Kind
from artstore.remotes.packs.located import Below, FormPlace, LocatedEntry, LocatedRecord
from artstore.remotes.packs.pack_sets import packs_of
from artstore.remotes.packs.places import Pack
from artstore.remotes.packs.reading import RemoteTree

__all__ = ["CheckedVersion", "RemoteDamage", "check_version"]


class RemoteDamage(NamedTuple):
    """A path of a version (the root's is empty) that cannot be read, and why."""

    path: bytes
    message: str


@dataclass
class CheckedVersion:
    """What was found: damage in the order of paths, and how much was looked at.

    ``packs`` are those that the version uses, as far as its records were read; ``unlisted`` are those among them that
    its set lacks, which a collection could remove.
    """

    files: int = 0
    bytes: int = 0
    damage: list[RemoteDamage] = field(default_factory=list)
    packs: set[Pack] = field(default_factory=set)
    unlisted: set[Pack] = field(default_factory=set)

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.damage and not self.unlisted


def check_version(
    tree: RemoteTree, packs: FormPlace, *, content: bool = False, on_bytes: Callable[[int], None] | None = None
) -> CheckedVersion:
    """Read all records of a version, compare the set of its packs, and with ``content`` read and prove every file.

    ``on_bytes`` is called with the bytes of each file that was proved.  Raises the errors of a store that does not
    answer; a missing object is damage.
    """
    return _Check(tree, packs, content, on_bytes).run()


class _Check:
    def __init__(
        self, tree: RemoteTree, packs: FormPlace, content: bool, on_bytes: Callable[[int], None] | None
    ) -> None:
        self._tree = tree
        self._set = packs
        self._content = content
        self._on_bytes = on_bytes
        self._found = CheckedVersion()

    def run(self) -> CheckedVersion:
        found = self._found
        found.packs |= {self._tree.named_root.place.pack, self._set.place.pack}
        try:
            root = self._tree.root
        except (DamageError, ObjectMissingError) as error:
            self._report(b"", error)
            return found
        stack = [(self._entries(root, b""), b"")]
        while stack:
            entries, path = stack[-1]
            entry = next(entries, None)
            if entry is None:
                stack.pop()
            elif isinstance(entry.content, Below):
                below = path + entry.name + b"/"
                stack.append((self._entries(entry.content, below), below))
            else:
                self._file(entry, path + entry.name)
        self._compare_set()
        found.damage.sort()
        return found

    def _report(self, path: bytes, error: ArtfsError) -> None:
        self._found.damage.append(RemoteDamage(path.rstrip(b"/"), error.message))

    def _entries(self, directory: Below, path: bytes) -> Iterator[LocatedEntry]:
        """Yield the entries of a directory that can be read."""
        checkpoint()
        try:
            record = self._tree.record(directory, path)
        except (DamageError, ObjectMissingError) as error:
            self._report(path, error)
            return
        self._note(directory)
        yield from self._entries_of(record, path)

    def _entries_of(self, record: LocatedRecord, path: bytes) -> Iterator[LocatedEntry]:
        yield from record.entries
        for number, (_, below) in enumerate(record.children):
            try:
                child = self._tree.child(record, number, path)
            except (DamageError, ObjectMissingError) as error:
                self._report(path, error)
                continue
            self._note(below)
            yield from self._entries_of(child, path)

    def _note(self, below: Below) -> None:
        if below.span is not None:
            self._found.packs.add(below.span.place.pack)

    def _file(self, entry: LocatedEntry, path: bytes) -> None:
        """Note the packs of a file, and read it if content is checked."""
        assert not isinstance(entry.content, Below)
        found = self._found
        try:
            found.packs.update(self._tree.packs(entry.content, self._tree.length(entry), path))
            if self._content:
                for piece in self._tree.pieces(entry, path):
                    if self._on_bytes is not None:
                        self._on_bytes(len(piece))
        except (DamageError, ObjectMissingError) as error:
            self._report(path, error)
            return
        found.files += 1
        found.bytes += 0 if entry.kind is Kind.LINK else self._tree.length(entry)

    def _compare_set(self) -> None:
        """Compare the set of the version's packs with those that it uses."""
        try:
            listed = set(packs_of(self._tree.form(self._set), self._tree.form))
        except (DamageError, ObjectMissingError) as error:
            self._report(b"", error)
            return
        self._found.unlisted = self._found.packs - listed
