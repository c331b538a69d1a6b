"""Trees that were made to deceive: sound hashes around records that contradict each other."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from artstore.changes.committing import Commit, commit
from artstore.errors import DamageError
from artstore.ids import content_id
from artstore.ingest.staging import Stager
from artstore.records.trees import Kind
from artstore.remotes.packs.containers import CHUNK, LIST, SPAN, PackBuilder
from artstore.remotes.packs.importing import import_tree
from artstore.remotes.packs.lists import encode_chunks
from artstore.remotes.packs.located import (
    Below,
    Chunk,
    ChunkList,
    FormPlace,
    LocatedEntry,
    LocatedRecord,
    identity,
    totals_of,
)
from artstore.remotes.packs.places import TREES, Pack, Place
from artstore.remotes.packs.reading import RemoteRoot, RemoteTree
from artstore.remotes.packs.spans import compress, encode_span
from artstore.workspace import Workspace
from store.remotes.packs.memory_remote import MemoryRemote
from store.remotes.packs.pack_codecs import digest
from store.remotes.packs.test_reading import everything


class Forge:
    """One object, filled by hand."""

    def __init__(self) -> None:
        self.builder = PackBuilder(Pack(TREES, b"forged pack 0001"))
        self.remote = MemoryRemote()

    def chunk(self, data: bytes, size: int = -1) -> Chunk:
        """Store a chunk raw, or under another size as a compressed one."""
        codec, length = (0, len(data)) if size < 0 else (1, size)
        ident = content_id(data)
        place = self.builder.add(CHUNK, 0, ident, data, len(data))
        return Chunk(ident, length, codec, place)

    def form(self, klass: int, raw: bytes) -> FormPlace:
        stored = compress(raw)
        place = self.builder.add(klass, 1, content_id(stored), stored, len(raw))
        return FormPlace(content_id(stored), len(raw), place)

    def span(self, *records: LocatedRecord) -> FormPlace:
        return self.form(SPAN, encode_span(records))

    def tree(self, root: LocatedRecord, *before: LocatedRecord, **lies: Any) -> RemoteTree:
        """Return the version with a root record, and others in its span; the log may lie about it."""
        form, totals = self.span(*before, root), totals_of(root)
        said = RemoteRoot(
            identity(root).digest, form.place, form.hash, totals.inodes, totals.files, totals.bytes
        )._replace(**lies)
        item = self.builder.finish()
        self.remote.objects[item.pack.object_name] = item.body
        return RemoteTree(self.remote.fetch, said, "a:v1")


def entry_of(name: bytes, chunk: Chunk, **other: Any) -> LocatedEntry:
    return LocatedEntry(name, Kind.FILE, chunk.size, chunk.id, 5, 0o644, (chunk,))._replace(**other)


def folder_of(name: bytes, below: Below) -> LocatedEntry:
    return LocatedEntry(name, Kind.DIRECTORY, 0, below.digest, 0, 0o755, below)


def below_of(record: LocatedRecord, number: int = 0) -> Below:
    return Below(*identity(record), totals_of(record), None, number)


def leaf(forge: Forge, *names: bytes) -> LocatedRecord:
    return LocatedRecord(0, tuple(entry_of(name, forge.chunk(b"content of " + name)) for name in names), ())


def test_a_tree_made_by_hand_reads() -> None:
    """What the others change is the only lie in them."""
    forge = Forge()
    record = leaf(forge, b"f", b"g")
    tree = forge.tree(LocatedRecord(0, (folder_of(b"d", below_of(record)),), ()), record)
    assert everything(tree)[b"d/g"][1] == b"content of g"


LIES: dict[str, Callable[[Below], Below]] = {
    "entries": lambda below: below._replace(totals=below.totals._replace(entries=3)),
    "files": lambda below: below._replace(totals=below.totals._replace(files=3)),
    "directories": lambda below: below._replace(totals=below.totals._replace(directories=1)),
    "bytes": lambda below: below._replace(totals=below.totals._replace(bytes=1)),
    "newest": lambda below: below._replace(totals=below.totals._replace(newest_ns=6)),
    "form": lambda below: below._replace(form=digest(1)),
    "digest": lambda below: below._replace(digest=digest(1)),
    "another record": lambda below: below._replace(record=1),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_folder_that_is_not_as_its_parent_says_is_refused(lie: str) -> None:
    forge = Forge()
    record, other = leaf(forge, b"f", b"g"), leaf(forge, b"h")
    tree = forge.tree(LocatedRecord(0, (folder_of(b"d", LIES[lie](below_of(record))),), ()), record, other)
    with pytest.raises(DamageError, match=f"^a:v1/d .*{tree.named_root.place.pack.object_name}"):
        everything(tree)


@pytest.mark.parametrize("lie", [lie for lie in LIES if lie not in ("form", "another record")])
def test_a_folder_that_is_here_is_not_another_one_there(lie: str, workspace: Workspace) -> None:
    """A lie about a record that is not even fetched, because the workspace has its form id."""
    forge = Forge()
    record = leaf(forge, b"f", b"g")
    _import(workspace, forge.tree(LocatedRecord(0, (folder_of(b"d", below_of(record)),), ()), record))
    forge = Forge()
    record, other = leaf(forge, b"f", b"g"), entry_of(b"z", forge.chunk(b"new"))
    tree = forge.tree(LocatedRecord(0, (folder_of(b"d", LIES[lie](below_of(record))), other), ()), record)
    with pytest.raises(DamageError, match=r"^a:v1/d .*form id of another"):
        _import(workspace, tree)


@pytest.mark.parametrize(
    "lies", [{"digest": digest(1)}, {"entries": 4}, {"files": 4}, {"bytes": 4}, {"hash": digest(1)}]
)
def test_a_root_that_is_not_as_the_log_says_is_refused(lies: dict[str, Any]) -> None:
    forge = Forge()
    tree = forge.tree(leaf(forge, b"f", b"g"), **lies)
    with pytest.raises(DamageError, match=r"^a:v1 .*(the root has another|the root has other|other bytes)"):
        everything(tree)


def test_a_root_in_a_data_pack_is_refused() -> None:
    forge = Forge()
    tree = forge.tree(leaf(forge, b"f"))
    place = tree.named_root.place
    moved = tree.named_root._replace(place=Place(Pack(ord("d"), place.pack.id), place.offset, place.stored))
    with pytest.raises(DamageError, match="not in a tree pack"):
        everything(RemoteTree(forge.remote.fetch, moved, "a:v1"))


@pytest.mark.parametrize(
    "parts",
    [
        ((1, b"g"), (0, b"h"), (1, b"g")),
        ((1, b"a", b"b"), (0, b"a", b"c"), (0, b"d")),
        ((1, b"b", b"d"), (0, b"a", b"b"), (0, b"b", b"d")),
        ((2, b"b"), (0, b"a", b"b")),
        ((1, b"b"), (0,)),
    ],
    ids=["level", "last name", "overlap", "skipped level", "empty part"],
)
def test_parts_of_a_directory_that_do_not_fit_are_refused(parts: tuple[tuple[Any, ...], ...]) -> None:
    """An index record says (level, last names); the parts have (0, names) or are no leaves."""
    forge = Forge()
    (level, *last_names), *below = parts
    records = [leaf(forge, *names) if not depth else _index(forge, names) for depth, *names in below]
    rows = tuple(
        (name, below_of(record, at)) for at, (name, record) in enumerate(zip(last_names, records, strict=False))
    )
    rows = tuple((name, _with_entries(row)) for name, row in rows)
    tree = forge.tree(LocatedRecord(level, (), rows), *records)
    with pytest.raises(DamageError, match=r"^a:v1 "):
        everything(tree)


def _index(forge: Forge, names: list[bytes]) -> LocatedRecord:
    span = forge.span(leaf(forge, *names))
    return LocatedRecord(1, (), ((names[-1], below_of(leaf(forge, *names))._replace(span=span)),))


def _with_entries(below: Below) -> Below:
    """An index record of a part without entries is refused by the writer already: let it say one."""
    return below if below.totals.entries else below._replace(totals=below.totals._replace(entries=1, files=1))


@pytest.mark.parametrize("change", ["one chunk less", "one chunk more", "other sizes", "count", "another list"])
def test_a_list_that_is_not_as_its_record_says_is_refused(change: str, workspace: Workspace) -> None:
    forge = Forge()
    pieces = [b"%d" % number * 100 for number in range(9)]
    chunks = [forge.chunk(piece) for piece in pieces]
    listed = {
        "one chunk less": chunks[:-1],
        "one chunk more": [*chunks, chunks[0]],
        "other sizes": [*chunks[:-1], chunks[-1]._replace(size=101, codec=1)],
        "another list": chunks[::-1],
    }.get(change, chunks)
    form = forge.form(LIST, encode_chunks(listed))
    item = ChunkList(form.hash, 0, 10 if change == "count" else 9, form.size, form.place)
    whole = b"".join(pieces)
    entry = LocatedEntry(b"big", Kind.FILE, len(whole), content_id(whole), 0, 0o644, item)
    tree = forge.tree(LocatedRecord(0, (entry,), ()))
    with pytest.raises(DamageError, match=r"^a:v1/big "):
        everything(tree)
    with pytest.raises(DamageError, match=r"^a:v1/big "):
        _import(workspace, tree)


def _import(workspace: Workspace, tree: RemoteTree) -> None:
    asked = Commit("a", force=True)
    with closing(Stager(workspace.store, "a", "remote")) as stager:
        root = import_tree(workspace.store, tree, stager)
        stager.commit(root, lambda tx, ref, added: commit(workspace.store, tx, ref, asked, added))


def test_chunks_with_lengths_of_each_other_are_refused(workspace: Workspace) -> None:
    """Two chunks that make up a file, with right ids, whose lengths say that they are cut elsewhere.

    Both come for files of their own too, so that their content is there before their lengths are looked at.
    """
    forge = Forge()
    one, two = forge.chunk(b"hello "), forge.chunk(b"world")
    shifted = (one._replace(size=7, codec=1), two._replace(size=6, codec=1))
    whole = content_id(b"hello world")
    entries = (
        entry_of(b"a", one),
        entry_of(b"b", two),
        LocatedEntry(b"c", Kind.FILE, 13, whole, 0, 0o644, shifted),
    )
    tree = forge.tree(LocatedRecord(0, entries, ()))
    with pytest.raises(DamageError, match=r"^a:v1/c "):
        _import(workspace, tree)


def test_content_that_is_here_under_another_length_is_refused(workspace: Workspace) -> None:
    """An entry that says a wrong size of content that the workspace has by its id."""
    forge = Forge()
    chunk = forge.chunk(b"hello")
    _import(workspace, forge.tree(LocatedRecord(0, (entry_of(b"a", chunk),), ())))
    forge = Forge()
    chunk = forge.chunk(b"hello", size=6)
    tree = forge.tree(LocatedRecord(0, (entry_of(b"b", chunk),), ()))
    with pytest.raises(DamageError, match=r"^a:v1/b "):
        _import(workspace, tree)
