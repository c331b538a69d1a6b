"""The vectors that are kept for ever: what a release writes and what any later one must read.

`tests/corpora/vectors.json` was worked out from `docs/format.md` with struct, BLAKE3 and XXH3 alone.  A test that fails
here means another on-disk format, never another vector.
"""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from artstore.ids import content_id
from artstore.ingest.batch import EntryDraft, Ref
from artstore.ingest.building import DirectoryBuilder
from artstore.records.nodes import (
    ChunkRecord,
    Extent,
    ListChild,
    ListRecord,
    LostRecord,
    canonical_list,
    encode_chunk,
    encode_list,
    encode_lost,
    parse_canonical_list,
)
from artstore.records.packed_trees import (
    Attributes,
    CanonicalEntry,
    canonical_entries,
    canonical_index,
    entry_attributes,
    form_id,
    index_attributes,
    parse_packed_tree,
)
from artstore.records.packing import (
    PackedEntry,
    encode_header,
    encode_index,
    encode_segment_head,
    parse_header,
    parse_index,
    parse_segment_head,
)
from artstore.records.seal import seal, seal_numbered, unseal, unseal_numbered
from artstore.records.trees import (
    EARLIEST_NS,
    LATEST_NS,
    ChildRecord,
    Kind,
    TreeEntry,
    TreeTotals,
    TreeView,
    encode_tree,
)
from artstore.storage import journal
from artstore.workspace import Workspace
from store.oracle import KINDS, canonical_digest, directory_forms

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[2] / "corpora" / "vectors.json").read_bytes())
EMPTY_DIRECTORY = content_id(canonical_entries([]))


@pytest.mark.parametrize("vector", VECTORS["directories"], ids=lambda vector: vector["name"])
def test_directory_records(vector: dict[str, Any]) -> None:
    """A directory of one record: its canonical bytes, its digest, and back."""
    entries = []
    for name, kind, data in vector["entries"]:
        content = bytes.fromhex(data)
        if kind == "dir":
            entries.append(CanonicalEntry(bytes.fromhex(name), Kind.DIRECTORY, 0, EMPTY_DIRECTORY))
        else:
            ident = content_id(content)
            entries.append(CanonicalEntry(bytes.fromhex(name), Kind(KINDS[kind]), len(content), ident))
    record = canonical_entries(entries)
    assert record.hex() == vector["record"]
    assert content_id(record).hex() == vector["digest"]
    model = {bytes.fromhex(name): (kind, bytes.fromhex(data)) for name, kind, data in vector["entries"]}
    assert canonical_digest(model).hex() == vector["digest"]


@pytest.mark.parametrize("vector", VECTORS["forms"]["cases"], ids=lambda vector: vector["directory"])
def test_forms(vector: dict[str, Any]) -> None:
    """The packed form of a directory with times and modes, its form id, and back."""
    directory = next(one for one in VECTORS["directories"] if one["name"] == vector["directory"])
    packed = bytes.fromhex(vector["packed"])
    tree = parse_packed_tree(packed)
    empty = form_id(EMPTY_DIRECTORY, b"")
    expected = [
        Attributes(mtime_ns, mode, empty if kind == "dir" else b"")
        for (mtime_ns, mode), (_, kind, _) in zip(vector["attributes"], directory["entries"], strict=True)
    ]
    assert list(tree.attributes) == expected
    assert [entry.name.hex() for entry in tree.entries] == [name for name, *_ in directory["entries"]]
    assert (tree.digest.hex(), tree.form.hex()) == (directory["digest"], vector["form"])
    assert canonical_entries(tree.entries) + entry_attributes(tree.attributes) == packed
    rows = [((e.name, int(e.kind), e.size, e.id), a) for e, a in zip(tree.entries, expected, strict=True)]
    assert directory_forms(rows) == [packed]


