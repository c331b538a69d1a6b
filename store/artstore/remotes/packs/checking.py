"""Checking what lies in a remote: the records and the content of a version, and the forms of a whole object.

Damage does not end the check: what lies below a damaged record, or in a damaged file, is reported by its path, and the
rest is checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from artstore.errors import ArtfsError, DamageError
from artstore.ids import content_id
from artstore.interrupts import checkpoint
from artstore.objects.failures import ObjectMissingError
from artstore.records.trees import Kind
from artstore.remotes.packs.containers import CHUNK, FormEntry, parse_pack
from artstore.remotes.packs.located import Below, FormPlace, LocatedEntry, LocatedRecord
from artstore.remotes.packs.pack_sets import packs_of
from artstore.remotes.packs.places import Pack, PackDamageError
from artstore.remotes.packs.reading import RemoteTree
from artstore.storage.codec import decode

__all__ = ["CheckedVersion", "RemoteDamage", "SoundRecords", "check_pack_forms", "check_version"]

_KEY: Final = 16


class RemoteDamage(NamedTuple):
    """A path of a version (the root's is empty) that cannot be read, and why; ``pack`` is the object at fault.

    The path of a directory that cannot be read ends in a slash, but the root's.
    """

    path: bytes
    message: str
    pack: Pack | None = None
    what: str = ""


@dataclass
class SoundRecords:
    """What checks of versions have found sound, so that other versions with the same need no second look.

    ``records`` has, for each record below which all is sound, the packs that are used there; ``files`` a hash for each
    file whose content was proved.
    """

    records: dict[Below, frozenset[Pack]] = field(default_factory=dict)
    files: set[bytes] = field(default_factory=set)


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
    tree: RemoteTree,
    packs: FormPlace | None,
    *,
    content: bool = False,
    sound: SoundRecords | None = None,
    lost: Mapping[Pack, str] | None = None,
    on_bytes: Callable[[int], None] | None = None,
) -> CheckedVersion:
    """Read all records of a version, compare the set of its packs (unless None), and with ``content`` prove every file.

    Files that need an object of ``lost`` are damage, for the reason that it gives, also if content is not read.  What
    ``sound`` has is passed over, and what is found sound is added to it; use one for checks with the same
    ``content``.  ``on_bytes`` is called with the bytes of each piece of a file.  Raises the errors of a store that does
    not answer; a missing object is damage.
    """
    return _Check(tree, packs, content, sound or SoundRecords(), lost or {}, on_bytes).run()


def check_pack_forms(body: bytes, pack: Pack) -> list[str]:
    """Return what is wrong with a whole object: its footer, or forms that do not have their ids; empty if nothing."""
    try:
        entries = parse_pack(body, pack)
    except DamageError as error:
        return [error.what if isinstance(error, PackDamageError) else error.message]
    return [
        f"there are other bytes at {entry.offset:,} than were stored"
        for entry in entries
        if not _has_id(entry, body[entry.offset : entry.offset + entry.stored])
    ]


def _has_id(entry: FormEntry, stored: bytes) -> bool:
    if entry.klass != CHUNK:
        return content_id(stored) == entry.id
    try:
        return content_id(decode(entry.codec, stored, entry.size)) == entry.id
    except DamageError:
        return False


@dataclass
class _Level:
    """A record whose entries are being checked: what is left of them, the packs used below, and the damage before."""

    left: Iterator[LocatedEntry | tuple[LocatedRecord, int]]
    path: bytes
    below: Below
    before: int
    packs: set[Pack] = field(default_factory=set)


class _Check:
    def __init__(
        self,
        tree: RemoteTree,
        packs: FormPlace | None,
        content: bool,
        sound: SoundRecords,
        lost: Mapping[Pack, str],
        on_bytes: Callable[[int], None] | None,
    ) -> None:
        self._tree = tree
        self._set = packs
        self._content = content
        self._sound = sound
        self._lost = lost
        self._on_bytes = on_bytes
        self._found = CheckedVersion()
        self._levels: list[_Level] = []

    def run(self) -> CheckedVersion:
        found = self._found
        found.packs.add(self._tree.named_root.place.pack)
        if self._set is not None:
            found.packs.add(self._set.place.pack)
        try:
            root = self._tree.root
        except (DamageError, ObjectMissingError) as error:
            self._report(b"", error)
            return found
        self._enter(root, b"", lambda: self._tree.record(root))
        while self._levels:
            level = self._levels[-1]
            each = next(level.left, None)
            if each is None:
                self._leave(self._levels.pop())
            elif not isinstance(each, LocatedEntry):
                self._enter_child(*each, level.path)
            elif isinstance(each.content, Below):
                self._enter_directory(each.content, level.path + each.name + b"/")
            else:
                self._file(each, level.path + each.name)
        self._compare_set()
        found.damage.sort(key=lambda damage: damage.path)
        return found

    def _report(self, path: bytes, error: ArtfsError) -> None:
        at_fault = (error.pack, error.what) if isinstance(error, PackDamageError) else (None, "")
        self._found.damage.append(RemoteDamage(path, error.message, *at_fault))

    # -- records -------------------------------------------------------------------------------------------------------

    def _enter_directory(self, below: Below, path: bytes) -> None:
        self._enter(below, path, lambda: self._tree.record(below, path))

    def _enter_child(self, record: LocatedRecord, number: int, path: bytes) -> None:
        self._enter(record.children[number][1], path, lambda: self._tree.child(record, number, path))

    def _enter(self, below: Below, path: bytes, read: Callable[[], LocatedRecord]) -> None:
        """Begin with a record, unless all below it is known to be sound."""
        assert below.span is not None
        checkpoint()
        known = self._sound.records.get(below)  # with its place: equal spans may lie in several objects
        if known is not None:
            self._use(known)
            return
        before = len(self._found.damage)
        try:
            record = read()
        except (DamageError, ObjectMissingError) as error:
            self._report(path, error)
            return
        left: list[LocatedEntry | tuple[LocatedRecord, int]] = list(record.entries)
        left += [(record, number) for number in range(len(record.children))]
        self._levels.append(_Level(iter(left), path, below, before, {below.span.place.pack}))

    def _leave(self, level: _Level) -> None:
        packs = frozenset(level.packs)
        if len(self._found.damage) == level.before:
            self._sound.records[level.below] = packs
        self._use(packs)

    def _use(self, packs: frozenset[Pack] | set[Pack]) -> None:
        (self._levels[-1].packs if self._levels else self._found.packs).update(packs)

    # -- files ---------------------------------------------------------------------------------------------------------

    def _file(self, entry: LocatedEntry, path: bytes) -> None:
        """Note the packs of a file, and read it if content is checked."""
        assert not isinstance(entry.content, Below)
        found = self._found
        key = content_id(repr((entry.id, entry.content)).encode())[:_KEY] if self._content else b""
        try:
            used = set(self._tree.packs(entry.content, self._tree.length(entry), path))
            self._use(used)
            for pack in used & self._lost.keys():
                raise PackDamageError.of(pack, self._lost[pack])
            if self._content and key not in self._sound.files:
                for piece in self._tree.pieces(entry, path):
                    if self._on_bytes is not None:
                        self._on_bytes(len(piece))
                self._sound.files.add(key)
        except (DamageError, ObjectMissingError) as error:
            self._report(path, error)
            return
        found.files += 1
        found.bytes += 0 if entry.kind is Kind.LINK else self._tree.length(entry)

    def _compare_set(self) -> None:
        """Compare the set of the version's packs with those that it uses."""
        if self._set is None:
            return
        try:
            listed = set(packs_of(self._tree.form(self._set), self._tree.form))
        except (DamageError, ObjectMissingError) as error:
            self._report(b"", error)
            return
        self._found.unlisted = self._found.packs - listed
