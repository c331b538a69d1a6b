"""Opening the LMDB environment in a folder of a workspace.

LMDB opens its two files by path and follows links.  They are therefore opened and checked first, and LMDB is given a
private folder in which two links lead to these descriptors; it is removed when the environment is open.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import lmdb

from artstore import beneath
from artstore.errors import RefusedError

__all__ = ["DATA", "LOCK", "link_environment", "open_environment"]

_PREFIX: Final = "artfs-open-"
_ABANDONED_SECONDS: Final = 60.0
"""The age after which a private folder is removed if the process that made it is gone: opening takes milliseconds."""
DATA: Final = "data.mdb"
LOCK: Final = "lock.mdb"


def open_environment(
    root: Path, folder: Path, file_mode: int, *, new: bool = False, **options: Any
) -> lmdb.Environment:
    """Open the environment in ``folder``, which lies beneath ``root``; ``options`` are those of `lmdb.open`.

    A missing lock file is created with ``file_mode``, unless ``lock=False``; missing data only if the environment is
    ``new``, else FileNotFoundError.  Raises `RefusedError` as `beneath.open_file` does, and LMDB's errors.
    """
    with ExitStack() as stack:
        descriptors = {}
        for name in (DATA, LOCK) if options.get("lock", True) else (DATA,):
            descriptors[name] = _descriptor(root, folder / name, file_mode, make=new or name == LOCK)
            stack.callback(os.close, descriptors[name])
        private = stack.enter_context(_private_folder(root, folder, descriptors))
        try:
            return lmdb.open(private, create=False, **options)
        except lmdb.Error as error:
            error.args = tuple(
                each.replace(private, os.fspath(folder)) if isinstance(each, str) else each for each in error.args
            )
            raise


def link_environment(root: Path, folder: Path) -> tuple[str, list[int]]:
    """Return a private folder through which another program can open the environment, and what the links there lead to.

    The program inherits the descriptors under their numbers, and removes the folder.  Raises FileNotFoundError if a
    file is missing, and `RefusedError` if there is no place for the folder, or as `beneath.open_file` does.
    """
    descriptors: dict[str, int] = {}
    try:
        for name in (DATA, LOCK):
            descriptors[name] = beneath.open_path(root, folder / name)
        for place in _places():
            private = _make_private(place)
            if private is None:
                continue
            if _link(private, descriptors):
                return private, list(descriptors.values())
            _remove_private(private)
        raise RefusedError(f"there is no folder for temporary files through which {folder} can be opened")
    except BaseException:
        for descriptor in descriptors.values():
            os.close(descriptor)
        raise


def _descriptor(root: Path, path: Path, file_mode: int, *, make: bool) -> int:
    """Return a descriptor that names a file without opening it: closing another would release LMDB's locks on it."""
    try:
        return beneath.open_path(root, path)
    except FileNotFoundError:
        if not make:
            raise
    with suppress(FileExistsError):
        made = beneath.open_file(root, path, os.O_RDWR | os.O_CREAT | os.O_EXCL, file_mode)
        os.fchmod(made, file_mode)  # LMDB would apply the umask, which may keep the group out
        os.close(made)
    return beneath.open_path(root, path)


@contextmanager
def _private_folder(root: Path, folder: Path, descriptors: dict[str, int]) -> Iterator[str]:
    """Yield a folder that only this user may enter, with links to the descriptors; removed at the end."""
    for place in _places():
        private = _make_private(place)
        if private is None:
            continue
        try:
            if _link(private, descriptors):
                yield private
                return
        finally:
            _remove_private(private)
    status = os.stat(folder)
    if status.st_uid != os.geteuid() or (status.st_mode | os.stat(root).st_mode) & 0o022:
        raise RefusedError(
            f"the manifest {folder} cannot be opened safely: there is no folder for temporary files",
            hint="set TMPDIR to a folder that can be written to",
        )
    yield os.fspath(folder)  # no other user can put a link there


def _places() -> list[str]:
    return list(dict.fromkeys(("/dev/shm", os.environ.get("TMPDIR") or "/tmp", "/tmp", "/var/tmp")))


def _make_private(place: str) -> str | None:
    private = f"{place}/{_PREFIX}{os.getpid()}-{os.urandom(8).hex()}"
    try:
        if not _is_safe(os.stat(place)):
            return None
        _remove_abandoned(place)
        os.mkdir(private, 0o700)
    except OSError:
        return None  # missing, full or read-only
    return private


def _remove_private(private: str) -> None:
    for name in (DATA, LOCK):
        with suppress(OSError):
            os.unlink(f"{private}/{name}")
    os.rmdir(private)


def _remove_abandoned(place: str) -> None:
    """Remove private folders of this user that killed processes have left.

    The age counts too, because a process in another container cannot be seen here; and the process, because one that
    is suspended, or gets no processor, still needs its folder.
    """
    for name in os.listdir(place):
        if name.startswith(_PREFIX):
            path = f"{place}/{name}"
            with suppress(OSError):
                status = os.lstat(path)
                is_old = status.st_mtime < time.time() - _ABANDONED_SECONDS
                if status.st_uid == os.geteuid() and is_old and not _is_running(name):
                    for link in (DATA, LOCK):
                        with suppress(FileNotFoundError):
                            os.unlink(f"{path}/{link}")
                    os.rmdir(path)


def _is_running(name: str) -> bool:
    """Return whether the process that made the folder of this name runs."""
    pid = name.removeprefix(_PREFIX).partition("-")[0]
    return pid.isdecimal() and os.path.exists(f"/proc/{int(pid)}")


def _link(private: str, descriptors: dict[str, int]) -> bool:
    """Make the links; return whether they lead to the files, which needs /proc and a file system with links."""
    try:
        for name, descriptor in descriptors.items():
            os.symlink(f"/proc/self/fd/{descriptor}", f"{private}/{name}")
            if not os.path.samestat(os.stat(f"{private}/{name}"), os.fstat(descriptor)):
                return False
    except OSError:
        return False
    return True


def _is_safe(status: os.stat_result) -> bool:
    """Return whether other users cannot replace a folder that this one makes here."""
    is_ours = status.st_uid in (0, os.geteuid())
    return is_ours and bool(status.st_mode & stat.S_ISVTX or not status.st_mode & 0o022)
