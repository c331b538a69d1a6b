"""The folder with a version's content: on a mount, in the cache, or a copy of its own."""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from xxhash import xxh3_128

from artfs.quantities import parse_size
from artfs.tracking.naming import short_name
from artfs.tracking.unrecorded import UnrecordedVersion
from artfs.tracking.values import cache_folder, download_folder, environment, logger
from artstore import beneath
from artstore.errors import DamageError, ExistsError, InvalidInputError
from artstore.queries.versions import Version
from artstore.temporaries import TemporaryFolder, remove_abandoned
from artstore.workspace import Workspace

if TYPE_CHECKING:
    from artstore.progress import Progress

__all__ = ["Cached", "cached", "clean_up", "copy_to_cache", "download"]

_COPY = "copy"
_MOUNT = "mount"
_PARTIAL = ".partial"
_PARTS = "-parts"
_SIGNATURE = ".verified"
_RACY_NS = 2 * 10**9
"""A file that was changed so shortly before it was looked at may change again without another time."""
_LARGE = 10**9
_copied: set[str] = set()
"""The versions whose copying was logged."""


def download(workspace: Workspace, version: Version, root: str | os.PathLike[str] | None, prefix: str | None) -> str:
    """Return a folder that holds a version, or the part of it at ``prefix``, with its paths.

    With ``root`` it is a verified copy there, which may be changed.  Without, it is the version's folder on a mount
    that this process can reach, else a copy: in ``$ARTFS_ARTIFACT_DIR``, or in the cache, which all programs of the
    user share.  What was changed or removed in such a copy since it was verified is restored; a copy of over 1 GB is
    logged as a warning, once.  ``ARTFS_DOWNLOAD=copy`` uses no mount, ``ARTFS_DOWNLOAD=mount`` only a mount.
    Afterwards the cache has a link to a whole version by its digest.
    """
    if isinstance(version, UnrecordedVersion):
        return version.folder(root)
    if root is not None:
        workspace.get(version.name, root, prefix=prefix or None, overwrite=True)
        return os.path.abspath(os.fspath(root))
    wish = os.environ.get("ARTFS_DOWNLOAD", "")
    if wish not in ("", _COPY, _MOUNT):
        raise InvalidInputError(f"ARTFS_DOWNLOAD must be 'copy' or 'mount', not {wish!r}")
    place = None if wish == _COPY else workspace.mounted_folder(version)
    is_copy = place is None
    if place is None and wish == _MOUNT:
        raise InvalidInputError(
            "ARTFS_DOWNLOAD requires a mount, but the workspace is not mounted", hint="mount it: artfs mount DIR"
        )
    if place is None:
        folder = download_folder()
        if folder is None:
            return _part_in_cache(workspace, version, prefix) if prefix else copy_to_cache(workspace, version)
        place = folder / short_name(version.name)
        if not place.is_dir():
            _say_copy(version, folder)
        workspace.get(version.name, place, prefix=prefix or None, overwrite=True)
        if prefix:
            return str(place)
    if is_copy or _is_own(workspace):
        _lead(version, place)
    return str(place)


def _is_own(workspace: Workspace) -> bool:
    """Return whether the workspace belongs to this user, and no other user may write to it."""
    status = workspace.path.stat()
    return status.st_uid == os.geteuid() and not status.st_mode & 0o022


def _lead(version: Version, place: Path) -> None:
    """Link from the cache to a folder that holds a version, if the cache can be written.

    Readers of the cache rely on the digest, so the version must hash to the one that its record claims.
    """
    digest = version.digest
    link = cache_folder() / digest
    if link.is_dir() and not link.is_symlink():
        return  # a copy of the cache's own
    with suppress(OSError):
        if link.is_symlink() and os.readlink(link) == str(place):
            return
        if not version.is_proved():
            return
        link.parent.mkdir(parents=True, exist_ok=True)
        beside = link.with_name(f".{digest}.{os.getpid()}.link")
        with suppress(FileNotFoundError):
            beside.unlink()
        beside.symlink_to(place)
        beside.replace(link)


def _part_in_cache(workspace: Workspace, version: Version, prefix: str) -> str:
    """Return the cache's copy of a version if it is there, else a folder with a part of it, verified by each call."""
    if (cache_folder() / version.digest).is_dir():
        return copy_to_cache(workspace, version)
    place = cache_folder() / f"{version.digest}{_PARTS}"
    workspace.get(version.name, place, prefix=prefix, overwrite=True)
    return str(place)


def copy_to_cache(workspace: Workspace, version: Version, progress: Callable[[Progress], None] | None = None) -> str:
    """Return the cache's copy of a version: whole, and verified up to its digest.

    It is made if it is not there.  If its files are not those that were verified, as far as their times, sizes and
    inodes tell, all are read again, and the changed and removed ones restored.
    Raises `DamageError` if its content does not have the digest that its record claims.
    With ``$ARTFS_CACHE_LIMIT`` the least recently used copies are removed until the cache fits.
    """
    folder = cache_folder()
    place = folder / version.digest
    current = workspace.version(version.name)
    if current.digest != version.digest:  # content was purged from it
        return copy_to_cache(workspace, current, progress)
    if place.is_dir() and not place.is_symlink() and _is_intact(workspace, version, place, progress):
        with suppress(OSError):
            os.utime(place)  # used now: the least recently used goes first
        return str(place)
    folder.mkdir(parents=True, exist_ok=True)
    if place.is_symlink():
        place.unlink(missing_ok=True)
    _say_copy(version, folder)
    with beneath.closing(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)) as parent:
        remove_abandoned(parent)
        with TemporaryFolder(parent) as temporary:
            _copy(workspace, version, folder / os.fsdecode(temporary.name) / _COPY, place, progress)
    _note_verified(place)
    limit = environment("CACHE_LIMIT")
    if limit is not None:
        clean_up(_limit(limit), keep=version.digest)
    return str(place)


