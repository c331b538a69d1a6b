"""`ArtifactLoader`: objects of registered artifacts, by id, chain, step, fold and dependence, each loaded once."""

from __future__ import annotations

import functools
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

from artfs.registry.catalogues import Catalogue, ManifestCatalogue, StoredCatalogue
from artfs.registry.chains import OperatorChain, chain_of
from artfs.registry.errors import AmbiguousIdError, DependencyError, RecordError, UnknownArtifactError
from artfs.registry.object_cache import ObjectCache
from artfs.registry.records import ArtifactRecord, ArtifactType, artifact_type_of
from artfs.registry.registry import ArtifactRegistry
from artfs.registry.structures import COMPOSITES, with_parts
from artstore.arguments import shown_text, shown_value
from artstore.errors import InvalidInputError, WorkspaceNotFoundError
from artstore.workspace import Workspace, open_workspace

__all__ = ["ArtifactLoader"]

_CACHE_BYTES: Final = 1 << 30
_KNOWN: Final = 10_000
_MODELS: Final = (ArtifactType.MODEL, ArtifactType.META_MODEL)
_RUNS: Final = "runs"
Chain = OperatorChain | str
PathLike = str | os.PathLike[str]


class ArtifactLoader:
    """Loads the objects of a data set's artifacts, and keeps those that were used last.

    ``results_dir`` is the folder of a run, below which payloads are looked for that the store lacks.  ``cache_size``
    and ``cache_bytes`` bound what is kept.  ``trusted``, ``trust`` and ``on_mismatch`` are those of
    `artfs.registry.serializers.deserialize`, and hold for every load.

    Objects are shared between callers; ``copy=True`` gives one's own.  One loader may be used by many threads.  A load
    that fails raises; nothing is left out silently.
    """

    def __init__(
        self,
        workspace: Workspace | PathLike,
        dataset: str,
        results_dir: PathLike | None = None,
        cache_size: int = 100,
        *,
        cache_bytes: int = _CACHE_BYTES,
        trusted: Iterable[str | type] | str | type = (),
        trust: bool = False,
        on_mismatch: str = "warn",
    ) -> None:
        self._registry = ArtifactRegistry(workspace, dataset)
        self._results = None if results_dir is None else Path(results_dir)
        self._catalogue: Catalogue = StoredCatalogue(self._registry)
        self._cache = ObjectCache(cache_size, cache_bytes)
        self._options = {"trusted": trusted, "trust": trust, "on_mismatch": on_mismatch}
        self._warned: set[str] = set()
        self._known: tuple[int, dict[str, ArtifactRecord]] = (-1, {})

    @classmethod
    def from_manifest(cls, manifest: Mapping[str, Any], results_dir: PathLike, **options: Any) -> Self:
        """Return a loader of a manifest's artifacts: a whole manifest, or what `export_to_manifest` returned.

        The workspace is the nearest above *results_dir*; payloads that its store lacks are files there.  *options* are
        those of the constructor.  Raises `RecordError` for what is no manifest.
        """
        results = Path(os.path.abspath(results_dir))
        folder = _folder_above(results)
        dataset = manifest.get("dataset") if isinstance(manifest, Mapping) else None
        loader = cls(folder, dataset or _dataset_of(results), results, **options)
        folders = [results, results / "_binaries", results.parent / "_binaries", results.parent]
        folders += [folder / "binaries" / loader._registry.dataset, folder / "artifacts"]
        loader._catalogue = ManifestCatalogue(manifest, loader._registry, folders)
        return loader

    def __repr__(self) -> str:
        return f"<ArtifactLoader of {self._registry.dataset!r} in {self._registry.folder}>"

    # -- one artifact ----------------------------------------------------------------------------------------------

    def load_by_id(self, artifact_id: str, *, version: int | None = None, into: Any = None, copy: bool = False) -> Any:
        """Return the object of an artifact, of its latest version or the one with a number.

        With *into*, a torch module, the tensors are loaded into it and it is returned.  Raises `UnknownArtifactError`
        (a KeyError) for an id that nothing has, `AmbiguousIdError` for one that several have, `NotFoundError` (a
        FileNotFoundError) for a payload that is gone.
        """
        return self._load(self._required(artifact_id, version), into=into, copy=copy)

    def load_by_artifact_id(self, artifact_id: str) -> tuple[str, Any]:
        """Return (name, object): the custom name, else the class, with ``_fold3`` added for a fold's."""
        record = self._required(artifact_id)
        name = record.custom_name or record.class_name
        return (name if record.fold_id is None else f"{name}_fold{record.fold_id}"), self._load(record)

    def load_by_chain(self, chain: Chain, fold_id: int | None = None, *, copy: bool = False) -> Any:
        """Return the object that a chain made for a fold; raise `UnknownArtifactError` if there is none."""
        record = self._catalogue.by_chain(chain, fold_id)
        if record is None:
            raise UnknownArtifactError(
                f"the chain {shown_text(chain_of(chain).to_path())} made nothing for "
                f"{'all folds' if fold_id is None else f'fold {fold_id}'} in {self._registry.dataset!r}"
            )
        return self._load(record, copy=copy)

    def load_by_chain_prefix(self, prefix: Chain) -> list[tuple[str, Any]]:
        """Return (id, object) of every artifact whose chain begins with the nodes of another chain."""
        wanted = chain_of(prefix)
        found = [each for each in self._catalogue.all() if each.chain_path]
        return self._pairs(each for each in found if chain_of(each.chain_path).begins_with(wanted))

    # -- by step and fold ------------------------------------------------------------------------------------------

    def load_for_step(
        self,
        step_index: int,
        branch_path: Sequence[int] | None = None,
        source_index: int | None = None,
        fold_id: int | None = None,
        pipeline_id: str | None = None,
    ) -> list[tuple[str, Any]]:
        """Return (id, object) of what a step uses on a branch, for a source and in a fold; None means any.

        Raises `AmbiguousIdError` if several pipelines have the step and none is named.
        """
        return self._pairs(self._used(step_index, branch_path, source_index, fold_id, pipeline_id))

    def load_fold_models(
        self, step_index: int, branch_path: Sequence[int] | None = None, pipeline_id: str | None = None
    ) -> list[tuple[int, Any]]:
        """Return (fold, model) of the models that a step made for its folds, by fold.

        Raises `AmbiguousIdError` if they are of several chains, which are not to be averaged.
        """
        models = [
            each
            for each in self._used(step_index, branch_path, None, None, pipeline_id)
            if each.artifact_type in _MODELS and each.fold_id is not None
        ]
        chains = sorted({each.chain_path or each.chain_hash for each in models})
        if len(chains) > 1:
            raise AmbiguousIdError(
                f"step {step_index} has fold models of {len(chains)} chains: {', '.join(chains[:10])}",
                hint="name a branch, or load them by chain",
                candidates=chains,
            )
        return [(each.fold_id or 0, self._load(each)) for each in sorted(models, key=lambda each: each.fold_id or 0)]

    def has_binaries_for_step(
        self, step_index: int, branch_path: Sequence[int] | None = None, pipeline_id: str | None = None
    ) -> bool:
        """Return whether a step uses any artifact on a branch."""
        found = self._catalogue.at_step(step_index, pipeline_id)
        return any(each.matches_context(step_index, branch_path) for each in found)

    def _used(
        self,
        step_index: int,
        branch_path: Sequence[int] | None,
        source_index: int | None,
        fold_id: int | None,
        pipeline_id: str | None,
    ) -> list[ArtifactRecord]:
        found = [
            each
            for each in self._catalogue.at_step(step_index, pipeline_id)
            if each.matches_context(step_index, branch_path, source_index, fold_id)
        ]
        pipelines = sorted({each.pipeline_id for each in found})
        if len(pipelines) > 1:
            raise AmbiguousIdError(
                f"step {step_index} is one of {len(pipelines)} pipelines: {', '.join(pipelines[:10])}",
                hint="name one with pipeline_id",
                candidates=pipelines,
            )
        return found

    # -- by dependence ---------------------------------------------------------------------------------------------

    def load_with_dependencies(self, artifact_id: str) -> dict[str, Any]:
        """Return the objects of an artifact and of all that it was made from by id, sources first."""
        record = self._required(artifact_id)
        return dict(self._pairs([*self._catalogue.sources(record), record]))

    def load_meta_model_with_sources(
        self, artifact_id: str, validate_branch: bool = True
    ) -> tuple[Any, list[tuple[str, Any]], list[str]]:
        """Return a meta-model, (id, model) of its sources in the order of its features, and the features' names.

        With *validate_branch*, each source must be of the meta-model's own branch, of one before it, or of one that its
        chain merges.  Raises `RecordError` for an artifact that is no meta-model, or whose features are not as many as
        its sources, and `DependencyError` for a source that is gone or of another branch.
        """
        record = self._required(artifact_id)
        if not record.is_meta_model:
            raise RecordError(f"{record.artifact_id!r} is a {record.artifact_type}, not a meta_model")
        meta = record.meta_config
        ids = meta.source_ids if meta is not None and meta.source_models else list(record.depends_on)
        below = {each.artifact_id: each for each in self._catalogue.sources(record)}
        sources = []
        for ident in ids:
            if ident not in below:
                raise DependencyError(f"{record.artifact_id!r} was made from {ident!r}, which is gone")
            if validate_branch and not _may_merge(record, below[ident]):
                raise DependencyError(
                    f"the source {ident!r} is of branch {below[ident].branch_path}, which {record.artifact_id!r} "
                    "does not merge",
                    hint="validate_branch=False loads it",
                )
            sources.append(below[ident])
        columns = list(meta.feature_columns) if meta is not None else []
        columns = columns or [f"{each.class_name}_pred" for each in sources]
        if len(columns) != len(sources):
            raise RecordError(
                f"{record.artifact_id!r} has {len(columns)} feature columns for {len(sources)} source models"
            )
        return self._load(record), self._pairs(sources), columns

    def load_meta_model_for_prediction(
        self, artifact_id: str, X: Any = None
    ) -> tuple[Any, list[tuple[str, Any]], list[str]]:
        """Return what `load_meta_model_with_sources` does; raise `InvalidInputError` if a source does not take *X*."""
        loaded = self.load_meta_model_with_sources(artifact_id)
        shape: tuple[int, ...] = getattr(X, "shape", ())
        for ident, source in loaded[1]:
            features = getattr(source, "n_features_in_", None)
            if len(shape) == 2 and features is not None and features != shape[1]:
                raise InvalidInputError(f"{ident!r} takes {features} features, and the input has {shape[1]}")
        return loaded

    def load_estimator(self, pipeline_id: str, fold_id: int | None = None) -> Any:
        """Return the scikit-learn estimator that a pipeline registered for a fold.

        That is its one estimator, what `register_estimator` took apart, or a Pipeline of steps that stand one after
        another.  Raises `UnknownArtifactError` if there is none, and `DependencyError` if its steps make no estimator:
        the columns of a ColumnTransformer, and what a stack does with its models' outputs, are in no step.
        """
        found = [each for each in self._of_pipeline(pipeline_id) if each.fold_id in (None, fold_id)]
        own = {each.chain_path or each.artifact_id: each for each in found if each.fold_id == fold_id}
        shared = {each.chain_path or each.artifact_id: each for each in found}
        steps = sorted({**shared, **own}.values(), key=lambda each: (each.step_index, each.branch_path))
        if not steps:
            raise UnknownArtifactError(f"the pipeline {shown_text(pipeline_id)} registered nothing for fold {fold_id}")
        used = {ident for each in steps for ident in each.depends_on}
        last = [each for each in steps if each.artifact_id not in used]
        if len(last) == 1 and (len(steps) == 1 or _is_composite(last[0])):
            return self._load(last[0])
        if len({each.step_index for each in steps}) != len(steps) or len(last) > 1 or _columns_are_lost(steps):
            raise DependencyError(
                f"the steps of {shown_text(pipeline_id)} are not one after another, so they are no Pipeline",
                hint="register a union or a stack with register_estimator(), or whole as a pipeline's one artifact",
            )
        objects = [self._load(each) for each in steps]
        from artfs.registry.serializers.libraries import require

        names = [f"s{each.step_index}_{each.class_name}" for each in steps]
        return require("sklearn.pipeline", "a pipeline").Pipeline(list(zip(names, objects, strict=True)))

    def _of_pipeline(self, pipeline_id: str) -> list[ArtifactRecord]:
        found = self._catalogue.all()
        exact = [each for each in found if each.pipeline_id == pipeline_id]
        longer = [each for each in found if each.pipeline_id.startswith(f"{pipeline_id}_")]
        pipelines = sorted({each.pipeline_id for each in longer})
        if not exact and len(pipelines) > 1:
            raise AmbiguousIdError(
                f"{shown_text(pipeline_id)} fits {len(pipelines)} pipelines: {', '.join(pipelines[:10])}",
                hint="name one of them",
                candidates=pipelines,
            )
        return exact or longer

    # -- records ---------------------------------------------------------------------------------------------------

    def find_artifact_by_custom_name(
        self,
        custom_name: str,
        step_index: int | None = None,
        fold_id: int | None = None,
        branch_path: Sequence[int] | None = None,
    ) -> ArtifactRecord | None:
        """Return the record with a custom name in a context; raise `AmbiguousIdError` if there are several."""
        found = [
            each
            for each in self._catalogue.by_name(custom_name)
            if each.matches_context(step_index, branch_path, None, fold_id)
        ]
        if len(found) > 1:
            ids = sorted(each.artifact_id for each in found)
            raise AmbiguousIdError(
                f"{len(ids)} artifacts are named {shown_text(custom_name)}: {', '.join(ids[:10])}",
                hint="name a step, a fold or a branch",
                candidates=ids,
            )
        return found[0] if found else None

    def get_record(self, artifact_id: str) -> ArtifactRecord | None:
        """Return the record that an id means; None if there is none."""
        return self._catalogue.resolve(artifact_id)

    def get_all_records(self) -> list[ArtifactRecord]:
        """Return all records: of the data set, or of the manifest."""
        return self._catalogue.all()

    # -- the cache -------------------------------------------------------------------------------------------------

    def preload_artifacts(
        self,
        artifact_ids: Iterable[str] | str | None = None,
        artifact_types: Iterable[ArtifactType | str] | ArtifactType | str | None = None,
    ) -> int:
        """Load artifacts into the cache, by default all; return how many were not in it."""
        if artifact_ids is None:
            records = self._catalogue.all()
        else:
            ids = [artifact_ids] if isinstance(artifact_ids, str) else artifact_ids
            records = [self._required(ident) for ident in ids]
        if artifact_types is not None:
            kinds = [artifact_types] if isinstance(artifact_types, str) else artifact_types
            wanted = {artifact_type_of(kind) for kind in kinds}
            records = [record for record in records if record.artifact_type in wanted]
        missing = {_key(record): record for record in records if _key(record) not in self._cache}
        for record in missing.values():
            self._load(record)
        return len(missing)

    def get_cache_info(self) -> dict[str, Any]:
        """Return what the cache holds and how often it was asked, and how many artifacts there are of each type."""
        figures = self._cache.figures()
        asked = figures.hits + figures.misses
        types = Counter(str(record.artifact_type) for record in self._catalogue.all())
        return {
            "cached_count": figures.count,
            "max_size": figures.max_count,
            "hits": figures.hits,
            "misses": figures.misses,
            "hit_rate": figures.hits / asked if asked else 0.0,
            "cached_bytes": figures.bytes,
            "max_bytes": figures.max_bytes,
            "total_artifacts": sum(types.values()),
            "artifacts_by_type": dict(sorted(types.items())),
        }

    def clear_cache(self) -> None:
        """Drop all objects from the cache, and count from 0."""
        self._cache.clear()

    def set_cache_size(self, items: int, bytes: int | None = None) -> None:
        """Bound the cache by objects, 0 for none, and by bytes if they are given."""
        self._cache.resize(items, bytes)

    # -- loading ---------------------------------------------------------------------------------------------------

    def _required(self, artifact_id: str, version: int | None = None) -> ArtifactRecord:
        if not isinstance(artifact_id, str):
            raise InvalidInputError(f"an id is text, not {shown_value(artifact_id)}")
        known = self._known_now()
        record = known.get(artifact_id) if version is None else None
        record = record or self._catalogue.resolve(artifact_id, version)
        if record is None:
            number = "" if version is None else f" in version {version}"
            raise UnknownArtifactError(
                f"there is no artifact {shown_text(artifact_id)}{number} in {self._registry.dataset!r}"
            )
        if version is None:
            known[artifact_id] = record
        return record

    def _known_now(self) -> dict[str, ArtifactRecord]:
        """Return the records that were looked up since the last change: asking for one takes a tenth of looking it up.

        They are never given out, for a caller could change them.
        """
        edition = self._catalogue.edition()
        of, known = self._known
        if of != edition or len(known) > _KNOWN:
            known = {}
            self._known = edition, known
        return known

    def _pairs(self, records: Iterable[ArtifactRecord]) -> list[tuple[str, Any]]:
        return [(record.artifact_id, self._load(record)) for record in records]

    def _load(self, record: ArtifactRecord, *, into: Any = None, copy: bool = False) -> Any:
        if into is not None or copy:
            return self._read(record, into, is_own=True)
        return self._cache.get(_key(record), max(record.size_bytes, 1), lambda: self._read(record))

    def _read(self, record: ArtifactRecord, into: Any = None, *, is_own: bool = False) -> Any:
        from artfs.registry.serializers import deserialize

        known, file = self._catalogue.open(record)
        with file:
            loaded = deserialize(
                file,
                known.format,
                format_version=known.format_version,
                content_hash=_digest(known),
                versions=known.libraries,
                mac=known.mac,
                into=into,
                label=known.artifact_id,
                seen=self._warned,
                **self._options,  # type: ignore[arg-type]
            )
        if not _is_composite(record):
            return loaded
        sources = functools.cache(lambda: {each.artifact_id: each for each in self._catalogue.sources(record)})

        @functools.cache
        def part(artifact_id: str) -> Any:
            if artifact_id not in sources():
                raise DependencyError(f"{record.artifact_id!r} has the part {shown_text(artifact_id)}, which is gone")
            # The parts of an estimator of one's own are one's own too.
            return self._load(sources()[artifact_id], copy=is_own)

        return with_parts(loaded, part)


