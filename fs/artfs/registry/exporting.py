"""Exporting: registered artifacts in one file, and the best of a data set under names of their own."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from artfs.registry.bundles import bundled_artifacts
from artfs.registry.chains import whole_number
from artfs.registry.cleaning import Cleaning
from artfs.registry.errors import UnknownArtifactError
from artfs.registry.metrics import ascending as is_ascending
from artfs.registry.naming import best_name
from artfs.registry.records import RECORD, ArtifactRecord, ArtifactType
from artfs.registry.stored import is_registered, record_of, unsigned
from artstore.arguments import shown_text, text, texts
from artstore.changes.committing import Commit
from artstore.drafting.batches import Included, NewVersion
from artstore.errors import InvalidInputError, NotFoundError
from artstore.queries.conditions import parse_condition
from artstore.queries.versions import Version

if TYPE_CHECKING:
    from artstore.archives.writing import ArchivePlan
    from artstore.progress import Progress

__all__ = ["BundleReceipt", "Exporting"]

"""Metadata that are not exported: a signature is valid for its user alone, and would make equal bundles differ."""
_MODELS: Final = (ArtifactType.MODEL, ArtifactType.META_MODEL)


class BundleReceipt(NamedTuple):
    """What a bundle has: versions, ``NAME:vN``, sources included; files, distinct contents, and bytes of the bundle."""

    versions: list[str]
    files: int
    contents: int
    bytes: int


class Exporting(Cleaning):
    """The part of a registry that exports."""

    def export_bundle(
        self,
        path: str | os.PathLike[str],
        *,
        ids: Sequence[str] | None = None,
        pipeline_id: str | None = None,
        overwrite: bool = False,
        dry_run: bool = False,
        progress: Callable[[Progress], None] | None = None,
    ) -> BundleReceipt:
        """Write artifacts and all that they were made from to one file, for `import_bundle`; return what it has.

        These are the latest versions of the artifacts with ``ids``, else of a pipeline, by default this registry's,
        else of the data set.  The file is a plain tar (``docs/export.md``), the same for equal artifacts; signatures
        of pickles are not in it.  ``dry_run`` writes nothing.

        Raises `UnknownArtifactError` for an id that nothing has, `RecordError` for an artifact that no longer matches
        its record, `NotFoundError` if there is nothing to export, and `ExistsError` for a file that exists, unless
        ``overwrite``.
        """
        from artstore.archives.writing import checked_place, write_archive

        selected = self._selected(ids, pipeline_id)
        checked_place(path, overwrite=overwrite)
        plan = self._bundle(selected)
        if not dry_run:
            write_archive(path, plan, overwrite=overwrite, progress=progress)
        return BundleReceipt([version.name for version in plan.versions], plan.files, plan.contents, plan.size)

    def _selected(self, ids: Sequence[str] | None, pipeline_id: str | None) -> list[Version]:
        if ids is not None:
            if pipeline_id is not None:
                raise InvalidInputError("ids and pipeline_id cannot be combined", hint="pass one of them")
            return [self._known(ident) for ident in texts(ids, "ids")]
        wanted = pipeline_id or self._pipeline
        pipeline = self.find_pipeline(wanted) if wanted else ""
        if pipeline is None:
            raise NotFoundError(f"the data set {self._dataset!r} has no pipeline {shown_text(wanted)}")
        return self._search(pipeline=pipeline)

    def _known(self, artifact_id: str) -> Version:
        found = self._resolved(artifact_id)
        if found is None:
            raise UnknownArtifactError(
                f"the data set {self._dataset!r} has no artifact with the id {shown_text(artifact_id)}",
                hint="list them: artfs registry ls",
            )
        return found

    def _bundle(self, selected: Sequence[Version]) -> ArchivePlan:
        """Return the plan of a bundle: versions and those that they were made from, by name and number."""
        from artstore.archives.writing import SelectedVersion, plan_archive

        if not selected:
            raise NotFoundError(
                f"there is nothing to export in the data set {self._dataset!r}",
                hint="list what there is: artfs registry ls",
            )
        made_from: dict[str, tuple[Version, list[str]]] = {}
        waiting = list(selected)
        while waiting:
            version = waiting.pop()
            if version.name not in made_from:
                sources = [each for each in self.workspace.relations.included_by(version) if is_registered(each)]
                made_from[version.name] = version, sorted({each.name for each in sources})
                waiting += sources
        ordered = sorted(made_from.values(), key=lambda each: (each[0].artifact, each[0].number))
        plan = plan_archive(
            SelectedVersion(version, unsigned(version.record.metadata), sources) for version, sources in ordered
        )
        # What an import would refuse, because a version was renamed, retyped or purged, is not written.
        bundled_artifacts(plan.versions, lambda each, entry: plan.sources[each.name].read_bytes(entry.path))
        return plan

    # -- the best --------------------------------------------------------------------------------------------------

    def export_best(self, dataset: str, metric: str, n: int = 1, *, ascending: bool | None = None) -> list[Version]:
        """Export the best models of a data set by a metric as ``exports/DATASET/METRIC-1``, ``-2``...; return these.

        They include the models with all that these were made from, so nothing is copied, and keep them from clean-up.
        Whether a small or a large value is good follows from the metric, unless ``ascending`` says it; of equal ones
        the first by id is better.  Models without a number for the metric are passed over.  Exporting again makes the
        next version of what has changed.  Raises `UnknownMetricError` if the metric's name does not tell.
        """
        name = text(metric, "the metric")
        rising = is_ascending(name) if ascending is None else bool(ascending)
        count = whole_number(n, "how many")
        best_name(dataset, name, 1)
        condition = f"artfs.metrics.{name}"
        if parse_condition(condition).operator != "exists":
            raise InvalidInputError(f"{shown_text(name)} is a comparison, not a metric", hint="name the metric alone")
        registry = self if dataset == self._dataset else type(self)(self._opened or self._folder, dataset)
        versions = registry._search(where=[condition])
        ranked = sorted(
            ((value, version) for version in versions if (value := _number(version, name)) is not None),
            key=lambda each: (each[0] if rising else -each[0], record_of(each[1]).artifact_id, each[1].name),
        )
        best = ranked[:count]
        if not best:
            return []
        with registry.workspace.drafts.batch(best_name(dataset, name, 1)) as batch:
            for place, (value, version) in enumerate(best, 1):
                batch.add(_export(best_name(dataset, name, place), version, name, value, place))
            return batch.commit()


def _number(version: Version, metric: str) -> float | None:
    record = record_of(version)
    value = record.metrics.get(metric)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and record.artifact_type in _MODELS else None


def _export(name: str, version: Version, metric: str, value: float, place: int) -> NewVersion:
    """Return the version that has all that a model's has."""
    record: ArtifactRecord = record_of(version)
    origin = {"id": record.artifact_id, "version": version.name, "metric": metric, "value": value, "place": place}
    request = replace(
        Commit.checked(name, type=str(record.artifact_type)),
        metadata={"artfs.export": origin},
        included=[version.record.serial],
    )
    paths = [RECORD, record.payload, *(["sources"] if record.sources else [])]
    return NewVersion(request, {}, {os.fsencode(path): Included(version.record, os.fsencode(path)) for path in paths})
