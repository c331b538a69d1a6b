"""Vectors of a remote's packs, kept for ever: a change that breaks one changes the format."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from artstore.ids import content_id
from artstore.remotes.packs.located import identity, totals_of
from artstore.remotes.packs.spans import decompress
from store.remotes.packs.pack_codecs import CODECS, sample_records

VECTORS = json.loads((Path(__file__).parents[3] / "corpora" / "remote_packs.json").read_text())


@pytest.mark.parametrize("name", VECTORS["records"])
def test_records_have_these_bytes(name: str) -> None:
    """What is encoded from the sample values, which read the same."""
    codec = CODECS[name]
    assert [seed.hex() for seed in codec.seeds] == VECTORS["records"][name]
    for kept in VECTORS["records"][name]:
        assert codec.encode(codec.decode(bytes.fromhex(kept))).hex() == kept


def test_every_codec_has_vectors() -> None:
    assert VECTORS["records"].keys() == CODECS.keys()


def test_a_stored_span_reads_as_its_records() -> None:
    """The frame of another release of zstd, which no longer needs to be made byte for byte, still reads."""
    stored = bytes.fromhex(VECTORS["stored span"]["bytes"])
    assert content_id(stored).hex() == VECTORS["stored span"]["hash"]
    assert CODECS["span"].decode(decompress(stored, VECTORS["stored span"]["size"])) == sample_records()


def test_ids_and_totals_of_records() -> None:
    """The digest and the form id are those of local records; totals count what is below."""
    found = [[*map(bytes.hex, identity(record)), *totals_of(record)] for record in sample_records()]
    assert found == VECTORS["records of the span"]
