"""Versions as paths of universal_pathlib: ``UPath("artfs://NAME/v3/path")``."""

from __future__ import annotations

from contextlib import suppress

from fsspec import get_filesystem_class
from upath import UPath

__all__ = ["ArtfsPath"]


class ArtfsPath(UPath):
    """A path in `artfs.filesystem.ArtfsFileSystem`, registered for ``artfs://``."""

    __slots__ = ()


def _use_own_paths() -> None:
    """Make universal_pathlib split paths by the rules of the file system.

    It looks for these rules when it meets the first URL, before it loads this module, and remembers that it found none;
    its default rules take the first character of each name away.
    """
    get_filesystem_class("artfs")
    with suppress(ImportError, AttributeError):
        from upath._flavour import WrappedFileSystemFlavour

        WrappedFileSystemFlavour.from_protocol.cache_clear()


_use_own_paths()
