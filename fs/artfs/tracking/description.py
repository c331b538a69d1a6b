"""The description of an artifact: its type, text, metadata, aliases, tags and time to live."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Self

from artfs.tracking.aliases import NameList
from artfs.tracking.conversion import json_value, json_values
from artstore.arguments import Duration, seconds_of
from artstore.errors import InvalidInputError
from artstore.names import LATEST, check_alias
from artstore.queries.versions import Version
from artstore.records.catalogue import end_after
from artstore.workspace import Workspace

if TYPE_CHECKING:
    from artstore.changes.committing import VersionOptions

__all__ = ["ArtifactTTL", "Described", "Description"]

_TTL_DAYS: Final = "ttl_days"


class ArtifactTTL(Enum):
    """``INHERIT`` is the time to live that retention rules give; it is the default."""

    INHERIT = 0


@dataclass
class Description:
    """What a program says of an artifact; it is written when that is logged, or by ``save``."""

    type: str | None
    text: str | None
    metadata: dict[str, Any] | None
    aliases: NameList
    tags: NameList
    ttl: timedelta | None = None

    @classmethod
    def of(cls, version: Version, save: Callable[[], object]) -> Self:
        """Return the description that a version has."""
        aliases, tags = NameList(version.aliases, save, "aliases"), NameList(version.tags, save, "tags")
        return cls(version.type, version.description, version.metadata, aliases, tags, _length(version))

    def options(self) -> VersionOptions:
        """Return what a commit takes; raise `InvalidInputError` for an invalid alias or ``ttl_days``."""
        return {
            "type": self.type,
            "description": self.text,
            "metadata": None if self.metadata is None else json_values(self.metadata),
            "aliases": _checked(self.aliases),
            "ttl": self._seconds(),
        }

    def _seconds(self) -> float | None:
        if self.ttl is not None:
            return self.ttl.total_seconds()
        days = json_value((self.metadata or {}).get(_TTL_DAYS))
        if days is None:
            return None
        if isinstance(days, bool) or not isinstance(days, int | float) or not days > 0:
            raise InvalidInputError(f"{_TTL_DAYS} must be a positive number of days, not {days!r}")
        return days * 86400.0

    def write(self, workspace: Workspace, version: Version) -> None:
        """Change the description that a version has to this one."""
        workspace.revise(version.name, description=self.text or "", metadata=json_values(self.metadata or {}))
        aliases, old_aliases = set(_checked(self.aliases)), set(version.aliases) - {LATEST}
        if aliases - old_aliases:
            workspace.aliases.set(version.name, *sorted(aliases - old_aliases))
        if old_aliases - aliases:
            workspace.aliases.remove(version.artifact, *sorted(old_aliases - aliases))
        tags, old_tags = set(self.tags), set(version.tags)
        if tags - old_tags:
            workspace.tags.add(version.name, *sorted(tags - old_tags))
        if old_tags - tags:
            workspace.tags.remove(version.name, *sorted(old_tags - tags))
        self._write_ttl(workspace, version)

    def _write_ttl(self, workspace: Workspace, version: Version) -> None:
        if self.ttl == _length(workspace.version(version.name)):
            return
        if self.ttl is None:
            workspace.retention.set_ttl(version.name, None)
        else:
            workspace.retention.set_ttl(
                version.name, (version.created_at + self.ttl - datetime.now(UTC)).total_seconds()
            )


class Described:
    """What a program reads and changes of an artifact's description."""

    _description: Description

    def save(self) -> None:
        """Keep the changes."""
        raise NotImplementedError

    @property
    def type(self) -> str | None:
        """Its type."""
        return self._description.type

    @property
    def metadata(self) -> dict[str, Any]:
        """Values by name; changes are kept when it is logged, or by ``save``."""
        if self._description.metadata is None:
            self._description.metadata = {}
        return self._description.metadata

    @metadata.setter
    def metadata(self, value: Mapping[str, Any]) -> None:
        self._description.metadata = json_values(value)

    @property
    def description(self) -> str | None:
        """Its description; a change is kept when it is logged, or by ``save``."""
        return self._description.text

    @description.setter
    def description(self, value: str | None) -> None:
        self._description.text = value

    @property
    def aliases(self) -> NameList:
        """Its aliases, with ``latest`` if it is that; a change is kept when it is logged, or by ``save``."""
        return self._description.aliases

    @aliases.setter
    def aliases(self, value: Sequence[str]) -> None:
        self._description.aliases = NameList(value, self.save, "aliases")

    @property
    def tags(self) -> NameList:
        """Its tags; a change is kept when it is logged, or by ``save``."""
        return self._description.tags

    @tags.setter
    def tags(self, value: Sequence[str]) -> None:
        self._description.tags = NameList(value, self.save, "tags")

    @property
    def ttl(self) -> timedelta | None:
        """How long after it was logged it expires, or None; a change is kept when it is logged, or by ``save``."""
        return self._description.ttl

    @ttl.setter
    def ttl(self, value: Duration | ArtifactTTL | None) -> None:
        self._description.ttl = None if value is None or isinstance(value, ArtifactTTL) else _lasting(value)


def _checked(aliases: Iterable[str]) -> list[str]:
    """Return aliases without ``latest``, which is computed; raise `InvalidInputError` for an invalid one."""
    return [check_alias(alias) for alias in aliases if alias != LATEST]


def _lasting(value: Duration) -> timedelta:
    """Return a time to live; raise `InvalidInputError` for one that has ended."""
    seconds = seconds_of(value, "ttl")
    end_after(seconds)
    return timedelta(seconds=seconds)


def _length(version: Version) -> timedelta | None:
    """Return the time from when a version was made until it expires, to the second."""
    record = version.record
    if not record.expires_ns:
        return None
    return timedelta(seconds=round((record.expires_ns - record.created_ns) / 1e9))
