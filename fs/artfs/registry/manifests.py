"""Manifests: artifacts as a list of records, in a file of a run or between two workspaces.

A manifest is an object with ``artifacts``, or what is below it: an object with ``items``, or a list of records.  The
original's files are read too; their payloads are foreign, so what can run code is not trusted.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from artfs.registry.errors import DependencyError, RecordError
from artfs.registry.payloads import Written, digest_of
from artfs.registry.records import ArtifactRecord
from artfs.registry.running import Running
from artstore.arguments import shown_value
from artstore.errors import DamageError, InvalidInputError, NotFoundError

__all__ = ["FILES", "Manifests", "items_of", "named_in_folder", "parsed_manifest"]

SCHEMA: Final = "3.0"
FILES: Final = ("manifest.yaml", "manifest.yml", "manifest.json")
"""The names of manifests."""
_LONGEST: Final = 1 << 28
_MORE: Final = 100_000
"""Values that aliases may add to a manifest: without them it has fewer values than bytes."""


def items_of(manifest: object) -> list[Mapping[str, Any]]:
    """Return the records in a whole manifest or a part of one; raise `RecordError` if it is none."""
    section = manifest.get("artifacts", manifest) if isinstance(manifest, Mapping) else manifest
    items = section.get("items") if isinstance(section, Mapping) else section
    if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
        raise RecordError(f"{shown_value(manifest)} is not a manifest: it has no list of artifacts")
    return list(items)


def parsed_manifest(file: Path) -> object:
    """Return what a manifest's file has; raises what reading and parsing raise."""
    if file.stat().st_size > _LONGEST:
        raise RecordError(f"the manifest {file} is too large to be one")
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".json":
        return json.loads(text)
    from artfs.registry.plain_yaml import parsed_yaml

    return parsed_yaml(text, len(text) + _MORE)


def named_in_folder(folder: Path) -> frozenset[str]:
    """Return the ids, digests and paths that manifests below a folder name.

    Raises `RecordError` for a manifest that cannot be read: what it names is unknown, so nothing may be deleted.
    """
    named: set[str] = set()
    for file in _manifests(folder):
        try:
            items = items_of(parsed_manifest(file))
        except (OSError, ValueError, RecursionError, ImportError) as error:
            raise RecordError(
                f"the manifest {file} cannot be read, so what it names is unknown: {type(error).__name__}",
                hint="repair or remove it, or pass scan_all_manifests=False",
            ) from error
        except Exception as error:  # a parser's own error
            raise RecordError(
                f"the manifest {file} cannot be read, so what it names is unknown: {type(error).__name__}",
                hint="repair or remove it, or pass scan_all_manifests=False",
            ) from error
        for item in items:
            named |= {str(item[key]) for key in ("artifact_id", "ref", "content_hash", "path") if item.get(key)}
    return frozenset(named)


def _refuse(error: OSError) -> None:
    raise RecordError(f"{error.filename} cannot be searched for manifests: {error.strerror}") from error


def _manifests(folder: Path) -> Iterator[Path]:
    """Yield the manifests below a folder of the disk; workspaces and mounts are not searched."""
    if not folder.is_dir():
        return
    device = folder.stat().st_dev
    for place, folders, files in os.walk(folder, onerror=_refuse):
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and os.lstat(os.path.join(place, name)).st_dev == device
        ]
        yield from (Path(place) / name for name in files if name in FILES)


class Manifests(Running):
    """The part of a registry that writes and reads manifests."""

    def export_to_manifest(self, pipeline_id: str | None = None) -> dict[str, Any]:
        """Return the records of a pipeline, by default this registry's, else of the data set, as JSON values."""
        wanted = pipeline_id or self._pipeline
        pipeline = self.find_pipeline(wanted) or wanted if wanted else ""
        return {
            "schema_version": SCHEMA,
            "dataset": self._dataset,
            "pipeline_id": pipeline,
            "items": [record.to_dict() for record in self._records(pipeline=pipeline)],
        }

    def import_from_manifest(
        self, manifest: Mapping[str, Any], results_dir: str | os.PathLike[str] | None = None
    ) -> list[ArtifactRecord]:
        """Register the artifacts of a manifest, sources first; return the records.

        Payloads are looked for as the manifest's paths below ``results_dir`` and next to it.  What is registered
        already with the same payload stays.  Raises `RecordError` for what is no manifest, `NotFoundError` for a
        payload that is gone, `DamageError` for one of another digest, and `DependencyError` for a cycle.
        """
        records = _sources_first(ArtifactRecord.from_dict(item) for item in items_of(manifest))
        folders = [] if results_dir is None else _folders(Path(results_dir), self._folder, self._dataset)
        found: list[ArtifactRecord] = []
        for record in records:
            present = [each for each in self.versions(record.artifact_id) if _is_same(each, record)]
            found.append(present[-1] if present else self._imported(record, folders))
        return found

    def _imported(self, record: ArtifactRecord, folders: Iterable[Path]) -> ArtifactRecord:
        path = record.path
        if not path or path.startswith("/") or ".." in Path(path).parts:
            raise RecordError(f"the path {path!r} in the manifest is not one below its folder")
        files = [folder / name for folder in folders for name in (path, os.path.basename(path))]
        file = next((each for each in files if each.is_file() and not each.is_symlink()), None)
        if file is None:
            raise NotFoundError(
                f"the payload {path!r} of {record.artifact_id!r} is not below the folder of the manifest"
            )
        _require_digest(file, record)
        written = Written(
            file, record.format, record.format_version, record.libraries, None, digest_of(file), file.stat().st_size
        )
        return self.register_payload(replace(record, dataset=self._dataset, sources=[], ref="", path=""), written)


def _is_same(present: ArtifactRecord, record: ArtifactRecord) -> bool:
    return not record.content_hash.startswith("blake3:") or present.content_hash == record.content_hash


def _require_digest(file: Path, record: ArtifactRecord) -> None:
    algorithm, _, digits = record.content_hash.rpartition(":")
    if algorithm in ("", "sha256"):
        with file.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    elif algorithm == "blake3":
        found = digest_of(file).partition(":")[2]
    else:
        raise InvalidInputError(f"the digest {record.content_hash!r} is neither blake3: nor sha256:")
    if found != digits:
        raise DamageError(f"the payload {file} of {record.artifact_id!r} has another digest than its manifest says")


def _folders(results: Path, workspace: Path, dataset: str) -> list[Path]:
    """Return where the payloads of a manifest may be."""
    above = [results, results / "_binaries", results.parent / "_binaries", results.parent]
    return [*above, workspace / "binaries" / dataset, workspace / "artifacts"]


def _sources_first(records: Iterable[ArtifactRecord]) -> list[ArtifactRecord]:
    by_id = {record.artifact_id: record for record in records}
    ordered: dict[str, ArtifactRecord] = {}
    for start in by_id:
        way: list[str] = []
        waiting = [(start, False)]
        while waiting:
            ident, is_done = waiting.pop()
            if is_done:
                way.remove(ident)
                ordered[ident] = by_id[ident]
            elif ident in way:
                raise DependencyError(
                    f"the manifest has artifacts that depend on one another: {' > '.join([*way, ident])}"
                )
            elif ident in by_id and ident not in ordered:
                way.append(ident)
                waiting.append((ident, True))
                waiting += [(each, False) for each in reversed(by_id[ident].depends_on)]
    return list(ordered.values())
