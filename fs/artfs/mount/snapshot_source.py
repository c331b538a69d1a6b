"""What the serving core needs from a store."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from artstore.rows.snapshot import Snapshot

if TYPE_CHECKING:
    from artstore.references.reading import Outside

__all__ = ["SnapshotSource"]


class SnapshotSource(Protocol):
    """What the serving core needs from a store."""

    @property
    def uuid(self) -> str:
        """Return the workspace's identity."""

    @property
    def path(self) -> Path:
        """Return where the workspace is."""

    @property
    def created_ns(self) -> int:
        """Return when the workspace was made."""

    @property
    def outside(self) -> Outside:
        """Return what references lead to."""

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """Return a consistent view."""
