"""Trained pipelines in the library: from folders on the disk, or from what a registry has.

A folder is stored as it is, with the binaries that its files name; nothing in it is loaded.  What is registered is
included from its versions: nothing is copied, and the entry keeps the versions from being deleted or orphaned.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypedDict, Unpack

from artfs.registry.errors import UnknownArtifactError
from artfs.registry.library.configurations import configuration_text, encoded
from artfs.registry.library.entries import CONFIGURATION, MANIFEST, METRICS, LibraryKind
from artfs.registry.library.files import json_in
from artfs.registry.library.referenced import Folders, own_file, referenced_binaries
from artfs.registry.library.stored_entries import StoredEntries, commit_of
from artfs.registry.manifests import SCHEMA
from artfs.registry.naming import RUNS
from artfs.registry.records import RECORD, ArtifactRecord
from artfs.registry.registry import ArtifactRegistry
from artfs.registry.stored import MACS
from artfs.registry.values import json_object
from artstore.arguments import raw_path, shown_text, text, texts
from artstore.drafting.batches import Included
from artstore.drafting.gathering import Gathering
from artstore.errors import InvalidInputError, NotFolderError, NotFoundError, RefusedError, SourceError
from artstore.queries.versions import Version

__all__ = ["FromRegistry", "Trained"]

_OF_ONE_REGISTRATION: Final = ("artfs_version", "created_at", "ref")
Folder = str | os.PathLike[str]


class FromRegistry(TypedDict, total=False):
    """What to save of a registry: artifacts by ``ids``, or those of a pipeline, or of the whole data set.

    The data set may be left out if only one has artifacts.  ``pipeline_config`` is kept as ``pipeline.json``.
    """

    dataset: str
    pipeline_id: str
    ids: Sequence[str]
    pipeline_config: Mapping[str, Any] | list[Any]


class Trained(StoredEntries):
    """The part of a library that has trained pipelines.

    Each ``save_`` makes the next version of its entry, and returns it; equal content and description make none.
    """

    def save_filtered(
        self,
        pipeline_dir: Folder | None = None,
        name: str = "",
        description: str = "",
        **registry: Unpack[FromRegistry],
    ) -> Version:
        """Save the configuration and the metrics of a pipeline: ``pipeline.json``, and ``metrics.json`` if it has one.

        From a registry, these are the records of artifacts, which it does not keep.  Raises `NotFoundError` for a
        folder without ``pipeline.json``.
        """
        kind = LibraryKind.FILTERED
        if pipeline_dir is None:
            return self._from_registry(kind, name, description, registry)
        _refuse_both(registry)
        folder = _folder(pipeline_dir)
        files = {CONFIGURATION: own_file(folder, CONFIGURATION)}
        json_in(files[CONFIGURATION])
        metrics = _metrics(folder)
        if metrics is not None:
            files[METRICS] = own_file(folder, METRICS)
        return self._from_folder(kind, name, description, metrics, None, files)

    def save_pipeline_full(
        self,
        run_dir: Folder | None = None,
        pipeline_dir: Folder | None = None,
        name: str = "",
        description: str = "",
        **registry: Unpack[FromRegistry],
    ) -> Version:
        """Save a pipeline's folder with the binaries that its ``pipeline.json`` names, as ``_binaries``.

        Raises `NotFoundError` naming binaries that are missing, `RecordError` for a path out of the run, `RefusedError`
        for a link out of it.  From a registry, the pipeline's artifacts are included.
        """
        kind = LibraryKind.PIPELINE
        if run_dir is None and pipeline_dir is None:
            if not registry.get("pipeline_id") and not registry.get("ids"):
                raise InvalidInputError(
                    "name what to save: run_dir and pipeline_dir, or pipeline_id or ids of a registry"
                )
            return self._from_registry(kind, name, description, registry)
        _refuse_both(registry)
        if run_dir is None or pipeline_dir is None:
            raise InvalidInputError("a pipeline is saved from two folders: run_dir and pipeline_dir")
        folder, run = _folder(pipeline_dir), _folder(run_dir)
        binaries = referenced_binaries(Folders.of(folder, run, self.folder))
        return self._from_folder(kind, name, description, _metrics(folder), folder, binaries)

    def save_fullrun(
        self, run_dir: Folder | None = None, name: str = "", description: str = "", **registry: Unpack[FromRegistry]
    ) -> Version:
        """Save a run's folder as it is.  From a registry, all artifacts of a data set are included."""
        kind = LibraryKind.FULLRUN
        if run_dir is None:
            return self._from_registry(kind, name, description, registry)
        _refuse_both(registry)
        folder = _folder(run_dir)
        return self._from_folder(kind, name, description, _metrics(folder), folder, {})

    def list_filtered(self) -> list[dict[str, Any]]:
        """Return the saved configurations with metrics, by name; values as those of `get_template_metadata`."""
        return self.entries(LibraryKind.FILTERED)

    def list_pipelines(self) -> list[dict[str, Any]]:
        """Return the saved pipelines, as `list_filtered`."""
        return self.entries(LibraryKind.PIPELINE)

    def list_fullruns(self) -> list[dict[str, Any]]:
        """Return the saved runs, as `list_filtered`."""
        return self.entries(LibraryKind.FULLRUN)

    # -- from folders ----------------------------------------------------------------------------------------------

    def _from_folder(
        self,
        kind: LibraryKind,
        name: str,
        description: str,
        metrics: Mapping[str, Any] | None,
        folder: Path | None,
        files: Mapping[str, Path],
    ) -> Version:
        """Store a folder, and files by their paths in it."""
        request = commit_of(kind, name, description, {"metrics": metrics or {}})
        with closing(self.workspace.drafts.gather(request.name)) as gathering:
            if folder is not None:
                _add(gathering, folder)
            for path, file in files.items():
                gathering.add(file, path)
            return gathering.commit(request)

    # -- from a registry -------------------------------------------------------------------------------------------

    def _from_registry(self, kind: LibraryKind, name: str, description: str, registry: FromRegistry) -> Version:
        kind.artifact(name)
        source = self._registry(registry)
        records = _selected(source, registry)
        paths = {record.ref: _place(record) for record in records}
        records.sort(key=lambda record: paths[record.ref])
        versions = {record.ref: source.version_of(record) for record in records}
        is_whole = kind is not LibraryKind.FILTERED
        included = {}
        for record in records:
            version = versions[record.ref].record
            path = paths[record.ref] if is_whole else f"{paths[record.ref]}/{RECORD}"
            included[path.encode()] = Included(version, b"" if is_whole else RECORD.encode())
        request = commit_of(kind, name, description, {})
        macs = {record.artifact_id: record.mac for record in records if record.mac} if is_whole else {}
        request = replace(
            request,
            metadata={**(request.metadata or {}), **({MACS: macs} if macs else {})},
            included=[version.record.serial for version in versions.values()] if is_whole else [],
        )
        return self.committed(
            request, _texts(source.dataset, records, paths, registry.get("pipeline_config")), included
        )

    def _registry(self, registry: FromRegistry) -> ArtifactRegistry:
        workspace = self._existing()
        datasets = [] if workspace is None else workspace.relations.names_below(RUNS)
        dataset = registry.get("dataset")
        if dataset is not None:
            text(dataset, "the data set")
        if dataset is None and len(datasets) > 1:
            raise InvalidInputError(f"there are several data sets: {', '.join(datasets)}", hint="pass dataset=")
        if workspace is None or not datasets or (dataset is not None and dataset not in datasets):
            what = "nothing" if dataset is None else f"nothing of the data set {shown_text(dataset)}"
            raise NotFoundError(
                f"{what} is registered in the workspace of {self.folder}", hint="list what there is: artfs registry ls"
            )
        return ArtifactRegistry(workspace, datasets[0] if dataset is None else dataset)


