"""Eviction: the decision that what is open under a mount need not be kept.

Only the user who runs the mount, the owner of the workspace and root may decide that: files that are open there fail
from then on, with ESTALE.  Other mounts, and files that are open through the Python API, are kept as always.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from artstore import beneath
from artstore.daemons import is_held, recorded_daemons, user_name
from artstore.errors import NotFoundError, RefusedError
from artstore.store import Store

__all__ = ["daemons_to_evict"]


def daemons_to_evict(store: Store, mounts: Iterable[str | os.PathLike[str]]) -> frozenset[str]:
    """Return the ids of the daemons that serve ``mounts``, which are folders.

    Raises `NotFoundError` if the workspace is not mounted at one, `RefusedError` if this user may not evict its daemon.
    """
    may_evict_all = os.geteuid() in (0, beneath.status(store.path, "").st_uid)
    live = [info for run_file, info in recorded_daemons(store.run_dir) if is_held(run_file)]
    found = set()
    for mount in mounts:
        folder = os.path.abspath(os.fsdecode(mount))
        serving = [info for info in live if info.mountpoint == folder]
        if not serving:
            raise NotFoundError(f"the workspace is not mounted at {folder}", hint="artfs status lists its mounts")
        for info in serving:
            if not may_evict_all and info.uid != os.geteuid():
                raise RefusedError(
                    f"the mount {folder} belongs to {user_name(info.uid)}",
                    hint="only that user, the owner of the workspace and root may evict it",
                )
            found.add(info.id)
    return frozenset(found)
