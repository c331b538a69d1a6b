"""``demo``: a tour of artfs in a temporary folder, with generated data."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click

from artfs.cli import demo_data
from artfs.cli.output import flush, legible, warn, write_line
from artfs.cli.session import Session, subcommand

__all__ = ["demo"]

_FOLDER = "shapes"
_FAILED = 1


@subcommand("demo", as_json=False)
@click.option("--keep", is_flag=True, help="Keep the folder with the data and the workspace.")
def demo(_session: Session, keep: bool) -> int:
    """Show what artfs does, with generated data.

    Each command is printed before it runs. The demo needs about 120 MB of space and some seconds. It uses a workspace
    of its own, and at the end removes everything that it made, unless --keep is given.

    \b
    Example:
      artfs demo
    """
    signal.signal(signal.SIGTERM, _terminate)
    folder = Path(tempfile.mkdtemp(prefix="artfs-demo-"))
    tour = _Tour(folder)
    try:
        tour.run()
        return 0
    except subprocess.CalledProcessError as error:
        flush()
        warn(f"the demo stopped: '{error.cmd}' ended with exit code {error.returncode}")
        return _FAILED
    finally:
        tour.unmount()
        if keep:
            _write(f"Kept: export ARTFS_WORKSPACE={shlex.quote(str(tour.workspace))}, then: artfs log {_FOLDER}")
        else:
            shutil.rmtree(folder)


class _Tour:
    """The steps, in a folder that exists and is empty."""

    def __init__(self, folder: Path) -> None:
        self.workspace = folder / "workspace"
        self._folder = folder
        self._mount = folder / "mnt"
        self._environment = {**os.environ, "ARTFS_WORKSPACE": str(self.workspace)}

    def run(self) -> None:
        """Run every step; raise CalledProcessError if a command fails."""
        source = self._folder / _FOLDER
        _title("A data set put together in a hurry: some images are in the wrong class folder. It becomes v0.")
        write_line(demo_data.collect(source))
        self._shell(f"artfs put {_FOLDER} {_FOLDER} --type dataset --description 'as collected'")
        _title("The same folder, corrected and completed. It becomes v1; only what is new is stored.")
        write_line(demo_data.correct(source))
        self._shell(f"artfs put {_FOLDER} {_FOLDER} --description 'labels corrected, images added'")
        self._shell(f"artfs log {_FOLDER}")
        self._shell(f"artfs diff {_FOLDER}:v0 {_FOLDER}:v1 | tail -n 3")
        self._look()
        _title("What the versions cost: v1 shares nearly everything with v0, so little is stored because of it.")
        self._shell(f"artfs usage {_FOLDER}")
        _title("Deleting: v0 frees only what v1 does not contain, and can be restored for a day.")
        self._shell(f"artfs rm {_FOLDER}:v0 --dry-run")
        self._shell(f"artfs rm {_FOLDER}:v0")
        self._shell(f"artfs undelete {_FOLDER}:v0")
        self._shell("artfs fsck --data")
        self.unmount()

    def unmount(self) -> None:
        """Unmount the demo's mount if there is one."""
        if self._mount.is_mount():
            self._shell("artfs umount mnt", check=False)
        if self._mount.is_mount():
            self._shell("artfs umount --lazy mnt")

    def _look(self) -> None:
        _title("Under a mount, every version is a directory that any tool can read.")
        self._mount.mkdir()
        if self._shell("artfs mount mnt", check=False):
            write_line("Without a mount, the demo continues; 'artfs doctor' shows what is missing.")
            return
        self._shell(f"ls -l mnt/{_FOLDER}")
        self._shell(f"ls mnt/{_FOLDER}/v1/train")
        self._shell(f"diff -r mnt/{_FOLDER}/v0/test mnt/{_FOLDER}/v1/test && echo 'the test images are equal'")
        self._shell(f"diff -r {_FOLDER} mnt/{_FOLDER}/v1 && echo 'v1 equals the folder'")
        self._shell(f"artfs path {_FOLDER}")

    def _shell(self, command: str, *, check: bool = True) -> int:
        """Print and run a shell command in the demo's folder, in which ``artfs`` is this installation's command."""
        _write(f"$ {command}")
        artfs = f"{shlex.quote(sys.executable)} -P -m artfs"
        script = f'artfs() {{ {artfs} "$@"; }}\n{command}'
        code = subprocess.run(["/bin/sh", "-c", script], cwd=self._folder, env=self._environment).returncode
        if check and code:
            raise subprocess.CalledProcessError(code, command)
        return code


def _terminate(number: int, _frame: FrameType | None) -> NoReturn:
    """Exit through every ``finally``, so that no mount and no folder is left."""
    sys.exit(128 + number)


def _title(sentence: str) -> None:
    write_line("")
    _write(f"# {sentence}")


def _write(line: str) -> None:
    """Write a line before a command that writes to the same stream."""
    write_line(legible(line))
    flush()