def _add(gathering: Gathering, folder: Path) -> None:
    """Add a folder; a refusal says how to leave something out here."""
    try:
        gathering.add(folder, links="refuse")
    except (RefusedError, SourceError) as error:
        error.hint = "leave it out with an .artfsignore file in the folder, or take it away"
        raise


def _selected(source: ArtifactRegistry, registry: FromRegistry) -> list[ArtifactRecord]:
    ids, pipeline = registry.get("ids"), registry.get("pipeline_id")
    if pipeline is not None:
        text(pipeline, "the pipeline")
    if ids is not None and pipeline is not None:
        raise InvalidInputError("artifacts are selected by ids or by pipeline_id, not by both")
    if ids is not None:
        found: dict[str, ArtifactRecord] = {}
        for artifact_id in texts(ids, "ids"):
            record = source.resolve(artifact_id)
            if record is None:
                raise UnknownArtifactError(
                    f"no artifact of the data set {source.dataset!r} has the id {shown_text(artifact_id)}",
                    hint="list them: artfs registry ls",
                )
            found[record.ref] = record
        records = list(found.values())
    else:
        records = source.find(pipeline_id=pipeline) if pipeline else source.get_all_records()
    if not records:
        what = "no ids were given" if ids is not None else f"the pipeline {shown_text(pipeline or '')} has no artifacts"
        raise NotFoundError(f"there is nothing to save: {what}", hint="list what there is: artfs registry ls")
    return records


