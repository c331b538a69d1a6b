"""The journal: every change of the catalogue, appended and synced before the LMDB commit that makes it so.

It exists for rebuilding a lost manifest from packs and journal.  A record is

    length u32, xxh3-64 of the payload, payload (JSON)

and the manifest knows how far the journal was acknowledged; what lies past that came from a transaction that never
committed, and the next writer cuts it off.  Written only inside a write transaction, which makes it single-writer.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from xxhash import xxh3_64_intdigest

from artstore import disk
from artstore.errors import DamageError
from artstore.manifest import WriteTransaction
from artstore.records.catalogue import dump_json

__all__ = ["append", "journal_path", "replay"]

_HEAD: Final = struct.Struct("<IQ")


def journal_path(workspace: Path) -> Path:
    """Return the path of the journal."""
    return workspace / "journal" / "catalogue.journal"


def append(workspace: Path, transaction: WriteTransaction, events: list[dict[str, Any]]) -> None:
    """Append events durably and note the new end in the transaction.

    Raises `OutOfSpaceError` on a full disk, and `DamageError` where the journal is shorter than was acknowledged.
    """
    payloads = [dump_json(event) for event in events]
    data = b"".join(_HEAD.pack(len(payload), xxh3_64_intdigest(payload)) + payload for payload in payloads)
    with disk.out_of_space(workspace, "the journal"):
        fd = os.open(journal_path(workspace), os.O_RDWR | os.O_CLOEXEC)
        try:
            end = transaction.state.journal_end
            length = os.fstat(fd).st_size
            if length < end:
                raise DamageError(f"the journal of {workspace} ends at {length}, before its acknowledged end {end}")
            if length > end:
                os.ftruncate(fd, end)
            transaction.state.journal_end = disk.append(fd, [data], end)
            disk.sync_data(fd)
        finally:
            os.close(fd)


def replay(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the journal's events in order; stops before a torn or damaged record.

    The last one may be of a transaction that never committed: only the manifest knows, where there is one.
    """
    with path.open("rb") as file:
        while len(head := file.read(_HEAD.size)) == _HEAD.size:
            length, checksum = _HEAD.unpack(head)
            payload = file.read(length)
            if len(payload) != length or xxh3_64_intdigest(payload) != checksum:
                return
            yield json.loads(payload)
