"""Importing a bundle: all of it is checked, then staged, then committed in one transaction.

Versions that the workspace has already are not made a second time.  If a bundle has several versions of one artifact,
there is a transaction for each round of them, sources first: the times that a version shows follow from the one before.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from artfs.registry.bundles import Bundled, bundled_artifacts, direct_sources
from artfs.registry.errors import ChainConflictError
from artfs.registry.exporting import Exporting
from artfs.registry.ids import parse_artifact_id
from artfs.registry.naming import artifact_name
from artfs.registry.records import RECORD, ArtifactRecord
from artfs.registry.sources import Pending, SourceFolder, folders_of, record_digest
from artfs.registry.stored import DEPTH, MACS, is_registered, metadata_of, record_of
from artfs.registry.workspaces import FolderWorkspace
from artstore.archives.index import split_name
from artstore.arguments import shown_text
from artstore.changes.committing import Commit
from artstore.drafting.batches import Included, NewVersion, VersionBatch
from artstore.errors import ArchiveError, BusyError, NotFoundError
from artstore.progress import Progress
from artstore.queries.versions import Version

if TYPE_CHECKING:
    from artstore.archives.reading import Archive
    from artstore.workspace import Workspace

__all__ = ["BundleImport", "Imported", "Importing"]

_ATTEMPTS: Final = 3
Key = tuple[str, int]
Report = Callable[[Progress], None]

_IN_MEMORY: Final = 1 << 16
"""Bytes of a payload that is not written to a temporary file first."""


class Imported(NamedTuple):
    """An artifact of a bundle, and whether a version was made; before that, ``record.ref`` is empty."""

    record: ArtifactRecord
    created: bool


class Importing(Exporting):
    """The part of a registry that imports bundles."""

    @classmethod
    def import_bundle(
        cls,
        path: str | os.PathLike[str],
        workspace: Workspace | str | os.PathLike[str],
        *,
        progress: Report | None = None,
    ) -> list[ArtifactRecord]:
        """Register the artifacts of a bundle with all that they were made from; return their records.

        ``workspace`` is that of a registry, and is made if there is none.  Everything is checked before anything
        changes.  An artifact that is there with an equal record makes no version; one of the same id with another is
        its next.  Signatures are not taken over: a pickle is foreign until `artfs registry trust` signs it.

        Raises `ArchiveError` for a file that is not an archive, `RecordError` and `DependencyError` for one that is not
        a bundle, `DamageError` for one that is truncated or damaged, and `ChainConflictError` if another chain has an
        id.
        """
        return [each.record for each in BundleImport(path, workspace).run(progress)]


class BundleImport:
    """The import of one bundle into one workspace."""

    def __init__(
        self, path: str | os.PathLike[str], workspace: FolderWorkspace | Workspace | str | os.PathLike[str]
    ) -> None:
        self._path = path
        self._place = workspace if isinstance(workspace, FolderWorkspace) else FolderWorkspace(workspace)

    def plan(self, progress: Report | None = None) -> list[Imported]:
        """Check the bundle and return what `run` would do; nothing is changed, and no workspace is made."""
        with self._opened() as archive:
            archive.verify(progress)
            artifacts = bundled_artifacts(archive.versions, lambda _, entry: archive.read(entry))
        present = self._present(artifacts)
        return [
            Imported(record_of(present[each.key]), False) if each.key in present else Imported(each.record, True)
            for each in _by_name(artifacts)
        ]

    def run(self, progress: Report | None = None) -> list[Imported]:
        """Import the bundle."""
        with self._opened() as archive:
            archive.verify(progress)
            artifacts = bundled_artifacts(archive.versions, lambda _, entry: archive.read(entry))
            before = self._present(artifacts)
            for attempt in range(_ATTEMPTS):
                try:
                    present = self._present(artifacts) if attempt else before
                    found = self._landed(archive, artifacts, present, progress)
                    break
                except (
                    BusyError,
                    NotFoundError,
                ):  # content to include was reaped, or a version deleted, at this moment
                    if attempt == _ATTEMPTS - 1:
                        raise
        return [Imported(record_of(found[each.key]), each.key not in before) for each in _by_name(artifacts)]

    def _opened(self) -> Archive:
        from artstore.archives.reading import Archive

        return Archive(self._path)

    # -- what is there already -------------------------------------------------------------------------------------

    def _present(self, artifacts: Sequence[Bundled]) -> dict[Key, Version]:
        """Return the living versions that have an artifact's record; refuse an id of another chain."""
        workspace = self._place._existing()
        if workspace is None:
            return {}
        present: dict[Key, Version] = {}
        for each in artifacts:
            found = self._living(each.name, each.digest)
            if each.again < len(found):
                present[each.key] = found[each.again]
                continue
            current = workspace.relations.current(each.name)
            chain = record_of(current).chain_path if current is not None and is_registered(current) else ""
            if chain and each.record.chain_path not in ("", chain):
                raise ChainConflictError(
                    f"the id {each.record.artifact_id!r} is that of the chain {shown_text(chain)}, "
                    f"not of {shown_text(each.record.chain_path)}",
                    hint="import the bundle into another workspace",
                )
        return present

    def _living(self, name: str, digest: str) -> list[Version]:
        """Return the living versions of an artifact that have a record, oldest first."""
        workspace = self._place._existing()
        if workspace is None or workspace.relations.current(name) is None:
            return []
        versions = workspace.versions(name)
        return [each for each in versions if is_registered(each) and record_digest(each) == digest]

    # -- staging and committing ------------------------------------------------------------------------------------

    def _landed(
        self,
        archive: Archive,
        artifacts: Sequence[Bundled],
        present: dict[Key, Version],
        progress: Report | None,
    ) -> dict[Key, Version]:
        """Return the version of every artifact."""
        found = dict(present)
        done = 0
        for each in _rounds([each for each in artifacts if each.key not in present]):
            with (
                self._place.workspace.drafts.batch(each[0].name) as batch,
                tempfile.TemporaryDirectory(prefix="artfs-registry-") as folder,
            ):
                staging = _Staging(archive, batch, Path(folder), found, self._living)
                for artifact in each:
                    staging.add(artifact)
                    done += 1
                    if progress is not None:
                        count = len(artifacts) - len(present)
                        progress(Progress("import", done, 0, count, None, artifact.record.artifact_id))
                found |= dict(zip((artifact.key for artifact in each), batch.commit(), strict=True))
        return found


