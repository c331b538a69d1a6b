"""What the machine of `store.deletion_states` puts, and what it expects to find."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, Union

from hypothesis import strategies as st

from artstore.ids import content_id
from artstore.ingest.batch import EntryDraft, Ref
from artstore.ingest.building import DirectoryBuilder, ListBuilder, directory_entry
from artstore.ingest.staging import Stager
from artstore.records.trees import Kind
from artstore.storage.codec import encode
from store.conftest import time_of
from store.oracle import Model, size_of, whole

Tree: TypeAlias = Mapping[bytes, Union[bytes, tuple[Kind, bytes], "Tree"]]
Key: TypeAlias = tuple[str, int]
"""An artifact's name and a version's number."""

# -- content that disappears and comes back ----------------------------------------------------------------------------

CHUNK = 2000
_noise = random.Random(7).randbytes
_LONG, _OTHER, _TWICE = _noise(2 * CHUNK), _noise(1500), _noise(CHUNK)
CONTENTS: Sequence[bytes] = (
    b"",
    b"tiny",
    _LONG + _OTHER,
    _LONG + _noise(3000),
    _OTHER,
    _TWICE * 3,
    _noise(9 * CHUNK),
)
_SMALL: Tree = {b"x": b"tiny", b"y": CONTENTS[2]}
_DEEP: Tree = {b"deep": _SMALL, b"x": CONTENTS[4]}
_WIDE: Tree = {b"%d" % number: CONTENTS[number % 3] for number in range(9)}
FILES: Sequence[Any] = (None, *CONTENTS)
_REFERENCE = (Kind.REFERENCE, b'{"etag":"e","size":5,"uri":"file:///nowhere"}')
OTHERS: Sequence[Any] = (None, (Kind.EXECUTABLE, CONTENTS[1]), (Kind.LINK, b"a"), _REFERENCE, CONTENTS[5])
FOLDERS: Sequence[Any] = (None, {}, _SMALL, _DEEP, _WIDE)

PICTURES = st.tuples(
    st.sampled_from(range(len(FILES))), st.sampled_from(range(len(OTHERS))), *[st.sampled_from(range(len(FOLDERS)))] * 2
)
"""What a version holds, drawn as four small numbers: a file, another entry, and two folders that share content."""


def tree_of(picture: tuple[int, int, int, int]) -> Tree:
    """Return the directory that four numbers stand for."""
    file, other, one, two = picture
    entries = {b"a": FILES[file], b"b": OTHERS[other], b"c": FOLDERS[one], b"d": FOLDERS[two]}
    return {name: entry for name, entry in entries.items() if entry is not None}


def model_of_tree(tree: Tree, prefix: bytes = b"") -> Model:
    """Return a directory by path, as `store.oracle.model_of` reads it."""
    names = {Kind.FILE: "file", Kind.EXECUTABLE: "exec", Kind.LINK: "link", Kind.REFERENCE: "ref"}
    model: Model = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            model[prefix + name] = ("dir", b"")
            model |= model_of_tree(value, prefix + name + b"/")
        else:
            kind, data = value if isinstance(value, tuple) else (Kind.FILE, value)
            model[prefix + name] = (names[kind], data)
    return model


def parts(data: bytes) -> set[bytes]:
    """Return the chunks that `stage` cuts content into."""
    return {data[start : start + CHUNK] for start in range(0, max(1, len(data)), CHUNK)}


def stage(stager: Stager, tree: Tree, chunk: int = CHUNK) -> Ref:
    """Hand a directory over, batch by batch, its content in chunks of ``chunk`` bytes, with times of `time_of`."""
    builder = DirectoryBuilder(stager)
    for name, value in sorted(tree.items()):
        if isinstance(value, Mapping):
            ref = stage(stager, value, chunk)
            builder.add(directory_entry(name, ref, 0, 0o755))
            continue
        kind, data = value if isinstance(value, tuple) else (Kind.FILE, value)
        ident = content_id(data)
        chunks = ListBuilder(stager)
        for start in range(0, max(1, len(data)), chunk):
            part = data[start : start + chunk]
            chunks.add(stager.chunk(content_id(part), len(part), encode(part)), len(part))
        builder.add(
            EntryDraft(name, kind, size_of(int(kind), data), ident, chunks.finish(ident), time_of(ident), 0o644)
        )
        stager.flush_if_full()
    return builder.finish()


# -- the model ---------------------------------------------------------------------------------------------------------


@dataclass
class Opened:
    """An open draft: the artifact, the version that it began as, and what it holds by now."""

    name: str
    base: Key | None
    model: Model

    def add(self, files: Model) -> None:
        """Take files in, whatever was there."""
        self.model = {**self.model, **whole(files)}

    def remove(self, path: bytes) -> None:
        """Take a path away with all below it, and the folders above it that it leaves empty."""
        below = path + b"/"
        self.model = {at: value for at, value in self.model.items() if at != path and not at.startswith(below)}
        above = path.rpartition(b"/")[0]
        while above and not any(at.startswith(above + b"/") for at in self.model):
            del self.model[above]
            above = above.rpartition(b"/")[0]

    def move(self, path: bytes, to: bytes) -> None:
        """Let what is at a path be at another one, where nothing is."""
        below = path + b"/"
        moved = {to + at[len(path) :]: value for at, value in self.model.items() if at == path or at.startswith(below)}
        self.remove(path)
        self.model |= moved


@dataclass
class Expected:
    """What the workspace must hold: living versions, those that can still come back, aliases, the next numbers.

    What waits has its content, the aliases that it lost, and whether it is due already.  Open drafts are known by id.
    """

    living: dict[Key, Model] = field(default_factory=dict)
    waiting: dict[Key, tuple[Model, list[str], bool]] = field(default_factory=dict)
    aliases: dict[tuple[str, str], int] = field(default_factory=dict)
    next: dict[str, int] = field(default_factory=dict)
    opened: dict[str, Opened] = field(default_factory=dict)
    ends: dict[Key, int] = field(default_factory=dict)
    made: set[tuple[Key, Key]] = field(default_factory=set)
    notes: dict[Key, int] = field(default_factory=dict)
    """The number in the metadata of living versions and of those that can come back."""

    def latest(self, name: str) -> Key:
        """Return the highest living version of an artifact."""
        return max(key for key in self.living if key[0] == name)

    def made_from(self, keys: Sequence[Key]) -> list[Key]:
        """Return the living versions that were made from some, by runs or as links, and are not among them."""
        found = {target for source, target in self.made if source in keys and target in self.living}
        return sorted(found - set(keys))

    def with_all_made(self, keys: Sequence[Key]) -> list[Key]:
        """Return versions with all that was made from them, and from those."""
        found = list(keys)
        while more := self.made_from(found):
            found += more
        return found

    def rename(self, name: str, to: str) -> None:
        """Let an artifact have another name."""

        def named(key: Key) -> Key:
            return (to, key[1]) if key[0] == name else key

        self.living = {named(key): model for key, model in self.living.items()}
        self.waiting = {named(key): kept for key, kept in self.waiting.items()}
        self.ends = {named(key): end for key, end in self.ends.items()}
        self.notes = {named(key): note for key, note in self.notes.items()}
        self.aliases = {(to if owner == name else owner, alias): n for (owner, alias), n in self.aliases.items()}
        self.made = {(named(source), named(target)) for source, target in self.made}
        self.next[to] = self.next.pop(name)
        for opened in self.opened.values():
            opened.name = to if opened.name == name else opened.name
            opened.base = None if opened.base is None else named(opened.base)

    def commit(self, ident: str) -> bool:
        """Make a version of an open draft, which ends; return whether one was made."""
        opened = self.opened.pop(ident)
        return self.put(opened.name, opened.model)

    def put(self, name: str, model: Model, *, differs: bool = False) -> bool:
        """Make a version unless it equals the latest, and nothing else differs; return whether one was made."""
        latest = max((number for owner, number in self.living if owner == name), default=None)
        if latest is not None and self.living[name, latest] == model and not differs:
            return False
        number = self.next.get(name, 0)
        self.next[name] = number + 1
        self.living[name, number] = model
        return True

    def retired(self, last: int, days: int) -> list[Key]:
        """Return what goes ``days`` from now, where all but the ``last`` of each artifact go by rule (0: no rule)."""
        needed = {opened.base for opened in self.opened.values()} | {
            (name, number) for (name, _), number in self.aliases.items()
        }
        needed |= {source for source, target in self.made if target in self.living}
        going = []
        for key in self.living:
            above = sum(other[0] == key[0] and other[1] > key[1] for other in self.living)
            goes = self.ends[key] <= days if key in self.ends else 0 < last <= above
            if goes and key not in needed:
                going.append(key)
        return going

    def released(self, keys: Sequence[Key]) -> list[tuple[str, str]]:
        """Return the aliases that would go with versions."""
        return [alias for alias, number in self.aliases.items() if (alias[0], number) in keys]

    def delete(self, keys: Sequence[Key], *, due: bool) -> None:
        """Let versions wait to be reaped."""
        for key in keys:
            gone = self.released([key])
            self.waiting[key] = (self.living.pop(key), [alias for _, alias in gone], due)
            for alias in gone:
                del self.aliases[alias]

    def undelete(self, key: Key) -> None:
        """Bring a version back, with the aliases that are free."""
        self.living[key], released, _ = self.waiting.pop(key)
        for alias in released:
            self.aliases.setdefault((key[0], alias), key[1])

    def living_notes(self) -> dict[Key, int]:
        """Return the number in the metadata of each living version that has one."""
        return {key: note for key, note in self.notes.items() if key in self.living}

    def models(self) -> list[Model]:
        """Return what the versions hold, the living and those that can come back."""
        return [*self.living.values(), *(model for model, *_ in self.waiting.values())]

    def purge(self, key: Key, path: bytes) -> None:
        """Take a file out of a version."""
        model = self.living[key] if key in self.living else self.waiting[key][0]
        del model[path]


def label(key: Key) -> str:
    """Return ``NAME:vN``."""
    return f"{key[0]}:v{key[1]}"
