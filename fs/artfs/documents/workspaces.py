"""Documents about a workspace and its settings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from artfs.documents.encoding import Document, omittable

if TYPE_CHECKING:
    from artstore.rows.settings import Settings

__all__ = ["SettingsDocument", "SharedDocument", "WorkspaceDocument"]


@dataclass(frozen=True, slots=True)
class WorkspaceDocument(Document):
    """The workspace that was made, or was there; ``default`` if it was made the default (``artfs init``)."""

    schema: ClassVar[str] = "artfs.workspace/1"
    workspace: str
    uuid: str
    created: bool
    default: bool


@dataclass(frozen=True, slots=True)
class SharedDocument(Document):
    """Whom the workspace is shared with: a Unix group, or null for its owner alone (``artfs config shared``)."""

    schema: ClassVar[str] = "artfs.shared/1"
    workspace: str
    group: str | None


@dataclass(frozen=True, slots=True)
class SettingsDocument(Document):
    """The settings of the workspace, or the one that was named (``artfs config``).

    A rate of 0 is no limit.
    """

    schema: ClassVar[str] = "artfs.config/1"
    undelete_seconds: float | None = omittable()
    reap_bytes_per_second: int | None = omittable()
    reap_nodes_per_second: int | None = omittable()
    protected_aliases: Sequence[str] | None = omittable()
    reference_cache_bytes: int | None = omittable()
    record_origin: bool | None = omittable()

    @classmethod
    def of(cls, settings: Settings, names: Iterable[str]) -> SettingsDocument:
        """Return the document of the settings that have these names."""
        return cls(**{name: getattr(settings, name) for name in names})
