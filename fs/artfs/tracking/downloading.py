"""The folder with a version's content: on a mount, in the cache, or a copy of its own."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING

from artfs.quantities import parse_size
from artfs.tracking.naming import short_name
from artfs.tracking.unrecorded import UnrecordedVersion
from artfs.tracking.values import cache_folder, download_folder, environment
from artstore.errors import DamageError, InvalidInputError
from artstore.queries.versions import Version
from artstore.workspace import Workspace

if TYPE_CHECKING:
    from artstore.progress import Progress

__all__ = ["Cached", "cached", "clean_up", "copy_to_cache", "download"]

_COPY = "copy"
_MOUNT = "mount"
_PARTIAL = ".partial"


def download(workspace: Workspace, version: Version, root: str | os.PathLike[str] | None, prefix: str | None) -> str:
    """Return a folder that holds a version, or the part of it at ``prefix``, with its paths.

    With ``root`` it is a verified copy there, which may be changed.  Without, it is the version's folder on a mount
    that this process can reach, else a copy: in ``$ARTFS_ARTIFACT_DIR``, or in the cache.  ``ARTFS_DOWNLOAD=copy`` uses
    no mount, ``ARTFS_DOWNLOAD=mount`` only a mount.  Afterwards the cache has a link to a whole version by its digest.
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
            return copy_to_cache(workspace, version)
        place = folder / short_name(version.name)
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


def copy_to_cache(workspace: Workspace, version: Version, progress: Callable[[Progress], None] | None = None) -> str:
    """Return the cache's copy of a version, made if it is not there: whole, and verified up to its digest.

    Raises `DamageError` if its content does not have the digest that its record claims.
    With ``$ARTFS_CACHE_LIMIT`` the least recently used copies are removed until the cache fits.
    """
    folder = cache_folder()
    place = folder / version.digest
    if place.is_dir() and not place.is_symlink():
        with suppress(OSError):
            os.utime(place)  # used now: the least recently used goes first
        return str(place)
    current = workspace.version(version.name)
    if current.digest != version.digest:  # content was purged from it
        return copy_to_cache(workspace, current, progress)
    folder.mkdir(parents=True, exist_ok=True)
    if place.is_symlink():
        place.unlink(missing_ok=True)
    partial = Path(mkdtemp(_PARTIAL, f".{version.digest}.", folder))
    try:
        workspace.get(version.name, partial, progress=progress)
        if not version.is_proved():
            raise DamageError(
                f"the content of {version.name} in {workspace.path} does not have the digest that its record claims",
                hint="artfs fsck --data",
            )
        partial.chmod(0o755)
        partial.rename(place)
    except OSError:
        shutil.rmtree(partial, ignore_errors=True)
        if not place.is_dir():
            raise
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    limit = environment("CACHE_LIMIT")
    if limit is not None:
        clean_up(_limit(limit), keep=version.digest)
    return str(place)


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
        gone = folder / f".{copy.digest.strip('.')}.{time.time_ns()}{_PARTIAL}"
        with suppress(FileNotFoundError):
            place.rename(gone)  # hidden at once: a reader never finds half of it
            shutil.rmtree(gone)
            copies += 1
            freed += copy.bytes
    return copies, freed
