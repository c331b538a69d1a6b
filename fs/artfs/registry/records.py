"""What the registry knows of an artifact: its record, in Python, in `record.json`, and as a version's metadata.

A version of a registered artifact is a folder:

    record.json          the record: JSON with sorted keys, without times, host or user
    payload.EXT          the object
    sources/0, 1, ...    record.json and payload.EXT of everything that it was made from, each once

Its metadata have the same values under reserved keys, so that they are found without reading the folder, and what is
true of one registration only: the versions of libraries and the signature.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, ClassVar, Final

from artfs.registry.chains import context_fits
from artfs.registry.errors import RecordError
from artfs.registry.ids import fold_label, is_v3_artifact_id, parse_artifact_id_v3
from artstore.arguments import shown_value

__all__ = ["RECORD", "ArtifactRecord", "ArtifactType", "MetaModelConfig", "artifact_type_of", "record_json"]

RECORD: Final = "record.json"
VERSION: Final = 3
"""The version of the form of records and ids."""


class ArtifactType(StrEnum):
    """What an artifact is; the type of the artifact in artfs, so one id keeps one."""

    MODEL = "model"
    TRANSFORMER = "transformer"
    SPLITTER = "splitter"
    ENCODER = "encoder"
    META_MODEL = "meta_model"


def artifact_type_of(value: object) -> ArtifactType:
    """Return the type that a value names; raise `RecordError` for an unknown one."""
    try:
        return ArtifactType(str(value).lower())
    except ValueError:
        raise RecordError(
            f"{shown_value(value)} is not a type of artifacts", hint=f"the types are {', '.join(ArtifactType)}"
        ) from None


@dataclass
class MetaModelConfig:
    """The sources of a meta-model in the order of its features, and the names of those.

    ``source_models`` are dictionaries with ``artifact_id`` and ``feature_index``.
    """

    source_models: list[dict[str, Any]] = field(default_factory=list)
    feature_columns: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return the values for JSON."""
        return {
            "source_models": [dict(each) for each in self.source_models],
            "feature_columns": list(self.feature_columns),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> MetaModelConfig:
        """Return what `to_dict` wrote; raise `RecordError` for anything else."""
        models, columns = data.get("source_models", []), data.get("feature_columns", [])
        if not isinstance(models, list) or not all(isinstance(each, Mapping) for each in models):
            raise RecordError("the sources of a meta-model must be a list of objects with an artifact_id")
        if not isinstance(columns, list) or not all(isinstance(each, str) for each in columns):
            raise RecordError("the feature columns of a meta-model must be a list of names")
        return cls([dict(each) for each in models], list(columns))

    @property
    def source_ids(self) -> list[str]:
        """The ids of the sources."""
        return [str(each["artifact_id"]) for each in self.source_models if each.get("artifact_id")]


@dataclass
class ArtifactRecord:
    """A registered artifact.

    ``content_hash`` is ``blake3:`` and the digest of the payload, and ``path`` the payload's path under a mount.
    ``ref`` is the version, ``NAME:vN``; it is empty before a deferred registration is committed.  ``depends_on`` are
    the ids of what it was made from.  ``created_at`` is ISO 8601 in UTC.
    """

    artifact_id: str
    content_hash: str = ""
    path: str = ""
    chain_path: str = ""
    source_index: int | None = None
    pipeline_id: str = ""
    branch_path: list[int] = field(default_factory=list)
    step_index: int = 0
    substep_index: int | None = None
    fold_id: int | None = None
    artifact_type: ArtifactType = ArtifactType.MODEL
    class_name: str = ""
    class_path: str = ""
    custom_name: str = ""
    depends_on: list[str] = field(default_factory=list)
    format: str = ""
    format_version: str = ""
    artfs_version: str = ""
    size_bytes: int = 0
    created_at: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    meta_config: MetaModelConfig | None = None
    version: int = VERSION
    ref: str = ""

    dataset: str = ""
    data_hash: str = ""
    """The digest of the data that it was fitted on, as it was given."""
    libraries: dict[str, str] = field(default_factory=dict, repr=False)
    """The versions of libraries when it was registered."""
    mac: str | None = field(default=None, repr=False)
    sources: list[dict[str, str]] = field(default_factory=list, repr=False)
    """All that it was made from, by place in ``sources``: ``artifact_id``, and the ``digest`` of the record."""
    place: str = field(default="", repr=False)
    """The folder in the version that has its payload: empty, or ``sources/N/``."""

    _TEXTS: ClassVar = (
        *("artifact_id", "content_hash", "path", "chain_path", "pipeline_id", "class_name", "class_path"),
        *("custom_name", "format", "format_version", "artfs_version", "created_at", "ref", "dataset", "data_hash"),
    )
    _NOT_IN_DICT: ClassVar = ("libraries", "mac", "place")

    @property
    def payload(self) -> str:
        """The payload's name in its folder."""
        return self.path.rpartition("/")[2]

    @property
    def short_hash(self) -> str:
        """The first 12 digits of the payload's digest."""
        return self.content_hash.rpartition(":")[2][:12]

    @property
    def chain_hash(self) -> str:
        """The hash in the id; empty for an id of the older form."""
        return parse_artifact_id_v3(self.artifact_id)[1] if is_v3_artifact_id(self.artifact_id) else ""

    @property
    def is_branch_specific(self) -> bool:
        """Whether it belongs to a branch."""
        return bool(self.branch_path)

    @property
    def is_fold_specific(self) -> bool:
        """Whether it belongs to one fold."""
        return self.fold_id is not None

    @property
    def is_source_specific(self) -> bool:
        """Whether it belongs to one source of several."""
        return self.source_index is not None

    @property
    def is_meta_model(self) -> bool:
        """Whether it is a meta-model."""
        return self.artifact_type is ArtifactType.META_MODEL

    def get_branch_path_str(self) -> str:
        """Return the branch path as in an id of the older form: ``0:1``."""
        return ":".join(map(str, self.branch_path))

    def get_fold_str(self) -> str:
        """Return the fold as in ids: ``all`` or a number."""
        return fold_label(self.fold_id)

    def matches_context(
        self,
        step_index: int | None = None,
        branch_path: Sequence[int] | None = None,
        source_index: int | None = None,
        fold_id: int | None = None,
    ) -> bool:
        """Return whether it is used in a context, as `context_fits` does."""
        return context_fits(self, step_index, branch_path, source_index, fold_id)

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON values, as manifests have it."""
        values = {each.name: getattr(self, each.name) for each in fields(self) if each.name not in self._NOT_IN_DICT}
        values["artifact_type"] = str(self.artifact_type)
        values["meta_config"] = None if self.meta_config is None else self.meta_config.to_dict()
        copied: dict[str, Any] = json.loads(json.dumps(values))
        return copied

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ArtifactRecord:
        """Return the record that `to_dict` or the original wrote; raise `RecordError` for anything else.

        Without an id or a type it is none; unknown fields are passed over.
        """
        if not isinstance(data, Mapping):
            raise RecordError(f"{shown_value(data)} is not the record of an artifact")
        for name in ("artifact_id", "artifact_type"):
            if not data.get(name):
                raise RecordError(f"a record of an artifact lacks its {name}: {shown_value(dict(data))}")
        known = {each.name for each in fields(cls)} - set(cls._NOT_IN_DICT)
        values = {name: value for name, value in data.items() if name in known and value is not None}
        values["artifact_type"] = artifact_type_of(values["artifact_type"])
        if isinstance(values.get("meta_config"), Mapping):
            values["meta_config"] = MetaModelConfig.from_dict(values["meta_config"])
        record = cls(**values)
        record._check()
        return record

    def _check(self) -> None:
        """Raise `RecordError` for a value of a wrong type."""
        for name in self._TEXTS:
            if not isinstance(getattr(self, name), str):
                raise RecordError(f"the {name} of a record must be text, not {shown_value(getattr(self, name))}")
        for name in ("step_index", "size_bytes", "version", "fold_id", "source_index", "substep_index"):
            value = getattr(self, name)
            if value is not None and (type(value) is not int or value < 0):
                raise RecordError(f"the {name} of a record must be a whole number, not {shown_value(value)}")
        lists = (self.branch_path, int), (self.depends_on, str), (self.sources, Mapping)
        if isinstance(self.branch_path, list) and any(type(each) is not int or each < 0 for each in self.branch_path):
            raise RecordError(f"a branch path must be a list of numbers from 0, not {shown_value(self.branch_path)}")
        if not all(isinstance(value, list) and all(isinstance(each, kind) for each in value) for value, kind in lists):
            raise RecordError(f"a list in the record of {self.artifact_id!r} has other values than it can have")
        if not isinstance(self.params, Mapping) or not isinstance(self.metrics, Mapping):
            raise RecordError(f"params and metrics of {self.artifact_id!r} must be objects")
        if self.meta_config is not None and not isinstance(self.meta_config, MetaModelConfig):
            raise RecordError(f"the meta_config of {self.artifact_id!r} must be an object")


_OF_ONE_REGISTRATION: Final = ("artfs_version", "created_at", "path", "ref")


def record_json(record: ArtifactRecord, payload: str) -> bytes:
    """Return the bytes of a record's file, equal for equal records; ``payload`` is the payload's name."""
    values = {name: value for name, value in record.to_dict().items() if name not in _OF_ONE_REGISTRATION}
    text = json.dumps({**values, "payload": payload}, sort_keys=True, ensure_ascii=False, indent=1, allow_nan=False)
    return text.encode("utf-8", "surrogatepass") + b"\n"
