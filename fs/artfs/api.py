"""The Python API with mounting, as `import artfs` provides it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import artstore.workspace

if TYPE_CHECKING:
    from artfs.mount.control import MountHandle

__all__ = ["Workspace", "init_workspace", "open_workspace"]


class Workspace(artstore.workspace.Workspace):
    """One workspace; made by `open_workspace` and `init_workspace`."""

    __slots__ = ()

    def mount(
        self,
        directory: str | os.PathLike[str],
        *,
        workers: int | None = None,
        allow_other: bool = False,
        umask: int = 0,
        readable: bool = False,
        uid: int | None = None,
        gid: int | None = None,
    ) -> MountHandle:
        """Mount the workspace at an empty folder; the mount ends with the ``with`` block.

            with ws.mount("/mnt/art") as m:
                train(m.path(ws.version("imagenet")))

        Files belong to this user (the workspace's owner if root mounts), or to ``uid`` and ``gid``, and have the
        permission bits that they were put with: without those in ``umask``, and with read permission for all if
        ``readable``.  The daemon serves this mount only, and ends with this process at the latest.  Raises `MountError`
        if FUSE is unavailable.
        """
        from artfs.mount.control import mount

        return mount(
            self.path,
            directory,
            workers=workers,
            allow_other=allow_other,
            umask=umask,
            readable=readable,
            uid=uid,
            gid=gid,
            tied=True,
        )


def open_workspace(path: str | os.PathLike[str] | None = None, *, create: bool = False) -> Workspace:
    """Open the workspace at ``path``, else the one that the command line would use.

    That is ``$ARTFS_WORKSPACE``, else the default that ``artfs init DIR --default`` stored, else
    ``~/.local/share/artfs``.  If there is none, ``create`` makes it, as ``artfs put`` does; otherwise raises
    `WorkspaceNotFoundError`.
    """
    return Workspace(artstore.workspace.open_workspace(path, create=create).store)


def init_workspace(path: str | os.PathLike[str] | None = None, *, group: str | None = None) -> Workspace:
    """Make a workspace at ``path`` (else where `open_workspace` looks) and open it.

    ``group`` shares it with a Unix group.  Raises `ExistsError` if something else exists there.
    """
    return Workspace(artstore.workspace.init_workspace(path, group=group).store)
