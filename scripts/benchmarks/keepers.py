"""The stores that keep versions of a folder: artfs, backup programs and DVC, all run through their commands.

Each keeps them in a folder of its own that holds all of it, caches included, so that removing the folder is enough.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from benchmarks.commands import Workspace
from benchmarks.processes import SideFailed, allocated_bytes, run


class Keeper(ABC):
    """A store of versions in a folder."""

    name: str
    packages: tuple[str, ...] = ()
    """Debian's packages that it takes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @abstractmethod
    def create(self) -> None:
        """Create the empty store; its folder exists."""

    @abstractmethod
    def put(self, source: Path, name: str, number: int) -> None:
        """Store a folder as one version of ``name``; the numbers come in order from 0."""

    def delete(self, name: str, numbers: Sequence[int]) -> None:
        """Delete versions and free their space."""
        raise SideFailed(f"{self.name} has no way to delete versions")

    def source_for(self, source: Path) -> Path:
        """Return the folder to put from, in the layout that the program needs; not part of a put's time."""
        return source

    def stored_bytes(self) -> int:
        """Return the disk space of the versions, with all records about them."""
        return allocated_bytes(self.folder)

    def version(self) -> str:
        """Return the version that the program reports."""
        return ""


class Copies(Keeper):
    """A recursive copy for each version."""

    name = "plain"

    def create(self) -> None:
        """Nothing is needed."""

    def put(self, source: Path, name: str, number: int) -> None:
        """Copy the folder."""
        run(["cp", "-r", source, self.folder / f"{name}-{number:02}"])


class ArtfsKeeper(Keeper):
    """artfs itself."""

    name = "artfs"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.workspace = Workspace(folder / "workspace")

    def create(self) -> None:
        """Make a workspace."""
        self.workspace.run("init", self.workspace.folder)

    def put(self, source: Path, name: str, number: int) -> None:
        """Put the folder."""
        self.workspace.run("put", source, name)

    def delete(self, name: str, numbers: Sequence[int]) -> None:
        """Delete, and free the space at once."""
        self.workspace.run("rm", "--now", *(f"{name}:v{number}" for number in numbers))

    def stored_bytes(self) -> int:
        """Return the disk space, without the reserve for deletions on a full disk."""
        reserve = self.workspace.folder / "reserve"
        return allocated_bytes(self.folder) - (os.lstat(reserve).st_blocks << 9 if reserve.exists() else 0)


class Borg(Keeper):
    """BorgBackup, without encryption, compressing as artfs does."""

    name = "borg"
    packages = ("borgbackup", "python3-pyfuse3")

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.repository = folder / "repository"

    def settings(self) -> dict[str, str]:
        """Return the environment: all files of borg are in this store's folder, and it asks no questions."""
        answers = (
            "UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK",
            "RELOCATED_REPO_ACCESS_IS_OK",
            "DELETE_I_KNOW_WHAT_I_AM_DOING",
        )
        return {"BORG_BASE_DIR": str(self.folder / "home"), **{f"BORG_{answer}": "yes" for answer in answers}}

    def create(self) -> None:
        """Make a repository."""
        run(["borg", "init", "--encryption", "none", self.repository], self.settings())

    def put(self, source: Path, name: str, number: int) -> None:
        """Create an archive."""
        archive = f"{self.repository}::{name}-{number:02}"
        run(["borg", "create", "--compression", "zstd,3", archive, "."], self.settings(), cwd=source)

    def delete(self, name: str, numbers: Sequence[int]) -> None:
        """Delete archives, then compact the repository."""
        archives = [f"{name}-{number:02}" for number in numbers]
        run(["borg", "delete", self.repository, *archives], self.settings())
        run(["borg", "compact", self.repository], self.settings())

    def version(self) -> str:
        """Return the version."""
        return run(["borg", "--version"]).decode().strip()


