"""The Python API of the store: everything that the command line and training scripts do with a workspace.

    ws = open_workspace()
    v = ws.put("data/", "imagenet", type="dataset", aliases=["clean"], metadata={"split": "train"})
    with v.open("train/cat/0001.jpg") as f: ...

A `Workspace` is cheap to make, and good in threads, in forked and spawned children, and pickled.  What a training
script does not need to read (putting, comparing, copying out, accounting) is imported when it is first called.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from artstore import locate
from artstore.errors import InvalidInputError, NotFoundError
from artstore.names import check_alias, check_name, check_type, parse_reference, version_label
from artstore.queries.resolving import (
    find_artifact,
    is_digest,
    looks_like_path,
    reference_of,
    resolve,
    resolve_recorded,
    tree_of,
)
from artstore.queries.versions import Version, utc
from artstore.reclaim.leases import Lease
from artstore.records.catalogue import ArtifactRecord
from artstore.rows import catalogue, deadlist, drafts
from artstore.rows.deadlist import Backlog
from artstore.rows.drafts import DraftInfo
from artstore.rows.settings import Settings, change_settings, read_settings
from artstore.rows.snapshot import Snapshot
from artstore.store import Store

if TYPE_CHECKING:
    from artstore.changes.deleting import Cascade, Deletion
    from artstore.changes.purging import PurgeReport
    from artstore.checking import OnProgress, Report
    from artstore.drafting.open_draft import OpenDraft
    from artstore.drafting.reference_ops import CheckedReference, Reference
    from artstore.ingest.pipeline import Progress
    from artstore.queries.difference import Difference
    from artstore.queries.explaining import Explanation
    from artstore.queries.exporting import GetReceipt
    from artstore.queries.graph import Graph
    from artstore.queries.usage import DiskUse, GroupUsage, Usage, VersionUsage
    from artstore.queries.warming import Warmed
    from artstore.reclaim.collecting import GcReport
    from artstore.reclaim.reaper import Reaped
    from artstore.records.catalogue import RunRecord
    from artstore.references.failures import Failure
    from artstore.references.pinning import OnPinned
    from artstore.retention.applying import RetentionPlan, Retired
    from artstore.retention.rules import Rule

__all__ = ["AliasChange", "ArtifactInfo", "Undeletion", "Workspace", "init_workspace", "open_workspace"]


_OWN: Final = "artfs://"


@dataclass(frozen=True, slots=True)
class ArtifactInfo:
    """An artifact: its full name, its type (None until one was given), and its highest living version's number."""

    name: str
    type: str | None
    latest: int | None
    versions: int
    description: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class AliasChange:
    """An alias came to name a version, or with ``version`` None was taken away."""

    alias: str
    version: int | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Undeletion:
    """A version that is back: the ``aliases`` it got back, those ``skipped`` that others have, and silent mounts."""

    version: Version
    aliases: list[str]
    skipped_aliases: list[str]
    silent: list[str]


def open_workspace(path: str | os.PathLike[str] | None = None) -> Workspace:
    """Open the workspace at ``path``, else the one that the command line would use.

    That is ``$ARTFS_WORKSPACE``, else the default that ``artfs init DIR --default`` noted, else
    ``~/.local/share/artfs``.  Raises `WorkspaceNotFoundError` where there is none.
    """
    return Workspace(Store.open(locate.find_workspace(path)))


def init_workspace(path: str | os.PathLike[str] | None = None, *, group: str | None = None) -> Workspace:
    """Make a workspace at ``path`` (else where `open_workspace` looks) and open it.

    Raises `ExistsError` where something is there already.
    """
    from artstore.creating import create_workspace

    return Workspace(create_workspace(locate.find_workspace(path), group=group))


