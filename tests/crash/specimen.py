"""The subject of the rot rig: a small workspace with a row in every table and every kind of record."""

from __future__ import annotations

import os
import random
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lmdb

from artstore import creating
from artstore.changes import recording
from artstore.ids import content_id
from artstore.ingest import staging
from artstore.reclaim.reaper import Reaper
from artstore.records.tables import Table
from artstore.rows import remotes
from artstore.rows.history import read_provenance
from artstore.storage import reserve
from artstore.storage.codec import encode
from artstore.store import Store
from artstore.workspace import Workspace, init_workspace
from corpora import folders
from corpora.folders import Content
from crash.kill import copy_workspace
from crash.states import content_of_version, forget
from store.with_remotes import live_with_remotes

Facts = dict[str, Any]
"""What the catalogue says, as plain values."""


@dataclass(frozen=True)
class Specimen:
    """A workspace that no process has open, the content of its versions by name, and further facts about it."""

    path: Path
    versions: dict[str, Content]
    facts: Facts

    def copy(self, to: Path) -> Path:
        """Copy the workspace to ``to``, replacing what exists there."""
        copy_workspace(self.path, to)
        return to

    def pack(self) -> Path:
        """Return the pack that holds the most."""
        return max((self.path / "packs").iterdir(), key=lambda path: path.stat().st_size)


def make(folder: Path, *, blocks: int = 0) -> Specimen:
    """Make a specimen in a new folder; ``blocks`` adds files of that many blocks of 64 KiB."""
    source = folder / "source"
    _fill(source, blocks)
    with small_reserve():
        workspace = _live(init_workspace(folder / "workspace"), source)
    living = [version for item in workspace.artifacts() for version in workspace.versions(item.name)]
    versions = {version.name: content_of_version(version) for version in living}
    facts = facts_of(workspace)
    forget(workspace.path)
    found = {table for table, _, _ in rows(workspace.path)}
    assert found == set(Table), f"the specimen has no rows in {set(Table) - found}"
    return Specimen(workspace.path, versions, facts)


def _live(workspace: Workspace, source: Path) -> Workspace:
    """Run operations on a workspace that leave a row in every table."""
    workspace.put(source, "team/data", type="dataset", aliases=["good"], metadata={"split": "train"}, description="one")
    (source / "text").write_bytes(folders.text_bytes(9_000, 5))
    (source / "deep" / "more").write_bytes(folders.random_bytes(800, 6))
    workspace.put(source, "team/data", aliases=["better"])
    workspace.tags.add("team/data:v1", "checked")
    (source / "text").write_bytes(folders.text_bytes(5_000, 7))
    workspace.put(source, "team/data")
    workspace.put(source / "deep", "other")
    workspace.refer(str(source / "deep"), "other", to="outside", base="latest")
    record, lease = recording.start_run(workspace.store, "team", "maker", config={"lr": 0.1})
    recording.record_use(workspace.store, record.number, workspace.version("other").record, "latest")
    recording.log_rows(workspace.store, record.number, [{"loss": 0.5}], {"loss": 0.5})
    recording.change_run(workspace.store, record.number, state="finished")
    lease.close()
    (source / "deep" / "secret").write_bytes(folders.random_bytes(600, 11))
    workspace.put(source / "deep", "purged")
    workspace.purge("purged:v0/secret", reason="of the rig")
    (source / "deep" / "secret").unlink()
    workspace.put(source / "text", "retired")
    (source / "raw").write_bytes(folders.random_bytes(900, 8))
    workspace.put(source / "raw", "gone")
    workspace.delete("retired:v0", "gone:v0", now=True)
    (source / "raw").write_bytes(folders.random_bytes(700, 9))
    workspace.put(source / "raw", "condemned")
    workspace.delete("condemned:v0")
    Reaper(workspace.store).step(now=True)
    (source / "raw").write_bytes(folders.random_bytes(500, 10))
    workspace.put(source / "raw", "waiting")
    workspace.delete("waiting:v0")
    live_with_remotes(workspace, "other")
    _elsewhere(lambda: _leave_a_draft(Store.open(workspace.path)))
    return workspace


