"""Records that are malformed are refused with `DamageError`: none hangs, none is given room that it does not need.

The corpus (``tests/corpora/malformed``) is kept for ever.  A file of it holds records of one kind: ``why`` each is
there, its bytes as ``parts`` (hex, or hex and how often it is repeated), its ``key`` where the decoder takes one, and
``refused: false`` where being read as something is as good as being refused.
"""

from __future__ import annotations

import json
import struct
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artstore.errors import DamageError
from artstore.records.catalogue import AliasRecord, ArtifactRecord, DraftRecord, VersionRecord
from artstore.records.counters import Counters
from artstore.records.deadlist import decode_condemned, decode_entry, decode_free
from artstore.records.nodes import decode_chunk, decode_list, decode_lost, parse_canonical_list
from artstore.records.packed_trees import parse_packed_tree
from artstore.records.packing import parse_header, parse_index, parse_segment_head
from artstore.records.references import ReferenceRecord
from artstore.records.seal import unseal, unseal_numbered
from artstore.records.trees import TreeView
from artstore.rows.runs import unpack_rows
from artstore.storage import codec, journal

CORPUS = Path(__file__).parents[2] / "corpora" / "malformed"
ROOM = 16 << 20
"""Bytes that refusing a record may take at its height; the largest record of the corpus has 1.2 MB."""
SECONDS = 5.0
_FRAME = struct.Struct("<BQ")
_PROBES = (b"", b"a", b"dir", b"run", b"\xff")


def read_tree(data: bytes) -> object:
    """Ask a directory record all that can be asked of one."""
    view = TreeView(data)
    answers: list[object] = [view.nodes(), view.footprint, [view.name(index) for index in range(view.count)]]
    if view.level:
        answers += [list(view.children()), [view.child_for_name(name) for name in _PROBES]]
        answers += [view.child_for_position(position) for position in (0, 1, 255, 2**32 - 1)]
    else:
        answers += [list(view.entries()), list(view.entries(1)), [view.find(name) for name in _PROBES]]
        answers += [view.entry(index) for index in range(view.count)]
    return [*answers, *(view.row_for_inode(inode) for inode in (0, 1, 5, 2**31 - 1, 2**32 - 1, 2**64))]


def decode_frame(data: bytes, key: bytes) -> object:
    """Decode a stored form; the key is its codec and the size that was put."""
    kind, size = _FRAME.unpack(key)
    return codec.decode(kind, data, size)


DECODERS: dict[str, Callable[[bytes], object]] = {
    "chunk": decode_chunk,
    "list": decode_list,
    "lost": decode_lost,
    "tree": read_tree,
    "packed tree": parse_packed_tree,
    "canonical list": parse_canonical_list,
    "pack header": parse_header,
    "segment head": parse_segment_head,
    "pack index": parse_index,
    "artifact": ArtifactRecord.decode,
    "version": VersionRecord.decode,
    "alias": AliasRecord.decode,
    "draft": DraftRecord.decode,
    "counters": Counters.decode,
    "reference": ReferenceRecord.decode,
    "metrics": unpack_rows,
}
KEYED_DECODERS: dict[str, Callable[[bytes, bytes], object]] = {
    "dead entry": lambda data, key: decode_entry(key, data),
    "condemned": lambda data, key: decode_condemned(key, data),
    "free": lambda data, key: decode_free(key, data),
    "sealed row": lambda data, key: unseal(3, key, data),
    "sealed node": lambda data, key: unseal_numbered(3, int.from_bytes(key, "big"), data),
    "frame": decode_frame,
}
KINDS = [*DECODERS, *KEYED_DECODERS]


def corpus(kind: str) -> list[tuple[str, bytes, bytes, bool]]:
    """Return (why, record, key, whether it must be refused) for all records of a kind."""
    loaded = json.loads((CORPUS / f"{kind.replace(' ', '_')}.json").read_text())
    assert loaded["kind"] == kind
    return [
        (row["why"], _join(row["parts"]), bytes.fromhex(row.get("key", "")), row.get("refused", True))
        for row in loaded["records"]
    ]


def _join(parts: list[Any]) -> bytes:
    return b"".join(
        bytes.fromhex(part) if isinstance(part, str) else bytes.fromhex(part[0]) * part[1] for part in parts
    )


def decode(kind: str, data: bytes, key: bytes) -> object:
    return DECODERS[kind](data) if kind in DECODERS else KEYED_DECODERS[kind](data, key)


@contextmanager
def bounded(what: str) -> Iterator[None]:
    """Fail where the block takes much time, or at its height much memory."""
    tracemalloc.start()
    start = time.process_time()
    try:
        yield
        taken, (_, peak) = time.process_time() - start, tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < SECONDS, f"{what}: {taken:.1f} s of processor time"
    assert peak < ROOM, f"{what}: {peak} bytes"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", KINDS)
def test_the_corpus(kind: str) -> None:
    """Every record is refused with `DamageError` and nothing else, at once and in little room."""
    rows = corpus(kind)
    assert any(refused for *_, refused in rows) and not all(refused for *_, refused in rows)
    for why, data, key, refused in rows:
        with bounded(why):
            try:
                found: object = decode(kind, data, key)
            except DamageError as error:
                assert error.message and "\n" not in error.message, why
                continue
        assert not refused, f"{kind}, {why}: read as {found!r}"


@pytest.mark.timeout(60)
def test_journals(tmp_path: Path) -> None:
    """A journal is read up to what is malformed, without room for a length that is not there."""
    path = tmp_path / "journal"
    for why, data, _, refused in corpus("journal"):
        path.write_bytes(data)
        with bounded(why):
            events = list(journal.replay(path))
        assert all(isinstance(event, dict) for event in events), why
        assert not refused or not events, why


BASES = {kind: [(data, key) for _, data, key, _ in corpus(kind) if 0 < len(data) < 2000] for kind in KINDS}
EDGES = st.sampled_from([b"\0", b"\1", b"\x7f", b"\x80", b"\xff"])


@st.composite
def mutants(draw: st.DrawFn) -> tuple[str, bytes, bytes]:
    """Make a record of the corpus into another: bytes flipped, set to extremes, cut, put in, or taken from another."""
    kind = draw(st.sampled_from(KINDS))
    data, key = draw(st.sampled_from(BASES[kind]))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        length = draw(st.sampled_from([1, 2, 4, 8, 32]))
        how = draw(st.sampled_from(["flip", "extreme", "cut", "remove", "insert", "splice"]))
        if how == "flip":
            middle = bytes(byte ^ draw(st.integers(1, 255)) for byte in data[at : at + 1])
            data = data[:at] + middle + data[at + 1 :]
        elif how == "extreme":
            data = data[:at] + draw(EDGES) * length + data[at + length :]
        elif how == "cut":
            data = data[:at]
        elif how == "remove":
            data = data[:at] + data[at + length :]
        elif how == "insert":
            data = data[:at] + draw(st.binary(max_size=40)) + data[at:]
        else:
            data = data[:at] + draw(st.sampled_from(BASES[kind]))[0][at:]
    return kind, data, key


@settings(max_examples=1500)
@given(mutant=mutants())
def test_fuzzed_records(mutant: tuple[str, bytes, bytes]) -> None:
    """Whatever a record is changed into, it is read as something or refused with `DamageError`."""
    kind, data, key = mutant
    with bounded(f"{kind} {data.hex()} {key.hex()}"):
        try:
            decode(kind, data, key)
        except DamageError as error:
            assert error.message
