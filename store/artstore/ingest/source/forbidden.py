"""The folders that a source must not hold."""

from __future__ import annotations

import os

from artstore import daemons
from artstore.ingest.source.entries import Identity
from artstore.store import Store

__all__ = ["forbidden_folders"]


def forbidden_folders(store: Store) -> dict[Identity, str]:
    """Return the folders that a source must not hold: the workspace, and where it is mounted."""
    status = store.path.stat()
    folders = {(status.st_dev, status.st_ino): f"the folder contains the workspace {store.path}"}
    for daemon in daemons.live_daemons(store.run_dir):
        major, _, minor = daemon.device.partition(":")
        device = os.makedev(int(major), int(minor))
        folders[device, 1] = f"the folder contains {daemon.mountpoint}, a mount of the same workspace"
    return folders
