"""The files beneath a workspace's folder, reached without following links.

A user who may write to the folder of a workspace can put anything at any path in it, at any time.  Every function here
takes the folder and a path in it, opens the folder, and walks from its descriptor: a symbolic link below the folder is
refused, never followed.  A file that is opened is checked on its descriptor: a regular file with one link that belongs
to the folder's owner or to root; in a shared workspace to the folder's group.  Anything else is a `RefusedError`.

The path of the folder itself is the user's, and links in it are followed.  Files are created and removed by name in a
folder that was opened so; removing or renaming a link affects the link.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NoReturn

from artstore.errors import BusyError, RefusedError
from artstore.limits import raise_machine_error

__all__ = [
    "closing",
    "exists",
    "is_folder",
    "is_private",
    "make_folder",
    "make_folders",
    "make_private",
    "names",
    "open_file",
    "open_folder",
    "open_path",
    "open_resolved",
    "read_bytes",
    "remove",
    "remove_folder",
    "remove_socket",
    "remove_tree",
    "rename",
    "shared_group",
    "stamp",
    "status",
    "touch",
    "walk",
]

PathInside = Path | str
"""A path in the folder: absolute and beginning with the folder's path, or relative to the folder."""

_ALWAYS: Final = os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_FOLDER: Final = os.O_CLOEXEC | os.O_DIRECTORY
_SHARED: Final = stat.S_ISGID | stat.S_IWGRP
_SYS_OPENAT2: Final = 437
_RESOLVE: Final = 0x08 | 0x04
"""RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS."""
_MOST_TRIES: Final = 1000
"""The kernel asks for another try while folders are renamed; a file on which a process has a lease does not open."""


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


_syscall: Final = ctypes.CDLL(None, use_errno=True).syscall
_syscall.restype = ctypes.c_long
_syscall.argtypes = [
    ctypes.c_long,
    ctypes.c_int,
    ctypes.c_char_p,
    ctypes.POINTER(_OpenHow),
    ctypes.c_size_t,
]
_has_openat2 = True
"""False once the kernel, or a filter of system calls, has refused openat2."""


# -- opening -----------------------------------------------------------------------------------------------------------


def open_file(root: Path, path: PathInside, flags: int = os.O_RDONLY, mode: int = 0o600) -> int:
    """Open a regular file beneath ``root`` and return its descriptor; ``flags`` and ``mode`` are those of os.open.

    Raises `RefusedError` for a link, for anything but a regular file, and for a file of another owner.
    """
    base = _open_root(root)
    try:
        fd = _open_beneath(base, root, path, flags & ~os.O_TRUNC | _ALWAYS, mode if flags & os.O_CREAT else 0)
        try:
            if not flags & os.O_EXCL:  # else it was made by this call
                _check(os.fstat(fd), os.fstat(base), root, path, stat.S_IFREG)
            if flags & os.O_TRUNC:  # only now: it might have been the file of another
                os.ftruncate(fd, 0)
        except BaseException:
            os.close(fd)
            raise
        return fd
    finally:
        os.close(base)


def open_path(root: Path, path: PathInside) -> int:
    """Return a descriptor that names a checked file (O_PATH): it can be examined, and opened as ``/proc/self/fd/N``.

    Unlike others it can be closed without losing this process's POSIX locks on the file.
    """
    return _open_checked(root, path, os.O_PATH | os.O_CLOEXEC, stat.S_IFREG)


def open_folder(root: Path, path: PathInside = "") -> int:
    """Open a folder beneath ``root``, or ``root`` itself, and return its descriptor."""
    return _open_checked(root, path, os.O_RDONLY | _FOLDER, stat.S_IFDIR)


def _open_checked(root: Path, path: PathInside, flags: int, kind: int) -> int:
    """Open what exists, and check that it is of a kind (S_IFREG, S_IFDIR) and has the right owner."""
    base = _open_root(root)
    try:
        fd = _open_beneath(base, root, path, flags, 0)
        try:
            _check(os.fstat(fd), os.fstat(base), root, path, kind)
        except BaseException:
            os.close(fd)
            raise
        return fd
    finally:
        os.close(base)


