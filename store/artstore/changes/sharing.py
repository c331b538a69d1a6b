"""Sharing an existing workspace with a group, or making it private again.

Folders are changed before what lies in them, because a file takes the group of its folder when it is made.  The mode
of the workspace's own folder says whether it is shared.  It is changed last when the workspace is shared, so that files
that are not changed yet are judged by their owner, and first when it is not shared any more.  Processes that use the
workspace read that mode whenever they make a file; a second pass changes what they made with the mode before.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from artstore import beneath
from artstore.arguments import shown_value
from artstore.creating import group_number
from artstore.errors import InvalidInputError, RefusedError
from artstore.records.identity import IDENTITY
from artstore.storage import disk
from artstore.storage.manifest_folders import FORMAT
from artstore.storage.modes import file_mode, folder_mode
from artstore.store import Store, read_identity

__all__ = ["Sharing", "share"]

_NAMED: Final = 5


@dataclass(frozen=True, slots=True)
class Sharing:
    """Whom a workspace is shared with: a group's name or None, and how many files and folders were changed."""

    group: str | None
    changed: int


def share(store: Store, group: str | None, owner_to_be: tuple[int, int] | None = None) -> Sharing:
    """Share a workspace with a group, or with ``group`` None make it its owner's alone.

    With ``owner_to_be``, a pair (uid, gid), everything is given to that user, which only root may.  An interrupted call
    is finished by the next one.  Raises `NotFoundError` for an unknown group, and `RefusedError`, before anything is
    changed, if this user does not own the workspace, is not a member of the group, or cannot change files that others
    have made, which the message names.
    """
    if owner_to_be is not None and not (isinstance(owner_to_be, tuple) and len(owner_to_be) == 2):
        raise InvalidInputError(f"the owner must be a pair (uid, gid), not {shown_value(owner_to_be)}")
    uid, own = owner_to_be or (None, os.getegid())
    gid = own if group is None else group_number(group)
    root = store.path
    owner = root.stat().st_uid
    if os.geteuid() not in (0, owner):
        raise RefusedError(f"the workspace {root} can be shared by its owner only, user {owner}")
    if os.geteuid() != 0:
        _refuse_files_of_others(root, owner)
        _refuse_foreign_group(gid, group)
    identity = replace(read_identity(root), group=group)
    plan = _Plan(root, gid, uid, is_shared=group is not None)
    with store.write():  # one at a time
        if uid is not None:  # first: files of root are accepted in the folder of any owner, others' in root's are not
            with beneath.closing(beneath.open_folder(root)) as fd:
                os.fchown(fd, uid, -1)
        if group is None:
            changed = plan.change("")
            disk.write_file(root, root / IDENTITY, identity.encode(FORMAT), 0o600)
            changed += plan.change_content() + plan.change_content()
        else:
            changed = plan.change_content() + plan.change("")
            disk.write_file(root, root / IDENTITY, identity.encode(FORMAT), 0o660)
            changed += plan.change_content()
    return Sharing(group, changed)


class _Plan:
    """The group, owner and mode that everything in a workspace gets."""

    def __init__(self, root: Path, gid: int, uid: int | None, *, is_shared: bool) -> None:
        self._root = root
        self._gid = gid
        self._uid = uid
        self._is_shared = is_shared

    def change_content(self, folder: str = "") -> int:
        """Change what lies in a folder, each folder before its content; return how much was changed."""
        changed = 0
        for name in sorted(beneath.names(self._root, folder)):
            path = f"{folder}/{name}" if folder else name
            try:
                kind = stat.S_IFMT(beneath.status(self._root, path).st_mode)
                if kind in (stat.S_IFREG, stat.S_IFDIR):
                    changed += self.change(path)
                if kind == stat.S_IFDIR:
                    changed += self.change_content(path)
            except FileNotFoundError:
                continue  # another process removed it
        return changed

    def change(self, path: str) -> int:
        """Give one file or folder its owner, group and mode; return 1 if it had others."""
        is_folder = not path or beneath.is_folder(self._root, path)
        opened = beneath.open_folder(self._root, path) if is_folder else beneath.open_file(self._root, path)
        with beneath.closing(opened) as fd:
            found = os.fstat(fd)
            mode = (folder_mode if is_folder else file_mode)(path, is_shared=self._is_shared)
            uid = found.st_uid if self._uid is None else self._uid
            if (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (uid, self._gid, mode):
                return 0
            os.fchown(fd, uid if uid != found.st_uid else -1, self._gid)
            os.fchmod(fd, mode)
        return 1


def _refuse_files_of_others(root: Path, owner: int) -> None:
    others = list(_files_of_others(root, owner))
    if others:
        named = ", ".join(sorted(others)[:_NAMED]) + (
            f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
        )
        raise RefusedError(
            f"files in {root} belong to other users, and only root can change them: {named}",
            hint=f"as root: chown -R {owner} {root}",
        )


def _files_of_others(root: Path, owner: int) -> Iterator[str]:
    for path, found in beneath.walk(root):
        if found.st_uid != owner and stat.S_IFMT(found.st_mode) in (stat.S_IFREG, stat.S_IFDIR):
            yield path


def _refuse_foreign_group(gid: int, group: str | None) -> None:
    if gid not in (os.getegid(), *os.getgroups()):
        raise RefusedError(
            f"a workspace cannot be shared with the group {group!r}, of which its owner is not a member",
            hint=f"as root: usermod -aG {group} USER, then log in again",
        )
