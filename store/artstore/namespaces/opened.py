"""An open workspace: what it is, and how it is closed."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from artstore.interrupts import deferring
from artstore.store import Store

__all__ = ["Opened"]


@deferring()
class Opened:
    """The identity and the life of an open workspace."""

    __slots__ = ("store",)

    def __init__(self, store: Store) -> None:
        self.store = store

    def __repr__(self) -> str:
        return f"<Workspace {self.path}>"

    def __eq__(self, other: object) -> bool:
        # A copy of a workspace has the same uuid.
        return isinstance(other, Opened) and self.uuid == other.uuid and self._folder == other._folder

    def __hash__(self) -> int:
        return hash(self.uuid)

    @property
    def _folder(self) -> tuple[int, int]:
        return self.store.folder_identity

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the files that this process holds open for the workspace; the next use opens them again."""
        self.store.close()

    @property
    def path(self) -> Path:
        """The workspace's folder."""
        return self.store.path

    @property
    def uuid(self) -> str:
        """The workspace's identity, which moves with its files."""
        return self.store.uuid

    @property
    def is_read_only(self) -> bool:
        """Whether the workspace is on a file system that is read-only as a whole."""
        return self.store.is_read_only
