"""Registering objects: one version each, with what it was made from, or several in one transaction."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from artfs.registry.chains import OperatorChain, chain_of, optional_number, whole_number
from artfs.registry.dependences import DEEPEST, Dependences
from artfs.registry.errors import (
    ChainConflictError,
    DeferralError,
    DependencyError,
    MissingDependencyError,
)
from artfs.registry.ids import parse_artifact_id
from artfs.registry.naming import artifact_name, check_pipeline
from artfs.registry.payloads import Written, written_payload
from artfs.registry.records import (
    RECORD,
    ArtifactRecord,
    ArtifactType,
    MetaModelConfig,
    artifact_type_of,
    record_json,
)
from artfs.registry.sources import Pending, SourceFolder, depth_of, folders_of, record_in
from artfs.registry.stored import DEPTH, MACS, is_registered, metadata_of, record_of
from artfs.registry.values import json_object
from artstore.arguments import shown_text, shown_value, text, texts
from artstore.changes.committing import Commit
from artstore.drafting.batches import NewVersion, VersionBatch
from artstore.errors import BusyError, InvalidInputError, NotFoundError
from artstore.ids import content_id
from artstore.queries.versions import Version

if TYPE_CHECKING:
    from artstore.reclaim.leases import Lease
    from artstore.records.catalogue import RunRecord

__all__ = ["KEPT", "Registering", "prediction_columns"]

Chain = OperatorChain | str

_ATTEMPTS: Final = 3
_PIECE: Final = 1 << 20
KEPT: Final = "registered"
"""The tag of a version of a run that was registered again outside of runs: the run's failure does not take it."""


