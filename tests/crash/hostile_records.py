"""Workspaces whose records somebody forged: sound checksums, and values that artfs would not write.

Each case changes one thing in a copy of the rot rig's workspace, which has a row in every table: a field of a JSON
record, the bytes of another, a key, a counter; a bomb of zstd; a file besides LMDB.  The cases are the same for the
same seed.
"""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import xxhash
import zstandard

from artstore.records.nodes import KIND_CHUNK, KIND_LIST, KIND_TREE
from artstore.records.seal import SEAL_LENGTH, seal, seal_numbered
from artstore.records.tables import Table
from crash.specimen import environment, rows
from record_codecs import CODECS, mutant

__all__ = ["Case", "cases"]


class Case(NamedTuple):
    """One change of a workspace; ``where`` names it."""

    where: str
    do: Callable[[Path], None]


_JSON: Final = frozenset((Table.ARTIFACTS, Table.VERSIONS, Table.ALIASES, Table.DRAFTS, Table.RUNS, Table.LINEAGE))
_BY_NUMBER: Final = frozenset((Table.NODES, Table.COUNTS, Table.ARTIFACTS))
_UNSEALED: Final = frozenset((Table.INDEX,))
_DEEP: Final = json.loads("[" * 99 + "]" * 99)
_EXTREMES: Final[tuple[Any, ...]] = (
    *(0, 1, -1, 2**31, 2**32 - 1, 2**32, 2**53, 2**63 - 1, 2**63, 10**30, 1.5, True, None),
    *(
        "",
        "x",
        "\0",
        "../../outside/canary",
        "/etc/passwd",
        "\x1b[2J\r\n",
        "\ud800",
        "\udcff",
        "x" * 70_000,
        "artfs://x",
    ),
    *([], [[]], [{}], [1], ["x"], {}, {"a": {}}, _DEEP, "live", "deleted", "running", "v3", "latest"),
)
_NUMBERS: Final = (0, 1, 15, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1)
_COUNTERS: Final = 17
_MAX_ROWS: Final = 3
"""Rows of one table and kind that are changed, at most."""


def cases(path: Path, seed: int = 1) -> list[Case]:
    """Return all cases for a workspace like the one at ``path``."""
    chance = random.Random(seed)
    every = rows(path)
    made = [
        *_fields(every),
        *_counters(every),
        *_bytes(every, chance),
        *_keys(every, chance),
        *_bombs(every),
        *_journals(chance),
        *_files(),
    ]
    assert len({case.where for case in made}) == len(made)
    return made


# -- rows --------------------------------------------------------------------------------------------------------------


def _put(table: Table, key: bytes, payload: bytes | None, path: Path, *, old: bytes | None = None) -> None:
    """Write a row with a sound seal, or remove it."""
    with environment(path) as env:
        handle = env.open_db(table.name.lower().encode(), create=False)
        with env.begin(write=True, db=handle) as transaction:
            if old is not None:
                transaction.delete(old)
            if payload is None:
                transaction.delete(key)
            else:
                transaction.put(key, _sealed(table, key, payload))


def _sealed(table: Table, key: bytes, payload: bytes) -> bytes:
    if table in _UNSEALED:
        return payload
    if table in _BY_NUMBER and len(key) == 8:
        return seal_numbered(table, int.from_bytes(key, "big"), payload)
    return seal(table, key, payload)


def _payload(table: Table, value: bytes) -> bytes:
    return value if table in _UNSEALED else value[:-SEAL_LENGTH]


def _sampled(every: list[tuple[Table, bytes, bytes]]) -> Iterator[tuple[Table, bytes, bytes]]:
    """Yield (table, key, payload) of a few rows of each table, and of nodes a few of each kind."""
    counts: dict[tuple[Table, int], int] = {}
    for table, key, value in every:
        kind = value[0] if table is Table.NODES else 0
        counts[table, kind] = counts.get((table, kind), 0) + 1
        if counts[table, kind] <= _MAX_ROWS:
            yield table, key, _payload(table, value)


def _fields(every: list[tuple[Table, bytes, bytes]]) -> Iterator[Case]:
    """Set each field of a JSON record to each extreme, and leave it out; settings and rules too."""
    chosen: dict[object, tuple[Table, bytes, bytes]] = {}
    for table, key, payload in _sampled(every):
        if payload and (table in _JSON or (table is Table.META and payload[:1] == b"{")):
            chosen[key if table is Table.META else table] = (table, key, payload)
    for table, key, payload in chosen.values():
        values = json.loads(payload)
        for name in values:
            for number, extreme in enumerate((*_EXTREMES, ...)):
                changed = {field: value for field, value in values.items() if field != name}
                if extreme is not ...:
                    changed[name] = extreme
                text = json.dumps(changed, separators=(",", ":")).encode()
                yield Case(f"{table.name} {key.hex()} {name} {number}", partial(_put, table, key, text))


