"""The Python API of the store: all operations of the command line and of training scripts on a workspace.

    ws = open_workspace()
    v = ws.put("data/", "imagenet", type="dataset", aliases=["clean"], metadata={"split": "train"})
    with v.open("train/cat/0001.jpg") as f: ...

A `Workspace` is cheap to create, works in threads and in forked and spawned children, and can be pickled.  It contains
no logic: each method calls an operation, which is imported at its first call unless reading needs it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, overload

from artstore import locate
from artstore.arguments import Duration, paths_of, seconds_of, text, texts, whole_number
from artstore.errors import ExistsError, WorkspaceNotFoundError
from artstore.interrupts import deferred, deferring
from artstore.names import check_name
from artstore.namespaces.administration import Administration
from artstore.queries import artifacts, resolving
from artstore.queries.artifacts import ArtifactInfo
from artstore.queries.versions import Version
from artstore.rows.views import require_local
from artstore.store import Store

if TYPE_CHECKING:
    from artstore.changes.committing import VersionOptions
    from artstore.changes.deleting import Cascade, Deletion, Undeletion
    from artstore.changes.previewing import PutPreview
    from artstore.changes.purging import PurgeReport
    from artstore.checking import OnProgress, Report
    from artstore.drafting.reference_ops import ReferOptions
    from artstore.progress import Progress
    from artstore.queries.difference import Difference
    from artstore.queries.explaining import Explanation
    from artstore.queries.exporting import GetReceipt
    from artstore.queries.file_history import FileHistory
    from artstore.queries.graph import Graph
    from artstore.queries.query import Matches
    from artstore.queries.warming import Warmed
    from artstore.reclaim.collecting import GcReport
    from artstore.reclaim.reaper import Reaped
    from artstore.records.catalogue import VersionRecord

__all__ = ["ArtifactInfo", "Workspace", "init_workspace", "open_workspace"]


def open_workspace(path: str | os.PathLike[str] | None = None, *, create: bool = False) -> Workspace:
    """Open the workspace at ``path``, or by default the one that the command line uses.

    The default is ``$ARTFS_WORKSPACE``, else the folder stored by ``artfs init DIR --default``, else
    ``~/.local/share/artfs``.  If there is no workspace, ``create`` makes it; otherwise raises `WorkspaceNotFoundError`.
    """
    place = locate.find_workspace(path)
    with deferred():
        try:
            return Workspace(Store.open(place))
        except WorkspaceNotFoundError:
            if not create:
                raise
        with suppress(ExistsError):  # if another process makes it at this moment, it is opened
            return init_workspace(place)
        return Workspace(Store.open(place))


def init_workspace(path: str | os.PathLike[str] | None = None, *, group: str | None = None) -> Workspace:
    """Create a workspace at ``path``, or at the default path of `open_workspace`, and open it.

    ``group`` shares it with a Unix group.  Raises `ExistsError` if the path is in use.
    """
    from artstore.creating import create_workspace

    with deferred():
        return Workspace(create_workspace(locate.find_workspace(path), group=group))


@deferring()
class Workspace(Administration):
    """An open workspace, as returned by `open_workspace` and `init_workspace`.

    ``close()``, or leaving a ``with`` block, closes its files; using it again opens them again.
    """

    __slots__ = ()

    # -- putting ---------------------------------------------------------------------------------------------------

    def put(
        self,
        path: str | os.PathLike[str],
        name: str,
        *,
        base: str | None = None,
        exclude: Sequence[str] = (),
        remove: Sequence[str] = (),
        links: str = "follow",
        push: bool = True,
        progress: Callable[[Progress], None] | None = None,
        **options: Unpack[VersionOptions],
    ) -> Version:
        """Store a folder or file as the next version of an artifact; `VersionOptions` has the other options.

        If no version is made, the latest one is returned, and ``receipt.created`` is False.  With ``base`` (``v3``, an
        alias, or ``NAME:v3``) the folder is merged over that version: files missing from the folder stay, and files
        that match ``remove`` globs are removed.  ``exclude`` globs and ``.artfsignore`` files leave files out.  Times
        and permission bits are kept, but a change of only these makes no version without ``new``.  What symlinks out of
        the folder lead to is stored in their place; with ``links="keep"`` they stay links, with "refuse" they raise.

        A version of an artifact that was pushed or pulled is pushed at once.  If the remote does not answer, or without
        ``push``, it is pending (``NAME:p1``) until ``remotes.push`` makes it the next version.

        Raises `SourceError` naming files that cannot be stored, `RefusedError` if the artifact has another type,
        `OutOfSpaceError` if the disk fills up.  Then no version is made, and the next put reuses the stored content.
        """
        from artstore.changes.committing import Commit
        from artstore.changes.putting import put_version

        request = Commit.checked(name, **options)
        version = put_version(
            self.store, path, request, base=base, exclude=exclude, remove=remove, links=links, progress=progress
        )
        return self._settled(version, push=push)

    def _settled(self, version: Version, *, push: bool = True) -> Version:
        """Return a version that was just made, pushed if a remote numbers it."""
        return self.remotes.settle(version, push=push) if version.is_pending else version

    def preview(
        self,
        path: str | os.PathLike[str],
        name: str,
        *,
        base: str | None = None,
        exclude: Sequence[str] = (),
        remove: Sequence[str] = (),
        links: str = "follow",
        progress: Callable[[Progress], None] | None = None,
        **options: Unpack[VersionOptions],
    ) -> PutPreview:
        """Return what `put` would do with the same arguments: the version, its differences from the latest, the bytes.

        Nothing is stored.  Raises what `put` would raise for its arguments and for files that cannot be stored.
        """
        from artstore.changes.committing import Commit
        from artstore.changes.previewing import preview_put

        request = Commit.checked(name, **options)
        return preview_put(
            self.store, path, request, base=base, exclude=exclude, remove=remove, links=links, progress=progress
        )

    def _local_version(self, ref: str) -> VersionRecord:
        """Return the record of a version whose content the workspace has; raise `RefusedError` for another one."""
        version = self.version(ref)
        require_local(version.record, version.name)
        return version.record

    def refer(
        self, uri: str, name: str, *, to: str = "", base: str | None = None, **options: Unpack[ReferOptions]
    ) -> Version:
        """Commit references to the files at a URI as an artifact's next version; nothing is copied.

        ``uri`` is ``s3://``, ``gs://``, ``az://``, ``https://``, ``file://``, an absolute path, or another version or a
        part of it: ``artfs://NAME:v3[/path]``.  The files are added at ``to``, over those of ``base``.  The other
        options and errors are those of `put` and of `artstore.references.pinning.PinOptions`; raises `OutsideError` if
        the URI cannot be read.
        """
        from artstore.drafting.reference_ops import refer

        return self._settled(refer(self.store, uri, name, base=base, to=to, **options))

    def restore(self, ref: str, **options: Unpack[VersionOptions]) -> Version:
        """Make the content of a version the next version of its artifact; nothing is copied.

        Its description and metadata come too unless ``options`` have others; `VersionOptions` has them, and the type
        stays.  If all that equals the latest version, no version is made, and ``receipt.created`` is False.
        """
        from artstore.changes.restoring import restore

        return self._settled(restore(self.store, self._local_version(ref), options))

    # -- queries ---------------------------------------------------------------------------------------------------

    def version(self, ref: str) -> Version:
        """Return the version that a reference names: ``NAME``, ``NAME:v3``, ``NAME:ALIAS``, or a path on a mount.

        Raises `NotFoundError`, or `InvalidInputError` if the reference has a path inside the version.
        """
        return resolving.version_of_reference(self.store, ref)

    def resolve(self, ref: str) -> tuple[Version, bytes]:
        """Return (version, path inside it) for a reference; whether the path exists is not checked."""
        return resolving.resolve_version(self.store, ref)

    def version_by_serial(self, serial: int) -> Version | None:
        """Return the living version with a serial, which stays the same when its artifact is renamed."""
        return resolving.version_by_serial(self.store, serial)

    def mounted_folder(self, version: Version) -> Path | None:
        """Return the version's folder on a mount that this process can reach, or None."""
        from artstore.queries.mounted import mounted_folder

        return mounted_folder(self.store, version.artifact, version.number)

    def artifacts(self, project: str = "") -> list[ArtifactInfo]:
        """Return all artifacts, or those below a project, by name."""
        return artifacts.all_artifacts(self.store, project)

    def find(
        self,
        artifact: str | None = None,
        *,
        project: str | None = None,
        type: str | None = None,
        tag: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        where: Sequence[str] | str = (),
        origin: Sequence[str] | str = (),
        younger: Duration | None = None,
        older: Duration | None = None,
        latest: bool = False,
        sort: str = "name",
        reverse: bool = False,
        limit: int | None = None,
    ) -> Matches:
        """Return the living versions that match every selector, by name and number.

        ``artifact`` is a glob on full names, ``project`` includes all below it, ``younger`` and ``older`` are ages:
        seconds, ``"30d"`` or timedeltas.  With ``latest`` only the latest version of each artifact is considered.

        ``metadata`` are values that a version must have, and ``where`` are comparisons such as ``"acc>0.9"``,
        ``"stage!=final"`` or ``"eval.f1"`` (it has a value).  A number may be kept as text; ``left_out`` of the result
        is how many values could not be compared.  ``origin`` are comparisons with ``user``, ``host``, ``command``,
        ``folder``, ``commit`` and ``dirty``, such as ``"commit^=4f2a"`` (it begins so).  ``sort`` is ``name``,
        ``created``, ``size``, or a key of metadata; ``limit`` is the most versions to return.
        """
        from artstore.queries.conditions import conditions_of
        from artstore.queries.query import Search, Selector, find

        search = Search(
            selector=Selector(project, type, artifact, tag),
            conditions=conditions_of(metadata, where, origin),
            younger=None if younger is None else seconds_of(younger, "younger"),
            older=None if older is None else seconds_of(older, "older"),
            latest=latest,
            sort=text(sort, "sort"),
            reverse=reverse,
            limit=limit,
        )
        return find(self.store, search)

    def has_artifact(self, name: str) -> bool:
        """Return whether an artifact with this full name has a living version."""
        return artifacts.has_name(self.store, name, artifact=True)

    def is_project(self, name: str) -> bool:
        """Return whether a name is a project: a component above artifacts."""
        return artifacts.has_name(self.store, name, artifact=False)

    def versions(self, name: str) -> list[Version]:
        """Return an artifact's living versions, oldest first."""
        return artifacts.living_versions(self.store, name)

    def log(self, name: str, *, below: int | None = None, limit: int | None = None) -> list[Version]:
        """Return an artifact's living versions and those that can be undeleted, newest first; ``state`` tells which.

        Missing numbers are those of versions that were reaped.  With ``below`` only smaller numbers are listed, and at
        most ``limit`` versions, in time proportional to these.
        """
        below = None if below is None else whole_number(below, "below")
        limit = None if limit is None else whole_number(limit, "limit")
        return artifacts.recorded_versions(self.store, name, below=below, limit=limit)

    def next_version(self, name: str) -> int:
        """Return the number of an artifact's next version; numbers are never reused."""
        return artifacts.next_version(self.store, name)

    def diff(
        self,
        a: str | os.PathLike[str],
        b: str | os.PathLike[str],
        *,
        progress: Callable[[Progress], None] | None = None,
    ) -> Difference:
        """Compare two versions, or two directories in versions, in time proportional to the difference.

        A path to a folder of the disk, such as ``./data``, is compared as if it were put; of files that have not
        changed since an earlier put of the folder, only the names and times are read.
        """
        from artstore.queries.difference import compare

        old, new = os.fspath(a), os.fspath(b)
        if self.is_folder(old) or self.is_folder(new):
            from artstore.changes.previewing import compare_folders

            return self.store.confirmed(lambda store: compare_folders(store, old, new, progress))
        return self.store.confirmed(
            lambda store: compare(store, resolving.tree_of(store, old), resolving.tree_of(store, new))
        )

    def is_folder(self, ref: str) -> bool:
        """Return whether a reference means a folder of the disk: a path to one, not on a mount of the workspace."""
        return resolving.is_folder(self.store, ref)

    def history(self, ref: str) -> FileHistory:
        """Return the distinct contents that a path has in the living versions of an artifact, and which have them.

        ``ref`` is ``NAME:/path``, ``NAME:v3/path`` or a path on a mount.  Raises `NotFoundError` if no living version
        has the path.
        """
        from artstore.queries.file_history import file_history

        return self.store.confirmed(lambda store: file_history(store, ref))

    # -- lineage ---------------------------------------------------------------------------------------------------

    def link(self, ref: str, target: str, *, aliases: Sequence[str] = ()) -> Version:
        """Add a version to the artifact ``target`` as its next version; nothing is copied, and the link keeps it.

        Raises `InvalidInputError` if the version belongs to that artifact already, and what `put` raises.
        """
        from artstore.changes.linking import link

        return self._settled(link(self.store, self._local_version(ref), check_name(target), aliases))

    def lineage(self, ref: str, *, up: bool = True, down: bool = True, depth: int | None = None) -> Graph:
        """Return what a version or run (``run:PROJECT/ID``) was made from, and what was made from it.

        ``depth`` limits the number of steps.
        """
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
        """Copy a version, or the part at ``prefix`` or at the reference's path, into a folder, and verify it.

        Equal files are left unchanged.  Files that differ are refused, with their names, unless ``overwrite``.  No file
        is deleted.
        """
        from artstore.queries.exporting import export_version

        return export_version(self.store, ref, dest, prefix=prefix, overwrite=overwrite, progress=progress)

    def warm(self, ref: str, *, path: str | bytes = b"", progress: Callable[[Progress], None] | None = None) -> Warmed:
        """Read the stored content of a version, or of the part at ``path``, into the page cache.

        Later reads, through a mount or not, are served from memory as far as it has room.
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
        local: bool = False,
    ) -> Deletion:
        """Delete versions, all or none: ``NAME:v3``, ``NAME:ALIAS``, ``NAME:v0..v9``, ``NAME:*`` or a path on a mount.

        They are hidden at once and can be undeleted for a while, after which their bytes are freed.  ``now`` deletes
        them for good and frees their bytes before it returns.  ``recursive`` accepts whole artifacts as ``NAME``.
        ``force`` deletes versions that have aliases other than ``latest``, or are the base of a running put.  A version
        from which others were made is refused, unless ``cascade``: ``delete`` deletes the others too, ``orphan`` keeps
        them.  A version that was pushed or pulled is deleted in the remote, too, unless ``local``.

        Raises `RefusedError` naming every obstacle, `NotFoundError`, `InvalidInputError`, `OutsideError` of a remote.
        """
        from artstore.remotes.everywhere import delete

        return delete(
            self.store, refs, force=force, now=now, dry_run=dry_run, recursive=recursive, cascade=cascade, local=local
        )

    @overload
    def undelete(self, refs: str, /) -> Undeletion: ...  # type: ignore[overload-overlap]  # a text is one
    @overload
    def undelete(self, refs: Sequence[str], /) -> list[Undeletion]: ...
    def undelete(self, refs: str | Sequence[str], /) -> Undeletion | list[Undeletion]:
        """Restore a deleted version ``NAME:v3``, or several, all or none; with the aliases that no other version has.

        One that a remote has deleted is restored there, too.  Raises `NotFoundError` if its content is being reaped,
        `RefusedError` if it is not deleted, and `OutsideError` if the remote does not answer.
        """
        from artstore.remotes.everywhere import undelete

        restored = undelete(self.store, texts(refs, "the versions to restore"))
        return restored[0] if isinstance(refs, str) else restored

    def gc(
        self,
        *,
        now: bool = False,
        interrupted: bool = False,
        dry_run: bool = False,
        compact: bool = False,
        evict: Sequence[str | os.PathLike[str]] = (),
        progress: Callable[[Reaped], None] | None = None,
    ) -> GcReport:
        """Free the bytes of deleted versions that are due; with ``now`` also of those that could be undeleted.

        ``interrupted`` also frees what interrupted puts left less than an hour ago, as ``now`` does.  ``compact`` also
        copies packs with gaps, and shrinks the LMDB file and the journal.  Deleted versions that are in use only under
        the mounts ``evict`` are freed too: files that are open there fail with ESTALE.  Only the user who mounted it,
        the owner of the workspace and root may evict a mount; others get `RefusedError`.  ``dry_run`` makes the same
        plan, and stops before the first write.
        """
        from artstore.reclaim.collecting import collect

        return collect(
            self.store,
            now=now,
            interrupted=interrupted,
            dry_run=dry_run,
            compact=compact,
            evict=paths_of([evict], "evict"),
            progress=progress,
        )

    def purge(self, target: str, *, reason: str, everywhere: bool = False, dry_run: bool = False) -> PurgeReport:
        """Remove content from every version for good, and overwrite it before its space is freed.

        ``target`` is ``NAME:v3/path`` of a file or folder, or the digest of a file's content.  ``everywhere`` also
        removes the content from other versions.  Versions keep their numbers and aliases, and their records state what
        was purged, when and why.

        Raises `RefusedError` naming the other versions, `NotFoundError`, `BusyError` if a put holds the content.
        """
        from artstore.changes.purging import purge

        return purge(self.store, target, reason=text(reason, "the reason"), everywhere=everywhere, dry_run=dry_run)

    def why(self, target: str) -> Explanation:
        """Explain what keeps a version, content or a file of the workspace, or what its removal waits for.

        ``target`` is a reference (a deleted version is allowed), a digest, or a path in the workspace's folder or on a
        mount.  Raises `NotFoundError` if it does not exist.
        """
        from artstore.queries.explaining import explain

        return self.store.confirmed(lambda store: explain(store, target))

    def fsck(self, *, data: bool = False, repair: bool = False, progress: OnProgress | None = None) -> Report:
        """Check the workspace; with ``data`` also read and verify all content.

        ``repair`` repairs damage as far as possible, and sets damaged content aside until a put stores it again.  For a
        workspace that does not open, use `artstore.checking.check` and `artstore.repairing.rebuild`.
        """
        if repair:
            from artstore.repairing import check_and_repair

            return check_and_repair(self.path, data=data, progress=progress)
        from artstore.checking import check

        return check(self.path, data=data, progress=progress)

    def reap_due(self, seconds: float = 0.2) -> Reaped:
        """Free bytes that are due, for about ``seconds``; the next call continues."""
        from artstore.reclaim.reaper import reap

        return reap(self.store, seconds=seconds)
