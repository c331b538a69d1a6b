"""Records as metadata of versions, under reserved keys; the index of terms finds versions by each of them.

    artfs.id            the id                          artfs.content    the payload's digest, ``blake3:...``
    artfs.dataset       the data set                    artfs.data       the digest of the data it was fitted on
    artfs.pipeline      the pipeline                    artfs.params     parameters: artfs.params.n_components
    artfs.chain         the chain's text                artfs.metrics    metrics: artfs.metrics.rmse
    artfs.step          the step                        artfs.payload    the payload's file
    artfs.fold          a number or ``all``             artfs.size       its bytes
    artfs.branch        the branch path, a list         artfs.format     the format, and artfs.format_version
    artfs.source        the source                      artfs.depends_on, artfs.sources, artfs.meta
    artfs.substep       the substep                     artfs.libraries  versions of libraries by name
    artfs.class         the class, and artfs.class_path artfs.mac        the signature of what is not safe
    artfs.name          the custom name                 artfs.macs       those of sources, by their place
    artfs.depth         how many artifacts depend on one another in a row, before this one

The type is the artifact's; ``artfs.type`` has it for counting.  Empty values have no key.  Libraries and signature are
those of the first registration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from artfs.registry.ids import ALL
from artfs.registry.records import ArtifactRecord, MetaModelConfig, artifact_type_of
from artstore.names import version_label

if TYPE_CHECKING:
    from artstore.queries.versions import Version

__all__ = ["DEPTH", "ID", "MACS", "is_registered", "metadata_of", "record_of"]

ID: Final = "artfs.id"
DEPTH: Final = "artfs.depth"
MACS: Final = "artfs.macs"
_TEXTS = {
    "artfs.dataset": "dataset",
    "artfs.pipeline": "pipeline_id",
    "artfs.chain": "chain_path",
    "artfs.class": "class_name",
    "artfs.class_path": "class_path",
    "artfs.content": "content_hash",
    "artfs.name": "custom_name",
    "artfs.data": "data_hash",
    "artfs.format": "format",
    "artfs.format_version": "format_version",
}
_OBJECTS = {"artfs.params": "params", "artfs.metrics": "metrics", "artfs.libraries": "libraries"}
_LISTS = {"artfs.branch": "branch_path", "artfs.depends_on": "depends_on"}


def metadata_of(record: ArtifactRecord, payload: str) -> dict[str, Any]:
    """Return a record as the metadata of its version; what is searched most comes first."""
    metadata: dict[str, Any] = {ID: record.artifact_id}
    metadata |= {key: getattr(record, name) for key, name in _TEXTS.items()}
    metadata["artfs.type"] = str(record.artifact_type)
    metadata |= {"artfs.step": record.step_index, "artfs.fold": ALL if record.fold_id is None else record.fold_id}
    metadata |= {"artfs.source": record.source_index, "artfs.substep": record.substep_index}
    metadata |= {"artfs.payload": payload, "artfs.size": record.size_bytes, "artfs.mac": record.mac}
    metadata |= {key: getattr(record, name) for key, name in {**_LISTS, **_OBJECTS}.items()}
    metadata["artfs.sources"] = [[each["artifact_id"], each["digest"]] for each in record.sources]
    metadata["artfs.meta"] = None if record.meta_config is None else record.meta_config.to_dict()
    return {key: value for key, value in metadata.items() if value not in (None, "", [], {})}


def is_registered(version: Version) -> bool:
    """Return whether a version is that of a registered artifact."""
    return ID in version.record.metadata


def record_of(version: Version) -> ArtifactRecord:
    """Return the record of a registered artifact's version."""
    metadata = version.record.metadata
    values = {name: metadata.get(key, "") for key, name in _TEXTS.items()}
    values |= {name: dict(metadata.get(key, {})) for key, name in _OBJECTS.items()}
    values |= {name: list(metadata.get(key, ())) for key, name in _LISTS.items()}
    fold, meta = metadata.get("artfs.fold", ALL), metadata.get("artfs.meta")
    created = version.created_at.isoformat(timespec="microseconds").replace("+00:00", "Z")
    return ArtifactRecord(
        artifact_id=metadata[ID],
        path=f"{version.artifact}/{version_label(version.number)}/{metadata.get('artfs.payload', '')}",
        step_index=metadata.get("artfs.step", 0),
        fold_id=None if fold == ALL else fold,
        source_index=metadata.get("artfs.source"),
        substep_index=metadata.get("artfs.substep"),
        artifact_type=artifact_type_of(version.type),
        artfs_version=values["libraries"].get("artfs", ""),
        size_bytes=metadata.get("artfs.size", 0),
        created_at=created,
        meta_config=None if meta is None else MetaModelConfig.from_dict(meta),
        ref=version.name,
        mac=metadata.get("artfs.mac"),
        sources=[{"artifact_id": ident, "digest": digest} for ident, digest in metadata.get("artfs.sources", ())],
        **values,
    )