def _counters(every: list[tuple[Table, bytes, bytes]]) -> Iterator[Case]:
    (key, payload) = next((key, _payload(table, value)) for table, key, value in every if key == b"counters")
    for at in range(_COUNTERS):
        for number in _NUMBERS:
            changed = payload[: 8 * at] + struct.pack("<Q", number) + payload[8 * at + 8 :]
            yield Case(f"counter {at} is {number}", partial(_put, Table.META, key, changed))


_CODEC_OF: Final = {KIND_CHUNK: "chunk", KIND_LIST: "list", KIND_TREE: "tree"}


def _bytes(every: list[tuple[Table, bytes, bytes]], chance: random.Random) -> Iterator[Case]:
    """Change the bytes of records that are no JSON: words set to extremes, and mutations."""
    for table, key, payload in _sampled(every):
        if table in _JSON or key == b"counters":
            continue
        name = f"{table.name} {key.hex()}"
        for at in range(0, min(len(payload), 200), 4):
            for number, word in enumerate((b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x00\x00\x00\x80")):
                changed = payload[:at] + word + payload[at + 4 :]
                yield Case(f"{name} word {at} {number}", partial(_put, table, key, changed))
        for number, size in enumerate((0, 1, max(0, len(payload) - 1))):
            yield Case(f"{name} cut {number}", partial(_put, table, key, payload[:size]))
        yield Case(f"{name} longer", partial(_put, table, key, payload + b"\0" * 9))
        codec = CODECS[_CODEC_OF.get(payload[0] if payload else 0, "counts")]._replace(seeds=[payload])
        for number in range(12 if table is Table.NODES else 4):
            yield Case(f"{name} mutant {number}", partial(_put, table, key, mutant(codec, chance)))


def _keys(every: list[tuple[Table, bytes, bytes]], chance: random.Random) -> Iterator[Case]:
    """Remove rows, and put their payloads under other keys with sound seals: what was known by one is another."""
    for table, key, payload in _sampled(every):
        name = f"{table.name} {key.hex()}"
        yield Case(f"{name} removed", partial(_put, table, key, None))
        others = [other for each, other, _ in every if each is table and other != key]
        odd = [b"\xff" * len(key), key + b"\0", key[:-1] or b"\0", b"\xff\xfe/../x", b"x" * 500]
        for number, other in enumerate([*odd, *chance.sample(others, min(2, len(others)))]):
            yield Case(f"{name} under another key {number}", partial(_put, table, other, payload))
            yield Case(f"{name} moved to another key {number}", partial(_put, table, other, payload, old=key))


# -- bombs and files ---------------------------------------------------------------------------------------------------


def _bombs(every: list[tuple[Table, bytes, bytes]]) -> Iterator[Case]:
    """Frames that claim or hold much more than they may, as rows of metrics and as stored forms of chunks."""
    huge = zstandard.ZstdCompressor(level=19).compress(bytes(1 << 30))
    silent = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(1 << 28))
    frames = {
        "1 GiB": huge,
        "256 MiB, unsaid": silent,
        "claims 2^62": _claiming(1 << 62),
        "claims 6 GB": _claiming(6 << 30),
    }
    key = next(key for table, key, _ in every if table is Table.METRICS)
    for name, frame in frames.items():
        yield Case(f"rows of {name}", partial(_put, Table.METRICS, key, frame))
        yield Case(f"chunk of {name}", partial(_replace_forms, frame))


def _claiming(size: int) -> bytes:
    """Return a frame of a few bytes whose head claims a size."""
    return b"\x28\xb5\x2f\xfd\xe0" + struct.pack("<Q", size) + b"\x01\x00\x00"


def _replace_forms(frame: bytes, path: Path) -> None:
    """Put a frame in place of the stored forms of all chunks that are long enough, with sound checksums."""
    from artstore.records.nodes import decode_chunk, encode_chunk
    from artstore.storage.codec import ZSTD, block_checksums

    with environment(path) as env:
        handle = env.open_db(b"nodes", create=False)
        with env.begin(write=True, db=handle) as transaction:
            for key, value in list(transaction.cursor()):
                if value[0] != KIND_CHUNK:
                    continue
                record = decode_chunk(value[:-SEAL_LENGTH])
                form = frame[: record.extent.stored] if len(frame) > record.extent.stored else frame
                if not form:
                    continue
                with (path / "packs" / f"{record.extent.pack:08d}.pack").open("r+b") as pack:
                    pack.seek(record.extent.offset)
                    pack.write(form)
                extent = record.extent._replace(stored=len(form), codec=ZSTD)
                changed = record._replace(extent=extent, size=1 << 20, checksums=block_checksums(form))
                transaction.put(key, seal_numbered(Table.NODES, int.from_bytes(key, "big"), encode_chunk(changed)))


def _journals(chance: random.Random) -> Iterator[Case]:
    """Append events that are no events, with sound checksums, and acknowledge them; and heads that claim much."""
    events = CODECS["event"]
    for number in range(40):
        yield Case(f"event {number}", partial(_append_event, mutant(events, chance)))
    for number, event in enumerate(events.seeds):
        yield Case(f"event again {number}", partial(_append_event, event))
    for length in (0, 1, 2**31, 2**32 - 1):
        yield Case(f"event of {length} bytes", partial(_append_event, struct.pack("<IQ", length, 7)))


def _append_event(data: bytes, path: Path) -> None:
    journal = next((path / "journal").iterdir())
    with journal.open("ab") as file:
        file.write(data)
        end = file.tell()
    for table, key, value in rows(path):
        if table is Table.META and key == b"counters":
            payload = value[:-SEAL_LENGTH]
            _put(table, key, payload[:48] + struct.pack("<Q", end) + payload[56:], path)


def _files() -> Iterator[Case]:
    """Write files that artfs reads besides LMDB's: what is in use, who serves a mount, and caches."""
    texts: dict[str, bytes] = {
        "empty": b"",
        "zeros": bytes(5000),
        "long": b"9" * 100_000,
        "nested": b"[" * 100_000,
        "list": b"[1,2,3]",
        "null": b"null",
        "number": b"1" * 5000,
        "bytes": bytes(range(256)),
        "paths": b'{"format":2,"uuid":"../..","created_ns":1e999,"group":5}',
    }
    places = ("artfs.json", "current", "run/daemons/x.json", "cache/figures.json", "cache/fsck", "manifest.1/lease")
    for place in (*places, "packs/00000001.pack", "packs/00000099.pack", "journal/catalogue.journal", "run/drafts/1"):
        for name, text in texts.items():
            yield Case(f"{place} is {name}", partial(_write, place, text))
    for name in (
        b"2 ../manifest.1",
        b"2 manifest.9",
        b"3 manifest.1",
        b"4 manifest.1",
        b"1 manifest.1",
        b"-2 manifest.1",
        b"2 manifest.01",
    ):
        yield Case(f"current is {name.decode()}", partial(_write, "current", name + b"\n"))
    info = {
        "id": "x",
        "pid": 1,
        "mountpoint": "/mnt",
        "socket": "/s",
        "device": "0:9",
        "started_at": 1.0,
        "transport": "direct",
        "uid": 0,
        "mounter": 0,
        "allow_other": True,
        "low_latency": False,
    }
    for field in info:
        for number, extreme in enumerate(_EXTREMES):
            text = json.dumps({**info, field: extreme}).encode()
            yield Case(f"run file {field} {number}", partial(_write, "run/daemons/x.json", text))
    for count in (2**16, 2**31, 2**32 - 1):
        yield Case(f"segment of {count} entries", partial(_write_segment, count))


def _write(place: str, text: bytes, path: Path) -> None:
    (path / place).parent.mkdir(parents=True, exist_ok=True)
    (path / place).write_bytes(text)


def _write_segment(count: int, path: Path) -> None:
    """Let the first segment of a pack claim an index of so many bytes and entries."""
    pack = sorted((path / "packs").iterdir())[0]
    data = bytearray(pack.read_bytes())
    head = struct.pack("<8sII", b"ARTFSEG1", 0, count)
    index = struct.pack("<8sI", b"ARTFIDX1", count)
    data[56:] = (
        head
        + struct.pack("<Q", xxhash.xxh3_64_intdigest(head))
        + index
        + struct.pack("<Q", xxhash.xxh3_64_intdigest(index))
    )
    pack.write_bytes(data)