class Registering(Dependences):
    """The part of a registry that adds artifacts."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._batch: VersionBatch | None = None
        self._is_deferred = False
        self._pending: dict[str, Pending] = {}
        self._run: tuple[RunRecord, Lease] | None = None

    # -- registering -----------------------------------------------------------------------------------------------

    def register_with_chain(
        self,
        obj: Any,
        chain: Chain,
        artifact_type: ArtifactType | str,
        step_index: int,
        branch_path: Sequence[int] | None = None,
        source_index: int | None = None,
        fold_id: int | None = None,
        substep_index: int | None = None,
        depends_on: Sequence[str] | None = None,
        params: Mapping[str, Any] | None = None,
        meta_config: MetaModelConfig | None = None,
        format_hint: str | None = None,
        custom_name: str | None = None,
        pipeline_id: str | None = None,
        input_data_hash: str | None = None,
        *,
        metrics: Mapping[str, Any] | None = None,
    ) -> ArtifactRecord:
        """Register an object under the id of its chain; return its record.

        Equal content and record make no version; anything else under the same id is the next one.  ``depends_on`` are
        ids of artifacts, of which the present versions are meant.  Raises `MissingDependencyError` if one is unknown,
        `ChainConflictError` if another chain has this id, and what the serialisers raise.
        """
        made_by = chain_of(chain)
        pipeline = self._pipeline_of(pipeline_id, made_by)
        return self.register(
            obj,
            self.generate_id(made_by, fold_id, pipeline),
            artifact_type,
            depends_on=depends_on,
            params=params,
            meta_config=meta_config,
            format_hint=format_hint,
            custom_name=custom_name,
            chain_path=made_by,
            step_index=step_index,
            branch_path=branch_path,
            source_index=source_index,
            substep_index=substep_index,
            input_data_hash=input_data_hash,
            metrics=metrics,
        )

    def register(
        self,
        obj: Any,
        artifact_id: str,
        artifact_type: ArtifactType | str,
        depends_on: Sequence[str] | None = None,
        params: Mapping[str, Any] | None = None,
        meta_config: MetaModelConfig | None = None,
        format_hint: str | None = None,
        custom_name: str | None = None,
        chain_path: Chain = "",
        *,
        step_index: int | None = None,
        branch_path: Sequence[int] | None = None,
        source_index: int | None = None,
        substep_index: int | None = None,
        input_data_hash: str | None = None,
        metrics: Mapping[str, Any] | None = None,
    ) -> ArtifactRecord:
        """Register an object under an id that is given, and stays as it is; otherwise as `register_with_chain`.

        Step, branch and source are those of the chain's last node, else those of an id of the older form.
        """
        ident = parse_artifact_id(artifact_id)
        chain = chain_of(chain_path) if chain_path else OperatorChain()
        last = chain.get_last_node()
        step = last.step_index if last is not None else ident.step
        branch = last.branch_path if last is not None else ident.branch
        kind = type(obj)
        record = ArtifactRecord(
            artifact_id=artifact_id,
            artifact_type=artifact_type_of(artifact_type),
            chain_path=chain.to_path(),
            dataset=self._dataset,
            pipeline_id=check_pipeline(ident.pipeline),
            step_index=whole_number((step or 0) if step_index is None else step_index, "a step"),
            branch_path=[
                whole_number(part, "a part of a branch path")
                for part in ((branch or []) if branch_path is None else branch_path)
            ],
            source_index=optional_number(
                last.source_index if last and source_index is None else source_index, "a source"
            ),
            substep_index=optional_number(
                last.substep_index if last and substep_index is None else substep_index, "a substep"
            ),
            fold_id=ident.fold,
            class_name=kind.__name__,
            class_path=f"{kind.__module__}.{kind.__qualname__}",
            custom_name="" if custom_name is None else text(custom_name, "the custom name"),
            depends_on=texts(depends_on, "depends_on"),
            params=json_object(params, "params"),
            metrics=json_object(metrics, "metrics"),
            meta_config=_checked_meta(meta_config),
            data_hash="" if input_data_hash is None else text(input_data_hash, "the digest of the data"),
        )
        ArtifactRecord.from_dict(record.to_dict())  # its checks
        with written_payload(obj, format_hint) as written:
            return self.register_payload(record, written)

    def register_meta_model(
        self,
        obj: Any,
        artifact_id: str | None,
        source_model_ids: Sequence[str],
        feature_columns: Sequence[str] | None = None,
        params: Mapping[str, Any] | None = None,
        format_hint: str | None = None,
        *,
        chain: Chain | None = None,
        fold_id: int | None = None,
        custom_name: str | None = None,
        metrics: Mapping[str, Any] | None = None,
    ) -> ArtifactRecord:
        """Register a meta-model with its sources, in the order of its features.

        Without an id, it is that of the chain.  The columns are by default ``CLASS_pred``, numbered where two are
        alike.  Raises `InvalidInputError` if there are not as many columns as sources.
        """
        if artifact_id is None and chain is None:
            raise InvalidInputError("a meta-model needs an id or a chain", hint="pass chain=")
        sources = [self._require(ident) for ident in texts(source_model_ids, "source_model_ids")]
        columns = (
            texts(feature_columns, "feature_columns") if feature_columns is not None else prediction_columns(sources)
        )
        if len(columns) != len(sources):
            raise InvalidInputError(f"{len(columns)} feature columns were given for {len(sources)} sources")
        ids = [record.artifact_id for record in sources]
        return self.register(
            obj,
            artifact_id or self.generate_id(chain or "", fold_id),
            ArtifactType.META_MODEL,
            depends_on=ids,
            params=params,
            meta_config=MetaModelConfig(
                [{"artifact_id": ident, "feature_index": place} for place, ident in enumerate(ids)], columns
            ),
            format_hint=format_hint,
            custom_name=custom_name,
            chain_path=chain or "",
            metrics=metrics,
        )

    def _require(self, artifact_id: str) -> ArtifactRecord:
        """Return what is registered or waits for its commit under an id; raise `MissingDependencyError`."""
        found = self._waiting(artifact_id)
        record = found.record if found is not None else self.resolve(artifact_id)
        if record is None:
            raise MissingDependencyError(
                f"the source {shown_text(artifact_id)} is not registered in the data set {self._dataset!r}",
                hint="register sources before what is made from them",
            )
        return record

    # -- one payload -----------------------------------------------------------------------------------------------

    def register_payload(self, record: ArtifactRecord, written: Written) -> ArtifactRecord:
        """Register a payload that is written already; ``record`` has all that the payload does not tell."""
        name = artifact_name(self._dataset, parse_artifact_id(record.artifact_id))
        record = replace(
            record,
            content_hash=written.content_hash,
            size_bytes=written.size,
            format=written.format,
            format_version=written.format_version,
            libraries=dict(sorted(written.libraries.items())),
            mac=written.mac,
        )
        workspace = self.workspace
        current = workspace.relations.current(name)
        waiting = self._pending.get(name)
        before = waiting.record if waiting else None if current is None else _registered(current)
        if before is not None and before.chain_path and record.chain_path not in ("", before.chain_path):
            raise ChainConflictError(
                f"the id {record.artifact_id!r} is that of the chain {shown_text(before.chain_path)}, "
                f"not of {shown_text(record.chain_path)}",
                hint="register it under another id",
            )
        for attempt in range(_ATTEMPTS):
            try:
                return self._add(name, record, written, current)
            except BusyError:  # content to include was reaped at this moment
                if attempt == _ATTEMPTS - 1 or self._is_deferred:
                    raise
        raise AssertionError("the last attempt returns or raises")

    def _add(self, name: str, record: ArtifactRecord, written: Written, current: Version | None) -> ArtifactRecord:
        sources, direct, depth = self._sources(record)
        record = replace(
            record,
            depends_on=list(dict.fromkeys(record.depends_on)),
            sources=[{"artifact_id": each.artifact_id, "digest": each.digest} for each in sources],
        )
        payload = written.file.name
        content = record_json(record, payload)
        if current is not None and not self._is_deferred and _is_equal(current, content):
            return self._again(current, record, written)
        macs = {str(place): each.mac for place, each in enumerate(sources) if each.mac}
        metadata = {**metadata_of(record, payload), **({MACS: macs} if macs else {})}
        if depth:
            metadata[DEPTH] = depth
        included = {
            f"sources/{place}".encode() + (b"/" + path if path else b""): part
            for place, source in enumerate(sources)
            for path, part in source.parts.items()
        }
        request = replace(
            Commit.checked(name, type=str(record.artifact_type)),
            metadata=metadata,
            included=[each.record.serial for each in direct if isinstance(each, Version)],
            runs=[] if self._run is None else [self._run[0].number],
        )
        version = NewVersion(
            request,
            {RECORD.encode(): content, os.fsencode(payload): written.file},
            included,
            [each.place for each in direct if isinstance(each, Pending)],
        )
        if self._is_deferred:
            return self._defer(name, record, version, depth)
        with self.workspace.drafts.batch(name) as batch:
            batch.add(version)
            return record_of(batch.commit()[0])

    def _again(self, current: Version, record: ArtifactRecord, written: Written) -> ArtifactRecord:
        """Return the record of a version that equals what is registered; what keeps it from clean-up is noted."""
        workspace = self.workspace
        logged = workspace.relations.logged_by(current)
        if self._run is not None:
            if self._run[0].number not in [each.run.number for each in logged]:
                workspace.runs.made(self._run[0].number, current)
        elif any(each.made_it and each.run.state != "finished" for each in logged) and KEPT not in current.tags:
            workspace.tags.add(current.name, KEPT)
        return record_of(current)

    def _sources(self, record: ArtifactRecord) -> tuple[list[SourceFolder], list[Version | Pending], int]:
        """Return the folders of ``sources``, the direct dependences first, those themselves, and the depth.

        Raises `MissingDependencyError` naming all that are unknown, and `DependencyError`.
        """
        direct: list[Version | Pending] = []
        missing = []
        for artifact_id in dict.fromkeys([*record.depends_on, *(record.meta_config or MetaModelConfig()).source_ids]):
            found = self._waiting(artifact_id) or self._resolved(artifact_id)
            if found is None:
                missing.append(shown_text(artifact_id))
            else:
                direct.append(found)
        if missing:
            raise MissingDependencyError(
                f"{record.artifact_id!r} depends on {', '.join(missing)}, not registered in {self._dataset!r}",
                hint="register sources before what is made from them",
            )
        record.depends_on[:] = [record_in(each).artifact_id for each in direct]
        folders = [folders_of(each) for each in direct]
        ordered = {own.digest: own for own, _ in folders}
        for _, below in folders:
            for source in below:
                ordered.setdefault(source.digest, source)
        depth = 1 + max(map(depth_of, direct)) if direct else 0
        if record.artifact_id in [source.artifact_id for source in ordered.values()]:
            raise DependencyError(f"{record.artifact_id!r} would depend on itself", hint="give it another id")
        if depth > DEEPEST:
            raise DependencyError(f"{record.artifact_id!r} comes after {DEEPEST} artifacts that depend on one another")
        return list(ordered.values()), direct, depth

    # -- deferral --------------------------------------------------------------------------------------------------

    def begin_deferred(self) -> None:
        """Begin to stage what is registered: it is seen after `commit_deferred`, all of it at once.

        Raises `DeferralError` if that has begun already.
        """
        if self._is_deferred:
            raise DeferralError("registrations are deferred already", hint="commit or roll back what was begun")
        self._is_deferred = True

    def commit_deferred(self) -> list[ArtifactRecord]:
        """Make everything that was registered since `begin_deferred` visible, in one transaction; return the records.

        If it is refused nothing changes, and it can be repeated or rolled back.
        """
        self._require_deferred()
        records = [] if self._batch is None else [record_of(version) for version in self._batch.commit()]
        self._end_deferral()
        return records

    def rollback_deferred(self) -> int:
        """Give up everything that was registered since `begin_deferred`; return how many artifacts that were."""
        self._require_deferred()
        count = len(self._pending)
        self._end_deferral()
        return count

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Defer what is registered in the block: committed at its end, rolled back after an exception."""
        self.begin_deferred()
        try:
            yield
        except BaseException:
            self._end_deferral()
            raise
        try:
            self.commit_deferred()
        finally:
            self._end_deferral()

    def _require_deferred(self) -> None:
        if not self._is_deferred:
            raise DeferralError("no registrations are deferred", hint="begin_deferred() comes first")

    def _end_deferral(self) -> None:
        if self._batch is not None:
            self._batch.close()
        self._batch, self._pending, self._is_deferred = None, {}, False

    def _defer(self, name: str, record: ArtifactRecord, version: NewVersion, depth: int) -> ArtifactRecord:
        if self._batch is None:
            self._batch = self.workspace.drafts.batch(name)
        before = self._pending.pop(name, None)
        if before is not None:
            self._batch.remove(before.place)
        self._pending[name] = Pending(self._batch.add(version), record, version, depth)
        return record

    def _waiting(self, artifact_id: str) -> Pending | None:
        """Return what waits for its commit under an id, which must be whole."""
        return next((each for each in self._pending.values() if each.record.artifact_id == artifact_id), None)


def _registered(version: Version) -> ArtifactRecord | None:
    return record_of(version) if is_registered(version) else None


def _is_equal(version: Version, content: bytes) -> bool:
    """Return whether a version has this record, which names the payload and all sources by their digests."""
    try:
        return version.stat(RECORD).digest == content_id(content).hex()
    except NotFoundError:
        return False


def _checked_meta(config: MetaModelConfig | None) -> MetaModelConfig | None:
    if config is None:
        return None
    if not isinstance(config, MetaModelConfig):
        raise InvalidInputError(f"meta_config must be a MetaModelConfig, not {shown_value(config)}")
    if config.feature_columns and len(config.feature_columns) != len(config.source_models):
        raise InvalidInputError(
            f"{len(config.feature_columns)} feature columns were given for {len(config.source_models)} sources"
        )
    return MetaModelConfig.from_dict(config.to_dict())


def prediction_columns(sources: Sequence[ArtifactRecord]) -> list[str]:
    """Return the names of columns: ``CLASS_pred``, numbered where several sources have one class."""
    names = [f"{record.class_name}_pred" for record in sources]
    seen: dict[str, int] = {}
    columns = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        columns.append(name if names.count(name) == 1 else f"{name}_{seen[name] - 1}")
    return columns
