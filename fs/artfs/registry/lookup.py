"""Finding registered artifacts, by id, chain, step, fold, content, data, name, parameters and metrics.

An id leads to its artifact by name.  Everything else is found by the store's index of metadata (`stored`), so the time
depends on the number of artifacts found.  None stands for what is not there; errors are for what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, BinaryIO, cast

from artfs.registry.chains import OperatorChain, branch_fits, chain_of, optional_number, whole_number
from artfs.registry.errors import AmbiguousIdError, ArtifactIdError
from artfs.registry.ids import ALL, ArtifactId, fold_label, generate_artifact_id_v3, parse_artifact_id
from artfs.registry.metrics import deviation_of, mean_of
from artfs.registry.naming import artifact_name, dataset_project
from artfs.registry.records import ArtifactRecord, ArtifactType, artifact_type_of
from artfs.registry.stored import is_registered, record_of
from artfs.registry.values import json_object
from artfs.registry.workspaces import RegistryWorkspace
from artstore.arguments import shown_text, shown_value, texts
from artstore.errors import InvalidInputError, InvalidNameError, NotFoundError
from artstore.queries.conditions import parse_condition
from artstore.queries.versions import Version

__all__ = ["Lookup", "one_of"]

_NAMED = 10
Chain = OperatorChain | str


def one_of(records: Iterable[ArtifactRecord], what: str) -> ArtifactRecord | None:
    """Return the only record, or None; raise `AmbiguousIdError` if there are several."""
    found = list({record.ref: record for record in records}.values())
    if len(found) > 1:
        ids = sorted(record.artifact_id for record in found)
        raise AmbiguousIdError(
            f"{what} fits {len(ids)} artifacts: {', '.join(ids[:_NAMED])}", hint="name one of them", candidates=ids
        )
    return found[0] if found else None


def _order(record: ArtifactRecord) -> tuple[Any, ...]:
    numbers = (record.source_index, record.substep_index, record.fold_id)
    placed = [-1 if number is None else number for number in numbers]
    return (record.pipeline_id, record.step_index, record.branch_path, placed, record.artifact_id, record.ref)


class Lookup(RegistryWorkspace):
    """The reading part of a registry."""

    # -- by id -----------------------------------------------------------------------------------------------------

    def generate_id(self, chain: Chain, fold_id: int | None = None, pipeline_id: str | None = None) -> str:
        """Return the id of what a chain makes, for one fold or for all; by default in this registry's pipeline."""
        return generate_artifact_id_v3(self._pipeline_of(pipeline_id, chain_of(chain)), chain_of(chain), fold_id)

    def _pipeline_of(self, pipeline_id: str | None, chain: OperatorChain) -> str:
        pipeline = pipeline_id or self._pipeline or chain.pipeline_id
        if not pipeline:
            raise InvalidInputError(
                "an artifact needs a pipeline, and neither the call nor the registry has one",
                hint="pass pipeline_id to one of them",
            )
        return pipeline

    def resolve(self, artifact_id: str, *, version: int | None = None) -> ArtifactRecord | None:
        """Return the latest version of the artifact with an id, or the one with a number; None if there is none.

        The beginning of a hash or of a pipeline (``0001`` for ``0001_pls``) is enough if one artifact fits; an exact
        one comes first.  An id of the older form is looked up by its step and fold.  Raises `AmbiguousIdError` if
        several fit.
        """
        found = self._resolved(artifact_id, version)
        return None if found is None else record_of(found)

    def edition(self) -> int:
        """Return a number that changes with each change of the workspace; -1 while there is none."""
        workspace = self._existing()
        return -1 if workspace is None else workspace.relations.edition()

    def versions(self, artifact_id: str) -> list[ArtifactRecord]:
        """Return all living versions of the artifact with an id, oldest first."""
        found, workspace = self._resolved(artifact_id), self._existing()
        if found is None or workspace is None:
            return []
        return [record_of(version) for version in workspace.versions(found.artifact) if is_registered(version)]

    def _resolved(self, artifact_id: str, number: int | None = None) -> Version | None:
        if not isinstance(artifact_id, str):
            raise ArtifactIdError(f"an id is text such as 0001_pls$a1b2c3d4e5f6:0, not {shown_value(artifact_id)}")
        workspace = self._existing()
        try:
            ident = parse_artifact_id(artifact_id)
        except ArtifactIdError:
            return None
        if workspace is None:
            return None
        found = self._current(ident) or self._fitting(artifact_id, ident)
        if found is None or number is None:
            return found
        try:
            return workspace.version(f"{found.artifact}:v{whole_number(number, 'a version')}")
        except NotFoundError:
            return None

    def _current(self, ident: ArtifactId) -> Version | None:
        """Return the latest version under an id's own name."""
        workspace = self._existing()
        if workspace is None:
            return None
        try:
            name = artifact_name(self._dataset, ident)
        except InvalidNameError:
            return None
        found = workspace.relations.current(name)
        return found if found is not None and is_registered(found) else None

    def _fitting(self, artifact_id: str, ident: ArtifactId) -> Version | None:
        """Return the one artifact that an abbreviated id, or one of the older form, fits."""
        fitting: list[Version] = []
        for pipeline in self._pipelines(ident.pipeline):
            if ident.is_older:
                wanted = {"artfs.step": ident.step, "artfs.fold": ALL if ident.fold is None else ident.fold}
                found = self._search(wanted, pipeline=pipeline)
                branch = ident.branch
                fitting += [each for each in found if branch is None or record_of(each).branch_path == branch]
                continue
            hashes = self._names_below(pipeline, ident.hash)
            for each in [ident.hash] if ident.hash in hashes else hashes:
                version = self._current(ident._replace(pipeline=pipeline, hash=each))
                if version is not None and "-" not in each:
                    fitting.append(version)
        record = one_of(map(record_of, fitting), f"the id {shown_text(artifact_id)}")
        return None if record is None else next(each for each in fitting if each.name == record.ref)

    def _names_below(self, pipeline: str, beginning: str = "") -> list[str]:
        workspace = self._existing()
        project = dataset_project(self._dataset, pipeline)
        return [] if workspace is None else workspace.relations.names_below(project, beginning)

    def _pipelines(self, pipeline_id: str) -> list[str]:
        """Return the pipeline with an id, else those whose ids begin with it and an underscore."""
        names = self._names_below("", pipeline_id) if isinstance(pipeline_id, str) else []
        return [pipeline_id] if pipeline_id in names else [name for name in names if name.startswith(f"{pipeline_id}_")]

    def find_pipeline(self, pipeline_id: str) -> str | None:
        """Return the one pipeline that an id means: that with it, or beginning with it and an underscore."""
        names = self._pipelines(pipeline_id)
        if len(names) > 1:
            raise AmbiguousIdError(
                f"{shown_text(pipeline_id)} fits {len(names)} pipelines: {', '.join(names[:_NAMED])}",
                hint="name one of them",
                candidates=names,
            )
        return names[0] if names else None

    # -- by what the index has -------------------------------------------------------------------------------------

    def _search(
        self,
        metadata: Mapping[str, Any] | None = None,
        *,
        where: Sequence[str] = (),
        pipeline: str = "",
        type: str | None = None,
        limit: int | None = None,
        latest: bool = True,
    ) -> list[Version]:
        """Return the versions of registered artifacts of the data set that have values, by default the latest ones."""
        workspace = self._existing()
        if workspace is None:
            return []
        wanted = {**(metadata or {}), **({"artfs.pipeline": pipeline} if pipeline else {})}
        if not wanted and not where:
            where = ["artfs.id"]
        found = workspace.find(
            project=dataset_project(self._dataset, pipeline),
            metadata=wanted,
            where=where,
            type=type,
            latest=latest,
            limit=limit,
        )
        return [version for version in found if is_registered(version)]

    def _records(self, *args: Any, **options: Any) -> list[ArtifactRecord]:
        return sorted(map(record_of, self._search(*args, **options)), key=_order)

    def resolve_by_hash(self, content_hash: str) -> ArtifactRecord | None:
        """Return an artifact whose payload has a digest, ``blake3:...``; of several the first by id.

        If no latest version has it, it is the latest of those that had.
        """
        if not isinstance(content_hash, str):
            raise InvalidInputError(f"a digest is text such as blake3:9f86..., not {shown_value(content_hash)}")
        written = content_hash if ":" in content_hash else f"blake3:{content_hash}"
        wanted = {"artfs.content": written}
        found = self._records(wanted)
        if found:
            return found[0]
        earlier = self._search(wanted, latest=False)
        return next((record_of(each) for each in reversed(earlier) if each.artifact == earlier[0].artifact), None)

    def get_by_chain(self, chain: Chain, fold_id: int | None = None) -> ArtifactRecord | None:
        """Return what a chain made for a fold, None meaning what all folds share; in this registry's pipeline if it
        has one.

        Raises `AmbiguousIdError` if several pipelines have it.
        """
        return self._made_by(chain_of(chain), fold_id, {})

    def get_by_chain_and_data(self, chain: Chain, data_hash: str, fold_id: int | None = None) -> ArtifactRecord | None:
        """Return what a chain made from data with a digest, that which ``input_data_hash`` gave at its registration.

        If other data were used since, it is the latest version of those that were made from these.
        """
        made_by, data = chain_of(chain), {"artfs.data": data_hash}
        return self._made_by(made_by, fold_id, data) or self._made_by(made_by, fold_id, data, latest=False)

    def _made_by(
        self, chain: OperatorChain, fold_id: int | None, more: Mapping[str, Any], *, latest: bool = True
    ) -> ArtifactRecord | None:
        fold_id = optional_number(fold_id, "a fold")
        pipeline = (self.find_pipeline(self._pipeline) or self._pipeline) if self._pipeline else ""
        if pipeline and not more:
            found = self._current(ArtifactId(pipeline, chain.to_hash(), fold_id))
            if found is not None and record_of(found).chain_path == chain.to_path():
                return record_of(found)
        wanted = {"artfs.chain": chain.to_path(), "artfs.fold": ALL if fold_id is None else fold_id, **more}
        what = f"the chain {shown_text(chain.to_path())} in fold {fold_label(fold_id)}"
        versions = self._search(wanted, pipeline=pipeline, latest=latest)  # by name, and then by number
        newest = {version.artifact: record_of(version) for version in versions}
        return one_of(list(newest.values()), what)

    def get_chain_prefix(self, prefix: Chain) -> list[ArtifactRecord]:
        """Return the artifacts whose chains begin with the nodes of another chain; whole nodes are compared."""
        chain = chain_of(prefix)
        found = self._records(where=[f"artfs.chain^={chain.to_path()}"], pipeline=self._pipeline)
        return [record for record in found if chain_of(record.chain_path).begins_with(chain)]

    def get_artifacts_for_step(
        self,
        pipeline_id: str,
        step_index: int,
        branch_path: Sequence[int] | None = None,
        fold_id: int | None = None,
    ) -> list[ArtifactRecord]:
        """Return what a step uses on a branch and in a fold; None means any.

        A branch uses what was made on it and before it; a fold what was made for it and for all.
        """
        step_index, fold_id = whole_number(step_index, "a step"), optional_number(fold_id, "a fold")
        pipeline = self.find_pipeline(pipeline_id)
        if pipeline is None:
            return []
        found = self._records({"artfs.step": step_index}, pipeline=pipeline)
        return [record for record in found if record.matches_context(step_index, branch_path, None, fold_id)]

    def get_fold_models(
        self, pipeline_id: str, step_index: int, branch_path: Sequence[int] | None = None
    ) -> list[ArtifactRecord]:
        """Return the models that a step made for its folds, by fold.

        Raises `AmbiguousIdError` if they are of several chains: those are not to be averaged.
        """
        models = [
            record
            for record in self.get_artifacts_for_step(pipeline_id, step_index, branch_path)
            if record.artifact_type in (ArtifactType.MODEL, ArtifactType.META_MODEL) and record.is_fold_specific
        ]
        chains = sorted({record.chain_path or record.chain_hash for record in models})
        if len(chains) > 1:
            raise AmbiguousIdError(
                f"step {step_index} of {shown_text(pipeline_id)} has fold models of {len(chains)} chains: "
                f"{', '.join(chains[:_NAMED])}",
                hint="name a branch, or find them by chain",
                candidates=chains,
            )
        return sorted(models, key=lambda record: record.fold_id or 0)

    def find(
        self,
        params: Mapping[str, Any] | Sequence[str] | None = None,
        class_name: str | None = None,
        custom_name: str | None = None,
        metrics: Mapping[str, Any] | Sequence[str] | None = None,
        *,
        artifact_type: ArtifactType | str | None = None,
        pipeline_id: str | None = None,
        step_index: int | None = None,
        branch_path: Sequence[int] | None = None,
        fold_id: int | None = None,
        chain: Chain | None = None,
        data_hash: str | None = None,
        limit: int | None = None,
    ) -> list[ArtifactRecord]:
        """Return the artifacts that match all that is given.

        Parameters and metrics are values by name, or comparisons such as ``"rmse<0.5"``; a fold finds its own only.
        """
        given = {
            "artfs.class": class_name,
            "artfs.name": custom_name,
            "artfs.step": optional_number(step_index, "a step"),
            "artfs.fold": optional_number(fold_id, "a fold"),
            "artfs.data": data_hash,
            "artfs.chain": None if chain is None else chain_of(chain).to_path(),
        }
        wanted = {key: value for key, value in given.items() if value is not None}
        where: list[str] = []
        for key, values in (("artfs.params", params), ("artfs.metrics", metrics)):
            if isinstance(values, str) or (values is not None and not isinstance(values, Mapping)):
                where += [f"{key}.{_condition(each)}" for each in texts(values, key[6:])]
            else:
                wanted |= {f"{key}.{name}": value for name, value in json_object(values, key[6:]).items()}
        pipeline = self.find_pipeline(pipeline_id) if pipeline_id else ""
        if pipeline is None:
            return []
        kind = None if artifact_type is None else str(artifact_type_of(artifact_type))
        bound = limit if branch_path is None else None
        found = self._records(wanted, where=where, pipeline=pipeline, type=kind, limit=bound)
        return [record for record in found if branch_fits(record.branch_path, branch_path)][:limit]

    def compare_folds(
        self, pipeline_id: str, step_index: int, branch_path: Sequence[int] | None = None
    ) -> dict[str, Any]:
        """Compare the fold models of a step.

        ``folds`` has a row for each: ``fold_id``, ``artifact_id``, ``params``, ``metrics``, ``size_bytes``.  ``mean``
        and ``std`` are those of the metrics that are numbers in every fold; ``std`` is 0 for a single one.
        """
        models = self.get_fold_models(pipeline_id, step_index, branch_path)
        rows = [
            {
                "fold_id": record.fold_id,
                "artifact_id": record.artifact_id,
                "params": record.params,
                "metrics": record.metrics,
                "size_bytes": record.size_bytes,
            }
            for record in models
        ]
        names = [name for name in (models[0].metrics if models else {}) if _is_number_in(name, models)]
        columns = {name: [float(record.metrics[name]) for record in models] for name in names}
        return {
            "folds": rows,
            "mean": {name: mean_of(values) for name, values in columns.items()},
            "std": {name: deviation_of(values) for name, values in columns.items()},
        }

    def get_all_records(self) -> list[ArtifactRecord]:
        """Return the latest version of every artifact of the data set."""
        return self._records()

    # -- reading ---------------------------------------------------------------------------------------------------

    def version_of(self, record: ArtifactRecord) -> Version:
        """Return the version that has a record; raise `NotFoundError` if it is gone."""
        workspace = self._existing()
        if workspace is None or not record.ref:
            raise NotFoundError(f"{record.artifact_id!r} is not in the workspace of {self._folder}")
        return workspace.version(record.ref)

    def open_payload(self, record: ArtifactRecord) -> BinaryIO:
        """Open an artifact's payload: a seekable file whose bytes are verified.

        Raises `NotFoundError` (a FileNotFoundError) if it is gone.
        """
        return cast(BinaryIO, self.version_of(record).open(record.place + record.payload))

    def load_artifact(self, record: ArtifactRecord, **options: Any) -> Any:
        """Return the object of an artifact.

        What can run code is loaded only if this user signed it, or with ``trust=True``; the options are those of
        `artfs.registry.serializers.deserialize`.
        """
        from artfs.registry.serializers import deserialize

        with self.open_payload(record) as file:
            return deserialize(
                file,
                record.format,
                format_version=record.format_version,
                content_hash=record.content_hash,
                versions=record.libraries,
                mac=record.mac,
                label=record.artifact_id,
                **options,
            )


def _condition(written: str) -> str:
    """Return a comparison if it names what is compared; raise `InvalidInputError` otherwise."""
    parse_condition(written)
    return written.strip()


def _is_number_in(name: str, records: Iterable[ArtifactRecord]) -> bool:
    values = [record.metrics.get(name) for record in records]
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
