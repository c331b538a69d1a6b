"""Run code as a user without rights, in a mount namespace of its own in which such a user may use FUSE.

Usage: ordinary_user.py CODE FUSE_CONF

Nothing of the machine is changed: the device with open permissions, the fuse.conf and the way to the interpreter exist
only in the namespace, which ends with the process.  The code gets an empty folder of the user's as its argument.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import stat
import sys
import tempfile
from pathlib import Path

USER = pwd.getpwnam("nobody").pw_uid
_CLONE_NEWNS = 0x00020000
_MS_REC, _MS_PRIVATE, _MS_BIND = 0x4000, 1 << 18, 0x1000

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    _check(_libc.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), options.encode()))


def _enter_namespace(scratch: str, fuse_conf: str) -> None:
    _check(_libc.unshare(_CLONE_NEWNS))
    _mount("none", "/", flags=_MS_REC | _MS_PRIVATE)
    _mount("tmpfs", scratch, "tmpfs", options="mode=0755")
    device = f"{scratch}/fuse"
    os.mknod(device, stat.S_IFCHR | 0o666, os.stat("/dev/fuse").st_rdev)
    os.chmod(device, 0o666)
    _mount(device, "/dev/fuse", flags=_MS_BIND)
    if fuse_conf:
        Path(f"{scratch}/fuse.conf").write_text(fuse_conf)
        os.chmod(f"{scratch}/fuse.conf", 0o644)
        _mount(f"{scratch}/fuse.conf", "/etc/fuse.conf", flags=_MS_BIND)


def _make_reachable(folders: list[Path]) -> None:
    """Make the folders reachable for all users: mount an open file system over each closed parent, and bind them in."""
    held = {folder: os.open(folder, os.O_PATH | os.O_DIRECTORY) for folder in sorted(folders)}
    for folder, descriptor in held.items():
        for ancestor in reversed(folder.parents):
            if ancestor.exists() and not ancestor.stat().st_mode & stat.S_IXOTH:
                _mount("tmpfs", str(ancestor), "tmpfs", options="mode=0755")
        if not folder.exists():  # something was laid over it, for this folder or for one before
            folder.mkdir(parents=True)
            _mount(f"/proc/self/fd/{descriptor}", str(folder), flags=_MS_BIND)
        os.close(descriptor)


def main() -> None:
    code, fuse_conf = sys.argv[1:3]
    os.umask(0o022)
    with tempfile.TemporaryDirectory(prefix="art-ns-") as scratch:
        _enter_namespace(scratch, fuse_conf)
        _make_reachable(
            [Path(sys.base_prefix), Path(sys.prefix), *map(Path, os.environ["PYTHONPATH"].split(os.pathsep))]
        )
        home = f"{scratch}/home"
        os.mkdir(home, 0o700)
        os.chown(home, USER, USER)
        child = os.fork()
        if child == 0:
            os.setgroups([])
            os.setresgid(USER, USER, USER)
            os.setresuid(USER, USER, USER)
            environment = {**os.environ, "HOME": home, "XDG_RUNTIME_DIR": home}
            os.chdir(home)
            os.execve(sys.executable, [sys.executable, "-c", code, home], environment)
        status = os.waitpid(child, 0)[1]
        _libc.umount2(scratch.encode(), 2)
    sys.exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    if shutil.which("fusermount3") is None:
        sys.exit("fusermount3 is missing")
    main()
