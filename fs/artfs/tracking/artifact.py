"""`Artifact`: content that a program puts together, or a version.

Making one opens no workspace; what is added is read at the call.  It becomes a version when a run logs it.

This module and `artfs.tracking.run` know each other, as the API that they follow has it: a run logs and uses artifacts,
and an artifact names the runs that logged and used it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import IO, TYPE_CHECKING, Any

from artfs.tracking.aliases import NameList
from artfs.tracking.assembly import Assembly
from artfs.tracking.conversion import json_values
from artfs.tracking.description import Described, Description
from artfs.tracking.downloading import download
from artfs.tracking.entries import ArtifactEntry, entries_of
from artfs.tracking.naming import find_version, own_name, short_name, version_id
from artfs.tracking.values import iso
from artstore.arguments import paths_of
from artstore.errors import InvalidInputError, NotFoundError, RefusedError
from artstore.names import check_name, check_type, version_label
from artstore.queries.versions import Version
from artstore.workspace import Workspace

if TYPE_CHECKING:
    from artfs.tracking.run import Run
    from artstore.changes.deleting import Cascade
    from artstore.queries.graph import GraphNode

__all__ = ["Artifact", "ArtifactEntry"]

_DRAFT, _COMMITTED, _DELETED = "PENDING", "COMMITTED", "DELETED"


class Artifact(Described):
    """An artifact of a type, to be logged by a run; or a version.

    ``metadata`` is whatever JSON can hold, and numpy's numbers; ``ttl_days`` in it sets the time to live.  With
    ``incremental`` it is laid over the latest version when it is logged.  Raises `InvalidNameError` for an invalid
    name.
    """

    def __init__(
        self,
        name: str,
        type: str = "",
        description: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        incremental: bool = False,
        use_as: str | None = None,
    ) -> None:
        if not type:
            raise InvalidInputError(f"the artifact {name!r} needs a type", hint="pass type=, such as 'dataset'")
        self._name = check_name(name)
        self.incremental = incremental
        self._use_as = use_as
        self._version: Version | None = None
        self._assembly = Assembly(self._name)
        self._description = Description(
            check_type(type),
            description,
            None if metadata is None else json_values(metadata),
            NameList((), self.save, "aliases"),
            NameList((), self.save, "tags"),
        )

    @classmethod
    def of(cls, workspace: Workspace, version: Version) -> Artifact:
        """Return the artifact that a version is."""
        artifact = Artifact(version.artifact, version.type or "artifact")
        artifact._become(workspace, version)
        return artifact

    @classmethod
    def named(cls, workspace: Workspace, text: str, project: str) -> tuple[Artifact, str]:
        """Return (artifact, the alias or ``v3`` that it was called by) for a name as users write it."""
        version, called = find_version(workspace, text, project)
        return cls.of(workspace, version), called

    def _become(self, workspace: Workspace, version: Version) -> None:
        """Be a version from now on."""
        self._assembly = Assembly(self._name, workspace, self._assembly.base)
        self._version = version
        self._description = Description.of(version, self.save)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.qualified_name}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Artifact) or self._version is None or other._version is None:
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

    def _open(self) -> Assembly:
        """Return what is being put together; raise `RefusedError` if it is a version already."""
        if self._version is not None:
            raise RefusedError(
                f"{self._version.name} is a version and cannot be changed",
                hint="begin the next version: artifact.new_draft()",
            )
        return self._assembly

    @property
    def _workspace(self) -> Workspace:
        return self._assembly.workspace

    @property
    def name(self) -> str:
        """Its name; with its version (``imagenet:v3``) once it is logged."""
        return self._name if self._version is None else short_name(self._version.name)

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
        """Empty: a workspace has one owner."""
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
    def state(self) -> str:
        """``PENDING`` until it is logged, then ``COMMITTED``; ``DELETED`` once the version is deleted."""
        if self._version is None:
            return _DRAFT
        is_living = self._workspace.version_by_serial(self._version.record.serial) is not None
        return _COMMITTED if is_living else _DELETED

    @property
    def stored(self) -> Version | None:
        """The version that it is, or None."""
        return self._version

    @property
    def has_base(self) -> bool:
        """Whether it began as a version."""
        return self._assembly.base is not None

    def is_draft(self) -> bool:
        """Return whether it has not been logged."""
        return self._version is None

    @property
    def id(self) -> str:
        """The version's id, hex: it stays the same when the artifact is renamed."""
        return version_id(self._workspace, self._logged("id"))

    @property
    def digest(self) -> str:
        """The digest of its content, hex."""
        return self._version.digest if self._version is not None else self._open().root_digest().hex()

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return self._version.size if self._version is not None else self._open().gathering().totals().bytes

    @property
    def file_count(self) -> int:
        """Number of files."""
        return self._version.file_count if self._version is not None else self._open().gathering().totals().files

    @property
    def created_at(self) -> str:
        """When it was logged: ISO 8601, UTC, with ``Z``."""
        return iso(self._logged("time").created_at)

    @property
    def updated_at(self) -> str:
        """When it was logged: a version does not change."""
        return self.created_at

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
        """Add a file, as ``name`` or under its own; raise `ExistsError` if the path was added with other content."""
        path = name or os.path.basename(os.fspath(local_path))
        self._open().add_file(local_path, path, overwrite=overwrite)
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
        """Add the content of a folder, at the top or below ``name``; folders of one name are merged.

        Raises `ExistsError` for paths that were added before with other content, unless ``overwrite``.
        """
        self._open().add_dir(local_path, name or "", overwrite=overwrite or merge)

    def new_file(self, name: str, mode: str = "x", encoding: str | None = None) -> AbstractContextManager[IO[Any]]:
        """Write a file of the artifact: it is added when the ``with`` block ends, unless by an exception."""
        return self._open().new_file(name, mode, encoding)

    def add_reference(
        self,
        uri: str | os.PathLike[str] | ArtifactEntry,
        name: str | None = None,
        checksum: bool = True,
        max_objects: int | None = None,
        overwrite: bool = False,
        **options: Any,
    ) -> list[ArtifactEntry]:
        """Add a reference to what a URI names, as it is now; nothing is copied.

        ``s3://``, ``gs://``, ``az://``, ``https://``, ``file://`` or an absolute path: a file under its own name or as
        ``name``, the content of a folder or prefix at the top or below ``name``.  Another version, or a folder or file
        of it: ``artfs://NAME:v3[/path]`` or ``wandb-artifact://ID[/path]``, under ``name`` or its own.  With
        ``checksum`` local files are pinned by their content, with ``anonymous`` no credentials are used;
        ``allow_query`` takes a secret in the URI's query, ``allow_private`` an address that is not public;
        ``max_objects`` has no effect.  Returns the files.  Raises `NotFoundError` if nothing is there, `OutsideError`
        if that cannot be determined, `ExistsError` for paths that were added before with other content, unless
        ``overwrite``.
        """
        text = uri.ref() if isinstance(uri, ArtifactEntry) else os.fspath(uri)
        paths = self._open().refer(text, os.fspath(name or ""), checksum=checksum, overwrite=overwrite, **options)
        return [self.get_entry(path) for path in paths]

    def remove(self, item: str | os.PathLike[str] | ArtifactEntry) -> None:
        """Remove a file, a folder (``name/``) or what a glob matches; raise `NotFoundError` if there is none."""
        self._open().gathering().remove(item.path if isinstance(item, ArtifactEntry) else os.fspath(item))

    def new_draft(self) -> Artifact:
        """Return an artifact that begins as this version, to be changed and logged as the next one."""
        version = self._logged("version to begin with")
        draft = Artifact(version.artifact, version.type or "artifact", version.description)
        draft._description.type, draft._description.metadata = version.type, version.metadata
        draft._assembly = Assembly(version.artifact, self._workspace, version)
        draft._assembly.gathering()  # now, so that it begins as this version even if that is deleted
        return draft

    # -- files -----------------------------------------------------------------------------------------------------

    def get_entry(self, name: str | os.PathLike[str]) -> ArtifactEntry:
        """Return a file by its path in the artifact; raise `NotFoundError` if there is none."""
        path = os.fspath(name).strip("/")
        if self._version is None:
            file = self._open().gathering().file(path)
            if file is not None:
                return ArtifactEntry(self, *file)
        else:
            info = self._version.stat(path)
            if info.kind != "directory":
                return ArtifactEntry(self, path, info.size, info.digest, info.is_reference)
        raise NotFoundError(f"{os.fspath(name)!r} is a folder of {self.qualified_name}")

    get_path = get_entry

    def target(self, digest: str) -> str:
        """Return the URI of the file outside that has an entry's digest."""
        if self._assembly.holds_anything:
            self._assembly.root_digest()  # so that what was just added is in the store
        return self._workspace.references.uri(digest)

    def files(self, names: Sequence[str] | None = None, per_page: int = 50) -> list[ArtifactEntry]:
        """Return the files, or those of some names, in the order of their paths."""
        if names is not None:
            return [self.get_entry(name) for name in paths_of([names], "the names of files")]
        if self._version is not None:
            return list(entries_of(self, self._version))
        return [ArtifactEntry(self, *file) for file in self._open().gathering().files()]

    def download(
        self,
        root: str | os.PathLike[str] | None = None,
        allow_missing_references: bool = False,
        skip_cache: bool | None = None,
        path_prefix: str | os.PathLike[str] | None = None,
        multipart: bool | None = None,
    ) -> str:
        """Return a folder that holds the version; `artfs.tracking.downloading.download` says which.

        A path on a mount is valid as long as the mount is.
        """
        version = self._logged("content to download")
        return download(self._workspace, version, root, None if path_prefix is None else os.fspath(path_prefix))

    def checkout(self, root: str | os.PathLike[str] | None = None) -> str:
        """Copy the version into a folder, and replace files that differ; other files are not touched."""
        return self.download(root or f"artifacts/{self.name}")

    def file(self, root: str | os.PathLike[str] | None = None) -> str:
        """Return the path of the only file; raise `InvalidInputError` if there is not exactly one."""
        files = self.files()
        if len(files) != 1:
            raise InvalidInputError(
                f"{self.qualified_name} holds {len(files)} files, not one", hint="download() gives the folder"
            )
        return files[0].download(root)

    def verify(self, root: str | os.PathLike[str] | None = None) -> None:
        """Raise `DamageError` unless a folder, or what ``download()`` returns, holds exactly this version."""
        from artfs.tracking.verifying import verify

        verify(self._logged("content to verify"), self.download() if root is None else root)

    # -- becoming a version ----------------------------------------------------------------------------------------

    def commit(self, name: str, run: int) -> Version:
        """Make it a version of the artifact with a full name, for a run or 0, and be that; return it."""
        assembly = self._open()
        version = assembly.commit(name, self._description, run, over_latest=self.incremental)
        self._become(assembly.workspace, version)
        return version

    def contribution(self, *, begin: bool = False) -> tuple[bytes | None, dict[str, Any]]:
        """Return (form id, message) for a version that several runs make.

        The content stays in the store until `discard`; if nothing was added, the form id is None, or with ``begin``
        that of an empty folder.  The message is the description, as JSON knows it.
        """
        assembly = self._open() if begin else self._assembly
        has_content = begin or assembly.holds_anything
        message = {**self._description.options(), "tags": list(self.tags), "included": list(assembly.included)}
        return assembly.root_form() if has_content else None, message

    def discard(self) -> None:
        """Drop what was put together."""
        self._assembly.discard()

    def be(self, workspace: Workspace, version: Version) -> None:
        """Be a version that was made from this and others."""
        self.discard()
        self._become(workspace, version)

    def wait(self, timeout: float | None = None) -> Artifact:
        """Return the artifact: it is logged when ``log_artifact`` returns."""
        self._logged("version to wait for")
        return self

    def save(self, project: str | None = None, settings: object = None) -> None:
        """Keep changes of metadata, description, aliases, tags and ttl; one that was not logged becomes a version."""
        if self._version is None:
            self.commit(own_name(self._name, project or ""), 0)
            return
        self._description.write(self._workspace, self._version)
        self._become(self._workspace, self._workspace.version(self._version.name))

    def link(self, target_path: str, aliases: Sequence[str] | None = None) -> Artifact:
        """Make the version the next one of another artifact, ``PROJECT/NAME``, too; return that."""
        version = self._logged("version to link")
        return Artifact.of(self._workspace, self._workspace.link(version.name, target_path, aliases=aliases or ()))

    def unlink(self) -> None:
        """Delete this version if it is a link; the other version stays.  Raises `RefusedError` if it is not a link."""
        if not self.is_link:
            raise RefusedError(f"{self.qualified_name} is not a link", hint="delete() deletes it")
        self.delete(delete_aliases=True)

    def delete(self, delete_aliases: bool = False, cascade: Cascade = "no") -> None:
        """Delete the version; it can be undeleted for a while.

        Raises `RefusedError` if it has aliases other than ``latest``, unless ``delete_aliases``, and if others were
        made from it, unless those are deleted too (``cascade="delete"``) or kept (``"orphan"``).
        """
        self._workspace.delete(self._logged("version to delete").name, force=delete_aliases, cascade=cascade)

    # -- lineage ---------------------------------------------------------------------------------------------------

    @property
    def is_link(self) -> bool:
        """Whether it is a link to a version of another artifact."""
        return self.source_qualified_name != self.qualified_name

    @property
    def source_name(self) -> str:
        """The name of the version that it is a link to, or its own."""
        return short_name(self.source_qualified_name)

    @property
    def source_qualified_name(self) -> str:
        """The full name of the version that it is a link to, or its own."""
        return next((node.name for node in self._neighbours("linked as", up=True)), self._logged("source").name)

    @property
    def linked_names(self) -> list[str]:
        """The full names of the versions that are links to this one."""
        return [node.name for node in self._neighbours("linked as", up=False) if node.state == "live"]

    @property
    def linked_artifacts(self) -> list[Artifact]:
        """The versions that are links to this one."""
        return [Artifact.of(self._workspace, self._workspace.version(name)) for name in self.linked_names]

    def _neighbours(self, kind: str, *, up: bool) -> list[GraphNode]:
        """Return what this was made from, or what was made from it, by edges of a kind, in the order of time."""
        graph = self._workspace.lineage(self._logged("lineage").name, up=up, down=not up, depth=1)
        nodes = {node.key: node for node in graph.nodes}
        return [nodes[edge.source if up else edge.target] for edge in graph.edges if edge.kind == kind]

    def logged_by(self) -> Run | None:
        """Return the run that made the version first, or None."""
        return next(iter(self._runs("logged", up=True)), None)

    def used_by(self) -> list[Run]:
        """Return the runs that have used the version."""
        return self._runs("used by", up=False)

    def _runs(self, kind: str, *, up: bool) -> list[Run]:
        from artfs.tracking.run import recorded_run  # they know each other; see above

        return [recorded_run(self._workspace, node.name) for node in self._neighbours(kind, up=up)]
