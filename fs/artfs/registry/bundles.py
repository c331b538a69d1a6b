"""What a bundle has: archived versions that are registered artifacts, checked against their records.

The index is believed only as far as the records agree, and a record only in canonical form.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from itertools import takewhile
from typing import Any, Final, NamedTuple

from artfs.registry.chains import chain_of
from artfs.registry.dependences import DEEPEST
from artfs.registry.errors import DependencyError, RecordError
from artfs.registry.ids import parse_artifact_id
from artfs.registry.naming import artifact_name, check_dataset
from artfs.registry.records import RECORD, ArtifactRecord, MetaModelConfig, record_json
from artfs.registry.stored import DEPTH, metadata_of, unpacked
from artstore.archives.index import ArchivedEntry, ArchivedVersion, split_name
from artstore.errors import ArtfsError
from artstore.metadata import equal_metadata, given, reserved
from artstore.records.catalogue import checked_metadata

__all__ = ["Bundled", "bundled_artifacts", "direct_sources"]

_LONGEST: Final = 1 << 24
"""Bytes of a record."""
_PAYLOAD: Final = re.compile(r"payload\.[^/\0]{1,64}")
_LIBRARIES: Final = "artfs.libraries"
ReadFile = Callable[[ArchivedVersion, ArchivedEntry], bytes]


class _Kept(NamedTuple):
    """A record as it is in a folder of the bundle, and its payload's file."""

    record: ArtifactRecord
    payload: str


@dataclass(frozen=True, slots=True)
class Bundled:
    """A registered artifact in a bundle; ``digest`` is that of its record, and ``files`` are its entries by path."""

    version: ArchivedVersion
    name: str
    record: ArtifactRecord
    payload: str
    digest: str
    files: Mapping[str, ArchivedEntry]
    depth: int
    metadata: Mapping[str, Any]
    """The metadata that users gave."""
    again: int = 0
    """How many versions of the same artifact before this one have the same record: it came back after another."""

    @property
    def key(self) -> tuple[str, int]:
        """A key that is unique in the bundle."""
        return self.digest, self.again


def direct_sources(record: ArtifactRecord) -> list[str]:
    """Return the digests of the records of what an artifact was made from directly."""
    ids = [*record.depends_on, *(record.meta_config or MetaModelConfig()).source_ids]
    first: dict[str, str] = {}
    for each in record.sources:
        first.setdefault(each["artifact_id"], each["digest"])
    return [first[ident] for ident in dict.fromkeys(ids)]


def bundled_artifacts(versions: Iterable[ArchivedVersion], read: ReadFile) -> list[Bundled]:
    """Return the artifacts of a bundle with these versions, whose files ``read`` returns.

    Sources come before what was made from them, and versions of one artifact by number.  Those with equal records stand
    once, unless another is between them.  Raises `RecordError` for a version that is not a registered artifact or does
    not match its record, and `DependencyError` for dependences that are missing, too deep, or in a cycle.
    """
    reader = _Reader(read)
    return _ordered([reader.read(version) for version in versions])


