"""Versions as a file system of fsspec: ``artfs://NAME:v3/path``, for pandas, pyarrow, datasets and others.

Nothing needs to be mounted.  It is read-only.  A version's directory holds its files; above versions, ``artfs://NAME``
holds the versions of an artifact, and a project holds its projects and artifacts.
"""

from __future__ import annotations

import errno
import os
from typing import Any, ClassVar

from fsspec.spec import AbstractFileSystem

import artstore.workspace
from artstore.errors import NotFoundError
from artstore.names import version_label
from artstore.queries.versions import FileInfo, Version

__all__ = ["ArtfsFileSystem"]


class ArtfsFileSystem(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no annotations
    """The workspace at ``workspace``, else the one that the command line would use."""

    protocol: ClassVar[str] = "artfs"
    root_marker: ClassVar[str] = ""

    def __init__(self, workspace: str | os.PathLike[str] | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._workspace = artstore.workspace.open_workspace(workspace)

    @property
    def fsid(self) -> str:
        """An id that distinguishes this workspace from others."""
        return f"artfs-{self._workspace.uuid}"

    def _version(self, path: str) -> tuple[Version, str]:
        version, inside = self._workspace.resolve(path)
        return version, os.fsdecode(inside)

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        """List a directory, or a single file; raise `NotFoundError` if the path does not exist."""
        name = self._strip_protocol(path)
        if ":" in name:
            version, inside = self._version(name)
            artifact, _, rest = name.partition(":")
            top = f"{artifact}:{rest.partition('/')[0]}"
            status = version.stat(inside)
            if status.kind != "directory":
                listed = [_entry(f"{top}/{inside}", status)]
            else:
                prefix = f"{top}/{inside}" if inside else top
                listed = [self._followed(version, inside, prefix, info) for info in version.listdir(inside)]
        else:
            listed = self._above_versions(name)
        return listed if detail else [entry["name"] for entry in listed]

    def _followed(self, version: Version, inside: str, prefix: str, info: FileInfo) -> dict[str, Any]:
        """Return an entry; for a link, that of its target."""
        name = info.name
        if info.kind == "link":
            info = version.stat(f"{inside}/{name}" if inside else name)
        return _entry(f"{prefix}/{name}", info)

    def _above_versions(self, name: str) -> list[dict[str, Any]]:
        artifacts = self._workspace.artifacts()
        if any(artifact.name == name for artifact in artifacts):
            labels = [version_label(version.number) for version in self._workspace.versions(name)]
            return [_directory(f"{name}:{label}") for label in labels]
        prefix = f"{name}/" if name else ""
        below = [artifact.name for artifact in artifacts if artifact.name.startswith(prefix)]
        if not below and name:
            raise NotFoundError(f"there is no artifact or project {name!r}")
        return [_directory(prefix + each) for each in dict.fromkeys(n[len(prefix) :].partition("/")[0] for n in below)]

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Describe a file or directory; raise `NotFoundError` if the path does not exist."""
        name = self._strip_protocol(path)
        if ":" not in name:
            self._above_versions(name)
            return _directory(name)
        version, inside = self._version(name)
        return _entry(name, version.stat(inside))

    def _open(self, path: str, mode: str = "rb", **_: Any) -> Any:
        if mode != "rb":
            raise OSError(errno.EROFS, "versions are read-only", path)
        version, inside = self._version(self._strip_protocol(path))
        return version.open(inside)

    def modified(self, path: str) -> Any:
        """Return the modification time of a file or directory."""
        version, inside = self._version(self._strip_protocol(path))
        return version.stat(inside).mtime

    def created(self, path: str) -> Any:
        """Return when the version that a path is in was made."""
        version, inside = self._version(self._strip_protocol(path))
        version.stat(inside)  # NotFoundError if there is nothing
        return version.created_at

    def checksum(self, path: str) -> int:
        """Return a number that identifies this content."""
        version, inside = self._version(self._strip_protocol(path))
        return int(version.stat(inside).digest, 16)


def _entry(name: str, info: FileInfo) -> dict[str, Any]:
    if info.kind == "directory":
        return _directory(name)
    return {
        "name": name,
        "type": "file",
        "size": info.size,
        "digest": info.digest,
        "ETag": info.digest,  # the key under which `datasets` and others look for a content id
        "mtime": info.mtime.timestamp(),
    }


def _directory(name: str) -> dict[str, Any]:
    return {"name": name, "type": "directory", "size": 0}
