"""Versions as a file system of fsspec: ``artfs://NAME/v3/path``, for pandas, pyarrow, datasets and others.

Nothing needs to be mounted.  It is read-only.  Paths are those under a mount: a project holds its projects and
artifacts, an artifact its versions ``v0``, ``v1`` and so on, a version its files.  Three other spellings open the same
files: ``NAME:v3/path``, ``NAME:ALIAS/path`` and ``NAME/ALIAS/path``.  What is listed keeps the spelling of the folder
that was asked for, so every listed path lies below it.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from glob import has_magic
from typing import Any, ClassVar, Final, NamedTuple, NoReturn

from fsspec.spec import AbstractFileSystem

import artstore.workspace
from artstore.errors import InvalidInputError, InvalidNameError, IsFolderError, NotFolderError, NotFoundError
from artstore.locate import find_workspace
from artstore.names import parse_version_label, version_label
from artstore.queries.versions import FileInfo, Version

__all__ = ["ArtfsFileSystem"]

_BLOCK_BYTES = 128 << 10
_MOST_FOLDERS: Final = 1 << 12
_TYPES = {"directory": stat.S_IFDIR, "file": stat.S_IFREG, "link": stat.S_IFLNK}


class _DefaultWorkspace:
    """The path of the workspace that is opened by default, at the moment when it is asked for."""

    def __get__(self, _instance: object, _owner: type) -> str:
        return str(find_workspace(None))


class _Place(NamedTuple):
    """What a path stands for: something in a version, or with ``version`` None the project or artifact ``above``.

    ``reference`` is the text that names the version.
    """

    above: str
    version: Version | None = None
    inside: str = ""
    reference: str = ""


class ArtfsFileSystem(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no annotations
    """The workspace at ``workspace``, else the one that the command line would use.

    Paths that do not exist raise FileNotFoundError, and whatever would change something OSError with ``EROFS``.  Links
    are as in fsspec's local file system: listed with the type "other", not descended into, and followed by ``info``
    and ``open``.
    """

    protocol: ClassVar[str] = "artfs"
    root_marker: ClassVar[str] = ""
    # fsspec returns the same instance for the same arguments; the default workspace is one of them.
    _extra_tokenize_attributes = ("_default_workspace",)
    _default_workspace = _DefaultWorkspace()

    def __init__(self, workspace: str | os.PathLike[str] | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._workspace = artstore.workspace.open_workspace(workspace)
        self._folders: dict[str, tuple[str, str, str]] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the path of the workspace, which another process may not find by itself."""
        return type(self)._opened, (str(self._workspace.path), dict(self.storage_options))

    @classmethod
    def _opened(cls, workspace: str, options: dict[str, Any]) -> ArtfsFileSystem:
        return cls(**{**options, "workspace": workspace})

    @property
    def fsid(self) -> str:
        """An id that distinguishes this workspace from others."""
        return f"artfs-{self._workspace.uuid}"

    # -- paths -----------------------------------------------------------------------------------------------------

    def _file_place(self, path: str) -> _Place:
        """Return what the path of a file stands for, quicker than `_place` where its folder is known.

        A known folder is split into artifact, label and the rest as before while there is such an artifact: a name is
        never that of an artifact and of a project at the same time.
        """
        folder, _, name = path.rpartition("/")
        known = self._folders.get(folder)
        if known is not None and name not in ("", "."):
            artifact, reference, inside = known
            with suppress(NotFoundError):
                return _Place(artifact, self._workspace.version(reference), inside + name)
        place = self._place(path)
        if place.version is not None and name and f"/{place.inside}".endswith(f"/{name}"):
            if len(self._folders) >= _MOST_FOLDERS:
                self._folders = {}
            self._folders[folder] = place.above, place.reference, place.inside[: -len(name)]
        return place

    def _place(self, path: str) -> _Place:
        """Return what a path stands for; only the workspace knows where names end.

        Raises `NotFoundError`; whether the path exists in its version is not checked.
        """
        parts = [part for part in self._strip_protocol(path).split("/") if part not in ("", ".")]
        for index, part in enumerate(parts):
            above = "/".join(parts[:index])
            if ":" in part and not self._is_artifact(above):
                name, _, label = part.partition(":")
                return self._in_version(f"{above}/{name}" if above else name, label, parts[index + 1 :], path)
            if above and (parse_version_label(part) is not None or self._is_artifact(above)):
                return self._in_version(above, part, parts[index + 1 :], path)
        return _Place("/".join(parts))

    def _is_artifact(self, name: str) -> bool:
        try:
            return bool(name) and self._workspace.has_artifact(name)
        except InvalidNameError:
            return False

    def _in_version(self, artifact: str, label: str, inside: list[str], path: str) -> _Place:
        with _invalid_is_missing(path):
            reference = f"{artifact}:{label}"
            return _Place(artifact, self._workspace.version(reference), "/".join(inside), reference)

    def _above_versions(self, name: str) -> list[str]:
        """Return the names in a project, or the versions of an artifact."""
        artifacts = self._workspace.artifacts()
        if any(artifact.name == name for artifact in artifacts):
            return [version_label(version.number) for version in self._workspace.versions(name)]
        prefix = f"{name}/" if name else ""
        below = [artifact.name for artifact in artifacts if artifact.name.startswith(prefix)]
        if not below and name:
            raise NotFoundError(f"there is no artifact or project {name!r}", hint="list what exists: artfs ls")
        return list(dict.fromkeys(each[len(prefix) :].partition("/")[0] for each in below))

    # -- reading ---------------------------------------------------------------------------------------------------

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        """List a directory, or a single file; raise FileNotFoundError if the path does not exist."""
        name = self._strip_protocol(path)
        place = self._place(path)
        prefix = f"{name}/" if name else ""
        if place.version is None:
            names = [prefix + each for each in self._above_versions(place.above)]
            return [self.info(each) for each in names] if detail else names
        with _invalid_is_missing(path):
            status = place.version.stat(place.inside)
            if status.kind != "directory":
                return [self.info(path)] if detail else [name]
            children = place.version.listdir(place.inside)
        if not detail:
            return [prefix + child.name for child in children]
        return [self._listed(prefix + child.name, place, child) for child in children]

    def _listed(self, name: str, place: _Place, child: FileInfo) -> dict[str, Any]:
        """Return an entry of a listing; a link is described itself, but has the size of the file that it leads to."""
        assert place.version is not None
        entry = _entry(name, place.version, child)
        if child.kind == "link":
            entry["size"] = 0
            with suppress(NotFoundError):
                target = place.version.stat(f"{place.inside}/{child.name}" if place.inside else child.name)
                entry["size"] = target.size if target.kind == "file" else 0
        return entry

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Describe a file or directory, links followed; raise FileNotFoundError if the path does not exist."""
        name = self._strip_protocol(path)
        place = self._place(path)
        if place.version is None:
            self._above_versions(place.above)
            return {"name": name, "type": "directory", "size": 0}
        with _invalid_is_missing(path):
            entry = _entry(name, place.version, place.version.stat(place.inside))
            itself = place.version.stat(place.inside, follow_symlinks=False)
        if itself.link_target is not None:
            entry |= {"islink": True, "destination": itself.link_target}
        return entry

    def lexists(self, path: str, **_: Any) -> bool:
        """Return whether a path exists; a link does, wherever it leads."""
        return self._is_link(path) or bool(self.exists(path))

    def islink(self, path: str) -> bool:
        """Return whether a path is a symbolic link."""
        return self._is_link(path)

    def _is_link(self, path: str) -> bool:
        try:
            place = self._place(path)
            if place.version is None or not place.inside:
                return False
            with _invalid_is_missing(path):
                return place.version.stat(place.inside, follow_symlinks=False).kind == "link"
        except OSError:
            return False

    def glob(self, path: str, maxdepth: int | None = None, **options: Any) -> Any:
        """Find paths by glob; ``NAME:v*/path`` means ``NAME/v*/path``."""
        prefix = f"{self.protocol}://"
        name = path.removeprefix(prefix)
        head, colon, rest = name.partition(":")
        if colon and has_magic(head + rest.partition("/")[0]) and not self._has_version(head):
            name = f"{head}/{rest}"
        return super().glob(prefix + name, maxdepth=maxdepth, **options)

    @staticmethod
    def _has_version(name: str) -> bool:
        return any(parse_version_label(part) is not None for part in name.split("/")[1:])

    def open(
        self,
        path: str | os.PathLike[str],
        mode: str = "rb",
        block_size: int | None = None,
        cache_options: dict[str, Any] | None = None,
        compression: str | None = None,
        **options: Any,
    ) -> Any:
        """Open a file for reading, as fsspec does; the options for caches have no effect."""
        if mode == "rb" and compression is None and isinstance(path, str):
            return self._open(path, mode, block_size)
        return super().open(path, mode, block_size, cache_options, compression, **options)

    def _open(self, path: str, mode: str = "rb", block_size: int | None = None, **_: Any) -> _OpenFile:
        if mode != "rb":
            _refuse(path)
        place = self._file_place(path)
        if place.version is None:
            self._above_versions(place.above)
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        try:
            opened = place.version.open(place.inside).detach()
        except (InvalidInputError, InvalidNameError) as error:
            raise _missing(path, error) from error
        return _OpenFile(self, self._strip_protocol(path), opened, block_size)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **options: Any) -> bytes:
        """Return the content of a file, or of a range of it."""
        place = self._file_place(path) if start is None and end is None else None
        if place is None or place.version is None:
            content: bytes = super().cat_file(path, start, end, **options)
            return content
        try:
            return place.version.read_bytes(place.inside)
        except (InvalidInputError, InvalidNameError) as error:
            raise _missing(path, error) from error

    def cat(self, path: str | list[str], recursive: bool = False, on_error: str = "raise", **options: Any) -> Any:
        """Return the content of a file, or of several by their paths."""
        if isinstance(path, str) and not recursive and not has_magic(path):
            return self.cat_file(self._strip_protocol(path), **options)
        return super().cat(path, recursive, on_error, **options)

    def modified(self, path: str) -> datetime:
        """Return the modification time of a file or directory in a version."""
        return datetime.fromtimestamp(self._info_in_version(path)["mtime"], UTC)

    def created(self, path: str) -> datetime:
        """Return when the version that a path is in was created."""
        return datetime.fromtimestamp(self._info_in_version(path)["created"], UTC)

    def checksum(self, path: str) -> int:
        """Return a number that identifies this content."""
        return int(self._info_in_version(path)["digest"], 16)

    def _info_in_version(self, path: str) -> dict[str, Any]:
        described = self.info(path)
        if "digest" not in described:
            raise NotFoundError(f"{path!r} is not in a version", hint=f"list the versions: artfs ls {path}")
        return described

    # -- changing, which is refused --------------------------------------------------------------------------------

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Return if the directory exists and ``exist_ok`` is true; otherwise raise OSError with EROFS."""
        if not (exist_ok and self.isdir(path)):
            _refuse(path)

    def mkdir(self, path: str, *_: Any, **__: Any) -> NoReturn:
        """Raise OSError with EROFS, as every method that would change something does."""
        _refuse(path)

    def cp_file(self, _path: str, path2: str, **_: Any) -> NoReturn:
        """Raise OSError with EROFS."""
        _refuse(path2)

    def copy(self, _path: Any, path2: Any, *_: Any, **__: Any) -> NoReturn:
        """Raise OSError with EROFS."""
        _refuse(path2)

    def mv(self, path: str, *_: Any, **__: Any) -> NoReturn:
        """Raise OSError with EROFS."""
        _refuse(path)

    def put(self, _source: Any, path: Any, *_: Any, **__: Any) -> NoReturn:
        """Raise OSError with EROFS."""
        _refuse(path)

    def symlink(self, _target: str, path: str, **_: Any) -> NoReturn:
        """Raise OSError with EROFS."""
        _refuse(path)

    put_file = link = symlink
    rmdir = rm = rm_file = _rm = touch = pipe_file = chmod = mkdir


