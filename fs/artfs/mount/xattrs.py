"""The extended attributes that describe a version or a file in place: `ATTRIBUTES` has them all.

None of them is listed, because a program that copies would carry them to copies, where they become untrue.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime

from artstore.records.catalogue import VersionRecord
from artstore.rows.snapshot import Snapshot

__all__ = ["ATTRIBUTES", "PREFIX", "WORKSPACE", "of_file", "of_reference", "of_version"]

PREFIX = b"user.artfs."
WORKSPACE = PREFIX + b"workspace"
_DIGEST = PREFIX + b"digest"
_REFERENCE = PREFIX + b"reference"
_STORED_BYTES = PREFIX + b"stored_bytes"

ATTRIBUTES = {
    "user.artfs.digest": ("versions, files", "the digest of the version, or BLAKE3 of the file's content, in hex"),
    "user.artfs.type": ("versions", "the type of the artifact"),
    "user.artfs.description": ("versions", "the description"),
    "user.artfs.metadata": ("versions", "the metadata, a JSON object"),
    "user.artfs.created_at": ("versions", "the time of the commit, ISO 8601 in UTC"),
    "user.artfs.aliases": ("versions", "the aliases, separated by commas; `latest` comes first"),
    "user.artfs.stored_bytes": ("files", "the stored bytes of the content, after compression"),
    "user.artfs.reference": (
        "files outside",
        "the location of the file, and the values that pin it, a JSON object, in place of a digest",
    ),
    "user.artfs.workspace": ("folders", "the uuid of the workspace: it shows that a path lies on one of its mounts"),
}
"""Where each attribute is, and its value; an attribute whose value was never set is missing."""


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
