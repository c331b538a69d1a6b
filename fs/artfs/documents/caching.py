"""Documents about the copies that downloads have left on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

from artfs.documents.encoding import Document, Record

if TYPE_CHECKING:
    from artstore.queries.versions import Version

__all__ = [
    "CacheCleanupDocument",
    "CacheDocument",
    "CachePreloadDocument",
    "CachedCopyItem",
    "PreloadedItem",
    "RemoteCacheDocument",
]


@dataclass(frozen=True, slots=True)
class CachedCopyItem(Record):
    """One copy; ``link`` if it is a link to a folder elsewhere, ``used_at`` the time of its last use."""

    digest: str
    path: str
    bytes: int
    link: bool
    used_at: datetime


@dataclass(frozen=True, slots=True)
class CacheDocument(Document):
    """The folder of the cache, the bytes that it takes, and its copies (``artfs cache info``)."""

    schema: ClassVar[str] = "artfs.cache/1"
    path: str
    bytes: int
    copies: Sequence[CachedCopyItem]

    @classmethod
    def of(cls, path: str, copies: Sequence[CachedCopyItem]) -> CacheDocument:
        """Return the document of the copies in the folder ``path``."""
        return cls(path, sum(copy.bytes for copy in copies), copies)


@dataclass(frozen=True, slots=True)
class CacheCleanupDocument(Document):
    """How many copies were removed, and the bytes that were freed (``artfs cache cleanup``)."""

    schema: ClassVar[str] = "artfs.cache_cleanup/1"
    removed: int
    freed_bytes: int


@dataclass(frozen=True, slots=True)
class RemoteCacheDocument(Document):
    """What the cache of remotes takes, and at most takes, for all workspaces of the user (``artfs config cache``)."""

    schema: ClassVar[str] = "artfs.remote_cache/1"
    path: str
    bytes: int
    limit_bytes: int


@dataclass(frozen=True, slots=True)
class PreloadedItem(Record):
    """One version that the cache has now, and where."""

    name: str
    digest: str
    path: str

    @classmethod
    def of(cls, version: Version, path: str) -> PreloadedItem:
        """Return the item of a version that was copied to ``path``."""
        return cls(version.name, version.digest, path)


@dataclass(frozen=True, slots=True)
class CachePreloadDocument(Document):
    """The versions that were copied into the cache (``artfs cache preload``)."""

    schema: ClassVar[str] = "artfs.cache_preload/1"
    copies: Sequence[PreloadedItem]
