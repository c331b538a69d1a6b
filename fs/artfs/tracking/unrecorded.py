"""Versions and their content in the mode ``disabled``: names, sizes and descriptions in memory, no content."""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from artstore.clock import utc
from artstore.errors import NotFoundError
from artstore.queries.versions import FileInfo, Version
from artstore.records.catalogue import VersionRecord

__all__ = ["UnrecordedFile", "UnrecordedGathering", "UnrecordedVersion", "record_of"]


class UnrecordedFile(NamedTuple):
    """A file that was added: its size, and a digest made of its path and size, because it is not read."""

    path: str
    size: int
    digest: str
    is_reference: bool

    @classmethod
    def of(cls, path: str, size: int, *, is_reference: bool = False) -> UnrecordedFile:
        """Return the file at a path of an artifact."""
        return cls(path, size, _digest(f"{path}\0{size}"), is_reference)


def _digest(text: str) -> str:
    return hashlib.blake2b(os.fsencode(text), digest_size=32).hexdigest()


@dataclass(frozen=True, slots=True)
class _Totals:
    files: int
    bytes: int


class _Root(NamedTuple):
    digest: bytes
    id: bytes


class _Referred(NamedTuple):
    paths: list[bytes]


class UnrecordedGathering:
    """The files that an artifact would have; the methods are those of the store's own that artifacts call."""

    def __init__(self, name: str, make: Any, base: Version | None = None) -> None:
        self._name = name
        self._make = make
        self._files: dict[str, UnrecordedFile] = {}
        if base is not None:
            for folder, _, names in base.walk():
                for each in names:
                    path = f"{folder}/{each}" if folder else each
                    self._put(path, base.stat(path).size)

    def _put(self, path: str, size: int, *, is_reference: bool = False) -> None:
        path = os.path.normpath(path).lstrip("/")
        self._files[path] = UnrecordedFile.of(path, size, is_reference=is_reference)

    def add(self, path: str | os.PathLike[str], to: str, *, overwrite: bool = False) -> None:
        """Note a file, or the files of a folder."""
        if not os.path.isdir(path):
            self._put(to or os.path.basename(path), os.path.getsize(path))
            return
        for parent, _, names in os.walk(path):
            for name in names:
                full = os.path.join(parent, name)
                self._put(os.path.join(to, os.path.relpath(full, path)), os.lstat(full).st_size)

    def refer(self, uri: str, to: str = "", **_: object) -> _Referred:
        """Note a reference; what it leads to is not looked at."""
        path = to or uri.rstrip("/").rpartition("/")[2]
        self._put(path, 0, is_reference=True)
        return _Referred([os.fsencode(path)])

    def include(self, path: str, version: object, inside: bytes = b"", *, overwrite: bool = False) -> None:
        """Note nothing of another version's content."""

    def merge(self, form: bytes) -> None:
        """Note nothing of what others have added."""

    def remove(self, *patterns: str) -> list[bytes]:
        """Forget files, folders, and what globs match."""
        removed = []
        for pattern in patterns:
            plain = pattern.strip("/")
            gone = [path for path in self._files if f"{path}/".startswith(f"{plain}/") or fnmatchcase(path, pattern)]
            if not gone:
                raise NotFoundError(f"there is no {pattern!r}")
            removed += [os.fsencode(path) for path in gone]
            for path in gone:
                del self._files[path]
        return removed

    def root(self) -> _Root:
        """Return a digest of the names and sizes."""
        digest = bytes.fromhex(_digest("\0".join(sorted(file.digest for file in self._files.values()))))
        return _Root(digest, digest)

    def totals(self) -> _Totals:
        """Return the number and the bytes of the files."""
        return _Totals(len(self._files), sum(file.size for file in self._files.values()))

    def file(self, path: str) -> UnrecordedFile | None:
        """Return a file, None for a folder; raise `NotFoundError` if there is nothing."""
        path = os.path.normpath(path)
        if path in self._files:
            return self._files[path]
        if any(each.startswith(f"{path}/") for each in self._files):
            return None
        raise NotFoundError(f"there is no {path!r}")

    def files(self) -> Iterator[UnrecordedFile]:
        """Yield the files, in the order of their paths."""
        yield from sorted(self._files.values())

    def commit(self, request: Any) -> Version:
        """Return a version of it, which only this process has."""
        version: Version = self._make(request, self.files(), self.root().digest)
        return version

    def close(self, *, keep: bool = True) -> None:
        """Forget the files."""
        self._files = {}


