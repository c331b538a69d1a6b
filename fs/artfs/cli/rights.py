"""With whose rights a command works, if root runs it on the workspace of another user.

`RIGHTS` has every command.  A command that works in the workspace alone becomes the owner first; one that also reads or
writes root's own files is refused, because root's rights and the records of the workspace must not meet in one process.
"""

from __future__ import annotations

import os
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Final

from artfs.cli.session import Session

if TYPE_CHECKING:
    from artstore.privileges import Owner

__all__ = ["RIGHTS", "Rights", "become_owner", "import_all", "owner_to_give", "require_owner", "settle"]


class Rights(Enum):
    """With whose rights root's process runs a command on another user's workspace."""

    OWNER = "it becomes the owner"
    SPLIT = "root's process does what is outside, and a child that is the owner what is inside"
    REFUSED = "the workspace is refused when it is opened"
    OUTSIDE = "nothing in another user's workspace is touched"


_OWNER, _REFUSED = Rights.OWNER, Rights.REFUSED
RIGHTS: Final = {
    "init": Rights.OUTSIDE,
    "put": _REFUSED,
    "restore": _OWNER,
    "draft new": _OWNER,
    "draft add": _REFUSED,
    "draft rm": _OWNER,
    "draft mv": _OWNER,
    "draft status": _OWNER,
    "draft commit": _OWNER,
    "draft abort": _OWNER,
    "draft ls": _OWNER,
    "ref add": _REFUSED,
    "ref ls": _OWNER,
    "ref check": _OWNER,
    "ref pin": _OWNER,
    "path": _OWNER,
    "ls": _OWNER,
    "find": _OWNER,
    "show": _OWNER,
    "log": _OWNER,
    "diff": _OWNER,
    "cat": _OWNER,
    "get": _REFUSED,
    "warm": _OWNER,
    "cache info": _OWNER,
    "cache cleanup": _OWNER,
    "cache preload": _OWNER,
    "mount": Rights.SPLIT,
    "umount": Rights.SPLIT,
    "status": _OWNER,
    "ui": _REFUSED,
    "alias set": _OWNER,
    "alias rm": _OWNER,
    "alias ls": _OWNER,
    "alias log": _OWNER,
    "tag add": _OWNER,
    "tag rm": _OWNER,
    "tag ls": _OWNER,
    "describe": _OWNER,
    "meta set": _OWNER,
    "meta rm": _OWNER,
    "meta log": _OWNER,
    "artifact set-type": _OWNER,
    "artifact rename": _OWNER,
    "artifact describe": _OWNER,
    "artifact put": _REFUSED,
    "artifact get": _REFUSED,
    "artifact ls": _OWNER,
    "artifact cache info": _OWNER,
    "artifact cache cleanup": _OWNER,
    "artifact cache preload": _OWNER,
    "link": _OWNER,
    "lineage": _OWNER,
    "run ls": _OWNER,
    "run show": _OWNER,
    "registry ls": _OWNER,
    "registry show": _OWNER,
    "registry find": _OWNER,
    "registry folds": _OWNER,
    "registry stats": _OWNER,
    "registry orphans": _OWNER,
    "registry purge": _OWNER,
    "registry trust": _REFUSED,
    "registry export": _REFUSED,
    "registry import": _REFUSED,
    "library ls": _OWNER,
    "library show": _OWNER,
    "library save": _REFUSED,
    "library load": _REFUSED,
    "library rm": _OWNER,
    "remote add": _REFUSED,
    "remote ls": _OWNER,
    "remote show": _OWNER,
    "remote check": _REFUSED,
    "remote rm": _OWNER,
    "push": _REFUSED,
    "fetch": _REFUSED,
    "pull": _REFUSED,
    "clone": Rights.OUTSIDE,
    "rm": _OWNER,
    "undelete": _OWNER,
    "gc": _OWNER,
    "retention set": _OWNER,
    "retention rm": _OWNER,
    "retention show": _OWNER,
    "retention ls": _OWNER,
    "retention plan": _OWNER,
    "retention apply": _OWNER,
    "retention ttl": _OWNER,
    "usage": _OWNER,
    "du": _OWNER,
    "metrics": _OWNER,
    "why": _OWNER,
    "fsck": _OWNER,
    "purge": _OWNER,
    "config": _OWNER,
    "doctor": _OWNER,
    "completion": Rights.OUTSIDE,
    "demo": Rights.OUTSIDE,
}
"""The rights of each command, in the order of the help; only root's process asks."""

