"""The folders ``sources/0, 1, ...`` of a version: what they include of versions and of what waits for its commit."""

from __future__ import annotations

import os
from typing import NamedTuple

from artfs.registry.records import RECORD, ArtifactRecord
from artfs.registry.stored import DEPTH, MACS, record_of
from artstore.drafting.batches import Included, NewVersion
from artstore.ids import content_id
from artstore.queries.versions import Version

__all__ = ["Pending", "SourceFolder", "depth_of", "folders_of", "record_digest", "record_in"]


class SourceFolder(NamedTuple):
    """One folder of ``sources``: the id and the record's digest, and what is included by path in the folder."""

    artifact_id: str
    digest: str
    mac: str | None
    parts: dict[bytes, Included]


class Pending(NamedTuple):
    """An artifact that was registered and waits for its commit, at a place of the batch."""

    place: int
    record: ArtifactRecord
    version: NewVersion
    depth: int


def record_digest(version: Version) -> str:
    """Return the digest of a version's record, by which dependants name it."""
    return f"blake3:{version.stat(RECORD).digest}"


def record_in(found: Version | Pending) -> ArtifactRecord:
    """Return the record of what a dependence is on."""
    return found.record if isinstance(found, Pending) else record_of(found)


def depth_of(found: Version | Pending) -> int:
    """Return how many artifacts depend on one another in a row, before this one."""
    return found.depth if isinstance(found, Pending) else int(found.record.metadata.get(DEPTH, 0))


def folders_of(found: Version | Pending) -> tuple[SourceFolder, list[SourceFolder]]:
    """Return what a dependence becomes in ``sources``, and what it was made from itself."""
    record = record_in(found)
    if isinstance(found, Pending):
        paths = [path for path in found.version.files if b"/" not in path]
        content = found.version.files[RECORD.encode()]
        assert isinstance(content, bytes)
        digest = f"blake3:{content_id(content).hex()}"
        macs = found.version.request.metadata or {}
        own = SourceFolder(
            record.artifact_id, digest, record.mac, {path: Included(found.place, path) for path in paths}
        )
        kept: dict[str, str] = dict(macs.get(MACS, {}))
    else:
        digest = record_digest(found)
        names = [RECORD.encode(), os.fsencode(record.payload)]
        parts = {path: Included(found.record, path) for path in names}
        own = SourceFolder(
            record.artifact_id, digest, record.mac, parts if record.sources else {b"": Included(found.record, b"")}
        )
        kept = dict(found.record.metadata.get(MACS, {}))
    below = []
    for place, each in enumerate(record.sources):
        folder = f"sources/{place}".encode()
        if isinstance(found, Pending):
            inner = {
                path[len(folder) + 1 :]: Included(found.place, path)
                for path in (*found.version.files, *found.version.included)
                if path == folder or path.startswith(folder + b"/")
            }
        else:
            inner = {b"": Included(found.record, folder)}
        below.append(SourceFolder(each["artifact_id"], each["digest"], kept.get(str(place)), inner))
    return own, below
