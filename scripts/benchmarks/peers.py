"""The peers that show stored data as folders: images in the kernel and through FUSE, backup programs' mounts."""

from __future__ import annotations

import ctypes
import os
import resource
import subprocess
import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from benchmarks.commands import process_tree
from benchmarks.datasets import DataSets
from benchmarks.keepers import Borg, Bup, Casync, Keeper, Restic
from benchmarks.processes import SideFailed, end_mount, last_line, mount_points, run
from benchmarks.sides import Side

ANSWER_SECONDS = 120
EXAMPLES = Path("/usr/share/doc/libfuse3-dev/examples")
FOR_FEW, FOR_MANY = "passthrough_ll", "passthrough_fh"
FEW = 5000
"""Files up to which the first example is not the slower one: of 5,000 it takes about as long as the second for each."""
_MS_RDONLY = 1


class Peer(Side):
    """A peer of artfs; ``packages`` are the Debian packages that it needs."""

    packages: ClassVar[tuple[str, ...]]

    def __init__(self, data: DataSets, folder: Path) -> None:
        super().__init__(data, folder)
        self._points: list[Path] = []
        self._servers: list[subprocess.Popen[bytes]] = []

    @abstractmethod
    def version(self) -> str:
        """Return the version that the program reports."""

    def serve(self, command: Sequence[str | Path], point: Path, settings: Mapping[str, str] | None = None) -> Path:
        """Start a program that mounts at a folder and keeps running; return the folder once it is mounted."""
        point.mkdir(parents=True, exist_ok=True)
        log = self.folder / "mount.log"
        with log.open("wb") as output:
            server = subprocess.Popen(
                [str(each) for each in command],
                env={**os.environ, **(settings or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._points.append(point)
        self._servers.append(server)
        end = time.monotonic() + ANSWER_SECONDS
        while point not in mount_points():
            if server.poll() is not None or time.monotonic() > end:
                raise SideFailed(f"it did not mount: {last_line(log.read_bytes())}")
            time.sleep(0.002)
        return point

    def mount_image(self, image: Path, kind: str, point: Path) -> Path:
        """Mount an image with the kernel: as a file if the file system can (erofs), else through a loop device."""
        point.mkdir(parents=True, exist_ok=True)
        self._points.append(point)
        if ctypes.CDLL(None).mount(bytes(image), bytes(point), kind.encode(), _MS_RDONLY, None):
            run(["mount", "-t", kind, "-o", "loop,ro", image, point])
        return point

    def unmount(self, *, lazily: bool = False) -> None:
        """Unmount all, and wait for the serving programs to end."""
        for point in self._points:
            end_mount(point)
        for server in self._servers:
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
        self._points, self._servers = [], []

    def processes(self) -> list[int]:
        """Return the serving programs with their descendants."""
        return [pid for server in self._servers for pid in process_tree(server.pid)]


class Squashfs(Peer):
    """squashfs in the kernel, compressed as artfs compresses."""

    name = "squashfs"
    packages: ClassVar[tuple[str, ...]] = ("squashfs-tools",)

    def image(self, name: str) -> Path:
        """Return the image of a data set."""
        return self.folder / f"{name}.squashfs"

    def store(self, name: str) -> None:
        """Make an image."""
        options = ["-comp", "zstd", "-Xcompression-level", "3", "-no-progress", "-quiet", "-noappend"]
        run(["mksquashfs", self.data.folder(name), self.image(name), *options])

    def sources(self, name: str) -> list[Path]:
        """Return the image."""
        return [self.image(name)]

    def mount(self, names: Sequence[str]) -> dict[str, Path]:
        """Mount the images."""
        return {name: self.mount_image(self.image(name), "squashfs", self.folder / name) for name in names}

    def version(self) -> str:
        """Return the version of the program that makes images."""
        return run(["mksquashfs", "-version"]).decode().splitlines()[0]


class Squashfuse(Squashfs):
    """The same images through FUSE."""

    name = "squashfuse"
    packages = ("squashfs-tools", "squashfuse")

    def image(self, name: str) -> Path:
        """Return the image of a data set, which the kernel's squashfs may have made."""
        return self.folder.parent / "squashfs" / f"{name}.squashfs"

    def store(self, name: str) -> None:
        """Make an image unless it is there."""
        self.image(name).parent.mkdir(exist_ok=True)
        if not self.image(name).exists():
            super().store(name)

    def mount(self, names: Sequence[str]) -> dict[str, Path]:
        """Mount the images."""
        return {
            name: self.serve(["squashfuse", "-f", self.image(name), self.folder / name], self.folder / name)
            for name in names
        }

    def version(self) -> str:
        """Return the version, which it prints to stderr."""
        finished = subprocess.run(["squashfuse", "--help"], capture_output=True, text=True)
        return (finished.stderr or finished.stdout).splitlines()[0].split("(")[0].strip()


class Erofs(Peer):
    """erofs in the kernel, compressed with lz4."""

    name = "erofs"
    packages = ("erofs-utils",)

    def store(self, name: str) -> None:
        """Make an image."""
        run(["mkfs.erofs", "-zlz4", self.folder / f"{name}.erofs", self.data.folder(name)])

    def sources(self, name: str) -> list[Path]:
        """Return the image."""
        return [self.folder / f"{name}.erofs"]

    def mount(self, names: Sequence[str]) -> dict[str, Path]:
        """Mount the images."""
        return {name: self.mount_image(self.folder / f"{name}.erofs", "erofs", self.folder / name) for name in names}

    def version(self) -> str:
        """Return the version of the program that makes images."""
        return f"erofs-utils {run(['dpkg-query', '-W', '-f', '${Version}', 'erofs-utils']).decode()}"


class Passthrough(Peer):
    """libfuse's own examples in C that show a folder: the cost of FUSE when files are stored as they are.

    ``passthrough_ll`` keeps a file open for each inode, and searches a list of all of them in each look-up. It is the
    faster one for works that open few files; for others ``passthrough_fh`` is used.
    """

    name = "passthrough"
    packages = ("gcc", "libc6-dev", "pkg-config", "libfuse3-dev")

    def store(self, name: str) -> None:
        """Compile the programs."""
        flags = run(["pkg-config", "--cflags", "--libs", "fuse3"]).decode().split()
        for example in (FOR_FEW, FOR_MANY):
            if not (self.folder / example).exists():
                run(["gcc", "-O2", self.source(example), "-o", self.folder / example, *flags])

    def source(self, example: str) -> Path:
        """Return the source code of an example: Debian's package of headers has it, else its source package."""
        found = EXAMPLES / f"{example}.c"
        if not found.exists():
            run(["apt-get", "source", "--download-only", "libfuse3-dev"], cwd=self.folder)
            archives = [path for path in self.folder.glob("fuse3_*.orig.tar.*") if path.suffix != ".asc"]
            if not archives:
                raise SideFailed(f"neither libfuse3-dev nor its source package has {example}.c")
            run(["tar", "--extract", "--strip-components=1", "--file", archives[0]], cwd=self.folder)
            found = self.folder / "example" / f"{example}.c"
        return found

    def mount(self, names: Sequence[str]) -> dict[str, Path]:
        """Mount the data's own folders; what is cached stays valid."""
        folders = {}
        for name in names:
            source, timeout, example = self.data.folder(name), 86400, FOR_FEW if self.opens <= FEW else FOR_MANY
            options = f"kernel_cache,entry_timeout={timeout},attr_timeout={timeout},modules=subdir,subdir={source}"
            if example == FOR_FEW:
                options = f"cache=always,timeout={timeout},source={source}"
            files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
            command: list[str | Path] = ["prlimit", f"--nofile={files}:{files}", self.folder / example]
            folders[name] = self.serve([*command, "-f", "-o", f"{options},ro", self.folder / name], self.folder / name)
        return folders

    def sources(self, name: str) -> list[Path]:
        """Return the data's own folder."""
        return [self.data.folder(name)]

    def version(self) -> str:
        """Return the version of libfuse, and which example shows how many files."""
        libfuse = run(["pkg-config", "--modversion", "fuse3"]).decode().strip()
        return f"{FOR_FEW}.c of libfuse {libfuse}; {FOR_MANY}.c for works that open more than {FEW:,} files"


class Kept(Peer):
    """A backup program's mount of a store that has one version of each data set."""

    keeper_class: ClassVar[type[Keeper]]

    def __init__(self, data: DataSets, folder: Path) -> None:
        super().__init__(data, folder)
        self.keeper = self.keeper_class(folder)

    def store(self, name: str) -> None:
        """Store the data set as a version, in a store that is created for the first."""
        if not self._prepared:
            self.keeper.create()
        self.keeper.put(self.data.folder(name), name, 0)

    def version(self) -> str:
        """Return the program's."""
        return self.keeper.version()


class BorgMount(Kept):
    """``borg mount`` of the repository."""

    name, packages, keeper_class = "borg", Borg.packages, Borg
    keeper: Borg

    def mount(self, names: Sequence[str]) -> dict[str, Path]:
        """Mount the repository, with all archives."""
        point = self.folder / "mount"
        self.serve(["borg", "mount", "-f", self.keeper.repository, point], point, self.keeper.settings())
        return {name: point / f"{name}-00" for name in names}


class ResticMount(Kept):
    """``restic mount`` of the repository."""

    name, packages, keeper_class = "restic", Restic.packages, Restic
    keeper: Restic

    def mount(self, names: Sequence[str]) -> dict[str, Path]:
        """Mount the repository, with all snapshots."""
        point = self.folder / "mount"
        self.serve(["restic", "mount", point], point, self.keeper.settings())
        return {name: point / "ids" / self.keeper.snapshots[name, 0][:8] for name in names}


class BupMount(Kept):
    """``bup fuse`` of the repository."""

    name, packages, keeper_class = "bup", Bup.packages, Bup
    keeper: Bup

    def mount(self, names: Sequence[str]) -> dict[str, Path]:
        """Mount the repository, with all branches."""
        point = self.folder / "mount"
        self.serve(["bup", "fuse", "-f", point], point, self.keeper.settings())
        return {name: point / name / "latest" for name in names}


class CasyncMount(Kept):
    """``casync mount`` of each index."""

    name, packages, keeper_class = "casync", Casync.packages, Casync
    keeper: Casync

    def mount(self, names: Sequence[str]) -> dict[str, Path]:
        """Mount the indexes."""
        store = f"--store={self.folder / 'store.castr'}"
        folders = {}
        for name in names:
            command: list[str | Path] = ["casync", "mount", store, self.keeper.index(name, 0), self.folder / name]
            folders[name] = self.serve(command, self.folder / name)
        return folders


PEERS: tuple[type[Peer], ...] = (
    Squashfs,
    Erofs,
    Squashfuse,
    Passthrough,
    BorgMount,
    ResticMount,
    BupMount,
    CasyncMount,
)
