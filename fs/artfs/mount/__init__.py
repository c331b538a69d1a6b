"""Mounts: every version of every artifact as a folder.

The functions and types here are those of `artfs.mount.control` and related modules, loaded at their first use; none of
them loads a FUSE binding or an event loop.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from artfs.mount.control import mount, mount_for, status, unmount
    from artfs.mount.handle import MountHandle
    from artfs.mount.reports import FollowedRemote, MountStatus, ReaperStatus, WorkerStatus

__all__ = [
    "FollowedRemote",
    "MountHandle",
    "MountStatus",
    "ReaperStatus",
    "WorkerStatus",
    "mount",
    "mount_for",
    "status",
    "unmount",
]

_HOMES = {
    "FollowedRemote": "reports",
    "MountHandle": "handle",
    "MountStatus": "reports",
    "ReaperStatus": "reports",
    "WorkerStatus": "reports",
    "mount": "control",
    "mount_for": "control",
    "status": "control",
    "unmount": "control",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value