def _fill(source: Path, blocks: int) -> None:
    (source / "deep" / "er").mkdir(parents=True)
    (source / "empty").mkdir()
    (source / "nothing").touch()
    (source / "text").write_bytes(folders.text_bytes(4_000, 1))
    (source / "raw").write_bytes(folders.random_bytes(700, 2))
    (source / "list").write_bytes(b"all of it the same, in several chunks\n" * 30_000)
    (source / "run").write_bytes(b"#!/bin/sh\n")
    (source / "run").chmod(0o755)
    (source / "link").symlink_to("deep/file")
    (source / "deep" / "file").write_bytes(b"deep")
    (source / "deep" / "er" / "file").write_bytes(b"deeper")
    (source / "many").mkdir()
    for number in range(260):
        (source / "many" / f"{number:x}").write_bytes(b"alike")
    for number in range(blocks // 4):
        (source / f"blocks-{number}").write_bytes(random.Random(number).randbytes(4 * 65536 - 100))


@contextmanager
def small_reserve() -> Iterator[None]:
    """Give workspaces a reserve of 4 KiB within the context: many copies of them are kept in memory."""
    kept = reserve.RESERVE
    creating.RESERVE = reserve.RESERVE = 4096  # type: ignore[misc]
    try:
        yield
    finally:
        creating.RESERVE = reserve.RESERVE = kept  # type: ignore[misc]


def _elsewhere(action: Callable[[], None]) -> None:
    """Run an action in a child, which then ends as if it were killed."""
    child = os.fork()
    if not child:
        try:
            action()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0


def _leave_a_draft(store: Store) -> None:
    staging.BATCH_NODES = 1  # type: ignore[misc]
    stager = staging.Stager(store, "unfinished", "test")
    for data in (b"staged once", b"staged twice"):
        stager.chunk(content_id(data), len(data), encode(data))
        stager.flush_if_full()


def facts_of(workspace: Workspace) -> Facts:
    """Return the content of the catalogue."""
    versions = [version for item in workspace.artifacts() for version in workspace.versions(item.name)]
    return {
        "artifacts": [(item.name, item.type, item.latest, item.versions) for item in workspace.artifacts()],
        "versions": [
            (version.name, version.digest, version.metadata, version.description, version.aliases, version.tags)
            for version in versions
        ],
        "roots": [
            (one.digest, one.form, one.mtime_ns, one.mode, one.newest_ns, one.mount)
            for one in (version.record for version in versions)
        ],
        "attributes": {version.name: _attributes(workspace, version.record.root) for version in versions},
        "deleted": [version.name for version in workspace.log("waiting")],
        "drafts": [(draft.number, draft.artifact, draft.staged_nodes) for draft in workspace.drafts.states()],
        "runs": _told(workspace),
        "remotes": _tracking(workspace),
    }


def _attributes(workspace: Workspace, root: int) -> dict[bytes, tuple[int, int]]:
    """Return the time and the mode of every path."""
    with workspace.store.snapshot() as snapshot:
        return {path: (entry.mtime_ns, entry.mode) for path, entry in snapshot.walk(root)}


def _told(workspace: Workspace) -> list[dict[str, object]]:
    with workspace.store.snapshot() as snapshot:
        return [event.encode() for event in read_provenance(snapshot.transaction).events()]


def _tracking(workspace: Workspace) -> object:
    with workspace.store.snapshot() as snapshot:
        told = remotes.read_tracking(snapshot.transaction).told()
    return told.remotes, told.artifacts, told.versions


def rows(path: Path) -> list[tuple[Table, bytes, bytes]]:
    """Return (table, key, value) of every row, as they are stored, through a separate LMDB environment."""
    with environment(path) as env:
        handles = {table: env.open_db(table.name.lower().encode(), create=False) for table in Table}
        with env.begin() as transaction:
            return [
                (table, bytes(key), bytes(value))
                for table, handle in handles.items()
                for key, value in transaction.cursor(handle)
            ]


@contextmanager
def environment(path: Path) -> Iterator[lmdb.Environment]:
    """Open a workspace's LMDB environment without any code of artfs, in a process that does not have it open."""
    folder = path / (path / "current").read_text().split()[1]
    env = lmdb.open(str(folder), max_dbs=64, map_size=1 << 30)
    try:
        yield env
    finally:
        env.close()
