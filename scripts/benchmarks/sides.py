"""The compared sides: the plain folder, artfs and its peers, each showing the same data sets as folders.

One side is mounted at a time. A side is prepared once, and mounted again for each measurement.
"""

from __future__ import annotations

import contextlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from benchmarks.commands import Workspace, anonymous_memory, process_tree
from benchmarks.datasets import DataSets
from benchmarks.processes import cpu_seconds, mount_points


class Side(ABC):
    """One way to show data sets as folders."""

    name: str
    serves: ClassVar[bool] = True
    """Whether a mount shows the data, with pages in the kernel's cache that are not those of the stored files."""
    opens = 0
    """Files that the current work opens, at most; for sides that have a choice."""

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

    def sources(self, name: str) -> list[Path]:
        """Return the files and folders that the bytes of a data set are read from: all that is stored."""
        return [self.folder]

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
    serves = False

    def store(self, name: str) -> None:
        """Create the data, unless it exists."""
        self.data.folder(name)

    def mount(self, names: Sequence[str]) -> dict[str, Path]:
        """Return the folders themselves."""
        return {name: self.data.folder(name) for name in names}

    def sources(self, name: str) -> list[Path]:
        """Return the folder itself."""
        return [self.data.folder(name)]

    def unmount(self, *, lazily: bool = False) -> None:
        """Nothing is mounted."""

    def processes(self) -> list[int]:
        """Return none."""
        return []


ARTFS, USER, NO_LANE = "artfs", "artfs user", "artfs no-lane"
"""Names of sides: artfs as it mounts by default, with the readahead of a user's mount, without the compiled lane."""
READAHEAD_OF_USERS = 128
"""KiB that the kernel reads ahead on a mount of its own accord; only root can raise it."""
LANE_PROGRAM = "artfs-lane"
SECOND_VERSIONS = {"second": ("images", "v1")}
"""Data sets that are stored as another version of a data set's artifact: the artifact and the version."""


class Artfs(Side):
    """artfs in one of its variants; those that share a folder share the workspace.

    ``settings`` are added to the environment of the command that mounts. With ``readahead`` the mount has the kernel's
    readahead of a user's mount, else what ``artfs mount`` sets, which depends on who runs it.
    """

    def __init__(
        self,
        data: DataSets,
        folder: Path,
        transport: str,
        *,
        variant: str = "",
        settings: Mapping[str, str] | None = None,
        readahead: int | None = None,
    ) -> None:
        super().__init__(data, folder)
        self.name = f"artfs {variant}".strip()
        self.workspace = Workspace(folder / "workspace", settings=settings)
        self.transport = transport
        self._readahead = readahead
        self._point = folder / "-".join(["mount", transport, *variant.split()])
        self._pid = 0

    def store(self, name: str) -> None:
        """Put the data set as an artifact of its name, unless another side has put it."""
        artifact, version = self.place_of(name)
        if version != "v0":
            self.prepare([artifact])
        there = self.workspace.folder.exists()
        stored = {each["name"] for each in self.workspace.report("ls")["artifacts"]} if there else set()
        if version != "v0" or artifact not in stored:  # an unchanged folder makes no further version
            self.workspace.run("put", self.data.folder(name), artifact)

    def place_of(self, name: str) -> tuple[str, str]:
        """Return the artifact and the version that hold a data set."""
        return SECOND_VERSIONS.get(name, (name, "v0"))

    def mount_command(self, point: Path) -> list[str | Path]:
        """Return the arguments of ``artfs`` that mount at a folder with this side's transport."""
        return ["mount", point, "--transport", self.transport]

    def mount(self, names: Sequence[str]) -> dict[str, Path]:
        """Mount the workspace."""
        self._point.mkdir(exist_ok=True)
        self._pid = self.workspace.report(*self.mount_command(self._point))["pid"]
        if self._readahead is not None:
            device = self._point.stat().st_dev
            setting = Path(f"/sys/class/bdi/{os.major(device)}:{os.minor(device)}/read_ahead_kb")
            with contextlib.suppress(PermissionError):  # a user's mount has it anyway
                setting.write_text(str(self._readahead))
        return {name: self._point.joinpath(*self.place_of(name)) for name in names}

    def unmount(self, *, lazily: bool = False) -> None:
        """Unmount, also when the daemon has died."""
        if self._point in mount_points():
            self.workspace.run("umount", self._point, *(["--lazy"] if lazily else []))

    def sources(self, name: str) -> list[Path]:
        """Return what is in the workspace, without the reserve for deletions on a full disk, which no read needs."""
        return [path for path in self.workspace.folder.iterdir() if path.name != "reserve"]

    def processes(self) -> list[int]:
        """Return the daemon's processes."""
        return process_tree(self._pid)

    def has_lane(self) -> bool:
        """Return whether the compiled lane serves the mount: its program runs."""
        os.listdir(self._point)  # the mount is answered for, so what answers has started
        names = [Path(f"/proc/{pid}/comm").read_text().strip() for pid in self.processes()]
        return LANE_PROGRAM in names
