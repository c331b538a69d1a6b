"""The JSON records of the things that several commands print."""

from __future__ import annotations

from typing import TYPE_CHECKING

from artfs.cli.output import timestamp
from artstore.names import version_label

if TYPE_CHECKING:
    from artstore.versions import FileInfo, Version
    from artstore.workspace import Artifact

__all__ = ["artifact_record", "file_record", "version_record"]


def version_record(version: Version) -> dict[str, object]:
    """Return everything that is known of one version; sizes in bytes, ``new_bytes`` in stored bytes."""
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
    }


def artifact_record(artifact: Artifact) -> dict[str, object]:
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