def _place(record: ArtifactRecord) -> str:
    """Return the folder of an artifact in the saved version: its place below its data set."""
    artifact = record.ref.rpartition(":")[0]
    return f"artifacts/{artifact.removeprefix(f'{RUNS}/{record.dataset}/')}"


def _texts(
    dataset: str, records: Sequence[ArtifactRecord], paths: Mapping[str, str], configuration: Any
) -> dict[str, str]:
    """Return the files that say what a saved version has: equal for equal records."""
    items = []
    for record in records:
        values = {key: value for key, value in record.to_dict().items() if key not in _OF_ONE_REGISTRATION}
        items.append({**values, "path": f"{paths[record.ref]}/{record.payload}"})
    manifest = {"schema_version": SCHEMA, "dataset": dataset, "items": items}
    metrics = {record.artifact_id: record.metrics for record in records if record.metrics}
    texts = {MANIFEST: json.dumps(manifest, sort_keys=True, indent=1, allow_nan=False) + "\n"}
    if metrics:
        texts[METRICS] = json.dumps(metrics, sort_keys=True, indent=1, allow_nan=False) + "\n"
    if configuration is not None:
        texts[CONFIGURATION] = configuration_text(encoded(configuration))
    return texts


def _refuse_both(registry: FromRegistry) -> None:
    if registry:
        raise InvalidInputError(f"{', '.join(registry)} cannot be used with a folder", hint="save from one of the two")


def _folder(path: Folder) -> Path:
    if not raw_path(path):
        raise InvalidInputError("the path of a folder is empty")  # Path("") would mean the current folder
    folder = Path(path)
    try:
        is_folder = stat.S_ISDIR(os.stat(folder).st_mode)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFoundError(f"the folder {folder} does not exist", hint="name a folder that exists") from error
    except OSError as error:
        raise NotFoundError(f"the folder {shown_text(str(folder))} cannot be opened: {error.strerror}") from error
    if not is_folder:
        raise NotFolderError(f"{folder} is not a folder")
    return folder


def _metrics(folder: Path) -> dict[str, Any] | None:
    """Return the metrics of a folder as metadata; None if it has none, or they are too large for that."""
    try:
        values = json_in(own_file(folder, METRICS))
    except NotFoundError:
        return None
    return json_object(values, METRICS) if isinstance(values, dict) else {}
