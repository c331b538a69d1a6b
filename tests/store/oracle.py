"""What a workspace must hold, worked out by brute force: every record is read, and every id computed again.

`problems` extends the recount of counts, extents and counters (`crash.recount`) by what lies in the packs: ids,
canonical forms, totals and births, and that all is reachable.  `leftovers` is what must be gone after everything has
been reaped.  `usage_contradictions` compares what the workspace says of its bytes with marking and summing, and `du`.
`canonical_digest` is the documented form of a directory, written down a second time: it imports nothing from the code
that makes it.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import zstandard
from blake3 import blake3

from artstore.errors import DamageError
from artstore.records.nodes import KIND_CHUNK, KIND_LIST, KIND_LOST, ListRecord, decode_chunk, decode_list
from artstore.records.trees import Kind, TreeView
from artstore.rows import trees
from artstore.rows.nodes import node_extent
from artstore.storage import manifest
from artstore.storage.packs import pack_path
from artstore.store import Store
from artstore.workspace import Workspace
from crash.recount import Records, contradictions, stray_packs

Model = dict[bytes, tuple[str, bytes]]
"""Everything below a folder by path: ("file" | "exec" | "link" | "dir", content or link text)."""

KINDS = {"file": 0, "exec": 1, "link": 2, "dir": 3, "ref": 4}


def size_of(kind: int, data: bytes) -> int:
    """Return the size that an entry tells of its content: of a reference, that of what it leads to."""
    return int(json.loads(data)["size"]) if kind == KINDS["ref"] else len(data)


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


def attributes_of(mtime_ns: int, mode: int, form: bytes) -> bytes:
    """Return what the packed form holds beside an entry; ``form`` is empty unless it is a directory."""
    return struct.pack("<qH", mtime_ns, mode) + form


def _records(rows: Sequence[tuple[tuple[bytes, int, int, bytes], bytes]]) -> list[tuple[bytes, bytes]]:
    """Return (canonical record, attributes) of each record of one directory, those below first, the root last."""
    records: list[tuple[bytes, bytes]] = []
    items: list[tuple[bytes, bytes, bytes]] = []
    for part in split(rows, 0, lambda row: hash_of_name(row[0][0])) or [[]]:
        records.append((entries_record([entry for entry, _ in part]), b"".join(more for _, more in part)))
        items.append((part[-1][0][0] if part else b"", *_ids(*records[-1])))
    level = 0
    while (level == 0 and len(rows) > 256) or len(items) > 1:
        level += 1
        above = []
        for part in split(items, level, lambda item: hash_of_name(item[0])):
            canonical = index_record(level, [(name, ident) for name, ident, _ in part])
            records.append((canonical, b"".join(form for *_, form in part)))
            above.append((part[-1][0], *_ids(*records[-1])))
        items = above
    return records


def _ids(canonical: bytes, attributes: bytes) -> tuple[bytes, bytes]:
    """Return the digest and the form id of a record."""
    return digest(canonical), digest(digest(canonical) + attributes)


def directory_records(entries: Sequence[tuple[bytes, int, int, bytes]]) -> list[bytes]:
    """Return the canonical records of one directory, those below first; the last is the root record."""
    return [canonical for canonical, _ in _records([(entry, b"") for entry in entries])]


def directory_forms(
    rows: Sequence[tuple[tuple[bytes, int, int, bytes], tuple[int, int, bytes]]],
) -> list[bytes]:
    """Return the packed records of one directory of (entry, attributes), those below first; the last is the root."""
    return [b"".join(record) for record in _records([(entry, attributes_of(*more)) for entry, more in rows])]


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
                entries.append((name, KINDS[kind], size_of(KINDS[kind], data), digest(data)))
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
    names = {number: name for name, number in KINDS.items()}
    with store.snapshot() as snapshot:
        return {
            path: (names[entry.kind], b"" if entry.kind == Kind.DIRECTORY else snapshot.read(entry.node, 0, 1 << 40))
            for path, entry in snapshot.walk(root)
        }


# -- the recount -------------------------------------------------------------------------------------------------------


def problems(store: Store | Workspace) -> list[str]:
    """Return one sentence for each thing in a workspace that does not add up; none for a sound one."""
    with manifest.read(store.path) as transaction:
        records = Records(transaction)
        recount = _Recount(store.path, records)
        counted = contradictions(store.path, records)
        if any(one.endswith("is referred to and missing") for one in counted):
            return counted  # what is below it cannot be looked at
        try:
            found = [*counted, *recount.unreachable(), *recount.wrong_nodes()]
            return found or recount.wrong_versions()
        except DamageError as error:
            return [*counted, f"a record does not read: {error}"]


def assert_sound(store: Store | Workspace) -> None:
    """Fail with everything that does not add up."""
    found = problems(store)
    if found:
        raise AssertionError("\n".join(found))


def leftovers(store: Store | Workspace) -> list[str]:
    """Return one sentence for each thing that is not a living version's, once all that was deleted has been reaped.

    The nodes must be exactly those that a mark from the roots of living versions reaches, and the packs those that
    hold one of them or may still be appended to.
    """
    with manifest.read(store.path) as transaction:
        records = Records(transaction)
        nodes = records.nodes
        reached = marked(nodes, [version.root for version in records.live])
        wrong = [f"node {node} is left over" for node in sorted(nodes.keys() - reached)]
        wrong += [f"node {node} was lost" for node in sorted(reached - nodes.keys())]
        wrong += [f"entry {entry.number} of the deadlist is left over" for entry in records.entries]
        wrong += [f"bytes at {row.offset} of pack {row.pack} stay condemned" for row in records.condemned]
        wrong += [f"draft {draft} still holds node {node}" for draft, node in records.staged]
        wrong += [f"the file {name} lies among the packs" for name in stray_packs(store.path, records)]
        empty = records.ends.keys() - {node_extent(payload).pack for payload in nodes.values()}
        wrong += [f"nothing lives in pack {pack}" for pack in sorted(empty)]
    wrong += [f"the lock of draft {name} is left over" for name in os.listdir(store.path / "run" / "drafts")]
    for part, names in {"journals": os.listdir(store.path / "journal"), "manifests": _environments(store.path)}.items():
        wrong += [f"there are the {part} {names}"] if len(names) != 1 else []
    return wrong


def _environments(path: Path) -> list[str]:
    return [name for name in os.listdir(path) if "manifest." in name]


def marked(nodes: Mapping[int, bytes], roots: Iterable[int]) -> set[int]:
    """Return every node that is a root or below one; those that are missing are among them."""
    waiting = list(roots)
    reached: set[int] = set()
    while waiting:
        node = waiting.pop()
        if node not in reached:
            reached.add(node)
            waiting += _children(nodes[node]) if node in nodes else []
    return reached


# -- accounting --------------------------------------------------------------------------------------------------------


def usage_contradictions(ws: Workspace, records: Records | None = None, *, versions: bool = True) -> list[str]:
    """Return one sentence for each number that the workspace tells of its bytes and that a recount does not confirm.

    Without ``versions`` only what ``usage`` tells of the whole is looked at, and ``du`` is not run.
    """
    if records is None:
        with manifest.read(ws.store.path) as transaction:
            return usage_contradictions(ws, Records(transaction), versions=versions)
    nodes, live = records.nodes, records.live
    sizes = {node: node_extent(payload).stored for node, payload in nodes.items()}
    staged = marked(nodes, [node for _, node in records.staged])
    kept = staged | marked(nodes, [version.root for version in live])

    def stored(part: Iterable[int]) -> int:
        return sum(sizes[node] for node in part)

    wrong = _wrong_totals(ws, records, stored(kept), stored(nodes.keys() - kept), du=versions)
    if not versions:
        return wrong
    reached = {version.serial: marked(nodes, [version.root]) for version in live}
    rows: dict[int, tuple[int, int, int]] = {}
    earlier: set[int] = set()
    for version in live:
        mine = reached[version.serial]
        others = staged.union(*(other for serial, other in reached.items() if serial != version.serial))
        rows[version.serial] = (stored(mine), stored(mine - others), stored(mine - earlier))
        earlier |= mine
    return [*wrong, *_wrong_versions(ws, rows), *_wrong_groups(ws, stored(kept))]


def _wrong_totals(ws: Workspace, records: Records, stored: int, dead: int, *, du: bool) -> list[str]:
    path, usage = ws.store.path, ws.usage()
    files = [
        (os.path.relpath(folder, path), os.lstat(f"{folder}/{name}").st_blocks * 512)
        for folder, folders, names in os.walk(path)
        for name in folders + names
    ]
    expected: dict[str, object] = {
        "stored_bytes": stored,
        "deadlist_bytes": dead,
        "deadlist_entries": len(records.entries),
        "condemned_bytes": sum(row.length for row in records.condemned),
        "free_bytes": sum(gap.length - gap.punched for gap in records.free),
        "logical_bytes": sum(version.bytes for version in records.live),
        "versions": len(records.live),
        "manifest_bytes": sum(blocks for folder, blocks in files if folder.startswith(("manifest.", "journal"))),
        "disk_bytes": _du(path) if du else sum(blocks for _, blocks in files) + os.stat(path).st_blocks * 512,
    }
    wrong = [
        f"usage says {name} {getattr(usage, name)}, recounted {value}"
        for name, value in expected.items()
        if getattr(usage, name) != value
    ]
    terms = ("stored_bytes", "manifest_bytes", "deadlist_bytes", "condemned_bytes", "free_bytes", "other_bytes")
    if usage.disk_bytes != sum(getattr(usage, term) for term in terms):
        wrong.append(f"the terms of {usage} do not sum to the bytes on the disk")
    return wrong


def _wrong_versions(ws: Workspace, rows: Mapping[int, tuple[int, int, int]]) -> list[str]:
    """Compare (alone, unique, attributed) of each living version, as its artifact's list and as its own say."""
    wrong = []
    reported = {row.serial: row for artifact in ws.artifacts() for row in ws.usage_by_version(artifact.name)}
    if reported.keys() != rows.keys():
        wrong.append(f"usage tells of the versions with the serials {sorted(reported)}, and {sorted(rows)} are there")
    for artifact in ws.artifacts():
        for version in ws.versions(artifact.name):
            serial = version.record.serial
            for row in (reported.get(serial), ws.du(version.name)):
                if row is not None and (row.alone, row.unique, row.attributed) != rows.get(serial):
                    wrong.append(f"{version.name} has (alone, unique, attributed) {rows.get(serial)}, and not {row}")
    return wrong


