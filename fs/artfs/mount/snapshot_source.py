"""The interface of a store to the serving core."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from artstore.rows.snapshot import Snapshot

if TYPE_CHECKING:
    from artstore.references.reading import Outside

__all__ = ["SnapshotSource"]


class SnapshotSource(Protocol):
    """The interface of a store to the serving core."""

    @property
    def uuid(self) -> str:
        """Return the workspace's identity."""

    @property
    def path(self) -> Path:
        """Return the path of the workspace."""

    @property
    def created_ns(self) -> int:
        """Return the creation time of the workspace."""

    @property
    def outside(self) -> Outside:
        """Return the reader of outside content."""

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """Return a consistent view."""