class _Reader:
    """Reads the records of a bundle, each once: a source is in the folders of all that was made from it."""

    def __init__(self, read: ReadFile) -> None:
        self._read_file = read
        self._kept: dict[str, _Kept] = {}
        self._depths: dict[str, int] = {}

    def read(self, version: ArchivedVersion) -> Bundled:
        try:
            return self._read(version)
        except (RecordError, DependencyError):
            raise
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise RecordError(f"{version.name} in the bundle is not a registered artifact: {_reason(error)}") from error

    def _read(self, version: ArchivedVersion) -> Bundled:
        files = {entry.path.decode(): entry for entry in version.entries}
        if not all(entry.is_file and not entry.executable for entry in version.entries):
            raise RecordError(f"{version.name} in the bundle has something other than plain files")
        digest, (record, payload) = self._folder(version, files, "")
        paths = {RECORD, payload}
        for place, source in enumerate(record.sources):
            folder = f"sources/{place}/"
            found, below = self._folder(version, files, folder)
            if source != {"artifact_id": below.record.artifact_id, "digest": found}:
                raise DependencyError(f"{folder} of {version.name} in the bundle is not the source in its record")
            paths |= {folder + RECORD, folder + below.payload}
        if paths != files.keys():
            raise RecordError(f"{version.name} in the bundle has other files than its record names")
        self._check_sources(version.name, record)
        name = _checked_name(version, record)
        record = replace(record, libraries=_libraries(version))
        depth = self._depth(digest, record)
        derived = {**metadata_of(record, payload), **({DEPTH: depth} if depth else {})}
        kept = reserved(version.metadata)
        if not any(equal_metadata(form, kept) for form in (derived, unpacked(derived))):  # no bundle has a signature
            raise RecordError(f"the metadata of {version.name} in the bundle do not match its record")
        checked_metadata({**derived, **given(version.metadata)})  # what the store could not read back is refused now
        return Bundled(version, name, record, payload, digest, files, depth, given(version.metadata))

    def _folder(self, version: ArchivedVersion, files: Mapping[str, ArchivedEntry], folder: str) -> tuple[str, _Kept]:
        """Return the digest of the record in a folder, and the record, whose payload must be there."""
        entry = files[folder + RECORD]
        digest = f"blake3:{entry.digest.hex()}"
        kept = self._kept.get(digest)
        if kept is None:
            kept = self._kept[digest] = self._parsed(version, entry)
        payload = files[folder + kept.payload]
        record = kept.record
        if (record.content_hash, record.size_bytes) != (f"blake3:{payload.digest.hex()}", payload.size):
            raise RecordError(f"the payload of {record.artifact_id!r} in the bundle does not match its record")
        return digest, kept

    def _parsed(self, version: ArchivedVersion, entry: ArchivedEntry) -> _Kept:
        if entry.size > _LONGEST:
            raise RecordError("a record in the bundle is too long")
        content = self._read_file(version, entry)
        values: dict[str, Any] = json.loads(content.decode("utf-8", "surrogatepass"))
        payload = values.pop("payload")
        record = ArtifactRecord.from_dict(values)
        if _PAYLOAD.fullmatch(payload) is None or record_json(record, payload) != content:
            raise RecordError(f"the record of {record.artifact_id!r} in the bundle is not in canonical form")
        return _Kept(record, payload)

    def _check_sources(self, name: str, record: ArtifactRecord) -> None:
        """Raise `DependencyError` unless the sources are all that the record and its sources name."""
        digests = {each["digest"] for each in record.sources}
        ids = {each["artifact_id"] for each in record.sources}
        direct_ids = {*record.depends_on, *(record.meta_config or MetaModelConfig()).source_ids}
        lacking = direct_ids - ids
        for digest in digests:
            lacking |= {each["digest"] for each in self._kept[digest].record.sources} - digests
        if lacking:
            raise DependencyError(f"{name} in the bundle depends on {min(lacking)!r}, which it does not contain")
        if record.artifact_id in ids:
            raise DependencyError(f"{name} in the bundle depends on itself")
        if len(digests) < len(record.sources) or len(set(record.depends_on)) < len(record.depends_on):
            raise DependencyError(f"{name} in the bundle lists a source twice")

    def _depth(self, digest: str, record: ArtifactRecord, level: int = 0) -> int:
        """Return how many artifacts depend on one another in a row, before this one; all their records have been read.

        Digests are of records that name digests, so there is no cycle.
        """
        if level > DEEPEST:
            raise DependencyError(f"{record.artifact_id!r} comes after {DEEPEST} artifacts that depend on one another")
        if digest not in self._depths:
            below = (each["digest"] for each in record.sources)
            self._depths[digest] = max(
                (1 + self._depth(each, self._kept[each].record, level + 1) for each in below), default=0
            )
        if self._depths[digest] > DEEPEST:
            raise DependencyError(f"{record.artifact_id!r} comes after {DEEPEST} artifacts that depend on one another")
        return self._depths[digest]


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"it lacks {error}"[:80]
    return str(error) if isinstance(error, ArtfsError) else "its record cannot be read"


def _checked_name(version: ArchivedVersion, record: ArtifactRecord) -> str:
    """Return the artifact's name if the record has it, with the type, the id and the chain that go with it."""
    ident = parse_artifact_id(record.artifact_id)
    name = artifact_name(check_dataset(record.dataset), ident)
    chain = record.chain_path
    right = (name, str(record.artifact_type), ident.pipeline, ident.fold, chain and chain_of(chain).to_path())
    if (split_name(version.name)[0], version.type, record.pipeline_id, record.fold_id, chain) != right:
        raise RecordError(f"{version.name} in the bundle does not match its record")
    return name


def _libraries(version: ArchivedVersion) -> dict[str, str]:
    libraries = unpacked(version.metadata).get(_LIBRARIES, {})
    if not isinstance(libraries, Mapping) or not all(isinstance(each, str) for each in libraries.values()):
        raise RecordError(f"the libraries of {version.name} in the bundle are not names and versions")
    return dict(libraries)


def _ordered(artifacts: Iterable[Bundled]) -> list[Bundled]:
    """Return artifacts in an order in which they can have been made.

    A version with the record of the one before it is left out: what was between them is not in the bundle.
    """
    kept: list[Bundled] = []
    for each in sorted(artifacts, key=lambda each: split_name(each.version.name)):
        earlier = [other for other in kept[-1:] if other.name == each.name]
        if not earlier or earlier[0].digest != each.digest:
            same = sum(other.digest == each.digest for other in _of_artifact(kept, each.name))
            kept.append(replace(each, again=same))
    by_digest = {each.digest: place for place, each in reversed([*enumerate(kept)])}
    graph = {
        place: {by_digest[source] for source in direct_sources(each.record) if source in by_digest}
        | ({place - 1} if place and kept[place - 1].name == each.name else set())
        for place, each in enumerate(kept)
    }
    try:
        return [kept[place] for place in TopologicalSorter(graph).static_order()]
    except CycleError as error:
        names: Iterable[int] = error.args[1]
        shown = " > ".join(kept[place].version.name for place in list(names)[:4])
        raise DependencyError(f"the bundle has versions that depend on one another: {shown}") from None


def _of_artifact(kept: Sequence[Bundled], name: str) -> Iterator[Bundled]:
    """Yield the last artifacts of a list that have a name."""
    return takewhile(lambda each: each.name == name, reversed(kept))