def open_resolved(path: Path) -> int:
    """Return a descriptor (O_PATH) of a folder anywhere, by an absolute path that has no links.

    Raises `RefusedError` if it has one, which has been put there since the path was resolved.
    """
    root = Path("/")
    with closing(_open_root(root)) as base:
        return _open_beneath(base, root, os.fspath(path).lstrip("/"), os.O_PATH | _FOLDER, 0)


@contextmanager
def closing(fd: int) -> Iterator[int]:
    """Run the block with a descriptor, and close it."""
    try:
        yield fd
    finally:
        os.close(fd)


def read_bytes(root: Path, path: PathInside) -> bytes:
    """Return the content of a file."""
    with open(open_file(root, path), "rb") as file:
        return file.read()


# -- folders and names -------------------------------------------------------------------------------------------------


def status(root: Path, path: PathInside) -> os.stat_result:
    """Return the status of what lies at a path; raise `RefusedError` for a link."""
    with _parent(root, path) as (folder, name):
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if stat.S_ISLNK(found.st_mode):
        _refuse(root, path, "is or passes through a link")
    return found


def shared_group(root: Path) -> int | None:
    """Return the group that the folder is shared with, None if it is its owner's alone."""
    found = os.stat(root)
    return found.st_gid if found.st_mode & _SHARED == _SHARED else None


def stamp(path: str) -> tuple[int, int]:
    """Return (inode, time of change) of a file directly in the folder, only to compare it: one system call."""
    found = os.lstat(path)
    return found.st_ino, found.st_mtime_ns


