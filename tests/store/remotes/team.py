"""Machines that make versions together: workspaces with one folder as their remote."""

from __future__ import annotations

import os
from pathlib import Path

from artstore.queries.versions import Version
from artstore.remotes.exchanging import clone
from artstore.workspace import Workspace
from store.oracle import assert_sound

__all__ = ["Team", "labels", "read", "sources"]


class Team:
    """Machines that share a folder as their remote, which each can lose sight of."""

    def __init__(self, path: Path, first: Workspace) -> None:
        self.path = path
        self.bucket = path / "bucket"
        self.bucket.mkdir()
        self.machines = [first]
        self.clock = 10**18

    def join(self) -> Workspace:
        """Return a new clone, which has the latest version of ``data``."""
        store = clone(self.bucket.as_uri(), self.path / f"machine-{len(self.machines)}")
        self.machines.append(Workspace(store))
        self.machines[-1].remotes.pull("data")
        return self.machines[-1]

    def put(
        self, machine: Workspace, content: str, *, online: bool = True, name: str = "data", **options: object
    ) -> Version:
        """Put a folder with one file."""
        source = self.path / "source"
        source.mkdir(exist_ok=True)
        (source / "file").write_text(content)
        self.clock += 1_000_000_007  # two files written within 4 ms have one time
        os.utime(source / "file", ns=(self.clock, self.clock))
        if not online:
            self.bucket.rename(self.path / "away")
        try:
            return machine.put(source, name, **options)  # type: ignore[arg-type]
        finally:
            if not online:
                (self.path / "away").rename(self.bucket)

    def log(self) -> list[str]:
        """Return the content of each version that a fresh clone sees, by number; and what each is based on."""
        self.machines.append(Workspace(clone(self.bucket.as_uri(), self.path / f"machine-{len(self.machines)}")))
        fresh = self.machines[-1]
        fresh.remotes.pull(every=True)
        assert_sound(fresh)
        return [read(version) for version in fresh.versions("data")]


def read(version: Version) -> str:
    return version.read_bytes("file").decode()


def sources(machine: Workspace, ref: str) -> set[str]:
    """Return the names of what a version directly comes of."""
    graph = machine.lineage(ref, down=False, depth=1)
    return {node.name for node in graph.nodes if node.key != graph.root}


def labels(machine: Workspace, name: str = "data") -> list[str]:
    return [version.name.partition(":")[2] for version in machine.versions(name)]
