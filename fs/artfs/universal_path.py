"""Versions as paths of universal_pathlib: ``UPath("artfs://NAME/v3/path")``."""

from __future__ import annotations

from upath import UPath

__all__ = ["ArtfsPath"]


class ArtfsPath(UPath):
    """A path in `artfs.filesystem.ArtfsFileSystem`, registered for ``artfs://``."""

    __slots__ = ()
