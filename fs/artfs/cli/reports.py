"""``--html FILE`` of the commands that have it: one page that loads nothing, written whole or not at all."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from artfs.cli.output import write_bytes
from artfs.cli.session import Session

if TYPE_CHECKING:
    from artfs.display.fragments import Fragment

__all__ = ["check_report", "html_option", "write_report"]

_NAME: Final = b"page"

html_option = click.option(
    "--html",
    metavar="FILE",
    type=click.Path(readable=False, allow_dash=True),
    help="Write a page for a browser to FILE, '-' for stdout; it needs no network.",
)


def check_report(session: Session, path: str | None, **others: object) -> None:
    """Raise what `write_report` raises for a place that cannot be written, before any work is done.

    ``others`` are options that print something else, by name; `click.UsageError` if one of them is set.
    """
    if path is None:
        return
    chosen = [name for name, value in {"json": session.json, **others}.items() if value]
    if chosen:
        raise click.UsageError(f"--html writes a page and cannot be used with --{chosen[0].replace('_', '-')}")
    _require_jinja()
    if path != "-":
        _check_place(Path(os.path.abspath(path)))


def write_report(path: str, fragment: Callable[[Any], Fragment]) -> None:
    """Write the page of a fragment, which is made by a function of the module of fragments.

    A regular file is replaced.  Raises `IsFolderError` for a folder, `RefusedError` for another file that is not
    regular, `NotFoundError` if the folder does not exist, and `UnsupportedError` without the extra.
    """
    from artfs.display import fragments
    from artfs.display.page import page

    content = page(fragment(fragments))
    if path == "-":
        write_bytes(content)
        return
    from artstore.storage import disk
    from artstore.temporaries import TemporaryFolder, remove_abandoned

    dest = Path(os.path.abspath(path))
    _check_place(dest)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with disk.out_of_space(dest.parent, "the page"), _folder(dest.parent) as parent:
        remove_abandoned(parent)
        with TemporaryFolder(parent) as temporary:
            with open(os.open(_NAME, flags, 0o666, dir_fd=temporary.fd), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.rename(_NAME, os.fsencode(dest.name), src_dir_fd=temporary.fd, dst_dir_fd=parent)
        os.fsync(parent)


@contextmanager
def _folder(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def _check_place(dest: Path) -> None:
    from artstore.errors import IsFolderError, NotFolderError, NotFoundError, RefusedError

    try:
        mode = os.lstat(dest).st_mode
    except FileNotFoundError:
        mode = None
    except NotADirectoryError:
        raise NotFolderError(f"{dest.parent} is not a folder") from None
    if mode is None:
        if not dest.parent.is_dir():
            raise NotFoundError(f"the folder {dest.parent} does not exist", hint="create it first")
    elif stat.S_ISDIR(mode):
        raise IsFolderError(f"{dest} is a folder", hint="name the file of the page")
    elif not stat.S_ISREG(mode):
        raise RefusedError(f"{dest} is not a regular file, so it is not replaced", hint="name another file")


def _require_jinja() -> None:
    from artstore.errors import UnsupportedError

    try:
        import artfs.display.page  # noqa: F401
        from artfs.drawing import bars, graph  # noqa: F401
    except ImportError as error:
        name = (error.name or "a package").partition(".")[0]
        raise UnsupportedError(
            f"--html needs {name}, which is not installed", hint="pip install 'artfs[ui]'"
        ) from error