class _Recorder:
    """Stands where the stager does, and keeps the packed records that it is handed."""

    def __init__(self) -> None:
        self.records: list[bytes] = []

    def _ref(self, canonical: bytes, attributes: bytes) -> Ref:
        self.records.append(canonical + attributes)
        digest = content_id(canonical)
        return Ref(0x74, form_id(digest, attributes), digest)

    def tree(self, entries: list[EntryDraft]) -> Ref:
        canonical = canonical_entries([CanonicalEntry(e.name, e.kind, e.size, e.id) for e in entries])
        return self._ref(canonical, entry_attributes([Attributes(e.mtime_ns, e.mode, e.form) for e in entries]))

    def index(self, level: int, children: list[tuple[bytes, Ref]]) -> Ref:
        canonical = canonical_index(level, [(name, ref.digest) for name, ref in children])
        return self._ref(canonical, index_attributes([ref.id for _, ref in children]))


@pytest.mark.parametrize("vector", VECTORS["generated_directories"]["cases"], ids=lambda vector: str(vector["count"]))
def test_split_directories(vector: dict[str, Any]) -> None:
    """Directories that are split, up to two levels of index records: every record, and the root's digest and form."""
    names = [b"%06d" % number for number in range(vector["count"])]
    ids = [content_id(name) for name in names]
    attributes = [Attributes(n * 1000003 - 5 * 10**9, 0o600 + n % 64, b"") for n in range(len(names))]
    recorder = _Recorder()
    builder = DirectoryBuilder(recorder)  # type: ignore[arg-type]
    for name, ident, (mtime_ns, mode, _) in zip(names, ids, attributes, strict=True):
        builder.add(EntryDraft(name, Kind.FILE, 6, ident, None, mtime_ns, mode))
    root = builder.finish()
    assert (root.digest.hex(), root.id.hex()) == (vector["digest"], vector["form"])
    rows = [((name, 0, 6, ident), each) for name, ident, each in zip(names, ids, attributes, strict=True)]
    for records in (recorder.records, directory_forms(rows)):
        trees = sorted(map(parse_packed_tree, records), key=lambda tree: tree.level)
        assert [sum(tree.level == level for tree in trees) for level in range(trees[-1].level + 1)] == vector["records"]
        assert blake3(b"".join(tree.digest for tree in trees)).hexdigest() == vector["all_records"]
        assert blake3(b"".join(tree.form for tree in trees)).hexdigest() == vector["all_forms"]


@pytest.mark.parametrize("vector", VECTORS["lists"], ids=lambda vector: str(vector["level"]))
def test_lists(vector: dict[str, Any]) -> None:
    """The packed form of an extent list, and its id."""
    children = [(klass, bytes.fromhex(ident), length) for klass, ident, length in vector["children"]]
    record = canonical_list(vector["level"], children)
    assert record.hex() == vector["record"]
    assert content_id(record).hex() == vector["id"]
    assert parse_canonical_list(record) == (vector["level"], children)


def test_sealed_nodes() -> None:
    """Local records of every kind, as they stand in LMDB."""
    vector = VECTORS["sealed_nodes"]
    ids, birth = [bytes.fromhex(ident) for ident in vector["ids"]], vector["birth_ns"]
    chunk = ChunkRecord(ids[0], birth, 200_000, Extent(3, 4096, 131_073, 1), (1, 2**63, 3))
    listed = ListRecord(ids[1], birth, 300, 0, Extent(1, 64, 85, 0), (ListChild(17, 100), ListChild(18, 300)))
    entries = [
        TreeEntry(b"dir", Kind.DIRECTORY, 20, 500, -1, 0o750, 0, 5),
        TreeEntry(b"run", Kind.EXECUTABLE, 17, 100, birth, 0o755, 5, 1),
        TreeEntry(b"\xff", Kind.LINK, 18, 300, EARLIEST_NS, 0o777, 6, 1),
    ]
    children = [ChildRecord(21, b"m", 256, 0, 258, 0), ChildRecord(22, b"zz", 64, 256, 149, 258)]
    tree = encode_tree(0, ids[2], ids[0], TreeTotals(3, 4, 3, 900, birth), Extent(2, 1000, 77, 1), entries)
    totals = TreeTotals(320, 400, 7, 123456789012, LATEST_NS)
    index = encode_tree(1, ids[3], ids[1], totals, Extent(2, 2000, 83, 0), children)
    assert (list(TreeView(tree).entries()), list(TreeView(index).children())) == (entries, children)
    records = {
        "chunk": encode_chunk(chunk),
        "list": encode_list(listed),
        "tree": tree,
        "index": index,
        "lost directory": encode_lost(LostRecord(0x74, ids[0], 0, 0, ids[2])),
        "lost content": encode_lost(LostRecord(0x63, ids[1], birth, 300)),
    }
    assert records.keys() == vector["records"].keys()
    for kind, payload in records.items():
        node, value = vector["records"][kind]["node"], bytes.fromhex(vector["records"][kind]["value"])
        assert seal_numbered(vector["table"], node, payload) == value, kind
        assert unseal_numbered(vector["table"], node, value) == payload, kind


