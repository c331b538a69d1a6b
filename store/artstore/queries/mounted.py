"""Paths on a mount of the workspace: find the stored node, so that a put can refer to it without reading bytes."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from artstore import daemons, locate
from artstore.errors import InvalidInputError
from artstore.names import is_pending, parse_version_label, version_label
from artstore.store import Store

__all__ = ["MOUNT_TYPE", "WORKSPACE_XATTR", "MountedPath", "mounted_folder", "mounted_path"]

MOUNT_TYPE: Final = "fuse.artfs"
WORKSPACE_XATTR: Final = "user.artfs.workspace"
"""The extended attribute of every directory of a mount that holds the workspace's uuid."""


class MountedPath(NamedTuple):
    """A path on a mount: the artifact's full name, the version's number, and the path inside the version."""

    name: str
    number: int
    path: bytes


def mounted_path(store: Store, path: str | os.PathLike[str]) -> MountedPath | None:
    """Return the version and path that a path on a mount of this workspace shows, None for any other path.

    Aliases are resolved.  The version may be gone already.  Raises `InvalidInputError` for a path on the mount above
    versions.
    """
    try:
        real = os.path.realpath(path, strict=True)
    except (OSError, ValueError):  # ValueError: a zero byte, or what no path can contain
        return None
    mount = locate.covering_mount(Path(real))
    if mount.fstype != MOUNT_TYPE:
        return None
    if not _is_of(store, mount):
        return None
    inside = os.path.join(mount.root, os.path.relpath(real, mount.path)).encode("utf-8", "surrogateescape")
    components = [part for part in inside.split(b"/") if part not in (b"", b".")]
    for depth, component in enumerate(components):
        if component.startswith(b"."):
            break  # a view above versions, below which names can look like versions
        number = parse_version_label(component.decode("utf-8", "replace"))
        if number is not None and depth:
            name = b"/".join(components[:depth]).decode("utf-8", "surrogateescape")
            if is_pending(number) and not _is_artifact(store, name):
                continue  # a project from before that form was reserved
            return MountedPath(name, number, b"/".join(components[depth + 1 :]))
    raise InvalidInputError(f"{os.fspath(path)!r} lies above the versions of a mount", hint="name a version in it")


def _is_artifact(store: Store, name: str) -> bool:
    with store.snapshot() as snapshot:
        found = snapshot.name_number(name)
    return found is not None and found[1]


def _is_of(store: Store, mount: locate.MountPoint) -> bool:
    """Return whether a mount shows this workspace: a copy of it has the same uuid, and another may claim to have it."""
    if not any(daemon.device == mount.device for daemon in daemons.live_daemons(store.run_dir)):
        return False
    with suppress(OSError):
        return os.getxattr(mount.path, WORKSPACE_XATTR) == store.uuid.encode()
    return False


def mounted_folder(store: Store, name: str, number: int) -> Path | None:
    """Return the folder of a version on a mount that this process can reach, or None."""
    for daemon in daemons.live_daemons(store.run_dir):
        folder = Path(daemon.mountpoint, name, version_label(number))
        with suppress(OSError, InvalidInputError):
            place = mounted_path(store, folder)  # another mount may be there by now, or in this namespace
            if place is not None and (place.name, place.number) == (name, number):
                return folder
    return None
