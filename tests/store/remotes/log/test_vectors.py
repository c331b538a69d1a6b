"""The vectors of a remote's log, kept for ever: each entry decodes and encodes, and all fold to the same state.

A test that fails here says that the format has changed.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

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
