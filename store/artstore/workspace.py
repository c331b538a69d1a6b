"""The Python API of the store: everything that the command line and training scripts do with a workspace.

    ws = open_workspace()
    v = ws.put("data/", "imagenet", type="dataset", aliases=["clean"], metadata={"split": "train"})
    with v.open("train/cat/0001.jpg") as f: ...

A `Workspace` is cheap to make, and good in threads, in forked and spawned children, and pickled.  What a training
script does not need to read (putting, comparing, copying out, accounting) is imported when it is first called.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from artstore import locate
from artstore.names import check_alias, check_name, check_type
from artstore.queries.artifacts import (
    ArtifactInfo,
    all_artifacts,
    has_name,
    living_versions,
    next_version,
    recorded_versions,
)
from artstore.queries.resolving import (
    numbered_reference,
    resolve_version,
    tree_of,
    version_by_serial,
    version_of_reference,
)
from artstore.queries.versions import Version, utc
from artstore.rows.settings import Settings, change_settings, read_settings
from artstore.store import Store

if TYPE_CHECKING:
    from artstore.changes.committing import VersionOptions
    from artstore.changes.deleting import Cascade, Deletion, Undeletion
    from artstore.changes.purging import PurgeReport
    from artstore.checking import OnProgress, Report
    from artstore.ingest.pipeline import Progress
    from artstore.namespaces.aliases import Aliases
    from artstore.namespaces.drafts import Drafts
    from artstore.namespaces.references import References
    from artstore.namespaces.retention import Retention
    from artstore.namespaces.runs import Runs
    from artstore.namespaces.tags import Tags
    from artstore.queries.difference import Difference
    from artstore.queries.explaining import Explanation
    from artstore.queries.exporting import GetReceipt
    from artstore.queries.graph import Graph
    from artstore.queries.usage import DiskUse, GroupUsage, Usage, VersionUsage
    from artstore.queries.warming import Warmed
    from artstore.reclaim.collecting import GcReport
    from artstore.reclaim.reaper import Reaped
    from artstore.references.pinning import OnPinned
    from artstore.rows.deadlist import Backlog

__all__ = ["ArtifactInfo", "Workspace", "init_workspace", "open_workspace"]


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

    # -- groups of operations --------------------------------------------------------------------------------------

    @property
    def aliases(self) -> Aliases:
        """The aliases: ``of``, ``set``, ``remove``, ``log``."""
        from artstore.namespaces.aliases import Aliases

        return Aliases(self.store)

    @property
    def tags(self) -> Tags:
        """The tags of versions: ``of``, ``add``, ``remove``."""
        from artstore.namespaces.tags import Tags

        return Tags(self.store)

    @property
    def drafts(self) -> Drafts:
        """The versions that are put together step by step: ``new``, ``get``, ``all``, ``commit``, ``states``."""
        from artstore.namespaces.drafts import Drafts

        return Drafts(self.store)

    @property
    def references(self) -> References:
        """The files whose bytes stay outside: ``of``, ``check``, ``failed``, ``fetch``."""
        from artstore.namespaces.references import References

        return References(self.store)

    @property
    def retention(self) -> Retention:
        """The rules that delete old versions: ``rules``, ``set``, ``remove``, ``plan``, ``apply``."""
        from artstore.namespaces.retention import Retention

        return Retention(self.store)

    @property
    def runs(self) -> Runs:
        """The programs that use and make versions: ``get``, ``all``, ``versions``."""
        from artstore.namespaces.runs import Runs

        return Runs(self.store)

    # -- putting ---------------------------------------------------------------------------------------------------

    def put(
        self,
        path: str | os.PathLike[str],
        name: str,
        *,
        base: str | None = None,
        exclude: Sequence[str] = (),
        remove: Sequence[str] = (),
        progress: Callable[[Progress], None] | None = None,
        **options: Unpack[VersionOptions],
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
        from artstore.changes.putting import put_version

        asked = Commit.checked(name, **options)
        return put_version(self.store, path, asked, base=base, exclude=exclude, remove=remove, progress=progress)

    def refer(
        self,
        uri: str,
        name: str,
        *,
        to: str = "",
        base: str | None = None,
        anonymous: bool = False,
        checksum: bool = True,
        report: OnPinned | None = None,
        **options: Unpack[VersionOptions],
    ) -> Version:
        """Make what a URI leads to, as it is now, the next version of an artifact; nothing is copied.

        ``s3://``, ``gs://``, ``az://``, ``https://``, ``file://`` or an absolute path; what is referred to stands at
        ``to``, and with ``base`` is laid over that version.  ``artfs://NAME:v3[/path]`` is another version, or a part
        of it, which is held and not pinned.  Otherwise as `put`.  Raises `OutsideError` where it cannot
        be known what is there.
        """
        from artstore.changes.committing import Commit
        from artstore.drafting.reference_ops import refer

        asked = Commit.checked(name, **options)
        return refer(self.store, uri, asked, base=base, to=to, anonymous=anonymous, checksum=checksum, report=report)

    # -- what lies outside -----------------------------------------------------------------------------------------

    # -- looking ---------------------------------------------------------------------------------------------------

    def version(self, ref: str) -> Version:
        """Return the version that a reference names: ``NAME``, ``NAME:v3``, ``NAME:ALIAS``, or a path on a mount.

        Raises `NotFoundError`, or `InvalidInputError` where the reference has a path inside the version.
        """
        return version_of_reference(self.store, ref)

    def resolve(self, ref: str) -> tuple[Version, bytes]:
        """Return (version, path inside it) for a reference; whether the path is there is not looked at."""
        return resolve_version(self.store, ref)

    def version_by_serial(self, serial: int) -> Version | None:
        """Return the living version with a serial, which it keeps whatever its artifact is called."""
        return version_by_serial(self.store, serial)

    def artifacts(self, project: str = "") -> list[ArtifactInfo]:
        """Return all artifacts, or those below a project, by name."""
        return all_artifacts(self.store, project)

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
        return has_name(self.store, name, artifact=True)

    def is_project(self, name: str) -> bool:
        """Return whether a name is a project: a component above artifacts."""
        return has_name(self.store, name, artifact=False)

    def versions(self, name: str) -> list[Version]:
        """Return an artifact's living versions, oldest first."""
        return living_versions(self.store, name)

    def log(self, name: str) -> list[Version]:
        """Return the versions that an artifact has or could get back, newest first; ``state`` tells the deleted ones.

        Numbers that are missing are those of versions that are gone for good.
        """
        return recorded_versions(self.store, name)

    def next_version(self, name: str) -> int:
        """Return the number that the next version of an artifact gets: all below it were given out once."""
        return next_version(self.store, name)

    def diff(self, a: str, b: str) -> Difference:
        """Compare two versions, or two directories in versions, in time proportional to the difference."""
        from artstore.queries.difference import compare

        return compare(self.store, tree_of(self.store, a), tree_of(self.store, b))

    # -- retention -------------------------------------------------------------------------------------------------

    def set_ttl(self, ref: str, seconds: float | None) -> datetime | None:
        """Let a version go by itself so many seconds from now (None: not any more); return when that will be."""
        from artstore.retention.applying import set_ttl

        expires_ns = set_ttl(self.store, self.version(ref).record, seconds)
        return utc(expires_ns) if expires_ns else None

    # -- lineage ---------------------------------------------------------------------------------------------------

    def link(self, ref: str, target: str, *, aliases: Sequence[str] = ()) -> Version:
        """Make a version the next one of the artifact ``target`` too; nothing is copied, and the link holds it.

        Raises `InvalidInputError` where it is one of that artifact already, and what `put` raises.
        """
        from artstore.changes.linking import link

        return link(self.store, self.version(ref).record, check_name(target), [check_alias(each) for each in aliases])

    def lineage(self, ref: str, *, up: bool = True, down: bool = True, depth: int | None = None) -> Graph:
        """Return what a version or run (``run:PROJECT/ID``) came of and what came of it, ``depth`` steps away."""
        from artstore.queries.graph import graph_of

        return graph_of(self.store, ref, up=up, down=down, depth=depth)

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
        from artstore.queries.exporting import export_version

        return export_version(self.store, ref, dest, prefix=prefix, overwrite=overwrite, progress=progress)

    def warm(self, ref: str, *, path: str | bytes = b"", progress: Callable[[Progress], None] | None = None) -> Warmed:
        """Read what a version, or the part at ``path`` or at the reference's path, has in packs into the page cache.

        Later reads, through a mount or not, find it in memory as far as there is room.
        """
        from artstore.queries.warming import warm_version

        return warm_version(self.store, ref, path, progress)

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

        names = [numbered_reference(self.store, ref) for ref in refs]
        return delete(self.store, names, force=force, now=now, dry_run=dry_run, recursive=recursive, cascade=cascade)

    def undelete(self, ref: str) -> Undeletion:
        """Bring a deleted version ``NAME:v3`` back, with its aliases as far as no other version has them since.

        Raises `NotFoundError` where its content is being given back already, `RefusedError` where it is not deleted.
        """
        from artstore.changes.deleting import undelete

        return undelete(self.store, ref)

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

        return purge(self.store, target, reason=reason, everywhere=everywhere, dry_run=dry_run)

    def why(self, target: str) -> Explanation:
        """Return what keeps a version, content or a file of the workspace alive, or what it waits for.

        ``target`` is a reference, also of a deleted version, a digest, or a path in the workspace's folder or on a
        mount.  Raises `NotFoundError` where there is no such thing.
        """
        from artstore.queries.explaining import explain

        return explain(self.store, target)

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
        from artstore.rows.deadlist import backlog, entries

        with self.store.snapshot() as snapshot:
            return backlog(list(entries(snapshot.transaction)))

    def usage_by(self, group: str) -> list[GroupUsage]:
        """Return attributed bytes by ``project`` or ``type``; with what drafts hold they sum to stored bytes.

        Raises `InvalidInputError` for another word.
        """
        from artstore.queries.usage import usage_by

        return usage_by(self.store, group)

    def usage_by_version(self, name: str) -> list[VersionUsage]:
        """Return what each living version of an artifact refers to, holds alone, and is attributed."""
        from artstore.queries.usage import artifact_usage

        return artifact_usage(self.store, name)

    def du(self, ref: str) -> DiskUse:
        """Return what one version refers to, holds alone, and is attributed."""
        from artstore.queries.usage import disk_use

        version, _ = self.resolve(ref)
        return disk_use(self.store, version.record.serial)

    # -- naming ----------------------------------------------------------------------------------------------------

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
