"""Runs as rows of the manifest: their records, the index by id, and their logged rows.

Reading works in any transaction; writing is plain edits of a write transaction, as in `artstore.rows.catalogue`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import zstandard

from artstore.errors import DamageError, InvalidInputError
from artstore.records.catalogue import RunRecord, dump_json, load_json
from artstore.records.tables import Table, key32, key64, number32, number64
from artstore.storage.manifest import ReadTransaction, WriteTransaction

__all__ = [
    "all_runs",
    "find_run",
    "id_key",
    "metric_blocks",
    "metric_rows",
    "pack_rows",
    "put_block",
    "put_run",
    "run",
    "unpack_rows",
]

_MOST_BYTES: Final = 1 << 22
"""Bytes of the rows of one block of metrics, at most."""
_LARGEST_WINDOW: Final = 1 << 22
"""What a frame may have decompression keep in memory; frames are written with less."""
_READ: Final = 1 << 18
_PIECE: Final = 128
"""Compressed bytes that are taken at once: they can become 32,000 times as many."""


def id_key(project: str, ident: str) -> bytes:
    """Return the key by which a run is found."""
    return project.encode() + b"\0" + ident.encode()


def run(transaction: ReadTransaction, number: int) -> RunRecord | None:
    """Return the run with a number."""
    payload = transaction.get(Table.RUNS, key64(number))
    return None if payload is None else RunRecord.decode(payload)


def find_run(transaction: ReadTransaction, project: str, ident: str) -> RunRecord | None:
    """Return the run of a project with an id."""
    value = transaction.get(Table.RUN_IDS, id_key(project, ident))
    return None if value is None else run(transaction, number64(value))


def all_runs(transaction: ReadTransaction, project: str | None = None) -> list[RunRecord]:
    """Return all runs, or those of one project, the oldest first."""
    if project is None:
        return [RunRecord.decode(payload) for _, payload in transaction.rows(Table.RUNS)]
    rows = transaction.rows(Table.RUN_IDS, project.encode() + b"\0")
    records = (run(transaction, number64(value)) for _, value in rows)
    return sorted((record for record in records if record is not None), key=lambda record: record.number)


def put_run(transaction: WriteTransaction, record: RunRecord) -> None:
    """Write a run's record, and the row that leads to it."""
    transaction.put(Table.RUNS, key64(record.number), record.encode())
    transaction.put(Table.RUN_IDS, id_key(record.project, record.id), key64(record.number))


def pack_rows(rows: Iterable[Mapping[str, Any]]) -> list[bytes]:
    """Return rows as blocks of METRICS, each a zstd frame of JSON lines that `unpack_rows` takes.

    Raises `InvalidInputError` for a row that is too long.
    """
    blocks: list[list[bytes]] = []
    length = _MOST_BYTES
    for row in rows:
        line = dump_json(row)
        if len(line) > _MOST_BYTES:
            raise InvalidInputError(f"a row of {len(line):,} bytes cannot be logged; at most {_MOST_BYTES:,} can be")
        if length + len(line) + 1 > _MOST_BYTES:
            blocks.append([])
            length = 0
        blocks[-1].append(line)
        length += len(line) + 1
    return [zstandard.ZstdCompressor(level=3).compress(b"\n".join(lines)) for lines in blocks]


def unpack_rows(data: bytes) -> list[dict[str, Any]]:
    """Return the rows that `pack_rows` wrote; raise `DamageError` on anything else.

    The memory that this takes follows from what the frame has, not from the length that it claims.
    """
    try:
        text = _decompressed(data)
        rows = [load_json(line) for line in text.split(b"\n")] if text else []
    except (zstandard.ZstdError, ValueError, RecursionError) as error:
        raise DamageError("it is not a block of rows") from error
    if not all(isinstance(row, dict) for row in rows):
        raise DamageError("it is not a block of rows")
    return rows


def _decompressed(data: bytes) -> bytes:
    """Return what one frame has; raise `ValueError` if that is too much, or not what it claims."""
    claimed = zstandard.frame_content_size(data)
    if claimed > _MOST_BYTES:
        raise ValueError
    lines = bytearray()
    decompressor = zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW).decompressobj(write_size=_READ)
    for start in range(0, len(data), _PIECE):
        lines += decompressor.decompress(data[start : start + _PIECE])
        if len(lines) > _MOST_BYTES:
            raise ValueError
    if not decompressor.eof or decompressor.unused_data or claimed not in (-1, len(lines)):
        raise ValueError
    return bytes(lines)


def put_block(transaction: WriteTransaction, number: int, block: int, data: bytes) -> None:
    """Write one block of a run's logged rows."""
    transaction.put(Table.METRICS, key64(number) + key32(block), data)


def metric_blocks(transaction: ReadTransaction, number: int) -> Iterator[tuple[int, bytes]]:
    """Yield (number, data) of the blocks of a run's logged rows."""
    for key, data in transaction.rows(Table.METRICS, key64(number)):
        yield number32(key[8:]), data


def metric_rows(transaction: ReadTransaction, number: int) -> Iterator[dict[str, Any]]:
    """Yield a run's logged rows, in order; raise `DamageError` for an unreadable block."""
    for block, data in metric_blocks(transaction, number):
        try:
            yield from unpack_rows(data)
        except DamageError as error:
            raise DamageError(f"block {block} of what run {number} logged is unreadable") from error