def test_sealed_rows() -> None:
    """Rows of tables with other keys, and a block of counts."""
    for vector in VECTORS["sealed_rows"]:
        key, payload, value = (bytes.fromhex(vector[part]) for part in ("key", "payload", "value"))
        assert seal(vector["table"], key, payload) == value
        assert unseal(vector["table"], key, value) == payload
    vector = VECTORS["sealed_counts"]
    counts = [0] * 128
    for node, count in vector["counts"].items():
        counts[int(node) - 128 * vector["block"]] = count
    value = seal_numbered(vector["table"], vector["block"], struct.pack("<128I", *counts))
    assert content_id(value).hex() == vector["digest"]


def test_packs() -> None:
    """A pack's header, a segment's head and its index."""
    header, head, index = (VECTORS["packs"][part] for part in ("header", "segment_head", "index"))
    values = bytes.fromhex(header["uuid"]), header["number"], header["created_ns"]
    assert encode_header(*values).hex() == header["bytes"]
    assert parse_header(bytes.fromhex(header["bytes"])) == values
    assert encode_segment_head(head["data"], head["index"]).hex() == head["bytes"]
    assert parse_segment_head(bytes.fromhex(head["bytes"])) == (head["data"], head["index"])
    entries = [
        PackedEntry(klass, codec, bytes.fromhex(ident), *figures, tuple(sums))
        for klass, codec, ident, *figures, sums in index["entries"]
    ]
    assert encode_index(entries).hex() == index["bytes"]
    assert parse_index(bytes.fromhex(index["bytes"])) == entries


def test_journal(workspace: Workspace, tmp_path: Path) -> None:
    """One event of the catalogue, as it is appended and as it is read."""
    vector = VECTORS["journal"]
    (tmp_path / "journal").write_bytes(bytes.fromhex(vector["bytes"]))
    assert list(journal.replay(tmp_path / "journal")) == [vector["event"]]
    with workspace.store.write() as transaction:
        journal.append_records(workspace.path, transaction, [vector["event"]])
    assert journal.journal_path(workspace.path).read_bytes().hex() == vector["bytes"]


def test_the_digest_of_a_folder(workspace: Workspace, tmp_path: Path) -> None:
    """A folder that is put has the digest and the form id that the documented form gives it."""
    folder = tmp_path / "folder"
    (folder / "a" / "empty").mkdir(parents=True)
    (folder / "a" / "one").write_bytes(b"1")
    (folder / "big").mkdir()
    (folder / "big" / "chunks").write_bytes(b"".join(struct.pack("<I", number) for number in range(750_000)))
    (folder / "link").symlink_to("a/one")
    (folder / "run.sh").write_bytes(b"#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    (folder / os.fsdecode(b"\xff\n")).touch()
    for path in [*folder.rglob("*"), folder]:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.name == "run.sh" else 0o644)
        os.utime(path, ns=(0, 951782400123456789), follow_symlinks=False)
    record = workspace.put(folder, "folder").record
    assert (record.digest.hex(), record.form.hex()) == (VECTORS["folder"]["digest"], VECTORS["folder"]["form"])
    assert (record.mtime_ns, record.mode) == (951782400123456789, 0o755)