class _OpenFile(io.BufferedReader):
    """A file of a version with what fsspec's callers expect of an open file; it can be pickled while it is open."""

    mode = "rb"

    def __init__(self, filesystem: ArtfsFileSystem, path: str, content: Any, block_size: int | None = None) -> None:
        super().__init__(content, min(max(content.size, 1), _BLOCK_BYTES))
        self.fs = filesystem
        self.path = self.full_name = path
        self.size = content.size
        self.blocksize = block_size or _BLOCK_BYTES

    @property
    def closed(self) -> bool:
        """Whether the file is closed; fsspec's block cache sets it to close the file."""
        return super().closed

    @closed.setter
    def closed(self, value: bool) -> None:
        if value:
            super().close()

    @property
    def details(self) -> dict[str, Any]:
        """What ``fs.info`` returns for the file."""
        return self.info()

    @property
    def loc(self) -> int:
        """The position."""
        return self.tell()

    def info(self) -> dict[str, Any]:
        """Describe the file, as ``fs.info`` does."""
        described: dict[str, Any] = self.fs.info(self.path)
        return described

    def _fetch_range(self, start: int, end: int) -> bytes:
        """Return the bytes of a range; fsspec's block caches ask for them."""
        position = self.tell()
        self.seek(start)
        data = self.read(end - start)
        self.seek(position)
        return data

    def __reduce_ex__(self, _protocol: Any) -> tuple[Any, ...]:
        return _reopen, (self.fs, self.path, self.blocksize, self.tell())


