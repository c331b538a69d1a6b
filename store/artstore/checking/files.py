"""Checking the files in a workspace's folder: missing ones, and ones that do not belong there."""

from __future__ import annotations

import errno
import re
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from artstore import beneath
from artstore.checking.recounting import Recount
from artstore.checking.report import Report, message_of, reason_of
from artstore.errors import ArtfsError, DamageError, UnsupportedError, WorkspaceNotFoundError
from artstore.limits import raise_machine_error
from artstore.records.counters import Counters
from artstore.records.identity import IDENTITY
from artstore.storage import journal
from artstore.storage.manifest_folders import CURRENT, read_current
from artstore.storage.reserve import RESERVE
from artstore.store import read_identity

__all__ = ["Place", "check_files", "note_strays"]

_FOLDERS: Final = ("packs", "journal", "cache", "run", "run/drafts", "run/daemons")
_MANIFEST_FILES: Final = {
    "data.mdb": "it contains all records; to rebuild it: artfs fsck --rebuild",
    "lock.mdb": "LMDB recreates it, but processes that have the manifest open do not use the new one: end them first",
    "lease": "processes lock it while they use the manifest; an empty file can replace it",
}
_TOP: Final = frozenset({IDENTITY, CURRENT, "reserve", "packs", "journal", "cache", "run"})
_RUN: Final = frozenset({"drafts", "daemons", "leases", "reaper", "runs"})
_PUSH: Final = re.compile(r"push-[0-9a-f]{32}")
"""The lock of pushes to a remote."""
_PACK: Final = re.compile(r"(\d{8,})\.pack")


class Place(NamedTuple):
    """The uuid of the workspace ("" if lost), and the manifest's folder, or None if it cannot be opened."""

    uuid: str
    manifest: Path | None


def check_files(workspace: Path, report: Report) -> Place:
    """Check the files that every workspace has; call it before anything is opened, which may recreate some.

    Raises `WorkspaceNotFoundError` if no trace of a workspace is left, `UnsupportedError` for a newer format.
    """
    if not any(beneath.exists(workspace, name) for name in (CURRENT, IDENTITY, "packs")):
        raise WorkspaceNotFoundError(f"{workspace} is not an artfs workspace", hint="create one: artfs init DIR")
    uuid = ""
    try:
        uuid = read_identity(workspace).uuid
    except (ArtfsError, OSError) as error:
        report.add("file", f"{workspace / IDENTITY}: {message_of(error)}")
    for name in _FOLDERS:
        if not beneath.is_folder(workspace, name):
            report.add("file", f"the folder {workspace / name} is missing")
    _check_reserve(workspace, report)
    return Place(uuid, _check_manifest(workspace, report))


def _check_reserve(workspace: Path, report: Report) -> None:
    path = workspace / "reserve"
    try:
        kept = beneath.status(workspace, path).st_blocks * 512
    except OSError as error:
        raise_machine_error(error, f"{path} cannot be checked", but=errno.EIO)
        report.add("file", f"the reserve {path} is missing: {reason_of(error)}")
        return
    if kept < RESERVE:
        report.note(f"the reserve {path} has {kept} bytes, not {RESERVE}; it is refilled when the disk has space")


def _check_manifest(workspace: Path, report: Report) -> Path | None:
    """Check the manifest's files; return its folder if all of them exist."""
    try:
        folder = workspace / read_current(workspace)[1]
    except UnsupportedError:
        raise
    except WorkspaceNotFoundError:
        report.add("file", f"the file {workspace / CURRENT} is missing: the manifest in use is unknown")
        return None
    except (DamageError, OSError) as error:
        report.add("file", message_of(error))
        return None
    whole = True
    for name, hint in _MANIFEST_FILES.items():
        path = folder / name
        if not beneath.exists(workspace, path):
            report.add("file", f"the file {path} is missing; {hint}")
            whole &= name == "lock.mdb"
    if whole and not beneath.status(workspace, folder / "data.mdb").st_size:
        report.add("file", f"the file {folder / 'data.mdb'} is empty; {_MANIFEST_FILES['data.mdb']}")
        whole = False
    return folder if whole else None


def note_strays(workspace: Path, folder: Path, recounted: Recount, counters: Counters, report: Report) -> None:
    """Note files that do not belong in the folder; files that a process may be writing now are left out."""
    for path in _others(workspace, workspace, _TOP | {folder.name}):
        report.note(f"{path} is a manifest that is not in use" if path.name.startswith("manifest.") else _stray(path))
    for path in _others(workspace, folder, _MANIFEST_FILES.keys()):
        report.note(_stray(path))
    abandoned = journal.others(workspace, counters.journal_generation)
    for path in abandoned:
        report.note(f"{path} is a journal that is not in use: gc or the next change removes it")
    known = {path.name for path in [journal.journal_path(workspace, counters.journal_generation), *abandoned]}
    for path in _others(workspace, workspace / "journal", known):
        report.note(_stray(path))
    for path in _others(workspace, workspace / "run", _RUN):
        if _PUSH.fullmatch(path.name):
            continue
        report.note(_stray(path))
    for path in _others(workspace, workspace / "packs", ()):
        match = _PACK.fullmatch(path.name)
        if match is None:
            report.note(_stray(path))
        elif int(match[1]) not in recounted.ends and int(match[1]) < counters.next_pack:
            report.note(f"{path} is a pack that nothing refers to: gc removes it")
    for path in _others(workspace, workspace / "run" / "drafts", ()):
        if not path.name.isdigit():
            report.note(_stray(path))
        elif int(path.name) not in recounted.drafts and int(path.name) < counters.next_draft:
            report.note(f"{path} is the lock of a draft that no longer exists: gc removes it")


def _others(workspace: Path, folder: Path, known: Container[str]) -> Iterator[Path]:
    """Yield the entries of a folder with unknown names."""
    try:
        names = sorted(beneath.names(workspace, folder))
    except OSError:
        return  # reported among the missing files
    for name in names:
        if name not in known:
            yield folder / name


def _stray(path: Path) -> str:
    return f"{path} does not belong to the workspace"
