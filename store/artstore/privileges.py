"""Giving up root's rights before a workspace of another user is touched.

A user who may write to a workspace can put anything at any path in it, and the records in it say what that user likes:
which files outside it refers to, which daemon serves it.  Root's process that works there could be led to use rights
that the user does not have.  So it becomes the owner of the workspace first, or has a child that does, and is refused
the workspace otherwise (`refuse_root`).

What a process gives up with its uid and gid: supplementary groups, the umask, the environment (credentials in it would
be used for whatever the records of the workspace refer to), and descriptors, which `become` keeps and `close_all`
closes.  Other processes of the owner cannot trace it or read its memory.  The owner may not be able to read the files
of root's interpreter, so what is still to be imported must be imported before.
"""

from __future__ import annotations

import ctypes
import os
import pwd
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Final, Self

from artstore import beneath
from artstore.errors import NotFoundError, RefusedError

__all__ = ["Owner", "close_all", "gave_up", "import_modules", "refuse_root", "refused"]

PathLike = str | os.PathLike[str]

_KEPT: Final = frozenset(
    {
        *("ARTFS_DEBUG", "ARTFS_PROJECT", "COLUMNS", "FORCE_COLOR", "LANG", "LANGUAGE", "LINES", "NO_COLOR", "PATH"),
        *("TERM", "TZ"),
    }
)
_UMASK: Final = 0o077
_IMPORTED_LATER: Final = (
    *("_strptime", "configparser", "encodings.idna", "multiprocessing.connection", "obstore.exceptions"),
    *("obstore.store", "pathspec", "platformdirs", "platformdirs.unix", "subprocess", "tempfile"),
)
"""Modules of others that this package imports in functions; a test keeps the list complete."""
_PR_SET_DUMPABLE: Final = 4
_libc: Final = ctypes.CDLL(None, use_errno=True)
_gave_up = False


@dataclass(frozen=True, slots=True)
class Owner:
    """A user to work as: ``name`` and ``home`` are empty for one that passwd does not list."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    name: str = ""
    home: str = ""

    @classmethod
    def of(cls, workspace: PathLike) -> Self:
        """Return the user as whom to work in a workspace: its owner if this process is root's, else its own user."""
        return cls.of_another(workspace) or cls(os.geteuid(), os.getegid(), tuple(os.getgroups()))

    @classmethod
    def of_another(cls, workspace: PathLike) -> Self | None:
        """Return the owner of a folder if this process is root's and the folder is not, else None."""
        if os.geteuid() != 0:
            return None
        try:
            with beneath.closing(os.open(workspace, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)) as fd:
                folder = os.fstat(fd)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return None if folder.st_uid == 0 else cls._numbered(folder.st_uid, folder.st_gid)

    @classmethod
    def named(cls, name: str) -> Self:
        """Return a user by the name; raise `NotFoundError` if there is none."""
        try:
            return cls._numbered(pwd.getpwnam(name).pw_uid)
        except (KeyError, ValueError) as error:
            raise NotFoundError(f"there is no user {name!r}", hint="list them: getent passwd") from error

    @classmethod
    def _numbered(cls, uid: int, group: int | None = None) -> Self:
        """Return a user with the groups that a login gives, and the group of a workspace."""
        more = set() if group is None else {group}
        try:
            user = pwd.getpwuid(uid)
        except KeyError:
            gid = uid if group is None else group
            return cls(uid, gid, (gid,))
        groups = {*os.getgrouplist(user.pw_name, user.pw_gid), *more}
        return cls(uid, user.pw_gid, tuple(sorted(groups)), user.pw_name, user.pw_dir)

    @property
    def shown_name(self) -> str:
        """The name for messages."""
        return self.name or f"user {self.uid}"

    @property
    def sudo_name(self) -> str:
        """The name that ``sudo -u`` takes, as a shell reads it."""
        return self.name or f"'#{self.uid}'"

    def become(self) -> None:
        """Give up the rights and the environment of root for good; no effect in a process of this user.

        Guarantees: no other process of the user can trace this one.  Descriptors stay open.
        """
        if os.geteuid() == self.uid:
            return
        global _gave_up
        os.setgroups(self.groups)
        os.setresgid(self.gid, self.gid, self.gid)
        os.setresuid(self.uid, self.uid, self.uid)
        if _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl failed")
        os.umask(_UMASK)
        self._replace_environment()
        _gave_up = True

    def _replace_environment(self) -> None:
        for name in list(os.environ):
            if name not in _KEPT and not name.startswith("LC_"):
                del os.environ[name]
        os.environ["HOME"] = self.home or "/"
        if self.name:
            os.environ["USER"] = os.environ["LOGNAME"] = self.name
        run_time = f"/run/user/{self.uid}"
        if beneath.is_private(Path(run_time), self.uid):
            os.environ["XDG_RUNTIME_DIR"] = run_time


def gave_up() -> bool:
    """Return whether this process, or the one that it was forked from, has given up root's rights.

    Its user may not be able to run the interpreter that it runs.
    """
    return _gave_up


def import_modules(package: ModuleType, *others: str, without: tuple[str, ...] = ()) -> None:
    """Import all modules of a package, but those whose names begin with one in ``without``, and others by name.

    For a process that is about to become a user who may not be able to read the files of root's interpreter.
    """
    import pkgutil  # every command imports this module, and hardly any needs that one

    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not module.name.startswith(without):
            others = (*others, module.name)
    for name in (*others, *_IMPORTED_LATER):
        with suppress(Exception):  # an optional one, or a broken one: what needs it reports that
            import_module(name)


def close_all(*kept: int) -> None:
    """Close all descriptors but the three standard ones and those in ``kept``."""
    first = 3
    for descriptor in sorted(kept):
        os.closerange(first, descriptor)
        first = descriptor + 1
    os.closerange(first, os.sysconf("SC_OPEN_MAX"))


def refuse_root(workspace: PathLike) -> None:
    """Raise `RefusedError` if this process is root's and the workspace is not."""
    if os.geteuid() == 0:
        owner = Owner.of_another(workspace)
        if owner is not None:
            raise refused(workspace, owner)


def refused(workspace: PathLike, owner: Owner) -> RefusedError:
    """Return the error for a workspace that root's process must not work in."""
    return RefusedError(
        f"the workspace {os.fspath(workspace)} belongs to {owner.shown_name}, and root may use it only as that user",
        hint=f"run it as that user: sudo -u {owner.sudo_name} artfs ...",
    )
