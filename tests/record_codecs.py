"""All codecs of what artfs writes to disk, in one table, and what holds for each.

A decoder refuses bytes with `DamageError`, or what it returns encodes back to the same bytes.  Where a form is not the
only one of a value (JSON with fields of later releases, frames, forms of the first workspaces), what is encoded back
decodes to the same value and encodes to the same bytes.
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

from artstore.errors import DamageError, UnsupportedError
from artstore.ids import content_id
from artstore.records import events, remotes
from artstore.records.catalogue import (
    AliasRecord,
    ArtifactRecord,
    CatalogueRecord,
    DraftRecord,
    EdgeRecord,
    RunRecord,
    VersionRecord,
)
from artstore.records.counters import Counters
from artstore.records.deadlist import (
    Condemned,
    DeadEntry,
    Free,
    decode_condemned,
    decode_entry,
    decode_free,
    encode_condemned,
    encode_entry,
    encode_free,
)
from artstore.records.identity import WorkspaceIdentity
from artstore.records.journal_frames import HEAD_LENGTH, encode_records, salvage_records
from artstore.records.nodes import (
    FINE_BLOCK,
    ChunkRecord,
    Extent,
    ListChild,
    ListRecord,
    LostRecord,
    canonical_list,
    decode_chunk,
    decode_list,
    decode_lost,
    encode_chunk,
    encode_list,
    encode_lost,
    parse_canonical_list,
)
from artstore.records.packed_trees import (
    Attributes,
    CanonicalEntry,
    CanonicalTree,
    canonical_entries,
    canonical_index,
    entry_attributes,
    index_attributes,
    parse_packed_tree,
)
from artstore.records.packing import (
    PackedEntry,
    encode_header,
    encode_index,
    encode_segment_head,
    parse_header,
    parse_index,
    parse_segment_head,
)
from artstore.records.references import ReferenceRecord
from artstore.records.seal import seal, seal_numbered, unseal, unseal_numbered
from artstore.records.statblocks import (
    DIRECTORY,
    EMPTY,
    FILE,
    LINK,
    StatBlock,
    StatEntry,
    encode_block,
    encode_figures,
    encode_trailer,
    parse_block,
    parse_trailer,
)
from artstore.records.trees import ChildRecord, Kind, TreeEntry, TreeTotals, TreeView, encode_tree
from artstore.records.views import SpanPlace, ViewedPlace, decode_viewed, encode_viewed
from artstore.remotes.log import checkpoints, condemn_lists, entries
from artstore.rows import lineage, nodes
from artstore.rows.runs import pack_rows, unpack_rows
from store.remotes.log.log_story import resealed, told_story

__all__ = ["CODECS", "Codec", "holds", "mutant"]

_SEED: Final = 7
_KEY: Final = b"\0\0\0\0\0\0\0\7"


class Codec(NamedTuple):
    """One kind of record: ``seeds`` are valid, ``mend`` makes the checksums of changed bytes right again."""

    decode: Callable[[bytes], Any]
    encode: Callable[[Any], bytes]
    seeds: list[bytes]
    mend: Callable[[bytes], bytes] | None = None
    is_exact: bool = True


def holds(codec: Codec, data: bytes) -> bool:
    """Assert what holds for a decoder and any bytes; return whether it accepted them."""
    try:
        value = codec.decode(data)
    except DamageError as error:
        assert error.message and "\n" not in error.message
        return False
    again = codec.encode(value)
    if codec.is_exact:
        assert again == data, f"decoded as {value!r:.500}, which is {again.hex():.500}"
    else:
        assert codec.decode(again) == value, f"{value!r:.500} comes back otherwise"
        assert codec.encode(codec.decode(again)) == again
    return True


def mutant(codec: Codec, chance: random.Random) -> bytes:
    """Return a seed with changes: bits, extremes, cuts, insertions, parts of others; with right checksums or not."""
    data = chance.choice(codec.seeds) if chance.random() < 0.97 else chance.randbytes(chance.randrange(200))
    for _ in range(chance.choice((1, 1, 1, 2, 4, 8))):
        at, length = chance.randrange(len(data) + 1), chance.choice((1, 1, 2, 4, 8, 32))
        how = chance.randrange(8)
        if how == 0 and data:
            at = min(at, len(data) - 1)
            data = data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]
        elif how <= 2:
            data = data[:at] + chance.choice((b"\0", b"\1", b"\x7f", b"\x80", b"\xff")) * length + data[at + length :]
        elif how == 3:
            data = data[:at] + chance.randbytes(length) + data[at + length :]
        elif how == 4:
            data = data[:at] + data[at + length :] if chance.random() < 0.8 else data[:at]
        elif how == 5:
            data = data[:at] + chance.choice(_PIECES) + data[at:]
        elif how == 6:
            data = data[:at] + chance.choice(codec.seeds)[at:]
        elif digits := [place for place, byte in enumerate(data) if 48 <= byte < 58]:
            at = chance.choice(digits)
            data = data[:at] + chance.choice(_NUMBERS) + data[at + 1 :]
    if codec.mend is not None and chance.random() < 0.8:
        data = codec.mend(data)
    return data


_NUMBERS: Final = (
    b"-1",
    b"1e999",
    b"1.5",
    b"NaN",
    b"Infinity",
    b"9" * 19,
    b"9" * 40,
    b"9" * 5000,
    b"true",
    b"null",
    b"",
)
_PIECES: Final = (
    *(b"\0" * 8, b"\xff" * 8, b'"x":1,', b"[" * 200, b'{"a":' * 200, b"\\ud800", b"\xed\xa0\x80", b'"', b"}", b"\n"),
    *(b'"_":1,', b"[[]],", b"\x28\xb5\x2f\xfd", b" "),
)


def _digest(number: int) -> bytes:
    return content_id(b"%d" % number)


# -- LMDB's records ----------------------------------------------------------------------------------------------------


def _tree(data: bytes) -> tuple[TreeView, list[Any]]:
    view = TreeView(data)
    rows: list[Any] = list(view.children()) if view.level else list(view.entries())
    return view, rows


def _encode_tree(value: tuple[TreeView, list[Any]]) -> bytes:
    view, rows = value
    return encode_tree(view.level, view.digest, view.form, view.totals, view.extent, rows)


def _trees() -> Iterator[bytes]:
    place = Extent(1, 2, 3, 1)
    names = [b"a", b"b-link", b"dir", b"\xff" * 255]
    kinds = [Kind.FILE, Kind.LINK, Kind.DIRECTORY, Kind.REFERENCE]
    sizes = [1, 1, 5, 1]
    rows = [
        TreeEntry(name, kind, 16 + at, 10 * at, -at, 0o644, sum(sizes[:at]), sizes[at])
        for at, (name, kind) in enumerate(zip(names, kinds, strict=True))
    ]
    yield encode_tree(0, _digest(1), _digest(2), TreeTotals(4, 7, 1, 60, 5), place, rows)
    yield encode_tree(0, _digest(1), _digest(2), TreeTotals(0, 0, 0, 0, -(2**63)), place, [])
    below = [ChildRecord(20, b"m", 200, 0, 300, 0), ChildRecord(21, b"z" * 9, 100, 200, 100, 300)]
    yield encode_tree(1, _digest(1), _digest(2), TreeTotals(300, 350, 50, 9, 5), place, below)


def _chunks() -> Iterator[bytes]:
    for stored, count in ((0, 0), (5, 1), (200_000, 4), (200_000, -(-200_000 // FINE_BLOCK))):
        sums = tuple(range(1, count + 1))
        yield encode_chunk(ChunkRecord(_digest(3), -5, max(stored, 5) if stored else 0, Extent(1, 40, stored, 1), sums))


def _lists() -> Iterator[bytes]:
    children = tuple(ListChild(30 + at, (at + 1) * 1000) for at in range(5))
    yield encode_list(ListRecord(_digest(4), 1, 5000, 0, Extent(1, 2, 3, 0), children))
    yield encode_list(ListRecord(_digest(4), 1, 1000, 3, Extent(1, 2, 3, 0), children[:1]))


def _counts() -> Iterator[bytes]:
    few = [0] * nodes.COUNT_BLOCK
    few[3], few[127] = 1, 2**32 - 1
    for counts in (few, list(range(nodes.COUNT_BLOCK))):
        yield nodes._pack_counts(counts)


def _edge_key(data: bytes) -> tuple[bool, lineage.Edge]:
    return lineage.parse_row(data)


def _encode_edge_key(value: tuple[bool, lineage.Edge]) -> bytes:
    ahead, back = lineage.edge_keys(value[1])
    return ahead if value[0] else back


_SOME_EDGE: Final = lineage.Edge(lineage.version_end(5), lineage.USED, lineage.run_end(7))

# -- keyed records: the key is the first bytes -------------------------------------------------------------------------


def _keyed(decode: Callable[[bytes, bytes], Any], length: int) -> Callable[[bytes], Any]:
    return lambda data: decode(data[:length], data[length:])


def _join(encode: Callable[[Any], tuple[bytes, bytes]]) -> Callable[[Any], bytes]:
    return lambda value: b"".join(encode(value))


# -- packs -------------------------------------------------------------------------------------------------------------


def _mend_end(data: bytes) -> bytes:
    """Make the XXH3 at the end right."""
    body = data[:-8]
    return body + struct.pack("<Q", xxhash.xxh3_64_intdigest(body)) if len(data) > 8 else data


def _encode_packed(tree: CanonicalTree) -> bytes:
    if tree.level:
        forms = [form for _, _, form in tree.children]
        return canonical_index(tree.level, [child[:2] for child in tree.children]) + index_attributes(forms)
    return canonical_entries(tree.entries) + entry_attributes(tree.attributes)


def _packed() -> Iterator[bytes]:
    entries = [
        CanonicalEntry(b"a", Kind.FILE, 5, _digest(1)),
        CanonicalEntry(b"dir", Kind.DIRECTORY, 0, _digest(2)),
        CanonicalEntry(b"l", Kind.LINK, 3, _digest(3)),
    ]
    attributes = [Attributes(-7, 0o644, b""), Attributes(8, 0o755, _digest(4)), Attributes(9, 0o777, b"")]
    yield canonical_entries(entries) + entry_attributes(attributes)
    yield canonical_entries([])
    yield canonical_index(1, [(b"a", _digest(1)), (b"b", _digest(2))]) + index_attributes([_digest(5), _digest(6)])


def _index() -> bytes:
    return encode_index(
        [
            PackedEntry(0x63, 1, _digest(1), 48, 100, 200, -1, (1, 2)),
            PackedEntry(0x74, 0, _digest(2), 148, 50, 50, 5, ()),
        ]
    )


# -- JSON --------------------------------------------------------------------------------------------------------------


def _remote_key(parts: tuple[bytes, int, bytes]) -> bytes:
    return parts[0] + bytes([parts[1]]) + parts[2]


def _json(kind: type[CatalogueRecord], *seeds: CatalogueRecord) -> Codec:
    return Codec(kind.decode, lambda value: bytes(value.encode()), [seed.encode() for seed in seeds], is_exact=False)


_PURGED: Final = {"path": "a", "id": "00", "reason": "r", "purged_ns": 1, "old_digest": "11"}
_VERSION: Final = VersionRecord(
    *(1, 2, 3, 20, _digest(1), _digest(2), 10**18, -1, 0o755, 5, 1, 10, 1),
    metadata={"a": [1, 2.5, None, {"b": "\ud83d\ude00"}]},
    tags=["x"],
    purged=[_PURGED, {"more": 3, "reason": "r", "purged_ns": 1, "old_digest": "11"}],
)
_ARTIFACT: Final = ArtifactRecord(1, "a/b", True, 5, "t", 3, "d", [{"alias": "x", "version": None, "at_ns": 1}])
_DRAFT: Final = DraftRecord(
    *(1, "a", 2, 3, "/src", 1, "id", 4, 5, 6, 7, 8),
    parts=[{"by": "r", "node": 17}],
    said={"metadata": {"k": 1}, "tags": ["t"], "runs": [1]},
)
_RUN: Final = RunRecord(1, "p", "id", 5, config={"lr": 0.1}, summary={"loss": 1e-5}, tags=["x"])


def _event(data: bytes) -> Any:
    rows = list(salvage_records(data))
    if len(rows) != 1 or rows[0][1] is None or rows[0][0] != len(data):
        raise DamageError("it is not one record")
    return events.decode(rows[0][1])


def _mend_event(data: bytes) -> bytes:
    payload = data[HEAD_LENGTH:]
    return struct.pack("<IQ", len(payload), xxhash.xxh3_64_intdigest(payload)) + payload


def _identity(data: bytes) -> WorkspaceIdentity:
    return WorkspaceIdentity.decode(data)


# -- the stat cache ----------------------------------------------------------------------------------------------------


def _block(data: bytes) -> tuple[StatBlock, bytes]:
    """Return a block, and its digest also if that is incomplete."""
    block = parse_block(data, _SEED)
    if block == EMPTY:
        raise DamageError("it is not a block, or an empty one")
    return block, data[24:56]


def _encode_stat_block(value: tuple[StatBlock, bytes]) -> bytes:
    block, digest = value
    pieces: list[StatEntry | StatBlock] = [block]
    if block.digest is None:
        pieces.append(StatEntry(FILE, b"left out"))
    return bytes(encode_block(pieces, digest, _SEED))


def _stat_blocks() -> Iterator[bytes]:
    pieces: list[StatEntry | StatBlock] = [
        StatEntry(FILE, b"a", encode_figures(1, 2, 3, 4, 5), _digest(1)),
        StatEntry(DIRECTORY, b"d", encode_figures(0, 100, 0, 0, 0), _digest(2)),
        StatEntry(LINK, b"l\0text", encode_figures(0, 0, 0, 0, 0), bytes(32)),
    ]
    yield bytes(encode_block(pieces, _digest(9), _SEED))
    yield bytes(encode_block([*pieces, StatEntry(FILE, b"x")], _digest(9), _SEED))
    yield bytes(encode_block([], _digest(9), _SEED))


def _mend_stat(data: bytes) -> bytes:
    """Make the XXH3 at byte 8 right."""
    if len(data) < 16:
        return data
    state = xxhash.xxh3_64(data[:8], _SEED)
    state.update(data[16:])
    return data[:8] + struct.pack("<Q", state.intdigest()) + data[16:]


def _trailer(data: bytes) -> tuple[int, int]:
    found = parse_trailer(data, _SEED)
    if found is None:
        raise DamageError("it is not a trailer")
    return found


# -- remotes -----------------------------------------------------------------------------------------------------------


def _log_entry(data: bytes) -> entries.Entry:
    try:
        return entries.decode_entry(data)
    except UnsupportedError as error:
        raise DamageError(error.message) from None


_STORY: Final = told_story()
_LOG_ENTRIES: Final = [data for data, folded in zip(_STORY.entries, _STORY.folded, strict=True) if folded.entry]
_SPAN: Final = SpanPlace(b"t" * 16, 40, 500, _digest(3))
_VIEWED: Final = [ViewedPlace(b"r" * 16, b"u" * 16, _SPAN, 3, 2, 10, record) for record in (None, _SPAN)]
_HINT: Final = checkpoints.Hint(64, _digest(1), tuple(_LOG_ENTRIES[:3]))

# -- the table ---------------------------------------------------------------------------------------------------------

_EVENTS: Final = [
    encode_records([json.loads(line)])
    for line in json.loads((Path(__file__).parent / "corpora" / "events.json").read_text())
]

CODECS: Final[dict[str, Codec]] = {
    "chunk": Codec(decode_chunk, encode_chunk, list(_chunks())),
    "list": Codec(decode_list, encode_list, list(_lists())),
    "lost": Codec(decode_lost, encode_lost, [encode_lost(LostRecord(0x74, _digest(1), 0, 0, _digest(2)))]),
    "tree": Codec(_tree, _encode_tree, list(_trees())),
    "counts": Codec(nodes._unpack_counts, nodes._pack_counts, list(_counts())),
    "edge key": Codec(_edge_key, _encode_edge_key, list(lineage.edge_keys(_SOME_EDGE))),
    "counters": Codec(Counters.decode, Counters.encode, [Counters().encode()], is_exact=False),
    "dead entry": Codec(
        _keyed(decode_entry, 16),
        _join(encode_entry),
        [b"".join(encode_entry(DeadEntry(5, 1, 2, 3, 4, 6, -7, (20, 21))))],
    ),
    "condemned": Codec(
        _keyed(decode_condemned, 16), _join(encode_condemned), [b"".join(encode_condemned(Condemned(1, 2, 3, 4, True)))]
    ),
    "free": Codec(
        _keyed(decode_free, 8), _join(encode_free), [b"".join(encode_free(Free(1, 2, 30, 20)))], is_exact=False
    ),
    "viewed place": Codec(decode_viewed, encode_viewed, [encode_viewed(each) for each in _VIEWED]),
    "sealed row": Codec(partial(unseal, 3, _KEY), partial(seal, 3, _KEY), [seal(3, _KEY, b"payload")]),
    "sealed node": Codec(
        partial(unseal_numbered, 2, 7), partial(seal_numbered, 2, 7), [seal_numbered(2, 7, b"payload")]
    ),
    "rows": Codec(
        unpack_rows, lambda rows: pack_rows(rows)[0], pack_rows([{"a": 1}, {"b": [1.5, "x"]}]), is_exact=False
    ),
    "canonical list": Codec(
        parse_canonical_list,
        lambda value: canonical_list(*value),
        [canonical_list(0, [(0x63, _digest(1), 5), (0x6C, _digest(2), 7)])],
    ),
    "packed tree": Codec(parse_packed_tree, _encode_packed, list(_packed())),
    "pack header": Codec(
        parse_header, lambda value: encode_header(*value), [encode_header(bytes(16), 1, 5)], _mend_end
    ),
    "segment head": Codec(
        parse_segment_head, lambda value: encode_segment_head(*value), [encode_segment_head(5, 6)], _mend_end
    ),
    "pack index": Codec(parse_index, encode_index, [_index(), encode_index([])], _mend_end),
    "artifact": _json(ArtifactRecord, _ARTIFACT),
    "version": _json(VersionRecord, _VERSION),
    "remote": _json(
        remotes.RemoteRecord,
        remotes.RemoteRecord("origin", "s3://bucket/prefix", False, 3),
        remotes.RemoteRecord("b", "file:///x", True, 3, True, "creates", 4, {"rounds": 20}, 5, "ab"),
    ),
    "tracked key": Codec(remotes.parse_tracked_key, lambda key: remotes.tracked_key(*key), [bytes(24), b"a" * 24]),
    "counterpart key": Codec(
        remotes.parse_counterpart_key, lambda key: remotes.counterpart_key(*key), [bytes(20), b"a" * 20]
    ),
    "noted key": Codec(
        remotes.parse_noted_key, _remote_key, [bytes(16) + b"e" + b"b" * 16, b"a" * 16 + b"d" + bytes(16)]
    ),
    "place key": Codec(
        remotes.parse_place_key, _remote_key, [bytes(16) + b"c" + b"b" * 32, b"a" * 16 + b"t" + bytes(32)]
    ),
    "counterpart": Codec(
        remotes.decode_counterpart, remotes.encode_counterpart, [bytes(21), b"a" * 16 + b"\1\0\0\0\2"]
    ),
    "noted object": Codec(remotes.decode_noted, remotes.encode_noted, [bytes(16), b"a" * 16]),
    "content place": Codec(
        remotes.decode_place, remotes.encode_place, [b"d" + bytes(24), b"t" + b"a" * 16 + b"\1\0\0\0" * 2]
    ),
    "alias": _json(AliasRecord, AliasRecord(1, 2, "best", 3, 4)),
    "draft": _json(DraftRecord, _DRAFT),
    "run": _json(RunRecord, _RUN),
    "edge": _json(EdgeRecord, EdgeRecord(1, "a:v0", "b:v1", "latest")),
    "reference": Codec(
        ReferenceRecord.decode,
        ReferenceRecord.encode,
        [
            ReferenceRecord("s3://b/k", 5, "etag", "v", endpoint="http://h", region="r", anonymous=True).encode(),
            ReferenceRecord("file:///a", 0, blake3="00" * 32).encode(),
        ],
    ),
    "event": Codec(_event, lambda event: encode_records([event.encode()]), _EVENTS, _mend_event, is_exact=False),
    "artfs.json": Codec(
        _identity,
        lambda value: bytes(value.encode(2)),
        [WorkspaceIdentity("01234567-89ab-cdef-0123-456789abcdef", 5, group).encode(2) for group in (None, "grp")],
        is_exact=False,
    ),
    "stat block": Codec(_block, _encode_stat_block, list(_stat_blocks()), _mend_stat),
    "stat trailer": Codec(
        _trailer, lambda value: bytes(encode_trailer(*value, _SEED)), [bytes(encode_trailer(5, 6, _SEED))], _mend_stat
    ),
    "log entry": Codec(_log_entry, entries.encode_entry, _LOG_ENTRIES, resealed),
    "log state": Codec(checkpoints.decode_state, checkpoints.encode_state, [checkpoints.encode_state(_STORY.state)]),
    "log hint": Codec(checkpoints.decode_hint, checkpoints.encode_hint, [checkpoints.encode_hint(_HINT)], _mend_end),
    "condemn list": Codec(
        condemn_lists.decode_condemn_list,
        condemn_lists.encode_condemn_list,
        [condemn_lists.encode_condemn_list([condemn_lists.Pack(kind, _digest(1)[:16]) for kind in "dt"])],
    ),
}