def _reopen(filesystem: ArtfsFileSystem, path: str, block_size: int, position: int) -> _OpenFile:
    file: _OpenFile = filesystem.open(path, block_size=block_size)
    file.seek(position)
    return file


@contextmanager
def _invalid_is_missing(path: str) -> Iterator[None]:
    """Raise FileNotFoundError for a path that cannot exist, which is what generic callers expect."""
    try:
        yield
    except (InvalidInputError, InvalidNameError) as error:
        raise _missing(path, error) from error


def _missing(path: str, error: InvalidInputError | InvalidNameError) -> Exception:
    """Return the error for a path that an error calls invalid: itself if it is of a folder or file in its place."""
    if isinstance(error, IsFolderError | NotFolderError):
        return error
    return NotFoundError(f"there is no {path!r}: {error.message}")


def _refuse(path: Any) -> NoReturn:
    raise OSError(errno.EROFS, os.strerror(errno.EROFS), path if isinstance(path, str) else str(path))


def _entry(name: str, version: Version, info: FileInfo) -> dict[str, Any]:
    """Describe what a version shows; ``size`` of a directory is that of all files below it."""
    described: dict[str, Any] = {
        "name": name,
        "type": "other" if info.kind == "link" else info.kind,
        "size": info.size,
        "digest": info.digest,
        "mtime": info.mtime.timestamp(),
        "created": version.created_at.timestamp(),
        "mode": _TYPES[info.kind] | info.mode,
        "islink": info.kind == "link",
    }
    if info.kind == "file":
        described["ETag"] = info.digest  # the key under which `datasets` and others look for a content id
    if info.link_target is not None:
        described["destination"] = info.link_target
    return described
