"""The extended attributes that describe a version or a file in place.

On versions: ``user.artfs.digest``, ``.type``, ``.description``, ``.metadata`` (JSON), ``.created_at`` (ISO 8601 in UTC)
and ``.aliases`` (separated by commas).  On files: ``.digest`` (BLAKE3 of the content) and ``.stored_bytes``; on files
whose bytes stay outside, ``.reference`` (JSON: their location, and the values that pin them) in place of a digest.
Directories also have ``user.artfs.workspace``: it shows that a path lies in a workspace.  None of them is listed,
because a program that copies would carry them to copies, where they become untrue.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime

from artstore.records.catalogue import VersionRecord
from artstore.rows.snapshot import Snapshot

__all__ = ["PREFIX", "WORKSPACE", "of_file", "of_reference", "of_version"]

PREFIX = b"user.artfs."
WORKSPACE = PREFIX + b"workspace"
_DIGEST = PREFIX + b"digest"
_REFERENCE = PREFIX + b"reference"
_STORED_BYTES = PREFIX + b"stored_bytes"


def of_reference(snapshot: Snapshot, node: int, name: bytes) -> bytes | None:
    """Return one attribute of the outside file whose record is ``node``, or None if there is none of that name."""
    if name == _REFERENCE:
        return snapshot.reference(node).encode()
    return b"%d" % snapshot.stored_bytes(node) if name == _STORED_BYTES else None


def of_file(snapshot: Snapshot, node: int, name: bytes) -> bytes | None:
    """Return one attribute of the file whose content is ``node``, or None if there is none of that name."""
    if name == _DIGEST:
        return snapshot.content(node).id.hex().encode()
    return b"%d" % snapshot.stored_bytes(node) if name == _STORED_BYTES else None


def of_version(snapshot: Snapshot, version: VersionRecord) -> dict[bytes, bytes]:
    """Return the attributes of a version; those that were never set are left out."""
    aliases = [alias.name for alias in snapshot.aliases_of(version.artifact) if alias.version == version.number]
    latest = snapshot.latest(version.artifact)
    if latest is not None and latest.serial == version.serial:
        aliases.insert(0, "latest")
    artifact = snapshot.artifact(version.artifact)
    values = {
        "digest": version.digest.hex(),
        "type": (artifact.type if artifact else None) or "",
        "description": version.description or "",
        "metadata": json.dumps(version.metadata or {}, ensure_ascii=False),
        "created_at": _iso(version.created_ns),
        "aliases": ",".join(aliases),
    }
    return {PREFIX + name.encode(): value.encode() for name, value in values.items() if value}


def _iso(nanoseconds: int) -> str:
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest // 1000)
    return moment.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"