class Workspace:
    """One workspace; made by `open_workspace` and `init_workspace`."""

    __slots__ = ("store",)

    def __init__(self, store: Store) -> None:
        self.store = store

    def __repr__(self) -> str:
        return f"<Workspace {self.path}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Workspace) and self.uuid == other.uuid

    def __hash__(self) -> int:
        return hash(self.uuid)

    @property
    def path(self) -> Path:
        """Where the workspace lies."""
        return self.store.path

    @property
    def uuid(self) -> str:
        """The workspace's identity, which moves with its files."""
        return self.store.uuid

    # -- putting ---------------------------------------------------------------------------------------------------

    def put(
        self,
        path: str | os.PathLike[str],
        name: str,
        *,
        type: str | None = None,
        aliases: Sequence[str] = (),
        description: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        ttl: float | None = None,
        base: str | None = None,
        exclude: Sequence[str] = (),
        remove: Sequence[str] = (),
        new: bool = False,
        progress: Callable[[Progress], None] | None = None,
    ) -> Version:
        """Store a folder or file, and make it the next version of an artifact.

        No version is made when content and given metadata equal the current latest's, unless ``new``; the version
        returned is then that one, and ``receipt.created`` is False.  With ``base`` (``v3``, an alias, or
        ``NAME:v3``) the folder is laid over that version: what it lacks stays, and ``remove`` globs take away.
        ``exclude`` globs and ``.artfsignore`` files keep files out.  After ``ttl`` seconds the version goes by itself.

        Raises `SourceError` naming files that cannot be taken, `RefusedError` for another type than the artifact's,
        `OutOfSpaceError` when the disk fills up; nothing is committed then, and what was stored is found again.
        """
        from artstore.changes.committing import Commit
        from artstore.changes.putting import PutOptions, put, version_of

        if not os.fspath(path):
            raise InvalidInputError("the path to put is empty")  # Path("") would mean the current folder
        asked = Commit.checked(name, type, aliases, description, metadata, ttl, force=new)
        if remove and base is None:
            raise InvalidInputError("what is to be removed must be removed from a version", hint="name it with --base")
        base_record = None
        if base is not None:
            below = self._base_version(name, base)
            asked = replace(asked, base=below.name)
            base_record = below.record
        options = PutOptions(exclude, remove, base_record, progress)
        return version_of(self.store, put(self.store, Path(path), asked, options))

    def refer(
        self,
        uri: str,
        name: str,
        *,
        to: str = "",
        type: str | None = None,
        aliases: Sequence[str] = (),
        description: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        ttl: float | None = None,
        base: str | None = None,
        new: bool = False,
        anonymous: bool = False,
        checksum: bool = True,
        report: OnPinned | None = None,
    ) -> Version:
        """Make what a URI leads to, as it is now, the next version of an artifact; nothing is copied.

        ``s3://``, ``gs://``, ``az://``, ``https://``, ``file://`` or an absolute path; what is referred to stands at
        ``to``, and with ``base`` is laid over that version.  ``artfs://NAME:v3[/path]`` is another version, or a part
        of it, which is held and not pinned.  Otherwise as `put`.  Raises `OutsideError` where it cannot
        be known what is there.
        """
        from artstore.changes.committing import Commit
        from artstore.drafting.reference_ops import include, refer

        asked = Commit.checked(name, type, aliases, description, metadata, ttl, force=new)
        below = None if base is None else self._base_version(name, base)
        if below is not None:
            asked = replace(asked, base=below.name)
        record = None if below is None else below.record
        if uri.startswith(_OWN):
            version, inside = self.resolve(uri.removeprefix(_OWN))
            return include(self.store, version, inside, asked, base=record, to=to)
        return refer(self.store, uri, asked, base=record, to=to, anonymous=anonymous, checksum=checksum, report=report)

    def new_draft(self, name: str, *, base: str | None = None, id: str = "", expires: float | None = None) -> OpenDraft:
        """Open a draft of the artifact's next version, empty or as ``base`` (``v3``, an alias, or ``NAME:v3``).

        It is known by ``id``, which is made up where it is not given, and stays open for ``expires`` seconds after the
        last step, 7 days unless said otherwise.  Raises `ExistsError` where a draft of that id is open.
        """
        from artstore.drafting.open_draft import EXPIRY_SECONDS, open_new

        below = None if base is None else self._base_version(check_name(name), base).record
        return open_new(self.store, check_name(name), id, below, EXPIRY_SECONDS if expires is None else expires)

    def draft(self, id: str) -> OpenDraft:
        """Return the open draft with an id; raise `NotFoundError` where there is none, or it has expired."""
        from artstore.drafting.open_draft import find_draft

        return find_draft(self.store, id)

    def commit_drafts(
        self,
        *ids: str,
        type: str | None = None,
        aliases: Sequence[str] = (),
        description: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        ttl: float | None = None,
        new: bool = False,
    ) -> list[Version]:
        """Make several drafts versions in one transaction: all of them, or none; what is said holds for each.

        Raises as `OpenDraft.commit` does, and `InvalidInputError` where two are of one artifact.
        """
        from artstore.changes.committing import Commit
        from artstore.drafting.open_draft import commit_drafts

        opened = [self.draft(each) for each in ids]
        asked = [
            (draft, Commit.checked(draft.artifact, type, aliases, description, metadata, ttl, force=new))
            for draft in opened
        ]
        return commit_drafts(self.store, asked)

    def open_drafts(self) -> list[OpenDraft]:
        """Return the open drafts, the oldest first."""
        from artstore.drafting.open_draft import open_drafts

        return open_drafts(self.store)

    def _base_version(self, name: str, base: str) -> Version:
        if ":" in base:
            return self.version(base)
        return self.version(f"{name}:{base}")

    # -- what lies outside -----------------------------------------------------------------------------------------

    def references(self, ref: str) -> list[Reference]:
        """Return what a version, or a path in it, refers to outside."""
        from artstore.drafting.reference_ops import references

        version, path = self.resolve(ref)
        return list(references(self.store, version.record.root, path))

    def check_references(
        self, ref: str, *, progress: Callable[[Progress], None] | None = None
    ) -> Iterator[CheckedReference]:
        """Yield for all that a version, or a path in it, refers to whether it is still what it was."""
        from artstore.drafting.reference_ops import check

        return check(self.store, self.references(ref), progress)

    def failed_references(self, ref: str) -> list[tuple[bytes, Failure]]:
        """Return (path, what was found) of what a version refers to and readers have found changed or gone."""
        from artstore.drafting.reference_ops import known_failures

        return known_failures(self.store, self.version(ref).record.root)

    def fetch_references(self, ref: str, *, progress: Callable[[Progress], None] | None = None) -> Version:
        """Make a version in which what another one, or a path in it, refers to is stored for good; return it."""
        from artstore.drafting.reference_ops import fetch

        version, path = self.resolve(ref)
        return fetch(self.store, version, path, progress)

    # -- looking ---------------------------------------------------------------------------------------------------

    def version(self, ref: str) -> Version:
        """Return the version that a reference names: ``NAME``, ``NAME:v3``, ``NAME:ALIAS``, or a path on a mount.

        Raises `NotFoundError`, or `InvalidInputError` where the reference has a path inside the version.
        """
        version, path = self.resolve(ref)
        if path:
            raise InvalidInputError(f"{ref!r} names a path inside {version.name}, not a version")
        return version

    def resolve(self, ref: str) -> tuple[Version, bytes]:
        """Return (version, path inside it) for a reference; whether the path is there is not looked at."""
        artifact, record, path = resolve(self.store, ref)
        return Version(self.store, artifact.name, record, artifact.type), path

    def version_by_serial(self, serial: int) -> Version | None:
        """Return the living version with a serial, which it keeps whatever its artifact is called."""
        with self.store.snapshot() as snapshot:
            record = snapshot.version(serial)
            artifact = None if record is None else snapshot.artifact(record.artifact)
        if record is None or artifact is None:
            return None
        return Version(self.store, artifact.name, record, artifact.type)

    def artifacts(self, project: str = "") -> list[ArtifactInfo]:
        """Return all artifacts, or those below a project, by name."""
        with self.store.snapshot() as snapshot:
            found = []
            for record in catalogue.all_artifacts(snapshot.transaction, project):
                latest = snapshot.latest(record.number)
                found.append(
                    ArtifactInfo(
                        record.name,
                        record.type,
                        latest.number if latest else None,
                        catalogue.count_versions(snapshot.transaction, record.number),
                        record.description,
                        utc(record.created_ns),
                    )
                )
            return found

    def find(
        self,
        artifact: str | None = None,
        *,
        project: str | None = None,
        type: str | None = None,
        tag: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        younger: float | None = None,
        older: float | None = None,
        latest: bool = False,
    ) -> list[Version]:
        """Return the living versions of which all that is given is true, by name and number.

        ``artifact`` is a glob on full names, ``project`` has all below it, ``younger`` and ``older`` are ages in
        seconds; with ``latest``, of each artifact only the latest version is looked at.
        """
        from artstore.queries.query import Selector, find

        selector = Selector(project, type, artifact, tag, metadata or {})
        return list(find(self.store, selector, younger=younger, older=older, latest=latest))

    def has_artifact(self, name: str) -> bool:
        """Return whether there is an artifact of a full name, with a living version."""
        with self.store.snapshot() as snapshot:
            found = snapshot.name_number(name)
        return found is not None and found[1]

    def is_project(self, name: str) -> bool:
        """Return whether a name is a project: a component above artifacts."""
        with self.store.snapshot() as snapshot:
            found = snapshot.name_number(name)
        return found is not None and not found[1]

    def versions(self, name: str) -> list[Version]:
        """Return an artifact's living versions, oldest first."""
        with self.store.snapshot() as snapshot:
            artifact = find_artifact(snapshot, check_name(name))
            records = snapshot.versions_of(artifact.number)
        return [Version(self.store, artifact.name, record, artifact.type) for record in records]

    def log(self, name: str) -> list[Version]:
        """Return the versions that an artifact has or could get back, newest first; ``state`` tells the deleted ones.

        Numbers that are missing are those of versions that are gone for good.
        """
        with self.store.snapshot() as snapshot:
            artifact = self._known_artifact(snapshot, name)
            records = list(catalogue.recorded_versions(snapshot.transaction, artifact.number))
        return [Version(self.store, artifact.name, record, artifact.type) for record in reversed(records)]

    def next_version(self, name: str) -> int:
        """Return the number that the next version of an artifact gets: all below it were given out once."""
        with self.store.snapshot() as snapshot:
            return self._known_artifact(snapshot, name).next_version

    def _known_artifact(self, snapshot: Snapshot, name: str) -> ArtifactRecord:
        """Return an artifact, also one whose versions were all deleted."""
        return catalogue.find_retired(snapshot.transaction, check_name(name)) or find_artifact(snapshot, name)

    def diff(self, a: str, b: str) -> Difference:
        """Compare two versions, or two directories in versions, in time proportional to the difference."""
        from artstore.queries.difference import compare

        return compare(self.store, tree_of(self.store, a), tree_of(self.store, b))

    def drafts(self) -> list[DraftInfo]:
        """Return the drafts: puts that are running, and dead ones whose content waits to be taken up or reaped."""
        with self.store.snapshot() as snapshot:
            return drafts.list_drafts(snapshot.transaction, self.store.run_dir)

    # -- retention -------------------------------------------------------------------------------------------------

    def set_ttl(self, ref: str, seconds: float | None) -> datetime | None:
        """Let a version go by itself so many seconds from now (None: not any more); return when that will be."""
        from artstore.retention.applying import set_ttl

        expires_ns = set_ttl(self.store, self.version(ref).record, seconds)
        return utc(expires_ns) if expires_ns else None

    def set_retention(self, name: str, **says: Any) -> Rule:
        """Set the retention rule ``name``; `artstore.retention.rules.Rule` has what it can say.

        Raises `InvalidInputError` for a rule that cannot be, or would keep nothing.
        """
        from artstore.retention.rules import Rule, set_rule

        rule = Rule.of({"name": name, **says})
        set_rule(self.store, rule)
        return rule

    def remove_retention(self, name: str) -> None:
        """Take a retention rule away; raise `NotFoundError` where there is none of that name."""
        from artstore.retention.rules import remove_rule

        remove_rule(self.store, name)

    def retention(self) -> list[Rule]:
        """Return the retention rules, by name."""
        from artstore.retention.rules import read_rules

        with self.store.snapshot() as snapshot:
            return list(read_rules(snapshot.transaction).rules)

    def retention_plan(self) -> RetentionPlan:
        """Return why each living version stays or goes by the rules; nothing is changed."""
        from artstore.retention.applying import plan

        return plan(self.store)

    def apply_retention(self, *, trust_clock: bool = False) -> Retired:
        """Delete what the rules, and the versions' own ends, let go; it can be undeleted for a while, as always.

        Raises `RefusedError` where the clock may be wrong, unless ``trust_clock``.
        """
        from artstore.retention.applying import apply

        return apply(self.store, trust_clock=trust_clock)

    # -- lineage ---------------------------------------------------------------------------------------------------

    def link(self, ref: str, target: str, *, aliases: Sequence[str] = ()) -> Version:
        """Make a version the next one of the artifact ``target`` too; nothing is copied, and the link holds it.

        Raises `InvalidInputError` where it is one of that artifact already, and what `put` raises.
        """
        from artstore.changes.linking import link

        return link(self.store, self.version(ref).record, check_name(target), [check_alias(each) for each in aliases])

    def lineage(self, ref: str, *, up: bool = True, down: bool = True, depth: int | None = None) -> Graph:
        """Return what a version or run (``run:PROJECT/ID``) came of and what came of it, ``depth`` steps away."""
        from artstore.queries.graph import graph_around
        from artstore.rows.lineage import run_end, version_end

        if ref.startswith("run:"):
            end = run_end(self.run(ref.removeprefix("run:")).number)
        else:
            end = version_end(resolve_recorded(self.store, ref)[0].serial)
        return graph_around(self.store, end, up=up, down=down, depth=depth)

    def runs(self, project: str | None = None) -> list[RunRecord]:
        """Return the runs, or those of one project, the oldest first."""
        from artstore.rows import runs

        with self.store.snapshot() as snapshot:
            return runs.all_runs(snapshot.transaction, project)

    def versions_of_run(self, number: int, *, used: bool) -> list[Version]:
        """Return the living versions that a run has made, or ``used``, in the order of time."""
        from artstore.rows.lineage import edges_from, edges_to, run_end

        with self.store.snapshot() as snapshot:
            transaction = snapshot.transaction
            if used:
                found = [(said.at_ns, edge.source) for edge, said in edges_to(transaction, run_end(number))]
            else:
                found = [(said.at_ns, edge.target) for edge, said in edges_from(transaction, run_end(number))]
        versions = (self.version_by_serial(end.number) for _, end in sorted(found))
        return [version for version in versions if version is not None]

    def run(self, title: str) -> RunRecord:
        """Return the run ``PROJECT/ID``; raise `NotFoundError` where there is none."""
        from artstore.rows import runs

        project, _, ident = title.rpartition("/")
        with self.store.snapshot() as snapshot:
            found = runs.find_run(snapshot.transaction, project, ident)
        if found is None:
            raise NotFoundError(f"there is no run {title!r}", hint="those that are: artfs run ls")
        return found

    # -- copying out -----------------------------------------------------------------------------------------------

    def get(
        self,
        ref: str,
        dest: str | os.PathLike[str],
        *,
        prefix: str | bytes | None = None,
        overwrite: bool = False,
        progress: Callable[[Progress], None] | None = None,
    ) -> GetReceipt:
        """Copy a version's contents, or the part at ``prefix`` or at the reference's path, into a folder, verified.

        Files that are there and equal are left alone; those that differ are refused, all by name, unless
        ``overwrite``.  Nothing is ever deleted.
        """
        from artstore.queries.exporting import export

        version, path = self.resolve(ref)
        if prefix is not None:
            inside = os.fsencode(prefix).strip(b"/")
            path = b"/".join(part for part in (path, inside) if part)
        lease = Lease(self.store, version.record.serial)
        try:
            root = self.version(version.name).record.root
            return export(self.store, root, Path(dest), prefix=path or None, overwrite=overwrite, progress=progress)
        finally:
            lease.close()

    def warm(self, ref: str, *, path: str | bytes = b"", progress: Callable[[Progress], None] | None = None) -> Warmed:
        """Read what a version, or the part at ``path`` or at the reference's path, has in packs into the page cache.

        Later reads, through a mount or not, find it in memory as far as there is room.
        """
        from artstore.queries.warming import warm

        version, inside = self.resolve(ref)
        where = b"/".join(part for part in (inside, os.fsencode(path).strip(b"/")) if part)
        return warm(self.store, self.version(version.name).record.root, where, progress)

    # -- deleting --------------------------------------------------------------------------------------------------

    def delete(
        self,
        *refs: str,
        force: bool = False,
        now: bool = False,
        dry_run: bool = False,
        recursive: bool = False,
        cascade: Cascade = "no",
    ) -> Deletion:
        """Delete versions, all or none: ``NAME:v3``, ``NAME:ALIAS``, ``NAME:v0..v9``, ``NAME:*`` or a path on a mount.

        They are out of sight at once and can be undeleted for a while; then their bytes come back.  ``now`` takes them
        away for good and gives their bytes back before it returns.  ``recursive`` takes whole artifacts by ``NAME``.
        ``force`` takes versions that have aliases other than ``latest``, or are the base of a running put.  Versions
        that others were made from stay, unless ``cascade``: ``delete`` takes those too, ``orphan`` lets them be.

        Raises `RefusedError` naming all that stands against it, `NotFoundError`, and `InvalidInputError` for a bare
        ``NAME`` that is not meant whole.
        """
        from artstore.changes.deleting import delete

        meant = [self._mounted_reference(ref) for ref in refs]
        return delete(self.store, meant, force=force, now=now, dry_run=dry_run, recursive=recursive, cascade=cascade)

    def _mounted_reference(self, ref: str) -> str:
        if not looks_like_path(ref):
            return ref
        reference = reference_of(self.store, ref)
        inside = f"/{os.fsdecode(reference.path)}" if reference.path else ""
        return f"{reference.name}:{version_label(reference.version or 0)}{inside}"

    def undelete(self, ref: str) -> Undeletion:
        """Bring a deleted version ``NAME:v3`` back, with its aliases as far as no other version has them since.

        Raises `NotFoundError` where its content is being given back already, `RefusedError` where it is not deleted.
        """
        from artstore.changes.deleting import undelete

        reference = parse_reference(ref)
        if reference.version is None or reference.path:
            raise InvalidInputError(f"{ref!r} names no version by its number", hint="write NAME:v3")
        done = undelete(self.store, reference.name, reference.version)
        version = Version(self.store, done.artifact.name, done.version, done.artifact.type)
        return Undeletion(version, done.aliases, done.taken, [daemon.mountpoint for daemon in done.silent])

    def gc(
        self,
        *,
        now: bool = False,
        dry_run: bool = False,
        compact: bool = False,
        progress: Callable[[Reaped], None] | None = None,
    ) -> GcReport:
        """Give back what was deleted and is due; with ``now`` also what could still be undeleted.

        ``compact`` also copies what packs with gaps hold, and shrinks the LMDB file and the journal.
        """
        from artstore.reclaim.collecting import collect

        return collect(self.store, now=now, dry_run=dry_run, compact=compact, progress=progress)

    def purge(self, target: str, *, reason: str, everywhere: bool = False, dry_run: bool = False) -> PurgeReport:
        """Take content out of every version that holds it, for good, and overwrite it before its space is freed.

        ``target`` is ``NAME:v3/path`` of a file or folder, or the digest of a file's content.  Where other versions
        than the one named hold the content, ``everywhere`` says that it goes from those as well; the versions keep
        their numbers and aliases, and their records keep what was purged, when and why.

        Raises `RefusedError` naming the other versions, `NotFoundError`, `BusyError` while a put holds the content.
        """
        from artstore.changes.purging import purge

        named: int | None = None
        if is_digest(target):
            ident = bytes.fromhex(target)

            def find(snapshot: Snapshot) -> list[int]:
                return [snapshot.content_node(ident)]
        else:
            version, path = resolve_recorded(self.store, target)
            if not path:
                raise InvalidInputError(
                    f"{target!r} names a whole version", hint="delete it with artfs rm, or name a path in it"
                )
            named = version.serial

            def find(snapshot: Snapshot) -> list[int]:
                return snapshot.files_at(version.root, path)

        return purge(self.store, find, named, reason=reason, everywhere=everywhere, dry_run=dry_run)

    def why(self, target: str) -> Explanation:
        """Return what keeps a version, content or a file of the workspace alive, or what it waits for.

        ``target`` is a reference, also of a deleted version, a digest, or a path in the workspace's folder or on a
        mount.  Raises `NotFoundError` where there is no such thing.
        """
        from artstore.queries import explaining

        if is_digest(target):
            return explaining.explain_digest(self.store, target, bytes.fromhex(target))
        real = Path(os.path.realpath(target))
        if os.path.lexists(target) and real.is_relative_to(self.path):
            return explaining.explain_file(self.store, target, real)
        version, path = resolve_recorded(self.store, target)
        if not path:
            return explaining.explain_version(self.store, target, version)
        with self.store.snapshot() as snapshot:
            entry = snapshot.resolve(version.root, path)
        if entry is None:
            raise NotFoundError(f"{target!r} is not there")
        what = "a directory" if entry.directories else "a file"
        return explaining.explain_node(self.store, target, what, [entry.node])

    def fsck(self, *, data: bool = False, repair: bool = False, progress: OnProgress | None = None) -> Report:
        """Check that all is there and as it was put; with ``data`` read and verify all content as well.

        ``repair`` mends what can be mended and sets damaged content aside, for a put of the same content to heal.  A
        workspace that does not open is checked with `artstore.checking.check`, and rebuilt with
        `artstore.repairing.rebuild`.
        """
        if repair:
            from artstore.repairing import check_and_repair

            return check_and_repair(self.path, data=data, progress=progress)
        from artstore.checking import check

        return check(self.path, data=data, progress=progress)

    def reap_due(self, seconds: float = 0.2) -> Reaped:
        """Give back what is due, for about ``seconds`` at most; what is left is for the next call."""
        from artstore.reclaim.reaper import reap

        return reap(self.store, seconds=seconds)

    @property
    def settings(self) -> Settings:
        """What the owner has set for this workspace."""
        with self.store.snapshot() as snapshot:
            return read_settings(snapshot.transaction)

    def configure(self, **changes: Any) -> Settings:
        """Change settings by name; raise `InvalidInputError` for an unknown name or a value that cannot be."""
        with self.store.write() as transaction:
            return change_settings(transaction, changes)

    # -- accounting ------------------------------------------------------------------------------------------------

    def usage(self) -> Usage:
        """Return where the workspace's bytes are; the terms sum to what ``du`` says."""
        from artstore.queries.usage import workspace_usage

        return workspace_usage(self.store)

    def backlog(self) -> Backlog:
        """Return how much of what was deleted waits to be reaped, and since when."""
        with self.store.snapshot() as snapshot:
            return deadlist.backlog(list(deadlist.entries(snapshot.transaction)))

    def usage_by(self, group: str) -> list[GroupUsage]:
        """Return attributed bytes by ``project`` or ``type``; with what drafts hold they sum to stored bytes.

        Raises `InvalidInputError` for another word.
        """
        from artstore.queries.usage import by_project, by_type

        if group not in ("project", "type"):
            raise InvalidInputError(f"usage is told by project or by type, not by {group!r}")
        return by_project(self.store) if group == "project" else by_type(self.store)

    def usage_by_version(self, name: str) -> list[VersionUsage]:
        """Return what each living version of an artifact refers to, holds alone, and is attributed."""
        from artstore.queries.usage import version_usage

        with self.store.snapshot() as snapshot:
            artifact = find_artifact(snapshot, check_name(name))
        return version_usage(self.store, artifact.number)

    def du(self, ref: str) -> DiskUse:
        """Return what one version refers to, holds alone, and is attributed."""
        from artstore.queries.usage import disk_use

        version, _ = self.resolve(ref)
        return disk_use(self.store, version.record.serial)

    # -- naming ----------------------------------------------------------------------------------------------------

    def alias_set(self, ref: str, *aliases: str, force: bool = False) -> list[str]:
        """Let aliases name a version, moving them where they exist; return the mounts that did not answer."""
        from artstore.changes.aliasing import set_aliases

        version = self.version(ref)
        return set_aliases(self.store, version.record, [check_alias(alias) for alias in aliases], force=force)

    def alias_remove(self, name: str, *aliases: str, force: bool = False) -> list[str]:
        """Take aliases away; return the mounts that did not answer.  Raises `NotFoundError` where one is not there."""
        from artstore.changes.aliasing import remove_aliases

        check_name(name)
        return remove_aliases(self.store, name, [check_alias(alias) for alias in aliases], force=force)

    def aliases(self, name: str) -> dict[str, int]:
        """Return an artifact's aliases with the version each names, ``latest`` among them."""
        with self.store.snapshot() as snapshot:
            artifact = find_artifact(snapshot, check_name(name))
            found = {alias.name: alias.version for alias in snapshot.aliases_of(artifact.number)}
            latest = snapshot.latest(artifact.number)
        if latest is not None:
            found["latest"] = latest.number
        return dict(sorted(found.items()))

    def alias_log(self, name: str) -> list[AliasChange]:
        """Return the last changes of an artifact's aliases, the newest first; ``latest`` is not one of them."""
        with self.store.snapshot() as snapshot:
            history = find_artifact(snapshot, check_name(name)).alias_history
        return [AliasChange(one["alias"], one["version"], utc(one["at_ns"])) for one in reversed(history)]

    def tag_add(self, ref: str, *tags: str) -> list[str]:
        """Add tags to a version; return all that it has."""
        from artstore.changes.aliasing import change_tags

        return change_tags(self.store, self.version(ref).record, add=tags)

    def tag_remove(self, ref: str, *tags: str) -> list[str]:
        """Take tags from a version; return those that it keeps.  Raises `NotFoundError` where one is not there."""
        from artstore.changes.aliasing import change_tags

        return change_tags(self.store, self.version(ref).record, remove=tags)

    def tags(self, ref: str) -> list[str]:
        """Return a version's tags, sorted."""
        return self.version(ref).tags

    def set_type(self, name: str, type: str) -> None:
        """Give an artifact another type; it is that of all its versions."""
        from artstore.changes.aliasing import set_type

        set_type(self.store, check_name(name), check_type(type))

    def rename(self, name: str, to: str) -> list[str]:
        """Let an artifact have another full name; return the mounts that did not answer.

        Raises `NotFoundError`, `ExistsError` where the new name is or was in use, and `InvalidInputError`.
        """
        from artstore.changes.aliasing import rename

        return rename(self.store, check_name(name), check_name(to))

    def describe(self, name: str, text: str) -> None:
        """Say something of an artifact as a whole, in the place of what was said before; nothing with empty text."""
        from artstore.changes.aliasing import describe

        describe(self.store, check_name(name), text)