class _Staging:
    """The staging of versions in one batch."""

    def __init__(
        self,
        archive: Archive,
        batch: VersionBatch,
        folder: Path,
        found: dict[Key, Version],
        living: Callable[[str, str], list[Version]],
    ) -> None:
        """``found`` are versions that are there; ``living`` looks for others by name and the digest of the record."""
        self._archive, self._batch, self._folder = archive, batch, folder
        self._found: dict[str, Version | Pending] = {digest: version for (digest, _), version in found.items()}
        self._living = living
        self._folders: dict[str, SourceFolder] = {}

    def add(self, artifact: Bundled) -> None:
        """Stage an artifact, with the folders of its sources from the versions that have them, else from the bundle."""
        record = artifact.record
        sources = [self._source(record, digest) for digest in direct_sources(record)]
        files = dict(self._files(artifact, ""))
        included: dict[bytes, Included] = {}
        macs: dict[str, str] = {}
        for place, each in enumerate(record.sources):
            folder = f"sources/{place}"
            known = self._folders.get(each["digest"])
            if known is None:
                files |= self._files(artifact, f"{folder}/")
                continue
            included |= {
                os.fsencode(folder) + (b"/" + path if path else b""): part for path, part in known.parts.items()
            }
            if known.mac:  # of this workspace's own version
                macs[str(place)] = known.mac
        metadata = {**metadata_of(record, artifact.payload), **({MACS: macs} if macs else {}), **artifact.metadata}
        if artifact.depth:
            metadata[DEPTH] = artifact.depth
        kind, description = str(record.artifact_type), artifact.version.description or None
        request = replace(
            Commit.checked(artifact.name, type=kind, description=description),
            metadata=metadata,
            included=[each.record.serial for each in sources if isinstance(each, Version)],
        )
        version = NewVersion(request, files, included, [each.place for each in sources if isinstance(each, Pending)])
        place = self._batch.add(version)
        for file in self._folder.iterdir():
            file.unlink()
        if self._batch.digest(place) != artifact.version.digest:
            raise ArchiveError(f"{artifact.version.name} in the bundle does not have the digest in the index")
        self._know(artifact.digest, Pending(place, record, version, artifact.depth))

    def _source(self, record: ArtifactRecord, digest: str) -> Version | Pending | None:
        """Return what has the record of a source: in the bundle, or in the workspace."""
        if digest not in self._found:
            ident = next(each["artifact_id"] for each in record.sources if each["digest"] == digest)
            living = self._living(artifact_name(record.dataset, parse_artifact_id(ident)), digest)
            if not living:
                return None
            self._found[digest] = living[-1]
        if digest not in self._folders:
            self._know(digest, self._found[digest])
        return self._found[digest]

    def _know(self, digest: str, found: Version | Pending) -> None:
        self._found[digest] = found
        own, below = folders_of(found)
        for each in (own, *below):
            self._folders.setdefault(each.digest, each)

    def _files(self, artifact: Bundled, folder: str) -> Iterator[tuple[bytes, bytes | Path]]:
        """Yield the record and the payload in a folder of an artifact; a large payload is a temporary file."""
        for path, entry in artifact.files.items():
            if path.rpartition("/")[0] != folder.rstrip("/"):
                continue
            if entry.size <= _IN_MEMORY or path.endswith(RECORD):
                yield entry.path, self._archive.read(entry)
                continue
            file = self._folder / f"{len(list(self._folder.iterdir()))}"
            with file.open("xb") as stream:
                self._archive.copy(entry, stream)
            yield entry.path, file


def _by_name(artifacts: Sequence[Bundled]) -> list[Bundled]:
    """Return the artifacts by name and number."""
    return sorted(artifacts, key=lambda each: split_name(each.version.name))


def _rounds(artifacts: Sequence[Bundled]) -> Iterator[list[Bundled]]:
    """Yield artifacts in their order, in parts that have one version of each."""
    part: dict[str, Bundled] = {}
    for each in artifacts:
        if each.name in part:
            yield list(part.values())
            part = {}
        part[each.name] = each
    if part:
        yield list(part.values())
