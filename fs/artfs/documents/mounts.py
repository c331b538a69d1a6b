"""Documents about a mount that was made, ended or found; `artfs mount` loads them, so the larger ones are elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from artfs.documents.encoding import Document

__all__ = ["MountDocument", "PathDocument", "UnmountDocument"]


@dataclass(frozen=True, slots=True)
class MountDocument(Document):
    """The mount that was made (``artfs mount``)."""

    schema: ClassVar[str] = "artfs.mount/1"
    workspace: str
    directory: str
    pid: int


@dataclass(frozen=True, slots=True)
class UnmountDocument(Document):
    """The mount that was ended (``artfs umount``)."""

    schema: ClassVar[str] = "artfs.umount/1"
    directory: str


@dataclass(frozen=True, slots=True)
class PathDocument(Document):
    """The folder of a version under a mount; ``mounted_now`` if the command made that mount (``artfs path``)."""

    schema: ClassVar[str] = "artfs.path/1"
    path: str
    version: str
    mounted_now: bool
