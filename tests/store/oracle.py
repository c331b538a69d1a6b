"""What a workspace must hold, worked out by brute force: every record is read, and every id computed anew.

`problems` extends the recount of counts, extents and counters (`crash.recount`) by what lies in the packs: ids,
canonical forms, totals and births, and that all is reachable.  `canonical_digest` is the documented form of a
directory, written down a second time: it imports nothing from the code that makes it.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import zstandard
from blake3 import blake3

from artstore import manifest, trees
from artstore.manifest import ReadTransaction, Table
from artstore.packs import pack_path
from artstore.records.catalogue import VersionRecord
from artstore.records.nodes import KIND_CHUNK, KIND_LIST, ListRecord, decode_chunk, decode_list
from artstore.records.trees import Kind, TreeView
from artstore.store import Store
from artstore.workspace import Workspace
from crash.recount import contradictions

Model = dict[bytes, tuple[str, bytes]]
"""Everything below a folder by path: ("file" | "exec" | "link" | "dir", content or link text)."""

KINDS = {"file": 0, "exec": 1, "link": 2, "dir": 3}


def digest(data: bytes) -> bytes:
    return blake3(data).digest()


# -- the canonical form, a second time ---------------------------------------------------------------------------------


def split(items: Sequence[Any], level: int, hash_of: Callable[[Any], int]) -> list[list[Any]]:
    """Cut a sequence by the documented rule: 256 items are one part; else after zero bits 6L..6L+5, or 256 items."""
    if len(items) <= 256:
        return [list(items)]
    parts: list[list[Any]] = [[]]
    for item in items:
        parts[-1].append(item)
        if (hash_of(item) >> 6 * level) & 63 == 0 or len(parts[-1]) == 256:
            parts.append([])
    return [part for part in parts if part]


def hash_of_name(name: bytes) -> int:
    return struct.unpack("<Q", digest(name)[:8])[0]


def entries_record(entries: Sequence[tuple[bytes, int, int, bytes]]) -> bytes:
    """Return the canonical record of (name, kind, size, id), sorted by name."""
    rows = [bytes([len(name)]) + name + struct.pack("<BQ", kind, size) + ident for name, kind, size, ident in entries]
    return struct.pack("<BBH", 1, 0, len(rows)) + b"".join(rows)


def index_record(level: int, children: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Return the canonical record of (last name, digest) of the records below."""
    rows = [bytes([len(name)]) + name + ident for name, ident in children]
    return struct.pack("<BBH", 1, level, len(rows)) + b"".join(rows)


def list_record(level: int, children: Sequence[tuple[int, bytes, int]]) -> bytes:
    """Return the canonical list of (class, id, length)."""
    return struct.pack("<BBH", 1, level, len(children)) + b"".join(struct.pack("<B32sQ", *child) for child in children)


def directory_records(entries: Sequence[tuple[bytes, int, int, bytes]]) -> list[bytes]:
    """Return the canonical records of one directory, those below first; the last is the root record."""
    if not entries:
        return [entries_record([])]
    records: list[bytes] = []
    rows: list[tuple[bytes, bytes]] = []
    for part in split(entries, 0, lambda entry: hash_of_name(entry[0])):
        records.append(entries_record(part))
        rows.append((part[-1][0], digest(records[-1])))
    level = 0
    while (level == 0 and len(entries) > 256) or len(rows) > 1:
        level += 1
        above = []
        for part in split(rows, level, lambda row: hash_of_name(row[0])):
            records.append(index_record(level, part))
            above.append((part[-1][0], digest(records[-1])))
        rows = above
    return records


def canonical_digest(model: Model) -> bytes:
    """Return the digest of a version with this content."""

    def of(folder: bytes) -> bytes:
        prefix = folder + b"/" if folder else b""
        entries = []
        for path in sorted(path for path in model if path.rpartition(b"/")[0] == folder):
            kind, data = model[path]
            name = path[len(prefix) :]
            if kind == "dir":
                entries.append((name, 3, 0, of(path)))
            else:
                entries.append((name, KINDS[kind], len(data), digest(data)))
        return digest(directory_records(entries)[-1])

    return of(b"")


# -- folders and versions as models ------------------------------------------------------------------------------------


