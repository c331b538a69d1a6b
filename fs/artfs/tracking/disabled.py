"""The mode ``disabled``: runs and artifacts work, and nothing is recorded.

A workspace that exists can be read.  What a run would write (its record and metrics, versions, aliases) is kept in
this object or dropped, so that a program's tests leave no trace.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from artfs.tracking.unrecorded import UnrecordedFile, UnrecordedGathering, UnrecordedVersion, record_of
from artstore.arguments import Duration, texts_of
from artstore.errors import NotFoundError, WorkspaceNotFoundError
from artstore.names import check_name, check_run, parse_reference
from artstore.queries.versions import Version
from artstore.records.catalogue import RunRecord, end_after
from artstore.workspace import ArtifactInfo, Workspace, open_workspace

__all__ = ["DisabledWorkspace"]

_FIRST_SERIAL: Final = 1 << 31
"""Beyond the serials of recorded versions, which have 31 bits."""
_NO_UUID: Final = "00000000-0000-0000-0000-000000000000"


class DisabledWorkspace(Workspace):
    """The workspace as a run in the mode ``disabled`` sees it: the real one to read, and this process's versions."""

    __slots__ = ("_made", "_real", "_serials")

    def __init__(self) -> None:
        self._real: Workspace | None = None
        self._made: dict[str, list[UnrecordedVersion]] = {}
        self._serials = itertools.count(_FIRST_SERIAL)

    @property
    def store(self) -> Any:  # type: ignore[override]
        """The store of the real workspace; raises `WorkspaceNotFoundError` if there is none."""
        if self._real is None:
            self._real = open_workspace()
        return self._real.store

    @property
    def uuid(self) -> str:
        """The identity of the real workspace."""
        try:
            return str(self.store.uuid)
        except WorkspaceNotFoundError:
            return _NO_UUID

    @property
    def _folder(self) -> tuple[int, int]:
        return (0, 0)

    # -- what this process has made --------------------------------------------------------------------------------

    def make(self, request: Any, files: Iterable[UnrecordedFile], digest: bytes) -> UnrecordedVersion:
        """Return a new version of an artifact, which only this process has."""
        made = self._made.setdefault(request.name, [])
        listed = list(files)
        record = record_of(next(self._serials), self.next_version(request.name), request, digest, listed)
        version = UnrecordedVersion(self, request.name, record, request.type, listed)
        version.aliases = list(request.aliases)
        made.append(version)
        return version

    def placeholder(self, name: str, type: str | None) -> UnrecordedVersion:
        """Return an empty version for one that a run uses and that does not exist."""
        from artstore.changes.committing import Commit

        return self.make(Commit.checked(parse_reference(name).name, type=type), (), bytes(32))

    def found(self, ref: str) -> UnrecordedVersion | None:
        """Return the version of this process that a reference names."""
        reference = parse_reference(ref)
        for version in reversed(self._made.get(reference.name, ())):
            if reference.version == version.number or reference.alias in version.aliases:
                return version
        return None

    # -- reading ---------------------------------------------------------------------------------------------------

    def next_version(self, name: str) -> int:
        """Return the number that the artifact's next version would have."""
        made = self._made.get(name)
        if made:
            return made[-1].number + 1
        try:
            return super().next_version(name)
        except NotFoundError:
            return 0

    def version(self, ref: str) -> Version:
        """Return a version of this process, else of the real workspace."""
        return self.found(ref) or super().version(ref)

    def resolve(self, ref: str) -> tuple[Version, bytes]:
        """Return (version, path inside it)."""
        made = self.found(ref)
        return super().resolve(ref) if made is None else (made, parse_reference(ref).path)

    def version_by_serial(self, serial: int) -> Version | None:
        """Return a version by its serial."""
        for version in itertools.chain.from_iterable(self._made.values()):
            if version.record.serial == serial:
                return version
        return None if serial >= _FIRST_SERIAL else super().version_by_serial(serial)

    def has_artifact(self, name: str) -> bool:
        """Return whether this process or the real workspace has an artifact."""
        try:
            return bool(self._made.get(name)) or super().has_artifact(name)
        except WorkspaceNotFoundError:
            return False

    def artifacts(self, project: str = "") -> list[ArtifactInfo]:
        """Return the artifacts of the real workspace."""
        try:
            return super().artifacts(project)
        except WorkspaceNotFoundError:
            return []

    def versions(self, name: str) -> list[Version]:
        """Return the versions of an artifact."""
        made: list[Version] = list(self._made.get(name, ()))
        return made or super().versions(name)

    def mounted_folder(self, version: Version) -> Path | None:
        """Return a version's folder on a mount."""
        return None if isinstance(version, UnrecordedVersion) else super().mounted_folder(version)

    def lineage(self, ref: str, **options: Any) -> Any:
        """Return the lineage of a version; one of this process has none."""
        return _NoLineage() if self.found(ref) is not None else super().lineage(ref, **options)

    # -- what would be written -------------------------------------------------------------------------------------

    def link(self, ref: str, target: str, *, aliases: Sequence[str] = ()) -> Version:
        """Return a version of ``target`` with the same description."""
        from artstore.changes.committing import Commit

        version = self.version(ref)
        return self.make(
            Commit.checked(target, type=version.type, aliases=aliases, metadata=version.metadata),
            (),
            bytes.fromhex(version.digest),
        )

    def delete(self, *refs: str, **_: Any) -> Any:
        """Forget versions of this process."""
        for ref in texts_of(refs, "the versions to delete"):
            made = self.found(ref)
            if made is not None:
                self._made[made.artifact].remove(made)

    def revise(self, ref: str, *, description: str | None = None, metadata: Mapping[str, Any] | None = None) -> None:
        """Change the description of a version of this process."""
        made = self.found(ref)
        if made is not None:
            made.change(
                description=made.description if description is None else description,
                metadata=made.metadata if metadata is None else dict(metadata),
            )

    @property
    def aliases(self) -> Any:
        """Aliases, of versions of this process only."""
        return _Names(self, "aliases")

    @property
    def tags(self) -> Any:
        """Tags, of versions of this process only."""
        return _Names(self, "tags")

    @property
    def drafts(self) -> Any:
        """Drafts that are not stored."""
        return _Drafts(self)

    @property
    def retention(self) -> Any:
        """Times of expiry, of versions of this process only."""
        return _Retention(self)

    @property
    def runs(self) -> Any:
        """Runs that are not recorded."""
        return _Runs(self)