_IMPORTED_LATER: Final = (
    "click.shell_completion",
    "pyfuse3",
    "rich.console",
    "rich.progress",
    "rich.table",
    "shutil",
    "yaml",
)
"""Modules of others that this package imports in functions; a test keeps the list complete."""
_NO_COMMAND: Final = (
    *("artfs.__main__", "artfs.filesystem", "artfs.mount.transports", "artfs.torch", "artfs.ui"),
    *("artfs.comparing.row_differences", "artfs.contents.child_program", "artfs.contents.table_"),
)
"""Modules that no command needs that becomes the owner; those of contents are for a child, which imports them."""


def settle(session: Session, command: str, directory: str | None = None) -> None:
    """Let root's process become the owner of another user's workspace, if the command works in the workspace alone.

    ``command`` is a name in `RIGHTS`; ``directory`` a mount that takes the place of the selected workspace.
    """
    if os.geteuid() != 0 or not session.is_process or RIGHTS[command] is not Rights.OWNER:
        return
    if directory is None:
        from artstore.locate import find_workspace

        become_owner(session, find_workspace(session.workspace))
    else:
        from artfs.mount import table

        point = table.at(table.resolve(directory))
        if point is not None:
            become_owner(session, Path(point.source))


def become_owner(session: Session, workspace: Path) -> None:
    """Become the owner of a workspace for the rest of the process, if the process is root's and the workspace is not.

    Raises `RefusedError` if the owner cannot reach the folder.
    """
    from artstore.errors import RefusedError
    from artstore.privileges import Owner

    owner = Owner.of_another(workspace)
    if owner is None:
        return
    workspace = Path(os.path.realpath(workspace))  # a link may lie where the owner may not go
    before = os.stat(workspace)
    _become(owner)
    session.workspace, session.gave_up_root = str(workspace), True
    try:
        is_reached = os.path.samestat(os.stat(workspace), before)
    except OSError:
        is_reached = False
    if not is_reached:
        raise RefusedError(
            f"the workspace {workspace} belongs to {owner.shown_name}, who cannot reach it, "
            "and root may use it only as that user",
            hint="let that user search the folders above it, or move it",
        )


def require_owner(session: Session, owner: str | None) -> None:
    """Become the user that ``--owner`` names, for a command that makes a workspace or shares it with a group.

    The members of a group can write to all that is in its workspace.  Raises `RefusedError` if root names no user, and
    if another user names one.
    """
    user = _named_owner(owner, required=True)
    if user is None:
        return
    if not session.is_process:
        from artstore.errors import RefusedError

        raise RefusedError("only root can create a workspace for another user", hint=f"run it as root, or as {owner}")
    _become(user)


def owner_to_give(owner: str | None, *, required: bool) -> tuple[int, int] | None:
    """Return (uid, gid) of the user that ``--owner`` names, to whom root's process gives its own workspace.

    None in a process of that user.  Raises what `require_owner` raises, but if no owner is ``required``.
    """
    user = _named_owner(owner, required=required)
    return None if user is None else (user.uid, user.gid)


def _named_owner(owner: str | None, *, required: bool) -> Owner | None:
    """Return the user that ``--owner`` names, or None if that is this process's user, or if none is named."""
    from artstore.errors import RefusedError
    from artstore.privileges import Owner

    if os.geteuid() == 0 and owner is None and required:
        raise RefusedError(
            "a workspace that root shares with a group needs another owner, because the group can write to it",
            hint="name one with --owner USER",
        )
    if owner is None or (user := Owner.named(owner)).uid == os.geteuid():
        return None
    if os.geteuid() != 0:
        raise RefusedError(
            "only root can create a workspace for another user, or give one away", hint=f"run it as root, or as {owner}"
        )
    return user


def _become(user: Owner) -> None:
    """Become a user for the rest of the process."""
    from artstore.privileges import close_all

    import_all()
    close_all()
    user.become()
    try:
        os.chdir(os.getcwd())  # a folder that the user may not enter is left
    except OSError:
        os.chdir("/")


def import_all() -> None:
    """Import what a command may need: its user may not be able to read the files of root's interpreter."""
    import artfs
    import artstore
    from artstore.privileges import import_modules

    import_modules(artstore)
    import_modules(artfs, *_IMPORTED_LATER, without=_NO_COMMAND)
