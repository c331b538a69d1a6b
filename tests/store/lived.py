"""A workspace with a past: shared, deleted and reaped versions, aliases, tags, lists, split directories."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path
from typing import Any

from artstore.changes import recording
from artstore.changes.committing import Commit
from artstore.changes.putting import PutOptions, put
from artstore.changes.revising import revise
from artstore.rows.history import read_provenance
from artstore.rows.remotes import read_tracking
from artstore.workspace import Workspace
from store.conftest import forget
from store.oracle import Model, model_of, write_folder
from store.with_remotes import live_with_remotes

Catalogue = dict[str, dict[str, Any]]


def aged(folder: Path) -> Path:
    """Give everything below a folder a time that a stat cache trusts."""
    then = time.time() - 60
    for path in [folder, *folder.rglob("*")]:
        os.utime(path, (then, then), follow_symlinks=False)
    return folder


def model_with(seed: int) -> Model:
    """Return a folder of 300 small files in a directory, a large file, an empty one, a link and an executable."""
    noise = random.Random(seed)
    model: Model = {b"many/%03d" % number: ("file", b"%d of many" % number) for number in range(300)}
    model[b"large"] = ("file", random.Random(1).randbytes(700_000) + noise.randbytes(400_000))
    model[b"deep/er/empty"] = ("file", b"")
    model[b"deep/er/folder"] = ("dir", b"")
    model[b"deep/link"] = ("link", b"er/empty")
    model[b"deep/run"] = ("exec", b"#!/bin/sh\n" + noise.randbytes(8000))
    return model


def live_through(ws: Workspace, folder: Path) -> None:
    """Give an empty workspace its past."""
    first = aged(write_folder(folder / "first", model_with(1)))
    second = aged(write_folder(folder / "second", model_with(2)))
    third = aged(write_folder(folder / "third", model_with(3)))
    fourth = aged(write_folder(folder / "fourth", model_with(4)))
    ws.put(first, "team/vision/data", type="dataset", aliases=["clean", "old"], metadata={"split": "train"})
    ws.put(second, "team/vision/data", description="the second")
    ws.put(fourth, "team/vision/data")
    ws.put(third, "alone", type="model", aliases=["best"])
    ws.put(first, "gone/away")
    ws.aliases.set("team/vision/data:v1", "clean")
    ws.tags.add("team/vision/data:v1", "good", "kept")
    ws.delete("team/vision/data:v2")
    ws.gc(now=True)
    ws.configure(undelete_seconds=7200.0)
    ws.put(second, "alone")
    ws.delete("alone:v0", force=True)
    ws.delete("gone/away:v0")
    ws.retention.set("checkpoints", type="model", best=5, field="accuracy", aliases=["prod*"])
    ws.retention.set("logs", project="team", within=1e6)
    ws.retention.remove("logs")
    ws.retention.set_ttl("team/vision/data:v0", 1e9)
    ws.describe("team/vision/data", "all that was collected")
    record, lease = recording.start_run(ws.store, "team", "maker", config={"lr": 0.1}, job_type="train")
    recording.record_use(ws.store, record.number, ws.version("alone").record, "latest")
    recording.log_rows(ws.store, record.number, [{"loss": 0.5, "_step": 0}], {"loss": 0.5})
    put(ws.store, second, Commit("alone", runs=(record.number,)), PutOptions())
    revise(ws.store, ws.version("alone").record, description="the second again", metadata={"seen": True})
    recording.change_run(ws.store, record.number, state="finished")
    lease.close()
    live_with_remotes(ws, "team/vision/data")


def catalogue_of(ws: Workspace) -> Catalogue:
    """Return all that a workspace says of its living versions, and all that they hold."""
    found: Catalogue = {}
    with ws.store.snapshot() as snapshot:
        runs = list(read_provenance(snapshot.transaction).events())
        told = read_tracking(snapshot.transaction).told()
    for artifact in ws.artifacts():
        versions = {
            version.number: (
                version.digest,
                version.record.serial,
                version.metadata,
                version.description,
                version.tags,
                version.record.created_ns,
                version.record.expires_ns,
                version.record.files,
                version.record.bytes,
                model_of(ws.store, version.record.root),
                attributes(ws, version.record.root),
                (version.record.form, version.record.mtime_ns, version.record.mode, version.record.newest_ns),
                version.record.mount,
            )
            for version in ws.versions(artifact.name)
        }
        about = (artifact.type, artifact.latest, artifact.description, runs, told.remotes, told.versions)
        found[artifact.name] = {"about": about, "aliases": ws.aliases.of(artifact.name), "versions": versions}
    return found


def attributes(ws: Workspace, root: int) -> dict[bytes, tuple[int, int]]:
    """Return (mtime in ns, mode) of every file and directory, which a mount shows."""
    with ws.store.snapshot() as snapshot:
        return {path: (entry.mtime_ns, entry.mode) for path, entry in snapshot.walk(root)}


def reopened(ws: Workspace) -> Workspace:
    """Return the workspace as another process would see it."""
    forget(ws.store)
    return Workspace(type(ws.store).open(ws.path))