def _copy(
    workspace: Workspace, version: Version, partial: Path, place: Path, progress: Callable[[Progress], None] | None
) -> None:
    """Copy a version into a temporary folder, and move it to its place when it is whole."""
    workspace.get(version.name, partial, progress=progress)
    if not version.is_proved():
        raise DamageError(
            f"the content of {version.name} in {workspace.path} does not have the digest that its record claims",
            hint="artfs fsck --data",
        )
    partial.chmod(0o755)
    try:
        partial.rename(place)
    except OSError:
        if not place.is_dir():  # else another process was faster
            raise


def _say_copy(version: Version, folder: Path) -> None:
    """Log that a version is copied, once: as a warning if it is large, for a mount needs no copy."""
    if version.name in _copied:
        return
    _copied.add(version.name)
    level = logging.WARNING if version.size >= _LARGE else logging.INFO
    logger.log(
        level,
        "%s (%.1f GB) is copied into %s: its workspace is not mounted; 'artfs mount DIR' shows it without a copy",
        version.name,
        version.size / 1e9,
        folder,
    )


def _is_intact(
    workspace: Workspace, version: Version, place: Path, progress: Callable[[Progress], None] | None
) -> bool:
    """Return whether a copy has the version's files, restored if need be; False if it must be made again."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        kept = json.loads(_signature_file(place).read_bytes())
        if kept["stamp"] == _stamp(place, kept["verified_ns"] - _RACY_NS):
            return True
    try:
        workspace.get(version.name, place, overwrite=True, progress=progress)
    except ExistsError:  # a folder in the place of a file
        _remove(place)
        return False
    _note_verified(place)
    return True


def _signature_file(place: Path) -> Path:
    return place.with_name(f".{place.name}{_SIGNATURE}")


def _note_verified(place: Path) -> None:
    """Record how the files of a copy look that was verified just now."""
    verified_ns = time.time_ns()
    with suppress(OSError):
        values = {"verified_ns": verified_ns, "stamp": _stamp(place)}
        beside = place.with_name(f".{place.name}.{os.getpid()}{_SIGNATURE}")
        beside.write_text(json.dumps(values))
        beside.replace(_signature_file(place))


def _stamp(place: Path, settled_ns: int | None = None) -> str:
    """Return a hash of the names, sizes, times and inodes of all files and links in a folder.

    Raises `ValueError` if one has changed since ``settled_ns``: a later change might have left the same times.
    """
    hasher = xxh3_128()
    folders = [os.fsencode(place)]
    while folders:
        folder = folders.pop()
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.path)
                continue
            status = entry.stat(follow_symlinks=False)
            if settled_ns is not None and status.st_ctime_ns > settled_ns:
                raise ValueError("too recent to be told from a later change")
            look = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_mode)
            hasher.update(b"%s\0%d %d %d %d %d\0" % (entry.path, *look))
    return hasher.hexdigest()


def _remove(place: Path) -> None:
    """Remove a copy, hidden at once: a reader never finds half of it."""
    gone = place.with_name(f".{place.name.strip('.')}.{time.time_ns()}{_PARTIAL}")
    place.rename(gone)
    _signature_file(place).unlink(missing_ok=True)
    shutil.rmtree(gone)


def _limit(text: str) -> int:
    number = parse_size(text)
    if number is None:
        raise InvalidInputError(f"ARTFS_CACHE_LIMIT must be a size such as 50GB, not {text!r}")
    return number


@dataclass(frozen=True, slots=True)
class Cached:
    """A version in the cache: its digest and path, the bytes that it takes here, and when it was last used."""

    digest: str
    path: str
    bytes: int
    used_at: float
    is_link: bool


def cached() -> Iterator[Cached]:
    """Yield the versions in the cache."""
    folder = cache_folder()
    with suppress(FileNotFoundError):
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            is_partial = entry.name.startswith(".") and entry.name.endswith(_PARTIAL)
            if entry.name.startswith(".") and not is_partial:
                continue
            if entry.is_symlink():
                yield Cached(entry.name, os.readlink(entry.path), 0, entry.stat(follow_symlinks=False).st_mtime, True)
            elif entry.is_dir():
                yield Cached(entry.name, entry.path, _bytes_of(entry.path), entry.stat().st_mtime, False)


def _bytes_of(folder: str) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                total += os.lstat(os.path.join(parent, name)).st_blocks * 512
    return total


def clean_up(limit: int, *, keep: str = "") -> tuple[int, int]:
    """Remove the least recently used copies until the cache takes at most ``limit`` bytes, and broken links.

    The copy of the digest ``keep`` stays.  Returns (copies removed, bytes freed).
    """
    copies_by_use = sorted(cached(), key=lambda copy: copy.used_at)
    total = sum(copy.bytes for copy in copies_by_use)
    copies = freed = 0
    folder = cache_folder()
    for copy in copies_by_use:
        place = folder / copy.digest
        if copy.is_link:
            if not place.exists():
                with suppress(FileNotFoundError):
                    place.unlink()
            continue
        if total - freed <= limit or copy.digest == keep:
            continue
        with suppress(FileNotFoundError):
            _remove(place)
            copies += 1
            freed += copy.bytes
    return copies, freed
