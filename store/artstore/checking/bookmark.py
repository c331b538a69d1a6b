"""The position of a content check, kept in the cache folder, so that an interrupted check resumes there."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, Self

from xxhash import xxh3_64_hexdigest

from artstore import beneath
from artstore.storage import disk

__all__ = ["Bookmark", "PackMark"]

_FRESH_NS: Final = 24 * 3600 * 10**9
"""What was read longer ago than a day is read again."""


@dataclass(slots=True)
class PackMark:
    """How far one pack was read: to offset ``verified``, but for the segments that start at ``bad``.

    Packs are append-only and never reuse space, so sound content up to that offset need not be read again while the
    file (``inode``) is the same.
    """

    inode: int
    verified: int = 0
    bad: list[int] = field(default_factory=list)


@dataclass
class Bookmark:
    """How far each pack of a workspace was read since ``started_ns``; kept for a day."""

    uuid: str
    started_ns: int
    packs: dict[int, PackMark] = field(default_factory=dict)

    @classmethod
    def load(cls, workspace: Path, uuid: str) -> Self:
        """Return the bookmark of an interrupted check, or a new one if there is no valid one."""
        now_ns = time.time_ns()
        with suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
            checksum, _, text = beneath.read_bytes(workspace, _path(workspace)).partition(b"\n")
            values = json.loads(text)
            packs = {int(number): PackMark(**mark) for number, mark in values["packs"].items()}
            kept = cls(values["uuid"], values["started_ns"], packs)
            is_ours = checksum.decode() == xxh3_64_hexdigest(text) and kept.uuid == uuid
            if is_ours and 0 <= now_ns - kept.started_ns < _FRESH_NS:
                return kept
        return cls(uuid, now_ns)

    def save(self, workspace: Path) -> None:
        """Write the bookmark; errors are ignored, because losing it only costs time."""
        text = json.dumps(asdict(self)).encode()
        with suppress(OSError):
            disk.write_file(workspace, _path(workspace), xxh3_64_hexdigest(text).encode() + b"\n" + text, 0o600)

    def remove(self, workspace: Path) -> None:
        """Remove the bookmark of a completed check."""
        with suppress(OSError):
            beneath.remove(workspace, _path(workspace))


def _path(workspace: Path) -> Path:
    return workspace / "cache" / "fsck"
