"""The files of an artifact."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Protocol

from artfs.tracking.naming import logical_path
from artstore.errors import ExistsError, InvalidInputError, NotFoundError
from artstore.queries.versions import Version

__all__ = ["ArtifactEntry", "Owner", "entries_of", "paths_beginning"]


class Owner(Protocol):
    """What a file needs of its artifact."""

    @property
    def qualified_name(self) -> str:
        """The artifact's full name, with its version once it is logged."""

    def download_file(self, root: str | os.PathLike[str] | None, path: str) -> str:
        """Return a folder that holds the file at a path."""

    def target(self, digest: str) -> str:
        """Return the URI of the reference with a digest."""


class ArtifactEntry:
    """One file of an artifact: ``path`` and ``name`` inside it, ``size`` in bytes, ``digest`` in hex.

    The digest of a file whose bytes stay outside is that of its reference.  ``local_path`` is the file that a program
    added, or None.
    """

    def __init__(
        self,
        artifact: Owner,
        path: str,
        size: int,
        digest: str,
        is_reference: bool = False,
        local_path: str | None = None,
    ) -> None:
        self._is_reference = is_reference
        self._artifact = artifact
        self.path = self.name = path
        self.size = size
        self.digest = digest
        self.local_path = local_path
        self.extra: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"<ArtifactEntry {self.path}>"

    def parent_artifact(self) -> Owner:
        """Return the artifact that the file belongs to."""
        return self._artifact

    def download(
        self,
        root: str | os.PathLike[str] | None = None,
        replace: bool | None = None,
        exist_ok: bool = False,
        *,
        skip_cache: bool | None = None,
        executor: object = None,
        api: object = None,
    ) -> str:
        """Return the path of a readable copy of the file; with ``root``, of one below that folder.

        A file that exists below ``root`` with other content is replaced, or kept with ``exist_ok``; with
        ``replace=False`` it raises `ExistsError`.
        """
        if root is not None and not replace:
            target = os.path.join(os.fspath(root), self.path)
            if os.path.lexists(target) and exist_ok:
                return os.path.abspath(target)
            if os.path.lexists(target) and replace is False:
                raise ExistsError(f"{target} exists", hint="pass replace=True or exist_ok=True")
        return os.path.join(self._artifact.download_file(root, self.path), self.path)

    @property
    def ref(self) -> str | None:
        """The URI of a file whose bytes stay outside, or None."""
        return self._artifact.target(self.digest) if self._is_reference else None

    def ref_url(self) -> str:
        """Return what names the file: ``artfs://NAME:v3/path``."""
        return f"artfs://{self._artifact.qualified_name}/{self.path}"

    def ref_target(self) -> str:
        """Return the URI of a file whose bytes stay outside; raise `InvalidInputError` for any other."""
        target = self.ref
        if target is None:
            raise InvalidInputError(f"{self.path!r} is stored, not a reference", hint="use ref_url()")
        return target


def entries_of(owner: Owner, version: Version) -> Iterator[ArtifactEntry]:
    """Yield the files of a version, in the order of their paths."""
    for folder, _, names in version.walk():
        listed = {info.name: info for info in version.listdir(folder)}
        for name in names:
            info = listed[name]
            path = f"{folder}/{name}" if folder else name
            yield ArtifactEntry(owner, path, info.size, info.digest, info.is_reference)


def paths_beginning(version: Version, prefix: str | os.PathLike[str]) -> list[str]:
    """Return the files and folders, in the folder of a prefix, whose paths begin with its text.

    Raises `NotFoundError` if there are none.
    """
    text = os.fspath(prefix)
    folder, _, beginning = (logical_path(text) + ("/" if text.endswith("/") else "")).rpartition("/")
    names = []
    with suppress(NotADirectoryError, NotFoundError):
        names = [info.name for info in version.listdir(folder) if info.name.startswith(beginning)]
    if not names:
        raise NotFoundError(f"{version.name} has no path that begins with {text!r}")
    return [f"{folder}/{name}" if folder else name for name in names]
