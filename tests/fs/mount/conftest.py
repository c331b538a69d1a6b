"""A store in memory, with the real one's records in small pieces, so that tests cover every shape of directory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from artstore.errors import DamageError
from artstore.records.catalogue import AliasRecord, ArtifactRecord, VersionRecord
from artstore.records.nodes import Extent
from artstore.records.trees import ChildRecord, Kind, TreeEntry, TreeTotals, TreeView, encode_tree
from artstore.rows.content import ContentInfo
from fs.mount.served import Served, serve

Folder = dict[bytes, Any]
"""A directory: bytes are a file, a tuple (bytes,) an executable one, a str a link, a dict a directory.

Of a tuple (value, mode) or (value, mode, mtime_ns) the other items are the entry's own; each entry has another time.
"""

FANOUT = 4
NOWHERE = Extent(0, 0, 0, 0)


@dataclass
class NameEntry:
    number: int
    component: str
    is_artifact: bool
    created_ns: int


@dataclass
class _Totals:
    stored_bytes: int


@dataclass
class FakeStore:
    """A fake of both a store and its snapshots."""

    path: Path
    uuid: str = "5d1f5d0e-3d2f-4e5c-9b1e-0123456789ab"
    created_ns: int = 1_700_000_000_000_000_000
    snapshots: int = 0
    open_snapshots: int = 0
    changes: int = 0
    names: dict[int, ArtifactRecord] = field(default_factory=dict)
    versions: dict[int, VersionRecord] = field(default_factory=dict)
    deleted: dict[int, VersionRecord] = field(default_factory=dict)
    aliases: dict[int, AliasRecord] = field(default_factory=dict)
    trees: dict[int, TreeView] = field(default_factory=dict)
    contents: dict[int, bytes] = field(default_factory=dict)
    lost: set[int] = field(default_factory=set)
    tree_reads: int = 0
    serials: int = 0
    _time_ns: int = 7_000
    _node: int = 15

    @contextmanager
    def snapshot(self) -> Iterator[FakeStore]:
        self.snapshots += 1
        self.open_snapshots += 1
        try:
            yield self
        finally:
            self.open_snapshots -= 1

    @property
    def edition(self) -> int:
        return self.changes

    # --- making ---

    def add_name(self, full: str, *, is_artifact: bool) -> int:
        for number, record in self.names.items():
            if record.name == full:
                return number
        number = len(self.names) + 1
        self.names[number] = ArtifactRecord(number, full, is_artifact, 1_000 + number)
        return number

    def put(self, name: str, folder: Folder, **fields: Any) -> VersionRecord:
        self.changes += 1
        parts = name.split("/")
        for depth in range(1, len(parts)):
            self.add_name("/".join(parts[:depth]), is_artifact=False)
        artifact = self.add_name(name, is_artifact=True)
        self.names[artifact] = replace(self.names[artifact], type=fields.pop("type", None))
        root, view = self.add_tree(folder)
        serial = self._next_serial()
        number = sum(1 for version in self.versions.values() if version.artifact == artifact)
        record = VersionRecord(
            serial=serial,
            artifact=artifact,
            number=number,
            root=root,
            digest=hashlib.sha256(b"%d" % serial).digest(),
            form=bytes(32),
            mount=serial,
            created_ns=1_700_000_000_123_456_789 + serial,
            mtime_ns=1_600_000_000_000_000_000 + serial,
            mode=0o700,
            newest_ns=0,
            files=view.total_files,
            bytes=view.total_bytes,
            **fields,
        )
        self.versions[serial] = record
        return record

    def _next_serial(self) -> int:
        self.serials += 1
        return self.serials

    def purge(self, serial: int, folder: Folder) -> VersionRecord:
        """Give a version another root, and so another mount serial."""
        self.changes += 1
        root, _ = self.add_tree(folder)
        self.versions[serial] = replace(self.versions[serial], root=root, mount=self._next_serial())
        return self.versions[serial]

    def delete(self, serial: int) -> None:
        self.changes += 1
        self.deleted[serial] = replace(self.versions.pop(serial), state="deleted", deleted_ns=self.changes)

    def undelete(self, serial: int) -> None:
        self.changes += 1
        self.versions[serial] = replace(self.deleted.pop(serial), state="live", deleted_ns=0)

    def set_alias(self, name: str, alias: str, version: int) -> AliasRecord:
        self.changes += 1
        artifact = self.add_name(name, is_artifact=True)
        for serial, record in list(self.aliases.items()):
            if (record.artifact, record.name) == (artifact, alias):
                del self.aliases[serial]
        serial = 1 + max(self.aliases, default=0) + self.changes
        self.aliases[serial] = AliasRecord(serial, artifact, alias, version, 5_000)
        return self.aliases[serial]

    def _next(self) -> int:
        self._node += 1
        return self._node

    def add_content(self, data: bytes) -> int:
        for node, known in self.contents.items():
            if known == data:
                return node
        node = self._next()
        self.contents[node] = data
        return node

    def add_tree(self, folder: Folder) -> tuple[int, TreeView]:
        rows: list[TreeEntry] = []
        for name, value in sorted(folder.items()):
            rows.append(self._entry(name, value))
        level, parts = 0, [self._record(rows[at : at + FANOUT]) for at in range(0, len(rows), FANOUT)]
        if not rows:
            parts = [self._record([])]
        while len(parts) > 1:
            level += 1
            parts = [self._index(level, parts[at : at + FANOUT]) for at in range(0, len(parts), FANOUT)]
        node, _, view = parts[0]
        return node, view

    def _entry(self, name: bytes, value: Any) -> TreeEntry:
        self._time_ns += 1
        mode, mtime_ns = None, self._time_ns
        if isinstance(value, tuple) and len(value) > 1:
            value, mode, mtime_ns = (*value, mtime_ns)[:3]
        if isinstance(value, dict):
            node, view = self.add_tree(value)
            mode = 0o755 if mode is None else mode
            return TreeEntry(name, Kind.DIRECTORY, node, view.total_bytes, mtime_ns, mode, 0, view.totals.inodes + 1)
        kind, data, usual = Kind.FILE, value, 0o644
        if isinstance(value, tuple):
            kind, data, usual = Kind.EXECUTABLE, value[0], 0o755
        elif isinstance(value, str):
            kind, data, usual = Kind.LINK, value.encode(), 0o777
        mode = usual if mode is None else mode
        return TreeEntry(name, kind, self.add_content(data), len(data), mtime_ns, mode, 0, 1)

    def _record(self, rows: list[TreeEntry]) -> tuple[int, bytes, TreeView]:
        before, files, directories, total, placed = 0, 0, 0, 0, []
        for row in rows:
            placed.append(row._replace(inodes_before=before))
            before += row.inodes
            if row.kind is Kind.DIRECTORY:
                below = self.trees[row.node].totals
                files += below.files
                directories += below.directories + 1
            else:
                files += 1
            total += row.size
        totals = TreeTotals(len(rows), files, directories, total, 0)
        return self._keep(0, totals, placed, rows[-1].name if rows else b"")

    def _index(self, level: int, parts: list[tuple[int, bytes, TreeView]]) -> tuple[int, bytes, TreeView]:
        rows, entries, inodes = [], 0, 0
        for node, last, view in parts:
            rows.append(ChildRecord(node, last, view.total_entries, entries, view.totals.inodes, inodes))
            entries += view.total_entries
            inodes += view.totals.inodes
        views = [view.totals for _, _, view in parts]
        files, directories = sum(totals.files for totals in views), sum(totals.directories for totals in views)
        totals = TreeTotals(entries, files, directories, sum(totals.bytes for totals in views), 0)
        return self._keep(level, totals, rows, parts[-1][1])

    def _keep(self, level: int, totals: TreeTotals, rows: Any, last: bytes) -> tuple[int, bytes, TreeView]:
        node = self._next()
        view = TreeView(encode_tree(level, bytes(32), bytes(32), totals, NOWHERE, rows))
        self.trees[node] = view
        return node, last, view

    # --- reading, as a snapshot does ---

    @property
    def number(self) -> int:
        return self.changes

    def names_in(self, project: str) -> list[NameEntry]:
        prefix = f"{project}/" if project else ""
        return [
            NameEntry(number, record.name.removeprefix(prefix), record.is_artifact, record.created_ns)
            for number, record in sorted(self.names.items())
            if record.name.startswith(prefix) and "/" not in record.name.removeprefix(prefix)
        ]

    def name_number(self, full: str) -> tuple[int, bool] | None:
        return next(((n, r.is_artifact) for n, r in self.names.items() if r.name == full), None)

    def retired_number(self, full: str) -> int | None:
        return None

    def artifact(self, number: int) -> ArtifactRecord | None:
        return self.names.get(number)

    @property
    def deletions(self) -> int:
        return self.changes

    def numbers_of(self, artifact: int) -> list[int]:
        recorded = [*self.versions.values(), *self.deleted.values()]
        return sorted(version.number for version in recorded if version.artifact == artifact)

    def versions_of(self, artifact: int) -> list[VersionRecord]:
        return sorted((v for v in self.versions.values() if v.artifact == artifact), key=lambda v: v.number)

    def version(self, serial: int) -> VersionRecord | None:
        return self.versions.get(serial)

    def version_by_number(self, artifact: int, number: int) -> VersionRecord | None:
        return next((v for v in self.versions_of(artifact) if v.number == number), None)

    def recorded_version(self, serial: int) -> VersionRecord | None:
        return self.versions.get(serial) or self.deleted.get(serial)

    def version_of_mount(self, mount: int) -> VersionRecord | None:
        recorded = [*self.versions.values(), *self.deleted.values()]
        return next((version for version in recorded if version.mount == mount), None)

    def serial_of(self, artifact: int, number: int) -> int | None:
        recorded = [*self.versions.values(), *self.deleted.values()]
        return next((v.serial for v in recorded if (v.artifact, v.number) == (artifact, number)), None)

    def latest(self, artifact: int) -> VersionRecord | None:
        return next(reversed(self.versions_of(artifact)), None)

    def alias_by_name(self, artifact: int, name: str) -> AliasRecord | None:
        return next((alias for alias in self.aliases_of(artifact) if alias.name == name), None)

    def aliases_of(self, artifact: int) -> list[AliasRecord]:
        return sorted((a for a in self.aliases.values() if a.artifact == artifact), key=lambda a: a.name)

    def alias(self, serial: int) -> AliasRecord | None:
        return self.aliases.get(serial)

    def tree(self, node: int) -> TreeView:
        self.tree_reads += 1
        return self.trees[node]

    def identity(self, node: int) -> bytes:
        data = self.contents.get(node)
        return self.trees[node].digest if data is None else hashlib.sha256(data).digest()

    def content(self, node: int) -> ContentInfo:
        data = self.contents[node]
        return ContentInfo(hashlib.sha256(data).digest(), len(data), 7_000)

    def stored_bytes(self, node: int) -> int:
        return len(self.contents[node]) // 2

    def read(self, node: int, offset: int, size: int) -> bytes:
        if node in self.lost:
            raise DamageError(f"node {node} is missing")
        return self.contents[node][offset : offset + size]

    def read_pieces(self, node: int, offset: int, size: int) -> list[bytes]:
        return [self.read(node, offset, size)]

    def usage_totals(self) -> _Totals:
        return _Totals(sum(map(len, self.contents.values())))


@pytest.fixture
def fake_store(tmp_path: Path) -> FakeStore:
    return FakeStore(tmp_path)


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    """Return a workspace with an entry of each kind, and its dispatcher."""
    return serve(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="session")
def new_store() -> Callable[[], FakeStore]:
    """Return a maker of stores, for tests that need a new one for each example."""
    return lambda: FakeStore(Path("/"))
