"""Where the content of a version is for a program: on a mount, in the cache, or in a copy of its own."""

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
from artfs.tracking.values import cache_folder, download_folder, environment
from artstore.errors import InvalidInputError
from artstore.queries.versions import Version
from artstore.workspace import Workspace

if TYPE_CHECKING:
    from artstore.ingest.pipeline import Progress

__all__ = ["Cached", "cached", "clean_up", "copy_to_cache", "download"]

_COPY = "copy"
_MOUNT = "mount"
_PARTIAL = ".partial"


def download(workspace: Workspace, version: Version, root: str | os.PathLike[str] | None, prefix: str | None) -> str:
    """Return a folder that holds a version, or the part of it at ``prefix``, with its paths.

    With ``root`` a copy is made there, verified, which may be written.  Without, it is the version's folder on a mount
    that this process can reach, else a copy: in ``$ARTFS_ARTIFACT_DIR``, or in the cache.  ``ARTFS_DOWNLOAD=copy``
    takes no mount, ``mount`` nothing else.  Afterwards the cache leads to a whole version by its digest.
    """
    if root is not None:
        workspace.get(version.name, root, prefix=prefix or None, overwrite=True)
        return os.path.abspath(os.fspath(root))
    wish = os.environ.get("ARTFS_DOWNLOAD", "")
    if wish not in ("", _COPY, _MOUNT):
        raise InvalidInputError(f"ARTFS_DOWNLOAD is {wish!r}, and can be 'copy' or 'mount'")
    place = None if wish == _COPY else workspace.mounted_folder(version)
    if place is None and wish == _MOUNT:
        raise InvalidInputError(
            "ARTFS_DOWNLOAD asks for a mount, and the workspace is not mounted", hint="mount it: artfs mount DIR"
        )
    if place is None:
        folder = download_folder()
        if folder is None:
            return copy_to_cache(workspace, version)
        place = folder / short_name(version.name)
        workspace.get(version.name, place, prefix=prefix or None, overwrite=True)
        if prefix:
            return str(place)
    _lead(version.digest, place)
    return str(place)


def _lead(digest: str, place: Path) -> None:
    """Let the cache lead to a folder that holds a version; a cache that cannot be written is none."""
    link = cache_folder() / digest
    if link.is_dir() and not link.is_symlink():
        return  # a copy of the cache's own
    with suppress(OSError):
        link.parent.mkdir(parents=True, exist_ok=True)
        beside = link.with_name(f".{digest}.{os.getpid()}.link")
        with suppress(FileNotFoundError):
            beside.unlink()
        beside.symlink_to(place)
        beside.replace(link)


def copy_to_cache(workspace: Workspace, version: Version, progress: Callable[[Progress], None] | None = None) -> str:
    """Return the cache's copy of a version, made if it is not there: whole, and verified.

    What was used longest ago goes where ``$ARTFS_CACHE_LIMIT`` says how much the cache may take.
    """
    folder = cache_folder()
    place = folder / version.digest
    if place.is_dir() and not place.is_symlink():
        with suppress(OSError):
            os.utime(place)  # used now: what was used longest ago goes first
        return str(place)
    folder.mkdir(parents=True, exist_ok=True)
    if place.is_symlink():
        place.unlink(missing_ok=True)
    partial = Path(mkdtemp(_PARTIAL, f".{version.digest}.", folder))
    try:
        workspace.get(version.name, partial, progress=progress)
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
        raise InvalidInputError(f"ARTFS_CACHE_LIMIT is {text!r}, and must be a size such as 50GB")
    return number


@dataclass(frozen=True, slots=True)
class Cached:
    """A version in the cache: its digest, where that leads, the bytes that it takes here, and when it was last used."""

    digest: str
    path: str
    bytes: int
    used_at: float
    is_link: bool


def cached() -> Iterator[Cached]:
    """Yield what the cache has."""
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
    """Remove what was used longest ago until the cache takes ``limit`` bytes at most, and links that lead nowhere.

    The copy of the digest to ``keep`` stays.  Returns (copies removed, bytes that came back).
    """
    found = sorted(cached(), key=lambda one: one.used_at)
    total = sum(one.bytes for one in found)
    copies = freed = 0
    folder = cache_folder()
    for one in found:
        place = folder / one.digest
        if one.is_link:
            if not place.exists():
                with suppress(FileNotFoundError):
                    place.unlink()
            continue
        if total - freed <= limit or one.digest == keep:
            continue
        gone = folder / f".{one.digest.strip('.')}.{time.time_ns()}{_PARTIAL}"
        with suppress(FileNotFoundError):
            place.rename(gone)  # out of sight at once: nobody finds half of it
            shutil.rmtree(gone)
            copies += 1
            freed += one.bytes
    return copies, freed
