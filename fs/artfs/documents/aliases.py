"""Documents about aliases and tags."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

from artfs.documents.encoding import Document, Record
from artstore.names import version_label

if TYPE_CHECKING:
    from artstore.queries.artifacts import AliasChange
    from artstore.queries.versions import Version

__all__ = [
    "AliasChangeItem",
    "AliasItem",
    "AliasLogDocument",
    "AliasRemovalDocument",
    "AliasSettingDocument",
    "AliasesDocument",
    "TagsDocument",
]


@dataclass(frozen=True, slots=True)
class AliasItem(Record):
    """One alias and the label of its version, such as ``v3``."""

    alias: str
    version: str


@dataclass(frozen=True, slots=True)
class AliasesDocument(Document):
    """The aliases of an artifact, sorted (``artfs alias ls``)."""

    schema: ClassVar[str] = "artfs.aliases/1"
    artifact: str
    aliases: Sequence[AliasItem]

    @classmethod
    def of(cls, artifact: str, aliases: Mapping[str, int]) -> AliasesDocument:
        """Return the document of an artifact's aliases, given the number of the version of each."""
        return cls(artifact, [AliasItem(alias, version_label(number)) for alias, number in sorted(aliases.items())])


@dataclass(frozen=True, slots=True)
class AliasSettingDocument(Document):
    """The aliases that were pointed at a version (``artfs alias set``)."""

    schema: ClassVar[str] = "artfs.alias_setting/1"
    artifact: str
    version: str
    aliases: Sequence[str]

    @classmethod
    def of(cls, version: Version, aliases: Sequence[str]) -> AliasSettingDocument:
        """Return the document of aliases that now name a version."""
        return cls(version.artifact, version_label(version.number), aliases)


@dataclass(frozen=True, slots=True)
class AliasRemovalDocument(Document):
    """The aliases that were removed from an artifact (``artfs alias rm``)."""

    schema: ClassVar[str] = "artfs.alias_removal/1"
    artifact: str
    removed: Sequence[str]


@dataclass(frozen=True, slots=True)
class AliasChangeItem(Record):
    """One change of an alias; ``version`` is null if the alias was removed."""

    alias: str
    version: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class AliasLogDocument(Document):
    """The last changes of an artifact's aliases, newest first (``artfs alias log``)."""

    schema: ClassVar[str] = "artfs.alias_log/1"
    artifact: str
    changes: Sequence[AliasChangeItem]

    @classmethod
    def of(cls, artifact: str, changes: Iterable[AliasChange]) -> AliasLogDocument:
        """Return the document of changes, in their order."""
        items = [
            AliasChangeItem(
                alias=change.alias,
                version=None if change.version is None else version_label(change.version),
                at=change.at,
            )
            for change in changes
        ]
        return cls(artifact, items)


@dataclass(frozen=True, slots=True)
class TagsDocument(Document):
    """All tags of a version, after the change if there was one (``artfs tag add``, ``tag rm``, ``tag ls``)."""

    schema: ClassVar[str] = "artfs.tags/1"
    artifact: str
    version: str
    tags: Sequence[str]

    @classmethod
    def of(cls, version: Version, tags: Sequence[str]) -> TagsDocument:
        """Return the document of a version's tags."""
        return cls(version.artifact, version_label(version.number), tags)