def _wrong_groups(ws: Workspace, stored: int) -> list[str]:
    sums = {group: sum(row.attributed for row in ws.usage_by(group)) for group in ("project", "type")}
    return [f"the rows by {group} sum to {size}, not {stored}" for group, size in sums.items() if size != stored]


def _du(path: Path) -> int:
    return int(subprocess.check_output(["du", "-s", "--block-size=1", path]).split()[0])


# -- every record, and every id ----------------------------------------------------------------------------------------


class _Recount:
    def __init__(self, path: Path, records: Records) -> None:
        self._path = path
        self._records = records
        self._nodes = records.nodes
        self._content: dict[int, bytes] = {}

    def unreachable(self) -> list[str]:
        """Compare the nodes with what living versions, drafts and the deadlist reach."""
        reached = marked(self._nodes, [*self._records.held, *self._records.waiting])
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
        wrong = [f"node {node} is lost" for node, payload in self._nodes.items() if payload[0] == KIND_LOST]
        if wrong:
            return wrong  # what lies above them cannot be read
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
        canonical, attributes, totals, ill = (self._index if view.level else self._entries)(node, view)
        if ill:
            return ill
        if (view.digest, view.form) != _ids(canonical, attributes):
            return [f"directory record {node} has another digest or form id"]
        if _stored_form(self._path, self._nodes[node]) != canonical + attributes:
            return [f"directory record {node} is packed as something else"]
        return [] if tuple(view.totals) == totals else [f"directory record {node} sums to {totals}, not {view.totals}"]

    def _index(self, node: int, view: TreeView) -> tuple[bytes, bytes, tuple[int, ...], list[str]]:
        rows = list(view.children())
        views = [TreeView(self._nodes[row.node]) for row in rows]
        canonical = index_record(
            view.level, [(row.last_name, below.digest) for row, below in zip(rows, views, strict=True)]
        )
        expected, entries, inodes = [], 0, 0
        for below in views:
            counted = below.totals.files + below.totals.directories
            expected.append((below.totals.entries, entries, counted, inodes))
            entries, inodes = entries + below.totals.entries, inodes + counted
        *sums, _ = map(sum, zip(*(below.totals for below in views), strict=True))
        newest_ns = max(below.totals.newest_ns for below in views)
        ill = [] if expected == [tuple(row[2:]) for row in rows] else [f"index record {node} has wrong running totals"]
        return canonical, b"".join(below.form for below in views), (*sums, newest_ns), ill

    def _entries(self, node: int, view: TreeView) -> tuple[bytes, bytes, tuple[int, ...], list[str]]:
        rows, attributes, files, directories, size, ill = [], b"", 0, 0, 0, []
        times = [-(2**63)]
        for entry in view.entries():
            payload, before, form = self._nodes[entry.node], files + directories, b""
            if entry.kind == Kind.DIRECTORY:
                below, form = TreeView(payload), payload[2:34]
                rows.append((entry.name, 3, 0, below.digest))
                expected = (below.totals.bytes, before, below.totals.files + below.totals.directories + 1)
                files += below.totals.files
                directories += below.totals.directories + 1
                times.append(below.totals.newest_ns)
            else:
                told = size_of(int(entry.kind), self._bytes_of(entry.node))
                rows.append((entry.name, int(entry.kind), told, payload[2:34]))
                expected = (told, before, 1)
                files += 1
            times.append(entry.mtime_ns)
            attributes += attributes_of(entry.mtime_ns, entry.mode, form)
            size += 0 if entry.kind == Kind.LINK else entry.size
            if (entry.size, entry.inodes_before, entry.inodes) != expected:
                ill.append(f"entry {entry.name!r} of directory record {node} says {entry}, not {expected}")
        names = [row[0] for row in rows]
        if names != sorted(set(names)):
            ill.append(f"directory record {node} is not sorted")
        return entries_record(rows), attributes, (len(rows), files, directories, size, max(times)), ill

    def wrong_versions(self) -> list[str]:
        """Compare the records of versions with their roots, and the times that versions of one artifact show."""
        wrong = []
        for version in self._records.versions:
            view = TreeView(self._nodes[version.root])
            told = (version.digest, version.form, version.files, version.bytes)
            if told != (view.digest, view.form, view.total_files, view.total_bytes):
                wrong.append(f"version {version.serial} is not what its root is")
            if version.newest_ns < view.totals.newest_ns:
                wrong.append(f"version {version.serial} shows a time later than its newest")
            last = b""
            for entry, _ in trees.entries_from(self._load, version.root):
                if entry.name <= last:
                    wrong.append(f"the root of version {version.serial} is not sorted")
                last = entry.name
        return wrong + self._stale()

    def _load(self, node: int) -> TreeView:
        return TreeView(self._nodes[node])

    def _stale(self) -> list[str]:
        """Find other content that a path of an artifact shows with the second and the size of an earlier version."""
        shown: dict[tuple[int, bytes, int, int], bytes] = {}
        wrong = []
        for version in sorted(self._records.live, key=lambda version: version.number):
            for path, entry in trees.walk(self._load, version.root):
                if entry.kind not in (Kind.FILE, Kind.EXECUTABLE):
                    continue
                place = (version.artifact, path, entry.mtime_ns // 10**9, entry.size)
                if shown.setdefault(place, ident := self._nodes[entry.node][2:34]) != ident:
                    wrong.append(f"version {version.serial} shows other content at {path!r} with the time of before")
        return wrong


def _children(payload: bytes) -> list[int]:
    if payload[0] in (KIND_CHUNK, KIND_LOST):
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
