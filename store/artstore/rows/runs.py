"""Runs as rows of the manifest: their records, the index by id, and their logged rows.

Reading works in any transaction; writing is plain edits of a write transaction, as in `artstore.rows.catalogue`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import zstandard

from artstore.errors import DamageError
from artstore.records.catalogue import RunRecord, dump_json
from artstore.records.tables import Table, key32, key64
from artstore.storage.manifest import ReadTransaction, WriteTransaction

__all__ = ["all_runs", "find_run", "id_key", "metric_blocks", "metric_rows", "pack_rows", "put_block", "put_run", "run"]

_MOST_BYTES: Final = 1 << 28
"""Bytes of one block of metrics, beyond which it is taken for damaged."""


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
    return None if value is None else run(transaction, int.from_bytes(value, "big"))


def all_runs(transaction: ReadTransaction, project: str | None = None) -> list[RunRecord]:
    """Return all runs, or those of one project, the oldest first."""
    if project is None:
        return [RunRecord.decode(payload) for _, payload in transaction.rows(Table.RUNS)]
    rows = transaction.rows(Table.RUN_IDS, project.encode() + b"\0")
    records = (run(transaction, int.from_bytes(value, "big")) for _, value in rows)
    return sorted((record for record in records if record is not None), key=lambda record: record.number)


def put_run(transaction: WriteTransaction, record: RunRecord) -> None:
    """Write a run's record, and the row that leads to it."""
    transaction.put(Table.RUNS, key64(record.number), record.encode())
    transaction.put(Table.RUN_IDS, id_key(record.project, record.id), key64(record.number))


def pack_rows(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Return rows as a block of METRICS: one zstd frame of JSON lines."""
    return zstandard.ZstdCompressor(level=3).compress(b"\n".join(dump_json(row) for row in rows))


def put_block(transaction: WriteTransaction, number: int, block: int, data: bytes) -> None:
    """Write one block of a run's logged rows."""
    transaction.put(Table.METRICS, key64(number) + key32(block), data)


def metric_blocks(transaction: ReadTransaction, number: int) -> Iterator[tuple[int, bytes]]:
    """Yield (number, data) of the blocks of a run's logged rows."""
    for key, data in transaction.rows(Table.METRICS, key64(number)):
        yield int.from_bytes(key[8:], "big"), data


def metric_rows(transaction: ReadTransaction, number: int) -> Iterator[dict[str, Any]]:
    """Yield a run's logged rows, in order; raise `DamageError` for an unreadable block."""
    for block, data in metric_blocks(transaction, number):
        try:
            lines = zstandard.ZstdDecompressor().decompress(data, max_output_size=_MOST_BYTES)
            yield from (json.loads(line) for line in lines.splitlines())
        except (zstandard.ZstdError, ValueError) as error:
            raise DamageError(f"block {block} of what run {number} logged is unreadable") from error
