"""Keep a mount namespace in which three users exist and may mount, until standard input ends.

Usage: python -I namespace.py FOLDER FUSE_CONF PATH...

Nothing of the machine changes: the device that every user may open, passwd, group, fuse.conf, the run-time folders and
the way to each PATH (the interpreter, the packages, FOLDER) exist only in the namespace, and end with its last process.
The folders of the users are in FOLDER.  Prints "ready" when all is in place.
"""

from __future__ import annotations

import ctypes
import os
import stat
import sys
from pathlib import Path
from typing import Final

GROUP: Final = ("artgrp", 62000)
USERS: Final = {"alice": 61001, "bob": 61002, "carol": 61003}
"""The names by which tests call them: the accounts are ``artalice`` and so on."""
MEMBERS: Final = ("alice", "bob")
"""The members of the group; carol is in none but her own."""

_CLONE_NEWNS = 0x00020000
_MS_REC, _MS_PRIVATE, _MS_BIND = 0x4000, 1 << 18, 0x1000
_libc = ctypes.CDLL(None, use_errno=True)


def account(user: str) -> str:
    """Return the name of a user's account."""
    return f"art{user}"


def home_of(folder: str, user: str) -> str:
    """Return the home of a user."""
    return f"{folder}/{user}"


def run_dir_of(user: str) -> str:
    """Return the run-time folder of a user."""
    return f"/run/user/{USERS[user]}"


def main() -> None:
    folder, fuse_conf, *paths = sys.argv[1:]
    os.umask(0o022)
    system = f"{folder}/system"
    os.mkdir(system)
    for user, number in USERS.items():
        _private(home_of(folder, user), number)
    _check(_libc.unshare(_CLONE_NEWNS))
    _mount("none", "/", flags=_MS_REC | _MS_PRIVATE)
    _mount("tmpfs", system, "tmpfs", options="mode=0755")
    os.mknod(f"{system}/fuse", stat.S_IFCHR, os.stat("/dev/fuse").st_rdev)
    os.chmod(f"{system}/fuse", 0o666)
    _mount(f"{system}/fuse", "/dev/fuse", flags=_MS_BIND)
    for target, content in _accounts(folder).items():
        _cover(system, target, content)
    _cover(system, "/etc/fuse.conf", fuse_conf)
    _mount("tmpfs", "/run/user" if os.path.isdir("/run/user") else "/run", "tmpfs", options="mode=0755")
    for user, number in USERS.items():
        os.makedirs(os.path.dirname(run_dir_of(user)), exist_ok=True)
        _private(run_dir_of(user), number)
    _make_reachable([Path(folder), *map(Path, paths)])
    print("ready", flush=True)
    sys.stdin.read()


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    _check(_libc.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), options.encode()))


def _private(folder: str, number: int) -> None:
    os.mkdir(folder, 0o700)
    os.chown(folder, number, number)


def _accounts(folder: str) -> dict[str, str]:
    """Return passwd and group of the machine with the users added."""
    passwd, group = (Path(f"/etc/{name}").read_text().rstrip("\n") + "\n" for name in ("passwd", "group"))
    for user, number in USERS.items():
        passwd += f"{account(user)}:x:{number}:{number}::{home_of(folder, user)}:/bin/sh\n"
        group += f"{account(user)}:x:{number}:\n"
    name, number = GROUP
    group += f"{name}:x:{number}:{','.join(map(account, MEMBERS))}\n"
    return {"/etc/passwd": passwd, "/etc/group": group}


def _cover(system: str, target: str, content: str) -> None:
    """Lay a file over another."""
    cover = Path(system, os.path.basename(target))
    cover.write_text(content)
    _mount(str(cover), target, flags=_MS_BIND)


def _make_reachable(folders: list[Path]) -> None:
    """Make the folders reachable for all users: mount an open file system over each closed parent, and bind them in."""
    held = {folder: os.open(folder, os.O_PATH | os.O_DIRECTORY) for folder in sorted(set(folders))}
    for folder, descriptor in held.items():
        for ancestor in reversed(folder.parents):
            if ancestor.exists() and not ancestor.stat().st_mode & stat.S_IXOTH:
                _mount("tmpfs", str(ancestor), "tmpfs", options="mode=0755")
        if not folder.exists():  # something was laid over it, for this folder or for one before
            folder.mkdir(parents=True)
            _mount(f"/proc/self/fd/{descriptor}", str(folder), flags=_MS_BIND | _MS_REC)
        os.close(descriptor)


if __name__ == "__main__":
    main()
