"""Writing an archive: planned first, then written to a temporary file in the same folder, synced and renamed."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

from artstore.archives.headers import END, FILE, header_of, padding
from artstore.archives.index import LONGEST, LONGEST_LINE, ArchivedEntry, ArchivedVersion, encode_index
from artstore.archives.layout import INDEX, SUMS, Member, index_sum, members, sum_lines
from artstore.arguments import raw_path
from artstore.beneath import closing
from artstore.errors import (
    ArtfsError,
    DamageError,
    ExistsError,
    InvalidInputError,
    IsFolderError,
    NotFolderError,
    NotFoundError,
    RefusedError,
)
from artstore.ids import ContentHasher, content_id
from artstore.interrupts import checkpoint, deferred
from artstore.progress import Progress
from artstore.queries.versions import FileInfo, Version
from artstore.storage import disk
from artstore.temporaries import TemporaryFolder, remove_abandoned

__all__ = ["ArchivePlan", "SelectedVersion", "checked_place", "plan_archive", "write_archive"]

_STEP: Final = 1 << 20
_NAME: Final = b"archive"
_SECONDS: Final = 0.1


class SelectedVersion(NamedTuple):
    """A version to archive, with the metadata that the archive is to have, and the versions that it includes."""

    version: Version
    metadata: Mapping[str, Any]
    includes: Sequence[str] = ()


class ArchivePlan:
    """What an archive will hold: all of it but the contents.

    ``size`` is that of the file, ``files`` the number of files and ``contents`` that of distinct contents.  Raises
    `RefusedError` for a version with files outside of the store.
    """

    def __init__(self, selected: Iterable[SelectedVersion]) -> None:
        chosen = list(selected)
        self.sources = {each.version.name: each.version for each in chosen}
        self.versions = [
            ArchivedVersion(
                name=each.version.name,
                digest=each.version.digest,
                type=each.version.type,
                description=each.version.description,
                metadata=each.metadata,
                includes=tuple(each.includes),
                entries=tuple(sorted(_entries(each.version))),
            )
            for each in chosen
        ]
        index = encode_index(self.versions)
        if len(index) > LONGEST or max(map(len, index.split(b"\n"))) > LONGEST_LINE:
            raise InvalidInputError(
                "the versions have more files or metadata than an archive can hold", hint="export fewer"
            )
        sums = index_sum(content_id(index)) + b"".join(sum_lines(self.versions))
        self.beginning = b"".join(
            header_of(path, FILE, size=len(data)) + data + padding(len(data))
            for path, data in ((INDEX, index), (SUMS, sums))
        )
        self.files = sum(entry.is_file for version in self.versions for entry in version.entries)
        self.contents = self.content_bytes = 0
        self.size = len(self.beginning) + len(END)
        for member in members(self.versions):
            self.size += member.length
            self.contents += bool(member.size)
            self.content_bytes += member.size


def plan_archive(selected: Iterable[SelectedVersion]) -> ArchivePlan:
    """Return what an archive of versions will hold; nothing is written."""
    return ArchivePlan(selected)


def _entries(version: Version) -> Iterator[ArchivedEntry]:
    """Yield the entries of a version; directories only where nothing is in them."""
    for folder, folders, names in version.walk():
        if not folders and not names:
            yield ArchivedEntry(os.fsencode(folder), is_directory=True)
        for info in version.listdir(folder) if names else ():
            if info.kind != "directory":
                yield _entry(version, f"{folder}/{info.name}" if folder else info.name, info)


def _entry(version: Version, path: str, info: FileInfo) -> ArchivedEntry:
    if info.is_reference:
        raise RefusedError(
            f"{version.name}/{path} is a file outside of the store, so an archive would lack it",
            hint="export versions without references",
        )
    if info.link_target is not None:
        return ArchivedEntry(os.fsencode(path), target=os.fsencode(info.link_target))
    return ArchivedEntry(os.fsencode(path), bytes.fromhex(info.digest), info.size, info.executable)


def write_archive(
    path: str | os.PathLike[str],
    plan: ArchivePlan,
    *,
    overwrite: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> None:
    """Write a planned archive; the file appears whole or not at all.

    Raises `ExistsError` if there is a file, unless ``overwrite``, `IsFolderError` for a folder, `NotFoundError` for a
    folder that does not exist or a version that is gone, and `DamageError` for content that fails its digest.
    """
    dest = checked_place(path, overwrite=overwrite)
    with deferred(), disk.out_of_space(dest.parent, "the archive"), _naming(dest), _folder(dest) as parent:
        remove_abandoned(parent)
        with TemporaryFolder(parent) as temporary:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with open(os.open(_NAME, flags, 0o666, dir_fd=temporary.fd), "wb", buffering=_STEP) as file:
                _write(file, plan, progress)
                file.flush()
                os.fsync(file.fileno())
            _give_name(temporary.fd, parent, dest, overwrite=overwrite)
        os.fsync(parent)


def checked_place(path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Return where an archive can be written; raise what `write_archive` raises for any other place."""
    dest = Path(os.path.abspath(os.fsdecode(raw_path(path))))
    _refuse(dest, overwrite=overwrite)
    with _folder(dest):
        return dest


