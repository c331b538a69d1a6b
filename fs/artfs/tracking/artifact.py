"""`Artifact`: one that is being put together by a program, or a version that is there.

Making one touches no store; what is added is taken at the call.  It becomes a version when a run logs it, and is that
version from then on.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from artfs.tracking.description import Described
from artfs.tracking.downloading import download
from artfs.tracking.entries import ArtifactEntry
from artfs.tracking.naming import find_version, own_name, short_name
from artfs.tracking.workspaces import the_workspace
from artstore.drafting.gathering import Gathering
from artstore.errors import (
    InvalidInputError,
    NotFoundError,
    RefusedError,
    SourceError,
)
from artstore.queries.versions import Version
from artstore.records.trees import Kind
from artstore.workspace import Workspace

if TYPE_CHECKING:
    from artfs.tracking.run import Run
    from artstore.changes.deleting import Cascade
    from artstore.queries.graph import GraphNode

__all__ = ["Artifact", "ArtifactEntry"]

_WHOLE: Final = ("wandb-artifact://", "artfs://")


class Artifact(Described):
    """An artifact of a type, to be logged by a run; or a version that was.

    ``metadata`` is whatever JSON holds, and numpy's numbers; ``ttl_days`` in it gives the version an end.  With
    ``incremental`` it is laid over the latest version when it is logged.  Raises `InvalidNameError` for a name that
    cannot be one.
    """

    @classmethod
    def of(cls, workspace: Workspace, version: Version) -> Artifact:
        """Return a version that is there."""
        artifact = cls.__new__(cls)
        Artifact.__init__(artifact, version.artifact, version.type or "artifact")
        artifact._become(workspace, version)
        return artifact

    # -- putting together ------------------------------------------------------------------------------------------

    def add_file(
        self,
        local_path: str | os.PathLike[str],
        name: str | None = None,
        is_tmp: bool = False,
        skip_cache: bool = False,
        policy: str = "mutable",
        overwrite: bool = False,
    ) -> ArtifactEntry:
        """Take a file in, under ``name`` or its own; raise `ExistsError` where other content came there before."""
        if os.path.isdir(local_path):
            raise SourceError(f"{os.fspath(local_path)!r} is a folder", hint="add_dir takes it")
        path = name or os.path.basename(os.fspath(local_path))
        self._open().add(_present(local_path), path, overwrite=overwrite)
        return self.get_entry(path)

    def add_dir(
        self,
        local_path: str | os.PathLike[str],
        name: str | None = None,
        skip_cache: bool = False,
        policy: str = "mutable",
        merge: bool = False,
        overwrite: bool = False,
    ) -> None:
        """Take in what a folder holds, at the top or below ``name``; folders of one name are merged.

        Raises `ExistsError` for paths that came in before with other content, unless ``overwrite``.
        """
        if os.path.exists(local_path) and not os.path.isdir(local_path):
            raise SourceError(f"{os.fspath(local_path)!r} is a file", hint="add_file takes it")
        self._open().add(_present(local_path), name or "", overwrite=overwrite or merge)

    @contextmanager
    def new_file(self, name: str, mode: str = "x", encoding: str | None = None) -> Iterator[IO[Any]]:
        """Write a file of the artifact: it is taken in when the ``with`` block ends, and is not where that fails."""
        if mode not in ("x", "w", "xb", "wb"):
            raise InvalidInputError(f"the mode is {mode!r}, and can be 'x' or 'w', with 'b' for bytes")
        gathering = self._open()
        with tempfile.TemporaryDirectory(prefix="artfs-") as folder:
            path = Path(folder, "file")
            with path.open(mode.replace("x", "w"), encoding=encoding) as file:
                yield file
            gathering.add(path, name, overwrite="w" in mode)

    def add_reference(
        self,
        uri: str | os.PathLike[str] | ArtifactEntry,
        name: str | None = None,
        checksum: bool = True,
        max_objects: int | None = None,
        overwrite: bool = False,
        anonymous: bool = False,
    ) -> list[ArtifactEntry]:
        """Let what a URI leads to stand in the artifact as it is now; nothing is copied.

        ``s3://``, ``gs://``, ``az://``, ``https://``, ``file://`` or an absolute path: a file under its own name or as
        ``name``, what a folder or prefix holds at the top or below ``name``.  Another version, or a folder or file of
        it: ``artfs://NAME:v3[/path]`` or ``wandb-artifact://ID[/path]``, under ``name`` or its own.  ``checksum`` says
        that local files are pinned by their content, ``anonymous`` that no credentials are used; ``max_objects`` is not
        needed.  Returns the files.  Raises `NotFoundError` where nothing is there, `OutsideError` where that cannot be
        known, `ExistsError` for paths that came in before with other content, unless ``overwrite``.
        """
        text = uri.ref() if isinstance(uri, ArtifactEntry) else os.fspath(uri)
        scheme = next((each for each in _WHOLE if text.startswith(each)), None)
        gathering = self._open()
        if scheme is None:
            done = gathering.refer(text, name or "", overwrite=overwrite, anonymous=anonymous, checksum=checksum)
            return [self.get_entry(os.fsdecode(path)) for path in done.paths]
        assert self._workspace is not None
        version, inside = self._referred(text.removeprefix(scheme), is_id=scheme == _WHOLE[0])
        place = name or (inside.rpartition("/")[2] if inside else short_name(version.artifact))
        gathering.include(place, version.record.root, os.fsencode(inside), overwrite=overwrite)
        self._included.append(version.record.serial)
        return [self.get_entry(place)] if self._is_file(place) else []

    def _referred(self, rest: str, *, is_id: bool) -> tuple[Version, str]:
        assert self._workspace is not None
        if is_id:
            ident, _, inside = rest.partition("/")
            return version_by_id(self._workspace, ident), inside.strip("/")
        version, path = self._workspace.resolve(rest)
        return version, os.fsdecode(path)

    def remove(self, item: str | os.PathLike[str] | ArtifactEntry) -> None:
        """Take a file, a folder (``name/``) or what a glob matches away; raise `NotFoundError` where there is none."""
        self._open().remove(item.path if isinstance(item, ArtifactEntry) else os.fspath(item))

    def new_draft(self) -> Artifact:
        """Return an artifact that begins as this version, to be changed and logged as the next one."""
        version = self._logged("version to begin with")
        draft = Artifact(version.artifact, version.type or "artifact")
        draft._type = version.type
        draft._workspace, draft._base = self._workspace, version
        draft._description, draft._metadata = version.description, version.metadata
        draft._open()  # now, so that it is this version whatever becomes of it
        return draft

    # -- looking ---------------------------------------------------------------------------------------------------

    def _walk(self) -> Iterator[ArtifactEntry]:
        """Yield the files, in the order of their paths."""
        if self._version is None:
            gathering = self._open()
            assert self._workspace is not None
            with self._workspace.store.snapshot() as snapshot:
                for path, entry in gathering.walk():
                    if entry.kind != Kind.DIRECTORY:
                        digest = snapshot.identity(entry.node).hex()
                        yield ArtifactEntry(self, os.fsdecode(path), entry.size, digest, entry.kind == Kind.REFERENCE)
            return
        for folder, _, names in self._version.walk():
            listed = {info.name: info for info in self._version.listdir(folder)}
            for name in names:
                info = listed[name]
                place = f"{folder}/{name}" if folder else name
                yield ArtifactEntry(self, place, info.size, info.digest, info.is_reference)

    def _found(self, path: str) -> ArtifactEntry | None:
        """Return the file at a path, None for a folder; raise `NotFoundError` where nothing is."""
        name = path.strip("/")
        if self._version is not None:
            info = self._version.stat(name)
            if info.kind == "directory":
                return None
            return ArtifactEntry(self, name, info.size, info.digest, info.is_reference)
        gathering = self._open()
        entry = gathering.entry(os.fsencode(name))
        if entry.kind == Kind.DIRECTORY:
            return None
        return ArtifactEntry(self, name, entry.size, entry.id.hex(), entry.kind == Kind.REFERENCE)

    def target(self, digest: str) -> str:
        """Return the URI of the file outside that has an entry's digest."""
        workspace = self._workspace
        assert workspace is not None
        if self._gathering is not None:
            self._gathering.root()  # so that what was just added is in the store
        with workspace.store.snapshot() as snapshot:
            return snapshot.reference(snapshot.content_node(bytes.fromhex(digest))).uri

    def _is_file(self, path: str) -> bool:
        return self._found(path) is not None

    def get_entry(self, name: str | os.PathLike[str]) -> ArtifactEntry:
        """Return a file by its path in the artifact; raise `NotFoundError` where there is none."""
        found = self._found(os.fspath(name))
        if found is None:
            raise NotFoundError(f"{os.fspath(name)!r} is a folder of {self.qualified_name}")
        return found

    get_path = get_entry

    def files(self, names: Sequence[str] | None = None, per_page: int = 50) -> list[ArtifactEntry]:
        """Return the files, or those of some names, in the order of their paths."""
        if names is not None:
            return [self.get_entry(name) for name in names]
        return list(self._walk())

    def download(
        self,
        root: str | os.PathLike[str] | None = None,
        allow_missing_references: bool = False,
        skip_cache: bool | None = None,
        path_prefix: str | os.PathLike[str] | None = None,
        multipart: bool | None = None,
    ) -> str:
        """Return a folder that holds the version; `artfs.tracking.downloading.download` says which.

        A path on a mount is good as long as the mount is.
        """
        version = self._logged("content to download")
        assert self._workspace is not None
        return download(self._workspace, version, root, None if path_prefix is None else os.fspath(path_prefix))

    def checkout(self, root: str | os.PathLike[str] | None = None) -> str:
        """Copy the version into a folder, in the place of files that differ; nothing else there is touched."""
        return self.download(root or f"artifacts/{self.name}")

    def file(self, root: str | os.PathLike[str] | None = None) -> str:
        """Return the path of the only file; raise `InvalidInputError` where there is not just one."""
        found = self.files()
        if len(found) != 1:
            raise InvalidInputError(
                f"{self.qualified_name} holds {len(found)} files, not one", hint="download() gives the folder"
            )
        return found[0].download(root)

    def verify(self, root: str | os.PathLike[str] | None = None) -> None:
        """Raise `DamageError` unless a folder, or what ``download()`` gives, is just this version."""
        from artfs.tracking.verifying import verify

        verify(self._logged("content to verify"), self.download() if root is None else root)

    # -- what becomes of it ----------------------------------------------------------------------------------------

    def commit(self, workspace: Workspace, name: str, run: int) -> Version:
        """Make it a version of the artifact with a full name, for a run or 0, and be that; return it."""
        from artstore.changes.committing import Commit
        from artstore.changes.putting import version_of

        gathering = self._open()
        if self.incremental and self._base is None:
            gathering = self._over_latest(gathering, name)
        said = self.said()
        tags, included = said.pop("tags"), said.pop("included")
        ttl = said.pop("ttl")
        checked = Commit.checked(name, **said, ttl=ttl)
        base = None if self._base is None else self._base.name
        asked = replace(checked, base=base, runs=(run,) if run else (), included=tuple(included))
        version = version_of(workspace.store, gathering.commit(asked))
        if tags:
            workspace.tags.add(version.name, *tags)
        self._become(workspace, version)
        return version

    def _over_latest(self, gathering: Gathering, name: str) -> Gathering:
        """Return what was put together, laid over the latest version of an artifact, if there is one."""
        assert self._workspace is not None
        try:
            self._base = self._workspace.version(name)
        except NotFoundError:
            return gathering
        over = Gathering(self._workspace.store, name, self._base.record)
        over.merge(gathering.root().id)
        gathering.close()
        self._gathering = over
        return over

    def root_digest(self) -> bytes:
        """Return the digest of the directory that was put together, which stays until `discard` or `commit`."""
        return self._open().root().id

    def discard(self) -> None:
        """Let go of what was put together."""
        if self._gathering is not None:
            self._gathering.close()
            self._gathering = None

    def be(self, workspace: Workspace, version: Version) -> None:
        """Be a version that was made of it and others."""
        self.discard()
        self._become(workspace, version)

    def wait(self, timeout: float | None = None) -> Artifact:
        """Return the artifact: it is logged when ``log_artifact`` returns."""
        self._logged("version to wait for")
        return self

    def save(self, project: str | None = None, settings: object = None) -> None:
        """Keep changes of metadata, description, aliases, tags and ttl; one that was not logged becomes a version."""
        if self._version is None:
            workspace = self._workspace or the_workspace()
            self.commit(workspace, own_name(self._name, project or ""), 0)
        else:
            super().save()

    def link(self, target_path: str, aliases: Sequence[str] | None = None) -> Artifact:
        """Show the version as the next one of another artifact, ``PROJECT/NAME``, which holds it; return that."""
        version = self._logged("version to link")
        assert self._workspace is not None
        return Artifact.of(self._workspace, self._workspace.link(version.name, target_path, aliases=aliases or ()))

    @property
    def is_link(self) -> bool:
        """Whether it shows a version of another artifact."""
        return self.source_qualified_name != self.qualified_name

    @property
    def source_name(self) -> str:
        """The name of the version that this one shows, or its own."""
        return short_name(self.source_qualified_name)

    @property
    def source_qualified_name(self) -> str:
        """The full name of the version that this one shows, or its own."""
        return next((node.name for node in self._neighbours("linked as", up=True)), self._logged("source").name)

    @property
    def linked_names(self) -> list[str]:
        """The full names of the versions that show this one."""
        return [node.name for node in self._neighbours("linked as", up=False) if node.state == "live"]

    @property
    def linked_artifacts(self) -> list[Artifact]:
        """The versions that show this one."""
        assert self._workspace is not None
        return [Artifact.of(self._workspace, self._workspace.version(name)) for name in self.linked_names]

    def _neighbours(self, kind: str, *, up: bool) -> list[GraphNode]:
        """Return what this came of, or what came of it, by edges of a kind, in the order of time."""
        version = self._logged("lineage")
        assert self._workspace is not None
        graph = self._workspace.lineage(version.name, up=up, down=not up, depth=1)
        nodes = {node.key: node for node in graph.nodes}
        return [nodes[edge.source if up else edge.target] for edge in graph.edges if edge.kind == kind]

    def unlink(self) -> None:
        """Delete this version, which shows another one; that stays.  Raises `RefusedError` where it is no link."""
        if not self.is_link:
            raise RefusedError(f"{self.qualified_name} is no link", hint="delete() deletes it")
        self.delete(delete_aliases=True)

    def delete(self, delete_aliases: bool = False, cascade: Cascade = "no") -> None:
        """Delete the version; it can be undeleted for a while.

        Raises `RefusedError` where it has aliases other than ``latest`` and not ``delete_aliases``, or others were made
        from it, unless those are to be deleted too (``cascade="delete"``) or to stay (``"orphan"``).
        """
        version = self._logged("version to delete")
        assert self._workspace is not None
        self._workspace.delete(version.name, force=delete_aliases, cascade=cascade)

    def logged_by(self) -> Run | None:
        """Return the run that made the version first, or None."""
        return next(iter(self._runs("logged", up=True)), None)

    def used_by(self) -> list[Run]:
        """Return the runs that have used the version."""
        return self._runs("used by", up=False)

    def _runs(self, kind: str, *, up: bool) -> list[Run]:
        from artfs.tracking.api import recorded_run

        found = self._neighbours(kind, up=up)
        assert self._workspace is not None
        return [recorded_run(self._workspace, node.name) for node in found]


def _present(path: str | os.PathLike[str]) -> str | os.PathLike[str]:
    if not os.path.lexists(path):
        raise SourceError(f"{os.fspath(path)!r} does not exist")
    return path


def version_by_id(workspace: Workspace, ident: str) -> Version:
    """Return the version that has an id; raise `NotFoundError` where there is none in this workspace."""
    try:
        known, serial = ident[:8], int(ident[8:], 16)
    except ValueError:
        known, serial = "", 0
    if known == workspace.uuid.replace("-", "")[:8]:
        found = workspace.version_by_serial(serial)
        if found is not None:
            return found
    raise NotFoundError(f"no version has the id {ident!r}", hint="artifact.id gives one; artfs://NAME:v3 works too")


def use(workspace: Workspace, text: str, project: str) -> tuple[Artifact, str]:
    """Return (artifact, what it was called by) for a name as users write it."""
    version, said = find_version(workspace, text, project)
    return Artifact.of(workspace, version), said
