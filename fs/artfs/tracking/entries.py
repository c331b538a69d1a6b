"""The files of an artifact."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Protocol

from artstore.errors import InvalidInputError
from artstore.queries.versions import Version

__all__ = ["ArtifactEntry", "Owner", "entries_of"]


class Owner(Protocol):
    """What a file needs of its artifact."""

    @property
    def qualified_name(self) -> str:
        """The artifact's full name, with its version once it is logged."""

    def download(
        self, root: str | os.PathLike[str] | None = None, *, path_prefix: str | os.PathLike[str] | None = None
    ) -> str:
        """Return a folder that holds the part of the artifact at a path."""

    def target(self, digest: str) -> str:
        """Return the URI of the reference with a digest."""


class ArtifactEntry:
    """One file of an artifact: ``path`` and ``name`` inside it, ``size`` in bytes, ``digest`` in hex.

    The digest of a file whose bytes stay outside is that of its reference.
    """

    def __init__(self, artifact: Owner, path: str, size: int, digest: str, is_reference: bool = False) -> None:
        self._is_reference = is_reference
        self._artifact = artifact
        self.path = self.name = path
        self.size = size
        self.digest = digest

    def __repr__(self) -> str:
        return f"<ArtifactEntry {self.path}>"

    def download(self, root: str | os.PathLike[str] | None = None) -> str:
        """Return the path of a readable copy of the file; with ``root``, of one below that folder."""
        return os.path.join(self._artifact.download(root, path_prefix=self.path), self.path)

    def ref(self) -> str:
        """Return what names the file: ``artfs://NAME:v3/path``."""
        return f"artfs://{self._artifact.qualified_name}/{self.path}"

    ref_url = ref

    def ref_target(self) -> str:
        """Return the URI of a file whose bytes stay outside; raise `InvalidInputError` for any other."""
        if not self._is_reference:
            raise InvalidInputError(f"{self.path!r} is stored, not a reference", hint="use ref()")
        return self._artifact.target(self.digest)


def entries_of(owner: Owner, version: Version) -> Iterator[ArtifactEntry]:
    """Yield the files of a version, in the order of their paths."""
    for folder, _, names in version.walk():
        listed = {info.name: info for info in version.listdir(folder)}
        for name in names:
            info = listed[name]
            path = f"{folder}/{name}" if folder else name
            yield ArtifactEntry(owner, path, info.size, info.digest, info.is_reference)
