"""Registering the steps of an estimator one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from artfs.registry.chains import OperatorChain, OperatorNode
from artfs.registry.estimators import parts_of
from artfs.registry.records import ArtifactRecord, ArtifactType, MetaModelConfig
from artfs.registry.registering import Registering, prediction_columns
from artfs.registry.structures import is_linear, without_parts

__all__ = ["EstimatorParts"]


class EstimatorParts(Registering):
    """The part of a registry that takes estimators apart."""

    def register_estimator(
        self, estimator: Any, fold_id: int | None = None, pipeline_id: str | None = None, **options: Any
    ) -> list[ArtifactRecord]:
        """Register every step of a fitted scikit-learn estimator with its chain and dependences; return the records.

        What merges models is a meta-model of them.  An estimator that is more than its steps in a row (a union, a
        column transformer, a stack, or a Pipeline with one) is registered too, after them and without them: one more
        artifact, whose record is not returned.  `ArtifactLoader.load_estimator` makes the estimator of it again.
        ``options`` are those of `register_with_chain`.
        """
        records: list[ArtifactRecord] = []
        parts = parts_of(estimator)
        for part in parts:
            sources = [records[place].artifact_id for place in part.sources]
            node = part.chain.nodes[-1]
            kind = ArtifactType(part.kind)
            meta = None
            if kind is ArtifactType.META_MODEL:
                models = [{"artifact_id": ident, "feature_index": place} for place, ident in enumerate(sources)]
                meta = MetaModelConfig(models, prediction_columns([records[place] for place in part.sources]))
            given = {"params": _parameters(part.operator), "depends_on": sources, "meta_config": meta, **options}
            records.append(
                self.register_with_chain(
                    part.operator,
                    part.chain,
                    kind,
                    node.step_index,
                    fold_id=fold_id,
                    pipeline_id=pipeline_id,
                    **given,
                )
            )
        if not is_linear(estimator) and records:
            registered = [(part.operator, each.artifact_id) for part, each in zip(parts, records, strict=True)]
            self._register_structure(estimator, registered, fold_id, pipeline_id, options)
        return records

    def _register_structure(
        self,
        estimator: Any,
        parts: Sequence[tuple[Any, str]],
        fold_id: int | None,
        pipeline_id: str | None,
        options: Mapping[str, Any],
    ) -> None:
        """Register a composite estimator without its parts, as what comes after all of them."""
        chain = OperatorChain.from_estimator(estimator)
        step = chain.nodes[-1].step_index + 1
        self.register_with_chain(
            without_parts(estimator, parts),
            chain.append(OperatorNode(step, type(estimator).__name__)),
            ArtifactType.MODEL if hasattr(estimator, "predict") else ArtifactType.TRANSFORMER,
            step,
            fold_id=fold_id,
            pipeline_id=pipeline_id,
            **{**options, "depends_on": [ident for _, ident in parts]},
        )


def _parameters(operator: Any) -> dict[str, Any]:
    get = getattr(operator, "get_params", None)
    return dict(get(deep=False)) if callable(get) else {}
