"""The compared sides: the plain folder, artfs and its peers, each showing the same data sets as folders.

One side is mounted at a time. A side is prepared once, and mounted again for each measurement.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.commands import Workspace, anonymous_memory, process_tree
from benchmarks.datasets import DataSets
from benchmarks.processes import cpu_seconds, mount_points


class Side(ABC):
    """One way to show data sets as folders."""

    name: str

    def __init__(self, data: DataSets, folder: Path) -> None:
        self.data = data
        self.folder = folder
        self._prepared: set[str] = set()

    def prepare(self, names: Sequence[str]) -> None:
        """Store these data sets, those that are not stored yet."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            if name not in self._prepared:
                self.store(name)
                self._prepared.add(name)

    @contextlib.contextmanager
    def shown(self, names: Sequence[str]) -> Iterator[dict[str, Path]]:
        """Mount; yields the folder of each data set. After an error, mounts in use are unmounted too."""
        try:
            yield self.mount(names)
        except BaseException:
            self.unmount(lazily=True)
            raise
        self.unmount()

    @abstractmethod
    def store(self, name: str) -> None:
        """Store one data set."""

    @abstractmethod
    def mount(self, names: Sequence[str]) -> dict[str, Path]:
        """Mount the stored data sets, and return the folder of each once its listing was answered."""

    @abstractmethod
    def unmount(self, *, lazily: bool = False) -> None:
        """Unmount all that is mounted; with ``lazily`` also while it is in use."""

    @abstractmethod
    def processes(self) -> list[int]:
        """Return the processes that serve the mount: none if the kernel does."""

    def cpu_seconds(self) -> float:
        """Return the processor time of the serving processes so far."""
        return sum(cpu_seconds(pid) for pid in self.processes())

    def memory_bytes(self) -> int:
        """Return the anonymous memory of the serving processes, shared pages divided by their sharers."""
        return sum(sum(anonymous_memory(pid)[:1]) for pid in self.processes())


class Plain(Side):
    """The data's own folders."""

    name = "plain"

    def store(self, name: str) -> None:
        """Create the data, unless it exists."""
        self.data.folder(name)

    def mount(self, names: Sequence[str]) -> dict[str, Path]:
        """Return the folders themselves."""
        return {name: self.data.folder(name) for name in names}

    def unmount(self, *, lazily: bool = False) -> None:
        """Nothing is mounted."""

    def processes(self) -> list[int]:
        """Return none."""
        return []


class Artfs(Side):
    """artfs, through one of its transports; sides that share a folder share the workspace."""

    def __init__(self, data: DataSets, folder: Path, transport: str, *, named: bool = False) -> None:
        super().__init__(data, folder)
        self.name = f"artfs {transport}" if named else "artfs"
        self.workspace = Workspace(folder / "workspace")
        self.transport = transport
        self._point = folder / f"mount-{transport}"
        self._pid = 0

    def store(self, name: str) -> None:
        """Put the data set as an artifact of its name, unless another side has put it."""
        stored = self.workspace.folder.exists() and {each["name"] for each in self.workspace.report("ls")["artifacts"]}
        if not stored or name not in stored:
            self.workspace.run("put", self.data.folder(name), name)

    def mount_command(self, point: Path) -> list[str | Path]:
        """Return the arguments of ``artfs`` that mount at a folder with this side's transport."""
        return ["mount", point, "--transport", self.transport]

    def mount(self, names: Sequence[str]) -> dict[str, Path]:
        """Mount the workspace."""
        self._point.mkdir(exist_ok=True)
        self._pid = self.workspace.report(*self.mount_command(self._point))["pid"]
        return {name: self._point / name / "v0" for name in names}

    def unmount(self, *, lazily: bool = False) -> None:
        """Unmount, also when the daemon has died."""
        if self._point in mount_points():
            self.workspace.run("umount", self._point, *(["--lazy"] if lazily else []))

    def processes(self) -> list[int]:
        """Return the daemon's processes."""
        return process_tree(self._pid)