class _NoLineage:
    nodes: tuple[()] = ()
    edges: tuple[()] = ()


class _Names:
    """The aliases or tags of versions of this process."""

    def __init__(self, workspace: DisabledWorkspace, kind: str) -> None:
        self._workspace = workspace
        self._kind = kind

    def add(self, ref: str, *names: str) -> list[str]:
        made = self._workspace.found(ref)
        if made is not None:
            setattr(made, self._kind, [*getattr(made, self._kind), *texts_of(names, self._kind)])
        return []

    set = add

    def remove(self, ref: str, *names: str, **_: object) -> list[str]:
        for made in self._workspace.versions(ref) if self._kind == "aliases" else [self._workspace.version(ref)]:
            if isinstance(made, UnrecordedVersion):
                gone = texts_of(names, self._kind)
                setattr(made, self._kind, [name for name in getattr(made, self._kind) if name not in gone])
        return []


class _Retention:
    def __init__(self, workspace: DisabledWorkspace) -> None:
        self._workspace = workspace

    def set_ttl(self, ref: str, ttl: Duration | None) -> None:
        made = self._workspace.found(ref)
        if made is not None:
            made.change(expires_ns=0 if ttl is None else end_after(float(ttl)))  # type: ignore[arg-type]


class _Drafts:
    def __init__(self, workspace: DisabledWorkspace) -> None:
        self._workspace = workspace

    def gather(self, name: str, base: Version | None = None) -> UnrecordedGathering:
        return UnrecordedGathering(name, self._workspace.make, base)

    def get(self, id: str) -> _Draft:
        return _Draft(self._workspace)

    def new(self, name: str, **_: object) -> _Draft:
        return _Draft(self._workspace)


class _Draft:
    """A draft to which several runs add; what they add is dropped."""

    said: Final[dict[str, Any]] = {}

    def __init__(self, workspace: DisabledWorkspace) -> None:
        self._workspace = workspace

    def record(self) -> _Draft:
        return self

    def merge(self, form: bytes, by: str, **_: object) -> None:
        pass

    def commit_as(self, request: Any) -> Version:
        return self._workspace.make(request, (), bytes(32))


class _Lease:
    """What marks a run as running, where there is nothing to mark."""

    def close(self) -> None:
        pass


class _Runs:
    """The run of this process, and the recorded ones to read."""

    _records: Final[dict[int, RunRecord]] = {}
    _numbers: Final = itertools.count(1 << 40)

    def __init__(self, workspace: DisabledWorkspace) -> None:
        self._workspace = workspace

    def _recorded(self) -> Any:
        return super(DisabledWorkspace, self._workspace).runs

    def start(self, project: str, id: str = "", *, resume: bool = False, **fields: Any) -> tuple[RunRecord, _Lease]:
        number = next(self._numbers)
        project, ident = (
            check_name(project) if project else "",
            check_run(id) if id else f"disabled-{number - (1 << 40)}",
        )
        record = RunRecord(number, project, ident, time.time_ns(), pid=os.getpid(), **fields)
        self._records[number] = record
        return record, _Lease()

    def change(self, number: int, **fields: Any) -> RunRecord:
        self._records[number] = replace(self._records[number], **fields)
        return self._records[number]

    def log(self, number: int, rows: Sequence[Mapping[str, Any]], summary: Mapping[str, Any]) -> RunRecord:
        return self.change(number, summary=dict(summary), steps=self._records[number].steps + len(rows))

    def rows(self, number: int) -> Iterator[dict[str, Any]] | list[dict[str, Any]]:
        return [] if number in self._records else self._recorded().rows(number)

    def state(self, record: RunRecord) -> str:
        return record.state if record.number in self._records else str(self._recorded().state(record))

    def use(self, number: int, version: Version, name: str) -> None:
        pass

    def versions(self, number: int, *, used: bool) -> list[Version]:
        return [] if number in self._records else self._recorded().versions(number, used=used)

    def get(self, title: str) -> RunRecord:
        for record in self._records.values():
            if record.title == title:
                return record
        return self._recorded().get(title)  # type: ignore[no-any-return]

    def all(self, project: str | None = None) -> list[RunRecord]:
        try:
            return self._recorded().all(project)  # type: ignore[no-any-return]
        except WorkspaceNotFoundError:
            return []
