"""Records as metadata of versions, under reserved keys; the index of terms finds versions by each of them.

    artfs.id            the id                          artfs.content    the payload's digest, ``blake3:...``
    artfs.dataset       the data set                    artfs.size       its bytes
    artfs.pipeline      the pipeline                    artfs.data       the digest of the data it was fitted on
    artfs.chain         the chain's text                artfs.params     parameters: artfs.params.n_components
    artfs.step          the step                        artfs.metrics    metrics: artfs.metrics.rmse
    artfs.fold          a number or ``all``             artfs.depth      how many artifacts depend on one another in
    artfs.class         the class                                        a row, before this one
    artfs.name          the custom name                 artfs.macs       signatures of sources, by their place
                                                        artfs.details    the rest: [[key, value], ...]

The type is the artifact's; ``artfs.type`` has it for counting.  Empty values have no key.

Nothing is searched by the details.  They are pairs in a list, of which the index has one term: each term takes about
80 bytes on disk, and time at each registration.  Their keys are ``branch`` (the path, a list), ``source``,
``substep``, ``class_path``, ``format``, ``format_version``, ``payload`` (its file), ``depends_on``, ``sources``,
``meta``, ``libraries`` (versions by name) and ``mac`` (the signature of what is not safe); the last two are those of
the first registration.  Versions that an earlier artfs made have each of these as a key of its own, ``artfs.format``
and so on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from artfs.registry.ids import ALL
from artfs.registry.records import ArtifactRecord, MetaModelConfig, artifact_type_of
from artstore.names import version_label

if TYPE_CHECKING:
    from artstore.queries.versions import Version

__all__ = ["DEPTH", "ID", "MACS", "is_registered", "metadata_of", "record_of", "unpacked", "unsigned"]

ID: Final = "artfs.id"
DEPTH: Final = "artfs.depth"
MACS: Final = "artfs.macs"
_DETAILS: Final = "artfs.details"
_MAC: Final = "artfs.mac"
_SEARCHED: Final = frozenset(
    f"artfs.{key}"
    for key in (
        *("id", "dataset", "pipeline", "chain", "step", "fold", "class", "name", "type"),
        *("content", "size", "data", "params", "metrics", "depth", "macs"),
    )
)
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
    return _packed(_unpacked_of(record, payload))


def unpacked(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return metadata with a key for each detail, as versions have them that an earlier artfs made."""
    pairs = metadata.get(_DETAILS, ())
    rest = {key: value for key, value in metadata.items() if key != _DETAILS}
    return {**{f"artfs.{key}": value for key, value in pairs}, **rest}


def unsigned(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return a version's metadata without signatures."""
    kept = {key: value for key, value in unpacked(metadata).items() if key not in (_MAC, MACS)}
    return _packed(kept) if _DETAILS in metadata else kept


def _packed(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return metadata whose reserved keys that nothing is searched by are details."""
    start = len("artfs.")
    apart = {key for key in metadata if key.startswith("artfs.") and key not in _SEARCHED}
    kept = {key: value for key, value in metadata.items() if key not in apart}
    return {**kept, _DETAILS: [[key[start:], metadata[key]] for key in sorted(apart)]}


def _unpacked_of(record: ArtifactRecord, payload: str) -> dict[str, Any]:
    metadata: dict[str, Any] = {ID: record.artifact_id}
    metadata |= {key: getattr(record, name) for key, name in _TEXTS.items()}
    metadata["artfs.type"] = str(record.artifact_type)
    metadata |= {"artfs.step": record.step_index, "artfs.fold": ALL if record.fold_id is None else record.fold_id}
    metadata |= {"artfs.source": record.source_index, "artfs.substep": record.substep_index}
    metadata |= {"artfs.payload": payload, "artfs.size": record.size_bytes, _MAC: record.mac}
    metadata |= {key: getattr(record, name) for key, name in {**_LISTS, **_OBJECTS}.items()}
    metadata["artfs.sources"] = [[each["artifact_id"], each["digest"]] for each in record.sources]
    metadata["artfs.meta"] = None if record.meta_config is None else record.meta_config.to_dict()
    return {key: value for key, value in metadata.items() if value not in (None, "", [], {})}


def is_registered(version: Version) -> bool:
    """Return whether a version is that of a registered artifact."""
    return ID in version.record.metadata


def record_of(version: Version) -> ArtifactRecord:
    """Return the record of a registered artifact's version."""
    metadata = unpacked(version.record.metadata)
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
        mac=metadata.get(_MAC),
        sources=[{"artifact_id": ident, "digest": digest} for ident, digest in metadata.get("artfs.sources", ())],
        **values,
    )
