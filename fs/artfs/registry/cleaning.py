"""Deleting what nothing needs, and counting what is there.

Everything goes through `Workspace.delete`: what others depend on is refused, deleted versions can be undeleted for a
while, and the bytes are those that come back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from artfs.registry.manifests import Manifests, named_in_folder
from artfs.registry.naming import RUNS, catalog_name
from artfs.registry.stored import is_registered
from artstore.errors import InvalidInputError, RefusedError
from artstore.queries.versions import Version

if TYPE_CHECKING:
    from artstore.changes.deleting import Cascade, Deletion
    from artstore.workspace import Workspace

__all__ = ["Cleaning"]


@dataclass
class _Counts:
    """What there is of a data set: living versions, bytes of their payloads, types, and bytes by distinct payload."""

    versions: int = 0
    bytes: int = 0
    types: dict[str, int] = field(default_factory=dict)
    payloads: dict[str, int] = field(default_factory=dict)


def _counted(workspace: Workspace, dataset: str) -> _Counts:
    """Count a data set by the index of metadata: no record is read."""
    by_value = workspace.relations.serials_by_value
    own = set(by_value("artfs.dataset", text=True).get(dataset, ()))
    types = {str(kind): len(own.intersection(serials)) for kind, serials in by_value("artfs.type").items()}
    sizes = {serial: int(size) for size, serials in by_value("artfs.size").items() for serial in serials}
    payloads = {
        str(content): sizes.get(serials[0], 0)
        for content, serials in by_value("artfs.content").items()
        if not own.isdisjoint(serials)
    }
    total = sum(sizes.get(serial, 0) for serial in own)
    return _Counts(len(own), total, {kind: count for kind, count in types.items() if count}, payloads)


class Cleaning(Manifests):
    """The part of a registry that deletes, and counts."""

    def find_orphaned_artifacts(self, scan_all_manifests: bool = True, superseded: bool = False) -> list[str]:
        """Return the versions, ``NAME:vN``, that a failed or crashed run registered and that nothing keeps.

        A dependant, a prediction, a link, an alias, a registration outside of runs, and a manifest below the folder
        ``runs`` of the workspace's folder keep a version.  ``superseded`` adds older versions that nothing keeps.
        Raises `RecordError` for a manifest that cannot be read.
        """
        return [version.name for version in self._orphans(scan_all_manifests, superseded)]

    def _orphans(self, scan_all_manifests: bool, superseded: bool) -> list[Version]:
        if self._existing() is None:
            return []
        named = named_in_folder(self._folder / RUNS) if scan_all_manifests else frozenset()
        found = {version.name: version for version in self._made_in(record.number for record in self._failed_runs())}
        if superseded:
            latest = {version.name for version in self._search()}
            found |= {each.name: each for each in self._search(latest=False) if each.name not in latest}
        return self._unkept(found.values(), named)

    def delete_orphaned_artifacts(
        self, dry_run: bool = True, scan_all_manifests: bool = True, superseded: bool = False
    ) -> tuple[list[str], int]:
        """Delete orphans; return (versions, stored bytes that come back), by default without deleting anything.

        Bytes that other versions share are not counted.  Versions can be undeleted for a while.
        """
        orphans = [version.name for version in self._orphans(scan_all_manifests, superseded)]
        if not orphans:
            return [], 0
        return orphans, self.workspace.delete(*orphans, dry_run=dry_run).freed_bytes

    def living_versions(self, pipeline_id: str | None = None) -> list[str]:
        """Return all living versions, ``NAME:vN``, of the data set or of one pipeline."""
        pipeline = self.find_pipeline(pipeline_id) if pipeline_id else ""
        return [] if pipeline is None else [version.name for version in self._search(pipeline=pipeline, latest=False)]

    def delete_pipeline_artifacts(self, pipeline_id: str, delete_files: bool = False, cascade: bool = False) -> int:
        """Delete all versions of a pipeline's artifacts; return how many.

        ``delete_files`` frees their bytes at once: they cannot be undeleted.  ``cascade`` also deletes what was made
        from them elsewhere, which is refused otherwise, by name; of the catalogue it deletes the predictions of these
        models and its earlier versions, and keeps all other predictions.
        """
        doomed = self.living_versions(pipeline_id)
        return len(self.delete_versions(doomed, now=delete_files, cascade=cascade).versions) if doomed else 0

    def delete_versions(
        self, names: Sequence[str], *, dry_run: bool = False, now: bool = False, cascade: bool = False
    ) -> Deletion:
        """Delete versions of the data set's artifacts, ``NAME:v3``, as `Workspace.delete` does.

        With ``cascade``, a version of the catalogue is made before that keeps all predictions of other models, because
        the versions that have predictions of the deleted ones are deleted too.
        """
        how: Cascade = "delete" if cascade else "no"
        if cascade and not dry_run:
            self._remove_predictions(self._delete(names, dry_run=True, cascade=how).versions)
        return self._delete(names, dry_run=dry_run, now=now, cascade=how)

    def _remove_predictions(self, doomed: Sequence[str]) -> None:
        """Make a version of the catalogue without the predictions of models that are about to be deleted."""
        catalogue = self.workspace.relations.current(catalog_name(self._dataset))
        included = [] if catalogue is None else self.workspace.relations.included_by(catalogue)
        models = {version.name for version in included}.intersection(doomed)
        if models:
            from artfs.registry.predictions import PredictionCatalog

            PredictionCatalog(self.workspace).remove_models(self._dataset, sorted(models))

    def _delete(self, names: Sequence[str], **options: Any) -> Deletion:
        try:
            return self.workspace.delete(*names, **options)
        except RefusedError as error:
            name = catalog_name(self._dataset)
            if f"{name}:" not in error.message:
                raise
            raise RefusedError(
                error.message,
                hint=f"predictions keep these models: cascading deletes theirs, and artfs rm -r {name} deletes all",
            ) from error

    def purge_dataset_artifacts(self, confirm: bool = False) -> tuple[int, int]:
        """Delete all versions of the data set's artifacts; return (how many, stored bytes that come back).

        They can be undeleted for a while.  Predictions stay, and keep their models.  Raises `InvalidInputError` without
        ``confirm``, and `RefusedError` naming what others or predictions depend on.
        """
        if confirm is not True:
            raise InvalidInputError(
                f"this deletes all artifacts of the data set {self._dataset!r}", hint="to do so, pass confirm=True"
            )
        doomed = self.living_versions()
        if not doomed:
            return 0, 0
        deletion = self.delete_versions(doomed)
        return len(deletion.versions), deletion.freed_bytes

    # -- counting --------------------------------------------------------------------------------------------------

    def get_stats(self, scan_all_manifests: bool = True) -> dict[str, Any]:
        """Count the living versions of the data set's artifacts, and the bytes of their payloads.

        ``total_size_bytes`` are the bytes of all payloads, ``disk_usage_bytes`` those of the ``disk_file_count``
        distinct ones, and ``deduplication_ratio`` is what sharing saves of the former.  ``stored_bytes`` are what the
        distinct payloads take, compressed.  All is read from the index of metadata.
        """
        workspace = self._existing()
        found = _Counts() if workspace is None else _counted(workspace, self._dataset)
        unique = sum(found.payloads.values())
        digests = (digest.rpartition(":")[2] for digest in found.payloads)
        orphans = self._orphans(scan_all_manifests, False)
        return {
            "dataset": self._dataset,
            "total_artifacts": found.versions,
            "unique_files": len(found.payloads),
            "total_size_bytes": found.bytes,
            "deduplication_ratio": 1 - unique / found.bytes if found.bytes else 0.0,
            "stored_bytes": 0 if workspace is None else workspace.relations.stored_bytes_of(digests),
            "by_type": dict(sorted(found.types.items())),
            "orphaned_count": len(orphans),
            "orphaned_size_bytes": self._freed(orphans),
            "disk_usage_bytes": unique,
            "disk_file_count": len(found.payloads),
        }

    def _freed(self, versions: Sequence[Version]) -> int:
        """Return the stored bytes that come back if versions are deleted, with what was made from them."""
        names = [version.name for version in versions if is_registered(version)]
        if not names:
            return 0
        return self.workspace.delete(*names, dry_run=True, force=True, cascade="orphan").freed_bytes
