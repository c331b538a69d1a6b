"""The folders of LMDB environments in a workspace: which is in use, which were replaced, and their readers.

The file `CURRENT` names the one in use.  A compacted copy is written to a folder with the next number, and replacing
`CURRENT` switches to it.  A folder with a lower number was replaced, and processes may still read it for a while; one
with a higher number is a copy in progress, or one that was never finished.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Final, NamedTuple

import lmdb

from artstore import beneath
from artstore.errors import DamageError, RefusedError, UnsupportedError, WorkspaceNotFoundError
from artstore.limits import raise_machine_error
from artstore.storage import disk

__all__ = [
    "CURRENT",
    "FORMAT",
    "OLDEST",
    "Reader",
    "folder_number",
    "identity_of",
    "numbered_folders",
    "read_current",
    "read_format",
    "readers_of",
    "replaced",
    "workspace_identity",
    "write_current",
]

FORMAT: Final = 3
"""Number of the on-disk format.  A workspace of a newer one is refused."""
OLDEST: Final = 2
"""The oldest format that is read: the first writer adds the tables that it lacks, and raises its number."""
CURRENT: Final = "current"
"""Name of the file that names the environment in use: ``<format> <folder>``."""
_FOLDER: Final = re.compile(r"manifest\.([1-9][0-9]*)")


def read_current(workspace: Path) -> tuple[tuple[int, int], str]:
    """Return (stamp, folder name) of the environment in use; raise what `read_format` raises."""
    stamp, name, _ = read_format(workspace)
    return stamp, name


def read_format(workspace: Path) -> tuple[tuple[int, int], str, int]:
    """Return (stamp, folder name) of the environment in use, and the number of its format.

    Raises `WorkspaceNotFoundError` if there is no workspace, `UnsupportedError` for a newer format.
    """
    try:
        with open(beneath.open_file(workspace, CURRENT), "rb") as file:
            status = os.fstat(file.fileno())
            text = file.read(4096).decode("ascii", "replace").split()
    except (FileNotFoundError, NotADirectoryError) as error:
        if not os.path.lexists(workspace):
            hint = "the first 'artfs put PATH NAME' creates it; 'artfs init DIR' creates one elsewhere"
            raise WorkspaceNotFoundError(f"there is no workspace at {workspace} yet", hint=hint) from error
        raise WorkspaceNotFoundError(
            f"{workspace} is not an artfs workspace", hint="create one: artfs init DIR"
        ) from error
    except RefusedError:
        raise
    except PermissionError as error:
        raise RefusedError(
            f"the workspace {workspace} belongs to another user",
            hint="its owner can share it: artfs config shared GROUP",
        ) from error
    if len(text) != 2 or not text[0].isdigit():
        raise DamageError(f"{workspace / CURRENT} does not name the manifest in use")
    if int(text[0]) > FORMAT:
        raise UnsupportedError(
            f"the workspace {workspace} has format {text[0]}; this artfs reads formats up to {FORMAT}",
            hint="upgrade artfs",
        )
    if int(text[0]) < OLDEST:
        raise UnsupportedError(
            f"the workspace {workspace} has format {text[0]}, which was never released; artfs reads {OLDEST} and up",
            hint="read its versions with the artfs that made it, and put them into a new workspace",
        )
    if not folder_number(text[1]):
        raise DamageError(f"{workspace / CURRENT} names {text[1]!r}, which is not the name of a manifest")
    return (status.st_ino, status.st_mtime_ns), text[1], int(text[0])


def write_current(workspace: Path, folder: Path) -> None:
    """Make an environment the one in use, in the present format; the file keeps its mode, its owner is the folder's."""
    mode = stat.S_IMODE(beneath.status(workspace, CURRENT).st_mode)
    with disk.out_of_space(workspace, "the name of the manifest"):
        text = f"{FORMAT} {folder.name}\n".encode()
        disk.write_file(workspace, workspace / CURRENT, text, mode, like=beneath.status(workspace, folder))


def workspace_identity(workspace: Path) -> tuple[int, int]:
    """Return (st_dev, st_ino) of the workspace's `CURRENT` file: one workspace by whatever path."""
    return identity_of(workspace, CURRENT)


def identity_of(workspace: Path, file: str) -> tuple[int, int]:
    """Return (st_dev, st_ino) of a file in a workspace, zeros if there is none."""
    try:
        status = beneath.status(workspace, file)
    except OSError as error:
        raise_machine_error(error, f"{workspace / file} cannot be looked at")
        return (0, 0)
    return status.st_dev, status.st_ino


def folder_number(name: str) -> int:
    """Return the number in the name of an environment's folder, 0 for any other name."""
    match = _FOLDER.fullmatch(name)
    return int(match[1]) if match else 0


def numbered_folders(workspace: Path) -> dict[int, Path]:
    """Return the folders of environments that are there, by number."""
    return {folder_number(name): workspace / name for name in beneath.names(workspace) if folder_number(name)}


def replaced(workspace: Path, current: str) -> list[Path]:
    """Return the folders of environments that others have replaced, and that are still there."""
    return [path for number, path in numbered_folders(workspace).items() if number < folder_number(current)]


class Reader(NamedTuple):
    """A process that reads, and the transaction that it looks at."""

    pid: int
    transaction: int


def readers_of(env: lmdb.Environment) -> list[Reader]:
    """Return the current readers of an environment, in all living processes."""
    env.reader_check()
    rows = [line.split() for line in env.readers().splitlines()[1:]]
    return [Reader(int(row[0]), int(row[2])) for row in rows if len(row) == 3 and row[2].isdigit()]