def _is_composite(record: ArtifactRecord) -> bool:
    """Return whether a record is of an estimator that was registered without its parts."""
    return bool(record.depends_on) and record.class_name in COMPOSITES


def _columns_are_lost(steps: Sequence[ArtifactRecord]) -> bool:
    """Return whether steps take only some columns of the input, and nothing tells which."""
    return len({each.source_index for each in steps}) > 1


def _key(record: ArtifactRecord) -> tuple[str, ...]:
    # The copy of a composite that was fitted again may be equal; its parts are not.
    parts = [each["digest"] for each in record.sources] if _is_composite(record) else []
    return record.artifact_id, record.content_hash, record.format, *parts


def _digest(record: ArtifactRecord) -> str:
    """Return a record's digest; that of the original's records is a SHA-256, with or without its name."""
    digest = record.content_hash
    return digest if not digest or ":" in digest else f"sha256:{digest}"


def _may_merge(meta: ArtifactRecord, source: ArtifactRecord) -> bool:
    """Return whether a source is of a meta-model's branch, of one before it, or of one that its chain merges."""
    branch = list(source.branch_path)
    paths = [list(meta.branch_path)]
    if meta.chain_path:
        paths += [list(node.branch_path) for node in chain_of(meta.chain_path).nodes]
    return any(path[: len(branch)] == branch for path in paths)


def _folder_above(results: Path) -> Path:
    """Return the folder of the nearest workspace above a folder, or the one in which a run's folder lies."""
    for folder in (results, *results.parents):
        for place in (folder / ".artfs", folder):
            try:
                open_workspace(place)
            except WorkspaceNotFoundError:
                continue
            return folder
    for folder in results.parents:
        if folder.name == _RUNS:
            return folder.parent
    return results.parent


def _dataset_of(results: Path) -> str:
    """Return the data set whose run lies in a folder: ``runs/DATASET/PIPELINE``, or ``runs/DATE_DATASET/PIPELINE``."""
    parts = results.parts
    name = parts[parts.index(_RUNS) + 1] if _RUNS in parts[:-1] else results.name
    date, _, rest = name.partition("_")
    return rest if rest and date.replace("-", "").isdigit() and len(date) == 10 else name
