"""The configuration that the mounting process passes to the daemon, as one JSON argument."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import Self

from artstore.privileges import Owner

__all__ = ["LIFELINE", "PYFUSE3_INSTALL", "READY", "TRANSPORTS", "Configuration", "default_workers"]

TRANSPORTS = {"auto": ("direct", "pyfuse3"), "direct": ("direct",), "pyfuse3": ("pyfuse3",)}
"""Transports by the name that users give: the first one that this kernel supports is taken."""

PYFUSE3_INSTALL = "apt install libfuse3-dev pkg-config gcc python3-dev, then pip install 'artfs[pyfuse3]'"
"""What installs the second transport, an extra because pip compiles it."""

READY = 3
LIFELINE = 4
"""Descriptors that a daemon inherits: for its report, and to detect the end of the process that it is tied to."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """Describe the mount to be made; all paths are absolute, as `os.fsdecode` returns them.

    ``run_dir`` is the folder of run files: the workspace's, or the user's own if that is on a read-only file system.
    ``owner`` is the user as whom to work there: it is found once, because the path may lead to another folder later.
    ``umask``, ``readable``, ``uid`` and ``gid`` define the modes and the owners that it shows (see
    `artfs.mount.attributes.Modes` and `artfs.mount.ownership.Shown`).  ``lane`` is the path of the fast lane's program,
    "" to serve without it.  ``ready`` is the descriptor for the report, ``lifeline`` one whose end of file unmounts (-1
    for a daemon that stays).
    """

    id: str
    workspace: str
    run_dir: str
    directory: str
    workers: int
    allow_other: bool
    transport: str
    low_latency: bool
    lane: str
    umask: int
    readable: bool
    uid: int | None
    gid: int | None
    ready: int
    lifeline: int
    owner: Owner

    def encode(self) -> str:
        """Return the argument."""
        return json.dumps(asdict(self))

    @classmethod
    def decode(cls, argument: str) -> Self:
        """Return the configuration that `encode` was called on."""
        values = json.loads(argument)
        owner = values.pop("owner")
        return cls(**values, owner=Owner(**{**owner, "groups": tuple(owner["groups"])}))


def default_workers() -> int:
    """Return the default number of workers of a mount: one for each core, at least 2 and at most 8."""
    return max(2, min(8, len(os.sched_getaffinity(0))))