class UnrecordedVersion(Version):
    """A version that only this process has, in memory: its files are known, their content is not."""

    __slots__ = ("_alias_names", "_files", "_folder", "_tag_names")

    def __init__(
        self, store: Any, artifact: str, record: VersionRecord, type_name: str | None, files: list[UnrecordedFile]
    ) -> None:
        super().__init__(store, artifact, record, type_name)
        self._files = {file.path: file for file in files}
        self._alias_names: list[str] = []
        self._tag_names: list[str] = []
        self._folder: str | None = None

    @property
    def aliases(self) -> list[str]:
        """Its aliases, sorted; it is always the latest."""
        return sorted({*self._alias_names, "latest"})

    @aliases.setter
    def aliases(self, names: list[str]) -> None:
        self._alias_names = [name for name in names if name != "latest"]

    @property
    def tags(self) -> list[str]:
        """Its tags, sorted."""
        return sorted(set(self._tag_names))

    @tags.setter
    def tags(self, names: list[str]) -> None:
        self._tag_names = list(names)

    def change(self, **fields: Any) -> None:
        """Change fields of the record."""
        self._record = replace(self._record, **fields)

    def folder(self, root: str | os.PathLike[str] | None) -> str:
        """Return a folder for the content, which is not there: ``root``, else a temporary one, both empty."""
        if root is not None:
            os.makedirs(root, exist_ok=True)
            return os.path.abspath(os.fspath(root))
        if self._folder is None:
            self._folder = tempfile.mkdtemp(prefix="artfs-disabled-")
            atexit.register(shutil.rmtree, self._folder, ignore_errors=True)
        return self._folder

    @property
    def path(self) -> Path:
        """An empty temporary folder."""
        return Path(self.folder(None))

    def _opened(self, path: str | bytes) -> Any:
        raise NotFoundError(f"{self.name} has no content", hint="the mode disabled keeps none")

    def _described(self, name: str, file: UnrecordedFile | None) -> FileInfo:
        when = utc(self._record.created_ns)
        if file is None:
            return FileInfo(name, "directory", 0, self.digest, False, None, when, 0o755)
        return FileInfo(name, "file", file.size, file.digest, False, None, when, 0o644, file.is_reference)

    def stat(self, path: str | bytes = "", *, follow_symlinks: bool = True) -> FileInfo:
        """Describe a file or folder by what is known of it; there are no links."""
        text = os.fsdecode(path).strip("/")
        name = text.rpartition("/")[2]
        if text in self._files:
            return self._described(name, self._files[text])
        if text and not any(each.startswith(f"{text}/") for each in self._files):
            raise NotFoundError(f"{self.name} has no {text!r}")
        return self._described(name, None)

    def listdir(self, path: str | bytes = "", *, start: int = 0, limit: int | None = None) -> list[FileInfo]:
        """Describe the entries of a folder by what is known of them."""
        text = os.fsdecode(path).strip("/")
        prefix = f"{text}/" if text else ""
        names = {each[len(prefix) :].partition("/")[0] for each in self._files if each.startswith(prefix)}
        listed = islice(sorted(names), start, None if limit is None else start + limit)
        return [self._described(name, self._files.get(prefix + name)) for name in listed]

    def walk(self, path: str | bytes = "") -> Iterator[tuple[str, list[str], list[str]]]:
        """Yield folders with their entries, like `os.walk`."""
        waiting = [os.fsdecode(path).strip("/")]
        while waiting:
            folder = waiting.pop()
            entries = self.listdir(folder)
            folders = [entry.name for entry in entries if entry.kind == "directory"]
            yield folder, folders, [entry.name for entry in entries if entry.kind != "directory"]
            waiting += [f"{folder}/{name}" if folder else name for name in reversed(folders)]


def record_of(serial: int, number: int, request: Any, digest: bytes, files: list[UnrecordedFile]) -> VersionRecord:
    """Return the record of a version that is not recorded."""
    now_ns = time.time_ns()
    return VersionRecord(
        serial=serial,
        artifact=0,
        number=number,
        root=0,
        digest=digest,
        form=digest,
        created_ns=now_ns,
        mtime_ns=now_ns,
        mode=0o755,
        newest_ns=now_ns,
        files=len(files),
        bytes=sum(file.size for file in files),
        mount=serial,
        new_bytes=0,
        description=request.description or "",
        metadata=request.metadata or {},
        base=request.base,
        expires_ns=0 if request.ttl is None else now_ns + int(request.ttl * 1e9),
    )