def exists(root: Path, path: PathInside) -> bool:
    """Return whether anything lies at a path."""
    try:
        status(root, path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def is_folder(root: Path, path: PathInside) -> bool:
    """Return whether a folder lies at a path."""
    try:
        return stat.S_ISDIR(status(root, path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def names(root: Path, path: PathInside = "") -> list[str]:
    """Return the names in a folder."""
    fd = open_folder(root, path)
    try:
        return os.listdir(fd)
    finally:
        os.close(fd)


def walk(root: Path, path: PathInside = "") -> Iterator[tuple[str, os.stat_result]]:
    """Yield (path relative to the folder, status) of all that lies in a folder, each folder after its content.

    What disappears meanwhile, or this user may not read, is left out; links are not followed.  Raises `LimitError` if
    this process has no descriptors left.
    """
    try:
        fd = open_folder(root, path)
    except OSError as error:
        raise_machine_error(error, f"the folder {root} cannot be listed")
        return
    with closing(fd):
        yield from _walk(fd, "")


def _walk(fd: int, prefix: str) -> Iterator[tuple[str, os.stat_result]]:
    for name in os.listdir(fd):
        try:
            found = os.stat(name, dir_fd=fd, follow_symlinks=False)
            if stat.S_ISDIR(found.st_mode):
                with closing(os.open(name, os.O_RDONLY | _FOLDER | os.O_NOFOLLOW, dir_fd=fd)) as inner:
                    yield from _walk(inner, f"{prefix}{name}/")
            yield f"{prefix}{name}", found
        except OSError as error:
            raise_machine_error(error, f"the folder {prefix}{name} cannot be listed")


def make_folder(root: Path, path: PathInside, mode: int = 0o777) -> None:
    """Make a folder; FileExistsError if there is something."""
    with _parent(root, path) as (folder, name):
        os.mkdir(name, mode, dir_fd=folder)


def make_folders(root: Path, path: PathInside) -> None:
    """Make a folder and those above it, beneath ``root``, as far as they are missing.

    Raises `RefusedError` if there is something else.
    """
    parts = _relative(root, path).split("/")
    for count in range(1, len(parts) + 1):
        part = "/".join(parts[:count])
        try:
            make_folder(root, part)
        except FileExistsError:
            _require_kind(status(root, part), root, part, stat.S_IFDIR)


def rename(root: Path, path: PathInside, to: PathInside) -> None:
    """Rename; what lies at ``to`` is replaced."""
    with _parent(root, path) as (folder, name), _parent(root, to) as (target, new):
        os.rename(name, new, src_dir_fd=folder, dst_dir_fd=target)


def remove(root: Path, path: PathInside, *, missing_ok: bool = False) -> None:
    """Remove a file, or a link."""
    try:
        with _parent(root, path) as (folder, name):
            os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        if not missing_ok:
            raise


def touch(root: Path, path: PathInside) -> None:
    """Set the times of a file to now."""
    with closing(open_file(root, path)) as fd:
        os.utime(fd)


def remove_folder(root: Path, path: PathInside) -> None:
    """Remove an empty folder."""
    with _parent(root, path) as (folder, name):
        os.rmdir(name, dir_fd=folder)


def remove_tree(root: Path, path: PathInside) -> None:
    """Remove a folder with all that lies in it; what cannot be removed stays, and what is not a folder."""
    with suppress(OSError):
        with closing(open_folder(root, path)) as fd:
            _empty(fd)
        remove_folder(root, path)


def _empty(fd: int) -> None:
    """Remove what lies in a folder; a link or FIFO is removed, never opened."""
    for name in os.listdir(fd):
        with suppress(OSError):
            if stat.S_ISDIR(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
                with closing(os.open(name, os.O_RDONLY | _FOLDER | os.O_NOFOLLOW, dir_fd=fd)) as inner:
                    _empty(inner)
                os.rmdir(name, dir_fd=fd)
            else:
                os.unlink(name, dir_fd=fd)


# -- folders of one user -----------------------------------------------------------------------------------------------


def is_private(folder: Path, uid: int) -> bool:
    """Return whether a folder, not a link to one, belongs to the user ``uid``, and others have no access to it."""
    try:
        return _is_private(os.stat(folder, follow_symlinks=False), uid)
    except OSError:
        return False


def _is_private(found: os.stat_result, uid: int) -> bool:
    return stat.S_ISDIR(found.st_mode) and found.st_uid == uid and not found.st_mode & 0o077


def make_private(folder: Path, uid: int) -> None:
    """Make a folder of the user ``uid``, if there is nothing, to which others have no access."""
    with closing(_open_root(folder.parent)) as parent:
        try:
            os.mkdir(folder.name, 0o700, dir_fd=parent)
        except FileExistsError:
            return
        if os.geteuid() != uid:
            with closing(os.open(folder.name, os.O_RDONLY | _FOLDER | os.O_NOFOLLOW, dir_fd=parent)) as fd:
                if os.fstat(fd).st_uid == os.geteuid():  # else the user exchanged it
                    os.fchown(fd, uid, -1)


def remove_socket(path: Path, uid: int) -> None:
    """Remove a socket in a private folder of the user ``uid``; nothing else is touched."""
    with suppress(OSError), closing(os.open(path.parent, os.O_PATH | _FOLDER | os.O_NOFOLLOW)) as folder:
        found = os.stat(path.name, dir_fd=folder, follow_symlinks=False)
        if _is_private(os.fstat(folder), uid) and stat.S_ISSOCK(found.st_mode):
            os.unlink(path.name, dir_fd=folder)


# -- the walk ----------------------------------------------------------------------------------------------------------


def _open_root(root: Path) -> int:
    return os.open(root, os.O_PATH | _FOLDER)


def _relative(root: Path, path: PathInside) -> str:
    text, prefix = os.fspath(path), os.fspath(root)
    if text.startswith("/"):
        if text == prefix:
            return "."
        if not text.startswith(prefix + "/"):
            raise ValueError(f"{text} is not in {prefix}")
        text = text[len(prefix) + 1 :]
    if ".." in text.split("/"):
        raise ValueError(f"{text!r} leaves the folder")
    return text or "."


@contextmanager
def _parent(root: Path, path: PathInside) -> Iterator[tuple[int, str]]:
    """Yield (descriptor of the folder in which a path lies, last name of the path)."""
    folder, _, name = _relative(root, path).rpartition("/")
    base = _open_root(root)
    try:
        if folder:
            inner = _open_beneath(base, root, folder, os.O_PATH | _FOLDER, 0)
            os.close(base)
            base = inner
        yield base, name
    except OSError as error:
        if isinstance(error.filename, str) and error.filename == name:
            error.filename = os.path.join(root, _relative(root, path))
        raise
    finally:
        os.close(base)


def _open_beneath(base: int, root: Path, path: PathInside, flags: int, mode: int) -> int:
    """Open a path relative to the descriptor of ``root``, without following links."""
    global _has_openat2
    relative = os.fsencode(_relative(root, path))
    number = errno.ENOSYS
    fd = -1
    if _has_openat2:
        fd, number = _openat2(base, relative, flags, mode)
        if number in (errno.ENOSYS, errno.EPERM):
            _has_openat2 = number == errno.EPERM and _answers(base)
    if fd < 0 and number in (errno.ENOSYS, errno.EPERM):
        fd, number = _open_each(base, relative, flags, mode)
    if fd >= 0:
        return fd
    if number == errno.ENOTDIR and flags & os.O_CREAT:
        _refuse(root, path, "lies below what is not a folder")
    _fail(root, path, number)


def _openat2(base: int, relative: bytes, flags: int, mode: int) -> tuple[int, int]:
    """Call openat2; return (descriptor, 0) or (-1, errno)."""
    how = _OpenHow(flags, mode, _RESOLVE)
    for _ in range(_MOST_TRIES):
        fd = _syscall(_SYS_OPENAT2, base, relative, how, ctypes.sizeof(how))
        if fd >= 0:
            return fd, 0
        number = ctypes.get_errno()
        if number not in (errno.EAGAIN, errno.EINTR):
            return -1, number
    return -1, number


def _answers(base: int) -> bool:
    """Return whether openat2 works at all: a filter of system calls answers EPERM to every call."""
    fd, number = _openat2(base, b".", os.O_PATH | _FOLDER, 0)
    if fd >= 0:
        os.close(fd)
    return number == 0


def _open_each(base: int, relative: bytes, flags: int, mode: int) -> tuple[int, int]:
    """Open each folder of the path from the one above it, where the kernel has no openat2."""
    *folders, name = relative.split(b"/")
    fd = os.dup(base)
    try:
        for folder in folders:
            inner = _open_step(folder, os.O_PATH | _FOLDER, 0, fd)
            os.close(fd)
            fd = inner
        return _open_step(name, flags, mode, fd), 0
    except OSError as error:
        return -1, error.errno or errno.EIO
    finally:
        os.close(fd)


def _open_step(name: bytes, flags: int, mode: int, folder: int) -> int:
    """Open one name in a folder; OSError with ELOOP for a link, whatever the flags."""
    try:
        fd = os.open(name, flags | os.O_NOFOLLOW, mode, dir_fd=folder)
    except NotADirectoryError as error:
        if stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from error
        raise
    if flags & os.O_PATH and stat.S_ISLNK(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    return fd


# -- what is refused ---------------------------------------------------------------------------------------------------


def _check(found: os.stat_result, folder: os.stat_result, root: Path, path: PathInside, kind: int) -> None:
    """Raise `RefusedError` unless a file or folder is of the kind, with one link, and of the workspace's owner."""
    _require_kind(found, root, path, kind)
    if kind == stat.S_IFREG and found.st_nlink > 1:
        _refuse(root, path, "has another hard link")
    if folder.st_mode & _SHARED == _SHARED:
        if found.st_gid != folder.st_gid:
            _refuse(root, path, f"has group {found.st_gid}, not the workspace's group {folder.st_gid}")
    elif found.st_uid not in (folder.st_uid, 0):
        _refuse(root, path, f"belongs to user {found.st_uid}, not to the workspace's owner {folder.st_uid}")


def _require_kind(found: os.stat_result, root: Path, path: PathInside, kind: int) -> None:
    if stat.S_IFMT(found.st_mode) != kind:
        wanted = "a file" if kind == stat.S_IFREG else "a folder"
        _refuse(root, path, f"is {_KINDS.get(stat.S_IFMT(found.st_mode), 'something else')}, not {wanted}")


_KINDS: Final = {
    stat.S_IFREG: "a file",
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a link",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def _fail(root: Path, path: PathInside, number: int) -> NoReturn:
    """Raise the error for an open that failed with an errno."""
    if number in (errno.ELOOP, errno.EXDEV):
        _refuse(root, path, "is or passes through a link")
    if number == errno.EISDIR:
        _refuse(root, path, "is a folder, not a file")
    if number in (errno.ENXIO, errno.ENODEV):
        _refuse(root, path, "is not a file")
    whole = os.path.join(root, _relative(root, path))
    if number == errno.EAGAIN:
        raise BusyError(f"{whole} cannot be opened now: another process has a lease on it", hint="try again later")
    raise OSError(number, os.strerror(number), whole)


def _refuse(root: Path, path: PathInside, wrong: str) -> NoReturn:
    raise RefusedError(
        f"{os.path.join(root, _relative(root, path))} {wrong}",
        hint="a workspace has only files and folders of its owner, and no links",
    )