def _refuse(dest: Path, *, overwrite: bool) -> None:
    try:
        mode = os.lstat(dest).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    if stat.S_ISDIR(mode):
        raise IsFolderError(f"{dest} is a folder", hint="name the file of the archive")
    if not stat.S_ISREG(mode):
        raise RefusedError(f"{dest} is not a regular file, so it is not replaced", hint="name another file")
    if not overwrite:
        raise ExistsError(f"{dest} already exists", hint="--overwrite replaces it")


@contextmanager
def _naming(dest: Path) -> Iterator[None]:
    """Let an error of the system name the archive, and not a temporary name."""
    try:
        yield
    except ArtfsError:
        raise
    except OSError as error:
        error.filename, error.filename2 = os.fspath(dest), None
        raise


@contextmanager
def _folder(dest: Path) -> Iterator[int]:
    try:
        fd = os.open(dest.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NotFoundError(f"the folder {dest.parent} does not exist", hint="create it first") from None
    except NotADirectoryError:
        raise NotFolderError(f"{dest.parent} is not a folder") from None
    with closing(fd):
        yield fd


def _give_name(folder: int, parent: int, dest: Path, *, overwrite: bool) -> None:
    """Give the file its name; what another process has put there meanwhile is replaced only with ``overwrite``."""
    name = os.fsencode(dest.name)
    if not overwrite:
        try:
            os.link(_NAME, name, src_dir_fd=folder, dst_dir_fd=parent, follow_symlinks=False)
            return
        except FileExistsError:
            raise ExistsError(f"{dest} already exists", hint="--overwrite replaces it") from None
        except OSError:  # the file system has no links
            _refuse(dest, overwrite=False)
    os.rename(_NAME, name, src_dir_fd=folder, dst_dir_fd=parent)


def _write(file: BinaryIO, plan: ArchivePlan, progress: Callable[[Progress], None] | None) -> None:
    file.write(plan.beginning)
    done = written = 0
    due = 0.0
    for member in members(plan.versions):
        checkpoint()
        file.write(member.header)
        if member.size:
            _write_content(file, plan.sources[member.version.name], member)
            file.write(padding(member.size))
            done, written = done + 1, written + member.size
        if progress is not None and member.size and (time.monotonic() >= due or done == plan.contents):
            due = time.monotonic() + _SECONDS
            shown = os.fsdecode(member.entry.path)
            progress(Progress("export", done, written, plan.contents, plan.content_bytes, shown))
    file.write(END)


def _write_content(file: BinaryIO, version: Version, member: Member) -> None:
    hasher, size = ContentHasher(), 0
    with version.open(member.entry.path, "rb") as source:
        while piece := source.read(_STEP):
            checkpoint()
            hasher.update(piece)
            file.write(piece)
            size += len(piece)
    if (hasher.digest(), size) != (member.entry.digest, member.size):
        raise DamageError(
            f"{version.name}/{os.fsdecode(member.entry.path)} does not have its digest", hint="run: artfs fsck"
        )
