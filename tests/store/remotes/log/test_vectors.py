"""The vectors of a remote's log, kept for ever: each entry decodes and encodes, and all fold to the same state.

A test that fails here says that the format has changed.
"""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from blake3 import blake3
from xxhash import xxh3_64_intdigest

from artstore.errors import DamageError
from artstore.remotes.log.checkpoints import decode_state, encode_state
from artstore.remotes.log.entries import decode_entry, encode_entry
from artstore.remotes.log.fold import fold
from artstore.remotes.log.state import State
from store.remotes.log.log_story import CORPUS, as_vectors, told_story


@pytest.fixture(scope="module")
def vectors() -> dict[str, Any]:
    """The vectors."""
    loaded: dict[str, Any] = json.loads(CORPUS.read_bytes())
    return loaded


def _data(row: dict[str, Any]) -> bytes:
    text = row["entry"]
    return bytes(int(text.split()[0])) if text.endswith("zeros") else bytes.fromhex(text)


def test_entries_have_one_form(vectors: dict[str, Any]) -> None:
    """An entry of the vectors decodes to a value that encodes to its bytes; what is void for ever is refused."""
    for row in vectors["log"]:
        data = _data(row)
        if row["void"] is None:
            with pytest.raises(DamageError):
                decode_entry(data)
        else:
            assert encode_entry(decode_entry(data)) == data


def test_the_fold_is_the_same(vectors: dict[str, Any]) -> None:
    """Verdicts, digests and the last state are those of the vectors."""
    state = State(bytes.fromhex(vectors["uuid"]))
    for row in vectors["log"]:
        folded = fold(state, _data(row))
        assert not folded.has_other_state
        void = None if folded.entry is None else [verdict and int(verdict.reason) for verdict in folded.verdicts]
        assert void == row["void"], (folded.number, folded.verdicts)
        assert ("digest" in row) == (state.number % 64 == 0)
        assert row.get("digest", state.digest.hex()) == state.digest.hex()
    last = bytes.fromhex(vectors["state"])
    assert encode_state(state) == last
    assert encode_state(decode_state(last)) == last


def test_the_story_is_the_vectors(vectors: dict[str, Any]) -> None:
    """The values that the vectors were made of still encode to them."""
    assert as_vectors(told_story()) == vectors


def test_the_page_is_enough(vectors: dict[str, Any]) -> None:
    """The first entry, read by what docs/remote-format.md says, with struct, BLAKE3 and XXH3 alone."""
    data = _data(vectors["log"][0])
    magic, number, marks, length = struct.unpack_from("<8sHHI", data)
    assert (magic, number, marks, length) == (b"ARTFSLOG", 1, 0, len(data) - 48 - 8)
    assert data[16:48] == blake3(bytes.fromhex(vectors["uuid"])).digest()
    assert data[-8:] == struct.pack("<Q", xxh3_64_intdigest(data[:-8]))
    body = data[48:-8]
    by = body[33 : 33 + body[32]]
    at, writer = struct.unpack_from("<QH", body, 33 + len(by))
    assert (by, at, writer) == (b"ada@lab", 1_800_000_001 * 10**9, 1)
    rest = body[33 + len(by) + 10 :]
    assert rest[:32] == data[16:48]  # the digest, up to entry 64
    extensions, transactions = struct.unpack_from("<HH", rest, 32)
    condemns, uses, operations, kind, length = struct.unpack_from("<QQHBH", rest, 36)
    assert (extensions, transactions, condemns, uses, operations, kind) == (0, 1, 0, 0, 1, 1)
    fields = rest[57:]
    assert len(fields) == length
    name = fields[18 : 18 + fields[16]]
    kind_length = fields[18 + len(name)]
    place = 19 + len(name) + kind_length
    assert (name, fields[19 + len(name) : place]) == (b"digits", b"dataset")
    assert struct.unpack_from("<II", fields, place) == (0, 0)
    place += 8 + 16 + 32 + 16 + 8
    assert struct.unpack_from("<I", fields, place) == (4096,)  # the length of the root's span
    figures = struct.unpack_from("<QQQQqHB", fields, place + 4 + 32)
    assert figures == (12, 10, 1 << 40, 1_800_000_000 * 10**9, -1, 0o755, 1)
