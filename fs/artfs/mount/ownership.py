"""The user that a daemon runs as, and the one to whom the mount's files belong.

If root mounts another user's workspace, the daemon becomes that user.
"""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from typing import Self

__all__ = ["Owner", "Shown"]


@dataclass(frozen=True, slots=True)
class Owner:
    """The user who may read the workspace, with the groups."""

    uid: int
    gid: int
    groups: tuple[int, ...]

    @classmethod
    def of(cls, workspace: str) -> Self:
        """Return the workspace's owner if this process runs as root, else the current user."""
        status = os.stat(workspace)
        if os.geteuid() != 0 or status.st_uid == 0:
            return cls(os.geteuid(), os.getegid(), tuple(os.getgroups()))
        try:
            user = pwd.getpwuid(status.st_uid)
        except KeyError:
            return cls(status.st_uid, status.st_gid, (status.st_gid,))
        groups = os.getgrouplist(user.pw_name, user.pw_gid)
        return cls(status.st_uid, user.pw_gid, tuple(sorted({*groups, status.st_gid})))

    def become(self) -> None:
        """Give up root's rights permanently; no effect in a process that runs as this user already."""
        if os.geteuid() == self.uid:
            return
        os.setgroups(self.groups)
        os.setresgid(self.gid, self.gid, self.gid)
        os.setresuid(self.uid, self.uid, self.uid)


@dataclass(frozen=True, slots=True)
class Shown:
    """The user and the group that a mount shows as the owners of everything."""

    uid: int
    gid: int

    @classmethod
    def of(cls, workspace: str, uid: int | None, gid: int | None) -> Self:
        """Return those of the workspace's folder if this process runs as root, else the current user's.

        ``uid`` and ``gid`` take precedence.
        """
        if os.geteuid() == 0:
            status = os.stat(workspace)
            owner, group = status.st_uid, status.st_gid
        else:
            owner, group = os.getuid(), os.getgid()
        return cls(owner if uid is None else uid, group if gid is None else gid)
