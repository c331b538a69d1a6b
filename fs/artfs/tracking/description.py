"""What an artifact is called and what is said of it: its name, its metadata, its aliases, its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from artfs.tracking.aliases import NameList
from artfs.tracking.naming import short_name
from artfs.tracking.values import iso, plain
from artfs.tracking.workspaces import the_workspace
from artstore.drafting.gathering import Gathering
from artstore.errors import InvalidInputError, RefusedError
from artstore.names import LATEST, check_alias, check_name, check_type, version_label
from artstore.queries.versions import Version
from artstore.records.catalogue import VersionRecord
from artstore.workspace import Workspace

__all__ = ["Described"]

_TTL_DAYS: Final = "ttl_days"
_DRAFT, _COMMITTED, _DELETED = "PENDING", "COMMITTED", "DELETED"


class Described:
    """What an artifact is called and what is said of it, whether it is a version already or not."""

    def __init__(
        self,
        name: str,
        type: str,
        description: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        incremental: bool = False,
        use_as: str | None = None,
    ) -> None:
        self._name = check_name(name)
        self._type: str | None = check_type(type)
        self._description = description
        self._metadata: dict[str, Any] | None = None if metadata is None else plain(metadata)
        self.incremental = incremental
        self._use_as = use_as
        self._workspace: Workspace | None = None
        self._gathering: Gathering | None = None
        self._base: Version | None = None
        self._version: Version | None = None
        self._included: list[int] = []
        self._ttl: timedelta | None = None
        self._aliases = NameList((), self.save)
        self._tags = NameList((), self.save)

    def _become(self, workspace: Workspace, version: Version) -> None:
        """Be a version from now on."""
        record = version.record
        self._workspace, self._version, self._gathering = workspace, version, None
        self._type, self._description, self._metadata = version.type, version.description, version.metadata
        self._ttl = _length(record)
        self._aliases = NameList(version.aliases, self.save)
        self._tags = NameList(version.tags, self.save)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.qualified_name}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Described) or self._version is None or other._version is None:
            return self is other
        return self._version == other._version

    def __hash__(self) -> int:
        return hash(self._version) if self._version is not None else id(self)

    # -- what it is ------------------------------------------------------------------------------------------------

    def _logged(self, what: str) -> Version:
        if self._version is None:
            raise RefusedError(
                f"the artifact {self._name!r} has no {what} before it is logged", hint="log it: run.log_artifact"
            )
        return self._version

    def _open(self) -> Gathering:
        """Return what is being put together; raise `RefusedError` where it is a version already."""
        if self._version is not None:
            raise RefusedError(
                f"{self._version.name} is a version, and does not change",
                hint="what comes next begins with: artifact.new_draft()",
            )
        if self._gathering is None:
            workspace = self._workspace or the_workspace()
            base = None if self._base is None else self._base.record
            self._gathering = Gathering(workspace.store, self._name, base)
            self._workspace = workspace
        return self._gathering

    @property
    def name(self) -> str:
        """Its name; with its version (``imagenet:v3``) once it is logged."""
        if self._version is None:
            return self._name
        return short_name(self._version.name)

    @property
    def qualified_name(self) -> str:
        """Its full name, with its version once it is logged: ``project/imagenet:v3``."""
        return self._name if self._version is None else self._version.name

    @property
    def project(self) -> str:
        """The project that it is in, or an empty text."""
        return self.qualified_name.rpartition("/")[0]

    @property
    def entity(self) -> str:
        """Nothing: a workspace has one owner."""
        return ""

    @property
    def collection(self) -> str:
        """The name of the artifact without a version."""
        return short_name(self._name if self._version is None else self._version.artifact)

    @property
    def version(self) -> str:
        """``v3``."""
        return version_label(self._logged("version").number)

    @property
    def type(self) -> str | None:
        """Its type."""
        return self._type

    @property
    def state(self) -> str:
        """``PENDING`` until it is logged, then ``COMMITTED``, ``DELETED`` at the end."""
        if self._version is None:
            return _DRAFT
        return _COMMITTED if self._is_there() else _DELETED

    @property
    def stored(self) -> Version | None:
        """The version that it is, or None."""
        return self._version

    @property
    def holds_anything(self) -> bool:
        """Whether something was put together."""
        return self._gathering is not None

    @property
    def has_base(self) -> bool:
        """Whether it began as a version."""
        return self._base is not None

    def is_draft(self) -> bool:
        """Return whether it has not been logged."""
        return self._version is None

    def _is_there(self) -> bool:
        assert self._version is not None and self._workspace is not None
        with self._workspace.store.snapshot() as snapshot:
            return snapshot.version(self._version.record.serial) is not None

    @property
    def id(self) -> str:
        """What names the version for ever, hex: it stays when the artifact is renamed."""
        version = self._logged("id")
        assert self._workspace is not None
        return f"{self._workspace.uuid.replace('-', '')[:8]}{version.record.serial:08x}"

    @property
    def digest(self) -> str:
        """The digest of its content, hex."""
        if self._version is not None:
            return self._version.digest
        return self._open().root().id.hex()

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return self._version.size if self._version is not None else self._open().totals().bytes

    @property
    def file_count(self) -> int:
        """Number of files."""
        return self._version.file_count if self._version is not None else self._open().totals().files

    @property
    def created_at(self) -> str:
        """When it was logged: ISO 8601, UTC, with ``Z``."""
        return iso(self._logged("time").created_at)

    @property
    def updated_at(self) -> str:
        """When it was logged: a version does not change."""
        return self.created_at

    @property
    def metadata(self) -> dict[str, Any]:
        """What is said of it, by name; changes hold when it is logged, or by ``save``."""
        if self._metadata is None:
            self._metadata = {}
        return self._metadata

    @metadata.setter
    def metadata(self, value: Mapping[str, Any]) -> None:
        self._metadata = plain(value)

    @property
    def description(self) -> str | None:
        """What is said of it in words; a change holds when it is logged, or by ``save``."""
        return self._description

    @description.setter
    def description(self, value: str | None) -> None:
        self._description = value

    @property
    def aliases(self) -> NameList:
        """Its aliases, ``latest`` among them where it is that; a change holds when it is logged, or by ``save``."""
        return self._aliases

    @aliases.setter
    def aliases(self, value: Sequence[str]) -> None:
        self._aliases = NameList(value, self.save)

    @property
    def tags(self) -> NameList:
        """Its tags; a change holds when it is logged, or by ``save``."""
        return self._tags

    @tags.setter
    def tags(self, value: Sequence[str]) -> None:
        self._tags = NameList(value, self.save)

    @property
    def ttl(self) -> timedelta | None:
        """How long after it was logged it goes by itself, or None; a change holds when it is logged, or by ``save``."""
        return self._ttl

    @ttl.setter
    def ttl(self, value: timedelta | None) -> None:
        if value is not None and not value > timedelta(0):
            raise InvalidInputError("the end of a version must lie in the future")
        self._ttl = value

    def said(self) -> dict[str, Any]:
        """Return what is said of a version that is to be made: the words of `artstore.changes.committing.Commit`."""
        return {
            "type": self._type,
            "description": self._description,
            "metadata": self._metadata,
            "aliases": [check_alias(alias) for alias in self._aliases if alias != LATEST],
            "tags": list(self._tags),
            "included": list(self._included),
            "ttl": self._seconds(),
        }

    def _seconds(self) -> float | None:
        if self._ttl is not None:
            return self._ttl.total_seconds()
        days = (self._metadata or {}).get(_TTL_DAYS)
        if days is None:
            return None
        if isinstance(days, bool) or not isinstance(days, int | float) or not days > 0:
            raise InvalidInputError(f"{_TTL_DAYS} is {days!r}, and must be a number of days, more than 0")
        return days * 86400.0

    def save(self) -> None:
        """Keep changes of metadata, description, aliases, tags and ttl of a version."""
        from artstore.changes.aliasing import revise

        version = self._logged("version to change")
        workspace = self._workspace
        assert workspace is not None
        revise(workspace.store, version.record, description=self._description or "", metadata=self._metadata or {})
        before = set(version.aliases) - {LATEST}
        wanted = {check_alias(each) for each in self._aliases if each != LATEST}
        if wanted - before:
            workspace.aliases.set(version.name, *sorted(wanted - before))
        if before - wanted:
            workspace.aliases.remove(version.artifact, *sorted(before - wanted))
        tags, had = set(self._tags), set(version.tags)
        if tags - had:
            workspace.tags.add(version.name, *sorted(tags - had))
        if had - tags:
            workspace.tags.remove(version.name, *sorted(had - tags))
        self._save_ttl(workspace, version)
        self._become(workspace, workspace.version(version.name))

    def _save_ttl(self, workspace: Workspace, version: Version) -> None:
        if self._ttl == _length(workspace.version(version.name).record):
            return
        if self._ttl is None:
            workspace.set_ttl(version.name, None)
        else:
            workspace.set_ttl(version.name, (version.created_at + self._ttl - datetime.now(UTC)).total_seconds())


def _length(record: VersionRecord) -> timedelta | None:
    """Return how long after it was made a version goes by itself, to the second."""
    if not record.expires_ns:
        return None
    return timedelta(seconds=round((record.expires_ns - record.created_ns) / 1e9))
