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

from artfs.tracking.absent import absent
from artfs.tracking.aliases import NameList
from artfs.tracking.artifact_collections import ArtifactCollection
from artfs.tracking.assembly import Assembly
from artfs.tracking.conversion import json_values
from artfs.tracking.description import Described, Description
from artfs.tracking.downloading import download
from artfs.tracking.entries import ArtifactEntry, entries_of, paths_beginning
from artfs.tracking.lineage import ArtifactLineage
from artfs.tracking.manifest import ArtifactManifest
from artfs.tracking.naming import find_version, logical_path, own_name, short_name, version_id
from artfs.tracking.notices import ignore
from artfs.tracking.tables import SUFFIX, Table
from artfs.tracking.values import iso
from artstore.arguments import paths_of, shown_value
from artstore.errors import InvalidInputError, NotFoundError, RefusedError
from artstore.names import check_name, check_type, version_label
from artstore.queries.versions import Version
from artstore.workspace import Workspace

if TYPE_CHECKING:
    from artstore.changes.deleting import Cascade

__all__ = ["Artifact", "ArtifactEntry"]

_DRAFT, _COMMITTED, _DELETED = "PENDING", "COMMITTED", "DELETED"


class Artifact(Described, ArtifactLineage):
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
        storage_region: str | None = None,
        digest_algorithm: str | None = None,
    ) -> None:
        if storage_region is not None:
            ignore("storage_region", "everything is kept in the workspace")
        if digest_algorithm is not None:
            ignore("digest_algorithm", "every digest is BLAKE3")
        if not type:
            raise InvalidInputError(f"the artifact {name!r} needs a type", hint="pass type=, such as 'dataset'")
        self._name = check_name(name)
        self.incremental = incremental
        self.use_as = use_as
        self.distributed_id: str | None = None
        self._local: dict[str, str] = {}
        """The files that were added, by their paths in the artifact."""
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
    def collection(self) -> ArtifactCollection:
        """The series of versions that it belongs to; its text is the name without a version."""
        return ArtifactCollection.named(self._workspace, self._logged("collection").artifact)

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

    @property
    def commit_hash(self) -> str:
        """The digest of the version."""
        return self._logged("hash").digest

    @property
    def digest_algorithm(self) -> str:
        """``blake3``."""
        return "blake3"

    @property
    def url(self) -> str | None:
        """None: it has no page; ``artfs show`` prints its record."""
        return None

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name if name.startswith("_") else absent("Artifact", name))

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
        path = logical_path(name) if name else os.path.basename(os.fspath(local_path))
        self._open().add_file(local_path, path, overwrite=overwrite)
        self._local[path] = os.path.abspath(os.fspath(local_path))
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
        self._open().add_dir(local_path, logical_path(name or ""), overwrite=overwrite or merge)

    def new_file(
        self, name: str, mode: str = "x", encoding: str | None = None, policy: str = "mutable"
    ) -> AbstractContextManager[IO[Any]]:
        """Write a file of the artifact: it is added when the ``with`` block ends, unless by an exception."""
        return self._open().new_file(logical_path(name), mode, encoding)

    def add(self, obj: Table, name: str, overwrite: bool = False) -> ArtifactEntry:
        """Add a table, as ``NAME.table.json``; `get` returns it.  Raises `InvalidInputError` for anything else."""
        if not isinstance(obj, Table):
            raise InvalidInputError(
                f"an artifact keeps files and tables, not {shown_value(obj)}", hint="write it to a file: new_file()"
            )
        path = logical_path(name).removesuffix(SUFFIX) + SUFFIX
        with self.new_file(path, "w" if overwrite else "x", "utf-8") as file:
            file.write(obj.encode())
        return self.get_entry(path)

    def __setitem__(self, name: str, item: Table) -> None:
        self.add(item, name)

    def finalize(self) -> None:
        """Refuse further changes until it is logged."""
        self._open().is_final = True

    def get_added_local_path_name(self, local_path: str) -> str | None:
        """Return the path in the artifact of a file that was added, or None."""
        wanted = os.path.abspath(local_path)
        return next((path for path, local in self._local.items() if local == wanted), None)

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
        text = uri.ref_url() if isinstance(uri, ArtifactEntry) else os.fspath(uri)
        below = logical_path(name or "") + ("/" if os.fspath(name or "").endswith("/") else "")
        paths = self._open().refer(text, below, checksum=checksum, overwrite=overwrite, **options)
        return [self.get_entry(path) for path in paths]

    def remove(self, item: str | os.PathLike[str] | ArtifactEntry) -> None:
        """Remove a file, a folder (``name/``) or what a glob matches; raise `NotFoundError` if there is none."""
        path = item.path if isinstance(item, ArtifactEntry) else os.fspath(item)
        self._open().gathering().remove(logical_path(path) + ("/" if path.endswith("/") else ""))

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
        path = logical_path(name)
        if self._version is None:
            file = self._open().gathering().file(path)
            if file is not None:
                return self._entry(*file)
        else:
            info = self._version.stat(path)
            if info.kind != "directory":
                return ArtifactEntry(self, path, info.size, info.digest, info.is_reference)
        raise NotFoundError(f"{os.fspath(name)!r} is a folder of {self.qualified_name}")

    get_path = get_entry

    def _entry(self, path: str, size: int, digest: str, is_reference: bool = False) -> ArtifactEntry:
        return ArtifactEntry(self, path, size, digest, is_reference, self._local.get(path))

    def get(self, name: str) -> Table | None:
        """Return the table that was added as ``name``, or None."""
        path = logical_path(name).removesuffix(SUFFIX) + SUFFIX
        try:
            data = self._logged("content to read").read_bytes(path)
        except NotFoundError:
            return None
        return Table.decode(data, path)

    __getitem__ = get

    @property
    def manifest(self) -> ArtifactManifest:
        """The files by path, as they are now."""
        return ArtifactManifest(self.files(), self.digest)

    def target(self, digest: str) -> str:
        """Return the URI of the file outside that has an entry's digest."""
        if self._assembly.holds_anything:
            self._assembly.root_digest()  # so that what was just added is in the store
        return self._workspace.references.uri(digest)

    def files(
        self, names: Sequence[str] | None = None, per_page: int = 50, start: str | None = None
    ) -> list[ArtifactEntry]:
        """Return the files, or those of some names, in the order of their paths."""
        if names is not None:
            return [self.get_entry(name) for name in paths_of([names], "the names of files")]
        if self._version is not None:
            return list(entries_of(self, self._version))
        return [self._entry(*file) for file in self._open().gathering().files()]

    def download(
        self,
        root: str | os.PathLike[str] | None = None,
        allow_missing_references: bool = False,
        skip_cache: bool | None = None,
        path_prefix: str | os.PathLike[str] | None = None,
        multipart: bool | None = None,
    ) -> str:
        """Return a folder that holds the version; `artfs.tracking.downloading.download` says which.

        With ``path_prefix``, a copy has the files whose paths begin with that text; raises `NotFoundError` if none do.
        A path on a mount is valid as long as the mount is.
        """
        version = self._logged("content to download")
        if not path_prefix:
            return download(self._workspace, version, root, None)
        folders = [download(self._workspace, version, root, path) for path in paths_beginning(version, path_prefix)]
        return folders[-1]

    def download_file(self, root: str | os.PathLike[str] | None, path: str) -> str:
        """Return a folder that holds the file at a path."""
        return download(self._workspace, self._logged("content to download"), root, path)

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
        if version.is_pending:
            version = assembly.workspace.remotes.settle(version)
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
