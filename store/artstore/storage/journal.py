"""The journal: every change of the catalogue, appended and synced before the LMDB commit of that change.

A lost manifest is rebuilt from packs and journal.  `artstore.records.journal_frames` has the format of its records.
The manifest stores how far the journal is acknowledged.  Bytes past that belong to a transaction that never committed,
and the next writer truncates them.  Only a write transaction appends, so there is a single writer.

**Generations.**  A journal that has grown long is rewritten, as the fewest events that lead to the same catalogue,
into a file of its own: generation 0 is ``journal/catalogue.journal``, generation G ``journal/catalogue.G.journal``.
The manifest's counters say which generation is in use; it changes in the transaction that acknowledges the new file.

Without a manifest, the highest existing generation is used.  That is correct, because

- a generation is written to a temporary file, synced and renamed, so it is complete under its name;
- a writer removes every other generation before it appends, and syncs the folder.  While two exist, nothing has been
  appended to either since one was made from the other, and both lead to the same catalogue.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from artstore import beneath
from artstore.errors import DamageError
from artstore.records.events import Event
from artstore.records.journal_frames import (
    HEAD_LENGTH,
    decode_payload,
    encode_records,
    parse_head,
    salvage_records,
)
from artstore.storage import disk
from artstore.storage.manifest import WriteTransaction

__all__ = [
    "append",
    "append_records",
    "generation_of",
    "journal_path",
    "others",
    "remove_others",
    "replay",
    "salvage",
]

_NAME: Final = re.compile(r"catalogue(?:\.([1-9][0-9]*))?\.journal")
_TEMPORARY: Final = re.compile(r"\.catalogue\..*\.tmp")


def journal_path(workspace: Path, generation: int | None = None) -> Path:
    """Return the path of a generation of the journal; by default, of the newest that exists."""
    folder = workspace / "journal"
    if generation is None:
        matches = [match for match in map(_NAME.fullmatch, _names_in(workspace, folder)) if match]
        generation = max((int(match[1] or 0) for match in matches), default=0)
    return folder / (f"catalogue.{generation}.journal" if generation else "catalogue.journal")


def generation_of(path: Path) -> int:
    """Return which generation of the journal a file is, by its name."""
    match = _NAME.fullmatch(path.name)
    return int(match[1] or 0) if match else 0


def _names_in(workspace: Path, folder: Path) -> list[str]:
    try:
        return beneath.names(workspace, folder)
    except FileNotFoundError:
        return []


def append(workspace: Path, transaction: WriteTransaction, events: Iterable[Event]) -> None:
    """Append events durably and note the new end in the transaction.

    Raises `OutOfSpaceError` on a full disk, and `DamageError` if the journal is missing or shorter than was
    acknowledged.
    """
    append_records(workspace, transaction, [event.encode() for event in events])


def append_records(workspace: Path, transaction: WriteTransaction, values: Iterable[Mapping[str, Any]]) -> None:
    """Append JSON objects as `append` appends events, without a check that they are events."""
    data = encode_records(values)
    state = transaction.state
    with disk.out_of_space(workspace, "the journal"):
        try:
            fd = beneath.open_file(workspace, journal_path(workspace, state.journal_generation), os.O_RDWR)
        except FileNotFoundError as error:
            raise DamageError(f"the journal of {workspace} is missing") from error
        try:
            end = state.journal_end
            length = os.fstat(fd).st_size
            if length < end:
                raise DamageError(f"the journal of {workspace} ends at {length}, before its acknowledged end {end}")
            remove_others(workspace, state.journal_generation)
            if length > end:
                os.ftruncate(fd, end)
            state.journal_end = disk.append(fd, [data], end)
            disk.sync_data(fd)
        finally:
            os.close(fd)


def others(workspace: Path, generation: int) -> list[Path]:
    """Return the files of all other generations, and temporary files that killed writers left."""
    kept = journal_path(workspace, generation)
    return [
        kept.with_name(name)
        for name in _names_in(workspace, kept.parent)
        if name != kept.name and (_NAME.fullmatch(name) or _TEMPORARY.fullmatch(name))
    ]


def remove_others(workspace: Path, generation: int) -> None:
    """Remove the files that `others` returns, durably; call inside a write transaction."""
    paths = others(workspace, generation)
    for path in paths:
        beneath.remove(workspace, path, missing_ok=True)
    if paths:
        disk.sync_folder(workspace, paths[0].parent)


def replay(path: Path, end: int | None = None) -> Iterator[dict[str, Any]]:
    """Yield the journal's events in order; stops before a torn or damaged record, and at ``end``.

    Without ``end``, the last event may belong to a transaction that never committed: only the manifest knows that.
    """
    with open(beneath.open_file(path.parents[1], path), "rb") as file:
        length = os.fstat(file.fileno()).st_size
        left = length if end is None else min(length, end)
        while left >= HEAD_LENGTH:
            length, checksum = parse_head(file.read(HEAD_LENGTH))
            left -= HEAD_LENGTH + length
            event = None if left < 0 else decode_payload(file.read(length), checksum)
            if event is None:
                return
            yield event


def salvage(path: Path) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """Yield (offset after it, event) for every readable record, None for each damaged stretch.

    Continues after damage: the checksum identifies a record at any offset.
    """
    yield from salvage_records(beneath.read_bytes(path.parents[1], path))
