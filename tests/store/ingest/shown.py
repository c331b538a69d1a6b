"""What versions show, for tests of their times: folders with given times, and the rule that no pair stands for two."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from artstore.queries.versions import Version
from artstore.records.catalogue import VersionRecord
from artstore.records.trees import Kind
from artstore.rows import catalogue
from artstore.workspace import Workspace

SECOND = 10**9


class Shown(NamedTuple):
    """A file: its content, its modification time in ns, its permission bits."""

    content: bytes
    mtime_ns: int
    mode: int = 0o644

    @property
    def second(self) -> int:
        """The second by which programs recognise it."""
        return self.mtime_ns // SECOND


Files = Mapping[str, Shown]


def write_files(folder: Path, files: Files) -> Path:
    """Write a folder, which must not exist or is replaced, with exactly these files."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for path, file in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(file.content)
        place.chmod(file.mode)
        os.utime(place, ns=(file.mtime_ns, file.mtime_ns))
    return folder


def files_of(workspace: Workspace, version: Version | VersionRecord) -> dict[str, Shown]:
    """Return the files of a version as it shows them."""
    record = version.record if isinstance(version, Version) else version
    with workspace.store.snapshot() as snapshot:
        return {
            os.fsdecode(path): Shown(snapshot.read(entry.node, 0, 1 << 30), entry.mtime_ns, entry.mode)
            for path, entry in snapshot.walk(record.root)
            if entry.kind is not Kind.DIRECTORY
        }


def forms_of(workspace: Workspace, version: Version) -> dict[str, tuple[str, bytes]]:
    """Return (digest, form id) of each directory of a version, the root under an empty path."""
    with workspace.store.snapshot() as snapshot:
        nodes = {"": version.record.root} | {
            os.fsdecode(path): entry.node
            for path, entry in snapshot.walk(version.record.root)
            if entry.kind is Kind.DIRECTORY
        }
        return {path: (snapshot.identity(node).hex(), bytes(snapshot.form(node))) for path, node in nodes.items()}


def recorded(workspace: Workspace, name: str) -> list[VersionRecord]:
    """Return the versions of an artifact that live or may live again, by number."""
    with workspace.store.snapshot() as snapshot:
        transaction = snapshot.transaction
        record = catalogue.find_name(transaction, name) or catalogue.find_retired(transaction, name)
        versions = () if record is None else catalogue.recorded_descending(transaction, record.number)
        return sorted(versions, key=lambda version: version.number)


def assert_one_content_each(versions: Iterable[Files]) -> None:
    """Fail if two versions show other content at one path with the same second and size."""
    shown: dict[tuple[str, int, int], bytes] = {}
    for files in versions:
        for path, file in files.items():
            key = (path, file.second, len(file.content))
            assert shown.setdefault(key, file.content) == file.content, key


def nodes_made(workspace: Workspace) -> int:
    """Return how many nodes the store has made so far."""
    with workspace.store.snapshot() as snapshot:
        return snapshot.usage_totals().next_node
