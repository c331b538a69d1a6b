"""Sizes of versions that need a walk to compute, cached in ``cache/`` so that the next query is fast.

*Alone* bytes, what a version would take by itself, belong to a root and never change.  *Attributed* bytes are valid for
one set of live versions, which the file records; for any other set they are recomputed.  The file may be deleted at any
time.

While content is lost nothing is cached, because the sizes change when it is restored; repair and rebuild drop them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from xxhash import xxh3_128_hexdigest

from artstore import beneath
from artstore.errors import ArtfsError
from artstore.records.catalogue import VersionRecord
from artstore.rows.nodes import has_lost
from artstore.storage import disk
from artstore.storage.manifest import ReadTransaction
from artstore.store import Store

__all__ = ["Figures", "forget"]

_FORMAT: Final = 2


def _path(workspace: Path) -> Path:
    return workspace / "cache" / "figures.json"


def forget(workspace: Path) -> None:
    """Remove the cached figures, because sizes or numbers of nodes have changed."""
    beneath.remove(workspace, _path(workspace), missing_ok=True)


def _living_key(living: Iterable[VersionRecord]) -> str:
    return xxh3_128_hexdigest(b"".join(b"%d:%d;" % (record.serial, record.root) for record in living))


class Figures:
    """Cached figures of the live versions: bytes alone by root, attributed bytes by serial if still valid."""

    def __init__(self, store: Store, transaction: ReadTransaction, living: list[VersionRecord]) -> None:
        self._store = store
        self._path = _path(store.path)
        self._steady = not has_lost(transaction)
        self._key = _living_key(living)
        self._roots = {record.root for record in living}
        self._changed = False
        self.alone: dict[int, int] = {}
        self.attributed: dict[int, int] | None = None
        with suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
            kept = json.loads(beneath.read_bytes(store.path, self._path))
            if self._steady and kept["format"] == _FORMAT and kept["workspace"] == store.uuid:
                self.alone = {int(root): int(size) for root, size in kept["alone"].items()}
                if kept["living"] == self._key:
                    self.attributed = {int(serial): int(size) for serial, size in kept["attributed"].items()}

    def keep_alone(self, root: int, size: int) -> None:
        """Record the bytes that a version's root would take alone."""
        self.alone[root] = size
        self._changed = True

    def keep_attributed(self, attributed: dict[int, int]) -> None:
        """Record the attributed bytes of all live versions."""
        self.attributed = attributed
        self._changed = True

    def save(self) -> None:
        """Write new figures; if the write fails, the next query only takes as long as this one."""
        if not (self._changed and self._steady):
            return
        values = {
            "format": _FORMAT,
            "workspace": self._store.uuid,
            "living": self._key if self.attributed is not None else "",
            "attributed": self.attributed or {},
            "alone": {root: size for root, size in self.alone.items() if root in self._roots},
        }
        with suppress(OSError, ArtfsError):
            data = json.dumps(values, separators=(",", ":")).encode()
            disk.write_file(self._store.path, self._path, data, self._store.file_mode)