class Restic(Keeper):
    """restic, which always encrypts, with its default compression."""

    name = "restic"
    packages = ("restic", "fuse3")

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.snapshots: dict[tuple[str, int], str] = {}

    def settings(self) -> dict[str, str]:
        """Return the environment."""
        repository, cache = str(self.folder / "repository"), str(self.folder / "cache")
        return {"RESTIC_REPOSITORY": repository, "RESTIC_CACHE_DIR": cache, "RESTIC_PASSWORD": "bench"}

    def create(self) -> None:
        """Make a repository."""
        run(["restic", "init"], self.settings())

    def put(self, source: Path, name: str, number: int) -> None:
        """Back up the folder, in addition to earlier ones of the same name."""
        command = ["restic", "backup", "--json", "--quiet", "--host", "bench", "--tag", name, "."]
        lines = run(command, self.settings(), cwd=source).splitlines()
        self.snapshots[name, number] = json.loads(lines[-1])["snapshot_id"]

    def delete(self, name: str, numbers: Sequence[int]) -> None:
        """Forget snapshots and prune the data that only they used."""
        snapshots = [self.snapshots[name, number] for number in numbers]
        run(["restic", "forget", "--prune", *snapshots], self.settings())

    def version(self) -> str:
        """Return the version."""
        return run(["restic", "version"]).decode().strip()


class Bup(Keeper):
    """bup, with its default compression."""

    name = "bup"
    packages = ("bup", "python3-fuse")

    def settings(self) -> dict[str, str]:
        """Return the environment."""
        return {"BUP_DIR": str(self.folder / "repository")}

    def create(self) -> None:
        """Make a repository."""
        run(["bup", "init"], self.settings())

    def put(self, source: Path, name: str, number: int) -> None:
        """Index the folder, then save it."""
        run(["bup", "index", source], self.settings())
        run(["bup", "save", "-q", "-n", name, "--strip", source], self.settings())

    def version(self) -> str:
        """Return the version."""
        return f"bup {run(['bup', 'version']).decode().strip()}"


class Casync(Keeper):
    """casync, with its default chunk sizes and compression."""

    name = "casync"
    packages = ("casync",)

    def create(self) -> None:
        """Make the folder of chunks."""
        (self.folder / "store.castr").mkdir()

    def index(self, name: str, number: int) -> Path:
        """Return the index file of a version."""
        return self.folder / f"{name}-{number:02}.caidx"

    def put(self, source: Path, name: str, number: int) -> None:
        """Make an index and the new chunks."""
        store = f"--store={self.folder / 'store.castr'}"
        run(["casync", "make", store, self.index(name, number), source])

    def version(self) -> str:
        """Return the version."""
        return run(["casync", "--version"]).decode().splitlines()[0]


class Dvc(Keeper):
    """DVC without a git repository; installed next to the data, as it needs other package versions than artfs."""

    name = "dvc"
    tools: Path

    def create(self) -> None:
        """Make a workspace."""
        run([self.tools / "bin" / "dvc", "init", "--no-scm"], cwd=self.folder)
        run([self.tools / "bin" / "dvc", "config", "core.analytics", "false"], cwd=self.folder)

    def source_for(self, source: Path) -> Path:
        """Copy the folder to the path that DVC requires."""
        shutil.rmtree(self.folder / "data", ignore_errors=True)
        shutil.copytree(source, self.folder / "data")
        return self.folder / "data"

    def put(self, source: Path, name: str, number: int) -> None:
        """Add the folder to DVC's cache."""
        run([self.tools / "bin" / "dvc", "add", "--quiet", "data"], cwd=self.folder)

    def stored_bytes(self) -> int:
        """Return the space of the cache alone."""
        return allocated_bytes(self.folder / ".dvc")

    def version(self) -> str:
        """Return the version."""
        return f"dvc {run([self.tools / 'bin' / 'dvc', '--version']).decode().strip()}"

    @classmethod
    def install(cls, tools: Path) -> None:
        """Create a virtual environment with DVC, unless it exists."""
        cls.tools = tools
        if not (tools / "installed").exists():
            subprocess.run([sys.executable, "-m", "venv", "--clear", tools], check=True)
            command = [str(tools / "bin" / "python"), "-m", "pip", "install", "--quiet", "dvc"]
            if subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True).returncode:
                raise SideFailed("pip could not install dvc")
            (tools / "installed").touch()


KEEPERS: tuple[type[Keeper], ...] = (Copies, ArtfsKeeper, Borg, Restic, Dvc, Bup, Casync)
