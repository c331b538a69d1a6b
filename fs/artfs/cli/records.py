"""The JSON records of the things that several commands print."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from artfs.cli.output import from_nanoseconds, timestamp
from artstore.names import version_label

if TYPE_CHECKING:
    from artstore.queries.versions import FileInfo, Version
    from artstore.workspace import ArtifactInfo

__all__ = ["artifact_record", "file_record", "gone_record", "purge_record", "version_record"]


def version_record(version: Version) -> dict[str, object]:
    """Return everything that is known of one version; sizes in bytes, ``new_bytes`` in stored bytes.

    ``undelete_until`` is the time until when a deleted version can certainly be brought back, else null.
    """
    record, until = version.record, version.undeletable_until
    return {
        "name": version.name,
        "artifact": version.artifact,
        "version": version_label(version.number),
        "number": version.number,
        "state": version.state,
        "digest": version.digest,
        "type": version.type,
        "description": version.description,
        "metadata": version.metadata,
        "aliases": list(version.aliases),
        "tags": list(version.tags),
        "base": version.base,
        "created_at": timestamp(version.created_at),
        "files": version.file_count,
        "bytes": version.size,
        "new_bytes": version.new_bytes,
        "expires_at": timestamp(from_nanoseconds(record.expires_ns)) if record.expires_ns else None,
        "deleted_at": timestamp(from_nanoseconds(record.deleted_ns)) if record.deleted_ns else None,
        "deleted_reason": record.reason or None,
        "undelete_until": None if until is None else timestamp(until),
        "purged": [purge_record(purge) for purge in version.purged],
    }


def gone_record(artifact: str, number: int) -> dict[str, object]:
    """Return all that is known of a version that was deleted and is gone for good: its number."""
    label = version_label(number)
    known = {"name": f"{artifact}:{label}", "artifact": artifact, "version": label, "number": number}
    return {**known, "state": "deleted", "undelete_until": None}


def purge_record(purge: Mapping[str, Any]) -> dict[str, object]:
    """Return one purge of a version: what was taken out, when and why, and the version's digest before.

    Past a thousand files of one purge, ``path`` is null and ``more`` says how many others there were.
    """
    return {
        "path": purge.get("path"),
        "more": purge.get("more", 0),
        "digest": purge.get("id"),
        "reason": purge["reason"],
        "purged_at": timestamp(from_nanoseconds(purge["purged_ns"])),
        "old_digest": purge["old_digest"],
    }


def artifact_record(artifact: ArtifactInfo) -> dict[str, object]:
    """Return one artifact: ``latest`` is a label such as ``v3`` or null, ``versions`` the number of living ones."""
    return {
        "name": artifact.name,
        "type": artifact.type,
        "description": artifact.description,
        "latest": None if artifact.latest is None else version_label(artifact.latest),
        "versions": artifact.versions,
        "created_at": timestamp(artifact.created_at),
    }


def file_record(file: FileInfo) -> dict[str, object]:
    """Return one entry of a version's folder."""
    return {
        "name": file.name,
        "kind": file.kind,
        "size": file.size,
        "digest": file.digest,
        "executable": file.executable,
        "target": file.link_target,
    }