def write_folder(folder: Path, model: Model) -> Path:
    """Make a folder with this content; times are those of a minute ago, so that stat caches may trust them."""
    root = os.fsencode(folder)
    os.makedirs(root, exist_ok=True)
    for path in sorted(model):
        kind, data = model[path]
        full = os.path.join(root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        if kind == "dir":
            os.makedirs(full, exist_ok=True)
        elif kind == "link":
            os.symlink(data, full)
        else:
            with open(full, "wb") as file:
                file.write(data)
            os.chmod(full, 0o755 if kind == "exec" else 0o644)
    return folder


def whole(model: Model) -> Model:
    """Return the model with the directories above its paths."""
    found = dict(model)
    for path in model:
        above = path.rpartition(b"/")[0]
        while above:
            found.setdefault(above, ("dir", b""))
            above = above.rpartition(b"/")[0]
    return found


def model_of(store: Store, root: int) -> Model:
    """Read everything below a root record."""
    names = {Kind.FILE: "file", Kind.EXECUTABLE: "exec", Kind.LINK: "link", Kind.DIRECTORY: "dir"}
    with store.snapshot() as snapshot:
        return {
            path: (names[entry.kind], b"" if entry.kind == Kind.DIRECTORY else snapshot.read(entry.node, 0, entry.size))
            for path, entry in snapshot.walk(root)
        }


# -- the recount -------------------------------------------------------------------------------------------------------


def problems(store: Store | Workspace) -> list[str]:
    """Return one sentence for each thing in a workspace that does not add up; none for a sound one."""
    with manifest.read(store.path) as transaction:
        nodes = dict(transaction.numbered_rows(Table.NODES))
        recount = _Recount(store.path, transaction, nodes)
        # A put that ended between two batches may have let go of all that it held: its draft is empty, and dead.
        counted = [one for one in contradictions(store.path) if not one.endswith("is listed and holds nothing")]
        return [*counted, *recount.unreachable(), *recount.wrong_nodes(), *recount.wrong_versions()]


def assert_sound(store: Store | Workspace) -> None:
    """Fail with everything that does not add up."""
    found = problems(store)
    if found:
        raise AssertionError("\n".join(found))


class _Recount:
    def __init__(self, path: Path, transaction: ReadTransaction, nodes: Mapping[int, bytes]) -> None:
        self._path = path
        self._transaction = transaction
        self._nodes = nodes
        self._content: dict[int, bytes] = {}

    def _versions(self) -> Iterator[VersionRecord]:
        for _, payload in self._transaction.rows(Table.VERSIONS):
            record = VersionRecord.decode(payload)
            if record.state == "live":
                yield record

    def unreachable(self) -> list[str]:
        """Compare the nodes with what living versions and drafts reach."""
        with self._transaction.raw.cursor(self._transaction.handles[Table.STAGED]) as cursor:
            waiting = [int.from_bytes(bytes(key)[8:], "big") for key in cursor.iternext(values=False)]
        waiting += [version.root for version in self._versions()]
        reached: set[int] = set()
        while waiting:
            node = waiting.pop()
            if node not in reached:
                reached.add(node)
                waiting += _children(self._nodes[node])
        return [f"nothing reaches node {node}" for node in sorted(self._nodes.keys() - reached)]

    def _bytes_of(self, node: int) -> bytes:
        if node not in self._content:
            payload = self._nodes[node]
            if payload[0] == KIND_CHUNK:
                data = _stored_form(self._path, payload)
            else:
                data = b"".join(self._bytes_of(child.node) for child in decode_list(payload).children)
            self._content[node] = data
        return self._content[node]

    def wrong_nodes(self) -> list[str]:
        """Compare every id with the bytes below it, and every list and directory with its canonical form."""
        wrong = []
        for node, payload in self._nodes.items():
            if payload[0] == KIND_CHUNK:
                chunk = decode_chunk(payload)
                if digest(self._bytes_of(node)) != chunk.id or len(self._bytes_of(node)) != chunk.size:
                    wrong.append(f"chunk {node} holds other bytes")
            elif payload[0] == KIND_LIST:
                wrong += self._wrong_list(node, decode_list(payload))
            else:
                wrong += self._wrong_tree(node, TreeView(payload))
        return wrong

    def _wrong_list(self, node: int, record: ListRecord) -> list[str]:
        rows, before = [], 0
        for child in record.children:
            inner = self._nodes[child.node][0] == KIND_LIST
            rows.append((0x6C if inner else 0x63, self._nodes[child.node][2:34], child.end - before))
            if len(self._bytes_of(child.node)) != child.end - before:
                return [f"list {node} has a wrong length for node {child.node}"]
            before = child.end
        canonical = list_record(record.level, rows)
        if _stored_form(self._path, self._nodes[node]) != canonical:
            return [f"list {node} is packed as something else"]
        if record.id not in (digest(canonical), digest(self._bytes_of(node))):
            return [f"list {node} has another id"]
        return []

    def _wrong_tree(self, node: int, view: TreeView) -> list[str]:
        if view.level:
            views = [TreeView(self._nodes[child.node]) for child in view.children()]
            canonical = index_record(
                view.level, [(row.last_name, below.digest) for row, below in zip(view.children(), views, strict=True)]
            )
            rows, entries, directories = [], 0, 0
            for below in views:
                rows.append((below.totals.entries, entries, below.totals.directories, directories))
                entries += below.totals.entries
                directories += below.totals.directories
            if rows != [tuple(row[2:]) for row in view.children()]:
                return [f"index record {node} has wrong running totals"]
            totals = tuple(map(sum, zip(*(below.totals for below in views), strict=True)))
        else:
            canonical, totals, ill = self._entries(node, view)
            if ill:
                return ill
        if view.digest != digest(canonical):
            return [f"directory record {node} has another digest"]
        if _stored_form(self._path, self._nodes[node]) != canonical:
            return [f"directory record {node} is packed as something else"]
        return [] if tuple(view.totals) == totals else [f"directory record {node} sums to {totals}, not {view.totals}"]

    def _entries(self, node: int, view: TreeView) -> tuple[bytes, tuple[int, ...], list[str]]:
        rows, files, directories, size, ill = [], 0, 0, 0, []
        for entry in view.entries():
            payload = self._nodes[entry.node]
            if entry.kind == Kind.DIRECTORY:
                below = TreeView(payload).totals
                rows.append((entry.name, 3, 0, payload[2:34]))
                expected = (below.bytes, 0, below.directories + 1, directories)
                files += below.files
                directories += below.directories + 1
            else:
                birth = (decode_chunk(payload) if payload[0] == KIND_CHUNK else decode_list(payload)).birth_ns
                rows.append((entry.name, int(entry.kind), len(self._bytes_of(entry.node)), payload[2:34]))
                expected = (rows[-1][2], birth, 0, 0)
                files += 1
            size += 0 if entry.kind == Kind.LINK else entry.size
            if (entry.size, entry.birth_ns, entry.directories, entry.directories_before) != expected:
                ill.append(f"entry {entry.name!r} of directory record {node} says {entry}, not {expected}")
        names = [row[0] for row in rows]
        if names != sorted(set(names)):
            ill.append(f"directory record {node} is not sorted")
        return entries_record(rows), (len(rows), files, directories, size), ill

    def wrong_versions(self) -> list[str]:
        """Compare the records of versions with their roots."""
        wrong = []
        for version in self._versions():
            view = TreeView(self._nodes[version.root])
            if (version.digest, version.files, version.bytes) != (view.digest, view.total_files, view.total_bytes):
                wrong.append(f"version {version.serial} is not what its root is")
            last = b""
            for entry, _ in trees.entries_from(lambda node: TreeView(self._nodes[node]), version.root):
                if entry.name <= last:
                    wrong.append(f"the root of version {version.serial} is not sorted")
                last = entry.name
        return wrong


def _children(payload: bytes) -> list[int]:
    if payload[0] == KIND_CHUNK:
        return []
    if payload[0] == KIND_LIST:
        return [child.node for child in decode_list(payload).children]
    return TreeView(payload).nodes()


def _stored_form(path: Path, payload: bytes) -> bytes:
    """Return what a node's extent holds, decompressed, read without the reader under test."""
    if payload[0] == KIND_CHUNK:
        extent = decode_chunk(payload).extent
    elif payload[0] == KIND_LIST:
        extent = decode_list(payload).extent
    else:
        extent = TreeView(payload).extent
    with pack_path(path, extent.pack).open("rb") as file:
        file.seek(extent.offset)
        data = file.read(extent.stored)
    return data if extent.codec == 0 else zstandard.ZstdDecompressor().decompress(data)
